"""The messages between a worker and the process that started it: one line of JSON each.

The worker says hello and gets its task. Before each of its runs it reports its progress, and waits until it
may go on. So reading its messages never disturbs a measurement (a progress bar is drawn while nothing
computes), and of several workers only one computes at a time.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from gilprobe import __version__
from gilprobe.errors import FormatError
from gilprobe.model import codec

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

LONGEST_LINE = 64 << 20
"""Size limit of a message: traces of a scenario with hundreds of threads have some megabytes."""

LONGEST_TEXT = 500
"""Limit of characters in a label or an error."""

GO_ON = b"go\n"
"""Message to a waiting worker."""


@dataclass(frozen=True, slots=True)
class Task(Generic[T]):
    """A worker's task, and its answer.

    Attributes
    ----------
    work : str
        ``"module:function"``. The worker calls it with the order, as JSON has it, and its turns.
    order : object
        Plain data.
    read : callable
        Makes the answer from the JSON of the work's result; FormatError if it is invalid.
    called : str
        Its name in complaints; ``""``: the interpreter's.
    first : str
        What it must do soon, before it waits for its first turn.
    errors_are_whole : bool
        Whether its errors name their subject.
    """

    work: str
    order: object
    read: Callable[[object], T]
    called: str = ""
    first: str = "begin"
    errors_are_whole: bool = False


@dataclass(frozen=True, slots=True)
class Hello:
    """A worker's first message."""

    gilprobe: str


@dataclass(frozen=True, slots=True)
class Progressed:
    """The progress of the work, and the next step."""

    label: str
    share: float


@dataclass(frozen=True, slots=True)
class Failed:
    """Why there is no answer: class and message of the error, in one line."""

    kind: str
    message: str


@dataclass(frozen=True, slots=True)
class Done:
    """The work's result: plain data, after reading as from JSON."""

    answer: object


Message = Hello | Progressed | Failed | Done

_KINDS: dict[str, type[Message]] = {"hello": Hello, "progress": Progressed, "error": Failed, "result": Done}
_NAMES = {kind: name for name, kind in _KINDS.items()}


def write(message: Message) -> bytes:
    """Return a message as a line to send.

    Raises
    ------
    FormatError
        If JSON can't represent it: infinity, or an object outside the model.
    """
    body = codec.encode(message.answer if isinstance(message, Done) else message)
    try:
        text = json.dumps({_NAMES[type(message)]: body}, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise FormatError(f"a result must be finite numbers and text: {error}") from None
    return text.encode("ascii") + b"\n"


def read(line: bytes) -> Message:
    """Return the message in a line. It is not trusted.

    Raises
    ------
    FormatError
        If it is none.
    """
    document = codec.parse_json(line, "a message must be JSON")
    if not (isinstance(document, dict) and len(document) == 1 and next(iter(document)) in _KINDS):
        raise FormatError(f"a message must be an object with one of the keys {', '.join(_KINDS)}")
    [(kind, body)] = document.items()
    if kind == "result":
        return Done(body)
    version = body.get("gilprobe") if kind == "hello" and isinstance(body, dict) else None
    if type(version) is str and version != __version__:  # the rest may differ between versions
        raise OtherVersionError(version[:40])
    return codec.decode(_KINDS[kind], body, kind)


class OtherVersionError(FormatError):
    """A worker has another version of gilprobe; the message is that version."""


def write_task(task: Task[T]) -> bytes:
    """Return a task as a line to send to a worker."""
    return json.dumps({"work": task.work, "order": codec.encode(task.order)}).encode("ascii") + b"\n"


def read_task(line: bytes) -> tuple[str, object]:
    """Return the work and the order in a line; FormatError if it is invalid."""
    document = codec.parse_json(line, "a task must be JSON")
    if not (isinstance(document, dict) and document.keys() == {"work", "order"}):
        raise FormatError("a task must be an object with the keys work and order")
    return str(document["work"]), document["order"]
