"""The hosts and processes of a merged report, as text."""

from __future__ import annotations

from gilprobe.durations import duration
from gilprobe.render.shared import culprit_words
from gilprobe.render.shared.words import clipped, plural, share, short_paths

TYPE_CHECKING = False  # as in gilprobe/__init__.py: a recorded process loads no typing
if TYPE_CHECKING:
    from collections.abc import Sequence

    from gilprobe.render.shared.page import Page
    from gilprobe.report import HostLevel, ProcessLevel, Report

_QUANTILE = 0.99
_CLIPPED = 60


def number_of_processes(levels: Sequence[ProcessLevel]) -> str:
    """Return how many processes these rows are about, in words."""
    return plural(sum(level.processes for level in levels), "process", "es")


def write_levels(page: Page, report: Report, rows: int) -> None:
    """Write a table of hosts, if there are several, and one of processes."""
    hosts, processes = report.hosts or (), report.processes or ()
    on = f" on {plural(len(hosts), 'host')}" if len(hosts) > 1 else ""
    page.line(f"{number_of_processes(processes)}{on}", style="bold")
    if len(hosts) > 1:
        _host_table(page, hosts, rows)
    _process_table(page, processes, rows, with_host=len(hosts) > 1)


def _host_table(page: Page, hosts: Sequence[HostLevel], rows: int) -> None:
    table = page.table(">processes", ">traced", ">held", ">contended", ">waited", ">99% of waits", "host")
    for host in hosts[:rows]:
        quantile = duration(host.wait.quantile(_QUANTILE))
        page.row(table, str(host.processes), *_cells([host]), quantile, clipped(host.host) or "not known")
    rest = hosts[rows:]
    if rest:
        number = str(sum(host.processes for host in rest))
        page.row(table, number, *_cells(rest), "", f"{len(rest)} more, summed")
    page.show(table)


def _process_table(page: Page, processes: Sequence[ProcessLevel], rows: int, *, with_host: bool) -> None:
    columns = (">traced", ">held", ">contended", ">waited", ">99% of waits")
    table = page.table(*columns, *(["host"] if with_host else []), "process", "mostly behind")
    paths = {level.culprit.filename for level in processes[:rows] if level.culprit is not None}
    short = short_paths(paths)
    shown, rest = processes[:rows], processes[rows:]
    if shown and shown[-1].processes > 1:
        shown, rest = shown[:-1], [*shown[-1:], *rest]
    for level in shown:
        behind = ""
        if level.culprit is not None:
            told = culprit_words.call(level.culprit, short, level.waited_ns)
            behind = f"{share(level.culprit.caused_ns, level.waited_ns)} {told}"
        quantile = duration(level.wait.quantile(_QUANTILE))
        host = [clipped(level.host)] if with_host else []
        page.row(table, *_cells([level]), quantile, *host, _title(level), behind)
    if rest:
        number = sum(level.processes for level in rest)
        empty = [""] if with_host else []
        page.row(table, *_cells(rest), "", *empty, f"{number} more, summed", "")
    page.show(table)


def _title(level: ProcessLevel) -> str:
    if not level.pid:
        return clipped(level.source, _CLIPPED)
    return clipped(f"{level.pid}: {level.command}" if level.command else str(level.pid), _CLIPPED)


def _cells(levels: Sequence[HostLevel | ProcessLevel]) -> list[str]:
    elapsed_ns = sum(level.elapsed_ns for level in levels)
    return [
        duration(elapsed_ns / 1e9),
        share(sum(level.held_ns for level in levels), elapsed_ns),
        share(sum(level.contended_ns for level in levels), elapsed_ns),
        duration(sum(level.waited_ns for level in levels) / 1e9),
    ]
