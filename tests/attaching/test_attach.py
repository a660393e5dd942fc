"""``gilprobe attach``: its recording, how it ends, and what it says of processes that it can't attach to."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from side_by_side import FREE_THREADED

from gilprobe.attaching import inject
from gilprobe.cli import main
from gilprobe.tracing.loading import load, load_family

LIMIT_S = 120  # there only so that a hang ends

TURNS = """
import threading
def turn():
    for _ in range(100):
        sum(range(1000))
for line in sys.stdin:
    if line == '\\n':
        break
    thread = threading.Thread(target=turn, name='turner')
    thread.start()
    thread.join()
    print('turned', flush=True)
print('done', flush=True)
"""


def attach(process, target, *options):
    """Start ``gilprobe attach`` and return it when it records."""
    command = [sys.executable, "-P", "-m", "gilprobe", "attach", *options, str(process.pid)]
    command += ["-o", str(target)]
    tool = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    first = tool.stderr.readline()
    assert first.startswith(f"gilprobe: recording process {process.pid} "), first + tool.stderr.read()
    return tool


def turners(recording):
    return [thread.name for thread in recording.report.threads].count("turner")


def traces(process):
    """Return how many traces run in a process."""
    with inject(process.pid, "gilprobe._native.tracer", "sessions", {}, LIMIT_S) as injected:
        return injected.result(LIMIT_S)


def test_a_recording_ends_with_a_signal_and_can_be_repeated(start, tmp_path):
    process = start("print('ready', flush=True)\n" + TURNS)
    for number, ends in enumerate((signal.SIGINT, signal.SIGTERM)):
        tool = attach(process, tmp_path / "out.gilprobe")
        for _ in range(number + 1):
            process.tell("turn")
            process.read("turned")
        tool.send_signal(ends)
        out, err = tool.communicate(timeout=LIMIT_S)
        assert (tool.returncode, out) == (0, "")
        assert "gilprobe: recorded; to see it again: gilprobe report " in err
        recording = load(tmp_path / "out.gilprobe")
        assert (recording.pid, recording.complete) == (process.pid, True)
        assert FREE_THREADED or turners(recording) == number + 1
        assert traces(process) == 0
    assert process.end() == (0, "done\n", "")


def test_a_recording_ends_when_the_tool_is_killed(start, tmp_path):
    process = start("print('ready', flush=True)\n" + TURNS)
    tool = attach(process, tmp_path / "out.gilprobe")
    tool.kill()
    tool.communicate()
    until = time.monotonic() + LIMIT_S
    while traces(process) and time.monotonic() < until:
        time.sleep(0.05)
    assert traces(process) == 0
    assert load(tmp_path / "out.gilprobe").complete
    assert process.end() == (0, "done\n", "")


def test_the_end_of_the_process_ends_the_recording(start, tmp_path):
    process = start("print('ready', flush=True)\n" + TURNS)
    tool = attach(process, tmp_path / "out.gilprobe")
    process.tell("turn")
    process.read("turned")
    assert process.end() == (0, "done\n", "")
    _, err = tool.communicate(timeout=LIMIT_S)
    assert tool.returncode == 0, err
    recording = load(tmp_path / "out.gilprobe")
    assert recording.complete
    assert FREE_THREADED or turners(recording) == 1


def test_the_duration_ends_it(start, tmp_path, monkeypatch, capsys):
    process = start("print('ready', flush=True)\n" + TURNS)
    monkeypatch.chdir(tmp_path)
    assert main(["attach", str(process.pid), "--duration", "1ms", "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")
    assert load(tmp_path / f"gilprobe-attach-{process.pid}.gilprobe").complete
    assert os.stat(tmp_path / f"gilprobe-attach-{process.pid}.gilprobe").st_mode & 0o777 == 0o600  # noqa: PTH116
    assert process.end() == (0, "done\n", "")


FAMILY = """
import os, warnings
warnings.simplefilter('ignore')  # from 3.12 on a fork among threads gives one
end, kept = os.pipe()  # they end with their parent
for line in sys.stdin:
    if line == '\\n':
        break
    if not (child := os.fork()):
        if line == 'twice\\n' and os.fork():
            os._exit(0)
        os.close(kept)
        print(os.getpid(), flush=True)
        os.read(end, 1)
        os._exit(0)
    if line == 'twice\\n':
        os.waitpid(child, 0)
