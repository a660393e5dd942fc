"""`gilprobe leaks` as a user meets it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import stat
import subprocess
import sys
import time

import processes
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
    async def test_clean(self): assert self.ready
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
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
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
        ("missing.py::leaks", "FUNCTION must be in an existing file, got 'missing.py'"),
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
        (("--json", "/"), "--json must be a file, got the directory"),
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
        ("needs_argument", "function must accept its arguments, leaky_app.needs_argument does not: "),
        ("Holder.unbound", "function must accept its arguments, leaky_app.Holder.unbound does not: "),
        ("ends", r"FUNCTION must let the hunt go on, 'leaky_app:ends' ended it with BaseException: at\nonce"),
        ("cancelled", "'leaky_app:cancelled' ended it with CancelledError: "),
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
        ("TestSoon::test_clean", 0),
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
        ("TestPlain::test_with_fixture", "TestPlain.test_with_fixture does not: "),
        ("TestPlain::missing", "has no 'TestPlain::missing'"),
        ("Missing::test_it", "has no 'Missing::test_it'"),
        ("TestWithSetup::test_it", "'TestWithSetup' has a setup_method; use pytest --leaks"),
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
    assert "has the name of " in capsys.readouterr().err


HARMFUL = """
import atexit
import ctypes
import gc
import os
import signal
import sys
import time

if "CRASH_AT_EXIT" in os.environ:
    atexit.register(os.kill, os.getpid(), signal.SIGSEGV)

give_back = ctypes.pythonapi.Py_DecRef
give_back.argtypes, give_back.restype = [ctypes.py_object], None
to_stdout = ctypes.CDLL(None).puts
kept = []


class Holder:
    pass


over = []
atexit.register(over.append, True)


class InUse:
    def __del__(self):
        if not over:
            os.kill(os.getpid(), signal.SIGABRT)


holder = Holder()
holder.inner = Holder()
holder.inner.thing = InUse()


def inner():
    return holder.inner


def steals():
    give_back(inner().thing)


def breaks_the_hunt():
    gc.collect = no_collect


def no_collect(*args):
    raise ValueError("as always")


def exits():
    os._exit(0)


def exits_later(left=iter(range(50))):
    if next(left, None) is None:
        os._exit(7)


def crashes():
    os.kill(os.getpid(), signal.SIGSEGV)


def is_killed():
    os.kill(os.getpid(), signal.SIGKILL)


def leaks():
    kept.append([])


def clean():
    pass


def prints():
    print("by Python")
    to_stdout(b"by C")


def closes_all_files():
    os.closerange(3, 256)


def reads():
    kept.append(sys.stdin.readline())
    if len(kept) == 1:
        print(kept[0], end="")


def lasts(begun=time.monotonic()):
    if time.monotonic() < begun + 2:
        time.sleep(0.2)


def lasts_and_ends(begun=time.monotonic()):
    if time.monotonic() > begun + 2:
        raise BaseException("as always")
    time.sleep(0.2)


def waits():
    path = os.environ["WAITS"]
    with open(path + ".new", "w") as file:
        file.write(str(os.getpid()))
    os.replace(path + ".new", path)
    time.sleep(600)


def waits_in_c():
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    waits()
"""
on_linux = pytest.mark.skipif(
    sys.platform != "linux", reason="elsewhere the hunt is in the command's process"
)


@pytest.fixture
def harmful(tmp_path):
    """Return a function that hunts in a function which harms its process, by the command itself."""
    (tmp_path / "harmful.py").write_text(HARMFUL)

    def hunt(name, *options, **settings):
        command = [sys.executable, "-P", "-m", "gilprobe", "leaks", f"harmful.py::{name}", *SHORT, *options]
        env = {**os.environ, **settings.pop("env", {})}
        piped = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, cwd=tmp_path, env=env, **(piped | settings))

    return hunt


def ended(process, given=None):
    """Return a process's exit status, and what it has written."""
    out, err = process.communicate(given, timeout=120)
    return process.returncode, out, err


@on_linux
@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("exits", "ended its process with status 0"),
        ("exits_later", "ended its process with status 7"),
        ("crashes", "was ended by SIGSEGV"),
        ("is_killed", r"was ended by SIGKILL \(out of memory\?\)"),
    ],
)
def test_a_function_that_ends_its_process_is_told_in_one_line_with_status_two(harmful, name, how):
    status, out, err = ended(harmful(name))
    assert (status, out) == (2, "")
    rule = f"gilprobe: error: FUNCTION must let the hunt go on, 'harmful.py::{name}' {how}"
    assert re.fullmatch(rf"{rule}[^\n]*\n", err)


@on_linux
def test_a_reference_that_is_stolen_unwatched_is_found_in_a_second_try(harmful):
    status, out, _ = ended(harmful("steals"))
    assert status == 1
    assert re.search(r"references to a harmful.InUse \(attribute `thing` of a Holder object\) +-1 ", out)
    assert re.search(r"- a first try was ended by SIGABRT .*: this one kept all objects alive", out)


@on_linux
def test_an_error_that_is_not_the_functions_is_tried_again_and_told_in_one_line(harmful):
    status, out, err = ended(harmful("breaks_the_hunt"))
    assert (status, out) == (2, "")
    error = "ended by ValueError: as always"
    assert re.fullmatch(
        rf"gilprobe: error: FUNCTION must[^\n]* {error}[^\n]*second try[^\n]* {error}.*\n", err
    )


