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

async def leaks_soon():
    kept.append([])

def needs_argument(number):
    kept.append([number])

def ends(error=BaseException):
    raise error("at\\nonce")

def cancelled():
    import asyncio
    raise asyncio.CancelledError

def skips():
    import pytest
    pytest.skip("not today")

def interrupts():
    raise KeyboardInterrupt

class Unspeakable(Exception):
    def __str__(self):
        raise ValueError

class Holder:
    @staticmethod
    def method():
        return {}

    def unbound(self):
        kept.append([])

def __getattr__(name):
    if name == "unspeakable":
        raise Unspeakable
    raise AttributeError(name)
"""
CLASSES = """
import unittest
kept = []

class TestPlain:
    def test_leaking(self): kept.append([])
    async def test_leaking_soon(self): kept.append([])
    def test_own_instance(self):
        assert not vars(self)
        self.used = True
    @staticmethod
    def test_static(): kept.append([])
    @classmethod
    def test_of_class(cls): kept.append([])
    def test_with_fixture(self, tmp_path): pass
    class TestInner:
        def test_leaking(self): kept.append([])

class TestWithSetup:
    def setup_method(self): self.ready = True
    def test_it(self): assert self.ready

class TestCase(unittest.TestCase):
    def setUp(self): self.ready = True
    def tearDown(self): del self.ready
    def test_clean(self): assert self.ready
    def test_leaking(self): kept.append([])
    def test_failing(self): assert not self.ready
    @unittest.skip("not today")
    def test_skipped(self): pass

class TestSoon(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self): self.ready = True
    async def test_leaking(self):
        assert self.ready
        kept.append([])
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


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("needs_argument", "function must take its arguments, leaky_app.needs_argument was not run: "),
        ("Holder.unbound", "function must take its arguments, leaky_app.Holder.unbound was not run: "),
        ("ends", r"FUNCTION must let the hunt go on, 'leaky_app:ends' ended it by BaseException: at\nonce"),
        ("cancelled", "'leaky_app:cancelled' ended it by CancelledError: "),
        ("skips", "not today"),
        ("unspeakable", "'leaky_app' raised Unspeakable: (its message can't be shown)"),
    ],
)
def test_what_can_not_be_judged_is_one_line_and_status_two(app, capsys, name, message):
    assert main(["leaks", f"leaky_app:{name}", *SHORT]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert re.fullmatch(r"gilprobe: error: [^\n]+\n", shown.err)
    assert message in shown.err


def test_an_interrupt_is_told_as_one(app, capsys):
    assert main(["leaks", "leaky_app:interrupts", *SHORT]) == 130
    assert capsys.readouterr().err == "gilprobe: interrupted\n"


def test_a_coroutine_function_is_run(app, capsys):
    assert main(["leaks", "leaky_app:leaks_soon", *SHORT]) == 1
    assert "leaky_app.leaks_soon: leaks" in capsys.readouterr().out


@pytest.fixture
def classes(tmp_path):
    """Return the path of a file with classes of tests."""
    path = tmp_path / "leaky_classes.py"
    path.write_text(CLASSES)
    yield path
    sys.modules.pop("leaky_classes", None)


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("TestPlain::test_leaking", 1),
        ("TestPlain::test_leaking_soon", 1),
        ("TestPlain::test_own_instance", 0),
        ("TestPlain::test_static", 1),
        ("TestPlain::test_of_class", 1),
        ("TestPlain::TestInner::test_leaking", 1),
        ("TestPlain.TestInner::test_leaking", 1),
        ("TestCase::test_clean", 0),
        ("TestCase::test_leaking", 1),
        ("TestSoon::test_leaking", 1),
    ],
)
def test_a_method_is_called_as_a_test_is_named(classes, capsys, name, status):
    assert main(["leaks", f"{classes}::{name}", *SHORT]) == status
    shown = capsys.readouterr()
    assert shown.out.startswith(f"leaky_classes.{name.replace('::', '.')}: ")
    assert "raised in" not in shown.out


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("TestPlain::test_with_fixture", "TestPlain.test_with_fixture was not run: "),
        ("TestPlain::missing", "has no 'TestPlain::missing'"),
        ("Missing::test_it", "has no 'Missing::test_it'"),
        ("TestWithSetup::test_it", "'TestWithSetup' has a setup_method: pytest --leaks judges its tests"),
        ("TestCase::test_skipped", "test_skipped skipped itself: 'not today'"),
    ],
)
def test_a_method_that_can_not_be_judged_is_one_line_and_status_two(classes, capsys, name, message):
    assert main(["leaks", f"{classes}::{name}", *SHORT]) == 2
    shown = capsys.readouterr()
    assert re.fullmatch(r"gilprobe: error: [^\n]+\n", shown.err)
    assert message in shown.err


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Return the folder of the tests in a package whose modules need each other."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    tests = tmp_path / "leaky_package" / "tests"
    tests.mkdir(parents=True)
    for folder in (tests.parent, tests):
        (folder / "__init__.py").write_text("def leaks(kept=[]): kept.append([])\n")
    (tests.parent / "helper.py").write_text("kept = []\n")
    relative = "from ..helper import kept\ndef test_leaking(): kept.append([])\n"
    (tests / "test_relative.py").write_text(relative)
    (tests / "test-odd.py").write_text(relative.replace("..helper", "leaky_package.helper"))
    (tests / "skipping.py").write_text("import pytest\npytest.skip('as a whole', allow_module_level=True)\n")
    yield tests
    for name in [name for name in sys.modules if name.partition(".")[0] in ("leaky_package", "test-odd")]:
        del sys.modules[name]


@pytest.mark.parametrize(
    "file", ["test_relative.py::test_leaking", "__init__.py::leaks", "../__init__.py::leaks"]
)
def test_a_file_in_a_package_is_imported_as_a_part_of_it(package, capsys, file):
    assert main(["leaks", f"{package / file}", *SHORT]) == 1
    assert capsys.readouterr().out.startswith("leaky_package.")


def test_a_file_that_can_not_be_imported_by_name_runs_by_itself(package, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(package.parents[1]))
    assert main(["leaks", f"{package / 'test-odd.py'}::test_leaking", *SHORT]) == 1


def test_a_module_that_skips_itself_is_one_line(package, capsys):
    assert main(["leaks", f"{package / 'skipping.py'}::anything", *SHORT]) == 2
    assert re.fullmatch(r"gilprobe: error: [^\n]+raised Skipped: as a whole\n", capsys.readouterr().err)


def test_a_file_whose_name_means_another_file_is_one_line(package, tmp_path, capsys):
    other = tmp_path / "elsewhere" / "leaky_package"
    (other / "tests").mkdir(parents=True)
    for folder in (other, other / "tests"):
        (folder / "__init__.py").touch()
    (other / "tests" / "test_relative.py").write_text("def test_leaking(): pass\n")
    assert main(["leaks", f"{package / 'test_relative.py'}::test_leaking", *SHORT]) == 1
    capsys.readouterr()
    assert main(["leaks", f"{other / 'tests' / 'test_relative.py'}::test_leaking", *SHORT]) == 2
    assert "is leaky_package.tests.test_relative, which is " in capsys.readouterr().err
