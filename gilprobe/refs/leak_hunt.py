"""Find out whether a function leaks: call it repeatedly, and judge what each repetition leaves behind."""

from __future__ import annotations

import gc
import itertools
import math
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gilprobe.errors import InvalidTypeError, InvalidValueError
from gilprobe.measuring import host
from gilprobe.model.leak_report import LeakReport
from gilprobe.refs import leak_garbage, leak_roots
from gilprobe.refs.leak_callable import check_ran, function_name, running
from gilprobe.refs.leak_census import CENSUS_WINDOWS, IMMORTAL, grown, named, population
from gilprobe.refs.leak_findings import (
    Stage,
    SureLeak,
    doubts,
    found_in,
    found_short,
    found_stepwise,
    is_rare,
    is_step,
    judged,
    lasting,
)
from gilprobe.refs.leak_lending import Lender, lending
from gilprobe.refs.leak_probes import others_ran, process_gauges
from gilprobe.refs.leak_suspects import find_suspects
from gilprobe.refs.leak_windows import Caller, Column, Means, Windows, settle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from gilprobe.model.leak_report import Garbage
    from gilprobe.refs.leak_judgement import Series
    from gilprobe.refs.leak_roots import Root
    from gilprobe.refs.leak_suspects import Suspect

MOST_REPEATS = 30
"""Limit of repetitions that are read one by one; of more, neighbours are merged."""

_STAGES = 3  # each with repetitions three times as long: a leak grows with them, a cache until it is full
_LEAST_REPETITIONS = 3
_ENOUGH = 2_000  # calls after which further growth is a leak
_ENOUGH_CHEAP = 10_000  # the same, if another stage takes less time than this
_CHEAP_S = 2.0
# First stage of a long look.
_LONG_CALLS = 50_000
_LONG_S = 0.2
_LONG_REPETITIONS = 5
_LEAST_LONG = 100
_WARMING = 0.25  # share of the remaining time
_HELP = "give more time (limit_s, --limit) or more calls per repetition (--calls)"
_KEEP_ALL_S = 30.0  # for any number of objects
_MOST_WARMUP = 8
_STILL = 2


def find_leaks(
    function: Callable[..., object],
    *,
    args: Sequence[object] = (),
    kwargs: Mapping[str, object] | None = None,
    warmup: int | None = None,
    repeats: int = 10,
    calls: int | None = None,
    limit_s: float = 30.0,
) -> LeakReport:
    """Call a function repeatedly, and report whether it leaks.

    Before and after each repetition it counts references to the arguments, to a result that is always the
    same, and to what the function can reach (globals, closure, constants, its module); objects by type; the
    interpreter's memory blocks and C's heap; file descriptors and threads; and, with a debug build,
    references to all objects. Growth is checked again with repetitions three and nine times as long, and
    further until it lasts for 2,000 calls: a leak grows with the calls, a cache only until it is full. If
    nothing grew, many more calls look for growth in steps. If other threads run, pauses measure their share.

    Parameters
    ----------
    function : callable
        Called some hundred to some hundred thousand times, in the calling thread; calls of ``async def``
        functions run to their end in one event loop. Exceptions are counted, and leaks of failing calls are
        found too; other errors than `Exception` and `SystemExit` end the hunt and go on to the caller.
    args, kwargs : sequence, mapping
        Its arguments: the same objects each time.
    warmup : int, optional
        Uncounted repetitions; default: until nothing grows, at most 8.
    repeats : int
        Counted repetitions, at least 3. More than 30 are read in 30 groups.
    calls : int, optional
        Calls per repetition; default: as many as take 2 ms, at most 500.
    limit_s : float
        Time limit in seconds. A verdict that needs more calls is `uncertain`. A running call is not
        interrupted.

    Returns
    -------
    LeakReport
        With `leaking`, the `findings`, and the reason if `uncertain`.

    Raises
    ------
    InvalidTypeError
        If `function` can't be called, does not accept its arguments, or only returns a coroutine or a
        generator; if a number has the wrong type.
    InvalidValueError
        If a number is out of range; if `function` is a test that skips itself, or is ``async def`` while an
        event loop runs in this thread.

    Notes
    -----
    Existing objects are hidden from the garbage collector until the end of the hunt (``gc.freeze``), which
    makes its many collections short. Less than one object per 50 calls, or two bytes of C's heap per call,
    counts as noise. A hunt ends early when the process has grown by 256 MiB or has 200 more descriptors and
    threads, which is a finding if there is no other.
    """
    return hunt(
        function,
        args=args,
        kwargs=kwargs,
        warmup=warmup,
        repeats=repeats,
        calls=calls,
        limit_s=limit_s,
    )


