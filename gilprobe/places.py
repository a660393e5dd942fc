"""Places by name: what the tracer knows by numbers, a stack's frames are for people."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from gilprobe.report import Frame

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

UNSEEN = "(not seen)"
"""Named instead of a function where nobody could look: before a trace, at its end."""

DEEPER = "(deeper frames were not recorded)"
"""Named instead of the outermost function of a stack that is cut."""

EDGE = "(start or end of a thread)"
"""Named instead of a function where CPython starts or ends a thread of :mod:`threading`."""

_PYTHON, _NATIVE, _DEEPER, _UNSEEN = range(4)  # docs/recording-format.md, PLAC

_IMPORT_SYSTEM = "<frozen importlib._bootstrap"  # and ..._external (Lib/importlib)

_UNSEEN_FRAME, _DEEPER_FRAME = Frame(UNSEEN, "", 0), Frame(DEEPER, "", 0)


_LAUNCHER = os.path.join("gilprobe", "program.py")  # noqa: PTH118


def called_from(outer: tuple[Frame, ...], frame: Frame) -> tuple[Frame, ...]:
    """Return the stack of a frame, outermost first, without those frames that run it as `gilprobe record`.

    And without those of the import system, as in tracebacks: an import is the line that imports.
    """
    if outer and frame.filename.startswith(_IMPORT_SYSTEM):
        return outer
    if outer and outer[-1].filename.endswith(_LAUNCHER):
        outer = ()
    return (*outer, frame)


def importing(places: Sequence[tuple[int | None, int, int, str, str]], number: int) -> int:
    """Return the place that imports, for one within the import system; else, or if it is not known, the same.

    Parameters
    ----------
    places : sequence of tuple
        Rows of ``_native.recording.decode_places``; a parent stands before its children.
    number : int
        Of the place.
    """
    place: int | None = number
    while place is not None and places[place][4].startswith(_IMPORT_SYSTEM):
        place = places[place][0]
    return number if place is None else place


class Naming(NamedTuple):
    """Who a thread is, of which the tracer knows only numbers.

    Attributes
    ----------
    name : str
        Of the thread.
    started : bool
        :mod:`threading` started it: without a Python frame, such a thread starts or ends.
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
        Names the thread of an account by the account's number.
    """
    _, kind, number, function, filename = place
    if kind == _PYTHON:
        return Frame(function, filename, number)
    if kind == _NATIVE:
        name, started = who(number)
        # All starts and ends are one site: a server with a thread for each request would have thousands.
        return Frame(EDGE if started else f"(native code of thread {name})", "", 0)
    return _UNSEEN_FRAME if kind == _UNSEEN else _DEEPER_FRAME
