"""Threads of a page: a readable number of rows, and the row of a name in a report."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from gilprobe.model.distribution import Distribution, bucket_bounds_ns
from gilprobe.render.html.process.places import NOWHERE, name
from gilprobe.render.shared.accounts import crowds, gathered

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gilprobe.report import ThreadAccount

MOST_THREADS = 200
"""Limit of rows; the others become one more."""

_SUMMED = (
    "lifetime_ns",
    "hold_ns",
    "wait_ns",
    "off_ns",
    "acquisitions",
    "contended_acquisitions",
    "forced_releases",
    "voluntary_releases",
)
_QUANTILES = (0.5, 0.9, 0.99, 0.999)

_Row = tuple[str, "Sequence[ThreadAccount]"]


class ThreadRows:
    """The rows of a page's threads.

    Where there are too many, ended threads whose names differ only in numbers are one row, as in the
    terminal; of the rest, those beyond `most` with the least activity are one row.

    Attributes
    ----------
    folded : int
        Number of threads summed up in the last row; 0 if there is no such row.
    """

    def __init__(self, accounts: Sequence[ThreadAccount], most: int = MOST_THREADS) -> None:
        rows: list[_Row] = list(gathered(accounts, crowds(accounts, most)))
        self.folded = 0
        if len(rows) > most:
            order = sorted(range(len(rows)), key=lambda row: _busy_ns(rows[row][1]), reverse=True)
            rest = [account for row in order[most:] for account in rows[row][1]]
            self.folded = sum(account.merged for account in rest)
            rows = [rows[row] for row in sorted(order[:most])]
            rows.append((f"{self.folded} more threads, summed", rest))
        self._rows = rows
        self._by_id: dict[tuple[int, str], int] = {}
        self._by_name: dict[str, int] = {}
        for number, (_, members) in enumerate(rows):
            for account in members:
                self._by_id.setdefault((account.native_id, account.name), number)
                same = self._by_name.setdefault(account.name, number)
                if same != number:
                    self._by_name[account.name] = NOWHERE

    def number(self, called: str, native_id: int = 0) -> int:
        """Return the row of a thread; `NOWHERE` if only its name is known and several have it."""
        by_name = self._by_name.get(called, NOWHERE)
        return self._by_id.get((native_id, called), by_name) if native_id else by_name

    def accounts(self) -> list[Sequence[ThreadAccount]]:
        """Return the threads of each row."""
        return [members for _, members in self._rows]

    def described(self) -> list[dict[str, Any]]:
        """Return the rows."""
        return [_described(shown, members) for shown, members in self._rows]


def distribution(parts: Iterable[Distribution]) -> dict[str, Any]:
    """Return merged distributions for a page: four bins per doubling, from `first` on.

    Bin ``4 * e + q`` counts what is between ``2**e * (1 + q / 4)`` and the next; each bucket of a
    :class:`Distribution` lies in one. Durations of 0 are counted separately.
    """
    whole = _together(parts)
    bins: dict[int, int] = {}
    for bucket, number in whole.buckets:
        bin_ = _bin(bucket_bounds_ns(bucket)[0])
        bins[bin_] = bins.get(bin_, 0) + number
    zero = bins.pop(NOWHERE, 0)
    first = min(bins, default=0)
    return {
        "count": whole.count,
        "total_ns": whole.total_ns,
        "max_ns": whole.max_ns,
        "quantiles_ns": [round(whole.quantile(q) * 1e9) for q in _QUANTILES],
        "zero": zero,
        "first": first,
        "counts": [bins.get(bin_, 0) for bin_ in range(first, max(bins, default=-1) + 1)],
    }


def _together(parts: Iterable[Distribution]) -> Distribution:
    """Merge many at once: one by one would rebuild the sum each time."""
    count = total_ns = max_ns = 0
    buckets: Counter[int] = Counter()
    for part in parts:
        count, total_ns, max_ns = count + part.count, total_ns + part.total_ns, max(max_ns, part.max_ns)
        for bucket, number in part.buckets:
            buckets[bucket] += number
    return Distribution(count, total_ns, max_ns, tuple(sorted(buckets.items())))


def _bin(low_ns: int) -> int:
    if low_ns == 0:
        return NOWHERE
    exponent = low_ns.bit_length() - 1
    return 4 * exponent + ((low_ns << 2 >> exponent) & 3)


def _busy_ns(accounts: Sequence[ThreadAccount]) -> int:
    return sum(account.hold_ns + account.wait_ns for account in accounts)


def _described(shown: str, members: Sequence[ThreadAccount]) -> dict[str, Any]:
    first = members[0]
    cpu_ns = [account.hold_cpu_ns for account in members if account.hold_cpu_ns is not None]
    return {
        "name": name(shown),
        "interpreter": first.interpreter,
        "native_id": first.native_id if len(members) == 1 else 0,
        "merged": sum(account.merged for account in members),
        "ended": all(account.ended for account in members),
        **{key: sum(getattr(account, key) for account in members) for key in _SUMMED},
        "hold_cpu_ns": sum(cpu_ns) if cpu_ns else None,
        "hold": distribution(account.hold for account in members),
        "wait": distribution(account.wait for account in members),
    }
