"""The model of a trace, for all renderers and saved files. Plain data, no clock."""

from __future__ import annotations

from gilprobe.errors import FormatError, InvalidTypeError, InvalidValueError
from gilprobe.model.distribution import Distribution
from gilprobe.model.environment import Environment
from gilprobe.model.labels import LabelBlame, LabelTotals
from gilprobe.model.locks import Lock, LockWait, LockWaiter
from gilprobe.model.notebook_repr import NotebookRepr
from gilprobe.model.pauses import Collection, Pause
from gilprobe.model.plain_data import dataclass
from gilprobe.model.seconds import Seconds

TYPE_CHECKING = False  # as in gilprobe/__init__.py: a recorded process loads no typing
if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence
    from typing import Any, Literal

    from gilprobe.model.off_times import OffTime

    By = Literal["call", "function", "line", "thread", "module", "task"]
    """What a row of :meth:`Report.culprits` is about."""

SCHEMA = 2
"""Version of the saved form. A reader refuses every other."""

OTHERS = "(others)"
"""Holder and function of rows of blame that are summed up."""

_KIND = "gilprobe.report"
_HEAD = {"kind": _KIND, "schema": SCHEMA}
_VERDICT = "verdict"
_NOT_NEGATIVE = (
    "elapsed_ns",
    "held_ns",
    "contended_ns",
    "handoffs",
    "dropped_events",
    "looks",
    "looks_unseen",
    "unshared_wait_ns",
)


def _seconds(ns: int | None) -> float | None:
    return None if ns is None else ns / 1e9


@dataclass(frozen=True, slots=True)
class ThreadAccount:
    """How one thread spent its lifetime inside a trace.

    At any moment a thread holds the GIL, waits for it, or is off (runs native code or is blocked without it),
    so ``hold_ns + wait_ns + off_ns == lifetime_ns``. An interval cut by the trace's start or end counts with
    the part inside.

    Attributes
    ----------
    native_id : int
        The operating system's thread identifier.
    name : str
        Its name in :mod:`threading`, else the operating system's.
    ended : bool
        Whether the thread ended within the trace.
    interpreter : int
        The interpreter whose GIL this is about: 0 for the main one's, which other interpreters may share. A
        thread that uses several GILs has a row for each.
    merged : int
        Number of threads in this row: 1, except in the row of merged ended threads.
    lifetime_ns, hold_ns, wait_ns, off_ns : int
        Nanoseconds of wall-clock time.
    acquisitions : int
        Number of times the thread took the GIL.
    contended_acquisitions : int
        How many of those had to wait.
    forced_releases, voluntary_releases : int
        Releases because another thread asked after the switch interval; releases by the code itself.
    hold, wait : Distribution
        Lengths of the holds; durations of the acquisitions, 0 if the GIL was free after a short time off.
    hold_cpu_ns : int or None
        CPU time during the holds, nanoseconds; None if not recorded. For the rest of `hold_ns` the thread was
        blocked in the kernel or waited for a core.
    off_cpu_ns : int or None
        CPU time while the thread was off, nanoseconds; None if not recorded. Known where locks were recorded:
        with a GIL if `hold_cpu_ns` is, too.
    """

    native_id: int
    name: str
    ended: bool
    interpreter: int
    merged: int
    lifetime_ns: int
    hold_ns: int
    wait_ns: int
    off_ns: int
    acquisitions: int
    contended_acquisitions: int
    forced_releases: int
    voluntary_releases: int
    hold: Distribution
    wait: Distribution
    hold_cpu_ns: int | None = None
    off_cpu_ns: int | None = None

    lifetime_s = Seconds(
        "lifetime_ns", "Time from the thread's first to its last moment inside the trace, seconds."
    )
    hold_s = Seconds("hold_ns", "Time with the GIL, seconds.")
    wait_s = Seconds("wait_ns", "Time wanting the GIL without having it, seconds.")
    off_s = Seconds("off_ns", "Time without the GIL and without wanting it, seconds.")

    @property
    def hold_cpu_s(self) -> float | None:
        """CPU time with the GIL, seconds; None if not recorded."""
        return _seconds(self.hold_cpu_ns)

    @property
    def off_cpu_s(self) -> float | None:
        """CPU time without the GIL, seconds; None if not recorded."""
        return _seconds(self.off_cpu_ns)


