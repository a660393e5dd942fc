"""``gilprobe record`` itself: its options, its file, what it writes beside the program, its exit status.

That the program runs as under plain ``python`` is what tests/programs/test_program.py is about.
"""

from __future__ import annotations

import os
import re
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from recordings import read
from side_by_side import FREE_THREADED, environment, outcome, record_command, start, write_files

from gilprobe.cli.record import parse_program, split
from gilprobe.durations import parse_duration
from gilprobe.errors import GilProbeError
from gilprobe.measuring.host import capabilities
from gilprobe.tracing.loading import load

needs_tracer = pytest.mark.skipif(
    "import slots" in capabilities().tracer_reason, reason="no tracer here, with a GIL or without"
)

BUSY = """
    import hashlib, threading, time
    def work():
        for _ in range(20):
            hashlib.sha256(b"x" * 100000).hexdigest()
            time.sleep(0.001)
    threads = [threading.Thread(target=work, name=f"worker-{n}") for n in range(3)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    print("done")
"""


def record(folder, *arguments, options=(), env=None, flags=(), target="out.gilprobe"):
    """Run ``gilprobe record`` in `folder`."""
    command = record_command(*arguments, options=options, flags=flags, target=target)
    return outcome(start(command, folder, env=env))


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root may")
@pytest.mark.parametrize(
    "code",
    ["os.chroot(tempfile.mkdtemp()); os.chdir('/')", "os.setuid(65534)", "os.setresuid(65534, 65534, 65534)"],
)
def test_a_program_of_one_thread_that_loses_the_way_to_the_file_is_recorded_to_its_end(tmp_path, code):
    """It writes the file itself, and opens it by its path each time."""
    code = f"import os, tempfile, time; time.sleep(0.06); {code}; time.sleep(0.2); os._exit(3)"
    status, _, _ = record(tmp_path, "-c", code, options=("--quiet",))
    recording = load(tmp_path / "out.gilprobe")
    assert (status, recording.complete, recording.report.warnings) == (3, True, ())
    assert recording.report.elapsed_s > 0.2


# The command line


def test_what_follows_the_program_is_the_programs():
    assert split(["record", "-m", "http.server", "--help"]) == (["record"], ["-m", "http.server", "--help"])
    assert split(["record", "--", "-odd.py", "-o", "x"]) == (["record"], ["--", "-odd.py", "-o", "x"])
    assert split(["record", "a.py", "--", "-m"]) == (["record"], ["--", "a.py", "--", "-m"])
    assert split(["record", "-o", "f", "--stall", "1ms", "--follow", "-cpass", "-c"]) == (
        ["record", "-o", "f", "--stall", "1ms", "--follow"],
        ["-c", "pass", "-c"],
    )
    assert split(["record", "--output=f", "-of", "-"]) == (["record", "--output=f", "-of"], ["--", "-"])
    assert split(["record", "-o"]) == (["record", "-o"], [])
    assert split(["run", "--", "-m"]) == (["run", "--", "-m"], [])
    assert split([]) == ([], [])
    assert parse_program(["-m", "a.b", "-x"]).arguments == ("-x",)
    assert parse_program(["--", "-odd.py"]).target == "-odd.py"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("100ms", 0.1),
        ("0.5s", 0.5),
        ("250us", 250e-6),
        ("2", 2.0),
        (" 1.5 ms ", 0.0015),
        (".5", 0.5),
        ("9ns", 9e-9),
    ],
)
def test_durations_have_units(text, seconds):
    assert parse_duration(text, "--stall") == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "0", "-1", "1h", "ms", "nan", "inf", "1e3", "1" * 5000, "0ms", "٣", "1_0"]
)
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(GilProbeError, match="--stall must be a time above 0"):
        parse_duration(text, "--stall")


