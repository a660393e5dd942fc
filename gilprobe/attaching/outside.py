"""Who keeps the GIL of another process, seen from outside: nothing is loaded or changed there.

The places of CPython's data are those of builds with a GIL for 64 bit processes. Since 3.13 ``_PyRuntime``
begins with a table of them (Include/internal/pycore_debug_offsets.h), a bit different in each version.
What is read may change meanwhile: it is garbage then, or the next look differs.
"""

from __future__ import annotations

import os
import struct
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from gilprobe._native import attach as native
from gilprobe.attaching.symbols import symbol_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gilprobe.attaching.target import Target

SUSPECT_S = 0.25
"""A thread that has had the GIL for so long, and not moved, is said to keep it."""

_NAP_S = 0.0002
_RAN_NS = 50_000_000  # of CPU time, in which it would have moved
_MOST_FRAMES = 100
_TOLD = 3  # of them, in one line
_LONGEST_TEXT = 1000
_LONGEST_TABLE = 1 << 20
_MOST_INTERPRETERS = 1000
_POINTER = (1 << 64) - 4  # since 3.14 the lowest bits of a frame's executable are a tag
_NOT_PYTHON = 3  # from this owner on, csrc/cpython/gp_frames_layout.h
_KIND, _COMPACT, _ASCII = 0x1C, 0x20, 0x40  # PyASCIIObject.state, Include/cpython/unicodeobject.h
_ENCODINGS = {4: "latin-1", 8: "utf-16-le", 16: "utf-32-le"}
_WITHOUT_NAMES = (3, 14)
_INTERPRETS = ("_PyEval_EvalFrameDefault", "_TAIL_CALL_")  # functions that run Python code


class _Offsets(NamedTuple):
    """Where things are, in bytes from where their owner begins."""

    innermost: tuple[int, ...]  # from a thread state, by pointers, to its innermost frame
    native_id: int
    previous: int
    executable: int
    instruction: int
    owner: int
    filename: int
    name: int
    line_table: int
    first_line: int
    instructions: int
    state: int  # of a string
    length: int
    ascii: int  # where the text begins
    other: int  # ... of one with other characters


_FIXED = {
    (3, 11): _Offsets((56, 8), 160, 48, 32, 56, 69, 112, 128, 136, 72, 184, 32, 16, 48, 72),
    (3, 12): _Offsets((56, 0), 144, 8, 0, 56, 70, 112, 128, 136, 68, 192, 32, 16, 40, 56),
}
_MAIN, _GIL_311, _GIL_POINTER_312 = 48, 360, 384  # in _PyRuntime; there; in the main interpreter
_HOLDER, _GIL_SIZE = 8, 32  # the GIL's state: unused, holder, whether it is taken, number of switches
_BYTES_SIZE, _BYTES_BEGIN = 16, 32
# Where that table has what stands in _Offsets from `innermost` to `ascii`, and before it three others: the
# first interpreter, the next one, the GIL.
_TABLE_SIZE = 1024
_TABLES = {
    (3, 13): (40, 64, 120, 184, 200, 232, 240, 248, 264, 280, 296, 304, 312, 344, 544, 552, 560),
    (3, 14): (40, 64, 128, 208, 224, 256, 264, 272, 288, 320, 336, 344, 352, 384, 624, 632, 640),
    (3, 15): (40, 64, 128, 208, 248, 320, 328, 336, 352, 384, 400, 408, 416, 448, 720, 728, 736),
}
_COOKIE = b"xdebugpy"


@dataclass(frozen=True, slots=True)
class Level:
    """A Python function on a stack.

    Attributes
    ----------
    function, filename : str
        Its names.
    line : int
        Where it is; 0 if unknown.
    """

    function: str
    filename: str
    line: int


@dataclass(frozen=True, slots=True)
class Keeper:
    """A thread that keeps the GIL in a call of native code.

    Attributes
    ----------
    thread : int
        Its native id, as this process sees it.
    symbol : str
        The C function and the file in which it stands, as far as they are known.
    levels : tuple of Level
        Its Python functions, innermost first.
    """

    thread: int
    symbol: str
    levels: tuple[Level, ...]

    @property
    def told(self) -> str:
        """The thread and where it is, in one line."""
        where = f" in {self.symbol}" if self.symbol else ""
        calls = ", ".join(f"{each.function} ({each.filename}:{each.line})" for each in self.levels[:_TOLD])
        return f"thread {self.thread} keeps the GIL{where}" + (f", called from {calls}" if calls else "")


