"""Count waiting threads at each moment, from waits in the order of their ends."""

from __future__ import annotations

from bisect import bisect_right

_BLOCK = 1 << 15


class WaiterCount:
    """Counts the open waits, exactly and in bounded memory.

    A wait comes when it ends, long after it opened. So the waits are read twice. The first time they are cut
    into blocks of equal number, each with the time of its last end, its *horizon*; a wait that opened before
    an earlier block's horizon is kept for the block in which it opened. There are at most as many of these as
    waiting threads at the horizons. The second time each block is complete.

    First :meth:`survey` for each wait, then :meth:`begin`, then :meth:`add` for each, then :meth:`rest`.
    """

    def __init__(self) -> None:
        self._horizons: list[int] = []
        self._early: dict[int, list[int]] = {}
        self._number = 0
        self._block = 0
        self._moments: list[int] = []  # twice the time, plus 1 if a wait opens: closings come first
        self._open = 0

    def survey(self, start_ns: int, end_ns: int) -> None:
        """Take a wait for the first time."""
        if self._horizons and start_ns < self._horizons[-1]:
            block = bisect_right(self._horizons, start_ns)
            self._early.setdefault(block, []).append(start_ns)
        self._number += 1
        if self._number % _BLOCK == 0:
            self._horizons.append(max(end_ns, self._horizons[-1] if self._horizons else 0))

    def begin(self) -> None:
        """Begin to take the waits for the second time."""
        self._number = self._block = self._open = 0
        self._moments = []

    def add(self, start_ns: int, end_ns: int) -> list[tuple[int, int]]:
        """Take a wait for the second time.

        Returns
        -------
        list of (int, int)
            Times at which the number of waiters changed, and the new number; mostly empty.
        """
        if self._block == 0 or start_ns >= self._horizons[self._block - 1]:
            self._moments.append(2 * start_ns + 1)
        self._moments.append(2 * end_ns)
        self._number += 1
        return self.rest() if self._number % _BLOCK == 0 else []

    def rest(self) -> list[tuple[int, int]]:
        """End a block and return its changes."""
        self._moments += [2 * start_ns + 1 for start_ns in self._early.get(self._block, ())]
        self._moments.sort()
        changes: list[tuple[int, int]] = []
        for moment in self._moments:
            # never below 0, even with a damaged file
            self._open = self._open + 1 if moment & 1 else max(0, self._open - 1)
            at = moment >> 1
            if changes and changes[-1][0] == at:
                changes.pop()
            changes.append((at, self._open))
        self._block += 1
        self._moments = []
        return changes
