"""Run a function of gilprobe in another process."""

from __future__ import annotations

import json
import os
import select
import socket
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gilprobe import __version__
from gilprobe._native import attach as native
from gilprobe.attached import bootstrap
from gilprobe.attached.channel import ToolChannel
from gilprobe.attaching.outside import wait_until_free
from gilprobe.attaching.target import ProcessGoneError, Target, look_at, refusal, user_of
from gilprobe.attaching.waking import Armed, armed, ticket, wake
from gilprobe.errors import GilProbeError, InvalidValueError, TimeLimitError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from gilprobe.attaching.outside import Keeper

_PACKAGE = Path(__file__).parents[1]
AGENT = Path(__file__).with_name("agent.so")
_SEARCH_S = 3.0  # for a thread that can be used


def _silent(_keeper: Keeper) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Injected:
    """A function that runs in another process.

    Attributes
    ----------
    target : Target
        The process.
    channel : ToolChannel
        The connection to it: :func:`gilprobe.attached.running.channel` is the other end.
    thread : int
        Native id of the thread that was used to get in.
    waited : bool
        Whether that thread waited in a system call; else it ran in the interpreter.
    stopped_s : float
        For how long it stood still.
    took_s : float
        From the call to the function's begin.
    signal : int or None
        The signal that has woken the process (:func:`gilprobe.arm`); None: the thread was stopped by ptrace.
    """

    target: Target | Armed
    channel: ToolChannel
    thread: int
    waited: bool
    stopped_s: float
    took_s: float
    signal: int | None = None

    def result(self, timeout_s: float | None = None) -> Any:
        """Return what the function returned, after its end.

        Raises
        ------
        GilProbeError
            If it failed, or the process ended.
        TimeoutError
            If it has not ended after `timeout_s`.
        """
        message = self.channel.receive(timeout_s)
        if message is None:
            raise ProcessGoneError(f"process {self.target.pid} has ended")
        _check(self.target.pid, message)
        return message.get("returned")

    def close(self) -> None:
        """Close the connection, which a function may take as the sign to end."""
        self.channel.close()

    def __enter__(self) -> Injected:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()


