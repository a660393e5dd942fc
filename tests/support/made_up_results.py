"""Results of scenarios whose numbers are told."""

from __future__ import annotations

import dataclasses

from made_up_arms import arm

from gilprobe.results import Law, ScenarioResult

ARMS = (
    arm(9.9, 10.0, 10.1, name="held", threads=1, unit="operations/s"),
    arm(9.8, 9.9, 10.0, name="held", threads=2, unit="operations/s"),
    arm(9.7, 9.8, 9.9, name="held", threads=4, unit="operations/s"),
    arm(9.9, 10.0, 10.1, name="released", threads=1, unit="operations/s"),
    arm(19.0, 19.5, 20.0, name="released", threads=2, unit="operations/s"),
    arm(19.2, 19.6, 20.0, name="released", threads=4, unit="operations/s"),
)
LAWS = (
    Law("held: as fast as one, 2 threads", "0.90x to 1.05x", "0.99x (0.97x to 1.01x)", "holds"),
    Law("held: as fast as one, 4 threads", "0.90x to 1.05x", "0.98x (0.97x to 0.99x)", "holds"),
    Law("released: min(T, N), 2 threads", "1.90x to 2.10x", "1.95x (1.91x to 1.99x)", "holds"),
    Law("released: min(T, N), 4 threads", "<= 1.50x", "1.96x (1.93x to 1.99x)", "does not hold"),
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
