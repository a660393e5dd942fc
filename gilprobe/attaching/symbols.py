"""The C function that an address in another process belongs to."""

from __future__ import annotations

import os
import struct
from contextlib import suppress

from gilprobe.errors import FormatError
from gilprobe.files import open_regular

_FUNCTIONS = (2, 10)  # STT_FUNC, STT_GNU_IFUNC: elf(5)
_TABLES = (2, 11)  # SHT_SYMTAB, SHT_DYNSYM
_LOAD = 1  # PT_LOAD
_LARGEST = 256 << 20  # bytes of a table of symbols
_LONGEST_NAME = 300


def symbol_at(pid: int, address: int) -> str:
    """Return the function and the file of an address, as in ``qsort of libc.so.6``; less if less is known."""
    with open(f"/proc/{pid}/maps", "rb") as file:  # noqa: PTH123
        for line in file:
            words = os.fsdecode(line).rstrip("\n").split(maxsplit=5)
            begin, end = (int(word, 16) for word in words[0].split("-"))
            if begin <= address < end:
                break
        else:
            return ""
    if len(words) < 6 or not words[5].startswith("/"):
        return "code of no file"
    path = words[5]
    name = os.path.basename(path)  # noqa: PTH119
    with suppress(OSError, FormatError, struct.error, StopIteration):
        # The process's own file, also in another mount namespace.
        with open_regular(f"/proc/{pid}/root{path}", "a mapped file") as file:
            function = _function(file.fileno(), address - begin + int(words[2], 16))
        return f"{function} of {name}"
    return name


def _function(file: int, offset: int) -> str:
    """Return the function whose code stands at an offset of an ELF file; StopIteration: none is known."""
    head = _read(file, 0, 64)
    if head[:6] != b"\x7fELF\x02\x01":
        raise StopIteration
    programs, sections = struct.unpack_from("<QQ", head, 32)
    program_size, program_count, size, count = struct.unpack_from("<HHHH", head, 54)
    address = next(
        virtual + offset - begin
        for kind, begin, virtual, length in _segments(_read(file, programs, program_size * program_count))
        if kind == _LOAD and begin <= offset < begin + length
    )
    table = _read(file, sections, size * count)
    headers = [struct.unpack_from("<IIQQQQII", table, size * number) for number in range(count)]
    for _, kind, _, _, begin, length, strings, _ in headers:
        if kind not in _TABLES or length > _LARGEST:
            continue
        for name, info, _, section, value, extent in struct.iter_unpack(
            "<IBBHQQ", _read(file, begin, length - length % 24)
        ):
            if info & 15 in _FUNCTIONS and section and value <= address < value + extent:
                text = os.pread(file, _LONGEST_NAME, headers[strings][4] + name)
                return text.split(b"\0", 1)[0].decode("utf-8", "replace")
    raise StopIteration


def _segments(table: bytes) -> list[tuple[int, int, int, int]]:
    return [
        (kind, offset, virtual, length)
        for kind, _, offset, virtual, _, length, _, _ in struct.iter_unpack("<IIQQQQQQ", table)
    ]


def _read(file: int, offset: int, size: int) -> bytes:
    found = os.pread(file, size, offset)
    if len(found) != size:
        raise OSError("not readable")
    return found