def inject(
    pid: int,
    module: str,
    function: str,
    arguments: Mapping[str, Any],
    timeout_s: float,
    *,
    packages: Sequence[str] = (),
    tell: Callable[[Keeper], object] = _silent,
) -> Injected:
    """Run ``module.function(**arguments)`` in a new thread of another process; return when it has begun.

    A process that waits for it (:func:`gilprobe.arm`) gets a signal. Of another one a thread stands still for
    about a millisecond. The function's own thread waits for the GIL as any other does. What the function
    raises is sent here; nothing is printed there.

    Parameters
    ----------
    pid : int
        The process: a CPython from 3.11 on, with glibc, on Linux and x86-64, in the same mount namespace.
    module, function : str
        What to call: of gilprobe, or of what the process can import.
    arguments : mapping of str to anything that JSON has
        For the function.
    timeout_s : float
        How long to wait for the function's begin.
    packages : sequence of str
        More folders of the package gilprobe, for processes that this one's doesn't fit.
    tell : callable
        Called if a thread of the process keeps the GIL in native code. Until it lets go, nothing is done to
        the process.

    Returns
    -------
    Injected
        What runs there, with a connection to it.

    Raises
    ------
    InvalidValueError
        If the process is none that may be attached to.
    UnsupportedError
        If attaching to it is not supported.
    ProcessGoneError
        If it is not there, or ended meanwhile.
    TimeLimitError
        If the function has not begun after `timeout_s`; the message says who keeps the GIL, if it is kept.
    GilProbeError
        If something else fails.
    """
    began_s = time.monotonic()
    check_supported()
    folders = [str(_PACKAGE), *(str(Path(folder).absolute()) for folder in packages)]
    user, woken = user_of(pid), armed(pid)
    target = look_at(pid, native.FUNCTIONS) if woken is None else woken
    for path in (str(AGENT), *folders):
        check_shared(pid, path)
        _check_owner(user, path)
    with ExitStack() as stack:
        process = process_of(pid)
        stack.callback(os.close, process)
        number, folder = stack.enter_context(_folder(pid, user, asleep=woken is not None))
        listener = stack.enter_context(_listener(user, folder))
        order = {
            "socket": f"{folder}/socket",
            "user": os.geteuid(),
            "packages": folders,
            "version": __version__,
            "module": module,
            "function": function,
            "arguments": json.loads(json.dumps(dict(arguments), allow_nan=False)),
        }
        code = f"{folder}/start.py"
        # Its functions and their names refer to each other: until a full collection, 4 kB would stay.
        text = Path(bootstrap.__file__).read_text("utf-8")
        _write(user, code, f"{text}\n\n_start({order!r})\nglobals().clear()\n")
        # The last step: in a folder of its own, another user could put links in place of our files.
        _give(user, folder)
        until_s = began_s + timeout_s
        if isinstance(target, Armed):
            thread, waited, stopped_ns = wake(target, number, listener, process, until_s), False, 0
        else:
            if (keeper := wait_until_free(target, until_s, tell)) is not None:
                raise TimeLimitError(
                    f"process {pid} can't be attached to: {keeper.told}; nothing was changed in it"
                )
            thread, waited, stopped_ns = _load(target, code, min(timeout_s, _SEARCH_S))
        channel = _answer(pid, listener, process, until_s)
        try:
            _begin(pid, channel, until_s)
        except BaseException:
            channel.close()
            raise
    took_s = time.monotonic() - began_s
    signal = None if woken is None else woken.signal
    return Injected(target, channel, thread, waited, stopped_ns / 1e9, took_s, signal)


def check_supported() -> None:
    """Check that attaching is possible from here.

    Raises
    ------
    UnsupportedError
        If it is not.
    """
    if not AGENT.exists():
        raise UnsupportedError(
            "attaching needs Linux on x86-64, and an installed gilprobe: not supported here"
        )


def process_of(pid: int) -> int:
    """Return a descriptor that tells when the process ends.

    Raises
    ------
    ProcessGoneError
        If it has.
    """
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        raise ProcessGoneError(f"process {pid} has ended") from None


def check_shared(pid: int, path: str) -> None:
    """Check that a process sees the same file or folder under this name.

    Raises
    ------
    UnsupportedError
        If it does not: it has other file systems.
    """
    ours = os.stat(path)  # noqa: PTH116
    try:
        theirs = os.stat(f"/proc/{pid}/root{path}")  # noqa: PTH116
    except OSError:
        theirs = None
    if theirs is None or (ours.st_dev, ours.st_ino) != (theirs.st_dev, theirs.st_ino):
        raise UnsupportedError(
            f"process {pid} has no {path!r} of ours, as in a container: run gilprobe attach there"
        )


def _check_owner(user: int, path: str) -> None:
    """Check that the process is not made to run what a third user may change.

    Raises
    ------
    InvalidValueError
        If it would be.
    """
    for each in (path, os.path.dirname(path)):  # noqa: PTH120
        status = os.stat(each)  # noqa: PTH116
        if status.st_mode & 0o002 or status.st_uid not in (0, os.geteuid(), user):
            raise InvalidValueError(
                f"code for another process must be safe from other users, got {each!r}: "
                f"mode {status.st_mode & 0o777:o}, user {status.st_uid}"
            )


@contextmanager
def _folder(pid: int, user: int, *, asleep: bool) -> Iterator[tuple[int, str]]:
    """Make a folder for what both processes use, mode 0700; yield its ticket, or 0, and its path."""
    if asleep:
        with ticket() as made:
            check_shared(pid, made[1])
            yield made
        return
    # Root's own temporary folder may be out of the user's reach.
    where = None if user == os.geteuid() else "/tmp"  # noqa: S108  # mkdtemp makes a folder of its own there
    with tempfile.TemporaryDirectory(prefix="gilprobe-", dir=where) as folder:
        check_shared(pid, folder)
        yield 0, folder