class _Seen(NamedTuple):
    """A look. Two that are equal: the thread has not moved in between."""

    holder: int
    switches: int
    frame: int
    instruction: int


class Outside:
    """Looks at who has the GIL of a process.

    Parameters
    ----------
    target : Target
        The process.
    memory : int
        A descriptor of its memory.
    """

    def __init__(self, target: Target, memory: int) -> None:
        self._target = target
        self._memory = memory
        self._layout, self._gil = self._find()

    def _find(self) -> tuple[_Offsets | None, int]:
        """Return the layout, and where the GIL is; None and 0 if it is not known."""
        version, runtime = self._target.version, self._target.runtime
        if self._target.free_threaded:
            return None, 0
        if version == (3, 11):
            return _FIXED[version], runtime + _GIL_311
        if version == (3, 12):
            return _FIXED[version], self._pointer(self._pointer(runtime + _MAIN) + _GIL_POINTER_312)
        if version not in _TABLES:
            return None, 0
        table = self._read(runtime, _TABLE_SIZE)
        found = [struct.unpack_from("<Q", table, place)[0] for place in _TABLES[version]]
        if not table.startswith(_COOKIE) or max(found) >= 1 << 20:
            return None, 0
        first, following, gil, innermost, *others, text = found
        # PyCompactUnicodeObject adds a length and a pointer
        layout = _Offsets._make(((innermost,), *others, text, text + 16))
        interpreter = self._pointer(runtime + first)
        for _ in range(_MOST_INTERPRETERS):  # the main one is the oldest, so the last
            older = self._pointer(interpreter + following)
            if older == 0:
                break
            interpreter = older
        return layout, interpreter + gil

    def look(self) -> _Seen | None:
        """Return who has the GIL, and where it is; None if nobody has, or it can't be told."""
        if self._layout is None:
            return None
        try:
            holder, taken, switches = struct.unpack(
                "<QixxxxQ", self._read(self._gil + _HOLDER, _GIL_SIZE - _HOLDER)
            )
            if taken != 1:
                return None
            frame = holder
            for offset in self._layout.innermost:
                frame = self._pointer(frame + offset)
            return _Seen(holder, switches, frame, frame and self._pointer(frame + self._layout.instruction))
        except OSError:
            return None

    def thread(self, seen: _Seen) -> int | None:
        """Return the native id of the thread that was seen, as this process sees it."""
        if self._layout is None:
            return None
        pid = self._target.pid
        with suppress(OSError):
            own = self._pointer(seen.holder + self._layout.native_id)
            for name in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208
                with open(f"/proc/{pid}/task/{name}/status", encoding="utf-8", errors="replace") as file:  # noqa: PTH123
                    numbers = next((line.split() for line in file if line.startswith("NSpid:")), ["", name])
                if int(numbers[-1]) == own:
                    return int(name)
        return None

    def levels(self, seen: _Seen) -> tuple[Level, ...]:
        """Return the Python functions of the thread that was seen, innermost first; all that can be read."""
        levels: list[Level] = []
        frame = seen.frame
        with suppress(OSError, struct.error):
            while frame and len(levels) < _MOST_FRAMES and self._layout is not None:
                owner = self._read(frame + self._layout.owner, 1)[0]
                code = self._pointer(frame + self._layout.executable) & _POINTER
                if owner < _NOT_PYTHON and code:
                    levels.append(self._level(self._layout, frame, code))
                frame = self._pointer(frame + self._layout.previous)
        return tuple(levels)

    def _level(self, layout: _Offsets, frame: int, code: int) -> Level:
        distance = self._pointer(frame + layout.instruction) - code - layout.instructions
        (first,) = struct.unpack("<i", self._read(code + layout.first_line, 4))
        table = self._pointer(code + layout.line_table)
        size = self._pointer(table + _BYTES_SIZE)
        line = 0
        if abs(distance) < 1 << 31 and size <= _LONGEST_TABLE:
            line = native.line(self._read(table + _BYTES_BEGIN, size), first, distance)
        return Level(self._text(code + layout.name), self._text(code + layout.filename), line)

    def _text(self, place: int) -> str:
        layout = self._layout
        assert layout is not None  # noqa: S101
        string = self._pointer(place)
        length = self._pointer(string + layout.length)
        state = self._read(string + layout.state, 1)[0]
        encoding = _ENCODINGS.get(state & _KIND)
        if encoding is None or not state & _COMPACT or length > _LONGEST_TEXT:
            return "?"
        begin = layout.ascii if state & _ASCII else layout.other
        text = self._read(string + begin, length * ((state & _KIND) >> 2))
        return text.decode(encoding, "replace")

    def _pointer(self, address: int) -> int:
        return int.from_bytes(self._read(address, 8), "little")

    def _read(self, address: int, size: int) -> bytes:
        try:
            found = os.pread(self._memory, size, address)
        except OverflowError:
            found = b""
        if len(found) != size:
            raise OSError("not readable")
        return found


