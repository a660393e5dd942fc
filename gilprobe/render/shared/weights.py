"""The weights of a profile, and its stacks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from gilprobe.report import Frame, Stack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gilprobe.report import Report

Weight = Literal["hold", "wait", "caused"]

WEIGHTS: dict[Weight, str] = {
    "hold": "GIL held",
    "wait": "waiting for the GIL",
    "caused": "waits caused in other threads",
}
"""The weights of stacks, and their names."""


def stacks_of(report: Report) -> Sequence[Stack]:
    """Return the stacks of a report; without stacks, its sites as stacks of one frame."""
    if report.stacks:
        return report.stacks
    return [
        Stack(
            (Frame(site.function, site.filename, site.line),),
            site.releases,
            site.hold_ns,
            site.wait_ns,
            site.caused_ns,
        )
        for site in report.sites
    ]


def weight_ns(stack: Stack, weight: Weight) -> int:
    """Return a stack's nanoseconds by `weight`."""
    return {"hold": stack.hold_ns, "wait": stack.wait_ns, "caused": stack.caused_ns}[weight]
