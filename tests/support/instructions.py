"""Counts the instructions that a thread executes, one by one (ptrace): the same number every time.

The counted program sends itself SIGUSR1 where a stretch begins and where it ends. Its other threads stand
still meanwhile, so that they take no part of its work: each in a call of the system, without a lock that
the counted thread would wait for.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

CONTINUE, SINGLE_STEP, ATTACH, DETACH = 7, 9, 16, 17
ALL_KINDS = 0x40000000  # __WALL: wait for threads that are not leaders of a process, too

# Keeps the GIL, unlike signal.raise_signal.
MARK = """
import _thread, functools, signal
mark = functools.partial(signal.pthread_kill, _thread.get_ident(), signal.SIGUSR1)
"""

_libc = ctypes.CDLL(None, use_errno=True)


def _ptrace(request, task):
    if _libc.ptrace(request, task, None, None) == -1:
        error = ctypes.get_errno()
        raise OSError(error, f"ptrace: {os.strerror(error)}")


def _stopped_by(task):
    """Wait until the task stops; return by which signal."""
    _, status = os.waitpid(task, ALL_KINDS)
    if not os.WIFSTOPPED(status):
        raise ChildProcessError(f"the counted program has ended: status {os.waitstatus_to_exitcode(status)}")
    return os.WSTOPSIG(status)


def _attach(task):
    _ptrace(ATTACH, task)
    while _stopped_by(task) != signal.SIGSTOP:
        _ptrace(CONTINUE, task)


def _run_to_mark(task):
    _ptrace(CONTINUE, task)
    while _stopped_by(task) != signal.SIGUSR1:
        _ptrace(CONTINUE, task)


def _steps_to_mark(task):
    steps = 0
    while True:
        _ptrace(SINGLE_STEP, task)
        steps += 1
        if _stopped_by(task) == signal.SIGUSR1:
            return steps


def _stop_other_threads(pid):
    """Return their numbers."""
    others = {int(entry.name) for entry in Path(f"/proc/{pid}/task").iterdir()} - {pid}
    for task in others:
        _attach(task)
        while Path(f"/proc/{pid}/task/{task}/syscall").read_text().startswith("-1"):  # it runs
            _ptrace(DETACH, task)
            time.sleep(0.001)
            _attach(task)
    return others


def _end(program, others):
    """Kill the program, whose end is told only after that of each thread that is traced."""
    program.kill()
    for task in others:
        while os.WIFSTOPPED(os.waitpid(task, ALL_KINDS)[1]):
            pass


def count(script, stretches, *, apart=False, gil=True):
    """Run a script that calls mark() where each stretch begins and the last ends; return a number for each.

    `apart`: it calls mark() at both ends of each, and what is between two is not counted. Without `gil` a
    free-threaded build keeps its GIL off. Raises PermissionError where a process may not look at its
    children.
    """
    switch = ["-X", f"gil={gil:d}"] if sysconfig.get_config_var("Py_GIL_DISABLED") else []
    command = [sys.executable, "-I", *switch, "-c", f"{MARK}input()\n{script}"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, env={**os.environ, "PYTHONHASHSEED": "0"}
    ) as program:
        others = set()
        try:
            _attach(program.pid)
            program.stdin.write(b"\n")
            program.stdin.flush()
            _run_to_mark(program.pid)
            others = _stop_other_threads(program.pid)
            counted = [_steps_to_mark(program.pid)]
            while len(counted) < stretches:
                if apart:
                    _run_to_mark(program.pid)
                counted.append(_steps_to_mark(program.pid))
            return counted
        finally:
            _end(program, others)
