"""The notebook about ``%%gil`` is what its text says, and shows tables and pictures when it is run."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
import sysconfig
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "notebook"

if not FOLDER.is_dir():
    pytest.skip("the notebook is not here", allow_module_level=True)

_spec = importlib.util.spec_from_file_location("gilprobe_notebook_build", FOLDER / "build.py")
build = importlib.util.module_from_spec(_spec)
sys.modules[_spec.name] = build
_spec.loader.exec_module(build)


def stored():
    return json.loads(build.NOTEBOOK.read_text(encoding="utf-8"))


def code_cells(notebook):
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def check(notebook):
    """Check that the cells that are traced show a table and a picture, and that the last one prints."""
    cells = code_cells(notebook)
    traced = [cell for cell in cells if "".join(cell["source"]).startswith("%%gil")]
    assert len(traced) == 2
    for cell in traced:
        tables, picture = (output["data"] for output in cell["outputs"] if "data" in output)
        assert "<table" in "".join(tables["text/html"])
        drawn = ET.fromstring("".join(picture["image/svg+xml"]))
        text = "".join(drawn.itertext())
        assert {"gil-1: hold", "gil-2: hold"} <= set(re.findall(r"gil-\d: hold", text))
    assert "".join(cells[-1]["outputs"][0]["text"]) == "Report True\n"


def test_the_notebook_is_what_its_text_says():
    made, whole = build.document(), stored()
    for cell in (*made["cells"], *whole["cells"]):
        for name in ("outputs", "execution_count"):
            cell.pop(name, None)
    assert whole["cells"] == made["cells"], "run docs/notebook/build.py"


def test_the_notebook_was_run():
    assert [cell["execution_count"] for cell in code_cells(stored())] == [1, 2, 3, 4]
    assert not re.search(r"/(tmp|home|root)/", json.dumps(stored()))
    check(stored())


@pytest.mark.skipif(sysconfig.get_config_var("Py_GIL_DISABLED"), reason="a kernel here has no GIL to trace")
def test_the_notebook_still_runs():
    for package in ("nbformat", "nbclient", "ipykernel"):
        pytest.importorskip(package, reason="needs the extra course")
    check(build.course.executed(build.document()))
