"""A block's references are told by name, and whoever keeps one is named."""

from __future__ import annotations

import collections
import gc
import re
import sys
import sysconfig
import threading
import weakref

import pytest

from gilprobe import refs
from gilprobe.errors import InvalidTypeError, InvalidValueError, ReferenceCountError, TracerStateError

registry = {}


class Box:
    pass


class Slotted:
    __slots__ = ("kept",)


def test_deltas_have_the_names_of_the_call():
    cache, box = {}, Box()
    box.inner = [1]
    with refs.track(cache, box.inner, other=box) as d:
        kept = [cache, cache, box]
    assert d.deltas == {"cache": 2, "box.inner": 0, "other": 1}
    assert isinstance(d.deltas, dict)
    del kept
    assert d.deltas == {"cache": 2, "box.inner": 0, "other": 1}  # by the end of the block


def test_an_object_finds_its_own_delta():
    first, second = [], []  # equal, and without a hash
    with refs.track(first, second) as d:
        kept = second
    assert (d.deltas[first], d.deltas[second], d.deltas["second"]) == (0, 1, 1)
    with pytest.raises(KeyError):
        d.deltas[[]]
    with pytest.raises(KeyError):
        d.deltas["third"]


def test_names_are_there_when_a_call_has_many_lines_or_no_source():
    thing = []
    with refs.track(
        thing,
        [thing][0],
    ) as d:
        pass
    assert list(d.deltas) == ["thing", "[thing][0]"]
    with refs.track(*[thing, thing]) as d:
        pass
    assert list(d.deltas) == ["list #1", "list #2"]
    with refs.track(thing, thing) as d:
        pass
    assert list(d.deltas) == ["thing", "thing (2)"]
    names = {"refs": refs, "thing": thing}
    exec("with refs.track(thing) as d: pass", names)
    assert list(names["d"].deltas) == ["list #1"]


def test_deltas_can_be_read_in_the_block():
    thing = []
    tracking = refs.track(thing)
    with pytest.raises(TracerStateError, match="must begin before"):
        tracking.deltas  # noqa: B018
    with tracking as d:
        kept = thing
        assert d.deltas == {"thing": 1}
        del kept
        assert d.deltas == {"thing": 0}
    with tracking:
        kept = [thing] * 3
    assert d.deltas == {"thing": 3}


def test_a_block_that_leaves_nothing_behind_passes():
    thing = Box()
    with refs.track(thing, expect=0):
        for _ in range(3):
            kept = [thing]
        del kept
    with refs.track(thing, expect=2):
        kept = [thing, thing]
    with pytest.raises(AssertionError, match=r"must change by -1 over the block\n  thing changed by \+0"):
        with refs.track(thing, expect=-1):
            pass


def test_an_error_of_the_block_comes_first():
    thing = Box()
    with pytest.raises(KeyError, match="its own") as caught:
        with refs.track(thing, expect=0) as d:
            registry["left"] = thing
            raise KeyError("its own")
    assert caught.value.__context__ is None
    assert d.deltas == {"thing": 1}
    registry.clear()


@pytest.mark.skipif(sys.version_info < (3, 12), reason="nothing is immortal")
def test_immortal_objects_change_nothing():
    with refs.track(None, expect=5) as d:
        kept = [None] * 100
    assert d.deltas == {"None": 0}
    del kept


@pytest.mark.parametrize("expect", [True, 1.0, "0"])
def test_expect_is_an_int(expect):
    with pytest.raises(InvalidTypeError, match="expect must be an int, got"):
        refs.track(Box(), expect=expect)


# A free-threaded 3.13 that has started a thread no longer finds the dicts of modules and classes.
FORGETFUL = sysconfig.get_config_var("Py_GIL_DISABLED") and sys.version_info < (3, 14)
IN_GLOBAL = r"the value of key 'a key' of a dict \(global `registry` of module"
IN_CLASS = "attribute `inner` of class Made"
FORGOTTEN = {
    IN_GLOBAL: "the value of key 'a key' of a dict",
    IN_CLASS: f"{IN_CLASS}|the value of key 'inner' of a dict",
}


def test_there_must_be_something_to_track():
    with pytest.raises(InvalidValueError, match="at least 1 object, got 0"):
        refs.track(expect=0)


def complaint(keep, thing):
    """Return what is said of a block in which `keep` takes references to the thing."""
    with pytest.raises(ReferenceCountError) as caught:
        with refs.track(thing, expect=0):
            kept = keep(thing)
    del kept
    return str(caught.value)


def make_list(thing):
    return [0, thing]


def keep_globally(thing):
    registry["a key"] = thing


def keep_in_module(thing):
    global module_level
    module_level = thing


def make_closure(thing):
    def inner():
        return thing

    return inner


def make_generator(thing):
    def steps():
        mine = thing
        yield 1

    made = steps()
    next(made)
    return made


def make_attribute(thing):
    box = Box()
    box.inner = thing
    return box


def make_slot(thing):
    box = Slotted()
    box.kept = thing
    return box


def make_class(thing):
    return type("Made", (), {"inner": thing})


class Looked(Box):
    def look(self):
        pass


