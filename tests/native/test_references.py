"""The binding of reference counts: what it reads, and that it reads nothing that is not there."""

from __future__ import annotations

import sys
import sysconfig
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gilprobe._native import references
from gilprobe._native.references import Watch, counts_of_each, counts_of_items

FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
IMMORTALS = sys.version_info >= (3, 12)


def test_a_watch_counts_each_reference_but_its_own():
    thing = object()
    watch = Watch(thing)
    assert watch.count == 1
    for extra in range(1, 300):
        many = [thing] * extra
        assert watch.count == 1 + extra
    del many
    assert watch.count == 1
    second = Watch(thing)
    assert watch.count == second.count == 2


def test_the_short_way_to_the_count_and_the_long_one_agree():
    thing = object()
    watch = Watch(thing)
    name = "".join(["co", "unt"])  # not the interned name, which takes the short way
    assert getattr(watch, name) == watch.count == Watch.count.__get__(watch) == 1


def test_a_watch_has_no_other_attributes():
    watch = Watch(object())
    with pytest.raises(AttributeError):
        watch.nothing  # noqa: B018
    with pytest.raises(AttributeError):
        watch.count = 3
    with pytest.raises(TypeError):
        type("Sub", (Watch,), {})
    with pytest.raises(TypeError):
        Watch()


@given(st.lists(st.integers(min_value=0, max_value=200), max_size=60))
def test_counts_of_items_are_those_of_watches(extras):
    things = [object() for _ in extras]
    more = [[thing] * extra for thing, extra in zip(things, extras, strict=True)]
    expected = [1 + extra for extra in extras]
    assert counts_of_items(things).tolist() == expected
    assert [Watch(thing).count - 1 for thing in things] == expected  # but for the loop's variable
    assert counts_of_items(tuple(things)).tolist() == [1 + one for one in expected]
    assert counts_of_each(iter(things)).tolist() == expected
    del more


def test_more_items_than_are_fetched_ahead_and_than_a_piece():
    things = [object() for _ in range(10_001)]
    again = things[5000:]
    found = counts_of_items(things)
    assert (found.format, found.itemsize, found.nbytes) == ("i", 4, 4 * len(things))
    assert found.tolist() == [1] * 5000 + [2] * 5001
    assert counts_of_each(iter(things)) == found
    assert counts_of_each(object() for _ in range(9000)).tolist() == [0] * 9000
    del again


def test_no_items_no_counts():
    assert counts_of_items([]).tolist() == counts_of_items(()).tolist() == counts_of_each([]).tolist() == []


@pytest.mark.skipif(not IMMORTALS, reason="3.11 counts all objects")
def test_immortal_objects_have_a_mark_for_a_count():
    for thing in (None, True, int, ()):
        watch = Watch(thing)
        assert watch.immortal
        assert not watch.deferred
        assert watch.count is None
        assert watch.delta() == 0
        assert counts_of_items([thing]).tolist() == [references.IMMORTAL] == [-1]
        assert counts_of_each([thing]).tolist() == [-1]


@pytest.mark.skipif(IMMORTALS, reason="None is immortal")
def test_before_3_12_static_objects_are_counted():
    watch = Watch(None)
    assert not watch.immortal
    nones = [None] * 1000
    assert 900 < watch.delta() < 1100
    del nones


def test_only_lists_and_tuples_are_read_as_they_are():
    class Sub(list):
        pass

    for wrong in (Sub(), {}, "text", 3):
        with pytest.raises(TypeError, match="must be a list or a tuple"):
            counts_of_items(wrong)


@pytest.mark.skipif(FREE_THREADED, reason="has parts of counts")
def test_a_build_with_a_gil_has_no_parts_of_counts():
    watch = Watch(object())
    assert (watch.owner, watch.local, watch.shared, watch.deferred) == (None, None, None, False)


@pytest.mark.skipif(not FREE_THREADED, reason="counts have no parts")
def test_parts_of_a_count_add_up():
    thing = object()
    watch = Watch(thing)
    assert watch.owner == threading.get_ident()
    assert watch.local + watch.shared == watch.count + 1

    def borrow():
        mine = [thing] * 5
        shared = watch.shared
        del mine
        seen.append(shared)

    seen: list[int] = []
    thread = threading.Thread(target=borrow)
    thread.start()
    thread.join()
    assert seen[0] >= 5
    assert watch.local + watch.shared == watch.count + 1 == 2


def counted_by_another(thing, times=1):
    """Let another thread take references to an object, and keep them until it is told to go."""
    held, go = threading.Event(), threading.Event()

    def keep():
        kept = [thing] * times
        held.set()
        go.wait()
        kept.clear()

    thread = threading.Thread(target=keep)
    thread.start()
    held.wait()
    return lambda: (go.set(), thread.join())


@pytest.mark.skipif(not FREE_THREADED, reason="counts have no parts here")
def test_references_to_an_exempt_object_are_not_counted():
    thing, immortal = [], None
    watch = Watch(thing)
    before = references.exempt([thing, immortal])
    assert before[1] == -1, "what is immortal stays so"
    assert watch.immortal
    seen = watch.shared
    finish = counted_by_another(thing, 100)
    assert watch.shared == seen
    finish()
    references.admit([thing, immortal], before)
    assert not watch.immortal
    finish = counted_by_another(thing, 100)
    assert watch.shared >= seen + 100
    finish()


@pytest.mark.skipif(not FREE_THREADED, reason="counts have no parts here")
def test_what_was_exempt_survives_references_that_nobody_counted():
    thing = [1]
    before = references.exempt([thing])
    many = [thing] * 1000
    references.admit([thing], before)
    del many  # a thousand references go that never came
    assert thing == [1]
    assert Watch(thing).count > 0


@pytest.mark.skipif(not FREE_THREADED, reason="counts have no parts here")
def test_traffic_sees_whose_counts_other_threads_change():
    touched, quiet = [1], [2]
    ends = []

    def going_on():  # another thread has one more reference, each time
        ends.append(counted_by_another(touched))
        return len(ends) < 4

    try:
        (counted, locked), still = references.traffic([touched, quiet], going_on)
    finally:
        for end in ends:
            end()
    assert counted == 3, "the fourth time nobody looked any more"
    assert locked == 0
    assert still == (0, 0)


def test_traffic_of_nothing_asks_until_it_is_over():
    answers = [True, True, False]
    assert references.traffic([], lambda: answers.pop(0)) == []
    assert answers == []


def test_an_error_of_whoever_is_asked_ends_the_traffic():
    def fail():
        raise KeyError("enough")

    with pytest.raises(KeyError, match="enough"):
        references.traffic([[]], fail)


@pytest.mark.skipif(FREE_THREADED, reason="counts are not split with a GIL")
def test_with_a_gil_nothing_is_exempt():
    thing = []
    count = Watch(thing).count
    assert references.exempt([thing]) == [-1]
    references.admit([thing], [-1])
    assert Watch(thing).count == count
    assert references.traffic([thing], iter([True, False]).__next__) == [(0, 0)]
