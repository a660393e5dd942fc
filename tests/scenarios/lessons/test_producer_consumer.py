from __future__ import annotations

import dataclasses

import pytest
from made_up_runs import cell_run, trials_observed, verdicts

from gilprobe import scenarios
from gilprobe.errors import TimeLimitError
from gilprobe.measuring.measure import Settings
from gilprobe.scenarios.lessons import producer_consumer
from gilprobe.scenarios.lessons.producer_consumer import CHANNELS, ONE_SLOT, WITH_ROOM, Exchange
from gilprobe.scenarios.support import roles

SHORT = Settings(arm_ns=3_000_000, member_ns=0)


def findings_of(monkeypatch, request, rate, report, account, taken):
    """Measure on a machine whose producer and consumer take the GIL `taken` times each."""

    def report_of(_name, _threads):
        threads = tuple(account(name, acquisitions=taken) for name in ("producer", "consumer"))
        return dataclasses.replace(report, threads=threads)

    observe = trials_observed(lambda name, _threads: {"": rate(name)}, report_of, live=True)
    monkeypatch.setattr(producer_consumer, "observe_trials", observe)
    monkeypatch.setattr(producer_consumer, "run_cell", lambda _cell: cell_run(exit_s=0.1))
    return producer_consumer.SCENARIO.measure(dataclasses.replace(request, frame=SHORT))


def test_turns_through_one_slot_are_recognised(monkeypatch, ask, report, account):
    found = findings_of(
        monkeypatch, ask(), lambda name: 9.0 if name == WITH_ROOM else 3.0, report, account, 10**7
    )
    laws = verdicts(found)
    assert laws["every message arrives, once and in order"] == "holds"
    assert laws["a queue with room passes more than one with a single slot"] == "holds"
    assert {laws[f"GIL taken for each message: {name}"] for name in ONE_SLOT} == {"holds"}
    assert laws[f"GIL taken for each message: {WITH_ROOM}"] == "does not hold"


def test_a_slot_without_turns_is_told(monkeypatch, ask, report, account):
    found = findings_of(monkeypatch, ask(), lambda name: 1.0 + (name != WITH_ROOM), report, account, 0)
    laws = verdicts(found)
    assert laws["a queue with room passes more than one with a single slot"] == "does not hold"
    assert {laws[f"GIL taken for each message: {name}"] for name in ONE_SLOT} == {"does not hold"}
    assert laws[f"GIL taken for each message: {WITH_ROOM}"] == "holds"


def test_without_a_trace_the_reason_is_told(monkeypatch, ask, report, account):
    found = findings_of(monkeypatch, ask(traced=False), lambda _name: 1.0, report, account, 0)
    untested = [law for law in found.laws if law.verdict == "not testable here"]
    assert [law.measured for law in untested] == ["no tracer today"] * len(CHANNELS)


@pytest.mark.parametrize("name", CHANNELS)
def test_messages_arrive_once_and_in_order(name):
    exchange = Exchange(name, 3_000_000)
    assert exchange.run()[""] > 0
    assert exchange.right == [True]
    assert exchange.sent == len(exchange.received) > 0


def test_a_message_that_never_comes_is_given_up(monkeypatch):
    monkeypatch.setattr(producer_consumer, "PATIENCE_S", 0.01)
    with pytest.raises(TimeLimitError, match="a message must come within"):
        producer_consumer.OneSlot().get()


def test_what_a_role_raises_is_raised():
    with pytest.raises(ZeroDivisionError):
        roles.act([lambda: 1 / 0, lambda: None])


def test_a_real_run_prints_the_messages():
    result = scenarios.run("producer-consumer", threads=(1, 2), repeat=2, frame=SHORT)
    assert {arm.name for arm in result.arms} == set(CHANNELS)
    for message in range(3):
        assert f"Consumer: got message {message}." in result.printed
