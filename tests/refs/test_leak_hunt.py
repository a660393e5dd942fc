"""Planted leaks are found and named, and what only looks like one is not."""

from __future__ import annotations

import gc
import itertools
import json
import os
import re
import sys
import sysconfig
import threading
import time

import downstream
import pytest

from gilprobe.errors import FormatError, InvalidTypeError, InvalidValueError
from gilprobe.refs import LeakReport, find_leaks, leak_windows

MORTAL = sys.version_info < (3, 12)
BLOCKS = sys.getallocatedblocks() > 0  # not with PYTHONMALLOC=malloc
LIMIT_S = 200  # more than a busy machine needs without a GIL, where each collection walks the whole heap
needs_blocks = pytest.mark.skipif(not BLOCKS, reason="the interpreter's memory blocks can't be counted here")


class Private:
    pass


@pytest.fixture(scope="session")
def leaky(tmp_path_factory):
    """Import the extension in C that leaks."""
    folder = downstream.build("leaky", tmp_path_factory.mktemp("leaky") / "built")
    sys.path.insert(0, str(folder))
    try:
        import leaky
        import leaky_cython  # noqa: F401
    finally:
        sys.path.remove(str(folder))
    return leaky


@pytest.fixture(scope="session")
def leaky_cython(leaky):
    """Import the one in Cython."""
    return sys.modules["leaky_cython"]


def lent(leaky):
    """Return an object with references to spare."""
    private = Private()
    leaky.spare(private, 10**7)
    return private


def amount(report, what):
    """Return what is lost with each call of what a finding is about; None if there is no such finding."""
    return next((one.per_call for one in report.findings if one.what == what), None)


ARGUMENT = f"references to argument 1 ({__name__}.Private)"
LEAKS = {
    "missing_decref": (lambda _: (), "list objects", 1),
    "missing_decref_of_argument": (
        lambda _: (Private(),),
        ARGUMENT,
        1,
    ),
    "missing_decref_of_result": (lambda _: (), "references to the result (list)", 1),
    "missing_decref_on_error": (lambda _: ("no number",), "list objects", 1),
    "leaked_exception": (lambda _: (), "leaky.Error objects", 1),
    "every_tenth": (lambda _: (Private(),), ARGUMENT, 0.1),
    "every_tenth_among_noise": (
        lambda _: (Private(),),
        ARGUMENT,
        0.1,
    ),
    "stolen_reference": (lambda leaky: (lent(leaky),), ARGUMENT, -1),
}
# One by its objects, one by its references, and one that takes them: the others differ in the function alone.
EVERYWHERE = ("missing_decref", "missing_decref_of_argument", "stolen_reference")
BLOCK_LEAKS = {"missing_decref_of_text": 1, "leaked_interned": 1}
CLEAN = {
    "missing_decref_on_error": (3,),
    "interned": (),
    "filling_cache": (),
    "noise": (Private(),),
    "returns_marker": (),
    "raises": (),
}


def check_leak(leaky, name):
    arguments, what, per_call = LEAKS[name]
    report = find_leaks(getattr(leaky, name), args=arguments(leaky), limit_s=LIMIT_S)
    assert report.leaking
    assert report.findings[0].what == what
    assert report.findings[0].per_call == pytest.approx(per_call, rel=0.05)
    assert report.findings[0].low <= report.findings[0].per_call <= report.findings[0].high
    return report


def check_clean(leaky, name):
    report = find_leaks(getattr(leaky, name), args=CLEAN[name], limit_s=LIMIT_S)
    assert not report.leaking, report.findings
    assert report.findings == ()


def check_immortal(leaky):
    """Only where None is counted it loses anything."""
    report = find_leaks(leaky.extra_decref_of_immortal, limit_s=LIMIT_S)
    assert report.leaking == MORTAL
    if MORTAL:
        assert amount(report, "references to None") == pytest.approx(-1, rel=0.05)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.lengthy] * (name not in EVERYWHERE)) for name in LEAKS]
)
def test_a_planted_leak_is_found_and_named(leaky, name):
    report = check_leak(leaky, name)
    if name == "missing_decref":
        assert any("native code holds it" in text for text in report.findings[0].evidence), "nobody else does"


@needs_blocks
@pytest.mark.parametrize("name", BLOCK_LEAKS)
def test_a_leak_that_the_collector_does_not_know_of_is_found_by_its_blocks(leaky, name):
    report = find_leaks(getattr(leaky, name), limit_s=LIMIT_S)
    found = amount(report, "memory blocks of the interpreter")
    assert found == pytest.approx(BLOCK_LEAKS[name], rel=0.05)


@pytest.mark.lengthy
@pytest.mark.parametrize("name", CLEAN)
def test_what_only_looks_like_a_leak_is_none(leaky, name):
    check_clean(leaky, name)


def test_an_immortal_object_loses_nothing(leaky):
    check_immortal(leaky)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_each_of_several_runs_is_right(leaky):
    for _ in range(2):
        for name in LEAKS:
            check_leak(leaky, name)
        for name in CLEAN:
            check_clean(leaky, name)
        check_immortal(leaky)


