"""Record the forked children of an attached process, each in a file of its own, as long as the tool wants.

A hook, which stays, begins that in the child before its own code runs. A thread there waits for the tool to
leave; it has the name of the one in the first process. To programs that are started by exec the tool
attaches itself (:mod:`gilprobe.attaching.programs`).
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # signal makes enumerations of all its numbers
import _socket
import _thread
import atexit
import os
import sys
from contextlib import suppress

from gilprobe.attached.recording import EndsOnce
from gilprobe.errors import UnsupportedError
from gilprobe.programs.follow import child_path
from gilprobe.programs.program_recording import ProgramRecording, RecordOptions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Order = tuple[str, str, str]
    """The first process's file, what to record by :meth:`RecordOptions.to_text`, and the tool's socket."""

_LEAVE_THERE = 2  # recv(2): what comes is seen, not taken

_orders: list[Order] = []
_hooked = False
_connections: list[tuple[_socket.socket, tuple[int, int]]] = []  # of this process, a child


def begin(order: Order) -> None:
    """Record children that are forked from now on.

    Raises
    ------
    UnsupportedError
        If the interpreter is built without a GIL: a child may then begin with a lock that nobody gives back.
    """
    global _hooked
    if "free-threading" in sys.version:
        raise UnsupportedError("--follow needs a Python with a GIL")
    if not _hooked:
        os.register_at_fork(after_in_child=_forked)
        _hooked = True
    _orders.append(order)


def end(order: Order) -> None:
    """Record no new children for this order."""
    with suppress(ValueError):
        _orders.remove(order)


def _forked() -> None:
    while _connections:  # the parent's: it would not be seen to end
        _leave(*_connections.pop())
    for order in list(_orders):
        with suppress(Exception):  # the child just runs
            _join(order)


def _join(order: Order) -> None:
    """Tell the tool, and begin a recording that ends when it leaves."""
    path, options, tool = order
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    identity = _identity(connection)
    try:
        connection.setblocking(False)  # as long as that fails at once, nobody waits for the tool
        connection.connect(tool)
        connection.setblocking(True)
        ready, begun = _thread.allocate_lock(), _thread.allocate_lock()
        ready.acquire()
        begun.acquire()
        recordings: list[EndsOnce] = []

        def wait() -> None:
            with suppress(OSError):
                _take_name()
            ready.release()
            begun.acquire()
            with suppress(BaseException):  # nothing is printed
                _wait(connection, identity, recordings)
            end(order)

        _start_thread(wait)
        ready.acquire()  # the program may close all files: it must not be one that was opened meanwhile
        try:
            what = RecordOptions.from_text(options)
            recording = EndsOnce(
                ProgramRecording(child_path(path, os.getpid()), what, told=False, later=False)
            )
            atexit.register(recording.end)
            recordings.append(recording)
            _connections.append((connection, identity))
            connection.send(b"\n")
        finally:
            begun.release()
    except BaseException:
        _leave(connection, identity)
        raise


def _start_thread(function: Callable[[], object]) -> None:
    """Start a thread that gets no signal: the program may wait for those that its own threads block."""
    before = _signal.pthread_sigmask(_signal.SIG_BLOCK, _signal.valid_signals())
    try:
        _thread.start_new_thread(function, ())
    finally:
        _signal.pthread_sigmask(_signal.SIG_SETMASK, before)


def _take_name() -> None:
    with open(f"/proc/self/task/{_thread.get_native_id()}/comm", "w", encoding="ascii") as file:  # noqa: PTH123
        file.write("gilprobe")


def _wait(connection: _socket.socket, identity: tuple[int, int], recordings: list[EndsOnce]) -> None:
    """End the recordings when the tool has left.

    The program may close all files, and use the connection's number anew: then nothing is read or closed.
    """
    if not recordings:
        return
    with suppress(OSError):
        if _identity(connection) == identity:
            connection.recv(1, _LEAVE_THERE)
    for recording in recordings:
        recording.end()
        atexit.unregister(recording.end)
    with suppress(ValueError):
        _connections.remove((connection, identity))
    _leave(connection, identity)


def _leave(connection: _socket.socket, identity: tuple[int, int]) -> None:
    if _identity(connection) == identity:
        connection.close()
    else:
        connection.detach()


def _identity(connection: _socket.socket) -> tuple[int, int]:
    try:
        status = os.fstat(connection.fileno())
    except OSError:  # closed
        return -1, -1
    return status.st_dev, status.st_ino
