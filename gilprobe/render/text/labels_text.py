"""Labels as text: what the code under each held and waited, and behind which label."""

from __future__ import annotations

from gilprobe.durations import duration
from gilprobe.render.shared.accounts import all_held_ns
from gilprobe.render.shared.label_rows import ranked_labels, worst_label
from gilprobe.render.shared.words import clipped, share

TYPE_CHECKING = False  # as in gilprobe/__init__.py: a recorded process loads no typing
if TYPE_CHECKING:
    from collections.abc import Sequence

    from gilprobe.render.shared.label_rows import LabelRow
    from gilprobe.render.shared.page import Page
    from gilprobe.report import Report


def label_headline(report: Report) -> str:
    """Return which label's code waited longest, and behind which; empty if none did."""
    worst = worst_label(ranked_labels(report))
    if worst is None:
        return ""
    return f"{clipped(worst.totals.name)} waited {duration(worst.totals.wait_s)}, {_behind(worst)}"


def write_labels(page: Page, report: Report, wait_ns: int, rows: int) -> None:
    """Write a row for each label, and who waited behind whom; `wait_ns` are the waits of all threads."""
    labels = ranked_labels(report)
    if not labels:
        return
    page.line("By label", style="bold")
    table = page.table(">waited", ">of all waiting", ">held", ">of all holds", ">holds", "label", "mostly")
    held_ns = all_held_ns(report)
    for row in labels[:rows]:
        name = clipped(row.totals.name)
        page.row(table, *_cells([row], wait_ns, held_ns), name, _behind(row) if row.behind_ns else "")
    rest = labels[rows:]
    if rest:
        page.row(table, *_cells(rest, wait_ns, held_ns), f"{len(rest)} more, summed", "")
    page.show(table)
    _blame_table(page, report, wait_ns, rows)


def _behind(row: LabelRow) -> str:
    return f"{share(row.behind_ns, row.totals.wait_ns)} behind {clipped(row.behind) or 'nobody'}"


def _cells(rows: Sequence[LabelRow], wait_ns: int, held_ns: int) -> list[str]:
    waited_ns = sum(row.totals.wait_ns for row in rows)
    hold_ns = sum(row.totals.hold_ns for row in rows)
    return [
        duration(waited_ns / 1e9),
        share(waited_ns, wait_ns),
        duration(hold_ns / 1e9),
        share(hold_ns, held_ns),
        str(sum(row.totals.holds for row in rows)),
    ]


def _blame_table(page: Page, report: Report, wait_ns: int, rows: int) -> None:
    blame = sorted(report.label_blame, key=lambda row: -row.wait_ns)
    if not blame:
        return
    page.line("Which label waited behind which", style="bold")
    table = page.table(">wait", ">of all waiting", "waiter", "holder")
    for row in blame[:rows]:
        cells = duration(row.wait_s), share(row.wait_ns, wait_ns)
        page.row(table, *cells, clipped(row.waiter), clipped(row.holder) or "nobody")
    rest = blame[rows:]
    if rest:
        rest_ns = sum(row.wait_ns for row in rest)
        cells = duration(rest_ns / 1e9), share(rest_ns, wait_ns)
        page.row(table, *cells, f"{len(rest)} more, summed", "")
    page.show(table)