@dataclass(frozen=True, slots=True)
class Site:
    """A place in the code where threads had the GIL or released it.

    A hold is shared out among the places that looks saw in such holds; without looks it counts for the site
    where it ended. A wait counts for the site where its thread had released before. Native code without a
    Python frame, and CPython's own start and end of a thread, are sites named in parentheses, without a file.

    Attributes
    ----------
    function, filename : str
        Qualified name and file.
    line : int
        Line number; 0 where there is none.
    releases : int
        Number of releases here.
    hold_ns : int
        Holds here, nanoseconds.
    wait_ns : int
        Waits of threads that had released here, until they got the GIL again, nanoseconds.
    caused_ns : int
        Waits of other threads during the holds here, all waiters together, nanoseconds.
    hold_cpu_ns : int or None
        CPU time in the holds here, nanoseconds; None if not recorded.
    callee : str
        What the line called: a function or type in C, an operator, or what the interpreter did for it; empty
        if it ran itself, or if that was not seen.
    looks : int
        Looks that saw this place, on which `hold_ns` rests; 0 if only the end of holds tells.
    """

    function: str
    filename: str
    line: int
    releases: int
    hold_ns: int
    wait_ns: int
    caused_ns: int
    hold_cpu_ns: int | None = None
    callee: str = ""
    looks: int = 0

    hold_s = Seconds("hold_ns", "Holds here, seconds.")
    wait_s = Seconds("wait_ns", "Waits that followed a release here, seconds.")
    caused_s = Seconds("caused_ns", "Waits of other threads during the holds here, seconds.")

    @property
    def hold_cpu_s(self) -> float | None:
        """CPU time in the holds here, seconds; None if not recorded."""
        return _seconds(self.hold_cpu_ns)


@dataclass(frozen=True, slots=True)
class Frame:
    """One level of a call stack: a function and its current line.

    Attributes
    ----------
    function, filename : str
        Qualified name and file; if not Python code, a name in parentheses and no file. A callee, such as a
        function in C that a line calls, is a level of its own: its name and no file.
    line : int
        Line number; 0 where there is none.
    """

    function: str
    filename: str
    line: int


@dataclass(frozen=True, slots=True)
class Stack:
    """A call stack at which threads had the GIL or released it, with the numbers of a `Site`.

    Attributes
    ----------
    frames : tuple of Frame
        Outermost first. A stack too deep for the tracer begins with a frame that says so.
    releases, hold_ns, wait_ns, caused_ns, looks : int
        As in :class:`Site`.
    """

    frames: tuple[Frame, ...]
    releases: int
    hold_ns: int
    wait_ns: int
    caused_ns: int
    looks: int = 0


@dataclass(frozen=True, slots=True)
class Blame:
    """How long one thread waited while another held the GIL, and where that one was.

    Time in which nobody held the GIL (it was free, but the waiter did not have it yet) is a row without a
    holder. All rows of a thread add up to its wait.

    Attributes
    ----------
    waiter, holder : str
        Thread names; `holder` is empty for the handoff.
    waiter_id, holder_id : int
        Their native identifiers; 0 for the handoff, and for merged ended threads.
    function, filename, line : str, str, int
        The holder's site.
    stack : int or None
        Index of the stack in the report; None without stacks.
    wait_ns : int
        Nanoseconds.
    callee : str
        As in :class:`Site`.
    looks : int
        Looks at this holder that saw this place while threads waited: `wait_ns` is the part of all waiting
        for the holder that is shared out by them. 0 if it counts for the place where the holds ended.
        Looks are not those of one waiter: rows of other waiters may rest on the same ones.
    effective_looks : float
        As many looks of equal weight would be as certain: looks at which many threads waited, or before which
        nobody looked for longer, count for more. At most `looks`.
    task : int or None
        Index, in the report, of the asyncio task that the holder ran; None if it ran none, or if that was not
        seen.
    """

    waiter: str
    waiter_id: int
    holder: str
    holder_id: int
    function: str
    filename: str
    line: int
    stack: int | None
    wait_ns: int
    callee: str = ""
    looks: int = 0
    effective_looks: float = 0.0
    task: int | None = None

    wait_s = Seconds("wait_ns", "Length of the wait, seconds.")


