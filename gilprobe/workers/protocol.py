"""What a worker and the process that started it tell each other: one line of JSON for each message.

The worker says hello, gets its task, and from then on has to be told to go on: before each of its runs it
says how far it is, and waits. So the reader of a worker never disturbs what is measured (a progress bar is
drawn while nothing computes), and of several workers exactly one computes at a time.
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
"""Bytes of a message: the traces of a scenario with hundreds of threads are some megabytes."""

LONGEST_TEXT = 500
"""Characters of a label or an error."""

GO_ON = b"go\n"
"""What a waiting worker is told."""


@dataclass(frozen=True, slots=True)
class Task(Generic[T]):
    """What a worker is to do, and what its answer is.

    Attributes
    ----------
    work : str
        ``"module:function"``. The worker calls it with the order, as JSON has it, and its turns.
    order : object
        Plain data.
    read : callable
        Returns the answer, of what JSON has of what the work returned; FormatError if it is none.
    called : str
        What complaints call it; ``""``: as the Python.
    first : str
        What it must do soon: before it waits for its first turn.
    errors_are_whole : bool
        Whether the errors that it raises say what they are about.
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
    """How far the work is, and what runs next."""

    label: str
    share: float


@dataclass(frozen=True, slots=True)
class Failed:
    """Why there is no answer: the class of the error and its message, in one line."""

    kind: str
    message: str


@dataclass(frozen=True, slots=True)
class Done:
    """What the work has returned: plain data; of a message that was read, as JSON has it."""

    answer: object


Message = Hello | Progressed | Failed | Done

_KINDS: dict[str, type[Message]] = {"hello": Hello, "progress": Progressed, "error": Failed, "result": Done}
_NAMES = {kind: name for name, kind in _KINDS.items()}


def write(message: Message) -> bytes:
    """Return a message as the line that is sent.

    Raises
    ------
    FormatError
        If it holds what JSON can't: infinity, or an object that is not of the model.
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
    if type(version) is str and version != __version__:  # the rest of it may look different
        raise OtherVersionError(version[:40])
    return codec.decode(_KINDS[kind], body, kind)


class OtherVersionError(FormatError):
    """A worker belongs to another version of gilprobe; the message is that version."""


def write_task(task: Task[T]) -> bytes:
    """Return what a worker is told of a task, as the line that is sent."""
    return json.dumps({"work": task.work, "order": codec.encode(task.order)}).encode("ascii") + b"\n"


def read_task(line: bytes) -> tuple[str, object]:
    """Return the work and the order in a line; FormatError if there are none."""
    document = codec.parse_json(line, "a task must be JSON")
    if not (isinstance(document, dict) and document.keys() == {"work", "order"}):
        raise FormatError("a task must be an object with the keys work and order")
    return str(document["work"]), document["order"]
