"""One process for one scenario, as the process that starts it sees it.

So a ceiling can be enforced by killing, no scenario spoils the next, and other interpreters are measured as
this one is. What a worker writes is treated as hostile: it runs other people's code.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from gilprobe import __version__
from gilprobe.audited import AuditResult
from gilprobe.errors import FormatError
from gilprobe.results import ScenarioResult
from gilprobe.scenarios import protocol
from gilprobe.scenarios.protocol import Failed, Hello, Offer, Progressed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import IO, TypeGuard

    from gilprobe.scenarios.interpreters import Interpreter
    from gilprobe.scenarios.protocol import Message, Task

START_S = 30.0
"""How long an interpreter may take to start and to say hello."""

FIND_S = 30.0
"""How long it may take to find a scenario: to run the file that defines it, for one of the user's own."""

GRACE_S = 1.0
"""A scenario may notice itself, between its runs, that its time is over; this much later it is killed."""

FAREWELL_S = 2.0
"""How long a worker may take to end after its last message: threads that it left would disturb the next."""

INTERRUPT_S = 0.4
"""What a worker gets to put away its things on Ctrl-C, and when it is cut, before it is killed."""

_KEPT_OUTPUT = 1 << 14
_READ = 1 << 16
_PIPE_READS = 16  # a pipe holds 64 KiB, and at most 1 MiB unless root has raised it
_BOOT = "from gilprobe.scenarios.worker import main; main()"


Answer = Hello | Offer | ScenarioResult | AuditResult
"""What a worker can be asked for."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one worker.

    Attributes
    ----------
    interpreter : Interpreter
        Whose worker it was.
    answer : Hello, Offer, ScenarioResult, AuditResult or None
        What was asked for; None if it did not come.
    complaint : str
        Why not, in one line.
    output : str
        The end of what it printed.
    """

    interpreter: Interpreter
    answer: Answer | None
    complaint: str
    output: str

    @property
    def result(self) -> ScenarioResult | None:
        """The scenario's result, if that is the answer."""
        return self.answer if isinstance(self.answer, ScenarioResult) else None