def _give(user: int, path: str) -> None:
    if user != os.geteuid():
        os.chown(path, user, -1, follow_symlinks=False)


@contextmanager
def _listener(user: int, folder: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        path = f"{folder}/socket"
        try:
            listener.bind(path)
        except OSError as error:  # its name may have 107 bytes
            raise GilProbeError(f"can't make a socket in {folder!r}: {error}; set TMPDIR") from None
        os.chmod(path, 0o600)  # noqa: PTH101
        _give(user, path)
        listener.listen(1)
        yield listener


def _write(user: int, path: str, text: str) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with open(os.open(path, flags, 0o600), "w", encoding="utf-8") as file:  # noqa: PTH123
        file.write(text)
        if user != os.geteuid():
            os.fchown(file.fileno(), user, -1)


def _load(target: Target, code: str, patience_s: float) -> tuple[int, bool, int]:
    """Load the agent; return the thread, whether it waited, and for how long it stood still."""
    try:
        outcome, error, thread, waited, stopped_ns, _ = native.inject(
            target.pid,
            target.dlopen,
            target.code,
            os.fsencode(AGENT),
            target.functions,
            os.fsencode(code),
            int(patience_s * 1e9),
        )
    except NotImplementedError:
        raise UnsupportedError("attaching is not supported here: it needs Linux on x86-64") from None
    except ValueError as problem:
        raise GilProbeError(f"{problem}; set TMPDIR") from None
    if outcome != "done":
        raise _failure(target, outcome, error)
    return thread, waited, stopped_ns


def _failure(target: Target, outcome: str, error: int) -> GilProbeError:
    pid = target.pid
    if outcome == "refused":
        return refusal(pid, target.user, os.strerror(error))
    if outcome == "ended":
        return ProcessGoneError(f"process {pid} has ended")
    reasons = {
        "no thread": "no thread of it waits or runs Python code, where one can be used; try again",
        "blocked": "one of its threads keeps the lock of the dynamic loader; try again",
        "not loaded": f"it can't load {str(AGENT)!r}, which its user must be able to read",
        "not started": f"it can't make a thread: {os.strerror(error)}",
        "fault": "a call in it failed; its thread goes on as before",
    }
    return GilProbeError(f"process {pid} can't be attached to: {reasons[outcome]}")


def _answer(pid: int, listener: socket.socket, process: int, until_s: float) -> ToolChannel:
    """Return the connection to the process, when it has made it."""
    while True:
        left_s = until_s - time.monotonic()
        waited_for: list[Any] = [listener, process]
        ready, _, _ = select.select(waited_for, [], [], max(0.0, left_s))
        if listener in ready:
            connection, _ = listener.accept()
            peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
            if int.from_bytes(peer[:4], "little") == pid:
                return ToolChannel(connection)
            connection.close()
        elif process in ready:
            raise ProcessGoneError(f"process {pid} has ended")
        elif left_s <= 0:
            raise TimeLimitError(
                f"process {pid} gave no sign of life in time: a thread of it may keep the GIL in C"
            )


def _begin(pid: int, channel: ToolChannel, until_s: float) -> None:
    """Wait until the function has begun."""
    try:
        message = channel.receive(max(0.001, until_s - time.monotonic()))
    except TimeoutError:
        raise TimeLimitError(f"process {pid} could not import gilprobe in time") from None
    if message is None:
        raise ProcessGoneError(f"process {pid} has ended")
    _check(pid, message)


def _check(pid: int, message: dict[str, Any]) -> None:
    if "failed" in message:
        kind = UnsupportedError if message.get("kind") == "unsupported" else GilProbeError
        raise kind(f"in process {pid}: {message['failed']}")
