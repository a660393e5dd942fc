"""Statements as functions, and what they leave behind."""

from __future__ import annotations

import os
import threading

import pytest

from gilprobe.auditing import statements
from gilprobe.auditing.statements import Leftovers, Statement, first_call, prepare
from gilprobe.errors import InvalidValueError

pytestmark = pytest.mark.plain_python


@pytest.mark.parametrize(
    ("source", "setup"),
    [
        ("", ""),
        ("  \n", ""),
        ("x =", ""),
        ("x", "def"),
        ("return 3", ""),
        ("a\0b", ""),
        ("break", ""),
    ],
)
def test_what_is_no_statement_is_refused_in_one_line(source, setup):
    with pytest.raises(InvalidValueError, match="must") as caught:
        statements.check(Statement(source, setup))
    assert "\n" not in str(caught.value)


def test_a_star_import_is_refused():
    with pytest.raises(InvalidValueError, match="must be valid in a function"):
        prepare(Statement("from math import *"))


def test_a_statement_sees_what_the_setup_made_and_may_change_it():
    compiled = prepare(Statement("x += 1; y = x; seen.append(y)", "x = 5; seen = []; all_seen = seen"))
    compiled.call()
    compiled.call()
    seen = compiled.call.__globals__["all_seen"]
    assert seen == [6, 7]
    assert "y" not in compiled.call.__globals__, "what only the statement assigns is its own"
    assert compiled.nothing() is None


@pytest.mark.parametrize(
    "source",
    [
        "for i in range(3): total += i",
        "with open('/dev/null') as total: pass",
        "def total(): pass",
        "import os.path as total",
        "(total := 7)",
        "[total := i for i in range(2)]",
        "total = [total for _ in range(2)]",
        "del total\ntotal = 1",
        "text = '''a\n  b'''; total = text",
    ],
)
def test_every_way_to_assign_a_name_of_the_setup_works(source):
    compiled = prepare(Statement(source, "total = 0"))
    compiled.call()
    compiled.call()


def test_lines_of_a_statement_keep_their_places():
    compiled = prepare(Statement("x = 1\n1 / 0"))
    with pytest.raises(ZeroDivisionError) as caught:
        compiled.call()
    place = caught.traceback[-1].frame.code.raw
    assert (place.co_filename, caught.traceback[-1].lineno + 1) == ("<statement>", 2)


def test_what_a_statement_leaves_behind_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    leftovers = Leftovers()
    assert list(leftovers.doubts()) == []
    (tmp_path / "elsewhere").mkdir()
    os.chdir(tmp_path / "elsewhere")
    end = threading.Event()
    left = threading.Thread(target=end.wait, name="left behind")
    left.start()
    try:
        doubts = list(leftovers.doubts())
    finally:
        end.set()
        left.join()
    assert [doubt.partition(" (")[0] for doubt in doubts[:1]] == ["it changes the current directory"]
    assert "left behind" in doubts[1]


def test_a_first_call_hands_on_what_is_raised():
    def fails():
        raise KeyError("x")

    with pytest.raises(KeyError):
        first_call(fails)
    first_call(lambda: None)
