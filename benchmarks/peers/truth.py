"""The truth of a run, from its threads' own clocks, and the error of a tool's reading."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .tools.base import FUNCTION, HELD, LINE, THREADS, WAIT, WORST

if TYPE_CHECKING:
    from .tools.base import Reading


@dataclass(frozen=True)
class Judged:
    """One answer of a tool and the truth.

    Attributes
    ----------
    truth, said : float or None
        In per cent, milliseconds or threads; of several threads those of the one with the largest error.
    error : float
        Their distance; if the truth is an interval, the distance to it; for names 0 or 1.
    text : str
        The name that the tool gave, if asked for one.
    within : float
        Half the width of the truth's interval.
    """

    truth: float | None
    said: float | None
    error: float
    text: str = ""
    within: float = 0.0


UNITS = {HELD: "points", WAIT: "points", WORST: "ms", FUNCTION: "", LINE: "", THREADS: "threads"}


def distance(said: float, low: float, high: float) -> float:
    """Return the distance of a number from an interval; negative below it."""
    if said < low:
        return said - low
    return max(0.0, said - high)


def _judged(said: float, interval: tuple[float, float], scale: float) -> Judged:
    low, high = (scale * bound for bound in interval)
    error = distance(scale * said, low, high)
    return Judged((low + high) / 2, scale * said, error, within=(high - low) / 2)


def held(document: dict[str, Any], reading: Reading) -> Judged | None:
    """Compare the share of the time in which the GIL was held.

    While the main thread starts and joins the others it may hold the GIL, too.
    """
    if reading.held is None:
        return None
    threads = document["threads"]
    length = document["end_ns"] - document["begin_ns"]
    around = length - (max(one["end_ns"] for one in threads) - min(one["begin_ns"] for one in threads))
    low = sum(one["held_ns"][0] for one in threads) / length
    high = (sum(one["held_ns"][1] for one in threads) + around) / length
    return _judged(reading.held, (low, min(1.0, high)), 100)


def wait(document: dict[str, Any], reading: Reading) -> Judged | None:
    """Compare the shares in which threads waited; a thread that the tool does not know counts as no wait."""
    if not reading.waits:
        return None
    judged = []
    for one in document["threads"]:
        if one["waited_ns"] is None:
            continue
        life = one["end_ns"] - one["begin_ns"]
        low, high = (bound / life for bound in one["waited_ns"])
        judged.append(_judged(reading.waits.get(one["name"], 0.0), (low, high), 100))
    return max(judged, key=lambda one: abs(one.error))


def worst(document: dict[str, Any], reading: Reading) -> Judged | None:
    """Compare the longest wait of the threads that know their own."""
    if not reading.worst_s:
        return None
    known = [one for one in document["threads"] if one["worst_ns"] is not None]
    low, high = (max(one["worst_ns"][bound] for one in known) / 1e9 for bound in (0, 1))
    return _judged(max(reading.worst_s.get(one["name"], 0.0) for one in known), (low, high), 1000)


def _named(document: dict[str, Any], reading: Reading, *, line: bool) -> Judged:
    culprit = document["threads"][0]
    if reading.culprit is None:
        return Judged(None, None, 1.0, "names none")
    function, number = reading.culprit
    right = function.rpartition(".")[2] == culprit["function"]
    if line:
        first, last = culprit["lines"]
        right = right and number is not None and first <= number <= last
    return Judged(None, None, 0.0 if right else 1.0, f"{function}:{number}" if line else function)


def threads(document: dict[str, Any], reading: Reading) -> Judged | None:
    """Compare the number of threads, with the main one."""
    if reading.threads is None:
        return None
    true = 1 + len(document["threads"])
    return Judged(true, reading.threads, reading.threads - true)


def judge(measure: str, document: dict[str, Any], reading: Reading) -> Judged | None:
    """Compare a tool's answer with the truth; None if it has no answer."""
    if measure in (FUNCTION, LINE):
        return _named(document, reading, line=measure == LINE)
    return {HELD: held, WAIT: wait, WORST: worst, THREADS: threads}[measure](document, reading)
