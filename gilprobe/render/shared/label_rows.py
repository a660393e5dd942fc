"""Labels as all renderers tell them: whose code waited longest, and mostly behind which label."""

from __future__ import annotations

from gilprobe.model.labels import NO_LABEL, LabelBlame, LabelTotals
from gilprobe.model.plain_data import dataclass

TYPE_CHECKING = False  # as in gilprobe/__init__.py: a recorded process loads no typing
if TYPE_CHECKING:
    from collections.abc import Sequence

    from gilprobe.report import Report


@dataclass(frozen=True, slots=True)
class LabelRow:
    """A label's totals, and behind which label its code waited longest.

    Attributes
    ----------
    totals : LabelTotals
        What its code held and waited.
    behind : str
        The label behind which it waited longest; empty for time in which nobody had the GIL.
    behind_ns : int
        How long it waited there, nanoseconds; 0 if it never waited.
    """

    totals: LabelTotals
    behind: str
    behind_ns: int


def ranked_labels(report: Report) -> list[LabelRow]:
    """Return the labels, those whose code waited longest first."""
    most: dict[str, LabelBlame] = {}
    for row in report.label_blame:
        if row.waiter not in most or row.wait_ns > most[row.waiter].wait_ns:
            most[row.waiter] = row
    none = LabelBlame("", "", 0)
    rows = [
        LabelRow(totals, most.get(totals.name, none).holder, most.get(totals.name, none).wait_ns)
        for totals in report.labels
    ]
    return sorted(rows, key=lambda row: (-row.totals.wait_ns, -row.totals.hold_ns))


def worst_label(rows: Sequence[LabelRow]) -> LabelRow | None:
    """Return the label whose code waited longest; None if no code with a label waited."""
    return next((row for row in rows if row.behind_ns and row.totals.name != NO_LABEL), None)