@pytest.mark.parametrize(
    ("options", "program", "message"),
    [
        ((), (), "a SCRIPT, -m MODULE or -c CODE is required"),
        ((), ("-m",), "-m needs a MODULE"),
        ((), ("--",), "a SCRIPT, -m MODULE or -c CODE is required"),
        (("--duration", "0"), ("-c", "print(1)"), "--duration must be a time above 0"),
        (("--duration", ""), ("-c", "print(1)"), "--duration must be a time above 0"),
        (("--stall", "soon"), ("-c", "print(1)"), "--stall must be a time above 0"),
        (("--stall", "100000s"), ("-c", "print(1)"), "--stall must be at most 3600s, got '100000s'"),
        (("--loud",), ("-c", "print(1)"), "unrecognized arguments: --loud"),
        (("-X", "dev"), ("-c", "print(1)"), "unrecognized arguments: -X"),
        (("--dur", "1"), ("-c", "print(1)"), "unrecognized arguments: --dur"),
    ],
)
def test_unusable_arguments_are_one_line_and_status_two(
    tmp_path, capsys, monkeypatch, options, program, message
):
    from gilprobe.cli import main

    monkeypatch.chdir(tmp_path)
    assert main(["record", *options, *program]) == 2
    out, errors = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(r"gilprobe: error: [^\n]+\n", errors)
    assert message in errors
    assert list(tmp_path.iterdir()) == []


# The file


@needs_tracer
def test_a_recording_tells_who_held_the_gil(tmp_path):
    write_files(tmp_path, {"busy.py": BUSY})
    status, out, errors = record(tmp_path, "busy.py")
    assert (status, out) == (0, "done\n")
    assert "worker-1" in errors
    assert errors.endswith("to see it again: gilprobe report out.gilprobe\n")
    assert "\x1b" not in errors
    target = tmp_path / "out.gilprobe"
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    report = read(target)
    assert {"MainThread", "worker-0", "worker-1", "worker-2"} <= {thread.name for thread in report.threads}
    for thread in report.threads:
        assert thread.hold_ns + thread.wait_ns + thread.off_ns == thread.lifetime_ns


@needs_tracer
@pytest.mark.parametrize(
    ("options", "whole"),
    [([], True), (["--stacks"], True), (["--no-stacks"], False), (["--no-stacks", "--stacks"], True)],
)
def test_whole_stacks_are_recorded_unless_they_are_turned_off(tmp_path, options, whole):
    code = "import time\ndef work():\n    time.sleep(0.001)\nwork()"
    assert record(tmp_path, "-c", code, options=["--quiet", *options])[0] == 0
    report = load(tmp_path / "out.gilprobe").report
    (site,) = [site for site in report.sites if site.function == "work"]
    assert (site.line, site.releases) == (3, 1)
    stacks = [stack.frames for stack in report.stacks if stack.frames[-1].function == "work"]
    assert [[frame.function for frame in frames] for frames in stacks] == [["<module>", "work"]] * whole
    assert bool(report.stacks) == whole


CULPRITS = """
    import json, re, threading, time
    DATA, TEXT = [{"a": n, "b": [n] * 5} for n in range(2000)], "abc def " * 20000
    def export():
        while time.monotonic() < end:
            json.dumps(DATA, indent=1)
    def search():
        while time.monotonic() < end:
            re.findall("[a-z]+ ", TEXT)
    def serve():
        while time.monotonic() < end:
            time.sleep(0.001)
    end = time.monotonic() + 1.5
    threads = [threading.Thread(target=run, name=run.__name__) for run in (export, search, serve, serve)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
"""


@needs_tracer
def test_the_verdict_names_calls_in_lines_of_own_code(tmp_path):
    """Not the twenty lines of the library that the time is spread over."""
    write_files(tmp_path, {"app.py": CULPRITS})
    status, _, errors = record(tmp_path, "app.py", options=["--by", "call"])
    assert status == 0
    first, second, *_ = load(tmp_path / "out.gilprobe").report.culprits()
    told = {row.thread: (row.function, row.line, row.called) for row in (first, second)}
    assert told == {"export": ("export", 6, "json.dumps"), "search": ("search", 9, "re.findall")}
    told = r"of all waiting was behind (\w+) \(.*app.py:(\d)\)(?: in|:) ([\w.]+)"
    (headline,) = re.findall(told, errors)
    assert headline == (first.function, str(first.line), first.called)


