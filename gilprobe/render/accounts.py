"""Rows of a table for threads' accounts, which scenarios and traces share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilprobe.render.words import clipped, duration, share

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from gilprobe.render.page import Page
    from gilprobe.report import ThreadAccount


def thread_table(page: Page, first: str = "thread", *, longest: bool = False) -> Table:
    """Return an empty table for :func:`thread_rows`; with `longest` it has a column for the longest wait."""
    extra = (">longest\nwait",) if longest else ()
    return page.table(
        first, ">hold", ">wait", ">off", *extra, ">acquired", ">forced\nrelease", ">voluntary\nrelease"
    )


def thread_rows(
    page: Page,
    table: Table,
    accounts: Sequence[ThreadAccount],
    *,
    rows: int,
    indent: str = "",
    longest: bool = False,
) -> None:
    """Add a row for each thread; of more than `rows`, the busiest, and one row that sums the others up."""
    shown = list(accounts)
    rest: list[ThreadAccount] = []
    if len(shown) > rows:
        shown.sort(key=lambda account: account.hold_ns + account.wait_ns, reverse=True)
        shown, rest = shown[:rows], shown[rows:]
    for account in shown:
        page.row(table, indent + thread_name(account), *_cells([account], longest))
    if rest:
        number = sum(account.merged for account in rest)
        page.row(table, f"{indent}{number} more, summed", *_cells(rest, longest))


def thread_name(account: ThreadAccount) -> str:
    """Return how a table names a thread; one on another interpreter's GIL with that interpreter."""
    name = clipped(account.name) or "?"
    return f"{name} (interpreter {account.interpreter})" if account.interpreter else name


def _cells(accounts: Sequence[ThreadAccount], longest: bool) -> list[str]:
    lifetime = sum(account.lifetime_ns for account in accounts)
    cells = []
    for name in ("hold_ns", "wait_ns", "off_ns"):
        part = sum(getattr(account, name) for account in accounts)
        cells.append(f"{part / 1e9:.3f} {share(part, lifetime):>4}")
    if longest:
        cells.append(duration(max(account.wait.max_s for account in accounts)))
    for name in ("acquisitions", "forced_releases", "voluntary_releases"):
        cells.append(str(sum(getattr(account, name) for account in accounts)))
    return cells
