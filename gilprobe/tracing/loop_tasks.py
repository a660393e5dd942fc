"""Tasks of asyncio: what a place belongs to, and the rows that a report has of them."""

from __future__ import annotations

from collections import Counter, defaultdict

from gilprobe.model.thread_kind import thread_kind
from gilprobe.report import LoopCallback, LoopTask
from gilprobe.tracing.places import is_task

TYPE_CHECKING = False  # as in gilprobe/__init__.py: a recorded process loads no typing
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gilprobe._native.recording import _Callback, _Place
    from gilprobe.report import Stall

    Running = tuple[str, str, str]
    """A task's name, its numbers replaced, and the function and file of its coroutine."""


def tasks_of(places: Sequence[_Place]) -> list[tuple[str, str, str, int] | None]:
    """Return for each place the innermost task above it: its name, and the level that its event loop called.

    Parameters
    ----------
    places : sequence of tuple
        Rows of ``_native.recording.decode_places``; parents come before their children.

    Returns
    -------
    list of tuple or None
        Name, function, file, line; None where no event loop runs.
    """
    found: list[tuple[str, str, str, int] | None] = []
    for parent, _, line, function, filename in places:
        if parent is None:
            found.append(None)
        elif is_task(places[parent]):
            found.append((places[parent][3], function, filename, line))
        else:
            found.append(found[parent])
    return found


class TaskSums:
    """What is added up of tasks. Those of one coroutine whose names differ only in numbers are one."""

    def __init__(self) -> None:
        self._sums: dict[Running, list[int]] = defaultdict(lambda: [0, 0, 0])  # hold, caused, looks
        self._names: dict[Running, set[str]] = defaultdict(set)
        self._lines: dict[Running, Counter[int]] = defaultdict(Counter)

    def add(
        self, task: tuple[str, str, str, int], *, hold_ns: int = 0, caused_ns: int = 0, looks: int = 0
    ) -> Running:
        """Add to a task's row, and return what stands for it."""
        name, function, filename, line = task
        key = (thread_kind(name), function, filename)
        self._names[key].add(name)
        self._lines[key][line] += hold_ns
        row = self._sums[key]
        row[0] += hold_ns
        row[1] += caused_ns
        row[2] += looks
        return key

    def ranked(self) -> tuple[tuple[LoopTask, ...], dict[Running, int]]:
        """Return the rows, the worst first, and their numbers."""
        order = sorted(self._sums, key=lambda key: (-self._sums[key][1], -self._sums[key][0], key))
        return tuple(map(self._row, order)), {key: number for number, key in enumerate(order)}

    def _row(self, key: Running) -> LoopTask:
        kind, function, filename = key
        names = self._names[key]
        name = next(iter(names)) if len(names) == 1 else f"{kind} x {len(names)}"
        line = min(self._lines[key].items(), key=lambda seen: (-seen[1], seen[0]))[0]
        return LoopTask(name, function, filename, line, *self._sums[key])


def callbacks_of(
    rows: Iterable[_Callback], names: dict[int, str], stalls: Sequence[Stall]
) -> list[LoopCallback]:
    """Return the longest callbacks of event loops.

    Parameters
    ----------
    rows : iterable of tuple
        As ``_native.recording.decode_snapshot`` returns them.
    names : dict of int to str
        Threads by the numbers of their accounts.
    stalls : sequence of Stall
        The longest waits.
    """
    by_holder: dict[str, list[Stall]] = defaultdict(list)
    for stall in stalls:
        by_holder[stall.holder].append(stall)
    return [
        LoopCallback(
            thread,
            task,
            *what,
            start_ns=start_ns,
            duration_ns=duration_ns,
            waited_ns=sum(_overlap(stall, start_ns, duration_ns) for stall in by_holder[thread]),
            looks=looks,
            seen=seen,
            seen_function=where[0],
            seen_filename=where[1],
            seen_line=where[2],
            seen_callee=callee,
        )
        for number, start_ns, duration_ns, task, what, looks, seen, where, callee in rows
        for thread in [names.get(number, "")]
    ]


def _overlap(stall: Stall, start_ns: int, duration_ns: int) -> int:
    """Return the part of a wait that fell into a callback."""
    end_ns = min(stall.start_ns + stall.wait_ns, start_ns + duration_ns)
    return max(0, end_ns - max(stall.start_ns, start_ns))
