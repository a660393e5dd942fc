"""Run a function of gilprobe in another process."""

from __future__ import annotations

import json
import os
import select
import socket
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gilprobe import __version__
from gilprobe._native import attach as native
from gilprobe.attached import bootstrap
from gilprobe.attached.channel import ToolChannel
from gilprobe.attaching.outside import wait_until_free
from gilprobe.attaching.shared_folder import AGENT, SharedFolder
from gilprobe.attaching.target import ProcessGoneError, Target, contents, refusal
from gilprobe.attaching.waking import Armed, wake
from gilprobe.errors import GilProbeError, TimeLimitError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gilprobe.attaching.outside import Keeper

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
    _close: Callable[[], None] | None = None

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
        if self._close is None:
            self.channel.close()
        else:
            self._close()

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
    folder: SharedFolder | None = None,
) -> Injected:
    """Run ``module.function(**arguments)`` in a new thread of another process; return when it has begun.

    A process that waits for it (:func:`gilprobe.arm`) gets a signal. Of another one a thread stands still for
    about a millisecond. The function's own thread waits for the GIL as any other does. What the function
    raises is sent here; nothing is printed there.

    Parameters
    ----------
    pid : int
        The process: a CPython from 3.11 on, with glibc, on Linux and x86-64; it may be in a container.
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
    folder : SharedFolder, optional
        What both processes see, if the function needs it, too; then `packages` are the folder's. Default: one
        that is there only as long as it must.

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
    with ExitStack() as stack:
        own = folder is None
        if folder is None:
            folder = stack.enter_context(SharedFolder(pid, packages))
        target = folder.target
        with ExitStack() as begin:
            process = process_of(pid)
            begin.callback(os.close, process)
            listener = begin.enter_context(folder.listen("socket"))
            order = {
                "socket": f"{folder.inside}/socket",
                "user": folder.own_user,
                "packages": folder.packages,
                "version": __version__,
                "module": module,
                "function": function,
                "arguments": json.loads(json.dumps(dict(arguments), allow_nan=False)),
            }
            # The zero ends what the agent runs first. Functions and their names refer to each other: until a
            # full collection, 4 kB would stay.
            text = contents(bootstrap.__file__)
            text += f"\n\n_run = _start({order!r})\n\0if _run:\n    _run()\nglobals().clear()\n"
            folder.write("start.py", text.encode())
            until_s = began_s + timeout_s
            if isinstance(target, Armed):
                thread, waited, stopped_ns = wake(target, folder.ticket, listener, process, until_s), False, 0
            else:
                if (keeper := wait_until_free(target, until_s, tell)) is not None:
                    raise TimeLimitError(
                        f"process {pid} can't be attached to: {keeper.told}; nothing was changed in it"
                    )
                thread, waited, stopped_ns = _load(target, folder, min(timeout_s, _SEARCH_S))
            channel = _answer(pid, listener, process, until_s)
        stack.callback(channel.close)
        _begin(pid, channel, until_s)
        if own and not folder.copied:  # nothing in there is needed any more
            folder.close()
        close = stack.pop_all().close
    took_s = time.monotonic() - began_s + (0.0 if own else folder.took_s)
    signal = target.signal if isinstance(target, Armed) else None
    return Injected(target, channel, thread, waited, stopped_ns / 1e9, took_s, signal, close)


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


def _load(target: Target, folder: SharedFolder, patience_s: float) -> tuple[int, bool, int]:
    """Load the agent; return the thread, whether it waited, and for how long it stood still."""
    try:
        outcome, error, thread, waited, stopped_ns, _ = native.inject(
            target.pid,
            target.dlopen,
            target.code,
            os.fsencode(folder.agent),
            os.fsencode(AGENT),
            target.functions,
            target.free_threaded and target.version < (3, 14),
            os.fsencode(f"{folder.inside}/start.py"),
            int(patience_s * 1e9),
        )
    except NotImplementedError:
        raise UnsupportedError("attaching is not supported here: it needs Linux on x86-64") from None
    if outcome != "done":
        raise _failure(target, folder.agent, outcome, error)
    return thread, waited, stopped_ns


def _failure(target: Target, agent: str, outcome: str, error: int) -> GilProbeError:
    pid = target.pid
    if outcome == "refused":
        return refusal(pid, target.user, os.strerror(error))
    if outcome == "ended":
        return ProcessGoneError(f"process {pid} has ended")
    reasons = {
        "no thread": "no thread of it waits or runs Python code, where one can be used; try again",
        "blocked": "one of its threads keeps the lock of the dynamic loader; try again",
        "not loaded": f"it can't load {agent!r}: is its C library older than gilprobe's?",
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
