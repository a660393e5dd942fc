"""Calls of functions in C that keep the GIL, and some that often let go."""

from __future__ import annotations

import ctypes
import functools
import json
import pickle
import random
import re
import sqlite3
import struct
from typing import TYPE_CHECKING

from .base import kind, note

if TYPE_CHECKING:
    from collections.abc import Callable

    from .base import Act
    from .truth import Truth

DOCUMENT = [{"id": number, "name": f"user {number}", "tags": ["a", "b", "c"] * 5} for number in range(4_000)]
TEXT = "lorem ipsum dolor " * 12_000


def shuffled(size: int) -> list[int]:
    """Return numbers in random order, always the same."""
    numbers = list(range(size))
    random.Random(1).shuffle(numbers)
    return numbers


def heavy() -> list[int]:
    """Return numbers that take some milliseconds to sort."""
    return shuffled(45_000)


@kind("sorted", callee=r"\bsorted\b")
def built_in(_: Truth) -> Act:
    """Call a built-in function."""
    numbers = heavy()

    def act() -> None:
        sorted(numbers)  # culprit
        note()

    return act


@kind("list.sort, bound", callee=r"\bsort\b")
def bound(_: Truth) -> Act:
    """Call a bound method of a type in C."""
    numbers = heavy()

    def act() -> None:
        copy = numbers.copy()
        sort = copy.sort
        sort()  # culprit
        note()

    return act


@kind("sorted, key in C", callee=r"\bsorted\b|\bstr\b")
def key_in_c(_: Truth) -> Act:
    """Sort by a function in C."""
    numbers = shuffled(24_000)

    def act() -> None:
        sorted(numbers, key=str)  # culprit
        note()

    return act


@kind("sorted, key in Python", callee=r"\bsorted\b|lambda")
def key_in_python(_: Truth) -> Act:
    """Sort by a function in Python."""
    numbers = shuffled(25_000)

    def act() -> None:
        sorted(numbers, key=lambda number: number * 3 + 1)  # culprit
        note()

    return act


@kind("functools.partial", callee=r"\bsorted\b")
def partial(_: Truth) -> Act:
    """Call a partial of a function in C."""
    call = functools.partial(sorted, heavy())

    def act() -> None:
        call()  # culprit
        note()

    return act


@kind("map of str", callee=r"\b(list|map|str)\b")
def mapped(_: Truth) -> Act:
    """Make a list of a map."""
    numbers = list(range(40_000))

    def act() -> None:
        list(map(str, numbers))  # culprit
        note()

    return act


@kind("str.join", callee=r"\bjoin\b")
def joined(_: Truth) -> Act:
    """Join many texts."""
    texts = ["ab"] * 700_000

    def act() -> None:
        ",".join(texts)  # culprit
        note()

    return act


@kind("struct.pack", callee=r"\bpack\b")
def packed(_: Truth) -> Act:
    """Pack numbers into bytes."""
    numbers = list(range(500_000))
    layout = f"{len(numbers)}i"

    def act() -> None:
        struct.pack(layout, *numbers)  # culprit
        note()

    return act


@kind("re.findall", callee=r"\bfindall\b", functions=("findall",))
def find_all(_: Truth) -> Act:
    """Search by a function of the standard library that calls a method in C."""

    def act() -> None:
        re.findall(r"(\w+) (\w+)", TEXT)  # culprit
        note()

    return act


@kind("Pattern.findall", callee=r"\bfindall\b")
def pattern(_: Truth) -> Act:
    """Search by a compiled pattern."""
    compiled = re.compile(r"(\w+) (\w+)")

    def act() -> None:
        compiled.findall(TEXT)  # culprit
        note()

    return act


@kind("json.dumps", callee=r"json|dumps|encode|Encoder", functions=("dumps", "encode", "iterencode"))
def dumped(_: Truth) -> Act:
    """Write JSON by the encoder in C."""

    def act() -> None:
        json.dumps(DOCUMENT)  # culprit
        note()

    return act


@kind("json.loads", callee=r"json|loads|decode|Scanner", functions=("loads", "decode", "raw_decode"))
def loaded(_: Truth) -> Act:
    """Read JSON by the scanner in C."""
    text = json.dumps(DOCUMENT)

    def act() -> None:
        json.loads(text)  # culprit
        note()

    return act


@kind("pickle.dumps", callee=r"\bdumps\b")
def pickled(_: Truth) -> Act:
    """Pickle by the module in C."""
    document = DOCUMENT * 6

    def act() -> None:
        pickle.dumps(document)  # culprit
        note()

    return act


@kind("C call that often lets go", callee=r"fetchall|Cursor", alone=True, unclocked=True, lets_go=True)
def queried(_: Truth) -> Act:
    """Fetch rows from SQLite, which lets go of the GIL for each."""
    base = sqlite3.connect(":memory:", check_same_thread=False)
    base.execute("create table numbers (one, two, three)")
    base.executemany("insert into numbers values (?, ?, ?)", ((n, f"{n}", n / 7) for n in range(9_000)))

    def act() -> None:
        base.execute("select * from numbers").fetchall()  # culprit
        note()

    return act


def letting_go(truth: Truth, holds: int, held_ns: int, free_ns: int) -> tuple[Callable[..., object], type]:
    """Return what holds the GIL in C so often, and is without it in between; and where it notes its holds."""
    call = ctypes.PyDLL(truth.library).let_go_often
    call.argtypes = (*(ctypes.c_void_p,) * 2, *(ctypes.c_int64,) * 3, ctypes.c_void_p)
    save, restore = (
        ctypes.cast(function, ctypes.c_void_p)
        for function in (ctypes.pythonapi.PyEval_SaveThread, ctypes.pythonapi.PyEval_RestoreThread)
    )
    return functools.partial(call, save, restore, holds, held_ns, free_ns), ctypes.c_int64 * (4 * holds)


@kind("C call that holds for 2 microseconds, often", alone=True, itself=True, logged=True)
def fine(truth: Truth) -> Act:
    """Hold for less time than it takes to look, behind a long hold that ends at the same line."""
    call, log = letting_go(truth, 4_000, 2_000, 500)

    def act() -> None:
        noted = log()
        truth.beside()
        call(noted)  # culprit
        truth.logs.append(noted)

    return act


@kind("C call that holds for 20 microseconds, often", alone=True, itself=True, logged=True)
def coarse(truth: Truth) -> Act:
    """Hold for as long as it takes to look."""
    call, log = letting_go(truth, 250, 20_000, 5_000)

    def act() -> None:
        noted = log()
        call(noted)  # culprit
        truth.logs.append(noted)

    return act


@kind("numpy object array", callee=r"\+|\badd\b", needs="numpy")
def objects(_: Truth) -> Act:
    """Add to an array of Python objects."""
    import numpy

    array = numpy.array(shuffled(200_000), dtype=object)

    def act() -> None:
        array + 1  # culprit
        note()

    return act


@kind("pandas groupby", functions=("agg", "aggregate"), needs="pandas")
def grouped(_: Truth) -> Act:
    """Aggregate groups by a function in Python."""
    import pandas

    frame = pandas.DataFrame({"group": [n % 250 for n in range(4_000)], "number": range(4_000)})

    def act() -> None:
        frame.groupby("group")["number"].agg(lambda column: column.max() - column.min())  # culprit
        note()

    return act
