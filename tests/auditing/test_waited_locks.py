"""Which locks a call is said to wait for, and whether it is said to scale on objects of its own."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
from functools import partial

import pytest
from tracer_checks import sleeps

import gilprobe
from gilprobe import auditing, kernels
from gilprobe.auditing import auditor, verdicts, waited_locks
from gilprobe.auditing.auditor import NOTHING, AuditRequest
from gilprobe.auditing.own_objects import OwnCalls, on_own_objects
from gilprobe.measuring import teams
from gilprobe.measuring.measure import Settings
from gilprobe.measuring.teams import MemberRun, TeamRun
from gilprobe.model.audit_result import Speedup
from gilprobe.model.distribution import Distribution
from gilprobe.model.locks import LOCK, WORK, Lock, LockWait

SHORT = Settings(repeat=2, arm_ns=20_000_000, member_ns=0)
HERE = gilprobe.capabilities()
needs_locks = pytest.mark.skipif(HERE.locks != "exact", reason=f"no trace of locks here: {HERE.locks_reason}")
without_gil = pytest.mark.skipif(HERE.gil_enabled, reason="there is a GIL")


def lock(kind, name):
    return Lock(kind, "_thread.lock", name, "", 0, Distribution(1, 10, 10, ((0, 1),)))


def waits(index, waiter_id, ns, *, holder="", filename="w.py"):
    behind = ("hold", "h.py", 5) if holder else ("(handoff)", "", 0)
    return LockWait(index, "w", waiter_id, "want", filename, 3, holder, 9, *behind, ns)


def test_of_a_team_its_own_waits_for_locks_are_told(report):
    rows = (
        waits(0, 1, 600),
        waits(0, 2, 400, holder="other"),
        waits(0, 99, 5000),  # not of the team
        waits(1, 1, 5000),  # for work
        waits(2, 1, 1),  # next to nothing
        waits(3, 1, 5000, filename=teams.__file__),  # the gate behind which a team starts
        waits(3, 1, 5000, filename=""),  # the start or end of a thread
    )
    locks = (lock(LOCK, "a"), lock(WORK, "get"), lock(LOCK, "b"), lock(LOCK, "gate"))
    traced = dataclasses.replace(report, locks=locks, lock_waits=rows)
    ran = TeamRun(10, (MemberRun(1, 0, 2000, 0), MemberRun(2, 0, 2000, 0)))
    (found,) = waited_locks.waited_in_calls(traced, ran)
    assert (found.title, found.kind, found.threads) == (locks[0].title, LOCK, 2)
    assert (found.wait_share, found.wait_ns) == (0.25, 100)
    assert (found.function, found.filename, found.line) == ("want", "w.py", 3)
    assert (found.held_function, found.held_filename, found.held_line) == ("hold", "h.py", 5)
    alone = dataclasses.replace(traced, lock_waits=rows[:1])
    assert next(waited_locks.waited_in_calls(alone, ran)).held_function == ""


def release_when_waited_for(held, running, waiter):
    while not (is_waited_for(running.report()) and sleeps(waiter)):
        time.sleep(0.001)
    held.release()


def is_waited_for(report):
    return any(
        report.locks[row.lock].kind == LOCK and row.waiter_function == "wait_for_a_thread_of_its_own"
        for row in report.lock_waits
    )


def wait_for_a_thread_of_its_own():
    held = threading.Lock()
    held.acquire()
    with gilprobe.trace(locks=True) as running:
        waiter = threading.current_thread()
        helper = threading.Thread(target=release_when_waited_for, args=(held, running, waiter))
        helper.start()
        with held:
            pass
        helper.join()


@needs_locks
def test_a_call_that_waits_even_alone_is_told_with_both_places():
    found = waited_locks.waited_locks(wait_for_a_thread_of_its_own, (1,), SHORT)
    waiting = [one for one in found if one.function == "wait_for_a_thread_of_its_own"]
    (waited,) = [one for one in waiting if one.kind == LOCK]  # to start a thread takes locks, too
    assert (waited.kind, waited.threads, waited.filename) == (LOCK, 1, __file__)
    assert waited.held_function == "release_when_waited_for"
    assert waited.wait_ns > 0
    assert 0 < waited.wait_share <= 1


@needs_locks
def test_a_call_without_locks_waits_for_none():
    assert waited_locks.waited_locks(partial(kernels.spin, 1000), (1, 2), SHORT) == ()


def test_where_locks_can_not_be_traced_nothing_is_said(monkeypatch):
    unable = dataclasses.replace(HERE, locks="none", locks_reason="no locks today")
    monkeypatch.setattr(waited_locks.host, "capabilities", lambda: unable)
    assert waited_locks.waited_locks(len, (1, 2), SHORT) is None


# ---- own objects ----


class Box:
    def __init__(self):
        self.items = []

    def put(self, item):
        self.items.append(item)


def test_own_objects_are_copies_of_arguments_and_of_the_methods_object():
    shared, box = [1], Box()
    calls = [
        on_own_objects(list.append, (shared, 2)),
        on_own_objects(shared.append, (2,)),
        on_own_objects(box.put, (2,)),
        on_own_objects(partial(list.append, shared), (2,)),
    ]
    for call in calls:
        call()
    assert (shared, box.items) == ([1], [])
    assert on_own_objects(time.sleep, ()) is None
    assert on_own_objects(Box, ()) is None


def test_each_member_of_a_team_has_a_call_of_its_own():
    made = [[], []]
    calls = OwnCalls([partial(one.append, 1) for one in made])
    for _ in range(2):
        threads = [threading.Thread(target=calls.make, args=(3,)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [len(one) for one in made] == [6, 6]


def request(own, threads=(1, 2)):
    return AuditRequest("it", NOTHING, NOTHING, threads, SHORT, lambda _label, _share: None, own)


def test_what_can_not_be_copied_is_a_doubt():
    calls, (doubt,) = auditor._own_calls(request(partial(on_own_objects, len, (threading.Lock(),))))
    assert calls == []
    assert doubt.startswith("own objects: it can't be called on copies: TypeError: ")
    assert auditor._own_calls(request(lambda: None)) == ([], ())
    assert auditor._own_calls(request(lambda: NOTHING, (1,))) == ([], ())
    assert auditor._own_calls(request(lambda: NOTHING)) == ([NOTHING, NOTHING], ())


def speedups(measured):
    return (Speedup(2, measured, measured, measured, None),)


@pytest.mark.parametrize(
    ("shared", "own", "said"),
    [
        (1.9, 1.9, ": scales (1.90 times with 2 threads)"),
        (
            0.5,
            1.9,
            ", but does not scale on shared objects (0.50 times with 2 threads; 1.90 times on own)",
        ),
        (0.5, 0.6, ", but does not scale (0.50 times with 2 threads; 0.60 times on own objects)"),
    ],
)
def test_the_verdict_says_whether_own_objects_help(shared, own, said):
    assert verdicts.verdict_without_gil(speedups(shared), 2, speedups(own)) == f"no GIL here{said}"


@without_gil
def test_without_a_gil_shared_and_own_objects_are_measured():
    found = gilprobe.audit(dict.update, {}, {1: 2}, threads=2, frame=SHORT)
    assert [speedup.threads for speedup in found.speedups] == [2]
    assert [speedup.threads for speedup in found.own_speedups] == [2]
    assert gilprobe.audit(time.sleep, 0.0001, threads=1, frame=SHORT).own_speedups == ()


def test_an_audit_in_this_process_names_what_switched_the_gil_on(monkeypatch):
    @contextlib.contextmanager
    def switches():
        yield ["an_old_extension"]

    monkeypatch.setattr(auditing, "switches_of_the_gil", switches)
    found = gilprobe.audit(len, (), threads=1, frame=SHORT)
    assert found.gil_switched_on_by == "an_old_extension"
    assert found.warnings[0] == "importing an_old_extension switched the GIL on"
