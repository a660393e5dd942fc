"""A folder for what this process and another one both use, also where that one has another root or user.

The folders of a process in a container begin at /proc/PID/root. They are opened from there one by one, and
no link is followed: what the process puts there leads nowhere else. All is made and opened as the process's
own user, so this process does there only what that one could do. No file of the process is ever run here.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import socket
import stat
import tempfile
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from gilprobe import __version__
from gilprobe._native import attach as native
from gilprobe.attaching.target import Identity, ProcessGoneError, Target, contents, look_at, refusal
from gilprobe.attaching.waking import Armed, armed
from gilprobe.errors import FormatError, GilProbeError, InvalidValueError
from gilprobe.files import replacing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

AGENT = Path(__file__).with_name("agent.so")

_PACKAGE = Path(__file__).parents[1]
_LONGEST_PARENT = 107 - len(f"/gilprobe-{__version__}-12345678-99/socket")  # unix(7): sun_path
_MOST_NAMES = 100
_MOST_FOLDERS = 100  # in each other
_OWN = getattr(os, "O_NOFOLLOW", 0)  # what is opened is never behind a link
_DIRECTORY = getattr(os, "O_DIRECTORY", 0)
_FOLDER = _OWN | _DIRECTORY
_PLACE = _FOLDER | getattr(os, "O_PATH", 0)


class SharedFolder:
    """A new folder, mode 0700, of a process that is attached to. A context manager, which removes it.

    Parameters
    ----------
    pid : int
        The process.
    packages : sequence of str
        More folders of the package gilprobe, for processes that this one's doesn't fit.

    Attributes
    ----------
    target : Target or Armed
        What the process is.
    user : int
        Its effective user.
    own_user : int
        This process's effective user, as the process sees it.
    inside : str
        The folder's path, as the process sees it.
    agent : str
        The agent's path, as the process sees it.
    packages : list of str
        The packages, as the process sees them.
    copied : bool
        Whether the agent or a package is a copy in the folder: the process sees other files than this one.
    took_s : float
        How long it took to make it.
    ticket : int
        Tells an armed process the folder's name; 0 for others.

    Raises
    ------
    InvalidValueError, UnsupportedError, ProcessGoneError
        As :func:`gilprobe.attaching.inject`.
    GilProbeError
        If the process has no folder that can be used; the message says why.
    """

    def __init__(self, pid: int, packages: Sequence[str] = ()) -> None:
        began_s = time.monotonic()
        woken = armed(pid)
        self.target: Target | Armed = look_at(pid, native.FUNCTIONS) if woken is None else woken
        self._pid = pid
        self._identity = Identity(pid)
        self.user = self._identity.user
        self.own_user = self._identity.inside(os.geteuid())
        self.ticket = 0 if woken is None else secrets.randbits(63) | 1
        with ExitStack() as stack:
            self._root = self._opened_root()
            stack.callback(os.close, self._root)
            self._copies: dict[str, str] = {}  # what the process does not see: its name in the folder
            agent, *others = [os.path.realpath(str(each)) for each in (AGENT, _PACKAGE, *packages)]
            found = self._find(agent, others)
            self._make_somewhere(stack)
            self._open = stack.pop_all()
        self.copied = bool(self._copies)
        self.agent, *self.packages = map(self._seen_as, found)
        self.took_s = time.monotonic() - began_s

    # ---- in the folder ----

    def write(self, name: str, data: bytes) -> None:
        """Write a new file, mode 0600."""
        self._write(self._folder, name, data)

    def listen(self, name: str) -> socket.socket:
        """Return a socket that listens there, mode 0600."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            os.fchmod(listener.fileno(), 0o600)  # which bind(2) takes: nothing follows a link later
            with self._acting():
                listener.bind(f"/proc/self/fd/{self._folder}/{name}")
            listener.listen(1)
        except BaseException:
            listener.close()
            raise
        return listener

    def names(self) -> list[str]:
        """Return what is there; the process may have put in anything."""
        return sorted(os.listdir(self._folder))  # noqa: PTH208

    def take(self, name: str, path: str) -> None:
        """Copy a file that the process has written to `path` of this process's; do nothing if there is none.

        Raises
        ------
        FormatError
            If it is no regular file.
        OSError
            If it can't be copied.
        """
        try:
            with self._acting():
                descriptor = _open_if(name, self._folder, lambda status: stat.S_ISREG(status.st_mode))
        except FileNotFoundError:
            return
        if descriptor is None:
            raise FormatError(f"what process {self._pid} has written must be a regular file")
        with open(descriptor, "rb") as source, replacing(path) as file:  # noqa: PTH123
            shutil.copyfileobj(source, file)

    def close(self) -> None:
        """Remove the folder and all that is in it."""
        self._open.close()

    def __enter__(self) -> SharedFolder:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    # ---- the process's files ----

    def sees(self, path: str) -> bool:
        """Return whether the process sees the same file or folder under this name, and can read it."""
        own = os.stat(path)  # noqa: PTH116
        with suppress(OSError), self._acting(), self._walked(os.path.dirname(path)) as parent:  # noqa: PTH120
            name = os.path.basename(path)  # noqa: PTH119
            descriptor = _open_if(name, parent, lambda there: os.path.samestat(there, own))
            if descriptor is not None:
                os.close(descriptor)
                return True
        return False

    def _opened_root(self) -> int:
        try:
            return os.open(f"/proc/{self._pid}/root", os.O_PATH | os.O_DIRECTORY)
        except (FileNotFoundError, ProcessLookupError):
            raise ProcessGoneError(f"process {self._pid} has ended") from None
        except OSError as error:
            raise refusal(self._pid, self.user, error.strerror or str(error)) from None

    @contextmanager
    def _walked(self, path: str) -> Iterator[int]:
        """Open a folder of the process as a place in the file system, for the length of the block."""
        with ExitStack() as stack:
            folder = self._root
            for name in filter(None, path.split("/")):
                if name in (".", ".."):
                    raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
                folder = os.open(name, _PLACE, dir_fd=folder)
                stack.callback(os.close, folder)
            yield folder

    @contextmanager
    def _acting(self) -> Iterator[None]:
        """Make and open files as the process's user, in this thread."""
        before = native.act_as(self._identity.user, self._identity.group)
        try:
            if native.act_as(self._identity.user, self._identity.group)[0] != self.user:
                raise refusal(self._pid, self.user, os.strerror(errno.EPERM))
            yield
        finally:
            native.act_as(*before)

    # ---- what is copied ----

    def _find(self, agent: str, packages: list[str]) -> list[str]:
        """Return the agent and the packages that the process will see.

        Of those that it does not see now, only one that fits its interpreter is copied. An armed process has
        one.
        """
        for path in (agent, *packages):
            self._check_owner(path)
        seen = [package for package in packages if self.sees(f"{package}/__init__.py")]
        if self.ticket:
            return [agent, *seen]
        if not self.sees(agent):
            self._copies[agent] = "agent.so"
        fitting = next((package for package in packages if self._fits(package)), None)
        if fitting is not None and fitting not in seen:
            self._copies[fitting] = "gilprobe"
            seen.insert(0, fitting)
        return [agent, *seen]

    def _check_owner(self, path: str) -> None:
        """Check that the process is not made to run what a third user may change."""
        for each in (path, os.path.dirname(path)):  # noqa: PTH120
            status = os.stat(each)  # noqa: PTH116
            if status.st_mode & 0o002 or status.st_uid not in (0, os.geteuid(), self.user):
                raise InvalidValueError(
                    f"code for another process must be safe from other users, got {each!r}: "
                    f"mode {status.st_mode & 0o777:o}, user {status.st_uid}"
                )

    def _fits(self, package: str) -> bool:
        names = os.listdir(f"{package}/_native")  # noqa: PTH208
        return any(name.startswith("tracer.") and self._is_its(name) for name in names)

    def _is_its(self, name: str) -> bool:
        """Return whether a package's file is for the process's Python: source, compiled, or native."""
        if not isinstance(self.target, Target):
            return False
        tag = ".cpython-{}{}".format(*self.target.version)
        native_tag = f"{tag}{'t' if self.target.free_threaded else ''}-"
        ending = os.path.splitext(name)[1]  # noqa: PTH122
        wanted = {".py": "", ".pyc": tag, ".so": native_tag}.get(ending)
        return wanted is not None and wanted in name

    def _seen_as(self, path: str) -> str:
        return f"{self.inside}/{self._copies[path]}" if path in self._copies else path

    def _copy(self, source: str, folder: int, name: str) -> None:
        """Copy a file, or what the process can use of a folder, with its time: a .pyc has its source's."""
        if not os.path.isdir(source):  # noqa: PTH112
            data, changed_ns = Path(source).read_bytes(), os.stat(source).st_mtime_ns  # noqa: PTH116
            self._write(folder, name, data, changed_ns)
            return
        with self._acting():
            os.mkdir(name, 0o700, dir_fd=folder)
            below = os.open(name, _PLACE, dir_fd=folder)
        try:
            for each in os.listdir(source):  # noqa: PTH208
                path = f"{source}/{each}"
                if os.path.isdir(path) or self._is_its(each):  # noqa: PTH112
                    self._copy(path, below, each)
        finally:
            os.close(below)

    def _write(self, folder: int, name: str, data: bytes, changed_ns: int | None = None) -> None:
        with self._acting():
            descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _OWN, 0o600, dir_fd=folder)
            with open(descriptor, "wb", buffering=0) as file:  # noqa: PTH123  # as target.contents
                while data:
                    data = data[file.write(data) :]
                if changed_ns is not None:
                    os.utime(descriptor, ns=(changed_ns, changed_ns))

    # ---- making it ----

    def _make_somewhere(self, stack: ExitStack) -> None:
        reasons = []
        for parent in dict.fromkeys(self._candidates()):
            try:
                with ExitStack() as made:
                    self._make(parent, made)
                    for source, name in self._copies.items():
                        self._copy(source, self._folder, name)
                    stack.push(made.pop_all())
                    return
            except OSError as error:
                reasons.append(f"{ascii(parent)[1:-1]}: {error.strerror}")
        raise GilProbeError(f"process {self._pid} has no folder for gilprobe's files ({'; '.join(reasons)})")

    def _candidates(self) -> Iterator[str]:
        """Yield folders, as the process sees them: temporary ones, and at last its current one."""
        if self.ticket:  # csrc/attach/gp_dormant.c
            yield "/tmp"  # noqa: S108  # a folder of our own is made there
            return
        yield os.path.realpath(tempfile.gettempdir())
        with suppress(OSError):
            for word in contents(f"/proc/{self._pid}/environ").split("\0"):
                if word.startswith("TMPDIR=/"):
                    yield word[len("TMPDIR=") :]
        yield from ("/tmp", "/dev/shm")  # noqa: S108
        with suppress(OSError):
            root, current = (os.readlink(f"/proc/{self._pid}/{one}") for one in ("root", "cwd"))  # noqa: PTH115
            yield current.removeprefix(root.rstrip("/"))

    def _make(self, parent: str, stack: ExitStack) -> None:
        if len(os.fsencode(parent)) > _LONGEST_PARENT:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        with self._acting(), self._walked(parent) as walked:
            self._check_parent(walked)
            self._parent = os.dup(walked)
            stack.callback(os.close, self._parent)
            self._name = self._make_new()
            self.inside = f"{parent.rstrip('/')}/{self._name}"
            try:
                self._folder = os.open(self._name, _FOLDER, dir_fd=self._parent)
            except OSError:
                os.rmdir(self._name, dir_fd=self._parent)
                raise
            stack.callback(os.close, self._folder)
            stack.callback(self._remove)
            status = os.fstat(self._folder)
            if status.st_uid != self.user or status.st_mode & 0o077:
                raise OSError(errno.EPERM, "somebody has put another folder there")

    def _check_parent(self, folder: int) -> None:
        """Check that the process can run code from there, and that no third user can change it."""
        if self._copies and os.fstatvfs(folder).f_flag & os.ST_NOEXEC:
            raise OSError(errno.EACCES, "mounted noexec")
        status = os.fstat(folder)
        owners = {self.user, os.geteuid(), 0, self._identity.root}
        if status.st_uid not in owners or (status.st_mode & 0o022 and not status.st_mode & stat.S_ISVTX):
            raise OSError(errno.EPERM, "other users can change it")

    def _make_new(self) -> str:
        """Make the folder; return its name.

        It is the same each time, if nobody has taken it: the C library knows an agent by its path, and loads
        it once.
        """
        if self.ticket:
            names = [f"gilprobe-{self.ticket:016x}"]
        else:
            first = f"gilprobe-{__version__}-{self._identity.pid_inside}"
            names = [first, *(f"{first}-{number}" for number in range(2, _MOST_NAMES))]
        for name in names:
            with suppress(FileExistsError):
                os.mkdir(name, 0o700, dir_fd=self._parent)
                return name
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))

    def _remove(self) -> None:
        with suppress(OSError), self._acting():
            there = os.stat(self._name, dir_fd=self._parent, follow_symlinks=False)
            if os.path.samestat(there, os.fstat(self._folder)):
                _empty(self._folder)
                os.rmdir(self._name, dir_fd=self._parent)


def _open_if(name: str, folder: int, is_wanted: Callable[[os.stat_result], bool]) -> int | None:
    """Open a file or folder for reading if it is wanted; else nothing is opened: it may be a device."""
    place = os.open(name, _PLACE & ~_DIRECTORY, dir_fd=folder)
    try:
        return os.open(f"/proc/self/fd/{place}", os.O_RDONLY) if is_wanted(os.fstat(place)) else None
    finally:
        os.close(place)


def _empty(folder: int, most: int = _MOST_FOLDERS) -> None:
    """Remove what is in a folder. What is no folder is not opened."""
    for name in os.listdir(folder):
        try:
            below = os.open(name, _FOLDER, dir_fd=folder)
        except OSError as error:
            if error.errno not in (errno.ENOTDIR, errno.ELOOP):
                raise
            os.unlink(name, dir_fd=folder)
            continue
        try:
            if most:
                _empty(below, most - 1)
        finally:
            os.close(below)
        os.rmdir(name, dir_fd=folder)
