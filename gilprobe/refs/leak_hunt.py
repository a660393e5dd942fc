"""Whether a function leaks: called over and over, and judged by what every repetition leaves behind."""

from __future__ import annotations

import gc
import math
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from gilprobe import machine
from gilprobe.errors import InvalidTypeError, InvalidValueError
from gilprobe.leak_report import LeakFinding, LeakReport
from gilprobe.refs.leak_callable import check_ran, function_name, running
from gilprobe.refs.leak_census import grown, named, population
from gilprobe.refs.leak_evidence import evidence
from gilprobe.refs.leak_garbage import garbage_of
from gilprobe.refs.leak_judgement import Series, Trend, confirmed, judge
from gilprobe.refs.leak_lending import Lender, lending
from gilprobe.refs.leak_probes import examples, process_gauges
from gilprobe.refs.leak_roots import find_roots, grouped
from gilprobe.refs.leak_suspects import find_suspects
from gilprobe.refs.leak_windows import Caller, Column, Means, Windows, settle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from gilprobe.leak_report import Garbage
    from gilprobe.refs.leak_roots import Root
    from gilprobe.refs.leak_suspects import Suspect

MOST_REPEATS = 30
"""Repetitions that are read one by one; of more, neighbours are put together."""

_STAGES = (1, 3, 9)  # how long repetitions are: a leak grows with them, a cache only until it is full
_KEEP_ALL_S = 30.0  # for all objects, however many
_MOST_WARMUP = 8
# The collector of 3.12 freezes immortal objects by itself (gcmodule.c, update_refs); a program freezes more.
_IMMORTAL = 1000
_STILL = 2
_RANKS = ("objects", "reference", "descriptors", "threads", "interned", "total", "blocks", "heap")
# A call. What little repetitions of any length leave or lose by themselves is below: a handful.
_LEAST = 0.02
_LEAST_BYTES = 2.0

Trends = dict[Column, Trend]


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
    """Call a function over and over, and say whether it leaks.

    Before and after each repetition are counted: the references to its arguments, to a result that is always
    the same, and to what it can reach (globals, closure, constants, its module); objects by type; the
    interpreter's memory blocks and C's heap; file descriptors and threads; the references to all objects,
    with a debug build. What grew is looked at twice more, with repetitions three and nine times as long: a
    leak grows on with the calls, a cache that fills up does not. If other threads run, pauses tell their
    share.

    Parameters
    ----------
    function : callable
        Is called some hundred to some hundred thousand times, in the calling thread; if it is one of
        ``async def``, each call runs to its end in one event loop. An exception that it raises is counted,
        and the leak of a call that fails is found like any other; what is no `Exception`, and no
        `SystemExit`, ends the hunt and goes on to the caller.
    args, kwargs : sequence, mapping
        What it is called with: the same objects each time.
    warmup : int, optional
        Repetitions that don't count; by default as many as it takes until nothing grows, at most 8.
    repeats : int
        Repetitions that count, at least 3. More than 30 are read in 30 groups.
    calls : int, optional
        Calls a repetition; by default as many as take 2 ms, at most 500.
    limit_s : float
        How long the hunt may take, in seconds. What needs more calls than fit is `uncertain`. A call that has
        begun is not interrupted.

    Returns
    -------
    LeakReport
        Its `leaking`, the `findings` that say so, and why that is `uncertain`, if it is.

    Raises
    ------
    InvalidTypeError
        If `function` can't be called, does not take its arguments, or only makes a coroutine or a generator;
        if a number is none.
    InvalidValueError
        If a number is out of its range; if `function` is a test that skips itself, or one of ``async def``
        and an event loop runs in this thread.

    Notes
    -----
    Objects that exist already are kept from the garbage collector until the hunt is over (``gc.freeze``),
    which makes its many collections short. What is lost in less than one of 50 calls, or is less than two
    bytes of C's heap a call, is taken for noise. A hunt ends early, with a warning, when the process has
    grown by 256 MiB or has 200 more descriptors and threads.
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
) -> LeakReport:
    """Do as :func:`find_leaks`.

    Parameters
    ----------
    progress : callable
        Is called with a short line at the beginning of each phase.
    count : callable
        Is called with the number of calls so far, before one or some more are made.
    keep_all : bool
        Free no object that exists when the hunt begins.
    """
    _check(function, warmup, repeats, calls, limit_s)
    begun = time.perf_counter()
    kept = iter(population(_KEEP_ALL_S)[0] if keep_all else ())
    with _frozen() as frozen, running(function) as called:
        caller = Caller(called, tuple(args), dict(kwargs or {}), count)
        with lending(caller) as lender:
            lender.lend(kept)
            progress("first calls")
            one = _Hunt(caller, function, lender, limit_s, progress, frozen=frozen)
            one.warm_up(warmup, repeats, calls)
            found = one.found()
            garbage = one.garbage()
            roots = one.roots(found)
    # now all that may hold what was left is in sight
    findings = grouped([leak.finding() for leak in found], roots)
    if caller.raised == caller.calls:
        one.warnings.append("every call raised: what the function does when it succeeds was not tried")
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
        environment=machine.read_environment(),
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
    """Put what exists out of the collector's sight, unless someone else has: then it would be mixed up."""
    gc.collect()
    if gc.get_freeze_count() > _IMMORTAL:
        yield False
        return
    gc.freeze()
    try:
        yield True
    finally:
        gc.unfreeze()


