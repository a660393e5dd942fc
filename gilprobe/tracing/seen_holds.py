"""Holds that a recorder saw while they lasted: which one was still under way at the end, and where."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict

from gilprobe.model.plain_data import dataclass

TYPE_CHECKING = False  # as in gilprobe/__init__.py: a recorded process loads no typing
if TYPE_CHECKING:
    from collections.abc import Iterable

    from gilprobe._native.recording import _Seen

AT_SNAPSHOT, IN_STALL = range(2)  # docs/recording-format.md, SEEN

STATES = ("", "running", "blocked in the kernel", "stopped by a debugger")
"""What the operating system said of a thread, by its code in a SEEN."""

_LARGEST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class RecordedHold:
    """A hold that was seen under way.

    Attributes
    ----------
    holder : int
        The number of its thread's account.
    since_ns, at_ns : int
        When it began and when it was seen, from the start of the trace, nanoseconds.
    place : int or None
        Where its thread was: a place's number.
    state : str
        One of :data:`STATES`.
    """

    holder: int
    since_ns: int
    at_ns: int
    place: int | None
    state: str

    @classmethod
    def from_row(cls, row: _Seen, factor: int) -> RecordedHold:
        """Build one from a row of ``_native.recording.decode_seen``; ValueError if it lies too late.

        Parameters
        ----------
        row : tuple
            The row; times in ticks.
        factor : int
            Nanoseconds a tick, times 2**32.
        """
        _, holder, since, at, place, state = row
        if at * factor >> 32 > _LARGEST:
            raise ValueError("a time is too large")
        return cls(holder, since * factor >> 32, at * factor >> 32, place, STATES[state])


class SeenHolds:
    """The holds that were seen under way, by their threads."""

    def __init__(self, seen: Iterable[RecordedHold]) -> None:
        self._of: dict[int, list[RecordedHold]] = defaultdict(list)
        for hold in sorted(seen, key=lambda hold: hold.at_ns):
            if hold.place is not None:
                self._of[hold.holder].append(hold)
        # Bisect without a key: on 3.12 a keyword crashes in an interpreter's second life (Python/getargs.c).
        self._times = {holder: [hold.at_ns for hold in holds] for holder, holds in self._of.items()}

    def during(self, holder: int | None, start_ns: int, end_ns: int) -> RecordedHold | None:
        """Return the first hold of a thread that was seen between two moments; None if there is none."""
        if holder is None or holder not in self._times:
            return None
        times = self._times[holder]
        at = bisect_left(times, start_ns)
        return self._of[holder][at] if at < len(times) and times[at] <= end_ns else None
