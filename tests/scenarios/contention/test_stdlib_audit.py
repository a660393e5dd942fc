from __future__ import annotations

import importlib.util
from contextlib import ExitStack
from pathlib import Path

import pytest

import gilprobe
from gilprobe import scenarios
from gilprobe.auditing import release_size
from gilprobe.auditing.traced_calls import Sample
from gilprobe.measuring.measure import Settings
from gilprobe.results import Arm, ResultSet
from gilprobe.scenarios.contention import stdlib_audit
from gilprobe.scenarios.contention.stdlib_audit import SizedCall
from gilprobe.scenarios.support import stdlib_calls
from gilprobe.scenarios.support.stdlib_calls import CALLS, Call

SHORT = Settings(arm_ns=5_000_000, member_ns=0)
HELD = Sample(calls=10, plain_ns=1000, hold_ns=1000, off_ns=0, releases=0)
RELEASED = Sample(calls=10, plain_ns=1300, hold_ns=400, off_ns=900, releases=10)

needs_tracer = pytest.mark.skipif(gilprobe.capabilities().tracer == "none", reason="no tracer here")


def sized_call_of(name, *samples):
    (call,) = (call for call in CALLS if call.name == name)
    return SizedCall(call, call.sizes[0], lambda: None, 10, list(samples))


def arm_of(name, share):
    return Arm(name, 1, "", share, share, share, (share, share))


def test_a_call_that_the_trace_slows_down_is_told():
    usual = sized_call_of("os.stat", RELEASED, RELEASED)
    assert list(stdlib_audit.slowed([usual])) == []
    slow = sized_call_of("os.stat", Sample(calls=10, plain_ns=200, hold_ns=400, off_ns=600, releases=10))
    assert list(stdlib_audit.slowed([slow])) == [("os.stat, 1 folder", 5.0)]


@pytest.mark.parametrize("least", [65, 2048, 2049, 4095, 4096])
def test_the_size_at_which_a_call_begins_to_release_is_found_to_the_byte(monkeypatch, least):
    call = Call("made up", (64, 4096), "bytes", lambda size, _stack: lambda: size)
    monkeypatch.setattr(release_size, "sample", lambda make, _calls: RELEASED if make() >= least else HELD)
    assert stdlib_audit.least_size(call, 64, 4096) == least


def test_a_module_that_is_expected_never_to_release_and_does_is_told():
    all_sized = [sized_call_of("json.dumps", HELD), sized_call_of("json.loads", HELD)]
    laws = list(stdlib_audit.never_laws(all_sized, [arm_of("a", 0.0), arm_of("b", 0.0)]))
    assert [law.verdict for law in laws] == ["holds"]
    laws = list(stdlib_audit.never_laws(all_sized, [arm_of("a", 0.0), arm_of("b", 0.2)]))
    assert [law.verdict for law in laws] == ["does not hold"]


@pytest.mark.parametrize(
    ("sample", "steps", "found", "verdict"),
    [
        (HELD, {"zlib.crc32": 5121}, "5,121 bytes", "holds"),
        (HELD, {"zlib.crc32": 5120}, "5,120 bytes", "does not hold"),
        (HELD, {}, "none", "does not hold"),
        (RELEASED, {}, "every size", "does not hold"),
    ],
)
def test_another_step_than_expected_is_told(sample, steps, found, verdict):
    expected = stdlib_audit.expected_steps("3.14.0")
    (law,) = stdlib_audit.step_laws([sized_call_of("zlib.crc32", sample)], steps, expected)
    assert (law.measured, law.verdict) == (found, verdict)


def test_hashes_are_expected_to_release_a_byte_later_from_3_15_on():
    assert stdlib_audit.expected_steps("3.14.2")["hashlib.md5"] == 2048
    assert stdlib_audit.expected_steps("3.15.0a1")["hashlib.md5"] == 2049


def test_a_sleep_that_keeps_others_waiting_is_told():
    laws = list(
        stdlib_audit.blocking_laws([arm_of("time.sleep, 1 us", 0.99), arm_of("time.sleep, 2 us", 0.5)])
    )
    assert [law.verdict for law in laws] == ["holds", "does not hold"]


def test_without_a_tracer_nothing_is_measured(ask):
    found = stdlib_audit.SCENARIO.measure(ask(traced=False))
    assert found.arms == ()
    assert [(law.verdict, law.measured) for law in found.laws] == [("not testable here", "no tracer today")]


@needs_tracer
def test_what_this_interpreter_lacks_is_said(monkeypatch):
    def fails(_size, _stack):
        raise OSError("no network")

    calls = (
        stdlib_calls.bytes_call("no_such_module", "compress", quick=True),
        Call("socket", (1,), "bytes", fails, quick=True),
        *(call for call in CALLS if call.name == "struct.pack"),
    )
    monkeypatch.setattr(stdlib_audit, "CALLS", calls)
    result = scenarios.run("stdlib-audit", repeat=2, frame=SHORT)
    assert {arm.name.partition(",")[0] for arm in result.arms} == {"struct.pack"}
    said = "\n".join(result.warnings)
    assert "not in this interpreter: no_such_module.compress" in said
    assert "not possible here: socket (no network)" in said


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.name)
def test_every_call_can_be_made_with_its_sizes(call):
    with ExitStack() as stack:
        for size in call.sizes[:2]:
            try:
                make = call.prepare(size, stack)
            except ImportError:
                pytest.skip("not in this interpreter")
            make()
            make()


@pytest.mark.parametrize(
    ("size", "unit", "shown"),
    [
        (64, "bytes", "64 B"),
        (1500, "bytes", "1,500 B"),
        (4096, "bytes", "4 KiB"),
        (1 << 20, "bytes", "1 MiB"),
        (1000, "rows", "1,000 rows"),
    ],
)
def test_sizes_are_said_in_words(size, unit, shown):
    assert stdlib_calls.shown_size(size, unit) == shown


@needs_tracer
def test_a_first_look_finds_what_is_known_of_every_version(tmp_path, capsys):
    result = scenarios.run("stdlib-audit", repeat=2, quick=True, frame=SHORT)
    assert result.arm("pickle.dumps, 10 items", 1).samples == (0.0, 0.0)
    assert result.arm("hashlib.sha256, 64 B", 1).samples == (0.0, 0.0)
    assert 0 < result.arm("hashlib.sha256, 64 KiB", 1).median <= 1
    assert result.fact("step_zlib.crc32") == stdlib_audit.CHECKSUM_STEP
    path = tmp_path / "result.json"
    ResultSet(result.environment, (result,)).save(path)
    table = _table(path, capsys)
    version = ".".join(result.environment.python.split(".")[:2])
    assert f"| call | size | {version} |" in table
    assert "| `zlib.crc32` | **from** | **5,121 B** |" in table
    assert "| `pickle.dumps` | 10 items | never |" in table


def _table(path, capsys):
    """Return what the page's generator writes about a saved result."""
    script = Path(__file__).resolve().parents[3] / "docs" / "stdlib_audit.py"
    spec = importlib.util.spec_from_file_location("stdlib_audit_page", script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.main([str(path)]) == 0
    return capsys.readouterr().out
