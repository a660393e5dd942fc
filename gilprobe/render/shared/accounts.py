"""Table rows for threads' accounts, for scenarios and traces."""

from __future__ import annotations

from collections import Counter, defaultdict
from types import MappingProxyType

from gilprobe.durations import duration
from gilprobe.render.shared.words import clipped, share

TYPE_CHECKING = False  # as in gilprobe/__init__.py: a recorded process loads no typing
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gilprobe.render.shared.page import Page
    from gilprobe.render.shared.text_table import TextTable
    from gilprobe.report import Report, ThreadAccount


def all_held_ns(report: Report) -> int:
    """Return the sum of all holds, those of other interpreters' own GILs, too: sites and tasks are of all."""
    return report.held_ns + sum(gil.held_ns for gil in report.own_gils or ())


def thread_table(
    page: Page, first: str = "thread", *, longest: bool = False, handoffs: bool = False
) -> TextTable:
    """Return an empty table for :func:`thread_rows`, optionally with longest wait and handoffs."""
    extra = (">longest\nwait",) if longest else ()
    last = (">hand-\noffs",) if handoffs else ()
    releases = (">forced\nrelease", ">voluntary\nrelease")
    return page.table(first, ">hold", ">wait", ">off", *extra, ">acquired", *releases, *last)


def crowds(accounts: Sequence[ThreadAccount], rows: int) -> dict[str, str]:
    """Return one name for all ended threads whose names differ only in numbers, if more than `rows`.

    A server with a thread per request has thousands, which only together mean something. Living threads keep
    their names.

    Returns
    -------
    dict of str to str
        Old name -> new name.
    """
    if len(accounts) <= rows:
        return {}
    ended = Counter(account.name for account in accounts if account.ended and account.merged == 1)
    import re

    kinds = defaultdict(list)
    for name in ended:
        kinds[re.sub(r"\d+", "N", name)].append(name)
    crowd_of: dict[str, str] = {}
    for kind, names in kinds.items():
        size = sum(ended[name] for name in names)
        if size > 1:
            shown = kind if len(names) > 1 else names[0]
            crowd_of |= dict.fromkeys(names, f"{shown} x {size}")
    return crowd_of


def thread_rows(
    page: Page,
    table: TextTable,
    accounts: Sequence[ThreadAccount],
    *,
    rows: int,
    indent: str = "",
    longest: bool = False,
    crowd_of: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Add a row per thread or crowd; if more than `rows`, the busiest, and one row for the others."""
    shown = gathered(accounts, crowd_of)
    rest: list[ThreadAccount] = []
    if len(shown) > rows:
        shown.sort(key=lambda row: sum(account.hold_ns + account.wait_ns for account in row[1]), reverse=True)
        rest = [account for _, members in shown[rows:] for account in members]
    for name, members in shown[:rows]:
        page.row(table, indent + name, *_cells(members, longest))
    if rest:
        number = sum(account.merged for account in rest)
        page.row(table, f"{indent}{number} more, summed", *_cells(rest, longest))


def gathered(
    accounts: Sequence[ThreadAccount], crowd_of: Mapping[str, str]
) -> list[tuple[str, list[ThreadAccount]]]:
    """Return the rows of a table, each with its name and its threads.

    `crowd_of` is what :func:`crowds` returned. A row's name is made by :func:`thread_name`.
    """
    rows: list[tuple[str, list[ThreadAccount]]] = []
    members: dict[tuple[str, int], list[ThreadAccount]] = {}
    for account in accounts:
        crowd = crowd_of.get(account.name) if account.ended and account.merged == 1 else None
        if crowd is None:
            rows.append((thread_name(account), [account]))
            continue
        key = crowd, account.interpreter
        if key not in members:
            members[key] = []
            rows.append((thread_name(account, crowd), members[key]))
        members[key].append(account)
    return rows


def thread_name(account: ThreadAccount, crowd: str = "") -> str:
    """Return a thread's or crowd's name for a table, with the interpreter if not the main one."""
    name = clipped(crowd or account.name) or "?"
    where = f"(interpreter {account.interpreter})"
    # a report's own names contain it already, for blame
    return f"{name} {where}" if account.interpreter and not name.endswith(where) else name


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