def _innermost(frames: tuple[Frame, ...]) -> tuple[str, str, int, str]:
    """Return function, file and line of the innermost line of a stack, and its callee."""
    *outer, last = frames
    if outer and not last.filename and last.line == 0:
        return outer[-1].function, outer[-1].filename, outer[-1].line, last.function
    return last.function, last.filename, last.line, ""


@dataclass(frozen=True, slots=True)
class LoopTask:
    """What event loops of :mod:`asyncio` ran while their threads had the GIL, as looks saw it.

    Attributes
    ----------
    name : str
        The task's name. Tasks of one coroutine whose names differ only in numbers are told as one:
        ``worker-N x 4``; those that nobody gave a name as ``Task-N``. Empty for callbacks of no task.
    function, filename : str
        The coroutine that the task was made for; for other callbacks the function.
    line : int
        Where that was seen most.
    hold_ns : int
        Holds meanwhile, nanoseconds: a share of all holds, by looks.
    caused_ns : int
        Waits of other threads for these holds, nanoseconds.
    looks : int
        Looks on which that rests.
    """

    name: str
    function: str
    filename: str
    line: int
    hold_ns: int
    caused_ns: int
    looks: int

    hold_s = Seconds("hold_ns", "Holds meanwhile, seconds.")
    caused_s = Seconds("caused_ns", "Waits of other threads for these holds, seconds.")


@dataclass(frozen=True, slots=True)
class LoopCallback:
    """One long callback of an event loop of :mod:`asyncio`: a step of a task, or a function that it called.

    The loop did nothing else meanwhile. Its thread may have waited for the GIL, or been blocked, for a part.

    Attributes
    ----------
    thread : str
        The loop's thread.
    task : str
        The task's name; empty if it was of none.
    function, filename, line : str, str, int
        The task's coroutine, and the line at which it stopped after that, or its first; else the function.
    start_ns : int
        From the start of the trace to that of the callback, nanoseconds.
    duration_ns : int
        How long it took, nanoseconds.
    waited_ns : int
        What other threads waited meanwhile, of the report's longest waits behind this thread, nanoseconds.
    looks, seen : int
        Looks at the thread meanwhile (the last 512 are remembered), and how many saw the place that most saw.
    seen_function, seen_filename, seen_line, seen_callee : str, str, int, str
        That place, as in :class:`Site`; empty without looks.
    """

    thread: str
    task: str
    function: str
    filename: str
    line: int
    start_ns: int
    duration_ns: int
    waited_ns: int
    looks: int = 0
    seen: int = 0
    seen_function: str = ""
    seen_filename: str = ""
    seen_line: int = 0
    seen_callee: str = ""

    start_s = Seconds("start_ns", "From the start of the trace to that of the callback, seconds.")
    duration_s = Seconds("duration_ns", "How long it took, seconds.")
    waited_s = Seconds("waited_ns", "What other threads waited meanwhile, seconds.")


