"""Explain a scenario's numbers: how its traced threads spent their time, and how long they waited."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gilprobe.model.distribution import EMPTY, Distribution
from gilprobe.render.html.results.picture import Panel, Picture, PlotSeries, Point
from gilprobe.render.shared.accounts import thread_name
from gilprobe.render.shared.words import duration_on_page, share
from gilprobe.render.terminal import idle_main, in_order

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from gilprobe.render.shared.sides import Side
    from gilprobe.report import ThreadAccount
    from gilprobe.results import TracedArm

_MOST_THREADS = 16
_WAITS = ("p50", "p99", "longest")


def traced_pictures(sides: Sequence[Side]) -> list[Picture]:
    """Return how each arm's threads spent their time, and how long they waited; nothing without traces."""
    traced = [(side, arm) for side, arm in _traced(sides) if _lifetime(arm)]
    if not traced:
        return []
    waits = [(side, arm, found) for side, arm in traced if (found := _blocked(arm)).count]
    return [_share_picture(sides, traced), *([_wait_picture(sides, waits)] if waits else [])]


_PARTS: tuple[Callable[[ThreadAccount], int], ...] = (
    lambda account: account.hold_ns,
    lambda account: account.wait_ns,
    lambda account: account.off_ns,
)


def _traced(sides: Sequence[Side]) -> list[tuple[int, TracedArm]]:
    """Return all traced arms, those of one name together."""
    orders = [in_order(result) for _, result in sides]
    found = [(number, arm) for number, (_, result) in enumerate(sides) for arm in result.traces]
    return sorted(found, key=lambda one: (orders[one[0]](one[1].name), one[1].threads, one[0]))


def _label(sides: Sequence[Side], side: int, arm: TracedArm) -> str:
    several = sum(1 for _, result in sides if result.traces) > 1
    return f"{arm.name} x {arm.threads}" + (f", {sides[side][0]}" if several else "")


def _working(accounts: Iterable[ThreadAccount]) -> list[ThreadAccount]:
    accounts = list(accounts)
    return [account for account in accounts if not idle_main(account)] or accounts


def _lifetime(arm: TracedArm) -> int:
    return sum(account.lifetime_ns for account in _working(arm.report.threads))


def _share_picture(sides: Sequence[Side], traced: Sequence[tuple[int, TracedArm]]) -> Picture:
    points = []
    for at, (_, arm) in enumerate(traced):
        accounts = _working(arm.report.threads)
        parts = tuple(sum(map(part, accounts)) / _lifetime(arm) for part in _PARTS)
        points.append(Point(at, parts[1], parts[1], parts[1], parts))
    return Picture(
        form="shares",
        title="Where the threads' time went",
        note="Traced in one extra run of each arm: shares of its working threads' lifetimes.",
        kind="share",
        unit="",
        logarithmic=False,
        axis="",
        labels=tuple(_label(sides, side, arm) for side, arm in traced),
        panels=(Panel("", (PlotSeries("", 0, tuple(points)),)),),
        marks=("hold", "wait", "off"),
    )


def _blocked(arm: TracedArm) -> Distribution:
    """Return the waits of all threads together, without acquisitions of a free GIL."""
    whole = EMPTY
    for account in _working(arm.report.threads):
        whole = whole.merge(account.wait)
    buckets = tuple((index, number) for index, number in whole.buckets if index > 0)
    count = sum(number for _, number in buckets)
    return Distribution(count, whole.total_ns, whole.max_ns, buckets)


def _wait_picture(sides: Sequence[Side], waits: Sequence[tuple[int, TracedArm, Distribution]]) -> Picture:
    """Return the waits, a row per arm, with the interpreters side by side."""
    rows = list(dict.fromkeys(f"{arm.name} x {arm.threads}" for _, arm, _ in waits))
    points: dict[int, list[Point]] = {}
    for side, arm, found in waits:
        marks = (found.quantile(0.5), found.quantile(0.99), found.max_s)
        at = rows.index(f"{arm.name} x {arm.threads}")
        points.setdefault(side, []).append(Point(at, marks[1], marks[1], marks[1], marks))
    series = tuple(PlotSeries(sides[side][0], side, tuple(points[side])) for side in sorted(points))
    return Picture(
        form="ranges",
        title="How long a thread waited for the GIL, where it had to",
        note="All waits of the same traced runs.",
        kind="seconds",
        unit="s",
        logarithmic=True,  # real waits are longer than 0
        axis="",
        labels=tuple(rows),
        panels=(Panel("", series),),
        marks=_WAITS,
    )


def accounts_table(sides: Sequence[Side]) -> list[dict[str, Any]]:
    """Return the traced arms with a row per working thread, at most the sixteen busiest."""
    return [
        {
            "title": _label(sides, side, arm),
            "elapsed": duration_on_page(arm.report.elapsed_s),
            "held": share(arm.report.held_ns, arm.report.elapsed_ns),
            "contended": share(arm.report.contended_ns, arm.report.elapsed_ns),
            "handoffs": arm.report.handoffs,
            "threads": _thread_rows(_working(arm.report.threads)),
        }
        for side, arm in _traced(sides)
    ]


def _thread_rows(accounts: list[ThreadAccount]) -> list[list[str | int]]:
    accounts = sorted(accounts, key=lambda account: account.hold_ns + account.wait_ns, reverse=True)
    rows = [_row(thread_name(account), [account]) for account in accounts[:_MOST_THREADS]]
    rest = accounts[_MOST_THREADS:]
    return rows + ([_row(f"{len(rest)} more, summed", rest)] if rest else [])


def _row(name: str, accounts: Sequence[ThreadAccount]) -> list[str | int]:
    lifetime = sum(account.lifetime_ns for account in accounts)
    times = [sum(map(part, accounts)) for part in _PARTS]
    return [
        name,
        *(f"{duration_on_page(time / 1e9)}, {share(time, lifetime)}" for time in times),
        duration_on_page(max(account.wait.max_s for account in accounts)),
        sum(account.acquisitions for account in accounts),
        sum(account.forced_releases for account in accounts),
        sum(account.voluntary_releases for account in accounts),
    ]
