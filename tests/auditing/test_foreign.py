"""An extension of other people's, in C and in Cython: each habit is described as what it is."""

from __future__ import annotations

import sysconfig

import downstream
import pytest

import gilprobe
from gilprobe.auditing import Statement, audit_statement
from gilprobe.auditing.own_process import AuditOrder, audit_apart
from gilprobe.measuring.measure import Settings

FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
SHORT = Settings(repeat=3, arm_ns=50_000_000, member_ns=0)
CAPABLE = gilprobe.capabilities()


@pytest.fixture(scope="module")
def audit(tmp_path_factory):
    """Return a function that audits a statement about the extension.

    In a process of its own where that matters: an interpreter without a GIL may get one.
    """
    if CAPABLE.gil_enabled and CAPABLE.tracer == "none":
        pytest.skip("no tracer here")
    modules = downstream.build("releasing", tmp_path_factory.mktemp("releasing"))

    def audit(module, source, threads=(1,)):
        setup = f"import sys; sys.path.insert(0, {str(modules)!r}); import {module} as m; sys.path.pop(0)"
        statement = Statement(source, setup)
        if FREE_THREADED:
            outcome = audit_apart(AuditOrder(statement, threads, repeat=3, quick=True), 120.0)
            return outcome.answer or outcome.complaint
        return audit_statement(statement, threads=threads, settings=SHORT, progress=lambda *_: None)

    return audit


HABITS = [
    ("m.hold(500)", "holds"),
    ("m.turns(0, 1000, 0)", "releases"),
    ("m.turns(500, 500, 0)", "releases late: holds for the first "),
    ("m.turns(0, 500, 500)", "releases, then holds for the last "),
    ("m.turns(0, 50, 0, 50)", "releases but returns for the GIL 50 times a call"),
    ("m.block(5000)", "holds while blocked in the kernel"),
]


def audit_until(audit, module, source, said):
    """Audit until it is said: what waits for a core seems longer than it is. Return the last result."""
    for _ in range(5):
        found = audit(module, source)
        if found.verdict.startswith(said):
            break
    return found


@pytest.mark.timing
@pytest.mark.parametrize(("source", "said"), HABITS)
def test_each_habit_of_a_c_extension_is_described(audit, source, said):
    found = audit_until(audit, "releasing_c", source, said)
    assert found.verdict.startswith(said), found


@pytest.mark.timing
@pytest.mark.skipif(FREE_THREADED, reason="it declares that it needs no GIL, and gets none")
@pytest.mark.parametrize(("source", "said"), [HABITS[0], HABITS[2], HABITS[5]])
def test_each_habit_of_a_cython_extension_is_described(audit, source, said):
    found = audit_until(audit, "releasing_cython", source, said)
    assert found.verdict.startswith(said), found


def test_native_threads_that_call_back_are_the_calls_own(audit):
    said = "releases, but threads of its own hold the GIL for "
    found = audit_until(audit, "releasing_c", "m.call_back(lambda: m.hold(3000))", said)
    assert found.verdict.startswith(said), found
    assert found.others_hold_ns >= 3_000_000


def test_a_module_that_switches_the_gil_on_is_named(audit):
    found = audit("releasing_c", "m.hold(1000)")
    assert found.gil_switched_on_by == ("releasing_c" if FREE_THREADED and not CAPABLE.gil_enabled else "")


@pytest.mark.skipif(CAPABLE.gil_enabled, reason="there is a GIL")
def test_a_module_that_can_do_without_leaves_the_gil_off(audit):
    found = audit("releasing_cython", "m.hold(5000)", threads=(1, 2))
    assert found.gil_switched_on_by == ""
    assert found.released_fraction is None
    assert found.verdict.startswith("no GIL here")
