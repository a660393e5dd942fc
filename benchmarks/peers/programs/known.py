"""What each thread of a workload knows about itself, and what follows about the others."""

from __future__ import annotations

import itertools
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .holds import Spent

clock = time.monotonic_ns


@dataclass
class Known:
    """The truth about one thread.

    `held_ns`, `waited_ns` and `worst_ns` are the lowest and the highest possible value; None if the thread
    can't know. `lines` are those of the culprit, `runs` the spans in which a spinner ran.
    """

    name: str
    native_id: int = 0
    begin_ns: int = 0
    end_ns: int = 0
    held_ns: tuple[int, int] | None = None
    waited_ns: tuple[int, int] | None = None
    worst_ns: tuple[int, int] | None = None
    function: str = ""
    lines: tuple[int, int] | None = None
    runs: list[tuple[int, int]] = field(default_factory=list)

    def enter(self) -> None:
        """Start the thread's life."""
        self.native_id, self.begin_ns = threading.get_native_id(), clock()

    def leave(self, spent: Spent | None = None) -> None:
        """End it, with what the library has measured."""
        self.end_ns = clock()
        if spent is not None:
            self.held_ns = spent.held, spent.held + spent.perhaps_held
            self.waited_ns = spent.waited, spent.waited
            self.worst_ns = spent.worst_wait, spent.worst_wait

    def to_dict(self) -> dict[str, Any]:
        """Return it without the spans."""
        kept = dict(vars(self))
        kept.pop("runs")
        return kept


def settle(spinners: list[Known]) -> None:
    """Separate the spinners' waits from preemptions: in a wait another spinner runs.

    The GIL changes hands between the last reading of the clock by one and the first by another; neither knows
    when exactly. So a wait lasts at least from another's first reading to another's last, and at most from
    its own last reading to its own next.
    """
    for one in spinners:
        others = sorted(run for other in spinners if other is not one for run in other.runs)
        waits = [(0, 0)]
        preempted = 0
        for (_, end), (after, _) in itertools.pairwise(one.runs):
            within = [run for run in others if end <= run[0] and run[1] <= after]
            if within:
                waits.append((max(end for _, end in within) - within[0][0], after - end))
            else:
                preempted += after - end
        shortest, longest = zip(*waits, strict=True)
        one.waited_ns = sum(shortest), sum(longest)
        one.worst_ns = max(shortest), max(longest)
        life_ns = one.end_ns - one.begin_ns
        one.held_ns = sum(end - begin for begin, end in one.runs) + preempted, life_ns - sum(shortest)