@needs_tracer
def test_own_code_is_what_the_user_says(tmp_path):
    write_files(tmp_path, {"app.py": CULPRITS, "lib/site-packages/helper.py": "from app import *"})
    options = ["--own", "lib/site-packages", "--own=elsewhere"]
    status, _, errors = record(tmp_path, "app.py", options=options)
    assert status == 0
    assert re.search(r"of all waiting was behind [\w.<>]+ \((re|json)/\w+\.py\)", errors), errors[:500]


@needs_tracer
def test_the_file_is_named_after_program_and_process(tmp_path):
    write_files(tmp_path, {"app.py": "import os; os.chdir('/')", "p/q.py": ""})
    for arguments, name in (
        (("app.py",), "app"),
        (("-m", "p.q"), "p.q"),
        (("-c", "pass"), "code"),
        (("-",), "stdin"),
        (("p",), "p"),
    ):
        process = start(record_command(*arguments), tmp_path)
        outcome(process)
        assert read(tmp_path / f"gilprobe-{name}-{process.pid}.gilprobe").elapsed_ns > 0


@needs_tracer
def test_quiet_means_that_only_the_program_is_heard(tmp_path):
    assert record(tmp_path, "-c", "print(1)", options=["--quiet", "--duration", "1ns"]) == (0, "1\n", "")
    assert read(tmp_path / "out.gilprobe").threads


@needs_tracer
def test_a_target_that_cannot_be_written_is_told_before_the_program_runs(tmp_path):
    (tmp_path / "precious.txt").write_text("precious")
    for target, rule in (
        ("missing/x", "be a writable file, got .*missing/x': No such file"),
        (".", f"be a file, got the directory '{re.escape(str(tmp_path))}'"),
        ("precious.txt", "be a new file or a recording"),
        ("/proc/x", "be a writable file"),
    ):
        status, out, errors = record(tmp_path, "-c", "print(1)", target=target)
        assert (status, out) == (2, "")
        assert re.fullmatch(rf"gilprobe: error: -o must {rule}[^\n]*\n", errors), errors
    assert (tmp_path / "precious.txt").read_text() == "precious"


@needs_tracer
@pytest.mark.parametrize(
    ("program", "target"),
    [("empty.py", "empty.py"), ("link.py", "empty.py"), ("folder", "folder/__main__.py"), ("-", "empty.py")],
)
def test_the_program_itself_is_no_recording_not_even_an_empty_one(tmp_path, program, target):
    write_files(tmp_path, {"empty.py": "", "folder/__main__.py": ""})
    (tmp_path / "link.py").symlink_to("empty.py")
    command = ["sh", "-c", 'exec "$@" < empty.py', "sh", *record_command(program, target=target)]
    status, out, errors = outcome(start(command, tmp_path))
    assert (status, out) == (2, "")
    assert re.fullmatch(r"gilprobe: error: -o must not be the program, got '[^\n]*\.py'\n", errors)
    assert (tmp_path / target).read_bytes() == b""


@needs_tracer
def test_an_earlier_recording_is_replaced(tmp_path):
    (tmp_path / "out.gilprobe").write_bytes(b"GILPROBE" + b"earlier")
    assert record(tmp_path, "-c", "print(1)")[0] == 0
    assert read(tmp_path / "out.gilprobe").threads


