"""The course's notebooks are what its texts say, and still print what they printed."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from collections import Counter
from pathlib import Path

import pytest

COURSE = Path(__file__).resolve().parents[2] / "docs" / "course"

if not COURSE.is_dir():
    pytest.skip("the course is not here", allow_module_level=True)

_spec = importlib.util.spec_from_file_location("gilprobe_course_build", COURSE / "build.py")
build = importlib.util.module_from_spec(_spec)
sys.modules[_spec.name] = build
_spec.loader.exec_module(build)

TEXTS = build.texts()
names = pytest.mark.parametrize("text", TEXTS, ids=[f"{text.parent.name}-{text.stem}" for text in TEXTS])

_WHO = r"(?:Main    |Thread \d+|Timer \d+|Producer|Consumer|\w*Semaphore): "
_MESSAGE = re.compile(rf"{_WHO}(?:(?!{_WHO})[^.\n])*\.?")


def stored(text):
    return json.loads(build.notebook_of(text).read_text(encoding="utf-8"))


def printed(notebook):
    """Return how often each message, and each other line, was printed by cells that print the same each time.

    Threads print in any order, two of them on one line at times, and into whichever cell runs by then.
    """
    whole = "".join(
        "".join(output["text"])
        for cell in notebook["cells"]
        if cell["cell_type"] == "code" and "volatile" not in cell["metadata"].get("tags", ())
        for output in cell["outputs"]
        if output["output_type"] == "stream"
    )
    others = (line for line in _MESSAGE.sub("\n", whole).splitlines() if line.strip())
    return Counter([*_MESSAGE.findall(whole), *others])


@names
def test_a_notebook_is_what_its_text_says(text):
    made = build.document(list(build.cells_of(text.read_text(encoding="utf-8"))))
    whole = stored(text)
    for cell in (*made["cells"], *whole["cells"]):
        for name in ("outputs", "execution_count"):
            cell.pop(name, None)
    assert whole["cells"] == made["cells"], "run docs/course/build.py"


@names
def test_a_notebook_was_run_without_an_error(text):
    cells = [cell for cell in stored(text)["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert {output["output_type"] for output in outputs} <= {"stream", "execute_result"}
    assert not re.search(r"/(tmp|home|root)/", json.dumps(outputs))


def test_the_french_part_runs_the_same_cells_in_the_same_order():
    french = [text for text in TEXTS if text.parent.name == "fr"]
    assert len(french) == 6
    for text in french:
        english = text.parents[1] / "en" / text.name
        shown = [
            re.findall(r"^```(.*)$", of.read_text(encoding="utf-8"), re.MULTILINE) for of in (text, english)
        ]
        assert shown[0] == shown[1]


def test_messages_are_counted_wherever_they_stand():
    def notebook(*texts):
        outputs = [{"output_type": "stream", "text": [text]} for text in texts]
        return {"cells": [{"cell_type": "code", "metadata": {}, "outputs": outputs}]}

    mixed = notebook(
        "Thread 1: finishing.Thread 2: finishing.\n\nfree\nThread 1: got b: FalseThread 2: got a: True\n\n"
    )
    apart = notebook(
        "Thread 2: got a: True\nfree\nThread 2: finishing.\n",
        "Thread 1: got b: False\nThread 1: finishing.\n",
    )
    assert printed(mixed) == printed(apart)
    assert printed(mixed) != printed(notebook("Thread 1: finishing.\nfree\n"))


@pytest.mark.slow
@names
def test_a_notebook_still_prints_what_it_printed(text):
    for package in ("nbformat", "nbclient", "ipykernel"):
        pytest.importorskip(package, reason="needs the extra course")
    was = stored(text)
    now = build.executed(build.document(list(build.cells_of(text.read_text(encoding="utf-8")))))
    assert printed(now) == printed(was)
    for cell in now["cells"]:
        if cell["cell_type"] == "code" and "gilprobe.run(" in "".join(cell["source"]):
            assert "verdict" in "".join(cell["outputs"][0]["text"])
