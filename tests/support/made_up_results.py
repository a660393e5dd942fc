"""Results of scenarios whose numbers are told."""

from __future__ import annotations

import dataclasses

from made_up_arms import arm

from gilprobe.results import Law, ScenarioResult
from gilprobe.scenarios.laws import speedup_law

ARMS = (
    arm(9.9, 10.0, 10.1, name="held", threads=1, unit="operations/s"),
    arm(9.8, 9.9, 10.0, name="held", threads=2, unit="operations/s"),
    arm(9.7, 9.8, 9.9, name="held", threads=4, unit="operations/s"),
    arm(9.9, 10.0, 10.1, name="released", threads=1, unit="operations/s"),
    arm(19.0, 19.5, 20.0, name="released", threads=2, unit="operations/s"),
    arm(19.2, 19.6, 20.0, name="released", threads=4, unit="operations/s"),
)
_HELD, _HELD_2, _HELD_4, _RELEASED, _RELEASED_2, _RELEASED_4 = ARMS
LAWS = (
    speedup_law("held: as fast as one", _HELD_2, _HELD, 0.9, 1.05),
    speedup_law("held: as fast as one", _HELD_4, _HELD, 0.9, 1.05),
    speedup_law("released: min(T, N)", _RELEASED_2, _RELEASED, 1.9, 2.1),
    speedup_law("released: min(T, N)", _RELEASED_4, _RELEASED, 0.0, 1.5),
    Law("released: off, 4 threads", "off >= 95%", "no tracer", "not testable here"),
)


def made_up(environment, *, arms=ARMS, laws=LAWS, name="held-vs-released", **changes):
    """Return a result; of a team that holds and one that releases, unless told otherwise."""
    whole = ScenarioResult(
        id=name,
        title="The same loop twice",
        arms=tuple(arms),
        facts=(),
        laws=tuple(laws),
        printed="",
        traces=(),
        environment=environment,
        warnings=(),
    )
    return dataclasses.replace(whole, **changes)


def free_threaded(environment):
    """Return the environment of a free-threaded build."""
    return dataclasses.replace(environment, python="3.13.5", build="free-threaded", gil_enabled=False)
