"""`gilprobe.audit`: what calls of a known kind are said to do."""

from __future__ import annotations

import json
import time
from functools import partial

import pytest

import gilprobe
from gilprobe import kernels
from gilprobe.errors import InvalidTypeError, InvalidValueError
from gilprobe.measuring.measure import Settings

SHORT = Settings(repeat=2, arm_ns=20_000_000, member_ns=0)
TRACED = gilprobe.capabilities().tracer == "exact"

needs_tracer = pytest.mark.skipif(not TRACED, reason="no tracer here")
audit = partial(gilprobe.audit, threads=1, frame=SHORT)


@needs_tracer
def test_a_call_that_holds_is_said_to_hold():
    found = audit(json.dumps, list(range(3000)))
    assert (found.verdict, found.released_fraction, found.releases) == ("holds", 0.0, 0)
    assert found.name == "json.dumps"
    assert found.holds.per_call == 1
    assert found.hold_s > 0
    assert found.released_s == 0
    assert found.speedup is None


@pytest.mark.timing
@needs_tracer
def test_a_call_that_waits_without_the_gil_is_said_to_release():
    found = audit(time.sleep, 0.03)
    assert found.verdict.startswith("releases")
    assert found.released_fraction > 0.5, "nearly all; on a busy machine a core may be missing afterwards"
    assert found.released_low <= found.released_fraction <= found.released_high
    assert found.releases == 1
    assert found.holds.per_call == 2


@pytest.mark.timing
@needs_tracer
def test_half_a_call_is_half_released():
    found = audit(partial(kernels.alternate, 40, held_ns=100_000, released_ns=100_000))
    assert 0.1 < found.released_fraction < 0.9, (
        "about half; on a busy machine a core may be missing in either part"
    )
    assert found.releases == 40
    assert found.verdict.endswith("but returns for the GIL 40 times a call")


@pytest.mark.timing
def test_speedups_are_measured_beside_what_is_possible():
    told = []
    found = gilprobe.audit(
        time.sleep,
        0.002,
        threads=(2,),
        frame=SHORT,
        progress=lambda label, share: told.append((label, share)),
    )
    (speedup,) = found.speedups
    assert speedup.threads == 2
    assert found.speedup == speedup.measured > 1.2, "sleeping takes no core and no GIL"
    assert speedup.low <= speedup.measured <= speedup.high
    assert (speedup.allowed is not None) == TRACED
    shares = [share for _, share in told]
    assert shares == sorted(shares)
    assert 0 <= shares[0] <= shares[-1] <= 1


@pytest.mark.skipif(gilprobe.capabilities().gil_enabled, reason="there is a GIL")
def test_without_a_gil_nothing_is_said_of_holds():
    found = gilprobe.audit(kernels.spin, 100_000, threads=(1, 2), frame=SHORT)
    assert found.verdict.startswith("no GIL here")
    assert (found.released_fraction, found.hold_s, found.released_s, found.holds) == (None, None, None, None)


def test_what_the_function_raises_is_handed_on():
    with pytest.raises(ZeroDivisionError):
        audit(divmod, 1, 0)


@pytest.mark.parametrize(
    ("arguments", "error", "rule"),
    [
        ({"function": 3}, InvalidTypeError, "function must be callable, got 3"),
        ({"name": 3}, InvalidTypeError, "name must be a string, got 3"),
        ({"threads": 0}, InvalidValueError, "threads must be between 1 and 1024, got 0"),
        ({"threads": "2"}, InvalidTypeError, "threads must be a sequence of integers"),
        ({"threads": ()}, InvalidValueError, "threads must contain at least one number"),
        ({"repeat": 1}, InvalidValueError, "repeat must be between 2 and 1000, got 1"),
    ],
)
def test_unusable_arguments_are_refused(arguments, error, rule):
    whole = {"function": len, **arguments}
    with pytest.raises(error, match=rule):
        gilprobe.audit(whole.pop("function"), (), **whole)


def test_names_are_those_of_the_functions():
    from gilprobe.auditing import name_of

    assert name_of(json.dumps) == "json.dumps"
    assert name_of(len) == "len"
    assert name_of(partial(time.sleep, 1)) == "time.sleep"