def test_a_leak_of_cython_is_found(leaky_cython):
    report = find_leaks(leaky_cython.missing_decref, args=(Private(),))
    assert report.findings[0].what == "list objects"
    assert amount(report, ARGUMENT) == pytest.approx(1, rel=0.05)


def test_what_is_kept_on_purpose_is_named_with_who_keeps_it(leaky_cython):
    report = find_leaks(leaky_cython.kept)
    assert report.findings[0].what == "leaky_cython.Node objects"
    assert any("held by item" in text for text in report.findings[0].evidence)


@pytest.mark.lengthy
def test_cycles_and_caches_of_cython_are_no_leaks(leaky_cython):
    number = itertools.count()
    assert not find_leaks(leaky_cython.cyclic).leaking
    assert not find_leaks(leaky_cython.balanced, args=(Private(),)).leaking
    assert not find_leaks(lambda: leaky_cython.remembered(next(number))).leaking


@pytest.mark.lengthy
def test_a_function_that_raises_is_told_with_its_verdict(leaky):
    report = find_leaks(leaky.missing_decref_on_error, args=("no number",))
    assert report.leaking
    assert report.raised == report.calls
    assert any(warning.startswith("every call raised") for warning in report.warnings)
    assert report.exception.startswith("TypeError: ")
    report = find_leaks(leaky.raises)
    assert not report.leaking
    assert report.exception == "Error: as always"


def test_ctrl_c_ends_the_hunt_and_leaves_the_collector_as_it_was():
    def interrupted():
        raise KeyboardInterrupt

    gc.collect()
    frozen = gc.get_freeze_count()  # immortal objects, on 3.12
    with pytest.raises(KeyboardInterrupt):
        find_leaks(interrupted)
    gc.collect()
    assert gc.get_freeze_count() == frozen


@pytest.mark.lengthy
def test_file_descriptors_that_are_left_are_found_before_they_run_out():
    opened = []
    try:
        report = find_leaks(lambda: opened.append(os.open(os.devnull, os.O_RDONLY)))
    finally:
        for descriptor in opened:
            os.close(descriptor)
    assert amount(report, "file descriptors") == pytest.approx(1)
    assert len(opened) < 400
    (finding,) = [one for one in report.findings if one.kind == "descriptors"]
    assert any(os.devnull in text for text in finding.evidence)


@pytest.mark.lengthy
def test_threads_that_are_left_are_found():
    end = threading.Event()
    started = []

    def start():
        started.append(threading.Thread(target=end.wait, name="left behind"))
        started[-1].start()

    try:
        report = find_leaks(start)
    finally:
        end.set()
        for thread in started:
            thread.join()
    assert amount(report, "threads") == pytest.approx(1)


@pytest.mark.slow
def test_what_another_thread_piles_up_is_not_the_functions():
    pile, end = [], threading.Event()

    def pile_up():
        while not end.is_set():
            pile.append(["piled"])
            time.sleep(0.0002)

    thread = threading.Thread(target=pile_up)
    thread.start()
    try:
        report = find_leaks(lambda: sum(range(100)))
    finally:
        end.set()
        thread.join()
    assert pile
    assert not report.leaking, report.findings


def test_a_leak_is_found_with_objects_that_others_have_frozen(leaky):
    gc.freeze()
    try:
        report = find_leaks(leaky.missing_decref)
        assert gc.get_freeze_count() > 1000
    finally:
        gc.unfreeze()
    assert report.findings[0].what == "list objects"


@pytest.mark.slow
def test_as_many_calls_are_made_as_repetitions_ask_for():
    assert find_leaks(int, warmup=2, repeats=3, calls=7).calls >= 5 * 7
    report = find_leaks(int, warmup=0, repeats=10_000)
    assert report.calls >= 10_000
    assert report.repeats == 30


@pytest.mark.parametrize(
    ("error", "options", "message"),
    [
        (InvalidTypeError, {"function": 3}, "function must be callable, got int"),
        (InvalidTypeError, {"warmup": 1.5}, "warmup must be an integer, got 1.5"),
        (InvalidValueError, {"warmup": -1}, "warmup must be between 0 and 1000000000, got -1"),
        (InvalidTypeError, {"repeats": None}, "repeats must be an integer, got None"),
        (InvalidTypeError, {"repeats": True}, "repeats must be an integer, got True"),
        (InvalidValueError, {"repeats": 2}, "repeats must be between 3 and 1000000000, got 2"),
        (InvalidValueError, {"calls": 0}, "calls must be between 1 and 1000000000, got 0"),
        (InvalidTypeError, {"limit_s": "3"}, "limit_s must be a number, got '3'"),
        (InvalidTypeError, {"limit_s": True}, "limit_s must be a number, got True"),
        (InvalidValueError, {"limit_s": 0}, "limit_s must be above 0 and at most 1000000000, got 0"),
        (
            InvalidValueError,
            {"limit_s": float("inf")},
            "limit_s must be above 0 and at most 1000000000, got inf",
        ),
        (
            InvalidValueError,
            {"limit_s": float("nan")},
            "limit_s must be above 0 and at most 1000000000, got nan",
        ),
    ],
)
def test_what_can_not_be_used_is_told_in_one_line(error, options, message):
    function = options.pop("function", int)
    with pytest.raises(error, match=re.escape(message)):
        find_leaks(function, **options)


