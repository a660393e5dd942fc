"""The report as one HTML file: it opens from disk, asks no network, and shows at first sight who paid."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilprobe.render.html import document, process_data

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from gilprobe.traced import TracedProcess


def export_processes(processes: Sequence[TracedProcess], *, source: Path | None = None) -> Iterator[str]:
    """Write what was recorded of processes as a page.

    Parameters
    ----------
    processes : sequence of TracedProcess
        What to show, at least one; the first is shown first.
    source : pathlib.Path or None
        Folder below which source files may be read, to show the lines of sites; None: no file is read.

    Yields
    ------
    str
        Pieces of an HTML document, all ASCII but for what the page itself says.
    """
    shown = [process_data.described(process, source) for process in processes]
    yield from document.pieces({"kind": "processes", "processes": shown}, title=shown[0]["title"])
