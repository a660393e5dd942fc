"""The pytest plugin, in runs of pytest of their own."""

from __future__ import annotations

import re

import pytest

from gilprobe import pytest_plugin
from gilprobe.measuring.host import capabilities

pytestmark = pytest.mark.plain_python

pytest_plugins = ["pytester"]

TRACED = capabilities().tracer == "exact"
needs_tracer = pytest.mark.skipif(not TRACED, reason="the GIL can't be traced here")
untraced_only = pytest.mark.skipif(TRACED, reason="the GIL can be traced here")

HEAD = """
import ctypes, threading, time
import pytest

def keep(milliseconds):
    ctypes.PyDLL(None).usleep(milliseconds * 1000)

def compute(seconds):
    end = time.perf_counter() + seconds
    while time.perf_counter() < end: pass
"""


@pytest.fixture
def run(pytester):
    """Return a function that runs pytest on a file of tests in a process of its own."""

    def run(source, *arguments):
        pytester.makepyfile(HEAD + source)
        return pytester.runpytest_subprocess("--strict-markers", "-W", "error", *arguments)

    return run


def test_a_run_that_does_not_ask_imports_next_to_nothing(pytester):
    pytester.makepyfile("""
        import sys
        def test_it():
            ours = sorted(name for name in sys.modules if name.partition(".")[0] == "gilprobe")
            assert ours == ["gilprobe", "gilprobe.pytest_plugin"]
    """)
    pytester.runpytest_subprocess().assert_outcomes(passed=1)


def test_the_list_of_markers_names_what_there_is(pytester):
    text = pytester.runpytest_subprocess("--markers").stdout.str()
    assert {"releases_gil", "max_gil_hold", "no_leaks"} <= set(re.findall(r"@pytest.mark.(\w+)", text))


def test_a_number_of_rows_that_is_none_is_refused(pytester):
    ended = pytester.runpytest_subprocess("--gil-top", "-3")
    assert ended.ret == pytest.ExitCode.USAGE_ERROR
    assert "--gil-top: invalid number above 0 value: '-3'" in ended.stderr.str()


@pytest.mark.parametrize("text", ["0", "-3", "many", "", "1.5", "1" * 50])
def test_a_number_of_rows_is_above_zero(text):
    assert pytest_plugin._count("12") == 12
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        pytest_plugin._count(text)


LIMITS = """
@pytest.mark.releases_gil
def test_released(): time.sleep(1)

@pytest.mark.releases_gil(at_least=0.5)
def test_not_released(): keep(200)

@pytest.mark.releases_gil(0.5)
def test_released_by_one_thread_and_kept_by_another():
    thread = threading.Thread(target=keep, args=(200,), name="keeper")
    thread.start()
    thread.join()

@pytest.mark.max_gil_hold("100ms")
def test_kept_for_long(): keep(300)

@pytest.mark.max_gil_hold("1s")
def test_python_code_lets_go():
    before = threading.active_count()
    compute(3)
    assert threading.active_count() == before

@pytest.mark.releases_gil(0.1)
@pytest.mark.max_gil_hold("100ms")
def test_both(): keep(300)

@pytest.mark.releases_gil
def test_that_fails_by_itself(): assert keep(1) == 1

def test_without_a_marker(): keep(1)

def test_the_fixture(gil):
    with gil.trace(stacks=True) as t: keep(1)
    assert t.report().held_s > 0
"""


@pytest.mark.slow
@needs_tracer
def test_limits_are_kept_or_the_test_fails_and_says_who_broke_them(run):
    ended = run(LIMITS, "-rA", "--gil")  # with all tests traced the limits are the same
    ended.assert_outcomes(passed=4, failed=5)
    passed = set(re.findall(r"^PASSED \S*::(\w+)", ended.stdout.str(), re.M))
    assert passed == {
        "test_released",
        "test_python_code_lets_go",
        "test_without_a_marker",
        "test_the_fixture",
    }
    ended.stdout.re_match_lines_random([
        r"releases_gil: MainThread was .* 50.0% is required: it held it for .*, most in test_not_released \(",
        r"releases_gil: keeper was without the GIL for",
        r"max_gil_hold: MainThread held the GIL for [0-9.]+ ms at a time, at most 100 ms is allowed: keep \(",
        r"releases_gil: MainThread was without the GIL for [0-9.]+% .* at least 10.0% is required.*",
        r"E +assert None == 1",
    ])  # fmt: skip


@untraced_only
def test_without_a_gil_all_is_released(run):
    ended = run(LIMITS, "-rs")
    ended.assert_outcomes(passed=7, failed=1, skipped=1)
    ended.stdout.fnmatch_lines(["SKIPPED * the GIL can't be traced here: *"])


MISUSED = """
@pytest.mark.releases_gil("most")
def test_a(): pass

@pytest.mark.releases_gil(at_least=90)
def test_b(): pass

@pytest.mark.max_gil_hold
def test_c(): pass

@pytest.mark.max_gil_hold("soon")
def test_d(): pass

@pytest.mark.max_gil_hold("5ms", 3)
def test_e(): pass

@pytest.mark.no_leaks(rounds=3)
def test_f(): pass
"""