def test_nothing_is_recorded_of_a_script_that_is_not_there(tmp_path):
    status, out, _ = record(tmp_path, "missing.py")
    assert (status, out) == (2, "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not FREE_THREADED, reason="this build always has a GIL")
def test_without_a_gil_locks_are_recorded(tmp_path):
    code = """
import sys, threading, time
sys.path.append(sys.argv[1])
from tracer_checks import sleeps
lock = threading.Lock()
def want():
    begun.append(True)
    with lock:
        print(1)
begun = []
with lock:
    thread = threading.Thread(target=want)
    thread.start()
    while not (begun and sleeps(thread)):
        time.sleep(0.001)
    time.sleep(0.05)
thread.join()
"""
    support = str(Path(__file__).parents[1] / "support")
    status, out, errors = record(tmp_path, "-o", "x.gilprobe", "-c", code, support, env={"PYTHON_GIL": "0"})
    assert (status, out) == (0, "1\n")
    assert re.match(r"Traced [^\n]+ without a GIL\n", errors)
    assert "Lock `lock`" in errors
    report = load(tmp_path / "x.gilprobe").report
    assert any(lock.type == "_thread.lock" for lock in report.locks)


def test_an_unknown_interpreter_is_refused(monkeypatch, capsys):
    from dataclasses import replace

    from gilprobe.cli import main
    from gilprobe.measuring import host

    able = replace(host.capabilities(), tracer="none", tracer_reason="not on this moon", locks="none")
    monkeypatch.setattr(host, "capabilities", lambda: able)
    assert main(["record", "-c", "print(1)"]) == 3
    assert capsys.readouterr() == ("", "gilprobe: error: the GIL can't be traced: not on this moon\n")


# The report


@needs_tracer
@pytest.mark.parametrize(
    "code",
    [
        "import os; os.closerange(3, 256)",
        "import sys; sys.stdout.close(); sys.stderr = None",
        "import sys; sys.path[:] = ['/nowhere']; import os; os.chdir('/')",
        "import signal; signal.signal(signal.SIGPIPE, signal.SIG_DFL)",
        "import os; os.environ.clear()",
        "import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()",
        "raise KeyboardInterrupt",
    ],
)
def test_whatever_the_program_does_the_report_comes(tmp_path, code):
    _, _, errors = record(tmp_path, "-c", code)
    assert "Traced" in errors
    assert "gilprobe: recorded; to see it again" in errors
    assert read(tmp_path / "out.gilprobe").threads


@needs_tracer
def test_where_the_report_cannot_be_shown_the_recording_is_named(tmp_path):
    """In another root, say, or without the rights to read gilprobe's own files."""
    code = "import os, sys; os.chdir('/'); sys.meta_path.clear(); sys.modules.clear(); print('served')"
    status, out, errors = record(tmp_path, "-c", code, target="a b.gilprobe")
    assert (status, out) == (0, "served\n")
    assert "gilprobe: can't show the report in this process: " in errors
    assert errors.endswith("gilprobe: recorded; to see it: gilprobe report 'a b.gilprobe'\n")
    assert read(tmp_path / "a b.gilprobe").threads


RESTARTED = """
import os, subprocess, sys
if "STARTED" in os.environ:
    print("second", sys.argv)
    sys.exit(3)
print("first", sys.orig_argv, flush=True)
print(subprocess.call([sys.executable, *sys.orig_argv[1:]], env=os.environ | {"STARTED": "1"}))
"""


@needs_tracer
@pytest.mark.parametrize("options", [[], ["--follow"]])
def test_a_program_that_restarts_itself_runs_twice_and_is_recorded_once(tmp_path, options):
    """As reloaders of web servers do, by ``sys.orig_argv``: FILE stays the first process's."""
    write_files(tmp_path, {"app.py": RESTARTED})
    flags = ["-X", "utf8"]
    status, out, errors = record(tmp_path, "app.py", "-x", options=options, flags=flags)
    assert status == 0
    assert out == outcome(start([sys.executable, *flags, "app.py", "-x"], tmp_path))[1]
    assert "second ['app.py', '-x']\n3\n" in out
    assert errors.count("gilprobe: recorded;") == 1
    files = sorted(path.name for path in tmp_path.glob("*.gilprobe"))
    assert len(files) == 1 + len(options)
    assert files[-1] == "out.gilprobe"


@needs_tracer
def test_the_report_goes_nowhere_but_to_the_standard_error_of_the_start(tmp_path):
    code = "import os; os.close(2); print(os.open('precious', os.O_CREAT | os.O_WRONLY))"
    assert record(tmp_path, "-c", code) == (0, "2\n", "")
    assert (tmp_path / "precious").read_text() == ""
    assert read(tmp_path / "out.gilprobe").threads


@needs_tracer
def test_a_reader_of_the_report_that_leaves_changes_no_status(tmp_path):
    code = "import signal, os; signal.signal(signal.SIGPIPE, signal.SIG_DFL); os._exit if 0 else exit(5)"
    with subprocess.Popen(
        record_command("-c", code), cwd=tmp_path, env=environment(), stderr=subprocess.PIPE
    ) as process:
        process.stderr.close()
        assert process.wait(timeout=120) == 5


@needs_tracer
def test_modules_of_the_programs_own_do_not_get_in_the_way(tmp_path):
    """The program's folder comes first on its path; what the report needs must not be found there."""
    names = ("rich", "tempfile", "shlex", "platform", "json", "shutil", "dataclasses")
    files = {f"app/{name}.py": "raise SystemExit('found ' + __name__)" for name in names}
    write_files(tmp_path, files | {"app/app.py": "print('ran')"})
    status, out, errors = record(tmp_path, "app/app.py")
    assert (status, out) == (0, "ran\n")
    assert "Traced" in errors


@needs_tracer
def test_recording_can_end_before_the_program(tmp_path):
    code = """
import sys, threading, time, _thread
while "stopped" not in open("err").read():
    time.sleep(0.01)
end = time.monotonic() + 120
while _thread._count() and time.monotonic() < end:  # the one that stopped it has said so, and is ending
    time.sleep(0.01)
print([thread.name for thread in threading.enumerate()], _thread._count())
time.sleep(0.1)
"""
    with (tmp_path / "err").open("wb") as errors:
        process = subprocess.Popen(
            record_command("-c", code, options=["--duration", "50ms"], target="out.gilprobe"),
            cwd=tmp_path,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=errors,
        )
        assert outcome_of(process) == (0, b"['MainThread'] 0\n")
    told = (tmp_path / "err").read_text()
    assert re.search(r"(?m)^gilprobe: stopped recording after [\d.]+ m?s; the program continues$", told)
    assert "gilprobe: recorded;" in told
    assert len(read(tmp_path / "out.gilprobe").threads) <= 2


def outcome_of(process):
    out, _ = process.communicate(timeout=120)
    return process.returncode, out


@needs_tracer
def test_who_stops_a_recording_is_nobody_in_it(tmp_path):
    """It waits for the GIL as long as the program's other thread; what is recorded lasts until it got it."""
    code = """
import ctypes, sys, threading, time
done = False
def beat():
    while not done: time.sleep(0.005)
beating = threading.Thread(target=beat, name="beat")
beating.start()
ctypes.PyDLL(None).usleep(int(sys.argv[1]))  # keeps the GIL
done = True
beating.join()
"""
    for duration_s in (0.1, 1, 10):  # on a busy machine it takes a while until the program keeps the GIL
        held_s = duration_s + 0.5
        options = ["--duration", f"{duration_s}s"]
        status, _, _ = record(tmp_path, "-c", code, str(int(held_s * 1e6)), options=options)
        assert status == 0
        report = read(tmp_path / "out.gilprobe")
        if report.elapsed_s >= held_s:
            break
    assert report.elapsed_s >= held_s
    assert {thread.name for thread in report.threads} == {"MainThread", "beat"}
    assert {row.waiter for row in report.blame} <= {"MainThread", "beat"}
    assert {stall.waiter for stall in report.longest_waits} <= {"MainThread", "beat"}


@needs_tracer
def test_a_duration_delays_no_exit(tmp_path):
    status, out, errors = record(tmp_path, "-c", "print(1)", options=["--duration", "1000000"])
    assert (status, out) == (0, "1\n")
    assert "stopped recording" not in errors


@needs_tracer
def test_a_second_ctrl_c_costs_no_recording(tmp_path):
    code = """
import atexit, os, signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell in the background has it ignored
atexit.register(signal.raise_signal, signal.SIGINT)
signal.raise_signal(signal.SIGINT)
"""
    status, _, errors = record(tmp_path, "-c", code)
    assert status == -signal.SIGINT
    assert "gilprobe: recorded;" in errors
    assert read(tmp_path / "out.gilprobe").threads


@needs_tracer
def test_a_process_that_is_told_to_end_leaves_a_whole_recording(tmp_path, capsys):
    from gilprobe.cli import main

    code = "import time; print('ready', flush=True); time.sleep(600)"
    process = start(record_command("-c", code, options=(), target="out.gilprobe"), tmp_path)
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGTERM)
    assert outcome(process) == (-signal.SIGTERM, "", "")
    assert [thread.name for thread in read(tmp_path / "out.gilprobe").threads] == ["MainThread"]
    assert main(["report", str(tmp_path / "out.gilprobe")]) == 0
    shown = capsys.readouterr().out
    assert "signal 15 ended the process" in shown
    assert "cut off" not in shown


