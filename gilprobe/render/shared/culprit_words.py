"""How a culprit is told: what it was, and how certain its share is."""

from __future__ import annotations

from gilprobe.render.shared.words import clipped, place, plural, share

TYPE_CHECKING = False  # as in gilprobe/__init__.py: a recorded process loads no typing
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gilprobe.report import By, Culprit

TITLES: dict[By, str] = {
    "call": "What made threads wait, by call",
    "function": "What made threads wait, by function",
    "line": "What made threads wait, by line",
    "thread": "What made threads wait, by thread",
    "module": "What made threads wait, by module",
    "task": "What made threads wait, by task",
}
"""Headings of tables of culprits."""

_SEEN = 0.005
"""A smaller share of all waiting would be told as 0%."""

_CALLEES = 4
"""Limit of callees that are told of one line."""


def where(culprit: Culprit, short: Mapping[str, str]) -> str:
    """Return the function, file and line of a culprit; nothing if it is only a thread.

    Parameters
    ----------
    culprit : Culprit
        A row of :meth:`~gilprobe.report.Report.culprits`.
    short : mapping of str to str
        Paths as they are shown.
    """
    return place(culprit.function, short.get(culprit.filename, culprit.filename), culprit.line)


def thread(culprit: Culprit) -> str:
    """Return who held: a thread, or a pool; nothing if the culprit is not about threads."""
    return f"thread {clipped(culprit.thread)}" if culprit.thread else ""


def call(culprit: Culprit, short: Mapping[str, str], waited_ns: int) -> str:
    """Return a culprit's place and what it called, and the task that ran, for a sentence."""
    told, parts = where(culprit, short), callees(culprit, waited_ns)
    if parts:
        told += f": {listed([f'{name} {part}' for name, part in parts])}"
    elif culprit.called:
        told += f" in {clipped(culprit.called)}"
    return f"{task(culprit)} in {told}" if culprit.task else told


def called(culprit: Culprit, waited_ns: int) -> str:
    """Return what a culprit's line called, for a table."""
    parts = callees(culprit, waited_ns)
    return ", ".join(f"{name} {part}" for name, part in parts) or clipped(culprit.called)


def callees(culprit: Culprit, waited_ns: int) -> list[tuple[str, str]]:
    """Return what a culprit's line called, each with its share of all waiting; nothing if one is all.

    Shares that round to nothing are left out, and the smallest of many are summed up.
    """
    parts = [part for part in culprit.callees if part.caused_ns >= _SEEN * waited_ns]
    if len(parts) < 2:  # one is all
        return []
    named = parts if len(parts) <= _CALLEES else parts[: _CALLEES - 1]
    told = [(clipped(part.called) or "itself", share(part.caused_ns, waited_ns)) for part in named]
    if rest := parts[len(named) :]:
        told.append((f"{len(rest)} more", share(sum(part.caused_ns for part in rest), waited_ns)))
    return told


def listed(parts: Sequence[str]) -> str:
    """Return ``"a, b and c"``."""
    return " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))


def task(culprit: Culprit) -> str:
    """Return the asyncio task that ran; nothing if there was none."""
    several = culprit.task.endswith(" tasks")
    return culprit.task if several or not culprit.task else f"task {clipped(culprit.task)}"


def itself(culprit: Culprit, waited_ns: int) -> str:
    """Return the own part of a function, line or module that called others; nothing where that is all."""
    if culprit.thread or culprit.own_ns == culprit.caused_ns:
        return ""
    return f"{share(culprit.own_ns, waited_ns)} in itself"


def per_cent(low: float, high: float) -> str:
    """Return an interval of shares: ``"33 to 39%"``."""
    return f"{100 * low:.0f} to {100 * high:.0f}%"


def interval(culprit: Culprit) -> str:
    """Return the interval of a share; nothing where no look tells it."""
    low, high = culprit.low, culprit.high
    return "" if low is None or high is None else per_cent(low, high)


def certainty(culprit: Culprit) -> str:
    """Return how certain a share is, for a sentence; nothing where no look tells it."""
    around = interval(culprit)
    return f"95% interval {around}, from {plural(culprit.looks, 'look')}" if around else ""
