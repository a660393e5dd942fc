"""Names of threads: of those that begin or end in a trace, that are renamed, that threading did not make."""

from __future__ import annotations

import contextvars
import gc
import threading
import time

import pytest
from tracer_checks import MAIN, check, doze

import gilprobe
from gilprobe._native import tracer
from gilprobe.tracing import thread_names

SUPPORTED, REASON = tracer.support()

METHODS = {name: threading.Thread.__dict__[name] for name in ("_set_native_id", "_delete")}


def methods():
    return {name: threading.Thread.__dict__[name] for name in METHODS}


@pytest.fixture(autouse=True)
def threading_as_found():
    """Every test here leaves threading as it found it."""
    yield
    gc.collect()
    assert methods() == METHODS
    assert thread_names.listeners == []


needs_tracer = pytest.mark.skipif(not SUPPORTED, reason=f"the GIL can't be traced here: {REASON}")


class Stepwise:
    """A thread that takes its steps when it is told to."""

    def __init__(self, name, *steps):
        self._permits = threading.Semaphore(0)
        self._taken = threading.Semaphore(0)
        self._steps = steps
        self.thread = threading.Thread(target=self._run, name=name)

    def _run(self):
        for step in self._steps:
            self._permits.acquire()
            step()
            self._taken.release()
        self._permits.acquire()

    def start(self):
        self.thread.start()
        return self

    def step(self):
        self._permits.release()
        self._taken.acquire()

    def end(self):
        self._permits.release()
        self.thread.join()


def rename(name):
    def step():
        threading.current_thread().name = name

    return step


def account_of(report, thread):
    (account,) = [account for account in report.threads if account.native_id == thread.native_id]
    return account


@needs_tracer
def test_a_name_follows_its_thread_from_one_snapshot_to_the_next():
    with gilprobe.trace() as trace:
        worker = Stepwise("first", doze, rename("second"), rename("third")).start()
        names = []
        for _ in range(3):
            worker.step()
            names.append(account_of(check(trace.report()), worker.thread).name)
        worker.end()
    assert names == ["first", "second", "third"]
    last = account_of(check(trace.report()), worker.thread)
    assert (last.name, last.ended) == ("third", True)


@needs_tracer
def test_a_thread_that_began_before_the_trace_and_ends_in_it_has_its_last_name():
    worker = Stepwise("early", doze, rename("renamed early")).start()
    worker.step()
    with gilprobe.trace() as trace:
        assert not account_of(check(trace.report()), worker.thread).ended
        worker.step()
        worker.end()
    account = account_of(check(trace.report()), worker.thread)
    assert (account.name, account.ended) == ("renamed early", True)


@needs_tracer
def test_a_thread_that_outlives_the_trace_keeps_the_name_it_had_then():
    with gilprobe.trace() as trace:
        worker = Stepwise("late", doze, rename("renamed late")).start()
        worker.step()
    worker.step()
    account = account_of(check(trace.report()), worker.thread)
    assert (account.name, account.ended) == ("late", False)
    worker.end()


@needs_tracer
def test_nested_traces_name_a_thread_alike():
    with gilprobe.trace() as outer:
        before = Stepwise("before", doze).start()
        with gilprobe.trace(sites=False) as inner:
            within = Stepwise("within", doze, rename("within still")).start()
            for worker in (before, within):
                worker.step()
        within.step()
        for worker in (before, within):
            worker.end()
    for worker, names in ((before, ("before", "before")), (within, ("within still", "within"))):
        accounts = [account_of(check(trace.report()), worker.thread) for trace in (outer, inner)]
        assert tuple(account.name for account in accounts) == names
        assert [account.ended for account in accounts] == [True, False]


@needs_tracer
def test_a_joined_thread_has_ended():
    """Even if the operating system's thread still has a few steps to go."""
    with gilprobe.trace() as trace:
        for n in range(50):
            thread = threading.Thread(target=int, name=f"joined {n}")
            thread.start()
            thread.join()
            account = account_of(trace.report(), thread)
            assert (account.name, account.ended) == (f"joined {n}", True)
        (main,) = [account for account in trace.report().threads if account.name == MAIN]
        assert not main.ended


@needs_tracer
def test_both_methods_are_wrapped_while_a_trace_runs_and_put_back_by_the_last():
    one, other = gilprobe.trace().start(), gilprobe.trace().start()
    wrapped = methods()
    assert all(wrapped[name] is not METHODS[name] for name in METHODS)
    one.stop()
    assert methods() == wrapped
    other.stop()
    assert methods() == METHODS
    with gilprobe.trace():
        assert methods() == wrapped  # not wrapped again: they would pile up
    thread_names.watch()
    assert methods() == wrapped
    thread_names.review()


@needs_tracer
@pytest.mark.parametrize("name", METHODS)
def test_another_library_may_wrap_either_method(name):
    called = []
    trace = gilprobe.trace().start()
    ours = threading.Thread.__dict__[name]

    def theirs(self):
        called.append(self.name)
        return ours(self)

    setattr(threading.Thread, name, theirs)
    try:
        trace.stop()
        assert threading.Thread.__dict__[name] is theirs
        with trace:
            worker = Stepwise("kept", doze).start()
            worker.step()
            worker.end()
        assert account_of(check(trace.report()), worker.thread).name == "kept"
        assert "kept" in called
    finally:
        setattr(threading.Thread, name, METHODS[name])


@needs_tracer
def test_an_interpreter_without_the_methods_loses_only_names_of_ended_threads(monkeypatch):
    monkeypatch.setattr(thread_names, "_NOTES", {"_no_such_method": thread_names._labels.begin})
    with gilprobe.trace() as trace:
        worker = Stepwise("unlabelled", doze).start()
        worker.step()
        assert account_of(check(trace.report()), worker.thread).name == "unlabelled"
        worker.end()
    assert account_of(check(trace.report()), worker.thread).name
    assert methods() == METHODS


