"""``gilprobe top``: a program is shown while it runs; its status and the terminal are as without."""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import pty
import re
import select
import signal
import stat
import struct
import subprocess
import sys
import termios
import time

import pytest
from processes import gone
from side_by_side import environment, outcome, start

from gilprobe.cli.record import split
from gilprobe.measuring.host import capabilities
from gilprobe.report import Report
from gilprobe.tracing.loading import load

able = capabilities()
needs_traces = pytest.mark.skipif(
    able.tracer != "exact" and (able.gil_enabled or able.locks != "exact"), reason="nothing to trace here"
)

# It waits at a gate: for a file, in a thread of its own.
WAITING = """
import os, sys, threading, time
def wait():
    while not os.path.exists(sys.argv[1]):
        time.sleep(0.01)
thread = threading.Thread(target=wait, name="worker-1")
thread.start()
thread.join()
print("done", flush=True)
sys.exit(7)
"""


def top(*arguments):
    return [sys.executable, "-m", "gilprobe", "top", *arguments]


def test_what_follows_the_program_is_the_programs():
    assert split(["top", "--interval", "1s", "--own", "x", "a.py", "--json"]) == (
        ["top", "--interval", "1s", "--own", "x"],
        ["--", "a.py", "--json"],
    )
    assert split(["top", "--json", "-m", "http.server"]) == (["top", "--json"], ["-m", "http.server"])
    assert split(["top", "4711", "--json"]) == (["top", "4711", "--json"], [])
    assert split(["top", "--", "4711"]) == (["top"], ["--", "4711"])


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        ((), "a SCRIPT, -m MODULE or -c CODE is required; see gilprobe top --help"),
        (("-c", "pass"), "must be a terminal; without one use --json"),
        (("--json", "--interval", "1ms", "-c", "pass"), "--interval must be from 0.1s to 3600s"),
        (("--json", "--interval", "x", "-c", "pass"), "--interval must be a time above 0"),
        (("--json", "--own", "", "-c", "pass"), "--own must be a folder"),
        (("--json", "--last", "1ms", "-c", "pass"), "--last must be from 1s to 3600s"),
    ],
)
def test_bad_arguments_are_one_line(tmp_path, arguments, rule):
    status, out, err = outcome(start(top(*arguments), tmp_path))
    assert (status, out, len(err.splitlines())) == (2, "", 1)
    assert rule in err


def started(arguments, folder):
    """Start `gilprobe top`; nothing that is read beyond a line is kept from :func:`outcome`."""
    return start(top(*arguments), folder, bufsize=0)


def readings(out):
    return [json.loads(line) for line in out.splitlines()]


@needs_traces
def test_json_has_a_line_each_time_and_one_of_the_end_and_the_status_is_the_programs(tmp_path):
    process = started(("--json", "--interval", "100ms", "-c", WAITING, "gate"), tmp_path)
    first = [json.loads(process.stdout.readline())]
    while "worker-1" not in [thread["name"] for thread in first[-1]["threads"]]:  # it may begin late
        first.append(json.loads(process.stdout.readline()))
    (tmp_path / "gate").touch()
    status, out, err = outcome(process)
    assert status == 7
    assert err == "done\n"  # standard output is for the lines
    assert (first[0]["kind"], first[0]["schema"]) == ("gilprobe.reading", 1)
    all_of_them = [*first, *readings(out)]
    assert [one["final"] for one in all_of_them] == [False] * (len(all_of_them) - 1) + [True]
    for before, one in itertools.pairwise(all_of_them):
        assert 0 <= one["interval_ns"] <= one["elapsed_ns"]
        assert before["elapsed_ns"] <= one["elapsed_ns"]


@needs_traces
@pytest.mark.parametrize(
    ("code", "expected", "finals"),
    [
        ("pass", 0, 1),
        ("raise SystemExit(3)", 3, 1),
        ("1 / 0", 1, 1),
        ("import os; os.kill(os.getpid(), 9)", 128 + 9, 0),
        ("import os, atexit; atexit.register(os._exit, 5)", 5, 0),
    ],
)
def test_the_programs_end_is_told(tmp_path, code, expected, finals):
    status, out, _ = outcome(start(top("--json", "-c", code), tmp_path))
    assert status == expected
    assert [one["final"] for one in readings(out)].count(True) == finals


