"""Cells and trials on a made-up machine: what was printed when, and what was measured, is told."""

from __future__ import annotations

from gilprobe.measuring.measure import Measurement
from gilprobe.results import Arm, TracedArm
from gilprobe.scenarios.scenario import Observation
from gilprobe.scenarios.support.cells import CellObservation, CellRun

REPEAT = 3


def arm(name, threads, unit, *samples):
    """Return an arm with these samples, whose interval reaches from the least to the greatest."""
    ordered = sorted(map(float, samples))
    return Arm(name, threads, unit, ordered[len(ordered) // 2], ordered[0], ordered[-1], tuple(samples))


def cell_run(*lines, exit_s, status=0, cut=False):
    """Return the run of a cell that printed lines at some times: ``(0.1, "Main    : all done.")``."""
    return CellRun(tuple((at, f"{line}\n") for at, line in lines), exit_s, status, cut)


def cells_observed(model, report_of=None):
    """Return a stand-in for `observe_cells`.

    `model` gives the run of a plan from its name and threads, and `report_of` the trace's report.
    """

    def observe(request, plans):
        arms, runs, traces = [], {}, []
        for plan in plans:
            runs[plan.name, plan.threads] = (model(plan.name, plan.threads),) * REPEAT
            scored = plan.score(runs[plan.name, plan.threads][0])
            for metric, unit in plan.units.items():
                name = f"{plan.name}, {metric}" if metric else plan.name
                arms.append(arm(name, plan.threads, unit, *[scored[metric]] * REPEAT))
            if report_of is not None and request.trace is not None:
                traces.append(TracedArm(plan.name, plan.threads, report_of(plan.name, plan.threads)))
        return CellObservation(Measurement(tuple(arms), (), ()), runs, tuple(traces), ())

    return observe


def trials_observed(model, report_of=None, *, live=False):
    """Return a stand-in for `observe_trials`; with `live` each trial runs once, for what it keeps.

    `model` gives the numbers of a trial from its name and threads.
    """

    def observe(request, trials, **_options):
        arms, traces = [], []
        for trial in trials:
            if live:
                trial.run()
            numbers = model(trial.name, trial.threads)
            for metric, unit in trial.units.items():
                value = numbers[metric]
                samples = value if isinstance(value, tuple) else (value,) * REPEAT
                arms.append(arm(trial.arm_name(metric), trial.threads, unit, *samples))
            if report_of is not None and request.trace is not None:
                traces.append(TracedArm(trial.name, trial.threads, report_of(trial.name, trial.threads)))
        return Observation(Measurement(tuple(arms), (), ()), tuple(traces), (), ())

    return observe


def verdicts(findings):
    """Return the verdict of each law, by its text."""
    return {law.text: law.verdict for law in findings.laws}