@needs_tracer
def test_a_listener_that_fails_is_not_noticed():
    def fails(number, name):
        raise KeyError(number, name)

    with gilprobe.trace() as trace:
        thread_names.listeners.append(fails)
        try:
            worker = Stepwise("a name that is new to the listener", doze).start()
            worker.step()
            worker.end()
        finally:
            thread_names.listeners.remove(fails)
    assert account_of(check(trace.report()), worker.thread).name == "a name that is new to the listener"


@needs_tracer
def test_listeners_hear_of_each_name_once():
    heard = []
    listener = lambda number, name: heard.append((number, name))  # noqa: E731
    with gilprobe.trace():
        thread_names.listeners.append(listener)
        try:
            for name in ("heard a", "heard b", "heard a"):
                worker = Stepwise(name, rename("heard c")).start()
                worker.step()
                worker.end()
        finally:
            thread_names.listeners.remove(listener)
    assert [name for _, name in heard] == ["heard a", "heard c", "heard b"]
    assert set(heard) <= set(thread_names.labels())
    for number, name in heard:
        assert thread_names.labelled(number) == thread_names.labelled(number | tracer.LABEL_ENDED) == name


def test_a_label_that_was_never_given_has_no_name():
    assert thread_names.labelled(0) == ""
    assert thread_names.labelled(tracer.LABEL_ENDED) == ""
    assert thread_names.labelled(tracer.LABEL_ENDED - 1) == ""


def test_labels_of_what_is_no_thread():
    labels = tracer.ThreadLabels()
    with pytest.raises(AttributeError):
        labels.begin(object())
    nameless = threading.Thread()
    nameless._name = 7

    def label_this_one():  # which then counts as ended, so it must not be the main thread
        labels.begin(nameless)
        labels.end(nameless)

    worker = threading.Thread(target=label_this_one)
    worker.start()
    worker.join()
    assert labels.all() == []


def test_the_living_are_known_by_name():
    worker = Stepwise("alive", doze).start()
    while worker.thread.native_id is None:
        time.sleep(0.001)
    names = thread_names.alive()
    assert names[worker.thread.native_id] == "alive"
    assert names[threading.get_native_id()] == MAIN
    worker.step()
    worker.end()
    assert worker.thread.native_id not in thread_names.alive()


class Unnamed(threading.Thread):
    """A thread whose class tells nothing once it runs, and ends who asks."""

    error: BaseException | None = None

    def _tell(self, value):
        if self.error is not None:
            raise self.error
        return value

    @property
    def name(self):
        return self._tell("known")

    @name.setter
    def name(self, value):
        pass

    @property
    def native_id(self):
        return self._tell(self._native_id)

    @property
    def ident(self):
        return self._tell(self._ident)


@needs_tracer
@pytest.mark.parametrize("error", [RuntimeError("no name yet"), SystemExit(3)], ids=repr)
def test_a_thread_that_raises_when_it_is_asked_disturbs_no_trace(error, tmp_path):
    begun, end = threading.Event(), threading.Event()
    thread = Unnamed(target=lambda: [begun.set(), end.wait()])
    thread.start()
    begun.wait()
    thread.error = error
    try:
        with gilprobe.trace(path=tmp_path / "x") as trace:
            assert trace.report().threads
    finally:
        thread.error = None
        end.set()
        thread.join()
    assert MAIN in {account.name for account in trace.report().threads}


@needs_tracer
def test_a_name_that_is_a_program_of_its_own_is_read_as_text(monkeypatch):
    class Name(str):
        __slots__ = ()

        def __str__(self):
            raise SystemExit(3)

    with gilprobe.trace() as trace:
        monkeypatch.setattr(threading.current_thread(), "_name", Name("odd"))
        names = {type(account.name): account.name for account in trace.report().threads}
    assert names == {str: "odd"}


def run_as_green_thread(monkeypatch, name, work):
    """Run `work` as a thread of :mod:`threading` that is none of the system's, as gevent and eventlet do."""
    thread = threading.Thread(target=work, name=name, daemon=True)  # exit waits for a lock of the others
    with monkeypatch.context() as patch:
        patch.setattr(threading, "get_ident", lambda: 12345)
        patch.setattr(threading, "_set_sentinel", threading.Lock, raising=False)
        threading._limbo[thread] = thread
        thread._context = contextvars.copy_context()  # as `start` does, from 3.14 on
        thread._bootstrap_inner()


@needs_tracer
def test_green_threads_leave_the_systems_threads_their_names(monkeypatch):
    seen = []

    def look():
        doze()
        seen.extend(account.name for account in trace.report().threads)

    def carry():
        run_as_green_thread(monkeypatch, "green", look)

    with gilprobe.trace() as trace:
        run_as_green_thread(monkeypatch, "green", look)
        assert seen == [MAIN]
        carrier = threading.Thread(target=carry, name="carrier")
        carrier.start()
        carrier.join()
    assert sorted(seen[1:]) == [MAIN, "carrier"]
    assert sorted(account.name for account in trace.report().threads) == [MAIN, "carrier"]


@needs_tracer
def test_a_thread_that_ends_while_the_trace_is_being_ended_keeps_its_name(monkeypatch):
    """As one that waited for the GIL from the trace's beginning to its end."""
    over = threading.Event()
    thread = threading.Thread(target=over.wait, name="patient")
    thread.start()
    trace = gilprobe.trace().start()
    end = trace._end

    def end_of_both():
        ended = end()
        over.set()
        thread.join()
        return ended

    monkeypatch.setattr(trace, "_end", end_of_both)
    assert "patient" in {account.name for account in trace.stop().threads}
