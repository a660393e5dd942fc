"""A process that waits to be attached to: reached in each state without ptrace, undisturbed until then."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import sysconfig
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

import gilprobe
from gilprobe.attaching import inject, injecting, shared_folder
from gilprobe.attaching.shared_folder import AGENT
from gilprobe.attaching.waking import armed
from gilprobe.cli import main
from gilprobe.errors import InvalidTypeError, InvalidValueError, UnsupportedError
from gilprobe.tracing.loading import load

pytestmark = pytest.mark.skipif(not AGENT.exists(), reason="needs Linux on x86-64")
LIMIT_S = 120  # there only so that a hang ends
ARM = "import gilprobe, os, sys; number = gilprobe.arm(); "
READY = "print('ready', flush=True); "

STATES = {
    "epoll": f"import asyncio\nasync def main():\n    {READY}\n    await asyncio.Event().wait()\n"
    "asyncio.run(main())",
    "sleep": f"import time; {READY} time.sleep(1000)",
    "busy": f"{READY}\nwhile True: pass",
    "accept": f"import socket; s = socket.create_server(('127.0.0.1', 0)); {READY} s.accept()",
    "lock": f"import threading; {READY} threading.Event().wait()",
    "read": f"{READY} sys.stdin.readline()",
    "join": "import threading\ndef spin():\n    while True: pass\n"
    f"t = threading.Thread(target=spin, daemon=True); t.start(); {READY} t.join()",
}


@pytest.fixture
def start(monkeypatch):
    """Return a function that starts a process with some code. Nobody may trace it."""

    def traced(*_arguments, **_named):
        raise AssertionError("a process that waits for a signal is not traced")

    monkeypatch.setattr(shared_folder, "look_at", traced)
    monkeypatch.setattr(injecting.native, "inject", traced)
    with ExitStack() as stack:

        def begin(code, env=None):
            pipe = subprocess.PIPE
            command = [sys.executable, "-P", "-c", code]
            child = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=env)
            stack.callback(child.communicate)
            stack.callback(child.kill)
            assert child.stdout.readline() == "ready\n", child.stderr.read()
            return child

        yield begin


def end(child):
    """Let the process go on; return its status and what it wrote."""
    out, err = child.communicate("\n", timeout=LIMIT_S)
    return child.returncode, out, err


def own_pid(pid):
    with inject(pid, "os", "getpid", {}, LIMIT_S) as injected:
        assert injected.signal == armed(pid).signal
        assert injected.result(LIMIT_S) == pid


@pytest.mark.parametrize("state", STATES)
def test_it_is_reached_in_each_state_again_and_again(start, state):
    child = start(f"{ARM}\n{STATES[state]}")
    for _ in range(3):
        own_pid(child.pid)
    assert child.poll() is None


def test_until_then_nothing_is_there(start):
    code = "threads = len(os.listdir('/proc/self/task')); "
    code += "print(threads, 'gilprobe._native.tracer' in sys.modules, 'signal' in sys.modules, flush=True); "
    child = start(f"{ARM} {READY} {code} sys.stdin.readline()")
    assert child.stdout.readline() == "1 False False\n"
    assert end(child) == (0, "", "")


def test_the_interrupted_thread_goes_on_as_before(start):
    code = f"{ARM} import time; began = time.monotonic(); {READY} time.sleep(1); "
    child = start(f"{code} print(time.monotonic() - began >= 1, sys.stdin.readline(), flush=True)")
    own_pid(child.pid)
    assert end(child) == (0, "True \n\n", "")


def test_a_forked_child_is_armed_too(start):
    code = f"{ARM}\nif pid := os.fork():\n    print(pid, flush=True); os.waitpid(pid, 0)\n"
    child = start(f"import sys; {READY} {code}else:\n    sys.stdin.readline()")
    forked = int(child.stdout.readline())
    for pid in (child.pid, forked):
        own_pid(pid)
    assert end(child) == (0, "", "")


def test_another_program_in_the_same_process_is_not(start):
    child = start(
        f"{ARM} os.execv(sys.executable, [sys.executable, '-c', 'print(\"ready\", flush=True); input()'])"
    )
    assert armed(child.pid) is None
    assert end(child) == (0, "", "")


def test_attach_says_which_way_was_used(start, tmp_path, capfd):
    child = start(f"{ARM} {READY} sys.stdin.readline()")
    target = tmp_path / "out.gilprobe"
    assert main(["attach", str(child.pid), "-o", str(target), "--duration", "10ms"]) == 0
    assert f"by signal {armed(child.pid).signal}; Ctrl-C ends it" in capfd.readouterr().err
    assert load(target).complete
    assert end(child) == (0, "", "")


def test_the_signal_by_hand_begins_a_recording_and_ends_it(start, tmp_path):
    child = start(f"{ARM} gilprobe.arm(folder={str(tmp_path)!r}); {READY} sys.stdin.readline()")
    path, number = tmp_path / f"gilprobe-dormant-{child.pid}-1.gilprobe", armed(child.pid).signal
    until = time.monotonic() + LIMIT_S

    def sessions():
        with inject(child.pid, "gilprobe._native.tracer", "sessions", {}, LIMIT_S) as injected:
            locks = inject(child.pid, "gilprobe._native.tracer", "lock_sessions", {}, LIMIT_S)
            with locks:
                return injected.result(LIMIT_S) + locks.result(LIMIT_S)

    for running in (True, False):
        os.kill(child.pid, number)
        while bool(sessions()) is not running:
            assert time.monotonic() < until
            time.sleep(0.01)
    while not (path.exists() and load(path).complete):
        assert time.monotonic() < until
        time.sleep(0.01)
    assert path.stat().st_mode & 0o777 == 0o600
    assert end(child) == (0, "", "")


def test_the_programs_own_handlers_stay(start):
    code = f"{ARM} import signal; signal.signal(signal.SIGUSR1, lambda *_: print('mine', flush=True)); "
    child = start(f"{code} {READY} sys.stdin.readline()")
    own_pid(child.pid)
    os.kill(child.pid, signal.SIGUSR1)
    assert child.stdout.readline() == "mine\n"
    assert end(child) == (0, "", "")


def test_a_signal_with_a_handler_of_the_programs_is_not_taken(start):
    code = "import gilprobe, signal, sys; signal.signal(signal.SIGUSR1, lambda *_: None)\n"
    code += f"try:\n    gilprobe.arm(signal.SIGUSR1)\nexcept ValueError as error:\n    {READY} print(error)\n"
    child = start(code)
    assert child.stdout.readline() == f"signal must be one without a handler, got {signal.SIGUSR1:d}\n"
    assert end(child) == (0, "", "")


def test_arguments_are_checked():
    with pytest.raises(InvalidTypeError, match="signal must be an integer or None, got 'USR1'"):
        gilprobe.arm("USR1")
    with pytest.raises(InvalidTypeError, match="folder must be a path or None, got 3"):
        gilprobe.arm(folder=3)
    with pytest.raises((InvalidValueError, UnsupportedError)):
        gilprobe.arm(0)
    with pytest.raises((InvalidValueError, UnsupportedError)):
        gilprobe.arm(signal.SIGKILL)


@pytest.mark.skipif(
    not Path(sysconfig.get_path("platlib"), "gilprobe-dormant.pth").exists(),
    reason="gilprobe is not installed as its wheel is",
)
def test_the_environment_arms_any_program_at_its_start(start):
    child = start(f"import sys; {READY} sys.stdin.readline()", env={**os.environ, "GILPROBE": "dormant"})
    own_pid(child.pid)
    assert end(child) == (0, "", "")
    other = start(f"import sys; {READY} print('gilprobe' in sys.modules, flush=True)")
    assert other.stdout.readline() == "False\n"
