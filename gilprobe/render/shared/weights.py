"""The weights of a profile, and its stacks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from gilprobe.report import Frame, Stack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gilprobe.report import Report, Site

Weight = Literal["hold", "wait", "caused"]

WEIGHTS: dict[Weight, str] = {
    "hold": "GIL held",
    "wait": "waiting for the GIL",
    "caused": "waits caused in other threads",
}
"""The weights of stacks, and their names."""


def stacks_of(report: Report) -> Sequence[Stack]:
    """Return the stacks of a report; without stacks, its sites as stacks of one frame and a callee."""
    if report.stacks:
        return report.stacks
    return [
        Stack(
            levels_of(site),
            site.releases,
            site.hold_ns,
            site.wait_ns,
            site.caused_ns,
            looks=site.looks,
        )
        for site in report.sites
    ]


def levels_of(site: Site) -> tuple[Frame, ...]:
    """Return a site's frame, and its callee below as a level of its own."""
    frame = Frame(site.function, site.filename, site.line)
    return (frame, Frame(site.callee, "", 0)) if site.callee else (frame,)


def weight_ns(stack: Stack, weight: Weight) -> int:
    """Return a stack's nanoseconds by `weight`."""
    return {"hold": stack.hold_ns, "wait": stack.wait_ns, "caused": stack.caused_ns}[weight]
