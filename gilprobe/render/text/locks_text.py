"""Locks as text: which were waited for, by whom, behind whom; and waits for work, which are told apart."""

from __future__ import annotations

from collections import defaultdict

from gilprobe.durations import duration
from gilprobe.model.locks import WORK
from gilprobe.render.shared import words
from gilprobe.render.shared.lock_words import (
    OFF_TITLE,
    longest_lock_waits,
    longest_single_waits,
    off_words,
)
from gilprobe.render.shared.words import clipped, plural, share

TYPE_CHECKING = False  # as in gilprobe/__init__.py: a recorded process loads no typing
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gilprobe.model.lock_ranking import LockRanking, RankedLock
    from gilprobe.model.off_times import OffTime
    from gilprobe.model.timeline import TimelineLockWait
    from gilprobe.model.traced_process import TracedProcess
    from gilprobe.render.shared.lock_words import LongestLockWait
    from gilprobe.render.shared.page import Page
    from gilprobe.report import Report

_LEVELS = 12
"""Limit of levels shown of a stack, from the innermost."""


def paths_of_locks(report: Report) -> set[str]:
    """Return the paths that the tables may show."""
    rows = report.lock_waits or ()
    return {row.filename for row in rows} | {row.waiter_filename for row in rows}


def lock_headline(found: LockRanking) -> str:
    """Return how long threads waited for locks, and for work."""
    if not found.waited_ns:
        work = f"; {duration(found.work_ns / 1e9)} for work" if found.work_ns else ""
        return f"no thread waited for a lock{work}"
    told = f"{plural(found.waiters, 'thread')} waited {duration(found.waited_ns / 1e9)} for locks"
    if found.spun_ns:
        told += f" ({share(found.spun_ns, found.waited_ns)} of that without sleep)"
    return f"{told}, {duration(found.work_ns / 1e9)} for work"


def lock_verdict(found: LockRanking, short: Mapping[str, str]) -> str:
    """Return the lock that was waited for most, and who had it; empty if none was."""
    if not found.waited_ns:
        return ""
    worst = found.locks[0]
    told = f"{share(worst.lock.wait_ns, found.waited_ns)} of that was for {clipped(worst.lock.title)}"
    if worst.function:
        told += f", in {_place(worst.function, worst.filename, worst.line, short)}"
    if worst.holder:
        site = _place(worst.holder_function, worst.holder_filename, worst.holder_line, short)
        told += f"; most behind {clipped(worst.holder)} in {site}"
    return told


def write_off_times(page: Page, report: Report, rows: int) -> None:
    """Write how each thread spent its off time, where locks were recorded."""
    times = [row for row in report.off_times() if row.off_ns]
    if not times:
        return
    ranked = sorted(times, key=lambda row: (-row.lock_ns - row.spin_ns - row.stopped_ns, -row.work_ns))
    kinds = [
        kind
        for kind in _OFF_KINDS
        if not (kind == "spins" and report.environment.gil_enabled)
        and not (kind == "on a CPU" and all(row.cpu_ns is None for row in times))
    ]
    page.line(OFF_TITLE, style="bold")
    table = page.table("thread", ">off", *(f">{kind}" for kind in kinds))
    for row in ranked[:rows]:
        page.row(table, clipped(row.thread) or "?", *_off_cells([row], kinds))
    if ranked[rows:]:
        page.row(table, f"{len(ranked) - rows} more, summed", *_off_cells(ranked[rows:], kinds))
    page.show(table)
    page.line(off_words(report))
    page.line()


_OFF_KINDS = {
    "for locks": "lock_ns",
    "for work": "work_ns",
    "spins": "spin_ns",
    "stopped": "stopped_ns",
    "on a CPU": "cpu_ns",
    "the rest": "blocked_ns",
}


def _off_cells(rows: Sequence[OffTime], kinds: Sequence[str]) -> list[str]:
    off_ns = sum(row.off_ns for row in rows)
    cells = []
    for kind in kinds:
        parts = [part for row in rows if (part := getattr(row, _OFF_KINDS[kind])) is not None]
        cells.append(f"{sum(parts) / 1e9:.3f} {share(sum(parts), off_ns):>4}" if parts else "-")
    return [f"{off_ns / 1e9:.3f}", *cells]


