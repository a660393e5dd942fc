"""CPU time of holds: computing and blocking with the GIL are told apart; it is not there unless asked for."""

from __future__ import annotations

import ctypes
import os
import threading
import time

import pytest
from tracer_checks import MAIN, check

import gilprobe
from gilprobe._native import tracer
from gilprobe.errors import InvalidTypeError
from gilprobe.render.text.trace_text import render_report
from gilprobe.report import Report
from gilprobe.tracing.loading import load

SUPPORTED, REASON = tracer.support()
needs_tracer = pytest.mark.skipif(not SUPPORTED, reason=f"the GIL can't be traced here: {REASON}")

usleep = ctypes.PyDLL(None).usleep  # keeps the GIL, unlike one of ctypes.CDLL
NAP_S = 0.03


def block():
    usleep(int(NAP_S * 1e6))


def main_of(report):
    (account,) = [thread for thread in report.threads if thread.name == MAIN]
    return account


def compute(cpu_s=0.03):
    """Use so much CPU time, however long that takes."""
    end = time.thread_time() + cpu_s
    while time.thread_time() < end:
        pass


@needs_tracer
def test_without_being_asked_for_it_is_not_there():
    with gilprobe.trace() as t:
        block()
    report = check(t.report())
    assert {thread.hold_cpu_s for thread in report.threads} == {None}
    assert {site.hold_cpu_s for site in report.sites} == {None}
    assert "hold_cpu_ns" not in str(report.to_dict())
    assert "CPU" not in render_report(report)


@pytest.mark.timing
@needs_tracer
def test_a_hold_that_is_blocked_uses_no_cpu_time_and_one_that_computes_does():
    with gilprobe.trace(cpu_time=True) as t:
        block()
        time.sleep(0.001)
        blocked = main_of(t.report())
        compute()
        time.sleep(0.001)
    account = main_of(check(t.report()))
    assert blocked.hold_s >= NAP_S
    assert blocked.hold_s - blocked.hold_cpu_s >= 0.9 * NAP_S
    assert account.hold_cpu_s - blocked.hold_cpu_s >= 0.03
    assert 0 <= account.hold_cpu_ns <= account.hold_ns


@needs_tracer
def test_what_is_under_way_counts_in_a_snapshot_and_at_the_end():
    with gilprobe.trace(cpu_time=True) as t:
        compute()
        snapshot = main_of(t.report())
        compute()
    assert snapshot.hold_cpu_s >= 0.03
    assert main_of(t.report()).hold_cpu_s >= 0.06


@pytest.mark.timing
@needs_tracer
def test_what_a_thread_used_before_the_trace_does_not_count():
    compute(0.1)
    with gilprobe.trace():
        compute(0.1)
        with gilprobe.trace(cpu_time=True) as inner:
            time.sleep(0.001)
        compute(0.1)
    assert main_of(inner.report()).hold_cpu_s < 0.1


@needs_tracer
def test_every_thread_and_site_has_its_own():
    worker = threading.Thread(target=lambda: (compute(0.05), time.sleep(0.001)), name="computes")
    with gilprobe.trace(cpu_time=True) as t:
        block()
        time.sleep(0.001)
        worker.start()
        worker.join()
    report = check(t.report())
    accounts = {thread.name: thread for thread in report.threads}
    assert accounts["computes"].hold_cpu_s >= 0.05
    # not equal: the clock of CPU time is read beside that of holds, and a site has no more than its hold
    beyond_ns = sum(thread.hold_cpu_ns for thread in report.threads)
    beyond_ns -= sum(site.hold_cpu_ns for site in report.sites)
    assert -1000 < beyond_ns < 5_000_000
    assert all(site.hold_cpu_ns <= site.hold_ns for site in report.sites)


@needs_tracer
def test_it_is_saved_recorded_and_shown(tmp_path):
    with gilprobe.trace(cpu_time=True, path=tmp_path / "a.gilprobe") as t:
        block()
        time.sleep(0.001)
    report = t.report()
    report.save(tmp_path / "a.json")
    assert Report.load(tmp_path / "a.json") == report
    assert load(tmp_path / "a.gilprobe").report.sites == report.sites
    shown = render_report(report)
    assert "of all holding" in shown
    assert "without CPU" in shown


@needs_tracer
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_counts_its_own():
    reader, writer = os.pipe()
    with gilprobe.trace(cpu_time=True) as t:
        compute(0.01)
        child = os.fork()
        if child == 0:
            try:
                compute()
                time.sleep(0.001)
                account = main_of(t.report())
                os.write(writer, b"%d %d" % (account.hold_cpu_ns, account.hold_ns))
            finally:
                os._exit(0)
        os.waitpid(child, 0)
    cpu_ns, hold_ns = map(int, os.read(reader, 100).split())
    os.close(reader)
    os.close(writer)
    assert 30_000_000 <= cpu_ns <= hold_ns


def test_the_option_must_be_a_bool():
    with pytest.raises(InvalidTypeError, match="cpu_time must be True or False, got 1"):
        gilprobe.trace(cpu_time=1)