class Worker:
    """A worker as the process that starts it sees it.

    It starts, finds its scenario, waits for its turn, computes, waits, ... and leaves once its answer is
    there. `state` tells which; an ended one has left in whatever way.
    """

    def __init__(self, interpreter: Interpreter, task: Task, ceiling_s: float) -> None:
        self.interpreter = interpreter
        self.task = task
        self.state: Literal["starting", "finding", "waiting", "computing", "leaving", "ended"] = "starting"
        self.label = ""
        self.share = 0.0
        self._process: subprocess.Popen[bytes] | None = None
        self._death_watch: int | None = None
        self._lifeline: int | None = None  # never written to: when it is closed, the worker is killed
        self._answer: Answer | None = None
        self._complaint = ""
        self._ceiling_s = ceiling_s
        self._left_s = ceiling_s + GRACE_S
        self._latest = time.monotonic() + START_S
        self._line = bytearray()
        self._output = bytearray()

    def start(self) -> None:
        """Start the process, in a session of its own: the terminal's Ctrl-C is for its parent alone."""
        try:
            self._process = self._started()
        except OSError as error:
            self._fail(f"{self.interpreter.named}: can't be started: {error.strerror or error}")
            self.end()
            return
        for stream in (self._process.stdout, self._process.stderr):
            os.set_blocking(_of(stream).fileno(), False)
        with suppress(AttributeError, OSError):  # Linux 5.3
            self._death_watch = os.pidfd_open(self._process.pid)
        self._tell(protocol.write_task(self.task))

    def _started(self) -> subprocess.Popen[bytes]:
        watched, self._lifeline = os.pipe()
        command = [self.interpreter.path, *self.interpreter.flags, "-c", _BOOT, str(watched)]
        pipe = subprocess.PIPE
        try:
            return subprocess.Popen(  # noqa: S603  # the user has named the program
                command,
                stdin=pipe,
                stdout=pipe,
                stderr=pipe,
                bufsize=0,
                start_new_session=True,
                pass_fds=(watched,),
            )
        finally:
            os.close(watched)

    @property
    def must_be_polled(self) -> bool:
        """Whether the kernel can't tell when the process has ended; its pipes may be held open by others."""
        return self.state != "ended" and self._death_watch is None

    def sources(self) -> Iterator[tuple[int, Callable[[], bool]]]:
        """Yield descriptors, and for each what to call when it can be read; it returns whether to go on."""
        if self._process is not None:
            yield _of(self._process.stdout).fileno(), self._read_messages
            yield _of(self._process.stderr).fileno(), self._read_output
        if self._death_watch is not None:
            yield self._death_watch, lambda: False  # look() does the rest

    def go_on(self) -> None:
        """Give it its turn."""
        self.state = "computing"
        self._latest = time.monotonic() + self._left_s
        self._tell(protocol.GO_ON)

    def wait_s(self) -> float | None:
        """Return how long it may go on as it does; None: as long as it likes."""
        if self.state in ("waiting", "ended"):
            return None
        return max(0.0, self._latest - time.monotonic())

    def look(self) -> None:
        """Notice that the process has ended, or that its time is over."""
        if self.state == "ended":
            return
        if self.has_ended():
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
        """Take in what an ended process has left in its pipes; others may go on filling them."""
        for read in (self._read_messages, self._read_output):
            for _ in range(_PIPE_READS):
                if not read(once=True):
                    break

    def has_ended(self) -> bool:
        """Return whether the process has ended; its number stays its own."""
        if self._process is None or self._process.returncode is not None:
            return True
        try:
            return _how(self._process.pid) is not None
        except ChildProcessError:  # SIGCHLD is ignored: nobody is told how
            return True

    def interrupt(self) -> None:
        """Ask the process to put its things away; it must still be ended."""
        if self._process is not None and not self.has_ended():
            os.kill(self._process.pid, signal.SIGINT)

    def end(self) -> None:
        """End the process and all that it has started in its group."""
        self.state = "ended"
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)  # not reaped yet: the number is still its own
            self._process.wait()
            for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
                _of(stream).close()
        for descriptor in (self._death_watch, self._lifeline):
            if descriptor is not None:
                os.close(descriptor)
        self._death_watch = self._lifeline = None

    def outcome(self) -> Outcome:
        """Return what came of it."""
        output = self._output.decode("utf-8", "replace")
        return Outcome(self.interpreter, self._answer, self._complaint, output)

    def _tell(self, line: bytes) -> None:
        if self._process is not None:
            with suppress(BrokenPipeError):  # it has ended, which is noticed elsewhere
                _of(self._process.stdin).write(line)

    def _read_output(self, *, once: bool = False) -> bool:
        """Keep the end of what it prints; return whether there may be more, `once`: whether there was any."""
        data = self._available("stderr")
        self._output += data or b""
        del self._output[:-_KEPT_OUTPUT]
        return bool(data) if once else data != b""

    def _read_messages(self, *, once: bool = False) -> bool:
        """Take note of what it tells; returns as :meth:`_read_output`."""
        data = self._available("stdout")
        self._line += data or b""
        whole = b"\n" in (data or b"")  # a long line is not searched again for each piece of it
        while whole and self.state not in ("leaving", "ended") and b"\n" in self._line:
            line, _, self._line = self._line.partition(b"\n")
            self._understand(bytes(line))
        if self.state in ("leaving", "ended"):  # it has told all
            self._line.clear()
        elif len(self._line) > protocol.LONGEST_LINE:
            self._cut(self._called(f"failed: a message of more than {protocol.LONGEST_LINE >> 20} MiB"))
        return bool(data) if once else data != b""

    def _available(self, name: Literal["stdout", "stderr"]) -> bytes | None:
        """Return what a pipe holds; ``b""`` if nothing can come any more, None if it may."""
        stream: IO[bytes] | None = getattr(self._process, name)
        if stream is None or stream.closed:
            return b""
        with suppress(BlockingIOError):
            return os.read(stream.fileno(), _READ)
        return None

    def _understand(self, line: bytes) -> None:
        try:
            self._take(protocol.read(line))
        except protocol.OtherVersionError as error:
            self._cut(f"{self.interpreter.named}: has gilprobe {error}, this is {__version__}")
        except FormatError as error:
            if self.state == "starting":
                self._cut(f"{self.interpreter.named}: is no Python with gilprobe, it wrote {line[:40]!a}")
            else:
                self._cut(self._called(f"failed: {error}"))

    def _take(self, message: Message) -> None:
        if self.state == "starting" and isinstance(message, Hello):
            self._begin(message)
        elif self.state not in ("finding", "computing"):
            raise FormatError(f"a worker that is {self.state} sent {type(message).__name__}")
        elif isinstance(message, Progressed):
            if self.state == "computing":
                self._left_s = self._latest - time.monotonic()
            self.label, self.share = message.label[:200], min(max(message.share, 0.0), 1.0)
            self.state = "waiting"
        elif isinstance(message, Failed):
            self._fail(self._failure(message))
            self._leave(None)
        elif self._is_wanted(message):
            self._leave(message)
        else:
            raise FormatError(f"a worker sent {type(message).__name__}, which it was not asked for")

    def _is_wanted(self, message: Message) -> TypeGuard[Answer]:
        if isinstance(message, ScenarioResult):
            return message.id == self.task.scenario
        if isinstance(message, AuditResult):
            return self.task.audit is not None
        return isinstance(message, Offer) and not self.task.scenario and self.task.audit is None

    def _begin(self, hello: Hello) -> None:
        if self.task.name:
            self.state = "finding"
            self._latest = time.monotonic() + FIND_S
        else:
            self._leave(hello)

    def _leave(self, answer: Answer | None) -> None:
        self._answer = answer
        self.share = 1.0
        self.state = "leaving"
        self._latest = time.monotonic() + FAREWELL_S

    def _called(self, what: str) -> str:
        return f"{self.task.scenario or self.task.name} {what}"

    def _failure(self, failed: Failed) -> str:
        message = failed.message[: protocol.LONGEST_TEXT]
        if not self.task.scenario or failed.kind == "TimeLimitError":
            return message  # that says what it is about
        return self._called(f"failed: {message}")

    def _death(self) -> str:
        """Return how the process ended, with its last words."""
        assert self._process is not None  # noqa: S101
        lines = self._output.decode("utf-8", "replace").split("\n")
        words = next((line.strip()[:200] for line in reversed(lines) if line.strip()), "")
        try:
            how = _how(self._process.pid) or ""
        except ChildProcessError:
            how = "has ended"
        said = f"{how}{words and ': ' + words}"
        if self.state != "starting":
            return self._called(f"failed: its process {said}")
        return f"{self.interpreter.named}: {self._start_failure(words) or f'{said}, before it said hello'}"

    def _start_failure(self, words: str) -> str:
        """Return what a start that failed means, where the interpreter's own words tell it."""
        if "No module named 'gilprobe'" in words:
            return f"has no gilprobe; install it there with `{self.interpreter.path} -m pip install gilprobe`"
        if "gilprobe.scenarios" in words:
            return f"has an older gilprobe than this one, {__version__}"
        if b"nknown option: -P" in self._output:
            return "is older than Python 3.11, which gilprobe needs"
        return ""

    def _overdue(self) -> str:
        if self.state == "starting":
            return f"{self.interpreter.named}: did not say hello within {START_S:g} s"
        if self.state == "finding":
            return f"{self.task.name} was cut: it must tell its scenarios within {FIND_S:g} s"
        during = f" ({self.label})" if self.label else ""
        return self._called(
            f"was cut: it may take {self._ceiling_s:g} s, and {int(100 * self.share)}% of it was done{during}"
        )

    def _fail(self, complaint: str) -> None:
        self._complaint = self._complaint or complaint

    def _cut(self, complaint: str) -> None:
        self._fail(complaint)
        dismiss([self])


def dismiss(workers: Sequence[Worker]) -> None:
    """End what is left: first with a word, for it to put away its things, then by force."""
    try:
        living = [worker for worker in workers if worker.state not in ("leaving", "ended")]
        for worker in living:
            worker.interrupt()
        latest = time.monotonic() + INTERRUPT_S
        while time.monotonic() < latest and not all(worker.has_ended() for worker in living):
            time.sleep(0.01)
    finally:
        for worker in workers:
            worker.end()


def _how(pid: int) -> str | None:
    """Return how a child ended, None if it has not; it is not reaped. ChildProcessError if it was."""
    found = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)
    if found is None:
        return None
    if found.si_code == os.CLD_EXITED:
        return f"ended with status {found.si_status}"
    with suppress(ValueError):
        return f"was killed by {signal.Signals(found.si_status).name}"
    return f"was killed by signal {found.si_status}"


def _of(stream: IO[bytes] | None) -> IO[bytes]:
    """Return a pipe that is there: all three were asked for."""
    assert stream is not None  # noqa: S101
    return stream
