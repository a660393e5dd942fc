"""What another process is: its interpreter, and where the functions are that an attachment needs.

All of it is read from the process's memory, not from the files that it was loaded from: they may have been
replaced, or stand in another mount namespace.
"""

from __future__ import annotations

import os
import struct
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gilprobe.errors import GilProbeError, InvalidValueError, UnsupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Read = Callable[[int, int], bytes]
    """Returns so many bytes from an address. Raises ProcessGoneError or UnsupportedError."""

_SCOPE = Path("/proc/sys/kernel/yama/ptrace_scope")
_UNKNOWN_USER = Path("/proc/sys/kernel/overflowuid")
_X86_64 = 62  # EM_X86_64, <elf.h>
_LOAD, _DYNAMIC = 1, 2  # PT_LOAD, PT_DYNAMIC
_STRINGS, _SYMBOLS, _HASH = 5, 6, 0x6FFFFEF5  # DT_STRTAB, DT_SYMTAB, DT_GNU_HASH
_DYNAMIC_MAX = 4096
_CHAIN_MAX = 10000
_PIECE = 65536
_C_LIBRARIES = ("libc.so.6", "libdl.so.2")  # dlopen is in the second before glibc 2.34


class ProcessGoneError(GilProbeError, ProcessLookupError):
    """The process has ended, or never was."""


class NotPythonError(InvalidValueError):
    """The process runs another program."""


@dataclass(frozen=True, slots=True)
class Mapped:
    """A file in a process's memory: where it begins, and where its code is."""

    name: str
    begin: int
    code: tuple[int, int]


class Elf:
    """The exported names of a file in a process's memory: elf(5) and, for the hash, glibc's dl-lookup.c.

    Parameters
    ----------
    read : callable
        Reads the memory.
    begin : int
        Where the file begins.

    Raises
    ------
    InvalidValueError
        If that is no such file, or has no names.
    """

    def __init__(self, read: Read, begin: int) -> None:
        self._read = read
        head = read(begin, 64)
        if head[:6] != b"\x7fELF\x02\x01":
            raise InvalidValueError("a mapped file must be 64 bit ELF")
        offset, size, count = *struct.unpack_from("<Q", head, 32), *struct.unpack_from("<HH", head, 54)
        headers = [
            struct.unpack("<IIQQQQQQ", read(begin + offset + size * number, 56)) for number in range(count)
        ]
        first = next((header for header in headers if header[0] == _LOAD), None)
        dynamic = next((header for header in headers if header[0] == _DYNAMIC), None)
        if first is None or dynamic is None:
            raise InvalidValueError("a mapped file must have dynamic symbols")
        self.bias: int = begin - (first[3] - first[2])
        entries = struct.iter_unpack("<QQ", read(self.bias + dynamic[3], min(dynamic[6], _DYNAMIC_MAX) & ~15))
        found = dict(entries)
        if not found.keys() >= {_STRINGS, _SYMBOLS, _HASH}:
            raise InvalidValueError("a mapped file must have dynamic symbols")
        # The loader makes them addresses, except where the table is read-only.
        self._strings, self._symbols, self._hash = (
            found[tag] if found[tag] >= self.bias else found[tag] + self.bias
            for tag in (_STRINGS, _SYMBOLS, _HASH)
        )

    def address(self, name: bytes) -> int | None:
        """Return where `name` is in the process."""
        buckets, first, bloom, _shift = struct.unpack("<IIII", self._read(self._hash, 16))
        if not buckets:
            return None
        wanted = 5381
        for byte in name:
            wanted = wanted * 33 + byte & 0xFFFFFFFF
        table = self._hash + 16 + 8 * bloom
        number = self._word(table + 4 * (wanted % buckets))
        if number < first:
            return None
        for each in range(number, number + _CHAIN_MAX):
            hashed = self._word(table + 4 * buckets + 4 * (each - first))
            if hashed | 1 == wanted | 1 and (found := self._defined(each, name)) is not None:
                return found
            if hashed & 1:
                break
        return None

    def _defined(self, number: int, name: bytes) -> int | None:
        symbol = self._read(self._symbols + 24 * number, 24)
        at, section = struct.unpack_from("<IxxH", symbol)
        value = int.from_bytes(symbol[8:16], "little")
        if section and self._read(self._strings + at, len(name) + 1) == name + b"\0":
            return self.bias + value
        return None

    def _word(self, address: int) -> int:
        return int.from_bytes(self._read(address, 4), "little")


