"""What code under a label held and waited, and behind which label it waited. Plain data, no clock."""

from __future__ import annotations

from gilprobe.model.plain_data import dataclass
from gilprobe.model.seconds import Seconds

NO_LABEL = "(no label)"
"""The row of whatever runs without a label."""

OTHER_LABELS = "(other labels)"
"""The row of labels that came when there were too many."""


@dataclass(frozen=True, slots=True)
class LabelTotals:
    """What the code under one label did so far.

    The rows of all labels, with that of `NO_LABEL`, add up to the totals of the process.

    Attributes
    ----------
    name : str
        The label.
    hold_ns, wait_ns, off_ns : int
        Time with the GIL, waiting for it, and neither, of all threads while they had the label, nanoseconds.
        A hold in which the label changes is cut there.
    holds, waits : int
        Holds that ended under the label, and waits for the GIL under it.
    """

    name: str
    hold_ns: int
    wait_ns: int
    off_ns: int
    holds: int
    waits: int

    hold_s = Seconds("hold_ns", "Time with the GIL, seconds.")
    wait_s = Seconds("wait_ns", "Time waiting for the GIL, seconds.")
    off_s = Seconds("off_ns", "Time without the GIL and without wanting it, seconds.")


@dataclass(frozen=True, slots=True)
class LabelBlame:
    """How long code under one label waited while code under another had the GIL.

    Attributes
    ----------
    waiter, holder : str
        The labels. `holder` is empty for time in which nobody had the GIL. Both may be the same, where two
        threads have one label.
    wait_ns : int
        Nanoseconds. All rows of a waiter add up to its `wait_ns`.
    """

    waiter: str
    holder: str
    wait_ns: int

    wait_s = Seconds("wait_ns", "The wait, seconds.")
