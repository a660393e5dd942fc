"""The viewer's side: ask a program for the numbers of its trace, and tell what happened in between.

What comes from the program is not trusted: a line is bounded, and the first one that breaks a rule ends all
with one message.
"""

from __future__ import annotations

import os
import socket
import stat
import struct
import tempfile
from binascii import a2b_base64
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

from gilprobe import __version__
from gilprobe.errors import FormatError, GilProbeError, InvalidValueError
from gilprobe.live.differences import read_between
from gilprobe.live.server import ASK_READING, ASK_RECORDING, PROTOCOL
from gilprobe.model import codec
from gilprobe.tracing.sent_snapshot import SnapshotReader

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from gilprobe.attaching.shared_folder import SharedFolder
    from gilprobe.model.reading import Reading
    from gilprobe.report import Report

LONGEST_LINE = 256 << 20
"""Size limit of a line."""

WINDOW_NS = 10_000_000_000
"""Length of the window that culprits and the longest waits are told of."""

_READ = 1 << 18
_STEP_NS = WINDOW_NS // 20  # between two reports that are kept for the window
_PATH_BYTES = 107  # unix(7): sun_path
_CREDENTIALS = struct.Struct("iII")  # unix(7): struct ucred


class Listener:
    """A socket, mode 0600, in a new folder that only its owner may enter.

    A context manager, which removes both.

    Parameters
    ----------
    shared : SharedFolder, optional
        Where the socket is, for a process that may have another root or user. Default: a new folder of this
        user's, whose processes may connect.

    Attributes
    ----------
    path : str
        The socket's, as the program sees it.

    Raises
    ------
    InvalidValueError
        If the folder's path is too long for a socket.
    OSError
        If they can't be made.
    """

    def __init__(self, shared: SharedFolder | None = None) -> None:
        self._folder = ""
        if shared is not None:
            self._user = shared.user
            self.path = f"{shared.inside}/viewer"
            self._socket = shared.listen("viewer")
            self._socket.setblocking(False)
            return
        self._user = os.geteuid()
        self._folder = tempfile.mkdtemp(prefix="gilprobe-top-", dir=_own_folder())  # mode 0700
        self.path = os.path.join(self._folder, "socket")  # noqa: PTH118
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            if len(os.fsencode(self.path)) > _PATH_BYTES:
                raise InvalidValueError(
                    f"the folder for temporary files must have a path of at most "
                    f"{_PATH_BYTES - len('/gilprobe-top-12345678/socket')} bytes, got {self._folder!a}"
                )
            self._socket.bind(self.path)
            os.chmod(self.path, 0o600)  # noqa: PTH101
            self._socket.listen(1)
            self._socket.setblocking(False)
        except BaseException:
            self.close()
            raise

    def fileno(self) -> int:
        """Return the descriptor, which is readable when a program has connected."""
        return self._socket.fileno()

    def accept(self, pid: int) -> socket.socket | None:
        """Return the connection of the process `pid`; None if another one has come, or none."""
        try:
            connection, _ = self._socket.accept()
        except OSError:
            return None
        if hasattr(socket, "SO_PEERCRED"):
            size = _CREDENTIALS.size
            peer, user, _ = _CREDENTIALS.unpack(
                connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
            )
            if peer != pid or user not in (self._user, 0):
                connection.close()
                return None
        connection.setblocking(False)
        return connection

    def close(self) -> None:
        """Remove the socket and its folder."""
        self._socket.close()
        if not self._folder:
            return
        with suppress(OSError):
            os.unlink(self.path)  # noqa: PTH108
        with suppress(OSError):
            os.rmdir(self._folder)  # noqa: PTH106

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()


def _own_folder() -> str | None:
    """Return the user's folder for sockets (XDG_RUNTIME_DIR), if it is only his; None: the temporary one."""
    folder = os.environ.get("XDG_RUNTIME_DIR", "")
    with suppress(OSError):
        status = os.stat(folder)  # noqa: PTH116
        if status.st_uid == os.geteuid() and stat.S_IMODE(status.st_mode) == 0o700:
            return folder
    return None


