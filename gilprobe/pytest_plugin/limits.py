"""The limits in a test's markers, and how a trace is judged by them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from gilprobe.durations import duration, parse_duration
from gilprobe.errors import InvalidTypeError, InvalidValueError
from gilprobe.measuring.teams import THREADS
from gilprobe.pytest_plugin.asking import ASKER
from gilprobe.render.shared.words import place, visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pytest

    from gilprobe.report import Report, ThreadAccount

_AT_LEAST = 0.9
_SCALES_AT_LEAST = 0.8
_SCALES_THREADS = 2
_OPTIONS = ("warmup", "repeats", "calls", "limit_s")


@dataclass(frozen=True, slots=True)
class ScalingLimit:
    """How a test must scale.

    Attributes
    ----------
    at_least : float
        Least throughput of each of several threads, as a share of that of one alone.
    threads : int
        Number of threads that run the test at once.
    """

    at_least: float
    threads: int


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits from the markers of one test; None: no limit.

    Attributes
    ----------
    released : float or None
        Least share of its time in which the test must not hold the GIL.
    hold_s : float or None
        Longest allowed hold, seconds.
    leaks : dict or None
        Options of :func:`gilprobe.refs.find_leaks`.
    lock_wait_s : float or None
        Longest allowed wait for a lock, seconds.
    scaling : ScalingLimit or None
        How the test must scale with threads.
    """

    released: float | None = None
    hold_s: float | None = None
    leaks: dict[str, Any] | None = None
    lock_wait_s: float | None = None
    scaling: ScalingLimit | None = None

    @property
    def of_gil(self) -> bool:
        """Return whether judging the test needs a trace of the GIL."""
        return self.released is not None or self.hold_s is not None

    @property
    def of_call(self) -> bool:
        """Return whether the test's call must be traced, or run again."""
        return self.of_gil or self.lock_wait_s is not None or self.scaling is not None


def read_limits(item: pytest.Item) -> Limits:
    """Return the limits from the markers of a test.

    Raises
    ------
    GilProbeError
        If a marker's arguments are invalid.
    """

    def read(name: str, reader: Callable[..., Any]) -> Any:
        marker = item.get_closest_marker(name)
        return None if marker is None else reader(*marker.args, **marker.kwargs)

    return Limits(
        read("releases_gil", _released),
        read("max_gil_hold", partial(_longest, "max_gil_hold")),
        read("no_leaks", _options),
        read("max_lock_wait", partial(_longest, "max_lock_wait")),
        read("scales", _scaling),
    )


def _released(at_least: object = _AT_LEAST, *others: object, **unknown: object) -> float:
    _nothing_else("releases_gil(at_least=0.9)", others, unknown)
    return _share("releases_gil", at_least)


def _share(marker: str, at_least: object) -> float:
    if not isinstance(at_least, int | float) or isinstance(at_least, bool):
        raise InvalidTypeError(f"{marker}: at_least must be a number, got {at_least!r}")
    if not 0 <= at_least <= 1:
        raise InvalidValueError(f"{marker}: at_least must be from 0 to 1, got {at_least!r}")
    return float(at_least)


def _longest(marker: str, limit: object = None, *others: object, **unknown: object) -> float:
    _nothing_else(f'{marker}("5ms")', others, unknown)
    if not isinstance(limit, str):
        raise InvalidTypeError(f'{marker} must have a time such as "5ms", got {limit!r}')
    return parse_duration(limit, marker)


def _scaling(
    at_least: object = _SCALES_AT_LEAST,
    threads: object = _SCALES_THREADS,
    *others: object,
    **unknown: object,
) -> ScalingLimit:
    _nothing_else("scales(at_least=0.8, threads=2)", others, unknown)
    if type(threads) is not int:
        raise InvalidTypeError(f"scales: threads must be an integer, got {threads!r}")
    if not 2 <= threads <= THREADS[-1]:
        raise InvalidValueError(f"scales: threads must be from 2 to {THREADS[-1]}, got {threads!r}")
    return ScalingLimit(_share("scales", at_least), threads)


def _options(*others: object, **options: object) -> dict[str, object]:
    unknown = {name: value for name, value in options.items() if name not in _OPTIONS}
    _nothing_else("no_leaks(warmup=..., repeats=..., calls=..., limit_s=...)", others, unknown)
    return options


def _nothing_else(form: str, others: tuple[object, ...], unknown: dict[str, object]) -> None:
    if others or unknown:
        given = ", ".join([*map(repr, others), *(f"{name}={value!r}" for name, value in unknown.items())])
        raise InvalidTypeError(f"a marker must be {form}, got also {given}")


def broken(limits: Limits, report: Report) -> Iterator[str]:
    """Yield a line for each limit of the GIL that the traced test exceeded."""
    threads = [account for account in report.threads if account.name != ASKER and account.hold_ns]
    if limits.released is not None and threads:
        most = max(threads, key=lambda account: account.hold_ns)
        if (share := released_share(most)) < limits.released:
            yield (
                f"releases_gil: {visible(most.name)} was without the GIL for {share:.1%} of its "
                f"time, at least {limits.released:.1%} is required: it held it for {duration(most.hold_s)}"
                f"{_mostly(report)}"
            )
    if limits.hold_s is not None and threads:
        longest = max(threads, key=lambda account: account.hold.max_s)
        if longest.hold.max_s > limits.hold_s:
            yield (
                f"max_gil_hold: {visible(longest.name)} held the GIL for {duration(longest.hold.max_s)} "
                f"at a time, at most {duration(limits.hold_s)} is allowed{_where(longest, report)}"
            )


def released_share(account: ThreadAccount) -> float:
    """Return the share of a thread's time in which others could have the GIL, without its own waits.

    The thread that held longest is judged: the test's own, or the worst of those that it waits for.
    """
    used_ns = account.hold_ns + account.off_ns
    return account.off_ns / used_ns if used_ns else 1.0


def _mostly(report: Report) -> str:
    if not report.sites:
        return ""
    site = report.sites[0]
    return visible(f", most in {place(site.function, site.filename, site.line, site.callee)}")


def _where(longest: ThreadAccount, report: Report) -> str:
    """Name the place of a hold, from a wait for its end by the requesting or another thread."""
    for stall in report.longest_waits:
        if stall.holder == longest.name and stall.holder_s >= longest.hold.max_s / 2:
            return visible(f": {place(*stall.seen_at)}")
    return ""
