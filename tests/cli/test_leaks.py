"""`gilprobe leaks` as a user meets it."""

from __future__ import annotations

import json
import re
import stat
import subprocess
import sys

import pytest

from gilprobe.cli import main
from gilprobe.refs import LeakReport

pytestmark = pytest.mark.plain_python

SHORT = ("--warmup", "1", "--repeats", "5", "--calls", "20")
SOURCE = """
import os

kept = []
number = 3

def leaks():
    kept.append([])

def clean(*args):
    return [args]

def prints():
    print("printed by Python")
    os.write(1, b"printed by C\\n")

def raises():
    raise ValueError("as always")

class Holder:
    @staticmethod
    def method():
        return {}
"""


@pytest.fixture
def app(tmp_path, monkeypatch):
    """Return the path of a module with functions to call; its folder is on the path."""
    path = tmp_path / "leaky_app.py"
    path.write_text(SOURCE)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield path
    sys.modules.pop("leaky_app", None)


def test_a_leak_is_shown_with_its_evidence_and_status_one(app, capsys):
    assert main(["leaks", f"{app}::leaks", *SHORT]) == 1
    shown = capsys.readouterr()
    assert shown.err == ""
    assert "leaky_app.leaks: leaks" in shown.out
    assert re.search(r"list objects +\+1 +\+1 to \+1 +yes", shown.out)
    assert "held by item" in shown.out


@pytest.mark.parametrize("name", ["clean", "Holder.method"])
def test_a_function_that_does_not_leak_is_status_zero(app, capsys, name):
    assert main(["leaks", f"leaky_app:{name}", *SHORT]) == 0
    assert "no leak found" in capsys.readouterr().out


def test_literals_can_be_passed(app, capsys):
    assert main(["leaks", "leaky_app:clean", "--args", "(1, 'a', [2])", *SHORT]) == 0


def test_what_a_function_raises_is_told_with_the_verdict(app, capsys):
    assert main(["leaks", "leaky_app:raises", *SHORT]) == 0
    assert "first ValueError: as always" in capsys.readouterr().out


def test_as_json_to_a_file(app, tmp_path, capsys):
    target = tmp_path / "leaks.json"
    assert main(["leaks", "leaky_app:leaks", "--json", str(target), *SHORT]) == 1
    assert "list objects" in capsys.readouterr().out
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    report = LeakReport.load(target)
    assert report.leaking
    assert report.repeats == 5


def test_json_is_alone_on_standard_output_whatever_the_function_prints(app):
    command = [sys.executable, "-P", "-m", "gilprobe", "leaks", f"{app}::prints", "--json", "-", *SHORT]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert LeakReport.from_dict(json.loads(done.stdout)).function == "leaky_app.prints"
    assert done.returncode == 0
    assert {"printed by Python", "printed by C"} <= set(done.stderr.split("\n"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("leaky_app", "FUNCTION must be MODULE:FUNCTION or FILE.py::FUNCTION, got 'leaky_app'"),
        ("leaky_app:", "FUNCTION must be MODULE:FUNCTION or FILE.py::FUNCTION"),
        (":leaks", "FUNCTION must be MODULE:FUNCTION or FILE.py::FUNCTION"),
        ("no_such_module:leaks", "'no_such_module' raised ModuleNotFoundError"),
        ("leaky_app:missing", "'leaky_app' has no 'missing'"),
        ("leaky_app:number", "FUNCTION must be callable, 'leaky_app:number' is of type int"),
        ("missing.py::leaks", "FUNCTION must be in a file that exists, got 'missing.py'"),
        ("a\nb:leaks", r"got the module 'a\nb'"),
    ],
)
def test_a_wrong_name_is_one_line_and_status_two(app, capsys, name, message):
    assert main(["leaks", name]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert re.fullmatch(r"gilprobe: error: [^\n]+\n", shown.err)
    assert message in shown.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--repeats", "2"), "repeats must be between 3 and 1000000000, got 2"),
        (("--warmup", "-1"), "warmup must be between 0 and 1000000000, got -1"),
        (("--args", "(1"), "--args must be a tuple of literals"),
        (("--args", "__import__('os')"), "--args must be a tuple of literals"),
        (("--json", "/"), "--json must name a file, got the directory"),
    ],
)
def test_wrong_options_are_one_line_and_status_two(app, capsys, options, message):
    assert main(["leaks", "leaky_app:clean", *options]) == 2
    shown = capsys.readouterr()
    assert re.fullmatch(r"gilprobe: error: [^\n]+\n", shown.err)
    assert message in shown.err


def test_a_file_that_can_not_be_loaded_is_one_line(tmp_path, capsys):
    path = tmp_path / "broken_app.py"
    path.write_text("raise RuntimeError('at\\nonce')\n")
    assert main(["leaks", f"{path}::anything"]) == 2
    assert re.fullmatch(r"gilprobe: error: [^\n]+raised RuntimeError: at\\nonce\n", capsys.readouterr().err)
