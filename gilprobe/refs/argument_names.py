"""Name the arguments of a call by the calling code's source."""

from __future__ import annotations

import ast
import itertools
import linecache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

LONGEST = 60


def names(frame: FrameType, objects: Sequence[object]) -> list[str]:
    """Return unique names of the positional arguments of the call that `frame` is making.

    Parameters
    ----------
    frame : frame
        The calling frame.
    objects : sequence
        The arguments.

    Returns
    -------
    list of str
        The arguments as in the source; if unknown, type and position.
    """
    found = _texts(frame)
    if len(found) != len(objects):
        found = [f"{type(obj).__qualname__} #{number}" for number, obj in enumerate(objects, 1)]
    return distinct(found)


def distinct(texts: Sequence[str]) -> list[str]:
    """Return the texts, with numbers after repeated ones."""
    seen: set[str] = set()
    made = []
    for text in texts:
        numbered = (f"{text} ({number})" for number in itertools.count(2))
        name = next(one for one in itertools.chain([text], numbered) if one not in seen)
        seen.add(name)
        made.append(name)
    return made


def _texts(frame: FrameType) -> list[str]:
    """Return the source of each positional argument; empty if they can't be separated."""
    try:
        call = ast.parse(f"({_source(frame)}\n)", mode="eval").body
    except (SyntaxError, ValueError):
        return []
    if not isinstance(call, ast.Call) or any(isinstance(one, ast.Starred) for one in call.args):
        return []
    return [_shortened(ast.unparse(argument)) for argument in call.args]


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def _source(frame: FrameType) -> str:
    """Return the source of the call, from the instruction's positions."""
    code = frame.f_code
    instruction = frame.f_lasti // 2
    position = next(itertools.islice(code.co_positions(), instruction, None), (None,) * 4)
    first, last, begin, end = position
    if first is None or last is None or begin is None or end is None:
        return ""
    linecache.checkcache(code.co_filename)
    lines = linecache.getlines(code.co_filename, frame.f_globals)[first - 1 : last]
    if len(lines) != last - first + 1:
        return ""
    whole = [line.encode() for line in lines]  # columns count bytes
    whole[-1] = whole[-1][:end]
    whole[0] = whole[0][begin:]
    return b"".join(whole).decode(errors="replace")