@pytest.mark.lengthy
def test_a_report_survives_being_saved(tmp_path):
    kept = []
    report = find_leaks(lambda: kept.append([]), warmup=1, repeats=5, calls=10)
    assert report.leaking
    report.save(tmp_path / "leaks.json")
    assert LeakReport.load(tmp_path / "leaks.json") == report
    document = json.loads((tmp_path / "leaks.json").read_text())
    assert document["kind"] == "gilprobe.leaks"
    with pytest.raises(FormatError, match="'gilprobe\\.leaks' and schema 1, got"):
        LeakReport.from_dict(document | {"schema": 2})


class Holder:
    """Has what a function reaches by an attribute only."""

    def __init__(self):
        self.thing = ["its own"]


HOLDER = Holder()


class Temporary:
    pass


def referred(leaky, obj):
    leaky.spare(obj, 1)


@pytest.mark.lengthy
def test_a_reference_to_what_is_reached_by_an_attribute_is_found_by_the_census(leaky):
    report = find_leaks(lambda: referred(leaky, HOLDER.thing))
    (finding,) = [one for one in report.findings if one.kind == "reference"]
    assert finding.per_call == pytest.approx(1, rel=0.05)
    assert "attribute `thing` of a Holder object" in finding.what


@pytest.mark.lengthy
@pytest.mark.skipif(
    bool(sysconfig.get_config_var("Py_GIL_DISABLED")), reason="without a GIL the counts of types are deferred"
)
def test_a_reference_to_the_type_of_a_temporary_object_is_found_by_the_census(leaky):
    def make():
        referred(leaky, type(globals()["Temporary"]()))

    report = find_leaks(make)
    assert amount(report, f"references to class {__name__}.Temporary") == pytest.approx(1, rel=0.05)


def test_an_object_whose_only_reference_is_stolen_outlives_the_hunt():
    import ctypes

    dec = ctypes.pythonapi.Py_DecRef
    dec.argtypes, dec.restype = [ctypes.py_object], None
    thing = ["a list"]
    report = find_leaks(lambda: dec(thing))
    assert amount(report, "references to 'thing' of the closure") == pytest.approx(-1, rel=0.05)
    assert thing == ["a list"]


def test_a_name_that_was_looked_up_is_not_kept_by_the_attribute_cache():
    name = "_".join(["made", "for", "this", "lookup"])
    getattr(Private, name, None)  # a free-threaded build interns it
    leak_windows.settle()
    before = sys.getrefcount(name)
    getattr(leak_windows.Caller, name, None)  # takes another slot
    leak_windows.settle()
    assert sys.getrefcount(name) == before


@pytest.mark.lengthy
def test_what_is_lent_for_a_hunt_is_taken_back():
    class Argument:
        pass

    one = Argument()
    before = sys.getrefcount(one)
    find_leaks(lambda _: None, args=(one,))
    gc.collect()
    assert sys.getrefcount(one) == before


KEPT = []


def test_who_holds_what_was_left_is_never_the_hunt():
    report = find_leaks(lambda: KEPT.append([]), repeats=5, calls=10)
    finding = next(one for one in report.findings if one.what == "list objects")
    assert any(f"global `KEPT` of module {__name__}" in text for text in finding.evidence), finding.evidence
    assert not any("Suspect" in text for text in finding.evidence)


@pytest.mark.lengthy
def test_a_type_whose_module_is_no_text_is_called_by_its_name_alone():
    """Types that Cython's modules share have a descriptor there, with an address in what it prints."""

    class Held:
        pass

    Held.__module__ = property(lambda _: "elsewhere")
    kept = []
    report = find_leaks(lambda: kept.append(Held()), calls=10)
    assert f"{Held.__qualname__} objects" in [finding.what for finding in report.findings]


@pytest.mark.lengthy
def test_reference_cycles_with_containers_are_no_leak():
    """A free-threaded build frees the containers' tables one collection later."""

    class Node:
        def __init__(self):
            self.items = [self]
            self.by_name = {"self": self}

    for _ in range(6):
        assert not find_leaks(lambda: [Node() for _ in range(3)], calls=100).leaking


KEPT = []


class Session:
    pass


def test_references_of_leaked_objects_to_their_class_are_no_leak_of_their_own():
    def keep():
        KEPT.append(Session())

    try:
        kinds = [finding.what for finding in find_leaks(keep, calls=20).findings]
    finally:
        KEPT.clear()
    assert f"{__name__}.Session objects" in kinds
    assert not [what for what in kinds if what.startswith("references to") and "Session" in what]
