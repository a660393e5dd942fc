"""The report as one HTML file, which opens from disk and needs no network.

Python makes the page's data, for a traced process or for results; the page's scripts draw it. Foreign names
are data, never markup.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilprobe.render.html import document
from gilprobe.render.html.process import process_data, timeline_data
from gilprobe.render.html.process.sources import Sources
from gilprobe.render.html.results import scenario_data
from gilprobe.render.shared.wait_summary import ANY, Question, by_waits, contended

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from gilprobe.model.traced_process import TracedProcess
    from gilprobe.results import ScenarioResult

MOST_PROCESSES = 24
"""Limit of processes in a page: the first, and those whose threads waited most. Others are summed up."""


def export_processes(
    processes: Sequence[TracedProcess], *, source: Path | None = None, question: Question = ANY
) -> Iterator[str]:
    """Write the recordings of processes as a page.

    Parameters
    ----------
    processes : sequence of TracedProcess
        At least one. The page begins with the one whose threads waited most.
    source : pathlib.Path or None
        Folder of source files that may be read, to show the lines of sites; None: no file is read.
    question : Question
        What the verdict is to be about.

    Raises
    ------
    InvalidValueError
        If `source` is not a folder.
    """
    sources = None if source is None else Sources(source)
    ranked = by_waits(processes)
    room = timeline_data.MOST_BYTES // min(len(ranked), MOST_PROCESSES)
    all_clear = not any(map(contended, ranked))
    shown = [
        process_data.described(process, sources, timeline_bytes=room, question=question, all_clear=all_clear)
        for process in ranked[:MOST_PROCESSES]
    ]
    others = process_data.summed(ranked[MOST_PROCESSES:])
    return document.pieces(
        {"kind": "processes", "processes": shown, "others": others}, title=shown[0]["title"]
    )


def export_results(sides: Sequence[tuple[str, Sequence[ScenarioResult]]]) -> Iterator[str]:
    """Write results of scenarios as a page.

    Parameters
    ----------
    sides : sequence of (str, sequence of ScenarioResult)
        Names of interpreters and their results, at least one. Results of the same scenario are side by side.
        :func:`gilprobe.render.shared.sides.sides_of` makes them from saved results.

    Returns
    -------
    iterator of str
        Pieces of an HTML document.
    """
    results = scenario_data.described(sides)
    return document.pieces({"kind": "results", "results": results}, title=results["title"])
