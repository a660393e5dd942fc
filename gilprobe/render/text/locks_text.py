"""Locks as text: which were waited for, by whom, behind whom; and waits for work, which are told apart."""

from __future__ import annotations

from collections import defaultdict

from gilprobe.durations import duration
from gilprobe.model.locks import WORK
from gilprobe.render.shared import words
from gilprobe.render.shared.words import clipped, plural, share

TYPE_CHECKING = False  # as in gilprobe/__init__.py: a recorded process loads no typing
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from gilprobe.model.locks import Lock, LockWait
    from gilprobe.render.shared.page import Page
    from gilprobe.report import Report


def paths_of_locks(report: Report) -> set[str]:
    """Return the paths that the tables may show."""
    rows = report.lock_waits or ()
    return {row.filename for row in rows} | {row.waiter_filename for row in rows}


def lock_headline(report: Report) -> str:
    """Return how long threads waited for locks, and for work."""
    locks, work = _apart(report)
    waiters = {(row.waiter, row.waiter_id) for row in report.lock_waits or () if _is_lock(report, row)}
    waited_ns = sum(lock.wait_ns for lock in locks)
    told = f"{plural(len(waiters), 'thread')} waited {duration(waited_ns / 1e9)} for locks"
    spun_ns = sum(lock.spun_ns for lock in locks)
    if spun_ns:
        told += f" ({share(spun_ns, waited_ns)} of that without sleep)"
    return f"{told}, {duration(sum(lock.wait_ns for lock in work) / 1e9)} for work"


def lock_verdict(report: Report, short: dict[str, str]) -> str:
    """Return the lock that was waited for most, and who had it; empty if none was."""
    locks, _ = _apart(report)
    worst = max(locks, key=lambda lock: lock.wait_ns, default=None)
    waited_ns = sum(lock.wait_ns for lock in locks)
    if worst is None or not waited_ns:
        return ""
    index = (report.locks or ()).index(worst)
    place = _most(
        _rows(report, index), lambda row: (row.waiter_function, row.waiter_filename, row.waiter_line)
    )
    behind = _most(
        (row for row in _rows(report, index) if row.holder),
        lambda row: (row.holder, row.function, row.filename, row.line),
    )
    told = f"{share(worst.wait_ns, waited_ns)} of that was for {clipped(worst.title)}"
    if place is not None:
        told += f", in {_place(place[0], short)}"
    if behind is not None:
        holder, *site = behind[0]
        told += f"; most behind {clipped(str(holder))} in {_place(site, short)}"
    return told


def write_threads(page: Page, report: Report, rows: int) -> None:
    """Write how long each thread waited, where there is no GIL that it could hold or wait for."""
    sums: dict[tuple[str, int], list[int]] = {
        (account.name, account.native_id): [0, 0] for account in report.threads
    }
    for row in report.lock_waits or ():
        waits = sums.setdefault((row.waiter, row.waiter_id), [0, 0])
        waits[not _is_lock(report, row)] += row.wait_ns
    ranked = sorted(sums.items(), key=lambda pair: -pair[1][0])
    table = page.table("thread", ">for locks", ">of the time", ">for work", ">of the time")
    for (name, _), (locks_ns, work_ns) in ranked[:rows]:
        page.row(table, clipped(name), *_of(locks_ns, report), *_of(work_ns, report))
    rest = ranked[rows:]
    if rest:
        locks_ns, work_ns = (sum(waits[i] for _, waits in rest) for i in range(2))
        page.row(
            table, f"{len(rest)} more, summed", duration(locks_ns / 1e9), "", duration(work_ns / 1e9), ""
        )
    page.show(table)


def _of(wait_ns: int, report: Report) -> tuple[str, str]:
    return duration(wait_ns / 1e9), share(wait_ns, report.elapsed_ns)


def write_locks(page: Page, report: Report, rows: int, short: dict[str, str]) -> None:
    """Write the tables."""
    if not report.locks:
        return
    locks, work = _apart(report)
    _lock_table(page, report, "Locks", locks, rows, short)
    _wait_table(page, report, rows, short)
    _lock_table(page, report, "Waits for work", work, max(1, rows // 2), short)


def _is_lock(report: Report, row: LockWait) -> bool:
    return (report.locks or ())[row.lock].kind != WORK


def _apart(report: Report) -> tuple[list[Lock], list[Lock]]:
    locks = report.locks or ()
    return [lock for lock in locks if lock.kind != WORK], [lock for lock in locks if lock.kind == WORK]


def _rows(report: Report, index: int) -> list[LockWait]:
    return [row for row in report.lock_waits or () if row.lock == index]


def _most(
    rows: Iterable[LockWait], key: Callable[[LockWait], tuple[object, ...]]
) -> tuple[tuple[object, ...], int] | None:
    sums: dict[tuple[object, ...], int] = defaultdict(int)
    for row in rows:
        sums[key(row)] += row.wait_ns
    return max(sums.items(), key=lambda pair: pair[1], default=None)


def _waits_at(row: LockWait) -> tuple[object, ...]:
    return row.waiter_function, row.waiter_filename, row.waiter_line


def _place(site: Sequence[object], short: dict[str, str]) -> str:
    function, filename, line = site
    return words.place(str(function), short.get(str(filename), str(filename)), int(str(line)))


def _lock_table(
    page: Page, report: Report, title: str, locks: Sequence[Lock], rows: int, short: dict[str, str]
) -> None:
    if not locks:
        return
    page.line(title, style="bold")
    whole = sum(lock.wait_ns for lock in locks)
    table = page.table(">wait", ">of all", ">waits", ">longest", ">99% below", "what", "waited for in")
    for lock in locks[:rows]:
        index = (report.locks or ()).index(lock)
        place = _most(_rows(report, index), _waits_at)
        page.row(
            table,
            duration(lock.wait_s),
            share(lock.wait_ns, whole),
            str(lock.waits),
            duration(lock.wait.max_ns / 1e9),
            duration(lock.wait.quantile(0.99)),
            clipped(lock.title),
            "" if place is None else _place(place[0], short),
        )
    rest = locks[rows:]
    if rest:
        rest_ns = sum(lock.wait_ns for lock in rest)
        number = str(sum(lock.waits for lock in rest))
        page.row(
            table,
            duration(rest_ns / 1e9),
            share(rest_ns, whole),
            number,
            "",
            "",
            f"{len(rest)} more, summed",
            "",
        )
    page.show(table)


def _wait_table(page: Page, report: Report, rows: int, short: dict[str, str]) -> None:
    sums: dict[tuple[str, int, str, str, str, int], int] = defaultdict(int)
    for row in report.lock_waits or ():
        if _is_lock(report, row):
            sums[row.waiter, row.lock, row.holder, row.function, row.filename, row.line] += row.wait_ns
    if not sums:
        return
    whole = sum(sums.values())
    ranked = sorted(sums.items(), key=lambda pair: -pair[1])
    page.line("Who waited for which lock behind whom", style="bold")
    table = page.table(">wait", ">of all", "waiter", "lock", "holder", "released in")
    for (waiter, index, holder, *site), wait_ns in ranked[:rows]:
        page.row(
            table,
            duration(wait_ns / 1e9),
            share(wait_ns, whole),
            clipped(waiter),
            clipped((report.locks or ())[index].title),
            clipped(holder) or "nobody",
            _place(site, short),
        )
    rest = ranked[rows:]
    if rest:
        rest_ns = sum(wait_ns for _, wait_ns in rest)
        page.row(
            table, duration(rest_ns / 1e9), share(rest_ns, whole), f"{len(rest)} more, summed", "", "", ""
        )
    page.show(table)
