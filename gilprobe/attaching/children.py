"""The forked children of an attached process that record themselves: :mod:`gilprobe.attached.following`."""

from __future__ import annotations

import os
import select
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

_WAITING = 128  # children that connect at the same time
_POLL_S = 0.02


class _Child(NamedTuple):
    pid: int
    connection: socket.socket
    process: int  # tells when it ends; -1: it is not waited for


class Children:
    """Accepts children, and ends their recordings.

    Parameters
    ----------
    listener : socket
        Where they connect.
    user : int
        Whose processes they are.
    tell : callable
        Called with each that records itself.
    """

    def __init__(self, listener: socket.socket, user: int, tell: Callable[[int], object]) -> None:
        listener.listen(_WAITING)
        listener.setblocking(False)
        self._listener = listener
        self._user = user
        self._tell = tell
        self._children: list[_Child] = []

    def look(self) -> None:
        """Accept those that have come, and forget those that have ended."""
        with suppress(OSError):  # there is none, or no room for it
            while True:
                connection, _ = self._listener.accept()
                self._greet(connection)
        for child in list(self._children):
            if self._has_ended(child):
                self._forget(child)

    def _greet(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)  # pid, uid, gid
        pid, user = (int.from_bytes(peer[begin : begin + 4], "little") for begin in (0, 4))
        if user not in (self._user, 0):
            connection.close()
            return
        try:
            process = os.pidfd_open(pid)
        except OSError:  # it has ended, or there is no room for it
            process = -1
        self._children.append(_Child(pid, connection, process))

    def _has_ended(self, child: _Child) -> bool:
        """Return whether its recording has ended, or the child; tell when it has begun."""
        try:
            while got := child.connection.recv(1):
                if got == b"\n":
                    self._tell(child.pid)
            return True
        except BlockingIOError:
            return child.process < 0 or bool(select.select([child.process], [], [], 0)[0])
        except OSError:
            return True

    def _forget(self, child: _Child) -> None:
        self._children.remove(child)
        child.connection.close()
        if child.process >= 0:
            os.close(child.process)

    def end(self, within_s: float) -> list[int]:
        """End all recordings; return the children that have not ended theirs in time."""
        until_s = time.monotonic() + within_s
        while True:
            self.look()
            for child in self._children:
                with suppress(OSError):
                    child.connection.shutdown(socket.SHUT_WR)
            if not self._children or time.monotonic() > until_s:
                return [child.pid for child in self._children]
            select.select([child.connection for child in self._children], [], [], _POLL_S)

    def close(self) -> None:
        """Leave: those that have not ended their recordings end them when they can."""
        self._listener.close()
        while self._children:
            self._forget(self._children[0])