@dataclass(frozen=True, slots=True)
class Stall:
    """One long wait, with both sides named.

    Attributes
    ----------
    waiter, waiter_function, waiter_filename, waiter_line : str, str, str, int
        The waiting thread, and where it had released the GIL before.
    holder, holder_function, holder_filename, holder_line : str, str, str, int
        The thread with the longest hold meanwhile, and where it released the GIL; empty if nobody held it.
    start_ns : int
        From the start of the trace to that of the wait, nanoseconds.
    wait_ns : int
        Length of the wait, nanoseconds.
    holder_ns : int
        The part of the wait covered by that hold, nanoseconds.
    holder_stack : tuple of Frame or None
        What the holder ran in that hold, by most of the looks at it: its stack, outermost first, or the line
        alone without stacks; a callee is the last, without a file. None if nobody looked.
    holder_state : str or None
        What the operating system said of the holder then, as in :class:`OpenHold`.
    pause_ns : int
        The part of the wait in which the holder collected garbage, nanoseconds, as far as the report has
        these pauses one by one (`Report.longest_pauses`).
    pause_generation : int or None
        The generation of the longest of them; None: there was none.
    """

    waiter: str
    waiter_function: str
    waiter_filename: str
    waiter_line: int
    holder: str
    holder_function: str
    holder_filename: str
    holder_line: int
    start_ns: int
    wait_ns: int
    holder_ns: int
    holder_stack: tuple[Frame, ...] | None = None
    holder_state: str | None = None
    pause_ns: int = 0
    pause_generation: int | None = None

    start_s = Seconds("start_ns", "From the start of the trace to that of the wait, seconds.")
    wait_s = Seconds("wait_ns", "Length of the wait, seconds.")
    holder_s = Seconds("holder_ns", "The part of the wait covered by the longest hold, seconds.")

    @property
    def seen_at(self) -> tuple[str, str, int, str]:
        """What the holder ran: function, file, line, callee; where it released the GIL if nobody looked."""
        ended = Frame(self.holder_function, self.holder_filename, self.holder_line)
        return _innermost(self.holder_stack or (ended,))

    pause_s = Seconds("pause_ns", "The part of the wait in which the holder collected garbage, seconds.")


@dataclass(frozen=True, slots=True)
class OwnGil:
    """The GIL that an interpreter has for itself (PEP 684).

    Attributes
    ----------
    interpreter : int
        The interpreter's identifier.
    lifetime_ns : int
        From the first to the last moment of its threads inside the trace, nanoseconds.
    held_ns, contended_ns, wait_ns : int
        As in :class:`Report`, and the waits of all its threads.
    handoffs : int
        As in :class:`Report`.
    """

    interpreter: int
    lifetime_ns: int
    held_ns: int
    contended_ns: int
    wait_ns: int
    handoffs: int


@dataclass(frozen=True, slots=True)
class OpenHold:
    """A hold that had not ended when the recording did, and for which threads waited.

    Attributes
    ----------
    thread : str
        The thread's name.
    native_id, interpreter : int
        As in :class:`ThreadAccount`.
    state : str
        What the operating system said of the thread: "running", "blocked in the kernel" or "stopped by a
        debugger"; empty if it is not known.
    hold_ns : int
        From its start to when it was seen last, nanoseconds.
    frames : tuple of Frame
        The stack as it was seen then, outermost first; a callee is the last, without a file. The hold is
        booked for what is the last.
    """

    thread: str
    native_id: int
    interpreter: int
    state: str
    hold_ns: int
    frames: tuple[Frame, ...]

    hold_s = Seconds("hold_ns", "From its start to when it was seen last, seconds.")

    @property
    def seen_at(self) -> tuple[str, str, int, str]:
        """What the thread ran: function, file, line and callee."""
        return _innermost(self.frames)


