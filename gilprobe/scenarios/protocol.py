"""What a worker and the process that started it tell each other: one line of JSON for each message.

The worker says hello, gets its task, and from then on has to be told to go on: before each of its runs it
says how far it is, and waits. So the reader of a worker never disturbs what is measured (a progress bar is
drawn while nothing computes), and of several workers exactly one computes at a time.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gilprobe import codec
from gilprobe.audited import AuditResult
from gilprobe.auditing.statements import Statement
from gilprobe.environment import Environment
from gilprobe.errors import FormatError
from gilprobe.results import ScenarioResult
from gilprobe.scenarios.scenario import Group

if TYPE_CHECKING:
    from gilprobe.scenarios.scenario import Scenario

LONGEST_LINE = 64 << 20
"""Bytes of a message: the traces of a scenario with hundreds of threads are some megabytes."""

LONGEST_TEXT = 500
"""Characters of a label or an error."""

GO_ON = b"go\n"
"""What a waiting worker is told."""


@dataclass(frozen=True, slots=True)
class Task:
    """What a worker is to do.

    Attributes
    ----------
    name : str
        An identifier, or the path of a file; ``""``: nothing, the hello was all that was wanted.
    scenario : str
        Which of the scenarios of `name` to run; ``""``: tell which there are.
    threads, repeat, quick
        As for :func:`gilprobe.run`; None where it decides itself.
    audit : Statement or None
        What to audit, instead of a scenario.
    """

    name: str
    scenario: str = ""
    threads: tuple[int, ...] | None = None
    repeat: int | None = None
    quick: bool = False
    audit: Statement | None = None


def audit_task(statement: Statement, threads: tuple[int, ...], repeat: int | None, quick: bool) -> Task:
    """Return the task of auditing a statement."""
    return Task("the statement", "", threads, repeat, quick, statement)


@dataclass(frozen=True, slots=True)
class Hello:
    """A worker's first message. The version comes first, to be read of any gilprobe."""

    gilprobe: str
    environment: Environment


@dataclass(frozen=True, slots=True)
class Listed:
    """What the catalogue tells of a scenario.

    Attributes
    ----------
    id, title, group, headline, ceiling_s
        As in :class:`~gilprobe.scenarios.Scenario`.
    missing : str
        Why this interpreter and machine can't show it; ``""`` if they can.
    """

    id: str
    title: str
    group: Group
    headline: bool
    ceiling_s: float
    missing: str


@dataclass(frozen=True, slots=True)
class Offer:
    """The scenarios that were found under a name."""

    scenarios: tuple[Listed, ...]


@dataclass(frozen=True, slots=True)
class Progressed:
    """How far a scenario is, and what runs next."""

    label: str
    share: float


@dataclass(frozen=True, slots=True)
class Failed:
    """Why there is no result: the class of the error and its message, in one line."""

    kind: str
    message: str


Message = Hello | Offer | Progressed | Failed | ScenarioResult | AuditResult

_KINDS: dict[str, type[Message]] = {
    "hello": Hello,
    "offer": Offer,
    "progress": Progressed,
    "error": Failed,
    "result": ScenarioResult,
    "audit": AuditResult,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}


def listed(scenario: Scenario, environment: Environment) -> Listed:
    """Return what the catalogue tells of a scenario on that interpreter and machine."""
    try:
        missing = scenario.missing(environment)
    except Exception as error:  # other people's code, too, is listed
        missing = f"it fails: {type(error).__name__}: {error}"[:LONGEST_TEXT]
    return Listed(
        id=scenario.id,
        title=scenario.title,
        group=scenario.group,
        headline=scenario.headline,
        ceiling_s=float(scenario.ceiling_s),
        missing=missing,
    )


def write(message: Message) -> bytes:
    """Return a message as the line that is sent.

    Raises
    ------
    FormatError
        If it holds what JSON can't: infinity, or an object that is not of the model.
    """
    try:
        text = json.dumps({_NAMES[type(message)]: codec.encode(message)}, allow_nan=False)
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
    if kind == "hello" and isinstance(body, dict) and type(body.get("gilprobe")) is str:
        from gilprobe import __version__

        if body["gilprobe"] != __version__:  # the rest of it may look different
            raise OtherVersionError(body["gilprobe"][:40])
    return codec.decode(_KINDS[kind], body, kind)


class OtherVersionError(FormatError):
    """A worker belongs to another version of gilprobe; the message is that version."""


def write_task(task: Task) -> bytes:
    """Return a task as the line that is sent."""
    return json.dumps(codec.encode(task)).encode("ascii") + b"\n"


def read_task(line: bytes) -> Task:
    """Return the task in a line; FormatError if there is none."""
    return codec.decode(Task, codec.parse_json(line, "a task must be JSON"), "task")