"""


@pytest.mark.skipif(FREE_THREADED, reason="needs a GIL")
@pytest.mark.forks_among_threads
def test_forked_children_are_recorded_until_the_tool_leaves(start, tmp_path):
    process = start("print('ready', flush=True)\n" + FAMILY)
    tool = attach(process, tmp_path / "out.gilprobe", "--follow")
    children = []
    for order in ("once", "twice"):
        process.tell(order)
        children.append(process.number())
        told = ""
        while f" {children[-1]}, a child" not in told:  # after those between
            told = tool.stderr.readline()
            assert told
    tool.send_signal(signal.SIGINT)
    _, err = tool.communicate(timeout=LIMIT_S)
    assert tool.returncode == 0, err
    assert "more processes" in err
    found, _ = load_family(tmp_path / "out.gilprobe")
    assert {each.pid for each in found if each.complete} >= {process.pid, *children}
    files = sorted(tmp_path.iterdir())
    process.tell("once")
    for child in (*children, process.number()):
        with inject(child, "gilprobe._native.tracer", "sessions", {}, LIMIT_S) as injected:
            assert injected.result(LIMIT_S) == 0
    assert sorted(tmp_path.iterdir()) == files
    assert process.end() == (0, "", "")


SPAWNS = """
import os, subprocess
child = [sys.executable, '-I', '-S', '-u', '-c', CODE]
for line in sys.stdin:
    if line == '\\n':
        break
    print(subprocess.Popen(child, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL).pid, flush=True)
"""


@pytest.mark.skipif(FREE_THREADED, reason="needs a GIL")
def test_programs_that_it_starts_are_recorded_until_the_tool_leaves(start, tmp_path):
    code = f"CODE = {'import sys' + chr(10) + TURNS!r}\nprint('ready', flush=True)\n{SPAWNS}"
    process = start(code)
    process.tell("before")
    earlier = process.number()
    tool = attach(process, tmp_path / "out.gilprobe", "--follow")
    process.tell("now")
    child = process.number()
    assert tool.stderr.readline() == f"gilprobe: recording process {child}, a child\n"
    tool.send_signal(signal.SIGINT)
    _, err = tool.communicate(timeout=LIMIT_S)
    assert (tool.returncode, f"process {earlier}" in err) == (0, False)
    found, _ = load_family(tmp_path / "out.gilprobe")
    assert {each.pid for each in found if each.complete} == {process.pid, child}
    with inject(child, "gilprobe._native.tracer", "sessions", {}, LIMIT_S) as injected:
        assert injected.result(LIMIT_S) == 0
    assert process.end() == (0, "", "")


def refusal(capsys, *arguments):
    """Return the status, and the one line that says why."""
    status = main(["attach", *map(str, arguments)])
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    return status, err


@pytest.mark.parametrize("pid", ["0", "-1", "x", "1.5", "", str(os.getpid())])
def test_what_is_no_process_is_unusable(capsys, pid):
    assert refusal(capsys, "--", pid)[0] == 2


def test_a_process_that_is_not_there_is_unusable(start, capsys):
    status, told = refusal(capsys, 999_999_999)
    assert (status, "must be a running process" in told) == (2, True)


@pytest.mark.skipif(shutil.which("cat") is None, reason="a process that is no Python")
def test_a_process_without_python_is_unusable(start, capsys):
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as child:
        until = time.monotonic() + LIMIT_S
        while os.readlink(f"/proc/{child.pid}/exe") == os.readlink("/proc/self/exe"):  # noqa: PTH115
            assert time.monotonic() < until
        status, told = refusal(capsys, child.pid)
        child.stdin.close()
    assert (status, "must be a running CPython" in told) == (2, True)


def test_a_stopped_process_is_left_alone(start, capsys):
    process = start()
    os.kill(process.pid, signal.SIGSTOP)
    os.waitpid(process.pid, os.WUNTRACED)
    status, told = refusal(capsys, process.pid)
    assert (status, f"kill -CONT {process.pid}" in told) == (2, True)
    os.kill(process.pid, signal.SIGCONT)
    assert process.end()[0] == 0


def test_files_of_other_kinds_are_not_replaced(start, capsys, tmp_path):
    process = start()
    (tmp_path / "text").write_text("mine")
    assert refusal(capsys, process.pid, "-o", tmp_path / "text")[0] == 2
    assert refusal(capsys, process.pid, "-o", tmp_path / "missing" / "out")[0] == 2
    assert (tmp_path / "text").read_text() == "mine"


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can become another user")
def test_another_users_process_is_refused_with_the_reason(start):
    process = start()
    code = f"""
import os
from gilprobe.attaching.target import look_at
os.setuid(65534)
try:
    look_at({process.pid})
except ValueError as error:
    print(error)
"""
    command = [sys.executable, "-P", "-c", code]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S)
    assert ended.stdout.startswith(f"process {process.pid} can't be attached to (Permission denied): ")
    assert ended.stderr == ""
    assert process.end() == (0, "", "")
