"""How certain a share is that looks at random times have told."""

from __future__ import annotations

import math

TYPE_CHECKING = False  # as in gilprobe/__init__.py: a recorded process loads no typing
if TYPE_CHECKING:
    from collections.abc import Iterable

_Z = 1.959963984540054
"""The normal distribution has 95 % within so many standard deviations."""


class ShareInterval:
    """The intervals of shares in one total, of which looks have shared out a part.

    A look stands for as many nanoseconds as were shared out by it, its weight: more where more threads
    waited. Looks of unequal weights tell less than as many equal ones: their effective number is
    ``(sum of weights)**2 / sum of squared weights`` (Kish, *Survey Sampling* (1965), section 11.7), at most
    the number of looks. It is exact if each row's looks are given as such a number
    (:attr:`gilprobe.report.Blame.effective_looks`). That several looks fall into one long hold makes them no
    less certain: each falls at a random time of its own, and how long holds are is known.

    Parameters
    ----------
    rows : iterable of (int, float)
        Nanoseconds and looks of every row that adds to the total.

    Attributes
    ----------
    looks : float
        The effective number of looks; 0.0 if there were none.
    """

    def __init__(self, rows: Iterable[tuple[int, float]]) -> None:
        seen = [(amount_ns, looks) for amount_ns, looks in rows if looks > 0 and amount_ns > 0]
        self._seen_ns = sum(amount_ns for amount_ns, _ in seen)
        squares = math.fsum(amount_ns / looks * amount_ns for amount_ns, looks in seen)
        self.looks = self._seen_ns / squares * self._seen_ns if squares else 0.0

    def around(self, seen_ns: int, other_ns: int = 0) -> tuple[float, float] | None:
        """Return the 95 % interval of an amount, nanoseconds; None if no look tells it.

        It is the score interval of a share (Wilson, *Journal of the American Statistical Association* 22
        (1927)) with the effective number of looks.

        Parameters
        ----------
        seen_ns, other_ns : int
            The parts of the amount with looks and without any. The second is taken as certain.
        """
        if not (self.looks and 0 < seen_ns <= self._seen_ns):
            return None
        share, spread = seen_ns / self._seen_ns, _Z * _Z / self.looks
        middle = share + spread / 2
        half = (spread * (share * (1 - share) + spread / 4)) ** 0.5
        low, high = (middle - half) / (1 + spread), (middle + half) / (1 + spread)
        return (
            other_ns + min(max(low, 0.0), share) * self._seen_ns,
            other_ns + max(min(high, 1.0), share) * self._seen_ns,
        )
