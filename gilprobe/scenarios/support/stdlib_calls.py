"""Calls of the standard library, with arguments of several sizes."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import ExitStack

KIB = 1024
BYTES = (64, 4 * KIB, 64 * KIB, KIB * KIB)
SLOW_BYTES = BYTES[:3]
"""Sizes for calls that take milliseconds for 64 KiB."""

_RECEIVE_TIMEOUT_S = 2


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the standard library.

    Attributes
    ----------
    name : str
        For example ``"hashlib.sha256"``.
    sizes : tuple of int
        Rising.
    unit : str
        The unit of sizes: ``"bytes"``, or for example ``"rows"``.
    prepare : callable
        Takes a size, and a stack for things to close at the end; returns a function that makes the call.
        Raises ImportError if the module is missing, OSError if the machine can't do it.
    never : str
        The module that should never release the GIL; empty without this expectation.
    quick : bool
        Whether it is part of a quick run.
    """

    name: str
    sizes: tuple[int, ...]
    unit: str
    prepare: Callable[[int, ExitStack], Callable[[], object]]
    never: str = ""
    quick: bool = False

    def label(self, size: int) -> str:
        """Return the name with a size, for example ``"hashlib.sha256, 4 KiB"``."""
        return f"{self.name}, {shown_size(size, self.unit)}"


def shown_size(size: int, unit: str) -> str:
    """Return a size in words."""
    if unit != "bytes":
        return f"{size:,} {unit}"
    for factor, name in ((KIB * KIB, "MiB"), (KIB, "KiB")):
        if size >= factor and size % factor == 0:
            return f"{size // factor} {name}"
    return f"{size:,} B"