@contextmanager
def outside(target: Target) -> Iterator[Outside]:
    """Open the memory of a process for looks."""
    memory = os.open(f"/proc/{target.pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield Outside(target, memory)
    finally:
        os.close(memory)


def wait_until_free(target: Target, until_s: float, tell: Callable[[Keeper], object]) -> Keeper | None:
    """Wait while a thread keeps the GIL in a call of native code.

    Parameters
    ----------
    target : Target
        The process.
    until_s : float
        How long to wait, a time of :func:`time.monotonic`.
    tell : callable
        Called once with such a thread, after :data:`SUSPECT_S`.

    Returns
    -------
    Keeper or None
        Who keeps it still; None as soon as it has let go, or runs Python code.
    """
    with suppress(OSError), outside(target) as look:
        return _wait(look, target, until_s, tell)
    return None


def _wait(look: Outside, target: Target, until_s: float, tell: Callable[[Keeper], object]) -> Keeper | None:
    first = look.look()
    if first is None or (thread := look.thread(first)) is None:
        return None
    began_s, ran_ns = time.monotonic(), _cpu_ns(target.pid, thread)
    keeper: Keeper | None = None
    while look.look() == first:
        now_s = time.monotonic()
        if keeper is None and now_s - began_s >= SUSPECT_S:
            place = _system_call(target.pid, thread)
            # It may not have run at all, on a busy machine.
            if place is not None or _cpu_ns(target.pid, thread) - ran_ns >= _RAN_NS:
                address = _address(thread) if place is None else place
                symbol = _symbol(target.pid, address)
                if _interprets(target, address, symbol):
                    return None
                keeper = Keeper(thread, symbol, look.levels(first))
                tell(keeper)
        if now_s >= max(until_s, began_s + SUSPECT_S):
            return keeper
        time.sleep(_NAP_S)
    return None


def _cpu_ns(pid: int, thread: int) -> int:
    """Return for how long a thread has run."""
    with suppress(OSError, ValueError):
        return int(_words(pid, thread, "schedstat")[0])
    return 0


def _system_call(pid: int, thread: int) -> int | None:
    """Return where a thread waits in a system call; None if it runs."""
    with suppress(OSError, ValueError):
        words = _words(pid, thread, "syscall")
        if len(words) > 2:
            return int(words[-1], 16)
    return None


def _words(pid: int, thread: int, name: str) -> list[bytes]:
    with open(f"/proc/{pid}/task/{thread}/{name}", "rb") as file:  # noqa: PTH123
        return file.read().split()


def _address(thread: int) -> int:
    """Return where a thread is that runs; 0 if that can't be told."""
    with suppress(OSError, NotImplementedError):
        return native.where(thread)
    return 0


def _symbol(pid: int, address: int) -> str:
    with suppress(OSError):
        return symbol_at(pid, address)
    return ""


def _interprets(target: Target, address: int, symbol: str) -> bool:
    """Return whether a thread there runs Python code: a loop of one instruction does not move, either.

    Since 3.14 that code can be many functions, which have no names in a stripped interpreter.
    """
    begin, end = target.code
    nameless = " of " not in symbol and begin <= address < end
    return symbol.startswith(_INTERPRETS) or (nameless and target.version >= _WITHOUT_NAMES)
