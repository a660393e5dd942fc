"""The watched program's side: send the numbers of a trace to the process that watches, when it asks.

The viewer listens on a Unix socket in a folder of its own; this side connects, traces as long as the
connection lasts, and computes nothing unless it is asked: one byte from the viewer is one line of JSON back.
So no socket waits in the program, and nothing is left when the viewer is gone. The thread that answers is
hidden from traces, and unknown to :mod:`threading`.
"""

from __future__ import annotations

import _thread
import atexit
import os
import socket
from binascii import b2a_base64
from contextlib import suppress

from gilprobe import __version__
from gilprobe._native.tracer import hide_thread
from gilprobe.errors import GilProbeError, InvalidTypeError
from gilprobe.tracing.recording_writer import as_json
from gilprobe.tracing.sent_snapshot import SnapshotSender
from gilprobe.tracing.tracer import Trace

TYPE_CHECKING = False  # as in gilprobe/__init__.py: a watched process loads no typing
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from gilprobe.tracing.flight_recorder import FlightRecorder

PROTOCOL = 1
"""Version of the lines. The viewer refuses every other."""

OPTIONS = ("stacks", "looks", "locks")
"""Options of :func:`serve`, as for :func:`gilprobe.trace`."""

ASK_READING, ASK_RECORDING = b"?", b"!"
"""What the viewer sends: each is answered by a line."""

_SLOWEST_S = 5.0  # a viewer that does not read is taken for gone: the program's end must not wait for it


def serve(*, path: str, options: Mapping[str, Any], last_s: float | None = None) -> None:
    """Trace this process, and send what a viewer asks for until it leaves; return when the trace runs.

    What is asked for is sent by a thread of its own. At exit it sends the last numbers.

    Parameters
    ----------
    path : str
        The viewer's socket.
    options : mapping
        Of :data:`OPTIONS`; one that is missing has the default of :func:`gilprobe.trace`.
    last_s : float, optional
        Also keep what happened in the last seconds, so that the viewer may ask for a recording of them; it
        gets one at exit, too.

    Raises
    ------
    InvalidTypeError
        If an option is unknown.
    OSError
        If the socket can't be reached.
    UnsupportedError
        If neither the GIL nor locks can be traced here; the viewer is told.
    """
    if unknown := sorted(options.keys() - set(OPTIONS)):
        raise InvalidTypeError(f"options must be of {', '.join(OPTIONS)}, got {unknown[0]!r}")
    hidden, begun = _thread.allocate_lock(), _thread.allocate_lock()
    hidden.acquire()
    begun.acquire()
    servers: list[Server] = []

    def answer() -> None:
        hide_thread()  # before the trace begins; a hidden thread can't begin one
        hidden.release()
        begun.acquire()
        for server in servers:
            with suppress(Exception), server:  # the program goes on without
                server.answer()

    _thread.start_new_thread(answer, ())
    hidden.acquire()
    try:
        server = Server(path, options, last_s)
        # Registered before the program's own, so it runs after them.
        atexit.register(server.finish)
        servers.append(server)
    finally:
        begun.release()


class Server:
    """A trace of this process, and a connection to its viewer."""

    def __init__(self, path: str, options: Mapping[str, Any], last_s: float | None) -> None:
        self._pid = os.getpid()
        self._finishing = False
        self._sending = _thread.allocate_lock()
        self._connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._connection.connect(path)
            self._identity = _identity(self._connection.fileno())
            self._trace = Trace(_told=False, **options)
            self._flight: FlightRecorder | None = None
            if last_s is not None:
                from gilprobe.tracing.flight_recorder import FlightRecorder

                self._flight = FlightRecorder(last_s, **options)
            self._begin()
        except BaseException:
            self._connection.close()
            raise

    def _begin(self) -> None:
        try:
            self._trace.start()
        except Exception as error:
            self._send({"error": str(error)})
            raise
        self._sender = SnapshotSender(self._trace)
        try:
            if self._flight is not None:
                self._flight.start()
            hello = {"hello": PROTOCOL, "gilprobe": __version__, "pid": self._pid}
            self._send(hello | self._sender.described())
        except BaseException:
            self._end()
            raise

    def answer(self) -> None:
        """Answer until the viewer leaves."""
        while self._still_connected() and (asked := self._connection.recv(1)):
            with self._sending:
                if not self._still_connected():
                    return
                if asked == ASK_RECORDING:
                    self._send_last_seconds()
                else:
                    self._send({"snapshot": self._sender.take(), "final": False})

    def finish(self) -> None:
        """Send the last numbers, at the program's end."""
        self._finishing = True
        if os.getpid() != self._pid or not self._sending.acquire(timeout=_SLOWEST_S):
            return
        try:
            if self._still_connected() and self._trace.running:
                with suppress(OSError):
                    self._send_last_seconds()
                    self._send({"snapshot": self._sender.take(), "final": True})
                self._leave()
        finally:
            self._sending.release()

    def _still_connected(self) -> bool:
        """Return whether the descriptor is still ours: a program may close all, and use the numbers anew."""
        return self._trace.running and _identity(self._connection.fileno()) == self._identity

    def _send_last_seconds(self) -> None:
        if self._flight is None:
            return
        try:
            text = b2a_base64(self._flight._content(), newline=False).decode("ascii")
        except GilProbeError:  # it has too many places
            text = None
        self._send({"recording": text})

    def _send(self, line: dict[str, Any]) -> None:
        data = as_json(line).encode("ascii") + b"\n"
        self._connection.settimeout(_SLOWEST_S)
        try:
            self._connection.sendall(data)
        finally:
            self._connection.settimeout(None)

    def _leave(self) -> None:
        if self._trace.running:
            self._end()
        if _identity(self._connection.fileno()) == self._identity:
            with suppress(OSError):
                self._connection.shutdown(socket.SHUT_RDWR)  # a forked child may have it, too
            self._connection.close()
        else:
            self._connection.detach()  # the number is another file's now

    def _end(self) -> None:
        """Trace this process no longer."""
        if self._flight is not None:
            self._flight.stop()
        self._trace.close()
        self._sender.close()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_exception: object) -> None:
        if self._finishing:  # the interpreter ends: that does the rest, and atexit has its list in hand
            return
        with self._sending:
            self._leave()
        if not self._finishing:
            atexit.unregister(self.finish)


def _identity(descriptor: int) -> tuple[int, int] | None:
    with suppress(OSError, ValueError):  # closed
        status = os.fstat(descriptor)
        return status.st_dev, status.st_ino
    return None