@cache
def text(size: int) -> bytes:
    """Return `size` bytes of generated words, always the same: they compress like prose."""
    pick = random.Random(size)
    words = [pick.randbytes(pick.randrange(2, 6)).hex().encode() for _ in range(300)]
    made = b" ".join(pick.choices(words, k=size // 4 + 1))
    return made[:size]


def _function(module: str, name: str) -> Any:
    import importlib

    return getattr(importlib.import_module(module), name)


def _of_bytes(module: str, name: str, size: int, _stack: ExitStack) -> Callable[[], object]:
    return partial(_function(module, name), text(size))


def _of_compressed(module: str, size: int, _stack: ExitStack) -> Callable[[], object]:
    packed = _function(module, "compress")(text(size))
    return partial(_function(module, "decompress"), packed)


def bytes_call(module: str, name: str, sizes: tuple[int, ...] = BYTES, *, quick: bool = False) -> Call:
    """Return the call of a function that takes only bytes."""
    return Call(f"{module}.{name}", sizes, "bytes", partial(_of_bytes, module, name), quick=quick)


def _decompress(module: str) -> Call:
    return Call(f"{module}.decompress", SLOW_BYTES, "bytes", partial(_of_compressed, module))


def _records(items: int) -> list[dict[str, object]]:
    return [{"id": number, "name": f"item {number}", "price": number / 7} for number in range(items)]


def _json_dumps(items: int, _stack: ExitStack) -> Callable[[], object]:
    return partial(_function("json", "dumps"), _records(items))


def _json_loads(items: int, _stack: ExitStack) -> Callable[[], object]:
    return partial(_function("json", "loads"), _function("json", "dumps")(_records(items)))


def _pickle_dumps(items: int, _stack: ExitStack) -> Callable[[], object]:
    return partial(_function("pickle", "dumps"), _records(items))


def _pickle_loads(items: int, _stack: ExitStack) -> Callable[[], object]:
    return partial(_function("pickle", "loads"), _function("pickle", "dumps")(_records(items)))


def _struct_pack(items: int, _stack: ExitStack) -> Callable[[], object]:
    return partial(_function("struct", "pack"), f"<{items}d", *map(float, range(items)))


def _struct_unpack(items: int, _stack: ExitStack) -> Callable[[], object]:
    return partial(_function("struct", "unpack"), f"<{items}d", bytes(8 * items))


def _re_findall(size: int, _stack: ExitStack) -> Callable[[], object]:
    return partial(_function("re", "compile")(rb"\b[0-9a-f]*7[0-9a-f]*\b").findall, text(size))


def _csv_reader(rows: int, _stack: ExitStack) -> Callable[[], object]:
    reader = _function("csv", "reader")
    lines = [f'{row},"item {row}",{row / 7}' for row in range(rows)]
    return lambda: list(reader(lines))


def _decimal_sqrt(digits: int, _stack: ExitStack) -> Callable[[], object]:
    return partial(_function("decimal", "Context")(prec=digits).sqrt, _function("decimal", "Decimal")(2))


def _int_pow(digits: int, _stack: ExitStack) -> Callable[[], object]:
    return partial(pow, 10, digits)


def _sorted(items: int, _stack: ExitStack) -> Callable[[], object]:
    return partial(sorted, random.Random(items).sample(range(items), items))


def _sqlite_select(rows: int, stack: ExitStack) -> Callable[[], object]:
    base = _function("sqlite3", "connect")(":memory:")
    stack.callback(base.close)
    base.execute("create table things (id integer, name text)")
    base.executemany("insert into things values (?, ?)", [(row, f"item {row}") for row in range(rows)])
    return lambda: base.execute("select id, name from things order by name").fetchall()


def _socket(size: int, stack: ExitStack) -> Callable[[], object]:
    import socket
    import struct

    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(_RECEIVE_TIMEOUT_S)
        sender = stack.enter_context(socket.create_connection(server.getsockname(), _RECEIVE_TIMEOUT_S))
        receiver = stack.enter_context(server.accept()[0])
    # The kernel's time-outs, so that nothing hangs: Python's would add a poll to every call.
    limit = struct.pack("@ll", _RECEIVE_TIMEOUT_S, 0)
    for end, option in ((sender, socket.SO_SNDTIMEO), (receiver, socket.SO_RCVTIMEO)):
        end.setblocking(True)
        end.setsockopt(socket.SOL_SOCKET, option, limit)
    data, room = text(size), bytearray(size)

    def echo() -> None:
        sender.sendall(data)
        left = size
        while left:
            left -= receiver.recv_into(room, left)

    return echo


def _folder(stack: ExitStack) -> str:
    from tempfile import TemporaryDirectory

    return stack.enter_context(TemporaryDirectory(prefix="gilprobe-"))


def _file_read(size: int, stack: ExitStack) -> Callable[[], object]:
    path = f"{_folder(stack)}/data"
    _write(path, text(size))
    return partial(_read, path)


def _file_write(size: int, stack: ExitStack) -> Callable[[], object]:
    return partial(_write, f"{_folder(stack)}/data", text(size))


def _read(path: str) -> bytes:
    with open(path, "rb") as file:  # noqa: PTH123 (open() itself is measured)
        return file.read()


def _write(path: str, data: bytes) -> None:
    with open(path, "wb") as file:  # noqa: PTH123
        file.write(data)


def _stat(_size: int, stack: ExitStack) -> Callable[[], object]:
    return partial(_function("os", "stat"), _folder(stack))


def _sleep(micros: int, _stack: ExitStack) -> Callable[[], object]:
    return partial(_function("time", "sleep"), micros / 1e6)


ITEMS = (10, 1_000)

CALLS = (
    bytes_call("hashlib", "md5"),
    bytes_call("hashlib", "sha256", quick=True),
    bytes_call("hashlib", "blake2b"),
    bytes_call("zlib", "crc32", quick=True),
    bytes_call("zlib", "adler32"),
    bytes_call("zlib", "compress", SLOW_BYTES, quick=True),
    _decompress("zlib"),
    bytes_call("bz2", "compress", SLOW_BYTES),
    _decompress("bz2"),
    bytes_call("lzma", "compress", SLOW_BYTES),
    _decompress("lzma"),
    bytes_call("compression.zstd", "compress", SLOW_BYTES),
    _decompress("compression.zstd"),
    bytes_call("binascii", "crc32"),
    bytes_call("binascii", "hexlify"),
    bytes_call("base64", "b64encode"),
    Call("json.dumps", ITEMS, "items", _json_dumps, never="json", quick=True),
    Call("json.loads", ITEMS, "items", _json_loads, never="json"),
    Call("pickle.dumps", ITEMS, "items", _pickle_dumps, never="pickle", quick=True),
    Call("pickle.loads", ITEMS, "items", _pickle_loads, never="pickle"),
    Call("struct.pack", ITEMS, "items", _struct_pack, never="struct"),
    Call("struct.unpack", ITEMS, "items", _struct_unpack, never="struct"),
    Call("re.findall", SLOW_BYTES, "bytes", _re_findall, never="re", quick=True),
    Call("csv.reader", ITEMS, "rows", _csv_reader, never="csv"),
    Call("decimal.sqrt", (28, 1_000), "digits", _decimal_sqrt, never="decimal"),
    Call("int pow", (28, 10_000), "digits", _int_pow),
    Call("sorted", (10, 10_000), "items", _sorted),
    Call("sqlite3 select", ITEMS, "rows", _sqlite_select, quick=True),
    Call("socket sendall, recv_into", SLOW_BYTES, "bytes", _socket),
    Call("open, read, close", BYTES, "bytes", _file_read),
    Call("open, write, close", BYTES, "bytes", _file_write),
    Call("os.stat", (1,), "folder", _stat, quick=True),
    Call("time.sleep", (1_000,), "us", _sleep, quick=True),
)