@needs_tracer
def test_a_stall_is_told_while_it_lasts(tmp_path):
    program = """
        import ctypes, signal, threading, time
        signal.alarm(120)  # else a stall that nobody tells of would not end
        over = False

        def ask():
            while not over:
                time.sleep(0.001)

        def serve():
            ctypes.PyDLL(None).read(0, ctypes.create_string_buffer(1), 1)  # holds the GIL

        thread = threading.Thread(target=ask, name="asks")
        thread.start()
        serve()
        over = True
        thread.join()
    """
    write_files(tmp_path, {"app.py": program})
    command = record_command("app.py", options=["--stall", "300ms"], target="out.gilprobe")
    with start(command, tmp_path, stdin=b"") as process:
        held, called, where = (process.stderr.readline().decode() for _ in range(3))
        process.stdin.close()  # ends the hold
        rest = process.stderr.read().decode()
        assert process.wait(timeout=120) == 0
    assert re.fullmatch(
        r"gilprobe: GIL held for \d+ ms by MainThread \(thread \d+\) while 1 thread waits \(asks\), in:\n",
        held,
    )
    assert called == "  read (ctypes)\n"  # what runs in C
    assert re.fullmatch(r"  serve \(\S+app\.py:11\)\n", where)
    assert "gilprobe: GIL let go by MainThread" in rest
    assert "gilprobe: recorded;" in rest


