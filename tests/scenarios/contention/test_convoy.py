from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading

import pytest
from made_up_arms import arm, briefly

import gilprobe
from gilprobe.errors import TimeLimitError, UnsupportedError
from gilprobe.results import TracedArm
from gilprobe.scenarios.contention import convoy
from gilprobe.scenarios.contention.convoy import ConvoyPlan, TracedServer
from gilprobe.scenarios.support import echo_client, loopback
from gilprobe.scenarios.support.loopback import EchoClient, EchoServer

ONE = ConvoyPlan(1, 0.005)
TWO = ConvoyPlan(2, 0.005)


@pytest.mark.parametrize(
    ("plan", "rate", "waits", "verdict"),
    [
        (ONE, 98, 2.0, "holds"),  # 2 waits of 5 ms each
        (ONE, 190, 1.0, "holds"),
        (ONE, 190, 2.0, "does not hold"),
        (ONE, 40, 2.0, "does not hold"),
        (TWO, 45, 2.0, "holds"),  # both spinners have their turn each time
        (TWO, 98, 2.0, "holds"),
        (TWO, 20, 2.0, "does not hold"),
        (ONE, 9_000, 0.01, "holds"),  # hardly ever waits
    ],
)
def test_a_request_takes_as_many_intervals_as_it_waits(plan, rate, waits, verdict):
    assert (
        convoy._convoy_law(plan, TracedServer(rate, waits, 2.0), arm(20_000, 20_000), 0.005).verdict
        == verdict
    )


def test_without_a_gil_the_server_keeps_its_pace(ask):
    request = ask(build="free-threaded", gil_enabled=False, traced=False, cores=4)
    alone = arm(30_000, 30_000)
    verdicts = [convoy._unhurt_law(request, ONE, arm(rate, rate), alone).verdict for rate in (25_000, 300)]
    assert verdicts == ["holds", "does not hold"]
    few = ask(build="free-threaded", gil_enabled=False, traced=False, cores=2)
    assert convoy._unhurt_law(few, ONE, arm(300, 300), alone).verdict == "not testable here"


def test_without_a_tracer_waits_are_not_counted(ask):
    arms = {ConvoyPlan(0, 0.005): arm(100, 100), ONE: arm(10, 10)}
    (law,) = convoy._laws(ask(traced=False), arms, {})
    assert (law.verdict, law.measured) == ("not testable here", "no tracer today")


def test_the_servers_account_is_counted_for_each_request(report, account):
    whole = report.__class__(
        **{
            **{name: getattr(report, name) for name in report.__slots__},
            "threads": (account("spinner 1"), account("echo server", voluntary_releases=20)),
        }
    )
    asked = loopback.Answers(10, 2.0, 0.1, 0.2)
    assert convoy._counted(TracedArm("x", 2, whole), asked) == TracedServer(5.0, 0.5, 2.0)


def test_quantiles_are_by_rank():
    ranked = list(range(1, 101))
    assert (echo_client.quantile(ranked, 50), echo_client.quantile(ranked, 99)) == (50, 99)
    assert echo_client.quantile([7], 99) == 7
    assert echo_client.quantile([], 50) == 0


def test_server_and_client_end_whatever_happens():
    threads = set(threading.enumerate())
    with contextlib.suppress(ZeroDivisionError), EchoClient() as client, EchoServer() as server:
        client.connect(server)
        assert client.ask(1_000_000).requests > 0
        assert 1 / 0
    assert set(threading.enumerate()) == threads
    assert client._group.how_ended()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", server.port), timeout=120)


def test_a_server_that_nobody_asks_ends():
    with EchoServer() as server:
        assert server.port > 0
    assert EchoServer.NAME not in {thread.name for thread in threading.enumerate()}


def test_a_client_that_is_silent_or_gone_is_told(monkeypatch):
    with EchoClient() as client, socket.create_server(("127.0.0.1", 0)) as mute:
        client.connect(type("Mute", (), {"port": mute.getsockname()[1]}))
        monkeypatch.setattr(loopback, "PATIENCE_S", 0.05)
        with pytest.raises(TimeLimitError, match="must answer within"):
            client.ask(1_000_000)
        os.kill(client._group.pid, signal.SIGKILL)
        assert client._group.wait(120)
        with pytest.raises(UnsupportedError, match="client process is gone"):
            client.ask(1_000_000)


def test_a_short_run_leaves_nothing_behind():
    before = sys.getswitchinterval(), set(threading.enumerate())
    result = briefly("convoy")
    assert (sys.getswitchinterval(), set(threading.enumerate())) == before
    assert [one.name for one in result.arms][:3] == ["alone", "alone, p50", "alone, p99"]
    assert result.fact("slowdown_1_5ms") > 0
    if gilprobe.capabilities().tracer == "exact":
        # two a request; the few of the run's beginning count where a busy machine answers few requests
        assert result.fact("releases_per_request_alone") > 1.5
