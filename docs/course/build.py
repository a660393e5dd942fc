"""Make the course's notebooks from its texts, and run them.

    python docs/course/build.py            all of them
    python docs/course/build.py thread     those whose name contains "thread"

A text is Markdown. Its fenced blocks become cells of code:

- ``python``: the code itself;
- ``cell MODULE.NAME``: the source of that program in ``gilprobe.scenarios.lessons.MODULE``;
- ``scenario ID``: runs that scenario and shows what it found.

``volatile`` after the first two says that the output differs from run to run, as a scenario's always does.

Needs the packages of the extra ``course``.
"""

from __future__ import annotations

import importlib
import json
import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

COURSE = Path(__file__).resolve().parent
SOURCES = COURSE / "source"
TIMEOUT_S = 120

_FENCE = re.compile(r"^```(python|cell|scenario)([^\n]*)\n(.*?)^```\n", re.MULTILINE | re.DOTALL)

_SCENARIO = """\
import gilprobe
from gilprobe.render.terminal import render_result

result = gilprobe.run("{id}", quick=True)
print(render_result(result))"""


@dataclass(frozen=True)
class CourseCell:
    """One cell of a notebook."""

    kind: str
    source: str
    volatile: bool = False


def texts() -> list[Path]:
    """Return the texts of all lessons, in their order."""
    return sorted(SOURCES.glob("*/*.md"))


def notebook_of(text: Path) -> Path:
    """Return where the notebook of a text is."""
    return COURSE / text.parent.name / f"{text.stem}.ipynb"


def cells_of(text: str) -> Iterator[CourseCell]:
    """Yield the cells that a text is made of."""
    end = 0
    for block in _FENCE.finditer(text):
        yield from _prose(text[end : block.start()])
        what = block[2].removesuffix("volatile").strip()
        yield _code(block[1], what, block[3].rstrip("\n"), block[2].endswith("volatile"))
        end = block.end()
    yield from _prose(text[end:])


def _prose(text: str) -> Iterator[CourseCell]:
    if text.strip():
        yield CourseCell("markdown", text.strip())


def _code(kind: str, what: str, body: str, volatile: bool) -> CourseCell:
    if kind == "scenario":
        return CourseCell("code", _SCENARIO.format(id=what), volatile=True)
    if kind == "cell":
        module, _, name = what.partition(".")
        body = getattr(importlib.import_module(f"gilprobe.scenarios.lessons.{module}"), name).rstrip("\n")
    return CourseCell("code", body, volatile)


def document(cells: list[CourseCell]) -> dict[str, Any]:
    """Return a notebook that has not been run."""
    return {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "cells": [_cell(number, cell) for number, cell in enumerate(cells, 1)],
    }


def _cell(number: int, cell: CourseCell) -> dict[str, Any]:
    made: dict[str, Any] = {
        "id": f"cell-{number:02}",
        "cell_type": cell.kind,
        "metadata": {"tags": ["volatile"]} if cell.volatile else {},
        "source": cell.source.splitlines(keepends=True),
    }
    if cell.kind == "code":
        made |= {"execution_count": None, "outputs": []}
    return made


def executed(made: dict[str, Any]) -> dict[str, Any]:
    """Run a notebook with this interpreter, in a kernel of its own; an error in a cell is raised."""
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.reads(json.dumps(made), as_version=4)
    # Not from the checkout, where gilprobe has no compiled core. The kernel's sockets lie there, too: others
    # could talk to a port.
    with tempfile.TemporaryDirectory(prefix="gilprobe-") as folder:
        client = NotebookClient(
            notebook, timeout=TIMEOUT_S, record_timing=False, resources={"metadata": {"path": folder}}
        )
        kernel = client.create_kernel_manager()
        kernel.transport, kernel.ip = "ipc", f"{folder}/kernel"
        client.execute()
    notebook.metadata = made["metadata"]  # the kernel adds its version
    document: dict[str, Any] = json.loads(nbformat.writes(notebook))
    return document


def main(wanted: list[str]) -> None:
    """Build the notebooks whose names contain one of the words, or all."""
    for text in texts():
        if not wanted or any(word in text.stem for word in wanted):
            made = executed(document(list(cells_of(text.read_text(encoding="utf-8")))))
            target = notebook_of(text)
            target.parent.mkdir(exist_ok=True)
            target.write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
            print(target.relative_to(COURSE))


if __name__ == "__main__":
    main(sys.argv[1:])
