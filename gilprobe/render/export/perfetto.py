"""A timeline in the Trace Event format, for ui.perfetto.dev, chrome://tracing and others.

The format is described in Chromium's document "Trace Event Format". Perfetto's importer
(src/trace_processor/importers/json) needs more: `ph` and `ts` come first in every event, thread numbers are
unique over all processes, and no text has a lone surrogate.
"""

from __future__ import annotations

import json
from itertools import chain
from typing import TYPE_CHECKING

from gilprobe import __version__
from gilprobe.errors import InvalidValueError
from gilprobe.model.timeline import HOLD, NOWHERE, WAIT
from gilprobe.render.export.waiters import WaiterCount
from gilprobe.render.shared.words import clipped, place, visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gilprobe.model.timeline import Timeline, TimelineLockWait
    from gilprobe.model.traced_process import TracedProcess
    from gilprobe.report import Frame

_LINES_A_PIECE = 4096
_LARGEST_NATIVE_ID = 1 << 22  # Linux's largest thread number (PID_MAX_LIMIT in include/linux/threads.h)
_SHOWN_FRAMES = 40
_ADJACENT_NS = 1_000
"""Largest gap between a wait and its acquisition: if larger, events between them are missing."""

# Colours of chrome://tracing (Catapult: tracing/base/color_scheme.html); Perfetto has its own.
_COLORS = (
    "thread_state_running",
    "rail_animation",
    "rail_load",
    "olive",
    "startup",
    "heap_dump_stack_frame",
    "rail_response",
    "yellow",
    "vsync_highlight_color",
    "cq_build_passed",
    "generic_work",
    "thread_state_iowait",
)
_WAITING_COLOR = "terrible"


def export(processes: Sequence[TracedProcess]) -> Iterator[str]:
    """Write the timelines of the processes as one trace, in bounded memory.

    Each thread is a track of holds and waits. Each interpreter has a track "GIL" of its holders, a counter of
    waiting threads, and a track of collections of garbage if there were any. An arrow leads from a hold to
    the acquisition that waited for its end. Waits for locks and the releases that ended them are on a track
    of each thread's own, with an arrow from the release to the end of the wait.
    Processes without a timeline are left out.

    Parameters
    ----------
    processes : sequence of TracedProcess
        Aligned by the recordings' start times if all are known.

    Raises
    ------
    InvalidValueError
        If no process has a timeline.
    """
    traced = [process for process in processes if process.timeline is not None]
    if not traced:
        raise InvalidValueError("a trace for Perfetto needs a recording with a timeline, got none")
    return chain(["{"], _body(traced))


def _body(processes: Sequence[TracedProcess]) -> Iterator[str]:
    began = [process.started_unix_ns for process in processes]
    first = min(began)
    numbers = _SystemNumbers()
    lines: list[str] = []
    separator = '"traceEvents":[\n'
    for index, process in enumerate(processes):
        offset_ns = process.started_unix_ns - first if first > 0 else 0
        for line in _ProcessTrace(process, index, offset_ns, numbers).lines():
            lines.append(line)
            if len(lines) >= _LINES_A_PIECE:
                yield separator + ",\n".join(lines)
                separator = ",\n"
                lines.clear()
    if lines:
        yield separator + ",\n".join(lines)
    yield f'\n],"displayTimeUnit":"ns","otherData":{json.dumps(_metadata(processes))}}}\n'


def _metadata(processes: Sequence[TracedProcess]) -> dict[str, object]:
    return {
        "exporter": f"gilprobe {__version__}",
        "dropped_events": sum(process.timeline.dropped for process in processes if process.timeline),
        "doubts": [
            f"{_clean(process.title)}: {_clean(doubt)}" for process in processes for doubt in process.doubts
        ],
    }


def _clean(text: str) -> str:
    return visible(clipped(text, 400))


def _json(text: str) -> str:
    return json.dumps(_clean(text))


def _us(ns: int) -> str:
    """Return nanoseconds as microseconds, exactly."""
    return f"{ns // 1000}.{ns % 1000:03d}"


class _SystemNumbers:
    """Gives numbers to processes and threads: the system's own, if still free."""

    def __init__(self) -> None:
        self._used: set[int] = {0}
        self._next = _LARGEST_NATIVE_ID + 1
        self._processes: set[int] = {0}
        self._flow = 0

    def process(self, pid: int) -> int:
        """Return a number for a process."""
        if not 0 < pid <= _LARGEST_NATIVE_ID or pid in self._processes:
            pid = self._made_up()
        self._processes.add(pid)
        return pid

    def thread(self, native_id: int = 0) -> int:
        """Return a number for a thread, or for another track."""
        if not 0 < native_id <= _LARGEST_NATIVE_ID or native_id in self._used:
            return self._made_up()
        self._used.add(native_id)
        return native_id

    def flow(self) -> int:
        """Return a number for an arrow."""
        self._flow += 1
        return self._flow

    def _made_up(self) -> int:
        self._next += 1
        return self._next


