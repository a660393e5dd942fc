"""Arms whose numbers are told, and short real runs of scenarios."""

from __future__ import annotations

import statistics

from gilprobe import scenarios
from gilprobe.measuring.measure import Settings
from gilprobe.results import Arm, ResultSet

BRIEF = Settings(arm_ns=5_000_000, member_ns=0)


def arm(*samples, name="a", threads=2, unit="1/s"):
    """Return an arm with these samples, whose interval is their range."""
    return Arm(name, threads, unit, statistics.median(samples), min(samples), max(samples), samples)


def briefly(scenario_id):
    """Run a scenario for real, as short as can be; check what all results have in common."""
    result = scenarios.run(scenario_id, threads=(1, 2), repeat=2, quick=True, frame=BRIEF)
    assert result.id == scenario_id
    assert result.arms
    assert result.laws
    assert len({fact.name for fact in result.facts}) == len(result.facts)
    assert all(len(one.samples) == 2 for one in result.arms)
    results = ResultSet(result.environment, (result,))
    assert ResultSet.from_dict(results.to_dict()) == results
    return result
