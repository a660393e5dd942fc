"""Folded stacks for flame-graph tools: one line per stack, frames joined by semicolons, then nanoseconds."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from gilprobe.render.shared.weights import stacks_of, weight_ns
from gilprobe.render.shared.words import clipped, visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gilprobe.model.traced_process import TracedProcess
    from gilprobe.render.shared.weights import Weight
    from gilprobe.report import Frame

_SPACE = re.compile(r"\s")


def export(processes: Sequence[TracedProcess], weight: Weight = "hold") -> Iterator[str]:
    """Write the stacks of the processes, heaviest first.

    A line is ``outer(file:line);inner(file:line) NANOSECONDS``; with several processes the first frame names
    the process. In names spaces become underscores; semicolons and control characters become Python's
    escapes.

    Parameters
    ----------
    processes : sequence of TracedProcess
        What to write.
    weight : {"hold", "wait", "caused", "lock"}
        The nanoseconds of holds that ended there, of waits that followed a release there, of other
        threads' waits during the holds that ended there, or of waits for locks there; below these stands the
        lock.

    Yields
    ------
    str
        Lines.
    """
    for process in processes:
        prefix = f"{_escaped(process.title)};" if len(processes) > 1 else ""
        total: Counter[tuple[int, ...]] = Counter()
        texts: dict[str, int] = {}  # all lines together may be far larger than the model
        known: dict[Frame, int] = {}
        for stack in stacks_of(process):
            for frame in stack.frames:
                if frame not in known:
                    known[frame] = texts.setdefault(_frame(frame), len(texts))
            total[tuple(map(known.__getitem__, stack.frames))] += weight_ns(stack, weight)
        shown = list(texts)
        for frames, nanoseconds in total.most_common():
            if frames and nanoseconds > 0:
                yield f"{prefix}{';'.join(map(shown.__getitem__, frames))} {nanoseconds}\n"


def _frame(frame: Frame) -> str:
    name = _escaped(frame.function) or "?"
    if not frame.filename:
        return name
    return f"{name}({_escaped(frame.filename.rpartition('/')[2])}:{frame.line})"


def _escaped(text: str) -> str:
    return _SPACE.sub("_", visible(clipped(text, 400))).replace(";", "\\x3b")