class _Hunt:
    """One hunt: sees to the lengths of the repetitions, and puts what they show together."""

    def __init__(
        self,
        caller: Caller,
        function: Callable[..., object],
        lender: Lender,
        limit_s: float,
        progress: Callable[[str], None],
        *,
        frozen: bool,
    ) -> None:
        self.caller = caller
        self.uncertain: str | None = None
        self._progress = progress
        self.repeats = 0
        self.warmup = 0
        gauges, self.warnings = process_gauges()
        self._means = Means(gauges, limit_s)
        self._resources = self._means.resources
        self._threads = next(gauge.read for gauge in gauges if gauge.kind == "threads")
        self._calls = 1
        self.lender = lender
        self._frozen = frozen
        lender.lend(one.obj for one in find_suspects(function, caller.args, caller.kwargs, ()))
        first = caller.once()
        check_ran(function, caller.args, caller.kwargs, first)
        outcomes = [first, caller.once()]
        suspects = find_suspects(function, caller.args, caller.kwargs, outcomes)
        del first, outcomes
        lender.lend(one.obj for one in suspects)
        self._gauges = gauges
        self._windows = Windows(caller, gauges, suspects, self._means)

    def warm_up(self, warmup: int | None, repeats: int, calls: int | None) -> None:
        """Choose how long a repetition is, and go on until nothing grows, or as told."""
        self._progress("warm-up")
        fitting = self._means.calls_a_repetition(self.caller) if calls is None else calls
        self.repeats = min(repeats, MOST_REPEATS)
        self._calls = math.ceil(repeats / MOST_REPEATS) * fitting if calls else max(fitting, repeats // 30)
        still = 0
        while self.warmup < (_MOST_WARMUP if warmup is None else min(warmup, MOST_REPEATS)):
            series = self._windows.series(1, self._calls)
            self.warmup += 1
            still = 0 if any(max(one.growth) > 0 for one in series.values()) else still + 1
            if self._windows.stopped or (warmup is None and still == _STILL):
                break

    def found(self) -> list[_Found]:
        """Return what never stops; if nothing does, look at whatever the census of all counts shows."""
        found = self._found()
        if found or self._windows.stopped:
            return found
        candidates = self._counted_all()
        if not candidates:
            return []
        self.lender.lend(one.obj for one in candidates)
        self._windows = Windows(self.caller, self._gauges, candidates, self._means)
        del candidates
        return self._found()

    def garbage(self) -> Garbage | None:
        """Return what calls leave in reference cycles, if it is sure that they do."""
        if self._windows.stopped or self._threads() > 1 or self._means.left_s() <= 0:
            return None
        self._progress("reference cycles")
        return garbage_of(self.caller.times, self._calls)

    def roots(self, found: Sequence[_Found]) -> dict[str, Root]:
        """Return which leaked objects bring others with them."""
        if self._windows.stopped or self._means.left_s() <= 0:
            return {}
        rates = {
            one.column.what.removesuffix(" objects"): one.trend.per_call
            for one in found
            if one.column.kind == "objects"
        }
        return find_roots(self.caller.times, self._calls, rates)

    def _counted_all(self) -> list[Suspect]:
        """Take the census: of what was frozen for the hunt, too."""
        self._progress("census of all references")
        with self._thawed():
            held, whole = population()
        if not whole:
            self.warnings.append("too many objects: the references to some were not counted")
        candidates = grown(held, self.caller.times, self._calls, settle)
        del held  # or it would be told as who holds them
        with self._thawed():
            return named(candidates)

    @contextmanager
    def _thawed(self) -> Iterator[None]:
        """Let the collector tell of all objects; while calls are made, that would make collections slow."""
        if self._frozen:
            gc.unfreeze()
        try:
            yield
        finally:
            if self._frozen:
                gc.freeze()

    def _found(self) -> list[_Found]:
        """Judge longer and longer repetitions as long as something grows; return what never stops."""
        stages: list[tuple[int, Trends]] = []
        for number, factor in enumerate(_STAGES, 1):
            calls = factor * self._calls
            self._progress(f"stage {number}: {self.repeats} repetitions of {calls} calls")
            series = self._windows.series(self.repeats, calls, idle=factor > 1 and self._threads() > 1)
            trends = _judged(series)
            stages.append((calls, trends))
            if not any(trend.verdict != "flat" for trend in trends.values()):
                return []
            if self._windows.stopped:
                self.warnings.append(f"stopped early: {self._windows.stopped}")
                break
        return self._compared(stages)

    def _compared(self, stages: Sequence[tuple[int, Trends]]) -> list[_Found]:
        """Return what grows as fast in the last stage as in the one before."""
        calls, last = stages[-1]
        before = stages[-2][1] if len(stages) > 1 else last
        self.warnings += _doubts(before, last)
        sure = {
            column: trend
            for column, trend in last.items()
            if column in before and confirmed(before[column], trend) and _is_enough(column, trend)
        }
        return [
            _Found(column, sure[column], before[column], self.repeats, calls, _examples(column))
            for column in sorted(sure, key=lambda one: _RANKS.index(one.kind))
            if not _is_consequence(column, sure)
        ]


class _Found(NamedTuple):
    """What is sure to leak, and some objects that were left."""

    column: Column
    trend: Trend
    before: Trend
    repeats: int
    calls: int
    left: list[object]

    def finding(self) -> LeakFinding:
        """Return it with its evidence."""
        sign = -1 if self.column.lost else 1
        low, high = sorted((sign * self.trend.low, sign * self.trend.high))
        return LeakFinding(
            kind=self.column.kind,
            what=self.column.what,
            per_call=sign * self.trend.per_call,
            low=low,
            high=high,
            every_repetition=self.trend.every,
            evidence=(self._numbers(), *evidence(self.column, self.left)),
        )

    def _numbers(self) -> str:
        verb = "lost" if self.column.lost else "left"
        rule = f"each of {self.repeats} repetitions {verb} some" if self.trend.every else "among noise"
        return (
            f"{self.trend.per_call:.3g} {verb} a call in repetitions of {self.calls} calls, "
            f"{self.before.per_call:.3g} in those before; {rule}"
        )


def _examples(column: Column) -> list[object]:
    return examples(column.what.removesuffix(" objects"), 1) if column.kind == "objects" else []


def _doubts(before: Trends, last: Trends) -> Iterator[str]:
    for column, trend in last.items():
        both = trend.verdict == before.get(column, trend).verdict == "unclear"
        if both and _is_enough(column, trend):
            yield (
                f"{column.what}: too noisy to tell, {trend.per_call:.2g} a call "
                f"({trend.low:.2g} to {trend.high:.2g})"
            )


def _judged(series: Mapping[Column, Series]) -> Trends:
    """Judge growth; of references to one object, loss as well."""
    trends: Trends = {}
    for column, one in series.items():
        trends[column] = judge(one)
        if column.kind == "reference" and trends[column].verdict == "flat":
            mirrored = Series(one.calls, tuple(-x for x in one.growth), tuple(-x for x in one.idle))
            trend = judge(mirrored)
            if trend.verdict != "flat":
                trends[column._replace(lost=True)] = trend
    return trends


def _is_enough(column: Column, trend: Trend) -> bool:
    return trend.per_call >= (_LEAST_BYTES if column.kind == "heap" else _LEAST)


def _is_consequence(column: Column, sure: Mapping[Column, Trend]) -> bool:
    """Tell references that only leaked objects have: to their type, to None."""
    if column.kind != "reference" or column.lost:
        return False
    lost_types = [one.what.removesuffix(" objects") for one in sure if one.kind == "objects"]
    common = tuple(f"references to {name}" for name in ("None", "True", "False", "()"))
    if column.what in common:
        return bool(lost_types)
    return any(column.what.endswith((f" {name}", f".{name}")) for name in lost_types)
