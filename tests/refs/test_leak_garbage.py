"""What calls leave in reference cycles is told apart from what they leak."""

from __future__ import annotations

import gc
import itertools
import subprocess
import sys
import threading

import pytest

from gilprobe.refs import LeakReport, find_leaks
from gilprobe.render.text.leaks_text import render_leaks

pytestmark = pytest.mark.lengthy


class Node:
    """Refers to itself."""

    def __init__(self):
        self.itself = self


NODE = f"{__name__}.Node"
kept = []


def leaves_cycles():
    Node()
    Node()


def leaves_some(numbers=itertools.count()):  # noqa: B008
    if next(numbers) % 4 == 0:
        Node()


def keeps():
    kept.append(Node())


def collects():
    Node()
    gc.collect()


def left_once(first=[1]):  # noqa: B006
    if first:
        first.pop()
        Node()


@pytest.fixture(autouse=True)
def _kept_no_longer():
    yield
    kept.clear()
    gc.collect()


def test_cycles_are_counted_and_named_and_are_no_leak():
    report = find_leaks(leaves_cycles, repeats=5, calls=20)
    assert not report.leaking
    assert report.garbage.per_call == pytest.approx(
        2, abs=2.1
    )  # since 3.13 an instance has its own dict inside
    assert report.garbage.per_call in (2, 4)
    assert NODE in report.garbage.types


def test_cycles_of_some_calls_alone_are_counted():
    garbage = find_leaks(leaves_some, repeats=5, calls=40).garbage
    assert 0.25 <= garbage.per_call <= 0.5


@pytest.mark.parametrize("function", [keeps, collects, left_once, dict])
def test_what_is_kept_or_freed_is_no_garbage(function):
    assert find_leaks(function, repeats=5, calls=20).garbage is None


@pytest.mark.parametrize("enabled", [True, False])
def test_the_collector_goes_on_as_before(enabled):
    (gc.enable if enabled else gc.disable)()
    try:
        assert find_leaks(leaves_cycles, repeats=3, calls=5).garbage is not None
        assert gc.isenabled() == enabled
    finally:
        gc.enable()


def test_beside_other_threads_nothing_is_said_of_garbage():
    end = threading.Event()
    thread = threading.Thread(target=end.wait)
    thread.start()
    try:
        assert find_leaks(leaves_cycles, repeats=3, calls=5).garbage is None
    finally:
        end.set()
        thread.join()


# A thread as a library for numbers has some: it waits, and never runs Python code.
WAITS = """
import ctypes, os, time
from gilprobe.refs import find_leaks
libc = ctypes.CDLL(None)
assert libc.pthread_create(ctypes.byref(ctypes.c_void_p()), None, libc.pause, None) == 0
(other,) = set(os.listdir("/proc/self/task")) - {str(os.getpid())}
while "S (sleeping)" not in open(f"/proc/self/task/{other}/status").read():
    time.sleep(0.001)
def leaves_cycle():
    own = []
    own.append(own)
print(find_leaks(leaves_cycle, repeats=3, calls=5).garbage)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="threads that run are not told from others")
def test_threads_of_libraries_that_only_wait_do_not_matter():
    ran = subprocess.run(
        [sys.executable, "-c", WAITS], capture_output=True, text=True, timeout=120, check=False
    )
    assert (ran.stdout, ran.stderr) == ("Garbage(per_call=1.0, types=('list',))\n", "")


def test_garbage_is_shown_and_saved(tmp_path):
    report = find_leaks(leaves_cycles, repeats=3, calls=5)
    text = render_leaks(report)
    assert (
        f"each call leaves {report.garbage.per_call:.3g} objects in reference cycles, freed only by" in text
    )
    assert NODE in text
    report.save(tmp_path / "report.json")
    assert LeakReport.load(tmp_path / "report.json") == report


def test_a_report_of_an_older_version_loads_without_garbage():
    document = find_leaks(dict, repeats=3, calls=5).to_dict()
    assert "garbage" not in document
    assert LeakReport.from_dict(document).garbage is None
