"""What happened between two reports of one running trace.

Sums of a trace only grow, so what happened is the difference of two sums. Three things are not as simple. A
thread that has ended may be merged into the row of such threads, with all that it did before. The operating
system gives the number of a thread that has ended to a new one. And looks share a thread's holds out anew in
each report, so the sum of one place may shrink: of two threads the exact difference is shared out among the
places whose sums grew.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from gilprobe.model.distribution import bucket_bounds_ns
from gilprobe.model.locks import WORK
from gilprobe.model.reading import LockReading, Reading, ThreadReading
from gilprobe.report import Blame

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from gilprobe.model.distribution import Distribution
    from gilprobe.report import Report, ThreadAccount

    _Place = tuple[str, str, int, str, object, object]
    """Function, file, line, callee, frames of the stack, task."""

    _Pair = tuple[int, int]
    """Native identifiers of a waiter and a holder; 0: the merged ended threads, or nobody."""

_MERGED = 0
_NOBODY = -1
_MOST_CULPRITS = 50
_MOST_WAITS = 50
_MOST_ROWS = 200


def read_between(
    earlier: Report | None,
    later: Report,
    *,
    since: Report | None = None,
    own: Sequence[str] = (),
    final: bool = False,
) -> Reading:
    """Return what happened between two reports of one trace.

    Parameters
    ----------
    earlier : Report or None
        At the last reading; None: the trace's start.
    later : Report
        Now.
    since : Report or None
        At the start of the window; None: the trace's start.
    own : sequence of str
        Folders of the user's own code, as for :meth:`~gilprobe.report.Report.culprits`.
    final : bool
        Whether the program has ended.
    """
    start_ns = 0 if earlier is None else earlier.elapsed_ns
    window_start_ns = 0 if since is None else since.elapsed_ns
    threads = _threads(earlier, later)
    window = _window(since, later)
    culprits = window.culprits("call", own)[:_MOST_CULPRITS]
    lock_waits = None if later.lock_waits is None else _lock_wait_ns(earlier, later)
    return Reading(
        elapsed_ns=later.elapsed_ns,
        interval_ns=max(0, later.elapsed_ns - start_ns),
        window_ns=max(0, later.elapsed_ns - window_start_ns),
        gil=later.environment.gil_enabled,
        held_ns=_grown(later.held_ns, earlier.held_ns if earlier else 0),
        contended_ns=_grown(later.contended_ns, earlier.contended_ns if earlier else 0),
        handoffs=_grown(later.handoffs, earlier.handoffs if earlier else 0),
        lock_wait_ns=lock_waits,
        threads=threads,
        waited_ns=sum(thread.wait_ns for thread in window.threads),
        culprits=culprits,
        blame=_told(window)[:_MOST_ROWS],
        longest_waits=tuple(
            wait for wait in later.longest_waits if wait.start_ns + wait.wait_ns > window_start_ns
        )[:_MOST_WAITS],
        locks=None if later.lock_waits is None else _locks(since, later)[:_MOST_ROWS],
        final=final,
        warnings=later.warnings,
    )


def _grown(later: int, earlier: int) -> int:
    return max(0, later - earlier)


# ---- threads ----


class _Matched:
    """The threads of two reports, each with itself."""

    def __init__(self, earlier: Report | None, later: Report) -> None:
        self._earlier_of: dict[int, ThreadAccount] = {}  # by the place in later.threads
        self._merged: list[ThreadAccount] = []  # accounts of the earlier report that were merged since
        left: dict[tuple[int, int], list[int]] = defaultdict(list)
        for at, account in enumerate(later.threads):
            left[_key(account)].append(at)
        # Those that have ended come first: they can only be as they were.
        for account in sorted(earlier.threads if earlier else (), key=lambda one: not one.ended):
            candidates = left[_key(account)]
            found = next((at for at in candidates if _goes_on(account, later.threads[at])), None)
            if found is None:
                self._merged.append(account)
            else:
                candidates.remove(found)
                self._earlier_of[found] = account

    def before(self, at: int, account: ThreadAccount) -> list[ThreadAccount]:
        """Return the earlier accounts of which all is in the account at this place of the later report."""
        before = [self._earlier_of[at]] if at in self._earlier_of else []
        if account.merged != 1:
            before += [one for one in self._merged if one.interpreter == account.interpreter]
        return before

    def gone(self) -> set[int]:
        """Return the native identifiers of threads whose accounts were merged."""
        return {account.native_id for account in self._merged}


def _key(account: ThreadAccount) -> tuple[int, int]:
    return (_MERGED if account.merged != 1 else account.native_id), account.interpreter


def _goes_on(earlier: ThreadAccount, later: ThreadAccount) -> bool:
    """Return whether an account may be the same thread's at a later moment.

    Only counts tell: times are converted with a rate that is measured anew for each report.
    """
    if earlier.merged == 1 and earlier.ended:
        return later.ended and earlier.acquisitions == later.acquisitions
    return earlier.acquisitions <= later.acquisitions


def _threads(earlier: Report | None, later: Report) -> tuple[ThreadReading, ...]:
    matched = _Matched(earlier, later)
    interval_ns = later.elapsed_ns - (earlier.elapsed_ns if earlier else 0)
    waits = _lock_waits_by_thread(earlier, later)
    rows = []
    for at, account in enumerate(later.threads):
        before = matched.before(at, account)
        if account.merged == 1 and before and before[0].ended:
            continue
        lock_wait_ns = None if waits is None else waits.get(account.native_id, 0)
        rows.append(_thread(before, account, interval_ns, lock_wait_ns))
    return tuple(rows)


def _thread(
    before: Sequence[ThreadAccount], now: ThreadAccount, interval_ns: int, lock_wait_ns: int | None
) -> ThreadReading:
    hold_ns = _grown(now.hold_ns, sum(one.hold_ns for one in before))
    wait_ns = _grown(now.wait_ns, sum(one.wait_ns for one in before))
    # An account may begin late in a thread's life, with its first use of the GIL.
    lifetime_ns = (
        _grown(now.lifetime_ns, sum(one.lifetime_ns for one in before)) if before else now.lifetime_ns
    )
    if now.merged == 1 and not now.ended:
        lifetime_ns = min(interval_ns, now.lifetime_ns)
    return ThreadReading(
        native_id=now.native_id if now.merged == 1 else _MERGED,
        name=now.name,
        interpreter=now.interpreter,
        ended=now.ended,
        hold_ns=hold_ns,
        wait_ns=wait_ns,
        off_ns=max(0, lifetime_ns - hold_ns - wait_ns),
        acquisitions=_grown(now.acquisitions, sum(one.acquisitions for one in before)),
        longest_hold_ns=_longest_ns([one.hold for one in before], now.hold),
        longest_wait_ns=_longest_ns([one.wait for one in before], now.wait),
        lock_wait_ns=lock_wait_ns,
    )


def _longest_ns(before: Iterable[Distribution], now: Distribution) -> int:
    """Return the longest of the intervals that were added: the middle of the last bucket that grew."""
    counts: dict[int, int] = defaultdict(int)
    for one in before:
        for bucket, count in one.buckets:
            counts[bucket] += count
    for bucket, count in reversed(now.buckets):
        if count > counts[bucket]:
            low, high = bucket_bounds_ns(bucket)
            return min((low + high - 1) // 2, now.max_ns)
    return 0


# ---- who waited behind whom ----


def _window(since: Report | None, later: Report) -> Report:
    """Return a report of what happened since, with what :meth:`Report.culprits` needs."""
    from dataclasses import replace

    matched = _Matched(since, later)
    now, before = _Blamed(later, ()), _Blamed(since, matched.gone())
    rows: list[Blame] = []
    for pair, places in now.places.items():
        earlier = before.places.get(pair, {})
        grown = {place: _grown(ns, earlier.get(place, (0, 0))[0]) for place, (ns, _) in places.items()}
        whole = _grown(sum(ns for ns, _ in places.values()), sum(ns for ns, _ in earlier.values()))
        shares = sum(grown.values())
        for place, ns in grown.items():
            if not (part := whole * ns // shares if shares else 0):
                continue
            looks = _grown(places[place][1], earlier.get(place, (0, 0))[1])
            rows.append(_changed(now.row[pair, place], wait_ns=part, looks=looks))
    rows.sort(key=lambda row: (-row.wait_ns, row.waiter, row.holder, row.function, row.line))
    threads = [
        replace(account, wait_ns=wait_ns)
        for account, wait_ns in zip(later.threads, _waits(matched, later), strict=True)
    ]
    return replace(
        later,
        threads=tuple(threads),
        blame=tuple(rows),
        sites=(),
        longest_waits=(),
        locks=None,
        lock_waits=None,
        lock_waiters=None,
    )


def _waits(matched: _Matched, later: Report) -> list[int]:
    """Return how long each thread of the later report has waited since."""
    return [
        _grown(account.wait_ns, sum(one.wait_ns for one in matched.before(at, account)))
        for at, account in enumerate(later.threads)
    ]


class _Blamed:
    """Rows of blame by waiter and holder, then by place.

    Attributes
    ----------
    places : dict
        Nanoseconds and looks of each place.
    row : dict
        A row of each pair and place, for its names.
    """

    def __init__(self, report: Report | None, gone: Iterable[int]) -> None:
        merged = set(gone)
        self.places: dict[_Pair, dict[_Place, tuple[int, int]]] = defaultdict(dict)
        self.row: dict[tuple[_Pair, _Place], Blame] = {}
        for row in report.blame if report else ():
            waiter = _MERGED if row.waiter_id in merged else row.waiter_id
            holder = _MERGED if row.holder_id in merged else row.holder_id
            pair = waiter, holder if row.holder else _NOBODY
            place = self._place(report, row)  # type: ignore[arg-type]
            ns, looks = self.places[pair].get(place, (0, 0))
            self.places[pair][place] = ns + row.wait_ns, looks + row.looks
            self.row.setdefault((pair, place), row)

    @staticmethod
    def _place(report: Report, row: Blame) -> _Place:
        stack, task = row.stack, row.task
        frames = report.stacks[stack].frames if stack is not None and stack < len(report.stacks) else None
        running = report.tasks[task] if task is not None and task < len(report.tasks) else None
        told = (running.name, running.function, running.filename) if running is not None else None
        return row.function, row.filename, row.line, row.callee, frames, told


def _changed(row: Blame, *, wait_ns: int, looks: int) -> Blame:
    """Return a row with other numbers; its looks tell as much as looks of equal weight at most."""
    return Blame(
        row.waiter,
        row.waiter_id,
        row.holder,
        row.holder_id,
        row.function,
        row.filename,
        row.line,
        row.stack,
        wait_ns,
        callee=row.callee,
        looks=looks,
        effective_looks=min(float(looks), row.effective_looks),
        task=row.task,
    )


def _told(window: Report) -> tuple[Blame, ...]:
    """Return rows by site, without the stacks and tasks of a report that nobody has."""
    sums: dict[tuple[object, ...], list[int]] = {}
    rows: dict[tuple[object, ...], Blame] = {}
    for row in window.blame:
        key = (row.waiter_id, row.holder_id, row.holder, row.function, row.filename, row.line, row.callee)
        cell = sums.setdefault(key, [0, 0])
        cell[0] += row.wait_ns
        cell[1] += row.looks
        rows.setdefault(key, row)
    told = [
        Blame(
            row.waiter,
            row.waiter_id,
            row.holder,
            row.holder_id,
            row.function,
            row.filename,
            row.line,
            None,
            sums[key][0],
            callee=row.callee,
            looks=sums[key][1],
        )
        for key, row in rows.items()
    ]
    return tuple(sorted(told, key=lambda row: (-row.wait_ns, row.waiter, row.holder, row.function, row.line)))


# ---- locks ----


def _lock_rows(report: Report | None) -> Mapping[LockReading, int]:
    """Return the waits for locks, by rows without numbers.

    Work is no lock: a thread that waits for it is idle.
    """
    rows: dict[LockReading, int] = defaultdict(int)
    if report is None or report.lock_waits is None or report.locks is None:
        return rows
    titles = [lock.title for lock in report.locks]
    for row in report.lock_waits:
        if report.locks[row.lock].kind != WORK:
            key = LockReading(
                titles[row.lock],
                report.locks[row.lock].kind,
                row.waiter,
                row.waiter_id,
                row.waiter_function,
                row.waiter_filename,
                row.waiter_line,
                row.behind,
                row.function,
                row.filename,
                row.line,
                0,
            )
            rows[key] += row.wait_ns
    return rows


def _lock_changes(earlier: Report | None, later: Report) -> list[tuple[LockReading, int]]:
    before = _lock_rows(earlier)
    found = [(row, _grown(ns, before.get(row, 0))) for row, ns in _lock_rows(later).items()]
    return [(row, ns) for row, ns in found if ns]


def _locks(since: Report | None, later: Report) -> tuple[LockReading, ...]:
    from dataclasses import replace

    rows = [replace(row, wait_ns=ns) for row, ns in _lock_changes(since, later)]
    return tuple(sorted(rows, key=lambda row: (-row.wait_ns, row.lock, row.waiter, row.holder)))


def _lock_wait_ns(earlier: Report | None, later: Report) -> int:
    return sum(ns for _, ns in _lock_changes(earlier, later))


def _lock_waits_by_thread(earlier: Report | None, later: Report) -> dict[int, int] | None:
    if later.lock_waits is None:
        return None
    sums: dict[int, int] = defaultdict(int)
    for row, ns in _lock_changes(earlier, later):
        sums[row.waiter_id] += ns
    return sums