def contents(path: str) -> str:
    """Return what is in a file.

    Without a buffered file: CPython 3.13 without a GIL yields the core forty times for each line of one, and
    each time all busy threads have their turns.
    """
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.fsdecode(b"".join(iter(lambda: os.read(file, _PIECE), b"")))
    finally:
        os.close(file)


def user_of(pid: int) -> int:
    """Return the effective user of a process.

    Raises
    ------
    InvalidValueError
        If it can't run now, or is none.
    ProcessGoneError
        If there is no such process.
    """
    return int(_status(pid)["Uid"].split()[1])


class Identity:
    """Who a process is, here and in its own name spaces.

    Attributes
    ----------
    user, group : int
        Its effective user and group, as this process sees them.
    pid_inside : int
        Its number, as it sees it.
    root : int or None
        What it sees as user 0; None: this process can't see it.

    Raises
    ------
    ProcessGoneError, InvalidValueError
        As :func:`user_of`.
    """

    def __init__(self, pid: int) -> None:
        status = _status(pid)
        self.user, self.group = (int(status[name].split()[1]) for name in ("Uid", "Gid"))
        self.pid_inside = int(status.get("NSpid", str(pid)).split()[-1])
        self._users = _user_map(pid)
        self.root = next((here for inside, here, _ in self._users if inside == 0), None)

    def inside(self, user: int) -> int:
        """Return the number by which the process sees a user of this process's."""
        for inside, here, count in self._users:
            if here <= user < here + count:
                return inside + user - here
        return int(_UNKNOWN_USER.read_text())


def _user_map(pid: int) -> list[tuple[int, ...]]:
    """Return where ranges of users begin there and here, and their lengths: user_namespaces(7)."""
    spaces = [Path(f"/proc/{one}/ns/user") for one in ("self", pid)]
    with suppress(OSError):
        if not spaces[0].samefile(spaces[1]):
            text = Path(f"/proc/{pid}/uid_map").read_text("ascii")
            return [tuple(map(int, line.split())) for line in text.splitlines()]
    return [(0, 0, 1 << 32)]


@dataclass(frozen=True, slots=True)
class Target:
    """A process with a CPython that can be attached to.

    Attributes
    ----------
    pid : int
        Its number.
    user : int
        Its effective user.
    version : tuple of int
        Of its CPython: 3, 13.
    release : str
        The same in full, as in ``3.13.1``.
    free_threaded : bool
        Whether it is a build without a GIL.
    dlopen : int
        Address of that function.
    code : tuple of int
        Where the interpreter's own code begins and ends.
    runtime : int
        Address of ``_PyRuntime``.
    functions : tuple of int
        Addresses of the functions that were asked for.
    """

    pid: int
    user: int
    version: tuple[int, int]
    release: str
    free_threaded: bool
    dlopen: int
    code: tuple[int, int]
    runtime: int
    functions: tuple[int, ...]


