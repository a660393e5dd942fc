"""What a page shows of one process: plain data for :mod:`json`, every name made visible and clipped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gilprobe.render.html import timeline_data
from gilprobe.render.words import clipped, visible

if TYPE_CHECKING:
    from pathlib import Path

    from gilprobe.traced import TracedProcess


def described(process: TracedProcess, source: Path | None = None) -> dict[str, Any]:  # noqa: ARG001
    """Return what the page's scripts show of a process."""
    return {
        "title": _name(process.title),
        "elapsed_ns": process.report.elapsed_ns,
        "doubts": [visible(doubt) for doubt in process.doubts],
        "timeline": timeline_data.described(process.report, process.timeline) if process.timeline else None,
    }


def _name(text: str) -> str:
    return visible(clipped(text, 400))