def test_a_marker_that_can_not_be_read_fails_its_test_with_the_rule(run):
    ended = run(MISUSED)
    ended.assert_outcomes(failed=6)
    assert "During handling" not in ended.stdout.str()
    assert ended.outlines.count("releases_gil: at_least must be from 0 to 1, got 90") == 1
    ended.stdout.fnmatch_lines([
        "releases_gil: at_least must be a number, got 'most'",
        "releases_gil: at_least must be from 0 to 1, got 90",
        "max_gil_hold must have a time such as \"5ms\", got None",
        "max_gil_hold must be a time above 0 such as 100ms, 0.5s or 2, got 'soon'",
        "a marker must be max_gil_hold(\"5ms\"), got also 3",
        "a marker must be no_leaks(warmup=..., repeats=..., calls=..., limit_s=...), got also rounds=3",
    ])  # fmt: skip


UNITTEST = """
import asyncio, unittest

class TestPlain(unittest.TestCase):
    def setUp(self):
        self.addCleanup(keep, 200)
        keep(200)

    def tearDown(self): keep(200)

    @pytest.mark.releases_gil(0.5)
    @pytest.mark.max_gil_hold("150ms")
    def test_released(self): time.sleep(0.2)

    @pytest.mark.releases_gil
    def test_kept(self): keep(200)

    @pytest.mark.max_gil_hold("150ms")
    def test_kept_for_long(self): keep(300)

    @pytest.mark.releases_gil
    def test_that_fails_by_itself(self): self.assertEqual(keep(1), 1)

    @pytest.mark.releases_gil
    @unittest.skip("not today")
    def test_skipped(self): keep(200)

    @pytest.mark.releases_gil(0.001)
    def test_finds_itself_as_it_is(self):
        assert "test_finds_itself_as_it_is" in type(self).__dict__
        assert self.id().endswith("TestPlain.test_finds_itself_as_it_is")
        time.sleep(0.01)

class TestSoon(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self): keep(200)
    async def asyncTearDown(self): keep(200)

    @pytest.mark.releases_gil(0.5)
    async def test_released(self): await asyncio.sleep(0.3)

    @pytest.mark.releases_gil(0.5)
    async def test_kept(self): keep(200)

class TestWithMethods:
    def setup_method(self): keep(200)
    def teardown_method(self): keep(200)

    @pytest.mark.releases_gil(0.5)
    def test_released(self): time.sleep(0.2)
"""


@needs_tracer
def test_what_unittest_and_pytest_set_up_for_a_test_is_not_judged(run):
    ended = run(UNITTEST, "-rA")
    ended.assert_outcomes(passed=4, failed=4, skipped=1)
    failed = set(re.findall(r"^FAILED \S*?::(\S+)", ended.stdout.str(), re.M))
    assert failed == {
        "TestPlain::test_kept",
        "TestPlain::test_kept_for_long",
        "TestPlain::test_that_fails_by_itself",
        "TestSoon::test_kept",
    }
    ended.stdout.re_match_lines_random([
        r"max_gil_hold: MainThread held the GIL for [0-9.]+ ms at a time, at most 150 ms is allowed.*",
        r">? +def test_that_fails_by_itself.*",
        r"E +AssertionError: None != 1",
    ])  # fmt: skip


@pytest.mark.timing
@needs_tracer
def test_the_overview_has_tests_of_unittest_without_their_setup(run):
    ended = run(UNITTEST, "--gil", "-v", "-k", "test_finds_itself")
    ended.assert_outcomes(passed=1, deselected=8)
    (milliseconds,) = re.findall(r"1 test traced for ([0-9.]+) ms: GIL held", ended.stdout.str())
    assert 10 <= float(milliseconds) < 200


WAITERS = """
@pytest.mark.parametrize("number", range(3))
def test_keeps_others_waiting(number):
    threads = [threading.Thread(target=keep, args=(50,)) for _ in range(2)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()

def test_does_not(): time.sleep(0.01)

@pytest.mark.skip
def test_is_not_called(): pass
"""


def check_overview(ended):
    ended.assert_outcomes(passed=4, skipped=1)
    ended.stdout.re_match_lines_random([
        r".*PASSED +hold [0-9.]+ m?s, wait [0-9.]+ m?s ",
        r"=+ GIL =+",
        r"4 tests traced for .*: GIL held \d+% of it, threads waited for .*",
        r"Tests in which threads waited for the GIL, and behind what \(the first 2 of [34]\)",
        r" *[0-9.]+ m?s +[0-9.]+ m?s  \S*::test_keeps_others_waiting.*  \[keep \(test_.*:\d+\)( in [^]]+)?\]",
        r"Tests that held the GIL longest \(the first 2 of 4\)",
    ])  # fmt: skip


@needs_tracer
def test_overview(run):
    check_overview(run(WAITERS, "--gil", "-v", "--gil-top=2"))


@needs_tracer
def test_overview_of_several_processes(run):
    pytest.importorskip("xdist")
    check_overview(run(WAITERS, "--gil", "-v", "--gil-top=2", "-n2"))


@untraced_only
def test_an_overview_of_nothing_says_why(run):
    ended = run(WAITERS, "--gil")
    ended.assert_outcomes(passed=4, skipped=1)
    ended.stdout.fnmatch_lines(["gilprobe: no test is traced: *"])
    assert "= GIL =" not in ended.stdout.str()


PARALLEL = """
@pytest.mark.releases_gil
def test_released(): time.sleep(1)

@pytest.mark.releases_gil
def test_not_released(): keep(100)
"""


@needs_tracer
def test_limits_hold_for_each_of_several_threads_that_run_a_test(run):
    pytest.importorskip("pytest_run_parallel")
    ended = run(PARALLEL, "--parallel-threads=3", "-W", "default")
    counts = ended.parseoutcomes()
    assert (counts["passed"], counts.get("failed", 0) + counts.get("errors", 0)) == (1, 1), counts
    ended.stdout.fnmatch_lines(["releases_gil: * was without the GIL for *"])
