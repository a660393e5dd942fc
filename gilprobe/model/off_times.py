"""How threads spent their off time: asleep for a lock, for work, and the rest. Computed from a report."""

from __future__ import annotations

from collections import defaultdict

from gilprobe.model.locks import STOP, WORK
from gilprobe.model.plain_data import dataclass
from gilprobe.model.seconds import Seconds

TYPE_CHECKING = False  # as in gilprobe/__init__.py: a recorded process loads no typing
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gilprobe.report import Report, ThreadAccount

_LOCK, _WORK, _STOPPED, _SPIN = range(4)


@dataclass(frozen=True, slots=True)
class OffTime:
    """How one thread spent its off time.

    The five parts add up to `off_ns`. On a build without a GIL a thread is off all its life, so that the rest
    is also the time in which it ran Python code. Where a GIL is, a thread that spins has it: that is part of
    its holds, and no off time.

    Attributes
    ----------
    thread, native_id, interpreter : str, int, int
        As in :class:`~gilprobe.report.ThreadAccount`.
    off_ns : int
        Off time, nanoseconds.
    lock_ns : int
        Asleep, since another thread had a lock, nanoseconds.
    work_ns : int
        Asleep for work: for a condition, an event, an item of a queue, the end of a thread; nanoseconds.
    stopped_ns : int
        Stopped with all other threads, nanoseconds.
    spin_ns : int
        Tries to get a lock again and again, without sleep, nanoseconds; 0 where there is a GIL.
    rest_ns : int
        The rest, nanoseconds: it ran native code, or was blocked in the system.
    cpu_ns : int or None
        The part of the rest in which it used a CPU, nanoseconds, with the CPU time of its spins, which is
        short; None if not recorded. For what is left it was blocked in the system or waited for a core.
    """

    thread: str
    native_id: int
    interpreter: int
    off_ns: int
    lock_ns: int
    work_ns: int
    stopped_ns: int
    spin_ns: int
    rest_ns: int
    cpu_ns: int | None = None

    @property
    def blocked_ns(self) -> int:
        """The rest without `cpu_ns`, nanoseconds."""
        return self.rest_ns - (self.cpu_ns or 0)

    off_s = Seconds("off_ns", "Off time, seconds.")
    lock_s = Seconds("lock_ns", "Asleep, since another thread had a lock, seconds.")
    work_s = Seconds("work_ns", "Asleep for work, seconds.")
    stopped_s = Seconds("stopped_ns", "Stopped with all other threads, seconds.")
    spin_s = Seconds("spin_ns", "Tries to get a lock again and again, seconds.")
    rest_s = Seconds("rest_ns", "The rest, seconds.")

    @property
    def cpu_s(self) -> float | None:
        """The part of the rest with a CPU, seconds; None if not recorded."""
        return None if self.cpu_ns is None else self.cpu_ns / 1e9


def off_times(report: Report) -> tuple[OffTime, ...]:
    """Return a row for each thread of a report, in their order; none if locks were not recorded."""
    if report.locks is None:
        return ()
    kinds = [lock.kind for lock in report.locks]
    spins = not report.environment.gil_enabled
    finder = _Finder(report.threads)
    spent: dict[int, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for row in report.lock_waiters or ():
        number = finder.number(row.waiter, row.waiter_id)
        if number is None:
            continue
        kind = kinds[row.lock]
        asleep = _WORK if kind == WORK else _STOPPED if kind == STOP else _LOCK
        spent[number][asleep] += row.wait_ns - row.spun_ns
        spent[number][_SPIN] += row.spun_ns if spins else 0
    return tuple(_parted(account, spent[number]) for number, account in enumerate(report.threads))


def _parted(account: ThreadAccount, amounts: Sequence[int]) -> OffTime:
    """Return a row whose parts add up: a thread that waits and keeps the GIL is not off meanwhile."""
    left = account.off_ns
    parts = []
    for amount in amounts:
        parts.append(min(amount, left))
        left -= parts[-1]
    return OffTime(
        thread=account.name,
        native_id=account.native_id,
        interpreter=account.interpreter,
        off_ns=account.off_ns,
        lock_ns=parts[_LOCK],
        work_ns=parts[_WORK],
        stopped_ns=parts[_STOPPED],
        spin_ns=parts[_SPIN],
        rest_ns=left,
        cpu_ns=None if account.off_cpu_ns is None else min(account.off_cpu_ns, left),
    )


class _Finder:
    """Finds the account of a thread that waited for a lock: ended threads may be one row."""

    def __init__(self, threads: Iterable[ThreadAccount]) -> None:
        self._by_both: dict[tuple[str, int], int] = {}
        self._by_id: dict[int, int | None] = {}
        self._merged: int | None = None
        for number, account in enumerate(threads):
            if account.merged != 1:
                self._merged = number if self._merged is None else self._merged
                continue
            own = account.name.removesuffix(f" (interpreter {account.interpreter})")
            for name in (account.name, own):
                self._by_both.setdefault((name, account.native_id), number)
            known = account.native_id in self._by_id
            self._by_id[account.native_id] = None if known else number

    def number(self, name: str, native_id: int) -> int | None:
        """Return the number of an account; None if it is not known which is meant."""
        number = self._by_both.get((name, native_id), self._merged)
        return self._by_id.get(native_id) if number is None else number
