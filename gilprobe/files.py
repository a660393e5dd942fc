"""Write private files, completely or not at all; read regular files up to a size limit."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from gilprobe.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO, BinaryIO

    from _typeshed import ReadableBuffer

MOST_BYTES = 1 << 30
"""Size limit of a file that is read at once."""

_SHOWN_OF_NAME = 40  # leaves room for what mkstemp adds: names have a length limit
_MOST_LINKS = 40  # the kernel's limit
_NAME_TRIES = 100


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """Open a file for writing; it gets the name `path` when it is complete.

    The mode is 0600, since recordings contain names and paths. The bytes go to a temporary file beside the
    target, which is then renamed: a full disk, an error within the ``with`` block or a kill leaves an earlier
    file unchanged. Hard links keep the earlier content. A symbolic link is replaced, its target is left
    alone.

    Devices, pipes and open descriptors (``/dev/stdout``, ``/dev/fd/3``) are written to directly, as a shell
    does, also through a symbolic link.

    Raises
    ------
    OSError
        If the file can't be written; it always has the file's name.
    """
    check_target(path)
    name = os.fspath(path)
    descriptor = _direct(name)
    if descriptor is not None:
        with _named(descriptor, name) as file:
            yield file
        return
    target = Path(path)
    handle, temporary = _make_beside(target)
    try:
        with _named(handle, name) as file:
            yield file
            file.flush()
            temporary = temporary or _link_beside(handle, target)
        Path(temporary).replace(target)
    except BaseException:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        raise


def check_target(path: str | os.PathLike[str]) -> None:
    """Raise OSError if `path` is a directory, a socket, or a file that may not be written."""
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116
    except FileNotFoundError:
        return
    if stat.S_ISDIR(mode):
        raise _error(errno.EISDIR, path)
    if stat.S_ISSOCK(mode):
        raise _error(errno.ENXIO, path)
    if not os.path.islink(path) and not os.access(path, os.W_OK):  # noqa: PTH114  # the link itself is replaced
        raise _error(errno.EACCES, path)


def is_direct(path: str | os.PathLike[str]) -> bool:
    """Return whether `path` is written to directly: a device, a pipe or a descriptor."""
    with contextlib.suppress(OSError):
        return _descriptor_link(os.fspath(path)) is not None or not stat.S_ISREG(os.stat(path).st_mode)  # noqa: PTH116
    return False


def identity(path: str | os.PathLike[str] | int) -> tuple[object, ...]:
    """Return what identifies a file under any name: device and inode.

    For a name without a file, return the folder and the name.
    """
    try:
        status = os.stat(path)  # noqa: PTH116
    except OSError:
        if isinstance(path, int):
            return (path,)
        folder, name = os.path.split(os.path.realpath(path))
        return (folder, name)
    return (status.st_dev, status.st_ino)


def _direct(path: str) -> int | None:
    """Return a new descriptor if `path` is written to directly, else None."""
    link = _descriptor_link(path)
    if link is None:
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116
                return os.open(path, os.O_WRONLY | os.O_NOCTTY | os.O_CLOEXEC)
        return None
    folder, number = os.path.split(link)
    if number.isdecimal() and os.path.realpath(folder) == os.path.realpath("/proc/self/fd"):
        try:
            return os.dup(int(number))  # keeps the opener's position and append mode
        except (OSError, OverflowError):
            raise _error(errno.EBADF, path) from None
    return os.open(link, os.O_WRONLY | os.O_NOCTTY | os.O_CLOEXEC)


def _descriptor_link(path: str) -> str | None:
    """Return the link of an open descriptor in /proc that `path` leads to, if any.

    Such a link is not a file's name: its text may name no file, or another one.
    """
    proc = _device("/proc")
    for _ in range(_MOST_LINKS):
        folder = os.path.dirname(path)  # noqa: PTH120
        try:
            status = os.lstat(path)
        except OSError:  # standard output may be closed
            return path if _device(folder or ".") == proc else None
        if not stat.S_ISLNK(status.st_mode):
            return None
        if status.st_dev == proc:
            return path
        path = os.path.join(folder, os.readlink(path))  # noqa: PTH115, PTH118
    return None


def _device(path: str) -> int | None:
    try:
        return os.stat(path).st_dev  # noqa: PTH116
    except OSError:
        return None


def _make_beside(target: Path) -> tuple[int, str | None]:
    """Open a new file in the folder of `target`, unnamed if possible: a kill then leaves nothing."""
    if hasattr(os, "O_TMPFILE") and os.path.isdir("/proc/self/fd"):  # noqa: PTH112
        with contextlib.suppress(OSError):
            return os.open(target.parent, os.O_WRONLY | os.O_TMPFILE | os.O_CLOEXEC, 0o600), None
    try:
        return tempfile.mkstemp(prefix=_hidden(target), suffix=".tmp", dir=target.parent)
    except OSError as error:
        raise _error(error.errno, target) from None


def _link_beside(handle: int, target: Path) -> str:
    """Give an unnamed file a name beside `target`."""
    for number in range(_NAME_TRIES):
        temporary = f"{target.parent / _hidden(target)}{os.getpid()}-{number}.tmp"
        try:
            # os.link follows links only with a folder descriptor; for an absolute source any will do
            os.link(f"/proc/self/fd/{handle}", temporary, src_dir_fd=handle, follow_symlinks=True)
        except FileExistsError:
            continue
        return temporary
    raise _error(errno.EEXIST, target)


def _hidden(target: Path) -> str:
    return f".{target.name[:_SHOWN_OF_NAME]}."


def _error(number: int | None, path: str | os.PathLike[str]) -> OSError:
    number = number or errno.EIO
    return OSError(number, os.strerror(number), os.fspath(path))


class _Named(io.FileIO):
    """A file opened by descriptor whose errors still have its name."""

    def __init__(self, descriptor: int, name: str) -> None:
        super().__init__(descriptor, "wb")
        self._called = name

    def write(self, data: ReadableBuffer, /) -> int | None:  # type: ignore[override]  # typing.IO knows no None
        try:
            return super().write(data)
        except OSError as error:
            error.filename = self._called
            raise

    def close(self) -> None:
        try:
            super().close()
        except OSError as error:
            error.filename = self._called
            raise


def _named(descriptor: int, name: str) -> IO[bytes]:
    return io.BufferedWriter(_Named(descriptor, name), 1 << 16)


def open_regular(path: str | os.PathLike[str], what: str) -> BinaryIO:
    """Open a regular file for reading; others, such as a pipe, might block or never end.

    Parameters
    ----------
    path : path-like
        The file.
    what : str
        Its name in the error message: ``"a recording"``.

    Raises
    ------
    FormatError
        If it is not a regular file.
    OSError
        If it can't be opened.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise FormatError(f"{what} must be a regular file, got {os.fspath(path)!r}")
        return os.fdopen(descriptor, "rb", buffering=1 << 20)
    except BaseException:
        os.close(descriptor)
        raise


def read_whole(path: str | os.PathLike[str], what: str, most: int = MOST_BYTES) -> bytes:
    """Return the content of a regular file that has at most `most` bytes.

    Raises
    ------
    FormatError
        If it is not a regular file, is longer, or grows meanwhile.
    OSError
        If it can't be read.
    """
    with open_regular(path, what) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise FormatError(f"{what} must have at most {most} bytes, got {os.fspath(path)!r} with {size}")
        data = file.read(size + 1)
    if len(data) > size:
        raise FormatError(f"{what} must not change while it is read, got {os.fspath(path)!r}")
    return data