def look_at(pid: int, functions: tuple[bytes, ...] = ()) -> Target:
    """Find out what a process is.

    Parameters
    ----------
    pid : int
        Its number.
    functions : tuple of bytes
        Names of the interpreter whose addresses are wanted.

    Raises
    ------
    InvalidValueError
        If it is no running CPython process, or one that may not be attached to.
    ProcessGoneError
        If there is no such process.
    UnsupportedError
        If it is one that gilprobe can't attach to.
    """
    status = _status(pid)
    user = int(status["Uid"].split()[1])
    try:
        memory = os.open(f"/proc/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise _refused(pid, user, error) from None
    try:
        return _look(pid, user, functions, memory)
    except OSError as error:
        raise _refused(pid, user, error) from None
    finally:
        os.close(memory)


def _look(pid: int, user: int, functions: tuple[bytes, ...], memory: int) -> Target:
    def read(address: int, size: int) -> bytes:
        try:
            found = os.pread(memory, size, address)
        except (OSError, OverflowError):
            found = b""
        if len(found) != size:
            raise InvalidValueError("a mapped file must be readable")
        return found

    files = list(_mapped(pid))
    with open(f"/proc/{pid}/exe", "rb", buffering=0) as file:  # noqa: PTH123  # a link only the kernel follows
        head = file.read(20)
    if head[4:5] != b"\x02" or int.from_bytes(head[18:20], "little") != _X86_64:
        raise UnsupportedError(f"attaching is for 64 bit processes of x86-64, which process {pid} is not")
    python = next(_with_name(files, read, b"_PyRuntime"), None)
    if python is None:
        raise NotPythonError(f"PID must be a running CPython, got {pid}, which has none")
    at = python[1].address(b"Py_Version")
    if at is None:
        raise UnsupportedError(f"attaching needs CPython 3.11 or newer; process {pid} has an older one")
    number = int.from_bytes(read(at, 4), "little")  # as sys.hexversion
    addresses = tuple(python[1].address(name) for name in functions)
    dlopen = _dlopen(files, read)
    if dlopen is None:
        raise UnsupportedError(f"attaching needs glibc, which process {pid} does not use")
    if None in addresses:
        raise UnsupportedError(f"the interpreter of process {pid} does not export what attaching needs")
    return Target(
        pid=pid,
        user=user,
        version=(number >> 24, number >> 16 & 0xFF),
        release=f"{number >> 24}.{number >> 16 & 0xFF}.{number >> 8 & 0xFF}",
        # Include/internal/pycore_object.h: such builds only
        free_threaded=python[1].address(b"_Py_DecRefShared") is not None,
        dlopen=dlopen,
        code=python[0].code,
        runtime=python[1].address(b"_PyRuntime") or 0,
        functions=tuple(address for address in addresses if address is not None),
    )


def _dlopen(files: list[Mapped], read: Read) -> int | None:
    libraries = [file for file in files if os.path.basename(file.name) in _C_LIBRARIES]  # noqa: PTH119
    return next((elf.address(b"dlopen") for _, elf in _with_name(libraries, read, b"dlopen")), None)


def _with_name(files: list[Mapped], read: Read, name: bytes) -> Iterator[tuple[Mapped, Elf]]:
    for file in files:
        with suppress(InvalidValueError):
            elf = Elf(read, file.begin)
            if elf.address(name) is not None:
                yield file, elf


def _mapped(pid: int) -> Iterator[Mapped]:
    """Yield the files with code in a process's memory, in the order of their addresses."""
    begins: dict[str, int] = {}
    for line in contents(f"/proc/{pid}/maps").split("\n"):
        words = line.split(maxsplit=5)
        if len(words) < 6 or not words[5].startswith("/"):
            continue
        begin, end = (int(word, 16) for word in words[0].split("-"))
        name = words[5].removesuffix(" (deleted)")
        if words[2].strip("0") == "":  # the file's first page
            begins[name] = begin
        if "x" in words[1] and name in begins:
            yield Mapped(name, begins[name], (begin, end))


def _status(pid: int) -> dict[str, str]:
    """Return what the system tells of a process, after a look whether it can run."""
    try:
        lines = contents(f"/proc/{pid}/status").split("\n")
    except OSError:
        raise ProcessGoneError(f"PID must be a running process, got {pid}") from None
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    state = status["State"][:1]
    if state in "ZX":
        raise ProcessGoneError(f"PID must be a running process, got {pid}, which has ended")
    if status["Tgid"].strip() != str(pid):
        raise InvalidValueError(
            f"PID must be a process, got {pid}, a thread of process {status['Tgid'].strip()}"
        )
    if status.get("TracerPid", "0").strip() != "0":
        raise InvalidValueError(
            f"process {pid} is being traced by process {status['TracerPid'].strip()}: detach that first"
        )
    if state in "Tt":
        raise InvalidValueError(f"process {pid} is stopped: let it go on first (kill -CONT {pid})")
    return status


def _refused(pid: int, user: int, error: OSError) -> GilProbeError:
    """Return why a process can't be looked at."""
    if isinstance(error, FileNotFoundError | ProcessLookupError):
        return ProcessGoneError(f"PID must be a running process, got {pid}, which has ended")
    return refusal(pid, user, error.strerror or str(error))


def refusal(pid: int, user: int, reason: str) -> GilProbeError:
    """Return the error for a process that the system lets nobody like us attach to."""
    if user != os.geteuid():
        hint = f"it is user {user}'s: attach as that user or as root"
    elif (scope := _scope()) == 1:
        hint = "kernel.yama.ptrace_scope is 1: attach as root, or set it to 0"
    elif scope == 2:
        hint = "kernel.yama.ptrace_scope is 2: attach as root"
    elif scope == 3:
        hint = "kernel.yama.ptrace_scope is 3, which forbids it until the next boot"
    else:
        hint = "a container needs --cap-add SYS_PTRACE; a process with more rights than yours needs root"
    return InvalidValueError(f"process {pid} can't be attached to ({reason}): {hint}")


def _scope() -> int:
    with suppress(OSError, ValueError):
        return int(_SCOPE.read_text())
    return 0