@dataclass(frozen=True, slots=True)
class Callee:
    """What a line of own code called: a part of a :class:`Culprit`.

    Attributes
    ----------
    called : str
        Its name with its module; empty: the line ran itself.
    caused_ns, own_ns, share, looks, low, high
        As in :class:`Culprit`.
    """

    called: str
    caused_ns: int
    own_ns: int
    share: float
    looks: int = 0
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Culprit:
    """What made threads wait: a row of :meth:`Report.culprits`.

    Attributes
    ----------
    thread : str
        The thread that held the GIL. Threads whose names differ only in numbers are told as one where they
        did the same: ``pool_N x 4``. Empty in rows that are not by thread.
    function, filename, line : str, str, int
        Where it was: by call the line of the user's own code; empty and 0 where a row is about more.
    called : str
        By call and by line what that line called, with its module; empty if it ran itself. By call, if there
        were several, the one that caused most.
    caused_ns : int
        Waits of other threads meanwhile, all that was called from there included, nanoseconds.
    own_ns : int
        The part in which nothing ran that was called from there; by call, nothing that `called`, or each of
        `callees`, called.
    share : float
        `caused_ns` as a share of all waiting.
    looks : int
        Looks on which that rests; 0 if it is told by where holds ended.
    low, high : float or None
        The 95 % interval of the share; None without looks.
    task : str
        By call and by task the asyncio task that ran, as in :class:`LoopTask`; ``3 tasks`` if there were
        several. Empty if there was none.
    callees : tuple of Callee
        By call, if the line called several: each of them, the one that caused most first. They add up to the
        row. Empty if `called` is all.
    """

    thread: str
    function: str
    filename: str
    line: int
    called: str
    caused_ns: int
    own_ns: int
    share: float
    looks: int = 0
    low: float | None = None
    high: float | None = None
    task: str = ""
    callees: tuple[Callee, ...] = ()

    caused_s = Seconds("caused_ns", "Waits of other threads meanwhile, seconds.")
    own_s = Seconds("own_ns", "The part in which nothing ran that was called from there, seconds.")


@dataclass(frozen=True, slots=True)
class ProcessLevel:
    """One process of a merged report (:func:`gilprobe.merge`).

    Attributes
    ----------
    source : str
        Name of its file, without the folder.
    host : str
        The machine's name; empty if the recording does not say it.
    pid : int
        The process; 0 if unknown.
    command : str
        Its command line, clipped; empty if unknown.
    started_unix_ns : int
        When its recording began, by its host's clock, nanoseconds since 1970; 0 if unknown.
    complete : bool
        Whether its recording was ended.
    processes : int
        Number of processes in this row: 1, except in the row of those summed up.
    threads : int
        Number of threads.
    elapsed_ns, held_ns, contended_ns : int
        As in :class:`Report`.
    waited_ns : int
        Waits of all its threads for the GIL, nanoseconds; without a GIL those for locks.
    wait : Distribution
        Durations of the acquisitions of all its threads.
    culprit : Culprit or None
        What made its threads wait most; None if nothing did, and beyond the 24 whose threads waited most.
    """

    source: str
    host: str
    pid: int
    command: str
    started_unix_ns: int
    complete: bool
    processes: int
    threads: int
    elapsed_ns: int
    held_ns: int
    contended_ns: int
    waited_ns: int
    wait: Distribution
    culprit: Culprit | None = None

    elapsed_s = Seconds("elapsed_ns", "Length of its trace, seconds.")
    held_s = Seconds("held_ns", "Time in which some thread held the GIL, seconds.")
    contended_s = Seconds(
        "contended_ns", "Time in which the GIL was held while another thread waited, seconds."
    )
    waited_s = Seconds("waited_ns", "Waits of all its threads, seconds.")


@dataclass(frozen=True, slots=True)
class HostLevel:
    """All processes of one machine in a merged report (:func:`gilprobe.merge`).

    Attributes
    ----------
    host : str
        Its name; empty for the processes whose recordings do not say it.
    processes, threads : int
        Their numbers.
    elapsed_ns, held_ns, contended_ns, waited_ns : int
        As in :class:`ProcessLevel`, all processes together.
    hold, wait : Distribution
        As in :class:`ThreadAccount`, all threads together.
    first_unix_ns, last_unix_ns : int
        When the first recording began and the last one ended, by the host's own clock, nanoseconds since
        1970; 0 if unknown.
    clock_offset_ns, clock_error_ns : int or None
        By how much the host's clock was ahead of that of the process that asked, and how far from that the
        truth may be, nanoseconds; None: nobody measured it, so times of two hosts can't be compared.
    """

    host: str
    processes: int
    threads: int
    elapsed_ns: int
    held_ns: int
    contended_ns: int
    waited_ns: int
    hold: Distribution
    wait: Distribution
    first_unix_ns: int
    last_unix_ns: int
    clock_offset_ns: int | None = None
    clock_error_ns: int | None = None

    waited_s = Seconds("waited_ns", "Waits of all threads, seconds.")


