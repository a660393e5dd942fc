"""The convoy effect: one spinning thread makes a server of the same process a hundred times slower.

A server thread needs the GIL for only a few microseconds per request. But each of its blocking calls releases
the GIL, and a spinning thread takes it at once and keeps it for a whole switch interval. So the server waits
for that interval after each call, while the spinner is hardly slowed down (D. Beazley, "Understanding the
Python GIL", PyCon 2010).

A request that takes `base` alone, and has to wait w times, takes base + w * (interval + cost of a switch).
Base and cost are measured, and the trace counts w: often it is the number of releases, but a call that is
over before the spinner has woken up costs nothing. With k spinners the server may have to wait for all of
them each time, or just for one.

The client is another process. The same experiment on another machine: V. Skvortsov (r4victor), "Python behind
the scenes #13": 30,000 requests a second alone, 100 beside one spinner at 5 ms, 11,000 at 10 us. Without a
GIL the server is as fast as before, if there is a core for it.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from gilprobe.durations import duration
from gilprobe.measuring.measure import Trial
from gilprobe.model.confidence import ratio_interval
from gilprobe.results import Fact, Law
from gilprobe.scenarios.contention.python_loop import countdown
from gilprobe.scenarios.laws import claim, untestable, verdict
from gilprobe.scenarios.scenario import Findings, Request, Scenario, observe_trials
from gilprobe.scenarios.support.costs import handoff_s, lateness_s
from gilprobe.scenarios.support.loopback import PATIENCE_S, Answers, EchoClient, EchoServer
from gilprobe.scenarios.support.switching import ORDINARY_S, key, switch_interval

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gilprobe.report import ThreadAccount
    from gilprobe.results import Arm, TracedArm

_STEPS = 2_000
_ABOUT = 1.4
"""Factor within which a rate is "about" the expected one: the machine's part of a request varies."""

_UNHURT = 0.5


@dataclass(frozen=True, slots=True)
class ConvoyPlan:
    """One arm: a number of spinning threads beside the server, and a switch interval."""

    spinners: int
    interval_s: float

    @property
    def name(self) -> str:
        """The arm's name."""
        if not self.spinners:
            return "alone"
        plural = "s" if self.spinners > 1 else ""
        return f"{self.spinners} spinner{plural}, {duration(self.interval_s)}"

    @property
    def key(self) -> str:
        """The end of its facts' names."""
        if not self.spinners:
            return "alone"
        return f"{self.spinners}_{key(self.interval_s)}"


@dataclass(frozen=True, slots=True)
class TracedServer:
    """A traced run: requests a second, and the server's waits and releases per request."""

    rate: float
    waits: float
    releases: float


PLANS = (
    ConvoyPlan(0, ORDINARY_S),
    ConvoyPlan(1, ORDINARY_S),
    ConvoyPlan(2, ORDINARY_S),
    ConvoyPlan(1, 1e-3),
    ConvoyPlan(1, 1e-4),
    ConvoyPlan(1, 1e-5),
)

QUICK_PLANS = (ConvoyPlan(0, ORDINARY_S), ConvoyPlan(1, ORDINARY_S), ConvoyPlan(1, 1e-4))

UNITS = {"": "requests/s", "p50": "s", "p99": "s"}


def measure(request: Request) -> Findings:
    """Measure a server beside spinning threads, under several switch intervals."""
    plans = QUICK_PLANS if request.quick else PLANS
    latest: dict[ConvoyPlan, Answers] = {}
    with EchoClient() as client:
        trials = [
            Trial(
                plan.name,
                plan.spinners + 1,
                UNITS,
                partial(_ask, plan, client, request.frame.arm_ns, latest),
            )
            for plan in plans
        ]
        seen = observe_trials(request, trials, warm_up=not request.quick)
    arms = dict(zip(plans, seen.measurement.arms[:: len(UNITS)], strict=True))
    alone = arms[plans[0]]
    facts = [
        Fact(f"slowdown_{plan.key}", alone.median / arm.median, "")
        for plan, arm in arms.items()
        if plan.spinners
    ]
    counted: dict[ConvoyPlan, TracedServer] = {}
    for plan, traced in zip(plans, seen.traces, strict=False):  # the latest runs are the traced ones
        counted[plan] = _counted(traced, latest[plan])
        facts.append(Fact(f"releases_per_request_{plan.key}", counted[plan].releases, ""))
        facts.append(Fact(f"waits_per_request_{plan.key}", counted[plan].waits, ""))
    laws = [*_laws(request, arms, counted)]
    return Findings(seen.measurement.arms, tuple(facts), tuple(laws), seen.traces, seen.warnings)


