"""Places with names: turn the tracer's numbers into frames and stacks."""

from __future__ import annotations

import os
from collections import defaultdict

from gilprobe.model.plain_data import dataclass
from gilprobe.report import Frame

TYPE_CHECKING = False  # as in gilprobe/__init__.py: a recorded process loads no typing
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

MOST_FRAMES = 1 << 24
"""Limit of all stacks of a file together: a few bytes can describe far more frames."""

MOST_CHARACTERS = 1 << 31
"""Limit of characters in all names of these frames together."""

MOST_DEEP = 4096
"""Limit of frames in one stack of a file; the tracer records 128."""

UNSEEN = "(not seen)"
"""Stands for a function that the tracer could not see: before a trace, at its end."""

DEEPER = "(deeper frames were not recorded)"
"""Stands for the outermost frames of a stack that was cut."""

CALLBACK = "(callback of an event loop)"
"""Stands for a function above what an event loop called that is no task."""

EDGE = "(start or end of a thread)"
"""Stands for a function where CPython starts or ends a thread of :mod:`threading`."""

RELEASES, HOLD, WAIT, CAUSED, CPU, LOOKS = range(6)
"""Columns of what is added up of a site or a stack."""

COLUMNS = 6

_PYTHON, _NATIVE, _DEEPER, _UNSEEN, _TASK = range(5)  # docs/recording-format.md, PLAC

_IMPORT_SYSTEM = "<frozen importlib._bootstrap"  # and ..._external (Lib/importlib)

_UNSEEN_FRAME, _DEEPER_FRAME = Frame(UNSEEN, "", 0), Frame(DEEPER, "", 0)

# What runs a recorded program; the second is where it stood when older recordings were made.
_LAUNCHERS = (os.path.join("gilprobe", "programs", "program.py"), os.path.join("gilprobe", "program.py"))  # noqa: PTH118


def importing(places: Sequence[tuple[int | None, int, int, str, str]], number: int) -> int:
    """Return the importing place for one within the import system, if known; else the same place.

    Parameters
    ----------
    places : sequence of tuple
        Rows of ``_native.recording.decode_places``; parents come before their children.
    number : int
        The place's number.
    """
    place: int | None = number
    while place is not None and places[place][4].startswith(_IMPORT_SYSTEM):
        place = places[place][0]
    return number if place is None else place


@dataclass(frozen=True, slots=True)
class Naming:
    """The identity of a thread that the tracer knows only by numbers.

    Attributes
    ----------
    name : str
        The thread's name.
    started : bool
        Whether :mod:`threading` started it: it then starts or ends where it has no Python frame.
    """

    name: str
    started: bool


def frame_of(place: tuple[int | None, int, int, str, str], who: Callable[[int], Naming]) -> Frame:
    """Return the innermost frame of a place.

    Parameters
    ----------
    place : tuple
        Parent or None, kind, line or account, function, file: a row of ``_native.recording.decode_places``.
    who : callable
        Returns the thread of an account, by the account's number.
    """
    _, kind, number, function, filename = place
    if kind == _PYTHON:
        return Frame(function, filename, number)
    if kind == _NATIVE:
        thread = who(number)
        # One site for all starts and ends: a server with a thread per request would have thousands.
        return Frame(EDGE if thread.started else f"(native code of thread {thread.name})", "", 0)
    if kind == _TASK:
        return Frame(f"(task {function})" if function else CALLBACK, "", 0)
    return _UNSEEN_FRAME if kind == _UNSEEN else _DEEPER_FRAME


def is_task(place: tuple[int | None, int, int, str, str]) -> bool:
    """Return whether a place is a task, below which is what its event loop called."""
    return place[1] == _TASK


def caller(places: Sequence[tuple[int | None, int, int, str, str]], number: int) -> int | None:
    """Return the place of the line that called, if this place is a callee; else None.

    A callee is told as Python code without a file and a line, below the line that calls it.
    """
    parent, kind, line, _, filename = places[number]
    return parent if kind == _PYTHON and not filename and line == 0 else None


class Stacks:
    """Stacks as a tree of numbered nodes: common frames are kept once.

    Attributes
    ----------
    rows : dict of int to list of int
        Releases and all other columns of each requested stack, by its number.
    """

    def __init__(self) -> None:
        self.rows: dict[int, list[int]] = defaultdict(lambda: [0] * COLUMNS)
        self._frames: list[Frame] = []
        self._outer: list[int | None] = []
        self._sizes: list[tuple[int, int]] = []  # frames, and characters in their names
        self._numbers: dict[tuple[int | None, Frame], int] = {}

    def called_from(self, outer: int | None, frame: Frame) -> int:
        """Return the number of the stack with this frame, called from the stack `outer`.

        Leaves out frames of `gilprobe record`, and those of the import system, as tracebacks do.
        """
        if outer is not None and self._imports(frame) and not self._imports(self._frames[outer]):
            return outer
        if outer is not None and self._frames[outer].filename.endswith(_LAUNCHERS):
            outer = None
        number = self._numbers.setdefault((outer, frame), len(self._frames))
        if number == len(self._frames):
            self._frames.append(frame)
            self._outer.append(outer)
            frames, characters = (0, 0) if outer is None else self._sizes[outer]
            self._sizes.append((frames + 1, characters + len(frame.function) + len(frame.filename)))
        return number

    @staticmethod
    def _imports(frame: Frame) -> bool:
        return frame.filename.startswith(_IMPORT_SYSTEM)

    def frames(self, number: int) -> tuple[Frame, ...]:
        """Return the frames of a stack, outermost first."""
        found, at = [self._frames[number]], self._outer[number]
        while at is not None:
            found.append(self._frames[at])
            at = self._outer[at]
        return tuple(reversed(found))

    def check(self, numbers: Iterable[int]) -> None:
        """Raise ValueError if these stacks are larger than any recorded ones."""
        frames = characters = deepest = 0
        for deep, long in map(self._sizes.__getitem__, numbers):
            frames += deep
            characters += long
            deepest = max(deepest, deep)
        if frames > MOST_FRAMES:
            raise ValueError(f"all stacks must have at most {MOST_FRAMES} frames together, got {frames}")
        if characters > MOST_CHARACTERS:
            raise ValueError(
                f"the names in all stacks must have at most {MOST_CHARACTERS} characters together, "
                f"got {characters}"
            )
        if deepest > MOST_DEEP:
            raise ValueError(f"a stack must have at most {MOST_DEEP} frames, got {deepest}")

    def ranked(self) -> list[tuple[int, list[int]]]:
        """Return the numbers and rows of the requested stacks, longest hold first."""
        return sorted(self.rows.items(), key=lambda row: (-row[1][HOLD], -row[1][CAUSED]))