@pytest.mark.parametrize(
    ("keep", "words"),
    [
        (lambda thing: thing, r"local `kept` of function complaint \(test_tracking.py:\d+\)"),
        (make_list, r"item 1 of a list \(local `kept` of function complaint"),
        (lambda thing: (thing, []), r"item 0 of a tuple \(local `kept` of function complaint"),
        (lambda thing: {"a": thing, "b": []}, r"the value of key 'a' of a dict \(local `kept` of function"),
        (lambda thing: {thing: []}, r"a key of a dict \(local `kept`"),
        (lambda thing: {thing}, r"a member of a set \(local `kept`"),
        (keep_globally, IN_GLOBAL),
        (keep_in_module, r"global `module_level` of module"),
        (make_closure, r"variable `thing` in the closure of function make_closure.<locals>.inner"),
        (make_generator, r"local `mine` of generator make_generator.<locals>.steps .*suspended"),
        (make_attribute, "attribute `inner` of a Box object"),
        (make_slot, "attribute `kept` of a Slotted object"),
        (make_class, IN_CLASS),
        (lambda thing: thing.look, r"bound method Looked.look"),
        (lambda thing: lambda other=thing: other, r"item 0 of a tuple \(the defaults of function"),
    ],
)
def test_who_refers_is_said_as_a_person_would(keep, words):
    thing = Looked()
    message = complaint(keep, thing)
    assert re.search(FORGOTTEN.get(words, words) if FORGETFUL else words, message), message
    assert "referrers.py" not in message  # the search itself is not told
    assert "tracking.py" not in message.replace("test_tracking.py", "")
    assert "local `thing` of function test_who_refers_is_said_as_a_person_would (test_tracking.py:" in message
    registry.clear()
    keep_in_module(None)


@pytest.mark.parametrize(
    ("keep", "words"),
    [
        (keep_globally, IN_GLOBAL),
        (keep_in_module, "global `module_level` of module"),
    ],
)
def test_frozen_objects_are_found(keep, words):
    """The collector does not tell them."""
    gc.freeze()
    try:
        message = complaint(keep, Looked())
    finally:
        gc.unfreeze()
        registry.clear()
        keep_in_module(None)
    assert re.search(FORGOTTEN.get(words, words) if FORGETFUL else words, message), message


def test_plain_objects_in_plain_containers_are_found():
    """Which the collector does not know: some versions do not track them."""
    thing = object()
    message = complaint(lambda one: {"a": one}, thing)
    assert "the value of key 'a' of a dict (local `kept` of function complaint" in message


@pytest.mark.lengthy
def test_long_lists_of_referrers_are_cut():
    message = complaint(lambda thing: [[thing] for _ in range(30)], Box())
    assert "and " in message.splitlines()[-1]
    assert len(message.splitlines()) == 13


def test_asking_leaves_no_reference_behind():
    """Not even in the copy of the variables that frames have before 3.13."""
    thing = Looked()
    watch = refs.watch(thing, hold=False)
    for _ in range(3):
        complaint(make_list, thing)
    gc.collect()
    assert watch.count == 1
    del thing
    assert not watch.alive


def test_a_copy_of_variables_that_someone_has_is_left_alone():
    thing = Looked()
    names = locals()
    complaint(make_list, thing)
    assert names["thing"] is thing


@pytest.mark.skipif(
    getattr(sys, "_is_gil_enabled", lambda: True)() is False, reason="not told without the GIL"
)
def test_variables_of_other_threads_are_told():
    thing = Looked()
    ready, end = threading.Event(), threading.Event()

    def hold(held):
        ready.set()
        end.wait()

    thread = threading.Thread(target=hold, args=(thing,))
    with pytest.raises(ReferenceCountError, match=r"local `held` of function test_\w+.<locals>.hold"):
        with refs.track(thing, expect=-1):
            thread.start()
            ready.wait()
    end.set()
    thread.join()


def test_no_code_of_a_users_class_is_run():
    class Wild:
        def __init__(self, inner):
            self.inner = inner

        def __getattribute__(self, name):
            raise RuntimeError(name)

        def __eq__(self, other):
            raise RuntimeError("compared")

        def __hash__(self):
            return 1

        def __repr__(self):
            raise RuntimeError("shown")

    wild = Wild(3)
    with pytest.raises(ReferenceCountError, match=r"the value of key of type \S+Wild of a dict"):
        with refs.track(wild, expect=0):
            kept = [{wild: wild}, Wild(wild)]
    del kept


def test_the_count_that_is_told_is_that_of_the_program_and_nothing_stays_of_the_search():
    class Own:
        pass

    obj = Own()
    dead = weakref.ref(obj)
    before = refs.watch(obj).count
    gc.collect()
    gc.disable()
    try:
        with pytest.raises(AssertionError) as raised, refs.track(obj, expect=0):
            kept = [obj, obj]
        assert f"obj changed by +2 to {before + 2}:" in str(raised.value)
        del raised
        assert refs.watch(obj).count == before + 2
        del obj, kept
        assert dead() is None
    finally:
        gc.enable()


def test_a_deque_that_another_thread_changes_is_looked_through_all_the_same():
    box, stop, obj = collections.deque([1] * 100_000), threading.Event(), ["thing"]

    def change():
        while not stop.is_set():
            box.rotate(1)
            box.rotate(-1)

    thread = threading.Thread(target=change)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    thread.start()
    try:
        for _ in range(5):
            with pytest.raises(AssertionError), refs.track(obj, expect=0):
                box.append(obj)
                box.rotate(50_000)
    finally:
        stop.set()
        thread.join()
        sys.setswitchinterval(interval)
