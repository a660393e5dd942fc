"""Kernel probes on the interpreter's own take_gil and drop_gil: exact, independent of gilprobe, and slow.

`perf probe` finds the two functions in the interpreter's library by their symbols. `perf record` writes one
event for each entry or return; their order shows what each thread held and waited. A thread that gives up the
GIL because another one asked waits inside drop_gil until that one has it: a wait, too.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .base import HELD, THREADS, WAIT, WORST, Place, Reading, Tool, UnreadableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

GROUP = f"gilpeers_{os.getpid()}"
PROBES = ("want=take_gil", "have=take_gil%return", "drop=drop_gil", "gone=drop_gil%return")
EVENTS = ("want", "have__return", "drop", "gone__return")
AT_ONCE_NS = 100_000
"""Usually shorter than the time until a thread that released the GIL by itself comes back."""

EVENT = re.compile(r"\s*(?P<tid>\d+)\s+(?P<s>\d+)\.(?P<ns>\d{9}):\s+\w+:(?P<kind>want|have|drop|gone)\w*:")


class Uprobes(Tool):
    """Independent exact truth."""

    name = "uprobes"
    silence = "an exact truth that is independent of gilprobe"
    settings = "perf probe on the entries and returns of take_gil and drop_gil, perf record; as root"
    measures = frozenset({HELD, WAIT, WORST, THREADS})
    in_process = False
    each_event = True

    def missing(self) -> str:
        """Return what this machine lacks."""
        if shutil.which("perf") is None:
            return "perf is not installed"
        if os.geteuid() != 0:
            return "needs root"
        config = Path("/sys/kernel/tracing/uprobe_events")
        if (
            not config.exists()
            and not Path("/sys/kernel/debug/tracing/uprobe_events").exists()
            and not _mounted()
        ):
            return "the kernel has no uprobes (no uprobe_events in tracefs)"
        return ""

    def version(self, installed: str) -> str:
        """Return perf's."""
        del installed
        done = subprocess.run(
            ["/usr/bin/env", "perf", "--version"], capture_output=True, text=True, timeout=10, check=False
        )
        return done.stdout.strip()

    def prepare(self, place: Place) -> None:
        """Place the probes; raise an error if the symbols are missing."""
        library = interpreter_file(place.python)
        for probe in PROBES:
            command = ["perf", "probe", "-q", "-x", library, f"{GROUP}:{probe}"]
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
            if done.returncode:
                raise UnreadableError(f"perf probe {probe}: {(done.stderr.strip().splitlines() or ['?'])[0]}")

    def clean(self) -> None:
        """Remove the probes."""
        command = ["perf", "probe", "-q", "-d", f"{GROUP}:*"]
        subprocess.run(command, capture_output=True, timeout=60, check=False)

    def prefix(self, place: Place) -> list[str]:
        """Record the program and its threads."""
        events = ",".join(f"{GROUP}:{name}" for name in EVENTS)
        return [
            "perf",
            "record",
            "-q",
            "-k",
            "CLOCK_MONOTONIC",
            "-m",
            "4096",
            "-e",
            events,
            "-o",
            place.output,
            "--",
        ]

    def read(self, place: Place, truth: dict[str, Any]) -> Reading:
        """Read what perf recorded in the time whose truth is known."""
        command = ["perf", "script", "-F", "tid,time,event", "--ns", "-i", str(place.folder / place.output)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode:
            raise UnreadableError(f"perf script: {done.stderr.strip()[:80]}")
        lost = [line for line in done.stderr.splitlines() if "lost" in line.lower()]
        reading = read_script(done.stdout.splitlines(), truth)
        reading.note = "; ".join(lost[:1])
        return reading


def _mounted() -> bool:
    mount = ["mount", "-t", "tracefs", "tracefs", "/sys/kernel/tracing"]
    done = subprocess.run(mount, capture_output=True, check=False)
    return done.returncode == 0 and Path("/sys/kernel/tracing/uprobe_events").exists()


def interpreter_file(python: str) -> str:
    """Return the file with the interpreter's code: its shared library, or itself."""
    names = ("LIBDIR", "INSTSONAME", "Py_ENABLE_SHARED")
    code = f"import sysconfig; print(*map(sysconfig.get_config_var, {names}))"
    command = [python, "-I", "-S", "-c", code]
    folder, name, shared = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return str(Path(folder) / name) if shared == "1" else os.path.realpath(python)


@dataclass
class _Account:
    """The sums of one thread's events, and since when it has been waiting or holding.

    `handed_over` is when the thread last left drop_gil, and how long it waited there: if it asks for the GIL
    right after that, the same wait goes on.
    """

    held_ns: int = 0
    waited_ns: int = 0
    worst_ns: int = 0
    waiting: int | None = None
    holding: int | None = None
    handed_over: tuple[int, int] = (0, 0)


@dataclass
class _Window:
    begin_ns: int
    end_ns: int
    accounts: defaultdict[int, _Account] = field(default_factory=lambda: defaultdict(_Account))

    def _within(self, begin: int, end: int) -> int:
        return max(0, min(end, self.end_ns) - max(begin, self.begin_ns))

    def take(self, tid: int, time: int, kind: str) -> None:
        """Add one event."""
        one = self.accounts[tid]
        if kind in ("want", "drop"):
            if kind == "drop" and one.holding is not None:
                one.held_ns += self._within(one.holding, time)
                one.holding = None
            if time - one.handed_over[0] > AT_ONCE_NS:
                one.handed_over = (0, 0)
            one.waiting = time
            return
        waited = self._within(one.waiting, time) if one.waiting is not None else 0
        one.waiting = None
        one.waited_ns += waited
        if kind == "gone":
            one.handed_over = (time, waited)
            one.worst_ns = max(one.worst_ns, waited)
        else:
            one.worst_ns = max(one.worst_ns, one.handed_over[1] + waited)
            one.holding = time

    def close(self) -> None:
        """Add the state that lasts beyond the last event."""
        for one in self.accounts.values():
            if one.holding is not None:
                one.held_ns += self._within(one.holding, self.end_ns)


def _events(lines: Iterable[str]) -> Iterator[tuple[int, int, str]]:
    for line in lines:
        found = EVENT.match(line)
        if found is None:
            raise UnreadableError(f"perf script has a line {line[:80]!r}")
        yield int(found["tid"]), int(found["s"]) * 1_000_000_000 + int(found["ns"]), found["kind"]


def read_script(lines: Iterable[str], truth: dict[str, Any]) -> Reading:
    """Read `perf script -F tid,time,event --ns`; lines of different cores may be out of order."""
    window = _Window(truth["begin_ns"], truth["end_ns"])
    for tid, time, kind in sorted(_events(lines), key=lambda event: event[1]):
        window.take(tid, time, kind)
    window.close()
    lives = {one["native_id"]: (one["name"], one["end_ns"] - one["begin_ns"]) for one in truth["threads"]}
    length = window.end_ns - window.begin_ns
    return Reading(
        held=sum(one.held_ns for one in window.accounts.values()) / length,
        waits={
            lives[tid][0]: one.waited_ns / lives[tid][1]
            for tid, one in window.accounts.items()
            if tid in lives
        },
        worst_s={lives[tid][0]: one.worst_ns / 1e9 for tid, one in window.accounts.items() if tid in lives},
        threads=len(window.accounts),
    )
