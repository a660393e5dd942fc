"""Why a scenario's numbers are what they are: where its traced threads spent their time, how they waited."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gilprobe.distribution import EMPTY, Distribution
from gilprobe.render.accounts import thread_name
from gilprobe.render.html.picture import Panel, Picture, Point, Series
from gilprobe.render.terminal import idle_main, in_order
from gilprobe.render.words import duration, share

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from gilprobe.render.html.measures import Side
    from gilprobe.report import ThreadAccount
    from gilprobe.results import TracedArm

_MOST_THREADS = 16
_WAITS = ("p50", "p99", "longest")


def traced_pictures(sides: Sequence[Side]) -> list[Picture]:
    """Return where the time of each arm's threads went, and how long they waited; nothing without traces."""
    traced = _traced(sides)
    if not traced:
        return []
    labels, shares, waits = [], [], []
    for side, arm in traced:
        accounts = _working(arm.report.threads)
        whole = sum(account.lifetime_ns for account in accounts)
        if not whole:
            continue
        parts = tuple(sum(map(part, accounts)) / whole for part in _PARTS)
        labels.append(_label(sides, side, arm))
        shares.append(Point(len(labels) - 1, parts[1], parts[1], parts[1], parts))
        blocked = _blocked(accounts)
        if blocked.count:
            waits.append((labels[-1], blocked))
    pictures = []
    if labels:
        pictures.append(
            Picture(
                form="shares",
                title="Where the threads' time went",
                note="Traced in one extra run of each arm: shares of its working threads' lifetimes.",
                kind="share",
                unit="",
                logarithmic=False,
                axis="",
                labels=tuple(labels),
                panels=(Panel("", (Series("", 0, tuple(shares)),)),),
                marks=("hold", "wait", "off"),
            )
        )
    if waits:
        pictures.append(_wait_picture(waits))
    return pictures


_PARTS: tuple[Callable[[ThreadAccount], int], ...] = (
    lambda account: account.hold_ns,
    lambda account: account.wait_ns,
    lambda account: account.off_ns,
)


def _traced(sides: Sequence[Side]) -> list[tuple[int, TracedArm]]:
    """Return all traced arms, those of one name together as the results have them."""
    orders = [in_order(result) for _, result in sides]
    found = [(number, arm) for number, (_, result) in enumerate(sides) for arm in result.traces]
    return sorted(found, key=lambda one: (orders[one[0]](one[1].name), one[1].threads, one[0]))


def _label(sides: Sequence[Side], side: int, arm: TracedArm) -> str:
    several = sum(1 for _, result in sides if result.traces) > 1
    return f"{arm.name} x {arm.threads}" + (f", {sides[side][0]}" if several else "")


def _working(accounts: Iterable[ThreadAccount]) -> list[ThreadAccount]:
    accounts = list(accounts)
    return [account for account in accounts if not idle_main(account)] or accounts


def _blocked(accounts: Iterable[ThreadAccount]) -> Distribution:
    """Return the waits of all threads together, without acquisitions that found the GIL free."""
    whole = EMPTY
    for account in accounts:
        whole = whole.merge(account.wait)
    buckets = tuple((index, number) for index, number in whole.buckets if index > 0)
    count = sum(number for _, number in buckets)
    return Distribution(count, whole.total_ns, whole.max_ns, buckets)


def _wait_picture(waits: Sequence[tuple[str, Distribution]]) -> Picture:
    points = []
    for at, (_, blocked) in enumerate(waits):
        marks = (blocked.quantile(0.5), blocked.quantile(0.99), blocked.max_s)
        points.append(Point(at, marks[1], marks[1], marks[1], marks))
    return Picture(
        form="ranges",
        title="How long a thread waited for the GIL, where it had to",
        note="All waits of the same traced runs.",
        kind="seconds",
        unit="s",
        logarithmic=min(point.marks[0] for point in points) > 0,
        axis="",
        labels=tuple(label for label, _ in waits),
        panels=(Panel("", (Series("", 0, tuple(points)),)),),
        marks=_WAITS,
    )


def accounts_table(sides: Sequence[Side]) -> list[dict[str, Any]]:
    """Return the traced arms with a row for each working thread; of more than sixteen the busiest."""
    return [
        {
            "title": _label(sides, side, arm),
            "elapsed": duration(arm.report.elapsed_s),
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
        *(f"{duration(time / 1e9)}, {share(time, lifetime)}" for time in times),
        duration(max(account.wait.max_s for account in accounts)),
        sum(account.acquisitions for account in accounts),
        sum(account.forced_releases for account in accounts),
        sum(account.voluntary_releases for account in accounts),
    ]