@needs_traces
def test_a_signal_writes_the_last_seconds_and_a_program_that_is_killed_leaves_a_report(tmp_path):
    code = WAITING.replace("sys.exit(7)", "os.kill(os.getpid(), 9)")
    process = started(("--json", "--interval", "100ms", "--last", "30s", "-c", code, "gate"), tmp_path)
    process.stdout.readline()  # from now on it handles the signal
    process.send_signal(signal.SIGUSR1)
    assert b"written: gilprobe report gilprobe-top-" in process.stderr.readline()
    (tmp_path / "gate").touch()
    status, _, err = outcome(process)
    assert (status, err.count("written")) == (128 + 9, 1)
    recording, report = sorted(tmp_path.glob("gilprobe-top-*-1.*"))
    assert load(recording).report.threads
    assert Report.load(report).threads


@needs_traces
def test_a_program_has_its_own_arguments_and_nothing_that_makes_reports(tmp_path):
    code = "import sys; print(sys.argv, sorted(sys.modules.keys() & set(sys.argv[1:])))"
    heavy = ("rich", "json", "gilprobe.report", "gilprobe.live.client")
    status, _, err = outcome(start(top("--json", "-c", code, *heavy), tmp_path))
    assert (status, err) == (0, f"{['-c', *heavy]} []\n")


@needs_traces
def test_a_program_that_closes_all_files_runs_on_and_keeps_its_own(tmp_path):
    code = """
import os, socket, time
os.closerange(3, 256)
ours, its = socket.socketpair()  # these may have the numbers of our connection
time.sleep(0.5)
its.sendall(b"mine")
assert ours.recv(4) == b"mine"
ours.setblocking(False)
try:
    its.setblocking(False)
    raise SystemExit(f"not ours: {its.recv(99)!r}")
except BlockingIOError:
    raise SystemExit(6)
"""
    status, _, err = outcome(start(top("--json", "--interval", "100ms", "-c", code), tmp_path))
    assert (status, err) == (6, "")


@needs_traces
def test_a_script_that_is_missing_is_told_as_python_does(tmp_path):
    status, out, err = outcome(start(top("--json", "missing.py"), tmp_path))
    assert (status, out) == (2, "")
    assert "can't open file" in err


@needs_traces
def test_a_program_is_ended_when_the_reader_of_the_lines_leaves(tmp_path):
    mark = f"left-{os.getpid()}"
    process = started(("--json", "--interval", "100ms", "-c", WAITING, mark), tmp_path)
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(120) == 0
    process.stderr.close()
    assert gone(mark)


class TerminalOf:
    """A command in a terminal of 80 columns and 24 lines."""

    def __init__(self, command, folder):
        self.ours, self.its = pty.openpty()
        fcntl.ioctl(self.its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.before = termios.tcgetattr(self.its)
        self.shown = ""
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment(TERM="xterm"),
            stdin=self.its,
            stdout=self.its,
            stderr=self.its,
            start_new_session=True,
        )

    def until(self, pattern):
        """Wait until something is shown that was not before."""
        latest = time.monotonic() + 120
        while not (found := re.search(pattern, self.shown)):
            assert time.monotonic() < latest, self.shown[-2000:]
            if select.select([self.ours], [], [], 0.1)[0]:
                self.shown += os.read(self.ours, 1 << 16).decode("utf-8", "replace")
        self.shown = self.shown[found.end() :]

    def press(self, keys):
        os.write(self.ours, keys)

    def status(self):
        """Return the command's status, with the terminal as it left it."""
        latest = time.monotonic() + 120
        while self.process.poll() is None:
            assert time.monotonic() < latest, self.shown[-2000:]
            if select.select([self.ours], [], [], 0.05)[0]:
                self.shown += os.read(self.ours, 1 << 16).decode("utf-8", "replace")
        while select.select([self.ours], [], [], 0)[0]:
            self.shown += os.read(self.ours, 1 << 16).decode("utf-8", "replace")
        return self.process.returncode

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.ours)
        os.close(self.its)


@pytest.fixture
def terminal(tmp_path):
    """Return a function that runs a command in a terminal."""
    made = []

    def run(*arguments):
        made.append(TerminalOf(top(*arguments), tmp_path))
        return made[-1]

    yield run
    for one in made:
        one.close()


ENTERS, LEAVES = r"\x1b\[\?1049h", r"\x1b\[\?1049l"  # xterm: the alternate screen


