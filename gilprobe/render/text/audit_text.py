"""Audits as text for a terminal or a pipe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilprobe.durations import duration
from gilprobe.render.shared import words
from gilprobe.render.shared.page import PLAIN, Look, Page
from gilprobe.render.shared.words import clipped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gilprobe.model.audit_result import AuditedLock, AuditResult, Holds, Speedup, Unaudited


_LOCKS = 5
"""Locks of a call that are shown."""

_RUNS = 0.9
"""From this share of running holds on, the rest is not mentioned."""


def render_audit(audit: AuditResult, look: Look = PLAIN) -> str:
    """Render the audit of one call: the verdict, and its numbers.

    Returns
    -------
    str
        Lines of text.
    """
    page = Page(look)
    write_audit(page, audit)
    return page.finished()


def write_audit(page: Page, audit: AuditResult) -> None:
    """Write the audit of one call onto a page."""
    page.line(clipped(audit.name, 400), style="bold")
    page.line(f"  {audit.verdict}", style="red" if "holds" in audit.verdict else "")
    for name, text in _facts(audit):
        page.line(f"  {name:<12} {text}")
    page.line()
    page.doubts(audit.warnings)


def _facts(audit: AuditResult) -> list[tuple[str, str]]:
    facts = [("a call", duration(audit.call_s))]
    if audit.released_fraction is not None:
        facts.append(("released", _released(audit)))
    if audit.holds is not None:
        facts += _holds(audit.holds, audit.releases or 0.0)
    facts += [(f"{speedup.threads} threads", _times(speedup)) for speedup in audit.speedups]
    facts += [("own objects", _on_own(speedup)) for speedup in audit.own_speedups]
    facts += [("lock", _lock(lock)) for lock in (audit.locks or ())[:_LOCKS]]
    return facts


def _on_own(speedup: Speedup) -> str:
    return f"{_times(speedup)}, with {speedup.threads} threads on objects of their own"


def _lock(lock: AuditedLock) -> str:
    who = "even alone" if lock.threads == 1 else f"by {lock.threads} threads"
    told = f"{clipped(lock.title, 80)}: waited for {percent(lock.wait_share)} of the time {who}"
    if where := words.place(lock.function, lock.filename, lock.line):
        told += f" in {where}"
    held = words.place(lock.held_function, lock.held_filename, lock.held_line)
    return f"{told}, behind {held}" if held else told


def _released(audit: AuditResult) -> str:
    share = f"{percent(audit.released_fraction)} of it"
    low, high = percent(audit.released_low), percent(audit.released_high)
    interval = "" if low == high else f" (95% interval {low} to {high})"
    return f"{share}{interval}: {duration(audit.released_s or 0.0)}, held {duration(audit.hold_s or 0.0)}"


def _holds(holds: Holds, releases: float) -> list[tuple[str, str]]:
    lengths = holds.lengths
    long = f"p50 {duration(lengths.quantile(0.5))}, p99 {duration(lengths.quantile(0.99))}"
    site = words.place(holds.longest.function, holds.longest.filename, holds.longest.line)
    facts = [
        ("holds", f"{count(holds.per_call)} a call: {long}, max {duration(lengths.max_s)}"),
        ("lets go", "once a call" if count(releases) == "1" else f"{count(releases)} times a call"),
        ("longest", f"{duration(holds.longest.hold_s)} in {site or 'the call itself'}"),
    ]
    if holds.cpu_fraction < _RUNS:
        what = "waiting for a core" if holds.blocks == 0 else "blocked in the kernel, or waiting for a core"
        facts.append(("without CPU", f"{percent(1 - holds.cpu_fraction)} of its holds: {what}"))
    return facts


def _times(speedup: Speedup) -> str:
    spread = f"{speedup.low:.2f} to {speedup.high:.2f}"
    most = "" if speedup.allowed is None else f"; its holds and the cores allow {speedup.allowed:.2f}"
    return f"{speedup.measured:.2f} times one thread ({spread}){most}"


def render_audits(audits: Sequence[AuditResult], unaudited: Sequence[Unaudited], look: Look = PLAIN) -> str:
    """Render several audits in one table, and the calls that could not be audited."""
    page = Page(look)
    write_audits(page, audits, unaudited)
    return page.finished()


def write_audits(page: Page, audits: Sequence[AuditResult], unaudited: Sequence[Unaudited]) -> None:
    """Write several audits onto a page."""
    table = page.table(">a call", ">released", ">holds", ">longest", ">speedup", "verdict", "call")
    for audit in audits:
        page.row(table, *_cells(audit), audit.verdict, clipped(audit.name, 60))
    page.show(table)
    if unaudited:
        page.line("Not audited", style="bold")
        for one in unaudited:
            page.line(f"- {clipped(one.name, 100)}: {clipped(one.reason, 300)}")
        page.line()


def _cells(audit: AuditResult) -> list[str]:
    holds = audit.holds
    last = audit.speedups[-1] if audit.speedups else None
    return [
        duration(audit.call_s),
        percent(audit.released_fraction),
        "-" if holds is None else count(holds.per_call),
        "-" if holds is None else duration(holds.lengths.max_s),
        "-" if last is None else f"{last.measured:.2f} x{last.threads}",
    ]


def percent(share: float | None) -> str:
    """Return a share in per cent with one decimal; ``-`` if unknown."""
    return "-" if share is None else f"{100 * share:.1f}%"


def count(number: float) -> str:
    """Return a number of times, with one decimal if it is small and not an integer."""
    return f"{number:,.0f}" if number >= 100 or abs(number - round(number)) < 0.05 else f"{number:.1f}"
