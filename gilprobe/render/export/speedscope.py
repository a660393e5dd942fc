"""Profiles for speedscope (https://www.speedscope.app), in its own file format."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

from gilprobe import __version__
from gilprobe.model.timeline import HOLD, NOWHERE
from gilprobe.render.shared.wait_summary import doubts_of_many
from gilprobe.render.shared.weights import WEIGHTS, knows, stacks_of, weight_ns
from gilprobe.render.shared.words import clipped, visible
from gilprobe.report import Frame

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from gilprobe.model.timeline import Timeline
    from gilprobe.model.traced_process import TracedProcess
    from gilprobe.render.shared.weights import Weight

_SCHEMA = "https://www.speedscope.app/file-format-schema.json"
_MOST_THREADS = 64
_UNKNOWN = (Frame("(not known)", "", 0),)

_Profile = dict[str, object]
_Weighted = tuple[tuple[Frame, ...], int]


def export(processes: Sequence[TracedProcess], weight: Weight = "hold") -> Iterator[str]:
    """Write profiles of the processes: one per weight, and with a timeline two per busy thread.

    Waits for locks have one if they were recorded.

    Samples are stacks, weighted in nanoseconds, heaviest first: they show how much, not when.

    Parameters
    ----------
    processes : sequence of TracedProcess
        What to write.
    weight : {"hold", "wait", "caused", "lock"}
        Which profile is shown first: that of the first process that has it.

    Yields
    ------
    str
        Pieces of a JSON document, all ASCII.
    """
    frames = _Frames()
    separator = f'{{"$schema":"{_SCHEMA}","profiles":[\n'
    number, active = 0, None
    for process in processes:
        for shown, profile in _profiles(process, frames, titled=len(processes) > 1):
            yield separator + json.dumps(profile)
            separator = ",\n"
            active = number if shown == weight and active is None else active
            number += 1
    rest = {
        "shared": {"frames": frames.table},
        "name": visible(clipped(_name(processes), 4000)),
        "activeProfileIndex": active or 0,
        "exporter": f"gilprobe {__version__}",
    }
    yield "\n]," + json.dumps(rest)[1:] + "\n"


def _name(processes: Sequence[TracedProcess]) -> str:
    """Return the document's title, the format's only place for doubts."""
    titles = [process.title for process in processes]
    doubts = doubts_of_many(processes) if len(processes) > 1 else processes[0].doubts
    more = f" and {len(titles) - 1} more" if len(titles) > 1 else ""
    return f"{titles[0]}{more}" + (f" (doubts: {'; '.join(doubts)})" if doubts else "")


def _profiles(
    process: TracedProcess, frames: _Frames, *, titled: bool
) -> Iterator[tuple[Weight | None, _Profile]]:
    """Yield profiles, those of a whole process with their weights."""
    title = f"{process.title}, " if titled else ""
    stacks = stacks_of(process)
    for weight, called in WEIGHTS.items():
        if not knows(process.report, weight):
            continue
        weighted = [(stack.frames, weight_ns(stack, weight)) for stack in stacks]
        yield weight, _profile(f"{title}all threads: {called}", weighted, frames)
    if process.timeline is None:
        return
    dropped = process.timeline.dropped
    doubt = f" ({dropped} events dropped)" if dropped else ""
    for name, spent in _threads(process.timeline):
        for kind, called in enumerate((WEIGHTS["hold"], WEIGHTS["wait"])):
            weighted = _of_kind(spent, kind, process.timeline.places)
            yield None, _profile(f"{title}{name}: {called}{doubt}", weighted, frames)


def _threads(timeline: Timeline) -> Iterator[tuple[str, Counter[int]]]:
    """Yield threads and their nanoseconds by place and kind, busiest first; the rest of many as one."""
    spent: list[Counter[int]] = [Counter() for _ in timeline.threads]
    for batch in timeline.batches():
        for kind, thread, place, duration in zip(
            batch.kinds, batch.threads, batch.places, batch.durations_ns, strict=True
        ):
            spent[thread][2 * place + kind] += duration
    order = sorted(range(len(spent)), key=lambda thread: spent[thread].total(), reverse=True)
    for thread in order[:_MOST_THREADS]:
        yield timeline.threads[thread].name, spent[thread]
    rest = order[_MOST_THREADS:]
    if rest:
        together: Counter[int] = Counter()
        for thread in rest:
            together.update(spent[thread])
        yield f"{len(rest)} more threads", together


def _of_kind(spent: Counter[int], kind: int, places: tuple[tuple[Frame, ...], ...]) -> list[_Weighted]:
    assert HOLD == 0  # _threads uses its numbers  # noqa: S101
    return [
        (_UNKNOWN if key >> 1 == NOWHERE else places[key >> 1], duration)
        for key, duration in spent.items()
        if key & 1 == kind
    ]


def _profile(name: str, weighted: Iterable[_Weighted], frames: _Frames) -> _Profile:
    kept = sorted((pair for pair in weighted if pair[0] and pair[1] > 0), key=lambda pair: -pair[1])
    return {
        "type": "sampled",
        "name": _clean(name),
        "unit": "nanoseconds",
        "startValue": 0,
        "endValue": sum(duration for _, duration in kept),
        "samples": [[frames.number(frame) for frame in stack] for stack, _ in kept],
        "weights": [duration for _, duration in kept],
    }


def _clean(text: str) -> str:
    return visible(clipped(text, 400))


class _Frames:
    """The frames of all profiles, each once."""

    def __init__(self) -> None:
        self.table: list[dict[str, object]] = []
        self._numbers: dict[Frame, int] = {}

    def number(self, frame: Frame) -> int:
        """Return the number of a frame in the table."""
        number = self._numbers.get(frame)
        if number is None:
            number = self._numbers[frame] = len(self.table)
            entry: dict[str, object] = {"name": _clean(frame.function) or "?"}
            if frame.filename:
                entry["file"] = _clean(frame.filename)
            if frame.line > 0:
                entry["line"] = frame.line
            self.table.append(entry)
        return number
