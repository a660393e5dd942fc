"""What threads lose by sharing, as text for a terminal or a pipe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilprobe.durations import duration
from gilprobe.render.shared.page import PLAIN, Look, Page
from gilprobe.render.shared.words import clipped

if TYPE_CHECKING:
    from gilprobe.model.sharing_result import SharingResult


def render_sharing(found: SharingResult, look: Look = PLAIN) -> str:
    """Render a result: the verdict, its numbers, and the objects.

    Returns
    -------
    str
        Lines of text.
    """
    page = Page(look)
    page.line(clipped(found.name, 400), style="bold")
    page.line(f"  {found.verdict}", style="red" if found.objects else "")
    spread = f"{found.low:.2f} to {found.high:.2f}"
    for name, text in (
        ("one thread", f"{duration(found.alone_ns / 1e9)} a call"),
        (f"{found.threads} threads", f"{duration(found.shared_ns / 1e9)} a call, all objects shared"),
        ("own objects", f"{duration(found.own_ns / 1e9)} a call, by {found.threads} threads"),
        ("factor", f"{found.factor:.2f} (95% interval {spread})"),
        ("reached", f"{found.reached:,} objects"),
    ):
        page.line(f"  {name:<12} {text}")
    page.line()
    table = page.table(">factor", ">95% interval", "cause", "type", "object")
    for one in found.objects:
        interval = f"{one.low:.2f} .. {one.high:.2f}"
        page.row(
            table, f"{one.factor:.2f}", interval, one.cause, clipped(one.kind, 40), clipped(one.name, 100)
        )
    page.show(table)
    page.doubts(found.warnings)
    return page.finished()
