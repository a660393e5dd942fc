"""What the core has booked for labels, with names, and with the row of what has none."""

from __future__ import annotations

from gilprobe.model.labels import NO_LABEL, OTHER_LABELS, LabelBlame, LabelTotals
from gilprobe.model.plain_data import dataclass

TYPE_CHECKING = False  # as in gilprobe/__init__.py: a recorded process loads no typing
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def label_name(number: int, names: Mapping[int, str]) -> str:
    """Return the name behind the number of a label; many may stand for `OTHER_LABELS`."""
    return NO_LABEL if number == 0 else names.get(number) or OTHER_LABELS


@dataclass(frozen=True, slots=True)
class LabelRows:
    """Labels, most hold and wait first, and who waited behind whom, longest first."""

    totals: tuple[LabelTotals, ...]
    blame: tuple[LabelBlame, ...]

    @classmethod
    def of(
        cls, rows: Sequence[tuple[int, str, int, int, int, int, int]], pairs: Sequence[tuple[int, int, int]]
    ) -> LabelRows:
        """Put names to the rows.

        Parameters
        ----------
        rows : sequence of tuple
            Number, name, hold, wait, off, holds, waits of each label that was met, and of what has none.
        pairs : sequence of tuple
            Number of the waiter, number of the holder, wait. What is left of a label's wait had no holder.
        """
        names = {number: name for number, name, *_ in rows}
        sums: dict[str, list[int]] = {}
        for number, _, *numbers in rows:
            sum_up(sums.setdefault(label_name(number, names), [0] * len(numbers)), numbers)
        waits: dict[tuple[str, str], int] = {}
        left = {name: row[1] for name, row in sums.items()}
        for waiter, holder, wait_ns in pairs:
            pair = label_name(waiter, names), label_name(holder, names)
            waits[pair] = waits.get(pair, 0) + wait_ns
            left[pair[0]] = left.get(pair[0], 0) - wait_ns
        waits |= {(name, ""): wait_ns for name, wait_ns in left.items() if wait_ns > 0}
        totals = [LabelTotals(name, *row) for name, row in sums.items()]
        blame = [LabelBlame(*pair, wait_ns) for pair, wait_ns in waits.items()]
        return cls(
            tuple(sorted(totals, key=lambda row: (-row.hold_ns - row.wait_ns, row.name))),
            tuple(sorted(blame, key=lambda row: (-row.wait_ns, row.waiter, row.holder))),
        )


def sum_up(into: list[int], numbers: Sequence[int], sign: int = 1) -> None:
    """Add the numbers to those in the list, or take them away."""
    for column, number in enumerate(numbers):
        into[column] += sign * number


def rest_of(
    whole: Sequence[int], rows: Sequence[tuple[int, str, int, int, int, int, int]]
) -> tuple[int, str, int, int, int, int, int]:
    """Return the row of what has no label: what the others leave of the whole."""
    left = list(whole)
    for _, _, *numbers in rows:
        sum_up(left, numbers, -1)
    hold, wait, off, holds, waits = left
    return 0, "", hold, wait, off, holds, waits
