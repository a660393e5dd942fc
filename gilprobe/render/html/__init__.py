"""The report as one HTML file: it opens from disk, asks no network, and shows at first sight who paid.

Python makes the page's data, one room for a traced process and one for results; the page's scripts draw it.
Names of others are data here, never markup.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilprobe.render.html import document
from gilprobe.render.html.process import process_data, timeline_data
from gilprobe.render.html.process.sources import Sources
from gilprobe.render.html.results import scenario_data
from gilprobe.render.shared.wait_summary import by_waits

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from gilprobe.model.traced_process import TracedProcess
    from gilprobe.results import ScenarioResult

MOST_PROCESSES = 24
"""How many processes are in a page: the first, and those whose threads waited most. Others are summed up."""


def export_processes(processes: Sequence[TracedProcess], *, source: Path | None = None) -> Iterator[str]:
    """Write what was recorded of processes as a page.

    Parameters
    ----------
    processes : sequence of TracedProcess
        What to show, at least one. The page begins with that whose threads waited most.
    source : pathlib.Path or None
        Folder below which source files may be read, to show the lines of sites; None: no file is read.

    Raises
    ------
    InvalidValueError
        If `source` is no folder.
    """
    sources = None if source is None else Sources(source)
    ranked = by_waits(processes)
    room = timeline_data.MOST_BYTES // min(len(ranked), MOST_PROCESSES)
    shown = [
        process_data.described(process, sources, timeline_bytes=room) for process in ranked[:MOST_PROCESSES]
    ]
    others = process_data.summed(ranked[MOST_PROCESSES:])
    return document.pieces(
        {"kind": "processes", "processes": shown, "others": others}, title=shown[0]["title"]
    )


def export_results(sides: Sequence[tuple[str, Sequence[ScenarioResult]]]) -> Iterator[str]:
    """Write what was measured in scenarios as a page.

    Parameters
    ----------
    sides : sequence of (str, sequence of ScenarioResult)
        Names of interpreters, and what was measured on each; at least one result. What several have measured
        stands side by side. :func:`gilprobe.render.shared.sides.sides_of` makes them of saved results.
    """
    results = scenario_data.described(sides)
    return document.pieces({"kind": "results", "results": results}, title=results["title"])