class _Track:
    """State of an interpreter's GIL: its track, and the last hold."""

    __slots__ = ("busy_until", "end", "holder", "ids", "start", "waiters")

    def __init__(self, ids: str) -> None:
        self.ids = ids
        self.waiters = WaiterCount()
        self.holder = -1
        self.start = self.end = self.busy_until = 0


class _ProcessTrace:
    """The events of one process, line by line."""

    def __init__(self, process: TracedProcess, index: int, offset_ns: int, numbers: _SystemNumbers) -> None:
        assert process.timeline is not None  # the caller has checked  # noqa: S101
        self._process, self._index, self._offset_ns, self._numbers = process, index, offset_ns, numbers
        self._timeline: Timeline = process.timeline
        self._pid = numbers.process(process.pid)
        self._places = _PlaceParts(self._timeline.places)
        threads = self._timeline.threads
        self._tids = [numbers.thread(thread.native_id) for thread in threads]
        self._ids = [f'"pid":{self._pid},"tid":{tid}' for tid in self._tids]
        self._holders = [
            f'"name":{_json(thread.name or "?")},"cname":"{_COLORS[number % len(_COLORS)]}"'
            for number, thread in enumerate(threads)
        ]
        self._lock_tids: dict[tuple[int, str], int] = {}
        self._releases: dict[tuple[int, str], int] = {}  # the last one of each thread
        interpreters = sorted({thread.interpreter for thread in threads} or {0})
        self._gil_tids = {interpreter: numbers.thread() for interpreter in interpreters}
        self._any_tid = self._gil_tids[interpreters[0]]  # for events of the process
        self._gils = {
            interpreter: _Track(f'"pid":{self._pid},"tid":{tid}')
            for interpreter, tid in self._gil_tids.items()
        }
        self._gil_of = [self._gils[thread.interpreter] for thread in threads]

    def lines(self) -> Iterator[str]:
        yield from self._names()
        yield from self._doubts()
        self._survey()
        for gil in self._gils.values():
            gil.waiters.begin()
        yield from self._events()
        yield from self._pauses()
        yield from self._lock_waits()
        for interpreter, gil in self._gils.items():
            yield from self._counter(interpreter, gil.waiters.rest())

    def _names(self) -> Iterator[str]:
        process, pid = self._process, self._pid
        yield self._meta("process_name", self._any_tid, name=_clean(process.title))
        yield self._meta("process_sort_index", self._any_tid, sort_index=self._index)
        if process.pid and process.pid != pid:
            yield self._meta("process_labels", self._any_tid, labels=f"pid {process.pid}")
        for number, (interpreter, tid) in enumerate(self._gil_tids.items()):
            yield self._meta("thread_name", tid, name=self._gil_name(interpreter))
            yield self._meta("thread_sort_index", tid, sort_index=number - len(self._gil_tids))
        for number, (thread, tid) in enumerate(zip(self._timeline.threads, self._tids, strict=True)):
            name = _clean(thread.name) or "?"
            if thread.native_id != tid:
                name += f" (native identifier {thread.native_id})"
            if thread.interpreter:
                name += f" (interpreter {thread.interpreter})"
            yield self._meta("thread_name", tid, name=name)
            yield self._meta("thread_sort_index", tid, sort_index=number)

    @staticmethod
    def _gil_name(interpreter: int) -> str:
        return f"GIL of interpreter {interpreter}" if interpreter else "GIL"

    def _meta(self, event_name: str, tid: int, **args: object) -> str:
        event = {"ph": "M", "ts": 0, "pid": self._pid, "tid": tid, "name": event_name, "args": args}
        return json.dumps(event, separators=(",", ":"))

    def _doubts(self) -> Iterator[str]:
        for doubt in self._process.doubts:
            event = {
                "ph": "i",
                "ts": self._offset_ns / 1000,
                "s": "p",
                "pid": self._pid,
                "tid": self._any_tid,
            }
            yield json.dumps(event | {"name": _clean(doubt), "cat": "doubt"}, separators=(",", ":"))

    def _survey(self) -> None:
        """Give the counters all waits once: a wait that begins now may end much later."""
        for batch in self._timeline.batches():
            for kind, thread, start, duration in zip(
                batch.kinds, batch.threads, batch.starts_ns, batch.durations_ns, strict=True
            ):
                if kind == WAIT:
                    self._gil_of[thread].waiters.survey(start, start + duration)

    def _events(self) -> Iterator[str]:
        """Yield holds, waits, arrows and counters, in the timeline's order.

        Times are rounded to nanoseconds one by one, so an interval may begin a nanosecond before the end of
        the previous one, which a viewer would show as nested. It is moved to begin at that end.
        """
        offset = self._offset_ns
        busy_until = [0] * len(self._tids)
        waited: list[tuple[int, int]] = [(0, -_ADJACENT_NS)] * len(self._tids)
        ids, places, gil_of = self._ids, self._places, self._gil_of
        for batch in self._timeline.batches():
            for kind, thread, number, start, duration in zip(*batch, strict=True):
                end = start + duration
                begin = max(start, busy_until[thread])
                busy_until[thread] = finish = max(end, begin)
                gil = gil_of[thread]
                times = f'"ts":{_us(begin + offset)},"dur":{_us(finish - begin)}'
                if kind == HOLD:
                    yield f'{{"ph":"X",{times},{ids[thread]},"cat":"hold",{places.hold(number)}}}'
                    yield self._on_gil(gil, thread, number, begin, finish)
                    arrow = self._arrow(gil, thread, begin, finish, waited[thread])
                    if arrow:
                        yield arrow
                    gil.holder, gil.start, gil.end = thread, begin, finish
                else:
                    yield f'{{"ph":"X",{times},{ids[thread]},"cat":"wait",{places.wait(number)}}}'
                    waited[thread] = (start, end)
                    counts = gil.waiters.add(start, end)
                    if counts:
                        yield from self._counter(self._timeline.threads[thread].interpreter, counts)

    def _pauses(self) -> Iterator[str]:
        """Yield the collections of garbage, on a track of each interpreter's own: there is one at a time."""
        tids: dict[int, int] = {}
        ended = 0
        for pause in self._timeline.pauses():
            thread = self._timeline.threads[pause.thread]
            if thread.interpreter not in tids:
                tids[thread.interpreter] = tid = self._numbers.thread()
                of = f" of interpreter {thread.interpreter}" if thread.interpreter else ""
                yield self._meta("thread_name", tid, name=f"garbage collection{of}")
                yield self._meta("thread_sort_index", tid, sort_index=len(self._tids))
            start = max(pause.start_ns, ended)  # as in _events
            ended = finish = max(pause.start_ns + pause.duration_ns, start)
            args = {
                "thread": _clean(thread.name),
                **self._places.described(pause.place),
                "waits caused, ns": pause.caused_ns,
                "freed objects": pause.collected,
                "uncollectable objects": pause.uncollectable,
            }
            yield (
                f'{{"ph":"X","ts":{_us(start + self._offset_ns)},"dur":{_us(finish - start)},'
                f'"pid":{self._pid},"tid":{tids[thread.interpreter]},"cat":"collection",'
                f'"name":"generation {pause.generation}","args":{json.dumps(args)}}}'
            )

    def _lock_waits(self) -> Iterator[str]:
        """Yield the waits for locks, on a track of each thread's own: slices of a track may not overlap."""
        ended: dict[tuple[int, str], int] = {}
        for wait in self._timeline.lock_waits():
            thread = wait.thread_id, wait.thread
            yield from self._lock_track(thread)
            start = max(wait.start_ns, ended.get(thread, 0))
            ended[thread] = end = max(wait.start_ns + wait.duration_ns, start)
            args = {"kind": wait.kind, **_described(wait.stack)}
            if wait.failed:
                args["ended"] = "without the lock"
            if wait.released is not None:
                args |= {"released by": _clean(wait.holder), "released in": _at(wait.released)}
            yield (
                f'{{"ph":"X","ts":{_us(start + self._offset_ns)},"dur":{_us(end - start)},'
                f'"pid":{self._pid},"tid":{self._lock_tids[thread]},"cat":"lock",'
                f'"name":{_json(f"waits for {wait.lock}")},"args":{json.dumps(args)}}}'
            )
            if start < end:
                yield from self._release(wait, self._lock_tids[thread], end)

    def _lock_track(self, thread: tuple[int, str]) -> Iterator[str]:
        """Yield the name of a thread's track of locks, if it is new."""
        if thread not in self._lock_tids:
            tid = self._lock_tids[thread] = self._numbers.thread()
            yield self._meta("thread_name", tid, name=f"locks: {_clean(thread[1]) or '?'}")
            yield self._meta("thread_sort_index", tid, sort_index=len(self._tids) + len(self._lock_tids))

    def _release(self, wait: TimelineLockWait, tid: int, end: int) -> Iterator[str]:
        """Yield the release that ended a wait, as a slice of a nanosecond, and an arrow to the wait's end."""
        if wait.released is None:
            return
        holder = wait.holder_id, wait.holder
        yield from self._lock_track(holder)
        released = min(wait.released_ns, end - 1) + self._offset_ns
        ids = f'"pid":{self._pid},"tid":{self._lock_tids[holder]}'
        arrow = f'"id":{self._numbers.flow()},"cat":"lock","name":"released"'
        if self._releases.get(holder) != released:  # else it ended several waits
            self._releases[holder] = released
            yield (
                f'{{"ph":"X","ts":{_us(released)},"dur":{_us(1)},{ids},"cat":"release",'
                f'"name":{_json(f"releases {wait.lock}")},"args":{json.dumps(_described((wait.released,)))}}}'
            )
        yield f'{{"ph":"s","ts":{_us(released)}3,{ids},{arrow}}}'
        came = _us(end - 1 + self._offset_ns)
        yield f'{{"ph":"f","ts":{came}4,"pid":{self._pid},"tid":{tid},"bp":"e",{arrow}}}'

    def _on_gil(self, gil: _Track, thread: int, number: int, start: int, end: int) -> str:
        """Return a hold's event on the GIL's track."""
        begin = max(start, gil.busy_until)
        finish = gil.busy_until = max(end, begin)
        return (
            f'{{"ph":"X","ts":{_us(begin + self._offset_ns)},"dur":{_us(finish - begin)},{gil.ids},'
            f'"cat":"GIL",{self._holders[thread]},{self._places.args(number)}}}'
        )

    def _arrow(self, gil: _Track, thread: int, start: int, end: int, waited: tuple[int, int]) -> str:
        """Return the arrow's events from the GIL's last hold to this one, if this one's thread waited for it.

        An end of an arrow is bound to the slice at that time. Exactly at a slice's border it might be the
        neighbour, so it is put 0.4 ns after a whole nanosecond inside.
        """
        if waited[0] >= gil.end or start - waited[1] > _ADJACENT_NS or gil.holder in (thread, -1):
            return ""
        if gil.start == gil.end or start == end:
            return ""
        arrow = f'"id":{self._numbers.flow()},"cat":"handoff","name":"handoff"'
        left, came = _us(gil.end - 1 + self._offset_ns), _us(start + self._offset_ns)
        return (
            f'{{"ph":"s","ts":{left}4,{self._ids[gil.holder]},{arrow}}},\n'
            f'{{"ph":"f","ts":{came}4,{self._ids[thread]},"bp":"e",{arrow}}}'
        )

    def _counter(self, interpreter: int, counts: Sequence[tuple[int, int]]) -> Iterator[str]:
        name = f"waiting for the {self._gil_name(interpreter)}"
        tail = f'{self._gils[interpreter].ids},"cat":"waiting","name":"{name}","args":{{"threads":'
        for at, count in counts:
            yield f'{{"ph":"C","ts":{_us(max(at, 0) + self._offset_ns)},{tail}{count}}}}}'


