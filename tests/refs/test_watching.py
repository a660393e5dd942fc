"""A watch reads the same count on every interpreter, keeps its object or says that it died."""

from __future__ import annotations

import gc
import sys
import sysconfig
import threading

import pytest

from gilprobe import refs
from gilprobe.errors import DeadObjectError, GilProbeError, InvalidTypeError

FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
BOTH = pytest.mark.parametrize("hold", [True, False])

module_level = None


class Thing:
    pass


@BOTH
def test_the_count_is_that_of_all_others(hold):
    thing = Thing()
    watch = refs.watch(thing, hold=hold)
    assert watch.count == 1
    things = [thing, thing]
    table = {"key": thing}
    assert watch.count == 4
    del things, table
    assert watch.count == 1


def test_an_object_that_nobody_else_has_counts_zero():
    # apart, since an assertion keeps what it has evaluated
    counts = [refs.watch(Thing()).count, refs.watch([]).count]
    assert counts == [0, 0]


@BOTH
def test_delta_is_since_the_last_delta_and_first_since_the_watch(hold):
    thing = Thing()
    watch = refs.watch(thing, hold=hold)
    assert watch.delta() == 0
    also = thing
    assert watch.count == 2  # is no look
    assert watch.delta() == 1
    assert watch.delta() == 0
    del also
    assert watch.delta() == -1


@BOTH
def test_the_call_that_makes_a_watch_leaves_nothing_in_the_first_delta(hold):
    """From wherever the object is taken: only some of these are lent to the call from 3.14 on."""
    global module_level
    thing = Thing()
    module_level = thing
    holder = Thing()
    holder.attribute = thing

    def enclosed():
        return refs.watch(thing, hold=hold)

    watches = [
        refs.watch(thing, hold=hold),
        refs.watch(module_level, hold=hold),
        refs.watch(holder.attribute, hold=hold),
        refs.watch(obj=thing, hold=hold),
        enclosed(),
    ]
    made = 5 if hold else 0
    deltas = [watch.delta() for watch in watches]
    # each sees the references of those that were made after it
    assert deltas == ([made - 1 - number for number in range(5)] if hold else [0] * 5)
    module_level = None


def test_a_held_object_lives_and_is_freed_with_its_watch():
    thing = Thing()
    weak = refs.watch(thing, hold=False)
    watch = refs.watch(thing)
    del thing
    assert (watch.alive, watch.count, type(watch.obj)) == (True, 0, Thing)
    assert weak.alive
    del watch
    assert not weak.alive


def test_a_watch_that_does_not_hold_tells_of_the_death():
    thing = Thing()
    watch = refs.watch(thing, hold=False)
    assert watch.obj is thing
    del thing
    assert not watch.alive
    for look in ("count", "immortal", "deferred", "owner", "local", "shared", "obj"):
        with pytest.raises(DeadObjectError, match="must be alive, the Thing was freed"):
            getattr(watch, look)
    with pytest.raises(ReferenceError):
        watch.delta()
    assert repr(watch) == "<watch on Thing object, freed>"


@pytest.mark.parametrize("obj", [3, "text", None, (), [], {}, object()])
def test_what_cannot_be_weakly_referenced_must_be_held(obj):
    with pytest.raises(InvalidTypeError, match=f"hold=False, got an object of type {type(obj).__name__}$"):
        refs.watch(obj, hold=False)
    assert refs.watch(obj).alive


@pytest.mark.parametrize("hold", [None, 1, "no"])
def test_hold_is_a_bool(hold):
    with pytest.raises(GilProbeError, match="hold must be a bool, got"):
        refs.watch(Thing(), hold=hold)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="nothing is immortal")
@pytest.mark.parametrize("obj", [None, True, 1, int, Ellipsis, ""])
def test_immortal_objects_are_said_to_be(obj):
    """Static ones among them."""
    watch = refs.watch(obj)
    assert watch.immortal
    assert watch.count is None
    assert watch.delta() == 0
    assert "immortal" in repr(watch)


def test_mortal_objects_are_not():
    for obj in (object(), [], Thing(), int("9" * 30)):  # a constant of the code may be immortal
        assert not refs.watch(obj).immortal


def test_a_watch_in_a_cycle_is_collected():
    thing = Thing()
    thing.watch = refs.watch(thing)
    weak = refs.watch(thing, hold=False)
    assert weak.count == 2
    del thing
    assert weak.alive
    gc.collect()
    assert not weak.alive


def test_a_watch_tells_its_count_in_words():
    thing = Thing()
    assert "Thing object at 0x" in repr(refs.watch(thing))
    assert repr(refs.watch(thing)).endswith(": count 1>")
    assert repr(refs.watch(thing, hold=False)).endswith(": count 1>")


@pytest.mark.skipif(not FREE_THREADED, reason="counts have no parts")
def test_the_owner_is_the_thread_that_made_the_object():
    made = []
    thread = threading.Thread(target=lambda: made.append(Thing()))
    thread.start()
    owner = thread.ident
    thread.join()
    watch = refs.watch(made[0])
    assert watch.owner in (owner, None)  # None once its count was merged at the end of the thread
    assert refs.watch(Thing()).owner == threading.get_ident()


@pytest.mark.skipif(not FREE_THREADED, reason="no count is deferred")
def test_a_function_is_deferred_or_made_immortal_for_that():
    watch = refs.watch(test_mortal_objects_are_not)
    assert watch.deferred or watch.immortal
    assert watch.count is None or watch.count < 1000


def test_counts_stay_right_while_threads_count():
    thing = Thing()
    watch = refs.watch(thing)
    end = threading.Event()

    def work():
        while not end.is_set():
            mine = [thing] * 10
            del mine

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    seen = [watch.count for _ in range(20_000)]
    end.set()
    for thread in threads:
        thread.join()
    assert min(seen) >= 0
    assert max(seen) < 1000
    del work, threads, thread
    gc.collect()
    assert watch.count == 1
