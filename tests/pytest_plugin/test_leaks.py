"""Hunts for leaks in tests: what a test leaves is told, what its fixtures record of many runs is not."""

from __future__ import annotations

import dataclasses
import re

import pytest

from gilprobe.model.leak_report import LeakFinding, LeakReport
from gilprobe.pytest_plugin import leaking

pytestmark = [
    pytest.mark.plain_python,
    pytest.mark.timeout(900),  # a run hunts many times: up to half a minute, and longer beside others
]

pytest_plugins = ["pytester"]

HEAD = """
import asyncio, logging, os, unittest, warnings
import pytest

pytestmark = pytest.mark.no_leaks
kept = []

def keep(): kept.append({"key": [1]})
"""


@pytest.fixture
def run(pytester):
    """Return a function that runs pytest on a file of tests, all marked, in a process of its own."""

    def run(source, *arguments):
        pytester.makepyfile(HEAD + source)
        return pytester.runpytest_subprocess("--strict-markers", *arguments)

    return run


def names(text, word):
    return set(re.findall(rf"^{word} \S*?::(\S+)", text, re.M))


LEAKS = """
@pytest.fixture
def number(): return 4711

def test_clean(number): assert [number] == [4711]

def test_leaking(): keep()

def test_that_passes_once(once=[]):
    once.append(None)
    assert len(once) == 1

def test_that_skips_later(once=[]):
    once.append(None)
    if len(once) > 1: pytest.skip("not today")

def test_that_fails_some_time(times=[]):
    times.append(None)
    assert len(times) < 60

def test_that_fails(): assert kept is None

class TestOfUnittest(unittest.TestCase):
    def test_clean(self): pass
    def test_leaking(self): keep()
    def test_that_passes_once(self, once=[]):
        once.append(None)
        self.assertEqual(len(once), 1)
    def test_with_subtests(self):
        for number in range(3):
            with self.subTest(number=number): pass
    @unittest.expectedFailure
    def test_that_is_expected_to_fail(self): self.fail()

class TestSoon(unittest.IsolatedAsyncioTestCase):
    async def test_clean(self): await asyncio.sleep(0)
    async def test_leaking(self):
        await asyncio.sleep(0)
        keep()
"""


@pytest.mark.slow
def test_what_runs_leave_behind_fails_the_test_and_is_named(run):
    ended = run(LEAKS, "-rA")
    text = ended.stdout.str()
    assert names(text, "FAILED") == {
        "test_leaking",
        "test_that_passes_once",
        "test_that_skips_later",
        "test_that_fails_some_time",
        "test_that_fails",
        "TestOfUnittest::test_leaking",
        "TestOfUnittest::test_that_passes_once",
        "TestSoon::test_leaking",
    }
    assert len(re.findall(r"^no_leaks: dict objects: \+1 a run; ", text, re.M)) == 3
    ended.stdout.re_match_lines_random([
        r"no_leaks: the test passed, but a repeated run raised AssertionError: .*",
        r"no_leaks: the test passed, but a repeated run raised Skipped: not today",
        r"no_leaks: the test passed, but \d+ of \d+ repeated runs raised AssertionError: .*",
    ])  # fmt: skip
    assert "no_leaks: the test passed, but a repeated run raised AssertionError: 2 != 1" in text


FIXTURES = """
class Recorder:
    def __init__(self): self.calls = []

@pytest.fixture
def recorder(): return Recorder()

@pytest.fixture(scope="module")
def shared(): return Recorder()

@pytest.fixture
def narrow(shared): return shared

@pytest.fixture
def leaking(): kept.append([1])

@pytest.fixture
def needs_a_call(recorder):
    yield recorder
    assert recorder.calls

def test_monkeypatch(monkeypatch): monkeypatch.setenv("GILPROBE_UNUSED", "x")
def test_caplog(caplog): logging.getLogger("any").warning("hello")
def test_capsys(capsys): print("hello")
def test_capfd(capfd): os.write(1, b"hello")
def test_recwarn(recwarn): warnings.warn("hello")
def test_request(request): request.addfinalizer(lambda: None)
def test_node(request): request.node.add_marker("no_leaks")
def test_properties(record_property): record_property("name", [1])
def test_tmp_path(tmp_path): (tmp_path / "file").touch(exist_ok=False)
def test_recorder(recorder): recorder.calls.append([1])
def test_setup_that_leaks(leaking): pass
def test_wider(narrow): pass
def test_asked_for(request): request.getfixturevalue("narrow")
def test_that_satisfies_its_fixture(needs_a_call): needs_a_call.calls.append([1])
def test_without_a_fixture():
    logging.getLogger("any").warning("hello")
    print("hello")
    warnings.warn("hello")

class TestWithMethods:
    def setup_method(self):
        kept.append([2])
        self.ready = True
    def test_own_instance(self):
        assert vars(self) == {"ready": True}
        self.used = True

class TestOfUnittest(unittest.TestCase):
    def setUp(self): kept.append([3])
    def test_it(self): pass

def test_that_leaks_besides(leaking): keep()
def test_what_outlives_it(shared): shared.calls.append([1])
"""


