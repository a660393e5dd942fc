"""How many threads wait at each moment, from waits that are told in the order of their ends."""

from __future__ import annotations

from bisect import bisect_right

_BLOCK = 1 << 15


class WaiterCount:
    """Counts the waits that are open, exactly and in bounded memory.

    A wait that opens now may be told much later, when it ends. So the waits are seen twice. The first time
    they are cut into blocks by their number, each with the moment of its last end, its *horizon*; a wait
    that opened before an earlier block's horizon is remembered for the block in which it opened. These are at
    most as many as threads waited at the horizons. The second time each block is complete in itself.

    First :meth:`survey` for each wait, then :meth:`begin`, then :meth:`add` for each, then :meth:`rest`.
    """

    def __init__(self) -> None:
        self._horizons: list[int] = []
        self._early: dict[int, list[int]] = {}
        self._number = 0
        self._block = 0
        self._moments: list[int] = []  # twice the time, plus 1 where a wait opens: closing comes first
        self._open = 0

    def survey(self, start_ns: int, end_ns: int) -> None:
        """See a wait for the first time."""
        if self._horizons and start_ns < self._horizons[-1]:
            block = bisect_right(self._horizons, start_ns)
            self._early.setdefault(block, []).append(start_ns)
        self._number += 1
        if self._number % _BLOCK == 0:
            self._horizons.append(max(end_ns, self._horizons[-1] if self._horizons else 0))

    def begin(self) -> None:
        """Begin to see the waits for the second time."""
        self._number = self._block = self._open = 0
        self._moments = []

    def add(self, start_ns: int, end_ns: int) -> list[tuple[int, int]]:
        """See a wait for the second time.

        Returns
        -------
        list of (int, int)
            Moments at which the number of waiters changed and what it was from then on; empty most times.
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
            # never below 0, whatever a file tells
            self._open = self._open + 1 if moment & 1 else max(0, self._open - 1)
            at = moment >> 1
            if changes and changes[-1][0] == at:
                changes.pop()
            changes.append((at, self._open))
        self._block += 1
        self._moments = []
        return changes
