"""A Timer is a thread that sleeps and then calls: never too early, and late by its wait for the GIL.

``threading.Timer`` waits in its own thread until its time has come or it is cancelled. The operating system
never ends that wait before the time. Then the thread needs the GIL. If nobody else computes, it is late by
some microseconds. If another thread spins in Python, it waits for a switch interval until that thread has to
release the GIL. After ``cancel`` the function is never called.

The trace has both sides: the timers' waits, and the forced releases of the spinning thread.
"""

from __future__ import annotations

import math
import threading
import time
from typing import TYPE_CHECKING

from gilprobe.durations import duration
from gilprobe.measuring.measure import Trial
from gilprobe.results import Fact, Law
from gilprobe.scenarios.contention.python_loop import countdown
from gilprobe.scenarios.laws import SECONDS, claim, once_law, value_law, verdict
from gilprobe.scenarios.scenario import Findings, Request, Scenario, observe_trials
from gilprobe.scenarios.support.cells import Cell, run_cell
from gilprobe.scenarios.support.roles import PATIENCE_S, act, named, patient

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from gilprobe.results import Arm

CELL = """\
import threading
import time

def ring(name):
    print("Timer " + str(name) + ": rings.")

if __name__ == "__main__":
    timers = [threading.Timer(SLEEP_S, ring, args=(name,)) for name in (1, 2)]
    for timer in timers:
        timer.start()
    timers[1].cancel()
    print("Main    : started two, cancelled timer 2.")
    for timer in timers:
        timer.join()
    print("Main    : all done.")
"""

TIMERS = 20
"""Timers in a run; they are due one after another."""

SPIN = 20_000
"""Steps between two checks whether the timers are done: about a millisecond."""

IDLE_LIMIT = 0.5
"""Limit of a timer's lateness without contention, as a share of the switch interval."""


class Alarms:
    """Timers due one after another, and their lateness; every run adds to it.

    Attributes
    ----------
    late : list of float
        Lateness of each call in all runs, seconds.
    cancelled : int
        Number of cancelled timers that called nevertheless.
    """

    def __init__(self, total_s: float, *, spinning: bool) -> None:
        self._total_s = total_s
        self._spinning = spinning
        self._over = threading.Event()
        self.late: list[float] = []
        self.cancelled = 0

    def run(self) -> Mapping[str, float]:
        """Let all timers come due; return the 50th and 99th percentile of their lateness."""
        self._over.clear()
        before = len(self.late)
        roles = [named("clock", self._ring)]
        if self._spinning:
            roles.append(named("spinner", self._spin))
        act(roles)
        late = sorted(self.late[before:])
        return {"": quantile(late, 0.50), "p99": quantile(late, 0.99)}

    def _ring(self) -> None:
        timers = []
        try:
            for number in range(TIMERS):
                timers.append(self._timer((number + 1) / TIMERS * self._total_s))
            cancelled = threading.Timer(PATIENCE_S, self._never)  # not due yet, even on a slow machine
            timers.append(cancelled)
            cancelled.start()
            cancelled.cancel()
            for timer in timers:
                timer.join(PATIENCE_S)
                patient(not timer.is_alive(), "a timer")
        finally:
            self._over.set()
            for timer in timers:
                timer.cancel()

    def _timer(self, delay_s: float) -> threading.Timer:
        due_s = time.monotonic() + delay_s
        timer = threading.Timer(delay_s, lambda: self.late.append(time.monotonic() - due_s))
        timer.start()
        return timer

    def _never(self) -> None:
        self.cancelled += 1

    def _spin(self) -> None:
        end_s = time.monotonic() + PATIENCE_S
        while not self._over.is_set() and time.monotonic() < end_s:
            countdown(SPIN)


def quantile(ordered: Sequence[float], share: float) -> float:
    """Return the smallest of the ordered numbers that at least `share` of them do not exceed."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def measure(request: Request) -> Findings:
    """Measure timers' lateness alone and beside a spinning thread."""
    total_s = request.frame.arm_ns / 1e9
    alarms = {
        "alone": Alarms(total_s, spinning=False),
        "beside a spinning thread": Alarms(total_s, spinning=True),
    }
    units = {"": "s late", "p99": "s late"}
    trials = [
        Trial(name, 1 + number, units, alarm.run) for number, (name, alarm) in enumerate(alarms.items())
    ]
    seen = observe_trials(request, trials)
    arms = seen.measurement.arms
    facts = tuple(
        Fact(f"late_{percentile}_{key}", arm.median, "s")
        for arm, (key, percentile) in zip(
            arms, [(key, p) for key in ("alone", "beside") for p in ("p50", "p99")], strict=True
        )
    )
    cell = run_cell(Cell(CELL, {"SLEEP_S": total_s / 2}))
    laws = [
        *_time_laws(alarms),
        *_late_laws(request, arms),
        once_law("a cell's cancelled timer does not ring, the other does", _one_rings(cell.text)),
    ]
    return Findings(arms, facts, tuple(laws), seen.traces, seen.warnings, cell.text)


def _one_rings(text: str) -> bool:
    return "Timer 1: rings." in text and "Timer 2: rings." not in text


def _time_laws(alarms: Mapping[str, Alarms]) -> Iterator[Law]:
    late = [late_s for alarm in alarms.values() for late_s in alarm.late]
    yield Law(
        f"a timer is never early, {len(late)} timers",
        f">= {duration(0)} late",
        f"{duration(min(late))} (the least)",
        verdict(min(late) >= 0),
        claim(min(late), 0.0, math.inf, "s"),
    )
    rung = sum(alarm.cancelled for alarm in alarms.values())
    yield Law(
        "a cancelled timer never calls", "0 calls", str(rung), verdict(rung == 0), claim(rung, 0, 0, "")
    )


def _late_laws(request: Request, arms: Sequence[Arm]) -> Iterator[Law]:
    interval_s = request.environment.switch_interval_s
    alone, _, beside, _ = arms
    limit_s = IDLE_LIMIT * interval_s
    yield value_law("alone: late by far less than a switch interval", alone, 0.0, limit_s, SECONDS)
    if request.gil_enabled:
        text = "beside a spinning thread: late by a switch interval or more"
        yield value_law(text, beside, interval_s, math.inf, SECONDS)
    else:
        text = "beside a spinning thread: no later, as there is no GIL"
        yield value_law(text, beside, 0.0, limit_s, SECONDS)


SCENARIO = Scenario(
    id="timer",
    title="A timer is never early, and late by what the GIL makes it wait",
    group="lessons",
    measure=measure,
    ceiling_s=60.0,
)
