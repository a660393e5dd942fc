"""The model of a timeline: every hold and every wait of a trace, one by one. Plain data, no file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gilprobe.report import Frame

HOLD = 0
"""Kind of an event: the thread had the GIL."""

WAIT = 1
"""Kind of an event: the thread wanted the GIL."""

NOWHERE = 0xFFFF_FFFF
"""Number of an unknown place."""


@dataclass(frozen=True, slots=True)
class TimelineThread:
    """A thread of a timeline.

    Attributes
    ----------
    native_id : int
        The operating system's thread identifier.
    name : str
        Its name in :mod:`threading`, else the operating system's.
    interpreter : int
        The interpreter whose GIL its events are about: 0 for the main one's.
    """

    native_id: int
    name: str
    interpreter: int


class Batch(NamedTuple):
    """Events one after the other, as columns of equal length.

    Each column is a one-dimensional C-contiguous memoryview, for NumPy an array without a copy.

    Attributes
    ----------
    kinds : memoryview of uint8
        `HOLD` or `WAIT`.
    threads : memoryview of uint32
        Numbers in the timeline's `threads`.
    places : memoryview of uint32
        Numbers in the timeline's `places`, or `NOWHERE`: where a hold ended, where a waiting thread had
        released before.
    starts_ns, durations_ns : memoryview of int64
        From the start of the trace to that of the event, and its length, nanoseconds.
    """

    kinds: memoryview
    threads: memoryview
    places: memoryview
    starts_ns: memoryview
    durations_ns: memoryview


class TimelinePause(NamedTuple):
    """One collection of garbage.

    Attributes
    ----------
    thread : int
        The thread that collected: a number in the timeline's `threads`.
    place : int
        The line that made the collector run: a number in the timeline's `places`, or `NOWHERE`.
    generation : int
        As in :class:`~gilprobe.model.pauses.Collection`.
    start_ns, duration_ns : int
        From the start of the trace to its own, and its length, nanoseconds.
    held_ns, caused_ns, collected, uncollectable : int
        As in :class:`~gilprobe.model.pauses.Collection`.
    """

    thread: int
    place: int
    generation: int
    start_ns: int
    duration_ns: int
    held_ns: int
    caused_ns: int
    collected: int
    uncollectable: int


class TimelineLockWait(NamedTuple):
    """One wait of a thread for a lock, or for work.

    Attributes
    ----------
    thread_id, thread : int, str
        The thread that waited: its native identifier and its name.
    kind, lock : str
        What it waited for: the kind and the title of a :class:`~gilprobe.model.locks.Lock`.
    start_ns, duration_ns : int
        From the start of the trace to that of the wait, and its length, nanoseconds.
    spun_ns : int
        The part at its beginning in which the thread only tried again, without sleep, nanoseconds.
    failed : bool
        Whether it ended without the lock: time was up, a signal came, or the trace ended.
    stack : tuple of Frame
        Where it waited, outermost frame first; one frame where no stacks were recorded.
    holder_id, holder : int, str
        The thread that released the lock at the end; 0 and empty if none was seen.
    released : Frame or None
        Where that was.
    released_ns : int
        When that was, from the start of the trace, nanoseconds; 0 if not seen.
    """

    thread_id: int
    thread: str
    kind: str
    lock: str
    start_ns: int
    duration_ns: int
    spun_ns: int
    failed: bool
    stack: tuple[Frame, ...]
    holder_id: int
    holder: str
    released: Frame | None
    released_ns: int


class Timeline(Protocol):
    """A timeline that is read batch by batch, in bounded memory.

    Events come in the order of their ends within one interpreter. A hold and the wait before it are two
    events; waits of length 0 are none.
    """

    @property
    def threads(self) -> tuple[TimelineThread, ...]:
        """All threads; events refer to them by number."""

    @property
    def places(self) -> tuple[tuple[Frame, ...], ...]:
        """All places, by number: stacks, outermost frame first; of one frame where none were recorded."""

    @property
    def dropped(self) -> int:
        """Events and waits for locks that are missing: they came faster than they were written."""

    def batches(self) -> Iterator[Batch]:
        """Yield all events, from the beginning."""

    def pauses(self) -> Iterator[TimelinePause]:
        """Yield all collections of garbage in the order of their ends."""

    def lock_waits(self) -> Iterator[TimelineLockWait]:
        """Yield all waits for locks and for work; of one thread in the order of their ends."""