class _PlaceParts:
    """The part of an event with its place, made once per place."""

    def __init__(self, places: tuple[tuple[Frame, ...], ...]) -> None:
        self._places = places
        self._args: dict[int, str] = {}
        self._holds: dict[int, str] = {}
        self._waits: dict[int, str] = {}

    def hold(self, number: int) -> str:
        """Return a hold's name and arguments."""
        text = self._holds.get(number)
        if text is None:
            name = _json(self._places[number][-1].function or "?") if self._known(number) else '"(not known)"'
            text = self._holds[number] = f'"name":{name},"args":{json.dumps(self.described(number))}'
        return text

    def wait(self, number: int) -> str:
        """Return a wait's name, colour and arguments."""
        text = self._waits.get(number)
        if text is None:
            name = f'"name":"waiting for the GIL","cname":"{_WAITING_COLOR}"'
            text = self._waits[number] = f'{name},"args":{json.dumps(self.described(number))}'
        return text

    def args(self, number: int) -> str:
        """Return the arguments of a hold on the GIL's track, without the stack, which is on the thread's."""
        text = self._args.get(number)
        if text is None:
            text = self._args[number] = f'"args":{json.dumps(self.described(number, stack=False))}'
        return text

    def _known(self, number: int) -> bool:
        return number != NOWHERE and bool(self._places[number])

    def described(self, number: int, *, stack: bool = True) -> dict[str, object]:
        """Return what is to be said of a place."""
        if not self._known(number):
            return {}
        return _described(self._places[number], stack=stack)


def _described(frames: Sequence[Frame], *, stack: bool = True) -> dict[str, object]:
    """Return what is to be said of a place: its innermost frame, and the stack."""
    args: dict[str, object] = {"function": _clean(frames[-1].function)}
    if frames[-1].filename:
        args |= {"file": _clean(frames[-1].filename), "line": frames[-1].line}
    if stack and len(frames) > 1:
        shown = [_at(frame) for frame in frames[-_SHOWN_FRAMES:]]
        args["stack"] = " > ".join(["..."] * (len(frames) > len(shown)) + shown)
    return args


def _at(frame: Frame) -> str:
    return visible(place(frame.function, frame.filename.rpartition("/")[2], frame.line))