@needs_tracer
def test_a_child_by_fork_leaves_the_recording_to_its_parent(tmp_path):
    code = "import os; os.fork() and os.wait(); print(os.getpid(), flush=True)"
    status, out, errors = record(tmp_path, "-c", code, flags=["-W", "ignore"])
    assert (status, out.count("\n")) == (0, 2)
    assert errors.count("gilprobe: recorded;") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["out.gilprobe"]


@needs_tracer
def test_help_is_of_record_before_and_of_the_program_behind_its_name(tmp_path):
    assert outcome(start(record_command(options=["--help"]), tmp_path))[1].startswith(
        "usage: gilprobe record ["
    )
    write_files(tmp_path, {"app.py": "import sys; print(sys.argv)"})
    assert record(tmp_path, "app.py", "--help", target="1.gilprobe")[1] == "['app.py', '--help']\n"
    write_files(tmp_path, {"-odd.py": "import sys; print(sys.argv)"})
    assert record(tmp_path, "--", "-odd.py")[1] == "['-odd.py']\n"


@needs_tracer
def test_only_the_last_seconds_are_kept_and_files_are_written_on_a_signal(tmp_path):
    code = """
import os, signal, time
os.kill(os.getpid(), signal.SIGUSR2)
while not os.path.exists("out-1.gilprobe"):
    time.sleep(0.01)
print(os.path.exists("out.gilprobe"))
"""
    options = ("--last", "5s", "--on-signal", "usr2")
    status, out, err = record(tmp_path, "-c", code, options=options)
    assert (status, out) == (0, "True\n")
    assert "Traced " in err
    for name in ("out.gilprobe", "out-1.gilprobe"):
        assert load(tmp_path / name).complete


@needs_tracer
@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--on-alarm", "1s"), "--on-alarm and --on-signal need --last"),
        (("--last", "5s", "--follow"), "--last can't be combined with"),
        (("--last", "1ms"), "--last must be from 1s to 3600s, got '1ms'"),
        (("--last", "5s", "--on-signal", "KILL"), "--on-signal must be the name of a signal"),
        (("--last", "5s", "--on-alarm", "2h"), "--on-alarm must be"),
    ],
)
def test_what_a_flight_recorder_can_t_do_is_said_at_once(tmp_path, options, told):
    status, out, err = record(tmp_path, "-c", "print(1)", options=options)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert told in err
    assert not list(tmp_path.iterdir())