def hunt(
    function: Callable[..., object],
    *,
    args: Sequence[object] = (),
    kwargs: Mapping[str, object] | None = None,
    warmup: int | None = None,
    repeats: int = 10,
    calls: int | None = None,
    limit_s: float = 30.0,
    progress: Callable[[str], None] = lambda _: None,
    count: Callable[[int], None] = lambda _: None,
    keep_all: bool = False,
    thorough: bool = True,
) -> LeakReport:
    """Do as :func:`find_leaks`.

    Parameters
    ----------
    progress : callable
        Called with a short line at the beginning of each phase.
    count : callable
        Called with the number of calls so far, before more are made.
    keep_all : bool
        Keep all objects alive that exist when the hunt begins.
    thorough : bool
        If false, end after three stages, even if it may be a cache, unless most calls leave nothing; and
        take no long look: for repeated hunts.
    """
    _check(function, warmup, repeats, calls, limit_s)
    kept = iter(population(_KEEP_ALL_S)[0] if keep_all else ())
    begun = time.perf_counter()
    with _frozen() as frozen, running(function) as called:
        caller = Caller(called, tuple(args), dict(kwargs or {}), count)
        with lending(caller) as lender:
            lender.lend(kept)
            progress("first calls")
            one = _Hunt(caller, function, lender, begun + limit_s, progress, frozen=frozen, thorough=thorough)
            one.warm_up(warmup, repeats, calls)
            found = one.found(long_look=thorough and calls is None)
            garbage = one.garbage()
            roots = one.roots(found)
            one.forget()
    # unfrozen: now all possible holders are visible
    findings = leak_roots.grouped([leak.finding() for leak in found], roots)
    if caller.raised == caller.calls:
        one.warnings.append("every call raised: successful calls were not judged")
    return LeakReport(
        function=function_name(function),
        leaking=bool(findings),
        findings=findings,
        calls=caller.calls,
        repeats=one.repeats,
        warmup=one.warmup,
        raised=caller.raised,
        exception=caller.exception,
        elapsed_s=time.perf_counter() - begun,
        environment=host.read_environment(),
        warnings=tuple(one.warnings),
        uncertain=one.uncertain,
        garbage=garbage,
    )


def _check(function: object, warmup: object, repeats: object, calls: object, limit_s: object) -> None:
    if not callable(function):
        raise InvalidTypeError(f"function must be callable, got {type(function).__name__}")
    for name, value, least in (("warmup", warmup, 0), ("repeats", repeats, 3), ("calls", calls, 1)):
        if value is None and name != "repeats":
            continue
        if not isinstance(value, int) or isinstance(value, bool):
            raise InvalidTypeError(f"{name} must be an integer, got {ascii(value)[:60]}")
        if not least <= value <= 10**9:
            raise InvalidValueError(f"{name} must be between {least} and 1000000000, got {value}")
    if not isinstance(limit_s, int | float) or isinstance(limit_s, bool):
        raise InvalidTypeError(f"limit_s must be a number, got {ascii(limit_s)[:60]}")
    if not 0 < limit_s <= 10**9:
        raise InvalidValueError(f"limit_s must be above 0 and at most 1000000000, got {ascii(limit_s)[:60]}")


@contextmanager
def _frozen() -> Iterator[bool]:
    """Hide existing objects from the collector, unless others have frozen some: they would be mixed up."""
    gc.collect()
    if gc.get_freeze_count() > IMMORTAL:
        yield False
        return
    gc.freeze()
    try:
        yield True
    finally:
        gc.unfreeze()