def write_locks(page: Page, report: Report, found: LockRanking, rows: int, short: Mapping[str, str]) -> None:
    """Write the tables of locks and of work."""
    if not report.locks:
        return
    _lock_table(page, "Locks", found.locks, rows, short)
    _wait_table(page, report, rows, short)
    _longest_sentences(page, report, max(1, rows // 2), short)
    _lock_table(page, "Waits for work", found.work, max(1, rows // 2), short)


def _place(function: str, filename: str, line: int, short: Mapping[str, str]) -> str:
    return words.place(function, short.get(filename, filename), line)


def _lock_table(
    page: Page, title: str, locks: Sequence[RankedLock], rows: int, short: Mapping[str, str]
) -> None:
    if not locks:
        return
    page.line(title, style="bold")
    whole = sum(row.lock.wait_ns for row in locks)
    table = page.table(">wait", ">of all", ">waits", ">longest", ">99% below", "what", "waited for in")
    for row in locks[:rows]:
        page.row(
            table,
            duration(row.lock.wait_s),
            share(row.lock.wait_ns, whole),
            str(row.lock.waits),
            duration(row.lock.wait.max_ns / 1e9),
            duration(row.lock.wait.quantile(0.99)),
            clipped(row.lock.title),
            _place(row.function, row.filename, row.line, short) if row.function else "",
        )
    rest = locks[rows:]
    if rest:
        rest_ns = sum(row.lock.wait_ns for row in rest)
        number = str(sum(row.lock.waits for row in rest))
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


def _longest_sentences(page: Page, report: Report, rows: int, short: Mapping[str, str]) -> None:
    """Write the longest wait of each thread at each place, and behind whom it waited there most."""
    longest = longest_lock_waits(report)[:rows]
    if not longest:
        return
    page.line("The longest waits for locks", style="bold")
    for wait in longest:
        row = wait.waiter
        where = _place(row.function, row.filename, row.line, short)
        what = f"{duration(row.longest_s)} for {clipped(wait.lock.title)}"
        told = f"{clipped(row.waiter)} waited {what} in {where}"
        number = f" ({plural(row.waits, 'wait')} there, {duration(row.wait_s)} together)"
        page.line(f"- {told}{number if row.waits > 1 else ''}{_behind(wait, short)}")
    page.line()


def write_single_waits(page: Page, process: TracedProcess, rows: int) -> None:
    """Write the longest single waits for locks with their stacks, if these were recorded."""
    waits = longest_single_waits(process, rows)
    if not any(len(wait.stack) > 1 for wait in waits):
        return  # the sentences above say it all
    frames = [frame for wait in waits for frame in (*wait.stack, *filter(None, (wait.released,)))]
    short = words.short_paths({frame.filename for frame in frames})
    page.line("Single waits for locks, the longest, with their stacks", style="bold")
    for wait in waits:
        at, lasted = duration(wait.start_ns / 1e9), duration(wait.duration_ns / 1e9)
        told = f"{clipped(wait.thread) or '?'} waited {lasted} for {clipped(wait.lock)}"
        page.line(f"- {told}, {at} after the start{_ended(wait, short)}")
        inner = wait.stack[::-1]
        shown = [_place(frame.function, frame.filename, frame.line, short) for frame in inner[:_LEVELS]]
        page.line(f"  in {' < '.join(shown)}{' < ...' if len(inner) > len(shown) else ''}")
    page.line()


def _ended(wait: TimelineLockWait, short: Mapping[str, str]) -> str:
    if wait.released is None:
        return "; it ended without the lock" if wait.failed else ""
    site = _place(wait.released.function, wait.released.filename, wait.released.line, short)
    return f", until {clipped(wait.holder) or '?'} released it in {site}"


def _behind(wait: LongestLockWait, short: Mapping[str, str]) -> str:
    if not wait.holder:
        return ""
    site = _place(wait.holder_function, wait.holder_filename, wait.holder_line, short)
    most = "; most behind" if wait.waiter.waits > 1 else " behind"
    return f"{most} {clipped(wait.holder)} in {site}"


def _wait_table(page: Page, report: Report, rows: int, short: Mapping[str, str]) -> None:
    locks = report.locks or ()
    sums: dict[tuple[str, int, str, str, str, int], int] = defaultdict(int)
    for row in report.lock_waits or ():
        if locks[row.lock].kind != WORK:
            sums[row.waiter, row.lock, row.behind, row.function, row.filename, row.line] += row.wait_ns
    if not sums:
        return
    whole = sum(sums.values())
    ranked = sorted(sums.items(), key=lambda pair: -pair[1])
    page.line("Who waited for which lock behind whom", style="bold")
    table = page.table(">wait", ">of all", "waiter", "lock", "holder", "released in")
    for (waiter, index, holder, function, filename, line), wait_ns in ranked[:rows]:
        page.row(
            table,
            duration(wait_ns / 1e9),
            share(wait_ns, whole),
            clipped(waiter),
            clipped(locks[index].title),
            clipped(holder) or "nobody",
            _place(function, filename, line, short),
        )
    rest = ranked[rows:]
    if rest:
        rest_ns = sum(wait_ns for _, wait_ns in rest)
        page.row(
            table, duration(rest_ns / 1e9), share(rest_ns, whole), f"{len(rest)} more, summed", "", "", ""
        )
    page.show(table)
