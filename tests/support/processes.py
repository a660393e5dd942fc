"""Which processes there are, read from /proc; a process that has ended and that nobody waits for is none."""

from __future__ import annotations

import contextlib
import fcntl
import stat
import time
from pathlib import Path


def _living():
    """Yield the number of each living process, and that of its parent."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, parent = path.read_text(errors="replace").rpartition(")")[2].split()[:2]
            if state not in "ZX":
                yield int(path.parent.name), int(parent)


def children_of(pid):
    """Return the living processes that a process has started."""
    return [child for child, parent in _living() if parent == pid]


def alive(pid):
    """Return whether a process lives."""
    return any(one == pid for one, _ in _living())


def tied(pid):
    """Return whether the kernel will kill a process when the one that started it ends (workers/group.py)."""
    for path in Path(f"/proc/{pid}/fdinfo").glob("*"):
        with contextlib.suppress(OSError):
            if int(path.read_text().partition("flags:")[2].split()[0], 8) & fcntl.FASYNC:
                return True
    return False


def running(pattern):
    """Return the living processes whose command line holds `pattern`."""
    found = []
    for pid, _ in _living():
        with contextlib.suppress(OSError):
            if pattern.encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found


def gone(pattern, within=120.0):
    """Return whether no process with such a command line lives any more, which may take some seconds."""
    latest = time.monotonic() + within
    while running(pattern) and time.monotonic() < latest:
        time.sleep(0.02)
    return not running(pattern)


def shell_program(folder, name, script):
    """Write a program, and return its path."""
    path = folder / name
    path.write_text("#!/bin/sh\n" + script)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)
