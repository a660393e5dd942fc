"""A timeline shows a count as it changes, and its thread leaves no trace: in threads, forks and exits."""

from __future__ import annotations

import itertools
import math
import sys
import threading
import time

import pytest

from gilprobe import refs
from gilprobe.errors import InvalidTypeError, InvalidValueError, TracerStateError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="counts are sampled on Linux only")


def check(seen):
    """Check what is true of every timeline of a mortal object."""
    assert seen.samples >= 2
    assert sum(seen.histogram.values()) == seen.samples
    assert seen.min <= seen.first <= seen.max
    assert seen.min <= seen.last <= seen.max
    assert seen.immortal_samples == 0
    assert len(seen.changes) + seen.dropped_changes == seen.change_count
    times = [change.at_ns for change in seen.changes]
    assert times == sorted(times)
    assert not times or 0 <= times[0] <= times[-1] <= seen.elapsed_ns * 1.01
    for one, other in itertools.pairwise([seen.first, *(change.count for change in seen.changes)]):
        assert one != other
    if not seen.dropped_changes and seen.changes:
        assert seen.changes[-1].count == seen.last


@pytest.mark.parametrize("hz", [200, 1e6])
def test_a_count_that_nobody_changes_is_one_number(hz):
    thing = object()
    seen = refs.timeline(thing, 0.02, hz)
    check(seen)
    assert (seen.first, seen.last, seen.min, seen.max) == (1, 1, 1, 1)
    assert seen.histogram == {1: seen.samples}
    assert (seen.changes, seen.change_count) == ((), 0)
    assert seen.elapsed_s >= 0.02
    assert seen.hz == hz


@pytest.mark.timing
def test_the_block_is_seen_from_its_first_line_to_its_last():
    thing = object()
    with refs.timeline(thing, hz=1000) as sampling:
        kept = [thing] * 7
    seen = sampling.timeline
    check(seen)
    assert (seen.first, seen.last) == (1, 8)
    assert seen.changes[-1].count == 8
    assert seen.changes[-1].at_s <= seen.elapsed_s * 1.01
    del kept
    assert sampling.timeline is seen


def test_a_count_is_seen_to_change_while_threads_change_it():
    thing = object()
    end = threading.Event()

    def work():
        kept = []
        while not end.is_set():
            kept.append(thing)
            time.sleep(0.001)

    thread = threading.Thread(target=work)
    with refs.timeline(thing, hz=20_000, keep=3) as sampling:
        thread.start()
        watch = refs.watch(thing)
        while watch.count < 30:
            time.sleep(0.001)
        end.set()
        thread.join()
    seen = sampling.timeline
    check(seen)
    assert len(seen.changes) <= 3
    assert seen.max <= 100_000


def test_no_reference_is_left():
    thing = object()
    watch = refs.watch(thing)
    sampling = refs.timeline(thing, hz=1000)
    with sampling:
        pass
    del sampling
    refs.timeline(thing, 0)
    assert watch.count == 1


@pytest.mark.skipif(sys.version_info < (3, 12), reason="nothing is immortal")
def test_an_immortal_object_has_no_counts():
    seen = refs.timeline(None, 0.002)
    assert seen.immortal_samples == seen.samples >= 2
    assert (seen.first, seen.last, seen.min, seen.max, seen.histogram) == (None, None, None, None, {})


def test_a_sampling_is_read_after_its_end_and_started_once():
    sampling = refs.timeline(object(), hz=1000)
    sampling.stop()
    with pytest.raises(TracerStateError, match="must end before"):
        sampling.timeline  # noqa: B018
    with sampling:
        with pytest.raises(TracerStateError, match="must end before"):
            sampling.timeline  # noqa: B018
        with pytest.raises(TracerStateError, match="only once"):
            sampling.__enter__()
    sampling.stop()
    check(sampling.timeline)
    with pytest.raises(TracerStateError, match="only once"), sampling:
        pass


@pytest.mark.parametrize("name", ["hz", "duration_s", "keep"])
@pytest.mark.parametrize("wrong", ["1", True, [], b"", 1j])
def test_numbers_must_be_numbers(name, wrong):
    with pytest.raises(InvalidTypeError, match=f"{name} must be an? (number|int), got "):
        refs.timeline(object(), **{name: wrong})


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("hz", 0),
        ("hz", -5),
        ("hz", 1_000_001),
        ("hz", math.nan),
        ("duration_s", -0.1),
        ("duration_s", math.inf),
        ("duration_s", 1e9),
        ("keep", -1),
        ("keep", 1 << 25),
    ],
)
def test_numbers_have_ranges(name, wrong):
    with pytest.raises(InvalidValueError, match=rf"{name} must be >= [\d.]+ and <= [\de+.]+, got {wrong!r}"):
        refs.timeline(object(), **{name: wrong})


def test_many_at_once():
    things = [object() for _ in range(4)]
    samplings = [refs.timeline(thing, hz=500) for thing in things]
    for sampling in samplings:
        sampling.__enter__()
    for sampling in samplings[::-1]:
        sampling.stop()
    for sampling in samplings:
        check(sampling.timeline)


def test_ctrl_c_ends_a_long_one(child):
    ended = child(
        """
        import os, signal, threading
        from gilprobe import refs
        thing = object()
        watch = refs.watch(thing)
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
        try:
            refs.timeline(thing, 3600, 1e5)
        except KeyboardInterrupt:
            pass  # its traceback still refers to the object
        else:
            raise SystemExit("not ended")
        print("ended", watch.count)
        """
    )
    assert (ended.status, ended.stdout) == (0, "ended 1\n"), ended.stderr


def test_a_program_may_end_while_it_is_sampled(child):
    ended = child(
        """
        from gilprobe import refs
        sampling = refs.timeline([1, 2, 3], hz=1e6)
        sampling.__enter__()
        import builtins
        builtins.kept = sampling
        print("end")
        """
    )
    assert (ended.status, ended.stdout, ended.stderr) == (0, "end\n", "")


def test_forks_find_no_second_thread_and_a_child_can_stop(child):
    ended = child(
        """
        import os
        from gilprobe import refs
        thing = object()
        with refs.timeline(thing, hz=1000) as sampling:
            for _ in range(3):
                pid = os.fork()
                if pid == 0:
                    sampling.stop()
                    right = sampling.timeline.min == 1 and refs.timeline(thing, 0.01).max == 2
                    os._exit(0 if right else 1)
                assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert sampling.timeline.samples >= 2
        print("done")
        """,
        options=("-W", "error"),
    )
    assert (ended.status, ended.stdout, ended.stderr) == (0, "done\n", "")
