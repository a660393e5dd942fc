"""Scenarios on a made-up machine: what the arms yield and what the trace saw is told, not measured."""

from __future__ import annotations

import contextlib
import dataclasses

import pytest

from gilprobe.measuring.measure import Measurement, Settings
from gilprobe.measuring.teams import MemberRun, TeamRun
from gilprobe.results import Arm, TracedArm
from gilprobe.scenarios.scenario import Observation, Request


@pytest.fixture
def ask(environment):
    """Return a function that makes a request."""

    def make(threads=(1, 2, 4), *, traced=True, **changes):
        return Request(
            threads=threads,
            frame=Settings(),
            environment=dataclasses.replace(environment, **changes),
            trace=contextlib.nullcontext if traced else None,
            trace_reason="" if traced else "no tracer today",
            progress=lambda _label, _share: None,
        )

    return make


@pytest.fixture
def observed(report, account):
    """Return a function that makes a stand-in for `observe` out of a model of the machine.

    `score` gives an arm's number from its name and threads; `shares` gives hold, wait and off, per mille of
    a worker's running time of one second.
    """

    def make(score, shares=lambda _name, _threads: (500, 500, 0)):
        def observe(request, plans):
            arms, traces, runs = [], [], []
            for plan in plans:
                value = float(score(plan.name, plan.threads))
                arms.append(Arm(plan.name, plan.threads, plan.unit, value, value, value, (value,) * 3))
                runs.append(
                    TeamRun(1, tuple(MemberRun(number, 0, 10**9, 10**9) for number in range(plan.threads)))
                )
                workers = [
                    account(f"worker {n}", *shares(plan.name, plan.threads), native_id=n)
                    for n in range(plan.threads)
                ]
                main = account("MainThread", 0, 0, 1000, native_id=99)
                traces.append(
                    TracedArm(plan.name, plan.threads, dataclasses.replace(report, threads=(main, *workers)))
                )
            measurement = Measurement(tuple(arms), (1,) * len(plans), ("a doubt",))
            if request.trace is None:
                return Observation(measurement, (), (), measurement.warnings)
            return Observation(measurement, tuple(traces), tuple(runs), measurement.warnings)

        return observe

    return make