@on_linux
@pytest.mark.parametrize(("name", "status"), [("leaks", 1), ("clean", 2)])
def test_a_crash_after_the_verdict_is_told_and_the_report_is_kept(harmful, name, status):
    found, out, err = ended(harmful(name, env={"CRASH_AT_EXIT": "1"}))
    assert found == status
    assert out.startswith(f"harmful.{name}: {'leaks' if status == 1 else 'no leak found'}\n")
    assert err == (
        f"gilprobe: 'harmful.py::{name}' was judged, but its process was ended by SIGSEGV as it ended\n"
    )


@on_linux
def test_what_a_function_prints_comes_once_and_before_the_report(harmful):
    status, out, err = ended(harmful("prints", "--calls", "1"))
    printed, report = out.split("harmful.prints: no leak found\n")
    calls = int(re.match(r"(\d+) calls", report)[1])
    # letters, not lines: buffers that are full are written in the middle of a line
    assert printed.count("P") == printed.count("C") == calls
    assert (status, err) == (0, "")


@on_linux
def test_a_function_that_closes_all_files_is_judged(harmful):
    status, out, err = ended(harmful("closes_all_files"))
    assert (status, err) == (0, "")
    assert "no leak found" in out


@on_linux
def test_a_function_can_read_standard_input(harmful):
    _, out, _ = ended(harmful("reads", stdin=subprocess.PIPE), "the first line\nthe second\n")
    assert out.startswith("the first line\n")


@pytest.fixture
def waiting(harmful, tmp_path):
    """Return a function that begins a hunt whose function waits; with the number of the waiting process."""

    def begin(name, **settings):
        path = tmp_path / "waits"
        process = harmful(name, env={"WAITS": str(path)}, **settings)
        while not path.exists():
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        return process, int(path.read_text())

    return begin


def wait_for_end(pid):
    """Wait until a process has ended."""
    deadline = time.monotonic() + 120
    while processes.alive(pid):
        assert time.monotonic() < deadline
        time.sleep(0.01)


@on_linux
@pytest.mark.parametrize("name", ["waits", "waits_in_c"])
@pytest.mark.parametrize("at_the_terminal", [True, False])
def test_an_interrupt_ends_both_processes_and_is_told_once(waiting, name, at_the_terminal):
    process, child = waiting(name, start_new_session=True)
    (os.killpg if at_the_terminal else os.kill)(process.pid, signal.SIGINT)
    assert ended(process) == (130, "", "gilprobe: interrupted\n")
    wait_for_end(child)


@on_linux
def test_the_hunt_ends_with_the_command_however_that_is_killed(waiting):
    process, child = waiting("waits")
    process.kill()
    process.communicate(timeout=120)
    wait_for_end(child)


@on_linux
def test_how_far_the_hunt_was_is_told_when_its_process_ends(harmful):
    _, _, err = ended(harmful("exits"))
    assert err.endswith("status 0 in its first call\n")
    _, _, err = ended(harmful("exits_later"))
    calls, phase = re.search(r"after about (\d+) calls \((.+)\)\n$", err).groups()
    assert 0 < int(calls) <= 50
    assert phase


@pytest.mark.parametrize("limit", ["0", "-1", "nan", "inf"])
def test_a_limit_of_time_that_is_none_is_one_line_and_status_two(app, capsys, limit):
    assert main(["leaks", "leaky_app:clean", "--limit", limit]) == 2
    message = (
        rf"gilprobe: error: limit_s must be above 0 and at most 1000000000, got {re.escape(limit)}[^\n]*\n"
    )
    assert re.fullmatch(message, capsys.readouterr().err)


@on_linux
def test_a_terminal_shows_how_far_the_hunt_is_and_nothing_of_that_in_the_end(harmful):
    written, seen = read_terminal(
        lambda terminal: harmful("lasts", "--calls", "1", stderr=terminal, env={"TERM": "xterm"})
    )
    assert re.search(r"\r\S.*, \d+ calls?, \d[\d.]* s\x1b\[K\r", written)
    assert seen == ""


@on_linux
def test_an_error_on_a_terminal_stands_alone_on_its_line(harmful):
    _, seen = read_terminal(
        lambda terminal: harmful("lasts_and_ends", stderr=terminal, env={"TERM": "xterm"})
    )
    assert re.fullmatch(r"gilprobe: error: FUNCTION must let the hunt go on[^\n]*\n", seen)


@on_linux
def test_a_terminal_that_can_not_erase_shows_no_line(harmful):
    written, _ = read_terminal(lambda terminal: harmful("lasts", stderr=terminal, env={"TERM": "dumb"}))
    assert written == ""


def read_terminal(begin):
    """Return what a command writes to a terminal, and what can be seen there in the end."""
    ours, theirs = os.openpty()
    process = begin(theirs)
    os.close(theirs)
    pieces = []
    with contextlib.suppress(OSError):  # EIO: nobody has the other end any more
        while piece := os.read(ours, 4096):
            pieces.append(piece)
    os.close(ours)
    ended(process)
    written = b"".join(pieces).decode().replace("\r\n", "\n")
    return written, seen_of(written)


def seen_of(written):
    """Return what a terminal shows in the end that knows line ends and how to erase to the end of a line."""
    line, column, lines = "", 0, []
    for token in re.findall(r"\x1b\[K|\r|\n|[^\x1b\r\n]+", written):
        if token == "\x1b[K":
            line = line[:column]
        elif token in "\r\n":
            column = 0
            if token == "\n":
                lines.append(line + "\n")
                line = ""
        else:
            line = line[:column] + token + line[column + len(token) :]
            column += len(token)
    return "".join(lines) + line
