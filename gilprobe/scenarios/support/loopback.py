"""A server thread on the loopback interface, and its client process.

Everything here ends: the client is killed if it does not answer in time, the server's blocking calls have a
time limit in the kernel, and both are always closed at the end.
"""

from __future__ import annotations

import json
import socket
import struct
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gilprobe.errors import TimeLimitError, UnsupportedError
from gilprobe.workers.group import ProcessGroup

PATIENCE_S = 20.0
"""Time limit of all blocking calls: far longer than a request, shorter than a scenario's limit."""

_CLIENT = Path(__file__).with_name("echo_client.py")


@dataclass(frozen=True, slots=True)
class Answers:
    """The client's numbers."""

    requests: int
    elapsed_s: float
    p50_s: float
    p99_s: float

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.elapsed_s


class EchoServer:
    """A thread that echoes bytes over one connection, with blocking calls."""

    NAME = "echo server"

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(PATIENCE_S)
        self._connection: socket.socket | None = None
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, name=self.NAME, daemon=True)

    def __enter__(self) -> EchoServer:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        for end in (self._connection, self._listener):
            if end is not None:
                _shut(end)
        self._thread.join(PATIENCE_S)

    def _serve(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:  # closed, or no client came
            return
        with connection:
            self._connection = connection
            # Python's own time limit would poll before each call, and release the GIL twice.
            connection.settimeout(None)
            limit = struct.pack("ll", int(PATIENCE_S), 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                while data := connection.recv(64):
                    connection.send(data)
            except OSError:  # the client is gone, or silent
                return


def _shut(end: socket.socket) -> None:
    with suppress(OSError):  # it may be gone already
        end.shutdown(socket.SHUT_RDWR)  # wakes a thread blocked in it; close does not
    end.close()


class EchoClient:
    """The client process: connects to one server after the other."""

    def __init__(self) -> None:
        try:
            self._group = ProcessGroup([sys.executable, "-I", "-S", str(_CLIENT)], stderr=subprocess.DEVNULL)
        except OSError as error:
            raise UnsupportedError(f"a client process can't be started here: {error}") from None

    def __enter__(self) -> EchoClient:
        return self

    def __exit__(self, *_error: object) -> None:
        self._group.end()

    def connect(self, server: EchoServer) -> None:
        """Connect to the server."""
        self._order(f"connect {server.port}")

    def close(self) -> None:
        """Close the connection."""
        self._order("close")

    def ask(self, duration_ns: int) -> Answers:
        """Send requests to the server for a while, one after the other.

        Raises
        ------
        TimeLimitError
            If the client does not answer in time.
        UnsupportedError
            If it is gone, or got no answer at all.
        """
        answer = self._order(f"ask {duration_ns}", duration_ns / 1e9)
        if not answer.get("requests"):
            raise UnsupportedError("the server must answer on the loopback interface, it did not")
        times_s = (answer[name] / 1e9 for name in ("elapsed_ns", "p50_ns", "p99_ns"))
        return Answers(answer["requests"], *times_s)

    def _order(self, order: str, duration_s: float = 0.0) -> dict[str, Any]:
        limit_s = duration_s + PATIENCE_S
        self._group.say(order.encode("ascii") + b"\n")
        line = self._group.take_next("stdout", limit_s)  # short enough to arrive in one piece
        if line is None:
            raise TimeLimitError(f"the client must answer within {limit_s:g} s, it did not")
        if not line:
            raise UnsupportedError("the client process is gone: it ended before its answer")
        answer: dict[str, Any] = json.loads(line)
        return answer