@pytest.mark.slow
@pytest.mark.skipif(
    pytest.version_tuple < (8, 2), reason="this pytest keeps something for each use of a wider fixture"
)
def test_what_fixtures_record_and_leave_is_not_the_tests(run):
    ended = run(FIXTURES, "-rA")
    assert names(ended.stdout.str(), "FAILED") == {"test_that_leaks_besides", "test_what_outlives_it"}
    ended.assert_outcomes(passed=17, failed=2, warnings=1)
    ended.stdout.re_match_lines_random([r"no_leaks: dict objects: \+1 a run; .*"])


def test_further_runs_leave_no_folders_and_no_output(run, pytester):
    base = pytester.path / "base"
    ended = run(
        "def test_tmp_path(tmp_path): print('hello', tmp_path)\n",
        f"--basetemp={base}",
        "-rP",
        "-o",
        "log_cli=1",
    )
    ended.assert_outcomes(passed=1)
    assert ended.stdout.str().count("hello") == 1
    assert len([path for path in base.iterdir() if path.is_dir() and not path.is_symlink()]) <= 2


ASYNCHRONOUS = """
async def test_clean(): await asyncio.sleep(0)
async def test_leaking(): keep()
"""
CALLER = """
import asyncio, inspect
def pytest_pyfunc_call(pyfuncitem):
    if inspect.iscoroutinefunction(pyfuncitem.obj):
        asyncio.run(pyfuncitem.obj())
        return True
"""


@pytest.mark.slow
def test_tests_that_a_plugin_calls_are_run_again_by_it(run, pytester):
    pytester.makeconftest(CALLER)
    ended = run(ASYNCHRONOUS, "-rA")
    ended.assert_outcomes(passed=1, failed=1)
    assert names(ended.stdout.str(), "FAILED") == {"test_leaking"}


def test_options_of_the_marker_that_can_not_be_used_are_told(run):
    ended = run("@pytest.mark.no_leaks(repeats=2)\ndef test_it(): pass\n")
    ended.assert_outcomes(failed=1)
    ended.stdout.fnmatch_lines(["no_leaks: repeats must be between 3 and 1000000000, got 2"])


WHOLE_RUN = """
pytestmark = []

@pytest.fixture
def leaking(): kept.append([1])

def test_clean(): pass
def test_leaking(): keep()
def test_setup_that_leaks(leaking): pass
def test_that_passes_once(once=[]):
    once.append(None)
    assert len(once) == 1
def test_that_fails(): assert kept is None

@pytest.mark.skip
def test_skipped(): pass

@pytest.mark.xfail
def test_that_was_to_fail(): pass

class TestOfUnittest(unittest.TestCase):
    def test_leaking(self): keep()
    def test_with_subtests(self):
        with self.subTest("one"): pass
"""


def check_whole_run(ended):
    ended.assert_outcomes(passed=6, failed=1, skipped=1, xpassed=1)
    ended.stdout.re_match_lines([
        r"=+ leaks =+",
        r"6 tests judged by \d+ runs in .*: 2 leak, 1 not judged, 2 did not pass",
        r"Not judged",
        r"the test passed, but a repeated run raised AssertionError: .*",
        r"    \S+::test_that_passes_once",
        r"Left by fixtures, and not counted, a run",
        r"\S+::test_setup_that_leaks",
        r" +\+1  list objects.*",
    ])  # fmt: skip
    text = ended.stdout.str()
    leaks = text.partition("Leaks, a run\n")[2].partition("\n\n")[0]
    assert set(re.findall(r"^\S+?::(\S+)$", leaks, re.M)) == {
        "test_leaking",
        "TestOfUnittest::test_leaking",
    }
    assert len(re.findall(r"^ +\+1  dict objects", leaks, re.M)) == 2


