"""Make the notebook about ``%%gil`` from its text, and run it.

    python docs/notebook/build.py

The text has the form of the course's texts, and their builder makes the notebook. Needs the extra ``course``.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
TEXT = HERE / "gil-magic.md"
NOTEBOOK = TEXT.with_suffix(".ipynb")

_spec = importlib.util.spec_from_file_location("gilprobe_course_build", HERE.parent / "course" / "build.py")
course = importlib.util.module_from_spec(_spec)
sys.modules[_spec.name] = course  # its dataclasses look themselves up there
_spec.loader.exec_module(course)


def document() -> dict[str, Any]:
    """Return the notebook of the text, not run."""
    made: dict[str, Any] = course.document(list(course.cells_of(TEXT.read_text(encoding="utf-8"))))
    return made


def main() -> None:
    """Build the notebook."""
    made = course.executed(document())
    NOTEBOOK.write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(NOTEBOOK.name)


if __name__ == "__main__":
    main()
