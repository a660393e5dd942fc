"""What C declares is declared to Cython once, in the file that is named after the folder of its header."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

pytestmark = pytest.mark.plain_python

CHECKOUT = Path(__file__).parents[2]
NATIVE = CHECKOUT / "gilprobe/_native"
SOURCES = {path: path.read_text(encoding="utf-8") for path in sorted(NATIVE.glob("*.p[yx]?"))}
EXTERN = re.compile(r"^cdef extern from [\"<]*([^\">\n ]+).*$", re.MULTILINE)
DECLARED = re.compile(
    r"ctypedef (?:struct|enum) (\w+)"  # a type
    r"|^ +(GP_\w+)$"  # an enumerator
    r"|^ +(?:const )?\w+ (GP_\w+|gp_\w+)$"  # a constant
    r"|^ {4}\w[\w ]* \*?(gp_\w+)\(",  # a function
    re.MULTILINE,
)


def externs() -> list[tuple[Path, str]]:
    return [(path, header) for path, source in SOURCES.items() for header in EXTERN.findall(source)]


def declared() -> list[str]:
    sources = [source for path, source in SOURCES.items() if path.suffix == ".pxd"]
    return [next(filter(None, groups)) for source in sources for groups in DECLARED.findall(source)]


def test_there_is_something_to_check() -> None:
    assert (NATIVE / "c_base.pxd", "base/gp_status.h") in externs()
    some = {
        "gp_status",
        "GP_ENOMEM",
        "GP_NOWHERE",
        "gp_work_gil",
        "gp_clock_init",
        "gp_clock_name",
        "gp_cursor",
    }
    assert set(declared()) >= some


def test_a_header_is_declared_in_the_file_of_its_folder() -> None:
    faults = [
        f"{path.name}: {header}"
        for path, header in externs()
        if (CHECKOUT / "csrc" / header).is_file()
        and not re.fullmatch(rf"c_{header.partition('/')[0]}(_\w+)?\.pxd", path.name)
    ]
    assert not faults


def test_every_extern_is_of_the_core_or_of_c() -> None:
    assert {header for _, header in externs() if not (CHECKOUT / "csrc" / header).is_file()} == {"stdbool.h"}


def test_everything_is_declared_once() -> None:
    found = Counter([header for _, header in externs()] + declared())
    assert [name for name, times in found.items() if times > 1] == []


def test_no_source_is_pasted_into_another() -> None:
    assert list(NATIVE.glob("*.pxi")) == []
    assert [
        path.name for path, source in SOURCES.items() if re.search(r"^include\b", source, re.MULTILINE)
    ] == []