class _Hunt:
    """One hunt: chooses the lengths of the repetitions, and combines their results."""

    def __init__(
        self,
        caller: Caller,
        function: Callable[..., object],
        lender: Lender,
        end_s: float,
        progress: Callable[[str], None],
        *,
        frozen: bool,
        thorough: bool,
    ) -> None:
        self.caller = caller
        self.uncertain: str | None = None
        self._progress = progress
        self._thorough = thorough
        self._larger = False  # after the last stage
        self.repeats = 0
        self.warmup = 0
        gauges, self.warnings = process_gauges()
        self._threads = next(gauge.read for gauge in gauges if gauge.kind == "threads")
        self._calls = 1
        self.lender = lender
        self._frozen = frozen
        lender.lend(one.obj for one in find_suspects(function, caller.args, caller.kwargs, ()))
        first = caller.once()
        check_ran(function, caller.args, caller.kwargs, first)
        self._means = Means(gauges, end_s)  # what the first call loads is no leak
        outcomes = [first, caller.once()]
        suspects = find_suspects(function, caller.args, caller.kwargs, outcomes)
        del first, outcomes
        lender.lend(one.obj for one in suspects)
        self._gauges = gauges
        self._windows = Windows(caller, gauges, suspects, self._means)

    def warm_up(self, warmup: int | None, repeats: int, calls: int | None) -> None:
        """Choose the length of repetitions, and warm up until nothing grows, or as told."""
        self._progress("warm-up")
        if calls is not None:
            fitting = calls
        else:
            fitting = self._means.calls_a_repetition(self.caller) if self._means.left_s() > 0 else 1
        self.repeats = min(repeats, MOST_REPEATS)
        self._calls = math.ceil(repeats / MOST_REPEATS) * fitting if calls else max(fitting, repeats // 30)
        left_s = self._means.left_s() * (1 - _WARMING)
        still = 0
        most = _MOST_WARMUP if warmup is None else min(warmup, MOST_REPEATS)
        while self._means.left_s() > 0 and self.warmup < most:
            series = self._windows.series(1, self._calls)
            self.warmup += 1
            still = 0 if any(max(one.growth) > 0 for one in series.values()) else still + 1
            late = self._means.left_s() < left_s
            if self._windows.stopped or late or (warmup is None and still == _STILL):
                break

    def found(self, *, long_look: bool) -> list[SureLeak]:
        """Return what never stops growing; if nothing does, look longer, and at all references.

        With given `calls` a long look is taken only if something was larger at the end.
        """
        found = self._found()
        if not found and (long_look or (self._thorough and self._larger)) and not self._is_over():
            found = self._found_stepwise()
        if not found and not self._is_over():
            found = self._found_by_census()
        if not found and self._windows.stopped is not None:
            shortage = self._windows.stopped
            self.uncertain = f"{shortage.told}, so the hunt ended: a cache may be as large"
            found = [found_short(shortage, self.caller.calls)]
        return found

    def forget(self) -> None:
        """Drop the watched objects before the search for holders."""
        self._windows.forget()

    def _is_over(self) -> bool:
        return self._windows.stopped is not None or self._means.left_s() <= 0

    def _found_by_census(self) -> list[SureLeak]:
        if self._windows.fitting(CENSUS_WINDOWS, self._calls) < CENSUS_WINDOWS:
            early = "time was up before the references to all objects were counted"
            self.uncertain = self.uncertain or f"{early}: {_HELP}"
            return []
        candidates = self._counted_all()
        if not candidates:
            return []
        self.lender.lend(one.obj for one in candidates)
        self._windows = Windows(self.caller, self._gauges, candidates, self._means)
        del candidates
        return self._found()

    def garbage(self) -> Garbage | None:
        """Return what calls leave in reference cycles, if that is certain."""
        calls = min(self._calls, leak_garbage.MOST_CALLS)
        if len(sys._current_frames()) > 1 or not self._has_time(leak_garbage.WINDOWS, calls):
            return None
        self._progress("reference cycles")
        before = others_ran()  # threads without Python code may call in
        found = leak_garbage.garbage_of(self.caller.times, calls)
        return found if others_ran() == before else None

    def _has_time(self, repetitions: int, calls: int) -> bool:
        """Return whether more repetitions may be made."""
        return not self._is_over() and self._windows.fitting(repetitions, calls) >= repetitions

    def roots(self, found: Sequence[SureLeak]) -> dict[str, Root]:
        """Return which leaked objects refer to others."""
        calls = min(self._calls, leak_roots.MOST_CALLS)
        if not self._has_time(1, calls):
            return {}
        rates = {
            one.column.what.removesuffix(" objects"): one.trend.per_call
            for one in found
            if one.column.kind == "objects"
        }
        return leak_roots.find_roots(self.caller.times, calls, rates)

    def _counted_all(self) -> list[Suspect]:
        """Take the census, including the objects frozen for the hunt."""
        self._progress("census of all references")
        with self._means.own_use():  # several numbers per object
            with self._thawed():
                held, whole = population()
            if not whole:
                self.warnings.append("too many objects: the references to some were not counted")
            candidates = grown(held, self.caller.times, self._calls, settle)
            del held  # or it would be reported as their holder
        with self._thawed():
            return named(candidates)

    @contextmanager
    def _thawed(self) -> Iterator[None]:
        """Let the collector list all objects; during calls that would make collections slow."""
        if self._frozen:
            gc.unfreeze()
        try:
            yield
        finally:
            if self._frozen:
                gc.freeze()

    def _found(self) -> list[SureLeak]:
        """Judge longer and longer repetitions while something grows; return what never stops."""
        stages: list[Stage] = []
        for number in itertools.count(1):
            calls = 3 ** (number - 1) * self._calls
            idle = number > 1 and self._threads() > 1
            repetitions = self._windows.fitting(self.repeats, calls, idle=idle)
            if repetitions < _LEAST_REPETITIONS:
                return self._cut(stages)
            self._progress(f"stage {number}: {repetitions} repetitions of {calls} calls")
            series = self._windows.series(repetitions, calls, idle=idle)
            done = self._windows.done
            self._larger = any(is_step(*one) for one in series.items())
            if done >= _LEAST_REPETITIONS:
                stages.append(Stage(done, calls, judged(series)))
            if self._windows.stopped:
                self.warnings.append(f"stopped early: {self._windows.stopped.told}")
                break
            if done < _LEAST_REPETITIONS:
                return self._cut(stages)
            if not any(trend.verdict != "flat" for trend in stages[-1].trends.values()):
                return []
            if number >= _STAGES and (not self._is_doubtful(stages) or self._is_enough(stages)):
                break
        return self._told(stages) if stages else []

    def _is_doubtful(self, stages: Sequence[Stage]) -> bool:
        """Return whether what grows may be a cache that is not full yet."""
        left = lasting(stages).items()
        return any(self._thorough or is_rare(column.kind, trend.per_call) for column, trend in left)

    def _is_enough(self, stages: Sequence[Stage]) -> bool:
        """Return whether most caches would be full by now; cheap calls continue for larger ones."""
        calls, longer = sum(one.all_calls for one in stages), 3 * stages[-1].calls
        further_s = self.repeats * self._windows.duration_s(longer)
        return calls >= (_ENOUGH_CHEAP if further_s < _CHEAP_S else _ENOUGH)

    def _cut(self, stages: Sequence[Stage]) -> list[SureLeak]:
        """Return the findings when time is up; if there are none, that is uncertain."""
        found = self._told(stages) if stages else []
        if not found:
            grew = "something grew, but time was up" if stages else "time was up"
            self.uncertain = f"{grew} after {_calls(self.caller.calls)}: {_HELP}"
        return found

    def _told(self, stages: Sequence[Stage]) -> list[SureLeak]:
        self.warnings += doubts(stages)
        found = found_in(stages)
        calls = sum(one.all_calls for one in stages)
        if found and calls < _ENOUGH and self._is_doubtful(stages):
            doubt = f"growth was watched for {_calls(calls)} only, and a cache also grows until it is full"
            self.uncertain = f"{doubt}: {_HELP}"
        return found

    def _found_stepwise(self) -> list[SureLeak]:
        """Make many more calls at once; if anything is larger then, check if it grows with their number."""
        calls = min(_LONG_CALLS, int(_LONG_S / max(self._windows.call_s, 1e-9)))
        if calls < _LEAST_LONG:
            return []
        # what doubles in size does so at least once in as many calls as before
        calls = max(calls, self.caller.calls) // _LONG_REPETITIONS
        stages: list[dict[Column, Series]] = []
        for length in (calls, 3 * calls, 9 * calls):
            idle = self._threads() > 1
            if self._windows.fitting(_LONG_REPETITIONS, length, idle=idle) < _LONG_REPETITIONS:
                return []
            self._progress(f"long look: {_LONG_REPETITIONS} repetitions of {length} calls")
            series = self._windows.series(_LONG_REPETITIONS, length, idle=idle)
            if self._windows.stopped:
                self.warnings.append(f"stopped early: {self._windows.stopped.told}")
                return []
            stages.append({column: one for column, one in series.items() if is_step(column, one)})
            if not stages[-1]:
                return []
        return found_stepwise(stages)


def _calls(number: int) -> str:
    return "1 call" if number == 1 else f"{number} calls"
