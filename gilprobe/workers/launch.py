"""One process for one task, from the side of the process that starts it.

So a time limit can be enforced by killing, no task affects the next, and other interpreters are measured like
this one. A worker's messages are not trusted: it runs foreign code.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Literal, TypeVar

from gilprobe import __version__
from gilprobe.errors import FormatError
from gilprobe.workers import protocol
from gilprobe.workers.group import ProcessGroup, see_off
from gilprobe.workers.protocol import Done, Failed, Hello, Progressed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from gilprobe.workers.protocol import Message, Task
    from gilprobe.workers.pythons import Python

T = TypeVar("T")

START_S = 30.0
"""Time limit for an interpreter to start and to say hello."""

BEGIN_S = 30.0
"""Time limit to begin: to import a user's scenario, for example."""

GRACE_S = 1.0
"""The work may notice between its runs that its time is over; so much later it is killed."""

FAREWELL_S = 2.0
"""Time limit to end after the last message: leftover threads would disturb the next worker."""

INTERRUPT_S = 0.4
"""Time for a worker to clean up on Ctrl-C, or at its time limit, before it is killed."""

_POLL_S = 0.1  # where the kernel can't notify when a process ends: others may hold its pipes open
_LONGEST_S = 3600.0  # a time limit may be beyond what select accepts
_KEPT_OUTPUT = 1 << 14
_PIPE_READS = 16  # a pipe holds 64 KiB, and at most 1 MiB unless root has raised it
_BOOT = "from gilprobe.workers.task_worker import main; main()"


@dataclass(frozen=True, slots=True)
class TaskOutcome(Generic[T]):
    """The outcome of one worker.

    Attributes
    ----------
    python : Python
        The worker's interpreter.
    answer : object or None
        The answer; None if there is none.
    complaint : str
        Why there is none, in one line.
    output : str
        The end of what it printed.
    """

    python: Python
    answer: T | None
    complaint: str
    output: str


