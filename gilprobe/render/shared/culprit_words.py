"""How a culprit is told: what it was, and how certain its share is."""

from __future__ import annotations

from gilprobe.render.shared.words import clipped, place, plural, share

TYPE_CHECKING = False  # as in gilprobe/__init__.py: a recorded process loads no typing
if TYPE_CHECKING:
    from collections.abc import Mapping

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


def call(culprit: Culprit, short: Mapping[str, str]) -> str:
    """Return a culprit's place and what it called, and the task that ran."""
    filename = short.get(culprit.filename, culprit.filename)
    told = place(culprit.function, filename, culprit.line, culprit.called)
    return f"{task(culprit)} in {told}" if culprit.task else told


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
