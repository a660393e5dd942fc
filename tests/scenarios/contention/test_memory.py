from __future__ import annotations

import pytest
from made_up_arms import arm, briefly

from gilprobe.scenarios.contention import memory
from gilprobe.scenarios.contention.memory import allowed_bytes, fitting, small_buffers

MIB = 1 << 20


def verdicts(stream, chase, threads=2, small=""):
    arms = (
        arm(10.0, 10.0, name="stream", threads=1),
        arm(100.0, 100.0, name="chase", threads=1),
        arm(stream, stream, name="stream", threads=threads),
        arm(chase, chase, name="chase", threads=threads),
    )
    return [law.verdict for law in memory._laws((1, threads), arms, small)]


def test_bandwidth_saturates_and_latency_does_not():
    assert verdicts(20.0, 105.0) == ["holds"] * 3
    assert verdicts(15.0, 101.0, threads=8) == ["holds"] * 3


def test_more_than_t_times_the_bandwidth_is_told():
    assert verdicts(25.0, 100.0) == ["does not hold", "holds", "does not hold"]


@pytest.mark.parametrize("chase", [60.0, 200.0])
def test_steps_that_change_with_the_threads_are_told(chase):
    assert verdicts(12.0, chase)[1] == "does not hold"


def test_latency_that_saturates_first_is_told():
    assert verdicts(20.0, 120.0)[2] == "does not hold"


def test_caches_do_not_tell_of_the_memorys_latency():
    assert verdicts(20.0, 500.0, small="too small") == ["holds", "not testable here"]


def test_a_thread_alone_can_not_tell():
    arms = (arm(1.0, 1.0, name="stream", threads=1), arm(1.0, 1.0, name="chase", threads=1))
    assert [law.verdict for law in memory._laws((1,), arms, "")] == ["not testable here"]


@pytest.mark.parametrize(
    ("available", "quick", "allowed"),
    [
        (None, False, 256 * MIB),
        (8 << 30, False, 256 * MIB),
        (400 * MIB, False, 100 * MIB),
        (8 << 30, True, 8 * MIB),
    ],
)
def test_a_sane_share_of_memory_is_taken(available, quick, allowed):
    assert allowed_bytes(available, quick=quick) == allowed


@pytest.mark.parametrize(
    ("sizes", "cache", "allowed", "kept", "buffer"),
    [
        ((1, 2), 32 * MIB, 256 * MIB, (1, 2), 64 * MIB),
        ((1, 2, 4, 16), 32 * MIB, 256 * MIB, (1, 2, 4), 64 * MIB),
        ((1, 2, 4), 512 * MIB, 256 * MIB, (1, 2), 128 * MIB),
        ((1, 2), 32 * MIB, 16 * MIB, (1, 2), 8 * MIB),
        ((1,), 32 * MIB, 16 * MIB, (1,), 16 * MIB),
        ((1, 4), None, 256 * MIB, (1, 4), 64 * MIB),
    ],
)
def test_buffers_are_larger_than_the_cache_if_they_can(sizes, cache, allowed, kept, buffer):
    found, size = fitting(sizes, cache, allowed)
    assert (found, size) == (kept, buffer)
    assert found[-1] * size <= allowed


def test_buffers_that_fit_into_the_cache_are_told():
    assert small_buffers(32 * MIB, 64 * MIB) == ""
    assert "8 MiB fit into the last-level cache of 32 MiB" in small_buffers(32 * MIB, 8 * MIB)
    assert "unknown" in small_buffers(None, 64 * MIB)


def test_a_short_run_has_both_kinds(monkeypatch):
    monkeypatch.setattr(memory, "QUICK_BYTES", MIB)
    monkeypatch.setattr(memory.host, "usable_cores", lambda: 2)
    result = briefly("memory")
    assert result.fact("buffer") <= MIB
    assert result.arm("stream", 1).unit == "GB/s"
    assert result.arm("chase", 1).unit == "ns/step"
    assert min(result.arm("chase", 1).samples) > 0