class TaskWorker(Generic[T]):
    """A worker, from the side of the process that starts it.

    It starts, begins, waits for its turn, computes, waits, ... and leaves after its answer. `state` says
    which; it is ended however it left.
    """

    def __init__(self, python: Python, task: Task[T], ceiling_s: float) -> None:
        self.python = python
        self.task = task
        self.state: Literal["starting", "beginning", "waiting", "computing", "leaving", "ended"] = "starting"
        self.label = ""
        self.share = 0.0
        self.group: ProcessGroup | None = None
        self._answer: T | None = None
        self._complaint = ""
        self._ceiling_s = ceiling_s
        self._left_s = ceiling_s + GRACE_S
        self._latest = time.monotonic() + START_S
        self._line = bytearray()
        self._output = bytearray()

    def start(self) -> None:
        """Start the process."""
        try:
            self.group = ProcessGroup([self.python.path, *self.python.flags, "-c", _BOOT])
        except OSError as error:
            self._fail(f"{self.python.named}: can't be started: {error.strerror or error}")
            self.end()
            return
        self.group.say(protocol.write_task(self.task))

    @property
    def _started(self) -> ProcessGroup:
        assert self.group is not None  # noqa: S101
        return self.group

    def sources(self) -> Iterator[tuple[int, Callable[[], bool]]]:
        """Yield descriptors, each with a function to call when readable; it returns whether to go on."""
        if self.group is not None:
            yield self.group.fileno("stdout"), self._read_messages
            yield self.group.fileno("stderr"), self._read_output
            if self.group.death_watch is not None:
                yield self.group.death_watch, lambda: False  # look() does the rest

    def go_on(self) -> None:
        """Give it its turn."""
        self.state = "computing"
        self._latest = time.monotonic() + self._left_s
        self._started.say(protocol.GO_ON)

    def wait_s(self) -> float:
        """Return the time until the next check."""
        if self.state == "ended":
            return _LONGEST_S
        longest_s = _POLL_S if self._started.death_watch is None else _LONGEST_S
        return (
            longest_s
            if self.state == "waiting"
            else min(longest_s, max(0.0, self._latest - time.monotonic()))
        )

    def look(self) -> None:
        """Check whether the process has ended, or its time is over."""
        if self.state == "ended":
            return
        if self._started.how_ended():
            self._drain()
            if self.state not in ("leaving", "ended"):
                self._fail(self._death())
            self.end()
        elif self.wait_s() == 0.0:
            if self.state == "leaving":
                self.end()
            else:
                self._cut(self._overdue())

    def _drain(self) -> None:
        """Read what an ended process left in its pipes; others may still fill them."""
        for _ in range(_PIPE_READS):
            self._read_messages()
            self._read_output()

    def end(self) -> None:
        """End the process and all its children."""
        self.state = "ended"
        if self.group is not None:
            self.group.end()

    def outcome(self) -> TaskOutcome[T]:
        """Return its outcome."""
        output = self._output.decode("utf-8", "replace")
        return TaskOutcome(self.python, self._answer, self._complaint, output)

    def _read_output(self) -> bool:
        """Keep the end of its output; return whether there may be more."""
        data = self._started.take("stderr")
        self._output += data or b""
        del self._output[:-_KEPT_OUTPUT]
        return data != b""

    def _read_messages(self) -> bool:
        """Take its messages; return whether there may be more."""
        data = self._started.take("stdout")
        self._line += data or b""
        whole = b"\n" in (data or b"")  # don't search a long line again for each piece
        while whole and self.state not in ("leaving", "ended") and b"\n" in self._line:
            line, _, self._line = self._line.partition(b"\n")
            self._understand(bytes(line))
        if self.state in ("leaving", "ended"):  # it has sent everything
            self._line.clear()
        elif len(self._line) > protocol.LONGEST_LINE:
            self._cut(self._called(f"failed: a message of more than {protocol.LONGEST_LINE >> 20} MiB"))
        return data != b""

    def _understand(self, line: bytes) -> None:
        try:
            self._take(protocol.read(line))
        except protocol.OtherVersionError as error:
            self._cut(f"{self.python.named}: has gilprobe {error}, this is {__version__}")
        except FormatError as error:
            if self.state == "starting":
                self._cut(f"{self.python.named}: is not a Python with gilprobe, it wrote {line[:40]!a}")
            else:
                self._cut(self._called(f"failed: {error}"))

    def _take(self, message: Message) -> None:
        if self.state == "starting" and isinstance(message, Hello):
            self.state = "beginning"
            self._latest = time.monotonic() + BEGIN_S
        elif self.state not in ("beginning", "computing"):
            raise FormatError(f"a worker that is {self.state} sent {type(message).__name__}")
        elif isinstance(message, Progressed):
            if self.state == "computing":
                self._left_s = self._latest - time.monotonic()
            self.label, self.share = message.label[:200], min(max(message.share, 0.0), 1.0)
            self.state = "waiting"
        elif isinstance(message, Failed):
            self._fail(self._failure(message))
            self._leave(None)
        elif isinstance(message, Done):
            self._leave(self.task.read(message.answer))
        else:
            raise FormatError(f"a worker sent an unexpected {type(message).__name__}")

    def _leave(self, answer: T | None) -> None:
        self._answer = answer
        self.share = 1.0
        self.state = "leaving"
        self._latest = time.monotonic() + FAREWELL_S

    def _called(self, what: str) -> str:
        return f"{self.task.called or self.python.named} {what}"

    def _failure(self, failed: Failed) -> str:
        message = failed.message[: protocol.LONGEST_TEXT]
        if self.task.errors_are_whole or failed.kind == "TimeLimitError":
            return message  # the message names its subject
        return self._called(f"failed: {message}")

    def _death(self) -> str:
        """Return how the process ended, with its last output."""
        lines = self._output.decode("utf-8", "replace").split("\n")
        words = next((line.strip()[:200] for line in reversed(lines) if line.strip()), "")
        said = f"{self._started.how_ended()}{words and ': ' + words}"
        if self.state != "starting":
            return self._called(f"failed: its process {said}")
        return f"{self.python.named}: {self._start_failure(words) or f'{said}, before it said hello'}"

    def _start_failure(self, words: str) -> str:
        """Return the reason of a failed start, if the interpreter's own words show it."""
        if "No module named 'gilprobe'" in words:
            return f"has no gilprobe; install it there with `{self.python.path} -m pip install gilprobe`"
        if "gilprobe.workers" in words:
            return f"has an older gilprobe than this one, {__version__}"
        if b"nknown option: -P" in self._output:
            return "is older than Python 3.11, which gilprobe needs"
        return ""

    def _overdue(self) -> str:
        if self.state == "starting":
            return f"{self.python.named}: did not say hello within {START_S:g} s"
        if self.state == "beginning":
            return self._called(f"was stopped: it must {self.task.first} within {BEGIN_S:g} s")
        during = f" ({self.label})" if self.label else ""
        return self._called(
            f"was stopped after its limit of {self._ceiling_s:g} s, {int(100 * self.share)}% done{during}"
        )

    def _fail(self, complaint: str) -> None:
        self._complaint = self._complaint or complaint

    def _cut(self, complaint: str) -> None:
        self._fail(complaint)
        dismiss([self])


def dismiss(workers: Sequence[TaskWorker[T]]) -> None:
    """End what is left: first ask it to clean up, then by force."""
    living = [worker.group for worker in workers if worker.group and worker.state not in ("leaving", "ended")]
    try:
        see_off(living, ProcessGroup.interrupt, INTERRUPT_S)
    finally:
        for worker in workers:
            worker.end()