class ReadingStream:
    """Asks a program, and turns its answers into readings.

    Parameters
    ----------
    connection : socket
        To the program; does not block.
    own : sequence of str
        Folders of the user's own code, as for :meth:`~gilprobe.report.Report.culprits`.

    Attributes
    ----------
    asked : bool
        Whether an answer is awaited.
    ended : bool
        Whether the program has closed the connection.
    report : Report or None
        The last one: all since the start of the trace.
    recordings : list of (bytes or None)
        Recordings of the last seconds that have come; None for one that could not be made.
    """

    def __init__(self, connection: socket.socket, own: Sequence[str] = ()) -> None:
        self._connection = connection
        self._own = own
        self._line = bytearray()
        self._reader: SnapshotReader | None = None
        self._window: deque[Report] = deque()
        self.asked = self.ended = False
        self.report: Report | None = None
        self.recordings: list[bytes | None] = []

    @property
    def ready(self) -> bool:
        """Return whether the program traces itself and may be asked."""
        return self._reader is not None and not self.asked and not self.ended

    def fileno(self) -> int:
        """Return the connection's descriptor."""
        return self._connection.fileno()

    def ask(self) -> None:
        """Ask for a reading."""
        self.asked = self._send(ASK_READING)

    def ask_last_seconds(self) -> None:
        """Ask for a recording of the last seconds."""
        self._send(ASK_RECORDING)

    def _send(self, what: bytes) -> bool:
        try:
            return self._connection.send(what) == len(what)
        except OSError:  # it has ended: what it sent before is still to be read
            return False

    def take(self) -> list[Reading]:
        """Return the readings that have come; there may be none yet.

        Raises
        ------
        FormatError
            If a line is not what the program's side of this version sends.
        GilProbeError
            If the program can't be traced.
        """
        data = self._receive()
        self._line += data
        found = []
        while b"\n" in data:
            line, _, rest = self._line.partition(b"\n")
            self._line = data = rest
            reading = self._understood(bytes(line))
            if reading is not None:
                found.append(reading)
        if len(self._line) > LONGEST_LINE:
            raise FormatError(f"a line from the program must have at most {LONGEST_LINE >> 20} MiB")
        return found

    def _receive(self) -> bytearray:
        """Return what is there, to the end if the program has closed the connection."""
        data = bytearray()
        while len(data) <= LONGEST_LINE:
            try:
                piece = self._connection.recv(_READ)
            except BlockingIOError:
                break
            except OSError:  # reset
                piece = b""
            if not piece:
                self.ended = True
                break
            data += piece
        return data

    def _understood(self, line: bytes) -> Reading | None:
        document = codec.parse_json(line, "a line from the program must be JSON")
        if not isinstance(document, dict):
            raise FormatError("a line from the program must be an object")
        if "error" in document:
            raise GilProbeError(f"the program can't be traced: {str(document['error'])[:500]}")
        if self._reader is None:
            self._reader = _greeted(document)
            return None
        if "recording" in document:
            self.recordings.append(_last_seconds(document["recording"]))
            return None
        snapshot = document.get("snapshot")
        if not isinstance(snapshot, dict) or not isinstance(document.get("final"), bool):
            raise FormatError("a line from the program must have a snapshot, and say whether it is the last")
        self.asked = False
        return self._taken(self._reader.report(snapshot), final=document["final"])

    def _taken(self, report: Report, *, final: bool) -> Reading:
        start_ns = report.elapsed_ns - WINDOW_NS
        while len(self._window) > 1 and self._window[1].elapsed_ns <= start_ns:
            self._window.popleft()
        since = self._window[0] if self._window and self._window[0].elapsed_ns <= start_ns else None
        reading = read_between(self.report, report, since=since, own=self._own, final=final)
        self.report = report
        if not self._window or report.elapsed_ns - self._window[-1].elapsed_ns >= _STEP_NS:
            self._window.append(report)
        return reading

    def close(self) -> None:
        """Leave: the program then traces itself no longer."""
        self._connection.close()


def _last_seconds(text: object) -> bytes | None:
    if text is None:
        return None
    try:
        if isinstance(text, str):
            return a2b_base64(text, strict_mode=True)
    except ValueError:
        pass
    raise FormatError("a recording from the program must be base64")


def _greeted(hello: dict[str, Any]) -> SnapshotReader:
    if hello.get("gilprobe") != __version__ or hello.get("hello") != PROTOCOL:
        version = ascii(hello.get("gilprobe"))[:40]
        raise FormatError(f"the program must have the same gilprobe, {__version__}, got {version}")
    return SnapshotReader(hello)