@needs_traces
def test_a_terminal_shows_threads_obeys_keys_and_is_restored_when_the_user_quits(terminal, tmp_path):
    mark = f"quit-{os.getpid()}"
    shown = terminal("--interval", "100ms", "-c", WAITING, mark)
    shown.until(ENTERS)
    shown.until("worker-1")
    shown.press(b"d")
    shown.until("start with --last")
    shown.press(b"n")
    shown.until("by name")
    shown.press(b" ")
    shown.until("FROZEN")
    shown.press(b"r")
    shown.until("written: gilprobe report ")
    shown.press(b"q")
    assert shown.status() == 0
    assert re.search(LEAVES, shown.shown)
    assert termios.tcgetattr(shown.its) == shown.before
    assert gone(mark)
    (written,) = tmp_path.glob("gilprobe-top-*.json")
    report = subprocess.run(
        [sys.executable, "-m", "gilprobe", "report", written.name],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (report.returncode, report.stderr) == (0, "")
    assert "worker-1" in report.stdout


@needs_traces
def test_a_program_that_ends_leaves_the_last_screen_and_its_status(terminal, tmp_path):
    shown = terminal("--interval", "100ms", "--last", "30s", "-c", WAITING, "gate")
    shown.until("worker-1")
    shown.until("d last 30 s")
    shown.press(b"d")
    shown.until("written: gilprobe report gilprobe-top-[0-9]+-1.gilprobe")
    (tmp_path / "gate").touch()
    assert shown.status() == 7
    last = re.split(LEAVES, shown.shown)[-1]
    assert "ended with status 7" in last
    assert re.search("written: gilprobe report gilprobe-top-[0-9]+-2.gilprobe", last)
    for written in tmp_path.glob("gilprobe-top-*"):
        assert "worker-1" in [thread.name for thread in load(written).report.threads]
        assert stat.S_IMODE(written.stat().st_mode) == 0o600
    assert "MainThread" in last
    assert "done" in last  # what the program printed
    assert termios.tcgetattr(shown.its) == shown.before


@needs_traces
@pytest.mark.parametrize(("number", "expected"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_restores_the_terminal_and_ends_the_program(terminal, number, expected):
    mark = f"signal-{number}-{os.getpid()}"
    shown = terminal("--interval", "100ms", "-c", WAITING, mark)
    shown.until("worker-1")
    os.kill(shown.process.pid, number)
    assert shown.status() == expected
    assert re.search(LEAVES, shown.shown)
    assert termios.tcgetattr(shown.its) == shown.before
    assert gone(mark)


def goes_to(process, tmp_path):
    """Return `gilprobe top` of a process, or skip where it can't be attached to."""
    seen = started(("--json", "--interval", "100ms", str(process.pid)), tmp_path)
    first = seen.stdout.readline()
    if not first:
        _, _, err = outcome(seen)
        if "attaching" in err or "can't be attached to" in err:
            pytest.skip(err)
        pytest.fail(err)
    return seen, json.loads(first)


@pytest.fixture
def running(tmp_path):
    """Return a process that waits for a file `gate`, and has started its thread."""
    code = WAITING.replace("thread.join()", "print('up', flush=True)\nthread.join()")
    process = start([sys.executable, "-c", code, "gate"], tmp_path, bufsize=0)
    assert process.stdout.readline() == b"up\n"
    yield process
    process.kill()
    process.communicate()


@needs_traces
def test_a_process_that_runs_is_shown_and_goes_on_when_the_viewer_leaves(running, tmp_path):
    seen, first = goes_to(running, tmp_path)
    assert (first["kind"], first["final"]) == ("gilprobe.reading", False)
    assert {"MainThread", "worker-1"} <= {thread["name"] for thread in first["threads"]}
    seen.stdout.close()
    assert seen.wait(120) == 0
    assert seen.stderr.read() == b""
    seen.stderr.close()
    (tmp_path / "gate").touch()
    assert outcome(running) == (7, "done\n", "")


@needs_traces
def test_a_process_that_ends_while_it_is_shown_is_told_to_its_end(running, tmp_path):
    seen, _ = goes_to(running, tmp_path)
    (tmp_path / "gate").touch()
    assert outcome(running) == (7, "done\n", "")
    status, out, err = outcome(seen)
    assert (status, err) == (0, "")
    assert readings(out)[-1]["final"] is True


@pytest.mark.parametrize("pid", ["0", "999999999999", "4194305"])
def test_what_is_no_process_is_one_line(tmp_path, pid):
    status, out, err = outcome(start(top("--json", pid), tmp_path))
    assert (status in (2, 3), out, len(err.splitlines())) == (True, "", 1)