@dataclass(frozen=True, slots=True)
class Report(NotebookRepr):
    """The report of a trace.

    Attributes
    ----------
    elapsed_ns : int
        From the trace's start to its end, or to the snapshot, nanoseconds.
    held_ns : int
        Time in which some thread held the GIL: the sum of all holds. This and the next two are about the main
        interpreter's GIL; the rows of threads and sites are about all GILs.
    contended_ns : int
        Time in which one thread held the GIL while at least one other waited for it.
    handoffs : int
        Acquisitions by a thread that was already waiting when the GIL was released.
    threads : tuple of ThreadAccount
        In the order of their first events.
    sites : tuple of Site
        Longest hold first; empty if not recorded.
    stacks : tuple of Stack
        Longest hold first; empty if not recorded.
    blame : tuple of Blame
        Longest first; empty without sites.
    longest_waits : tuple of Stall
        At most the 1024 longest of each interpreter, longest first; empty without sites. See :meth:`stalls`.
    dropped_events : int
        Events missing in the timeline because they came faster than they were written. All other numbers are
        exact.
    warnings : tuple of str
        All doubts about these numbers.
    environment : Environment
        What it was measured on.
    looks : int
        Looks at holders of a GIL, at random times, by which holds and waits are shared out to the places that
        were seen; 0: nobody looked, and all counts for the places where the holds ended.
    looks_unseen : int
        Number of further looks, which could not read what the holder ran. They tell nothing.
    unshared_wait_ns : int
        Waits behind a holder that count for the place where its holds ended, since no look fell into these
        holds, nanoseconds; 0 without looks.
    own_gils : tuple of OwnGil or None
        Of each interpreter that has a GIL of its own; None if there is none.
    still_held : tuple of OpenHold or None
        Of a recording that was not ended: the hold that was under way at its end, of each GIL that has one.
    collections : tuple of Collection or None
        Collections of garbage by thread, line and generation, the longest together first; None: not recorded.
        Those of interpreters other than the traced program's own are not among them.
    longest_pauses : tuple of Pause or None
        The 256 longest of these collections, one by one, the longest first; None: not recorded.
    tasks : tuple of LoopTask
        What event loops of asyncio ran, the worst first; empty without looks.
    longest_callbacks : tuple of LoopCallback
        At most the 128 longest callbacks of event loops, of 1 ms or more, longest first; empty without sites.
    locks : tuple of Lock or None
        What threads waited for beside the GIL, longest first; None if not recorded.
    lock_waits : tuple of LockWait or None
        Who waited for these, where, and behind whom, longest first; None if not recorded.
    lock_waiters : tuple of LockWaiter or None
        Who waited for these, and where: how often, how long at most, longest together first; None if not
        recorded.
    labels : tuple of LabelTotals
        What the code under each label did, and that without one, at the main interpreter's GIL; empty where
        nothing had a label, and without sites.
    label_blame : tuple of LabelBlame
        Who waited behind whom, by label, longest first; empty where nothing had a label.
    processes : tuple of ProcessLevel or None
        Of a merged report: its processes, the one whose threads waited most first; None if it is about one
        process. Its other numbers are sums over all, its threads are told by kind: ``pool_N``.
    hosts : tuple of HostLevel or None
        Of a merged report: the machines, longest waits first; None if it is about one process.
    worst : Report or None
        Of a merged report: that of the process whose threads waited most, shortened; None if no process was
        contended noticeably.
    """

    elapsed_ns: int
    held_ns: int
    contended_ns: int
    handoffs: int
    threads: tuple[ThreadAccount, ...]
    sites: tuple[Site, ...]
    stacks: tuple[Stack, ...]
    blame: tuple[Blame, ...]
    longest_waits: tuple[Stall, ...]
    dropped_events: int
    warnings: tuple[str, ...]
    environment: Environment
    looks: int = 0
    looks_unseen: int = 0
    unshared_wait_ns: int = 0
    own_gils: tuple[OwnGil, ...] | None = None
    still_held: tuple[OpenHold, ...] | None = None
    collections: tuple[Collection, ...] | None = None
    longest_pauses: tuple[Pause, ...] | None = None
    tasks: tuple[LoopTask, ...] = ()
    longest_callbacks: tuple[LoopCallback, ...] = ()
    locks: tuple[Lock, ...] | None = None
    lock_waits: tuple[LockWait, ...] | None = None
    lock_waiters: tuple[LockWaiter, ...] | None = None
    labels: tuple[LabelTotals, ...] = ()
    label_blame: tuple[LabelBlame, ...] = ()
    processes: tuple[ProcessLevel, ...] | None = None
    hosts: tuple[HostLevel, ...] | None = None
    worst: Report | None = None

    def __post_init__(self) -> None:
        for name in _NOT_NEGATIVE:
            if getattr(self, name) < 0:
                raise InvalidValueError(f"{name} must be >= 0, got {getattr(self, name)}")
        for name in ("lock_waits", "lock_waiters"):
            if any(not 0 <= row.lock < len(self.locks or ()) for row in getattr(self, name) or ()):
                raise InvalidValueError(f"each row of {name} must have the index of one of locks")

    elapsed_s = Seconds("elapsed_ns", "Length of the trace, seconds.")
    held_s = Seconds("held_ns", "Time in which some thread held the GIL, seconds.")
    contended_s = Seconds(
        "contended_ns", "Time in which the GIL was held while another thread waited, seconds."
    )

    def stalls(self, threshold_s: float = 0.0) -> tuple[Stall, ...]:
        """Return the waits of at least `threshold_s` seconds, longest first.

        A trace keeps only its 1024 longest waits above 1 us, so a low threshold may not show all.

        Raises
        ------
        InvalidTypeError
            If `threshold_s` is not a number.
        InvalidValueError
            If it is negative or not finite.
        """
        if not isinstance(threshold_s, int | float) or isinstance(threshold_s, bool):
            raise InvalidTypeError(f"threshold_s must be a number of seconds, got {threshold_s!r}")
        if not 0 <= threshold_s < float("inf"):
            raise InvalidValueError(f"threshold_s must be >= 0 and finite, got {threshold_s!r}")
        return tuple(stall for stall in self.longest_waits if stall.wait_s >= threshold_s)

    def off_times(self) -> tuple[OffTime, ...]:
        """Return how each thread spent its off time: asleep for a lock, for work, and the rest.

        Returns
        -------
        tuple of OffTime
            A row for each of `threads`, in their order; the parts of a row add up to the thread's off time.
            Empty if locks were not recorded.
        """
        from gilprobe.model.off_times import off_times

        return off_times(self)

    def culprits(self, by: By = "call", own: Sequence[str] = ()) -> tuple[Culprit, ...]:
        """Return what made threads wait for the GIL, the worst first.

        By call, a row is a thread or a pool, the innermost line of the user's own code that was running, and
        what that line called, all its callees together: also a generator, or a callback, that this line alone
        drives, and does a good part of the work itself; by thread, a thread or a pool; by task, a task of
        asyncio or a callback of its event loop, with its thread. These add up to all waiting behind a holder.
        By function, line or module, a row has all waits in which it was anywhere on the holder's stack, and
        rows are ranked by their own part. Without recorded stacks only the innermost function is known.

        Parameters
        ----------
        by : {"call", "function", "line", "thread", "module", "task"}
            What a row is about.
        own : sequence of str
            Folders of the user's own code. Default: all code that is neither in the standard library nor in
            an installed package.

        Raises
        ------
        InvalidValueError
            If `by` is none of these.
        InvalidTypeError
            If `own` is no list or tuple of strings.
        """
        from gilprobe.model.culprits import rank

        return rank(self, by, own)

    def verdict(self, by: By = "call", own: Sequence[str] = (), rows: int = 50) -> dict[str, Any]:
        """Return the first rows of :meth:`culprits` with the sums, ready for :mod:`json`.

        Returns
        -------
        dict
            ``by``; ``waited_ns``, all waiting; ``unshared_wait_ns`` and ``looks`` as in the report;
            ``culprits``, a dict for each row; ``locks``, if they were recorded, the same of waits for locks:
            ``waited_ns``, ``spun_ns``, ``work_ns``, ``threads``, and ``rows``, a dict for each lock.
        """
        from gilprobe.model import codec

        found = self.culprits(by, own)
        return {
            **self._verdict_of_locks(rows),
            "by": by,
            "waited_ns": sum(thread.wait_ns for thread in self.threads),
            "looks": self.looks,
            "unshared_wait_ns": self.unshared_wait_ns,
            "culprits": [codec.encode(row) for row in found[:rows]],
        }

    def _verdict_of_locks(self, rows: int) -> dict[str, Any]:
        if self.locks is None:
            return {}
        from gilprobe.model.lock_ranking import verdict

        return {"locks": verdict(self, rows)}

    def abridged(self, rows: int) -> Report:
        """Return a shorter report: at most `rows` rows of blame with a holder, and `rows` longest waits.

        The other rows of each waiter become one with the holder "(others)", so all still add up to its wait.
        The same holds for waits for each lock.
        """
        from gilprobe.model.lock_ranking import abridged

        return abridged(self._abridged_blame(rows), rows)

    def _abridged_blame(self, rows: int) -> Report:
        named = [row for row in self.blame if row.holder]
        if len(named) <= rows and len(self.longest_waits) <= rows:
            return self
        left: dict[tuple[str, int], int] = {}
        for row in named[rows:]:
            left[row.waiter, row.waiter_id] = left.get((row.waiter, row.waiter_id), 0) + row.wait_ns
        others = [Blame(*waiter, OTHERS, 0, OTHERS, "", 0, None, wait_ns) for waiter, wait_ns in left.items()]
        blame = [*named[:rows], *(row for row in self.blame if not row.holder), *others]
        blame.sort(key=lambda row: -row.wait_ns)
        from dataclasses import replace

        return replace(self, blame=tuple(blame), longest_waits=self.longest_waits[:rows])

    def to_dict(self) -> dict[str, Any]:
        """Return the report as dicts, lists and scalars, ready for :mod:`json`."""
        from gilprobe.model import codec

        body: dict[str, Any] = codec.encode(self)
        return {**_HEAD, **body}

    def pieces(self, verdict: dict[str, Any] | None = None) -> Iterator[str]:
        """Yield what :meth:`save` writes, piece by piece, with a verdict in front if one is given."""
        from gilprobe.model import codec

        return codec.pieces(self, _HEAD if verdict is None else {**_HEAD, _VERDICT: verdict})

    @classmethod
    def from_dict(cls, document: object) -> Report:
        """Build a report from what :meth:`to_dict` returned. A verdict in it is left out.

        Raises
        ------
        FormatError
            If `document` has another kind or schema, or not exactly the declared keys and types.
        """
        if not isinstance(document, dict) or document.get("kind") != _KIND:
            raise FormatError(f"a report must be an object of kind {_KIND!r}")
        from gilprobe.model import codec

        body = codec.versioned(document, SCHEMA, "a report")
        del body["kind"]
        body.pop(_VERDICT, None)  # follows from the rest
        return codec.decode(cls, body, "report")

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the report as JSON, readable by its owner only (mode 0600).

        Raises
        ------
        OSError
            If the file can't be written; an earlier file is then unchanged.
        """
        from gilprobe.model import codec

        codec.write_text(path, self.pieces())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Report:
        """Read a report that :meth:`save` wrote, as hostile input.

        Raises
        ------
        FormatError
            If the file is not a complete report of this schema.
        OSError
            If the file can't be read.
        """
        from gilprobe.model import codec

        return codec.load(path, cls.from_dict)
