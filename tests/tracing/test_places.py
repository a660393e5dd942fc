"""Stacks of frames: shared as a tree, and told as people read them."""

from __future__ import annotations

import pytest

from gilprobe.report import Frame
from gilprobe.tracing.places import Stacks

pytestmark = pytest.mark.plain_python

IMPORT = [Frame(name, "<frozen importlib._bootstrap>", line) for line, name in enumerate(["find", "load"])]
USER = Frame("work", "app.py", 7)


def called(frames):
    """Return the frames that are told of a stack, outermost first."""
    stacks, number = Stacks(), None
    for frame in frames:
        number = stacks.called_from(number, frame)
    return stacks.frames(number)


def test_an_import_is_the_line_that_imports():
    assert called([USER, *IMPORT]) == (USER,)
    assert called([USER, *IMPORT, USER]) == (USER, USER)


def test_an_import_that_nobody_is_seen_to_ask_for_is_told_whole():
    """As the innermost of its frames alone is, where no stacks are recorded."""
    assert called(IMPORT) == tuple(IMPORT)
    assert called([*IMPORT, USER]) == (*IMPORT, USER)