@pytest.mark.slow
def test_a_whole_run_keeps_its_outcomes_and_tells_the_leaks_at_its_end(run):
    check_whole_run(run(WHOLE_RUN, "--leaks"))


def test_a_whole_run_of_several_processes(run):
    pytest.importorskip("xdist")
    check_whole_run(run(WHOLE_RUN, "--leaks", "-n2"))


def test_a_run_in_which_nothing_leaks_says_so(run):
    ended = run("def test_clean(): pass\n", "--leaks")
    ended.assert_outcomes(passed=1)
    ended.stdout.re_match_lines([r"1 test judged by \d+ runs in .*: none leaks$"])


def test_hunts_and_traces_do_not_meet(run):
    ended = run("@pytest.mark.max_gil_hold('10s')\ndef test_clean(): pass\n", "--leaks", "--gil")
    ended.assert_outcomes(passed=1)
    ended.stdout.re_match_lines_random([r"1 test judged by .*: none leaks", r"=+ (GIL|leaks) =+"])


SPOILT = """
@pytest.fixture
def needs_a_call():
    calls = []
    yield calls
    assert calls

def test_that_calls_once(needs_a_call, once=[]):
    once.append(None)
    assert len(once) == 1
    needs_a_call.append(1)

def test_next(needs_a_call): needs_a_call.append(1)
"""


def test_what_is_torn_down_behind_a_run_that_failed_does_not_change_the_outcome(run):
    ended = run("pytestmark = []\n" + SPOILT, "--leaks")
    ended.assert_outcomes(passed=2)
    assert "1 not judged" in ended.stdout.str()


def finding(kind, per_call, low, high):
    return LeakFinding(kind, "what", per_call, low, high, every_repetition=True, evidence=("numbers",))


@pytest.mark.parametrize(
    ("whole", "fixtures", "own"),
    [
        (("objects", 11, 11, 11), ("objects", 10, 10, 10), 1),
        (("objects", 10, 9.9, 10.1), ("objects", 10, 10, 10), None),
        (("reference", -3, -3, -3), ("reference", -1, -1, -1), -2),
        (("reference", -1, -1, -1), ("reference", -1, -1, -1), None),
        (("blocks", 4, 4, 4), ("blocks", 2, 2, 2), 2),
        (("blocks", 2.5, 2.4, 2.6), ("blocks", 2, 2, 2), None),
        (("heap", 50, 49, 51), ("heap", 48, 47, 49), None),
    ],
)
def test_what_fixtures_leave_by_themselves_is_taken_out(whole, fixtures, own):
    found = leaking._own_part(finding(*whole), finding(*fixtures))
    assert (found and found.per_call) == own


@pytest.mark.parametrize(
    ("kind", "per_call", "uncertain", "left"),
    [
        ("blocks", 0.1, "time was up", False),
        ("heap", 10, "time was up", False),
        ("blocks", 0.1, None, True),
        ("blocks", 1, "time was up", True),
        ("heap", 64, "time was up", True),
        ("objects", 0.1, "time was up", True),
        ("descriptors", 0.1, "time was up", True),
    ],
)
def test_memory_that_few_runs_left_is_a_doubt_if_the_time_was_up(
    environment, kind, per_call, uncertain, left
):
    one = finding(kind, per_call, per_call, per_call)
    found = LeakReport("f", True, (one,), 10, 10, 1, 0, "", 0.5, environment, (), uncertain)
    certain = leaking._certain(found)
    assert certain.findings == ((one,) if left else ())
    assert certain.leaking == left
    assert leaking._doubts(certain) == ((uncertain,) if uncertain else ())


def test_what_one_of_two_hunts_without_the_test_shows_is_the_fixtures(environment):
    """The other may have taken it for noise, and have been as unsure about how much it is."""

    def hunt(*findings):
        return LeakReport("f", True, findings, 10, 10, 1, 0, "", 0.5, environment, ())

    first = hunt(finding("objects", 1, 1, 1))
    second = hunt(finding("objects", 2, 2, 2), dataclasses.replace(finding("heap", 8, 7, 9), what="heap"))
    both = leaking._both(first, second)
    assert {one.what: one.per_call for one in both.findings} == {"what": 2, "heap": 8}
    assert (both.calls, both.elapsed_s) == (20, 1.0)
    assert leaking._both(first, None) == first
    assert leaking._compared(second, both).findings == ()