@contextmanager
def _spinning(threads: int) -> Iterator[None]:
    """Within the block, threads spin; they check every few thousand steps whether it is over."""
    over = threading.Event()

    def spin() -> None:
        while not over.is_set():
            countdown(_STEPS)

    spinners = [
        threading.Thread(target=spin, name=f"spinner {number + 1}", daemon=True) for number in range(threads)
    ]
    try:
        for spinner in spinners:
            spinner.start()
        yield
    finally:
        over.set()
        for spinner in spinners:
            spinner.join(PATIENCE_S)


def _ask(
    plan: ConvoyPlan, client: EchoClient, duration_ns: int, latest: dict[ConvoyPlan, Answers]
) -> dict[str, float]:
    with EchoServer() as server:
        client.connect(server)
        with switch_interval(plan.interval_s), _spinning(plan.spinners):
            asked = client.ask(duration_ns)
        client.close()
    latest[plan] = asked
    return {"": asked.rate, "p50": asked.p50_s, "p99": asked.p99_s}


def _counted(traced: TracedArm, asked: Answers) -> TracedServer:
    account = _server(traced)
    if account is None:
        return TracedServer(asked.rate, 0.0, 0.0)
    requests = asked.requests
    return TracedServer(
        asked.rate, account.contended_acquisitions / requests, account.voluntary_releases / requests
    )


def _server(traced: TracedArm) -> ThreadAccount | None:
    return next((a for a in traced.report.threads if a.name == EchoServer.NAME), None)


def _laws(
    request: Request, arms: dict[ConvoyPlan, Arm], counted: dict[ConvoyPlan, TracedServer]
) -> Iterator[Law]:
    alone = next(arm for plan, arm in arms.items() if not plan.spinners)
    handoff = handoff_s(request.frame.clock) if request.gil_enabled else 0.0
    for plan, arm in arms.items():
        if not plan.spinners:
            continue
        if not request.gil_enabled:
            yield _unhurt_law(request, plan, arm, alone)
        elif plan not in counted:
            yield untestable(_text(plan), "1/(base + waits * interval)", request.trace_reason)
        else:
            late = lateness_s(min(plan.interval_s, 1e-3), request.frame.clock)
            yield _convoy_law(plan, counted[plan], alone, plan.interval_s + late + handoff)


def _text(plan: ConvoyPlan) -> str:
    return f"1/(base + waits * (interval + switch)): {plan.name}"


def _convoy_law(plan: ConvoyPlan, counted: TracedServer, alone: Arm, switch_s: float) -> Law:
    """Return the law that a request takes its base plus a switch for each traced wait.

    The base is its time alone, with its interval. Each wait ends after one spinner's turn at best, after the
    turns of all at worst. Rate and waits are from the same run: both depend on where the system puts the
    threads, which differs from run to run.
    """
    waits_s = counted.waits * switch_s
    high = _ABOUT / (1 / alone.high + waits_s)
    low = 1 / (1 / alone.low + plan.spinners * waits_s) / _ABOUT
    return Law(
        text=_text(plan),
        expected=f"{low:.0f} to {high:.0f} requests/s with {counted.waits:.2f} waits each",
        measured=f"{counted.rate:.0f} (in the traced run)",
        verdict=verdict(low <= counted.rate <= high),
        claim=claim(counted.rate, low, high, "requests/s", about=plan.name),
    )


def _unhurt_law(request: Request, plan: ConvoyPlan, arm: Arm, alone: Arm) -> Law:
    """Return the law that without a GIL the server keeps its pace, if all have a core."""
    text = f"no GIL: about as fast as alone: {plan.name}"
    busy = plan.spinners + 2
    if request.environment.cores < busy:
        reason = f"{request.environment.cores} usable cores for {busy} threads"
        return untestable(text, f">= {_UNHURT:.0%}", reason)
    ratio, least, most = shares = ratio_interval(arm, alone)
    return Law(
        text=text,
        expected=f">= {_UNHURT:.0%}",
        measured=f"{ratio:.0%} ({least:.0%} to {most:.0%})",
        verdict=verdict(most >= _UNHURT),
        claim=claim(shares, _UNHURT, None, "share", about=plan.name),
    )


SCENARIO = Scenario(
    id="convoy",
    title="A spinning thread slows a server of the same process down: the convoy effect",
    group="contention",
    measure=measure,
)
