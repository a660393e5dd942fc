"""Messages between the tool and the function that it runs in another process: JSON, one a line."""

from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from typing import Any

_PIECE = 65536
_WORDS = {None: "null", True: "true", False: "false"}
_LONGEST = 64 << 20  # of a message: the other side may be hostile


class ToolChannel:
    """One end of a connection.

    Parameters
    ----------
    connection : socket
        A connected stream socket.
    """

    def __init__(self, connection: socket) -> None:
        self._connection = connection
        self._read = bytearray()

    def send(self, message: dict[str, Any]) -> bool:
        """Send a message; return False if nobody is there any more."""
        try:
            self._connection.settimeout(None)
            self._connection.sendall(_encoded(message))
        except OSError:
            return False
        return True

    def receive(self, timeout_s: float | None = None) -> dict[str, Any] | None:
        """Return the next message, or None if there will be none: the other side has ended.

        Raises
        ------
        TimeoutError
            If none has come for `timeout_s`.
        """
        if not self.wait(timeout_s):
            return None
        line, _, self._read = self._read.partition(b"\n")
        import json

        try:
            message = json.loads(line)
        except ValueError:
            return None
        return message if isinstance(message, dict) else None

    def wait(self, timeout_s: float | None = None) -> bool:
        """Return True when a message is there, False if there will be none. Raises as :meth:`receive`."""
        until = None if timeout_s is None else time.monotonic() + timeout_s
        while b"\n" not in self._read:
            if len(self._read) > _LONGEST or not self._receive_more(until):
                return False
        return True

    def _receive_more(self, until: float | None) -> bool:
        if until is not None:
            left = until - time.monotonic()
            if left <= 0:
                raise TimeoutError("no message in time")
            self._connection.settimeout(min(left, 1e6))  # longer ones don't fit the system's call
        else:
            self._connection.settimeout(None)
        try:
            piece = self._connection.recv(_PIECE)
        except TimeoutError:
            return True
        except OSError:
            return False
        self._read += piece
        return bool(piece)

    def close(self) -> None:
        """Close this end."""
        self._connection.close()


def _encoded(message: dict[str, Any]) -> bytes:
    """Return the line; without json where words do: the import takes longer than that of all of gilprobe."""
    if all(value is None or isinstance(value, bool) for value in message.values()):
        text = ", ".join(f'"{name}": {_WORDS[value]}' for name, value in message.items())
        return f"{{{text}}}\n".encode()
    import json

    return json.dumps(message).encode() + b"\n"
