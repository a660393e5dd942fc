"""Tasks in workers: work is named, told plain data, and answers with plain data or one line."""

from __future__ import annotations

import pytest

from gilprobe.workers import launch, turns
from gilprobe.workers.protocol import Task
from gilprobe.workers.pythons import this_python

pytestmark = pytest.mark.plain_python

WORK = """
import time

class Shop:
    @staticmethod
    def doubled(order, turns):
        turns.wait("doubles", 0.5)
        return [2 * number for number in order]

def fails(order, turns):
    raise LookupError(order)

def hangs(order, turns):
    time.sleep(600)
"""


@pytest.fixture
def do(tmp_path, monkeypatch):
    """Return a function that has a worker do what is named in a module that only the worker imports."""
    (tmp_path / "named_work.py").write_text(WORK)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def do(name, order, read=lambda document: document, **options):
        task = Task(f"named_work:{name}", order, read, **options)
        (outcome,) = turns.run_side_by_side(task, [this_python()])
        return outcome

    return do


def test_work_is_found_by_its_name_and_answers_what_its_reader_makes_of_it(do):
    outcome = do("Shop.doubled", (1, 20), read=tuple)
    assert (outcome.answer, outcome.complaint) == ((2, 40), "")


@pytest.mark.parametrize(
    ("options", "begin"),
    [
        ({"called": "the shop"}, "the shop failed: LookupError: shut"),
        ({"called": "the shop", "errors_are_whole": True}, "LookupError: shut"),
        ({}, f"{this_python().named} failed: LookupError: shut"),
    ],
)
def test_what_fails_is_told_with_what_it_is_about(do, options, begin):
    outcome = do("fails", "shut", **options)
    assert outcome.answer is None
    assert outcome.complaint.startswith(f"{begin} (named_work.py:")


def test_work_that_is_not_there_is_one_line(do):
    outcome = do("nothing", None, called="it")
    assert outcome.complaint.startswith("it failed: AttributeError: module 'named_work' has no attribute")


def test_what_does_not_begin_is_cut_with_what_it_had_to_do(do, monkeypatch):
    monkeypatch.setattr(launch, "BEGIN_S", 0.3)
    outcome = do("hangs", None, called="it", first="wake up")
    assert outcome.complaint == "it was stopped: it must wake up within 0.3 s"
