"""The common base of the tools of the comparison, and the form of their answers."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HELD = "held share"
WAIT = "wait share"
WORST = "worst wait"
FUNCTION = "culprit function"
LINE = "culprit line"
THREADS = "threads seen"
MEASURES = (HELD, WAIT, WORST, FUNCTION, LINE, THREADS)


@dataclass
class Reading:
    """A tool's answer about one run; None where it has none.

    Attributes
    ----------
    held : float or None
        The share of the time in which the GIL was held, 0 to 1.
    waits : dict of str to float
        By the thread's name or native id: the share of its time in which it waited.
    worst_s : dict of str to float
        By the thread's name: its longest wait.
    culprit : tuple of (str, int or None) or None
        The function and line at the top of its list.
    threads : int or None
        Number of threads that it knows, with the main one.
    note : str
        A remark, in one line.
    """

    held: float | None = None
    waits: dict[str, float] = field(default_factory=dict)
    worst_s: dict[str, float] = field(default_factory=dict)
    culprit: tuple[str, int | None] | None = None
    threads: int | None = None
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return asdict(self)


def reading_of(values: dict[str, Any]) -> Reading:
    """Return a reading from JSON."""
    culprit = values.pop("culprit", None)
    return Reading(**values, culprit=tuple(culprit) if culprit else None)


class UnreadableError(Exception):
    """A tool's output that its parser does not know."""


@dataclass(frozen=True)
class Place:
    """Where a run takes place: paths as the tool and the program see them."""

    python: str
    folder: Path
    seconds: float

    def tool(self, name: str) -> str:
        """Return the path of a program in the interpreter's folder."""
        return self.python.rpartition("/")[0] + "/" + name

    @property
    def output(self) -> str:
        """Where the tool writes."""
        return "tool-output"


class Tool:
    """One tool: a subclass overrides what it needs.

    Attributes
    ----------
    name : str
        Its name in the tables.
    environment : str
        The table of versions.toml that is installed for it; "" if none is.
    settings : str
        Its settings, for the tables.
    measures : set of str
        What it measures; the rest is `n/a`.
    why_not : str
        Why it can't be compared at all, in one line; "" if it can.
    silence : str
        Why it measures nothing of the GIL, if so.
    in_process : bool
        Whether it runs in the process that it measures, and so slows it down by itself.
    restarts : bool
        Whether `inside` can be used again and again in one process.
    each_event : bool
        Whether it records every event.
    costs : bool
        Whether its cost is measured.
    """

    name = ""
    environment = ""
    interpreter = ""
    settings = ""
    measures: frozenset[str] = frozenset()
    why_not = ""
    silence = ""
    in_process = True
    restarts = False
    each_event = False
    costs = True

    @property
    def attaches(self) -> bool:
        """Whether it observes a running process."""
        return type(self).attach is not Tool.attach

    def missing(self) -> str:
        """Return why this machine can't run it, in one line; "" if it can."""
        return self.why_not

    @contextmanager
    def inside(self) -> Iterator[Reading]:
        """Measure the block, in the program's own process."""
        yield Reading()

    def version(self, installed: str) -> str:
        """Return the versions for the page, from its environment."""
        return installed

    def prepare(self, place: Place) -> None:
        """Prepare once before the runs."""

    def clean(self) -> None:
        """Undo what `prepare` did."""

    def variables(self, place: Place) -> dict[str, str]:
        """Return what the program's environment needs."""
        del place
        return {}

    def prefix(self, place: Place) -> list[str]:
        """Return the command to which the program's own is appended."""
        del place
        return []

    def attach(self, place: Place, pid: int) -> list[str]:
        """Return the command that observes a process from outside; empty if none does."""
        del place, pid
        return []

    def read(self, place: Place, truth: dict[str, Any]) -> Reading | None:
        """Return the reading from the output; None if `inside` gives it to the program."""
        del place, truth
        return None
