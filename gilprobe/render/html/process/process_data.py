"""A page's data about one process: plain data for :mod:`json`, with names escaped and clipped."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from gilprobe.model.lock_ranking import rank_locks
from gilprobe.model.share_interval import ShareInterval
from gilprobe.render.html.process import lock_data, timeline_data
from gilprobe.render.html.process.flames import flame
from gilprobe.render.html.process.headline import headline, more
from gilprobe.render.html.process.places import NOWHERE, Places, name
from gilprobe.render.html.process.threads import ThreadRows, distribution
from gilprobe.render.shared import culprit_words, words
from gilprobe.render.shared.accounts import all_held_ns
from gilprobe.render.shared.label_rows import ranked_labels
from gilprobe.render.shared.wait_summary import (
    ANY,
    Question,
    doubts_of_many,
    summarise_waits,
    telling_stalls,
    traces_gil,
    waited_ns,
)
from gilprobe.render.shared.weights import stacks_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gilprobe.model.environment import Environment
    from gilprobe.model.traced_process import TracedProcess
    from gilprobe.render.html.process.sources import Sources
    from gilprobe.render.shared.wait_summary import WaitSummary
    from gilprobe.report import By, Culprit, Report, Site, Stall

MOST_COLLECTIONS = 200
"""Limit of rows of collections."""

_OF_COLLECTIONS = ("generation", "count", "longest_ns", "pause_ns", "caused_ns", "collected")

_OF_LABELS = ("hold_ns", "wait_ns", "off_ns", "holds", "waits")

MOST_LABELS = 1200
"""Limit of rows of labels, of which a process tells about a thousand apart, and of their blame."""

MOST_CULPRITS = 500
MOST_SITES = 2000
MOST_BLAMES = 3000
MOST_STALLS = 200
MOST_TASKS = 200

OTHERS = -2
"""Number of several threads summed up."""

_Place = tuple[str, str, int, str]

_SUMMED = ("releases", "hold_ns", "wait_ns", "caused_ns")


def described(
    process: TracedProcess,
    sources: Sources | None = None,
    *,
    timeline_bytes: int = timeline_data.MOST_BYTES,
    question: Question = ANY,
    all_clear: bool = True,
) -> dict[str, Any]:
    """Return a process's data for the page's scripts.

    Parameters
    ----------
    process : TracedProcess
        The recorded process.
    sources : Sources or None
        Reads lines of source; None: none are shown.
    timeline_bytes : int
        Size limit of the timeline.
    question : Question
        What the verdict is to be about.
    all_clear : bool
        Whether no other process of the program was contended.

    Returns
    -------
    dict
        For :func:`json.dumps`. Threads and places are lists; everything else refers to them by number.
    """
    report = process.report
    threads, places = ThreadRows(report.threads), Places()
    found, sites = summarise_waits(report, question), _sites(report.sites, places)
    locks = rank_locks(report)
    parts = {
        "culprits": _culprits(report, found, question, places),
        "labels": _labels(report),
        "sites": sites,
        "other_sites": _rest(report.sites),
        "blame": _blame(report, threads, places),
        "flame": {**flame(stacks_of(process), places), "recorded": bool(report.stacks)},
        "stalls": _stalls(report, threads, places),
        "collections": _collections(report, places),
        "tasks": _tasks(report, places),
        "callbacks": _callbacks(report, places),
        "locks": lock_data.described(report, locks, threads, places),
    }
    return {
        "title": name(process.title, 400),
        "source": name(process.source, 400),
        "pid": process.pid,
        "headline": headline(report, found, locks, whole="program" if all_clear else "process"),
        "more": more(report, found, locks),
        "traces_gil": traces_gil(report),
        "elapsed_ns": report.elapsed_ns,
        "held_ns": report.held_ns,
        "all_held_ns": all_held_ns(report),
        "contended_ns": report.contended_ns,
        "waited_ns": waited_ns(process),
        "nobody_ns": found.nobody_ns,
        "looks": report.looks,
        "looks_unseen": report.looks_unseen,
        "unshared_wait_ns": report.unshared_wait_ns,
        "handoffs": report.handoffs,
        "threads": threads.described(),
        "folded_threads": threads.folded,
        "all_threads": {
            "hold": distribution(thread.hold for thread in report.threads),
            "wait": distribution(thread.wait for thread in report.threads),
        },
        "places": places.described(sources),
        **parts,
        "environment": environment(report.environment),
        "doubts": [words.visible(doubt) for doubt in process.doubts],
        "timeline": _timeline(process, threads, timeline_bytes),
    }


def _timeline(process: TracedProcess, threads: ThreadRows, most_bytes: int) -> dict[str, Any] | None:
    if process.timeline is None:
        return None
    return timeline_data.described(process.report, process.timeline, threads, most_bytes=most_bytes)


def summed(processes: Sequence[TracedProcess]) -> dict[str, Any] | None:
    """Return the sums of processes that are not in the page; None if all are."""
    if not processes:
        return None
    reports = [process.report for process in processes]
    return {
        "count": len(processes),
        "elapsed_ns": sum(report.elapsed_ns for report in reports),
        "held_ns": sum(report.held_ns for report in reports),
        "waited_ns": sum(map(waited_ns, processes)),
        "doubts": [words.visible(doubt) for doubt in doubts_of_many(processes)],
    }


def _culprits(report: Report, found: WaitSummary, question: Question, places: Places) -> list[dict[str, Any]]:
    """Return the tables of the verdict: what was asked for; else calls and functions, if they are known."""
    kind = question.kind(report)
    if question.by is None and kind != "call":
        return []
    tables = [_culprit_table(kind, found.culprits, places, found.waited_ns)]
    if question.by is None:
        tables.append(_culprit_table("function", report.culprits("function"), places, found.waited_ns))
    return tables


def _culprit_table(kind: By, rows: Sequence[Culprit], places: Places, waited_ns: int) -> dict[str, Any]:
    shown = [row for row in rows if row.caused_ns > 0]
    return {
        "by": kind,
        "disjoint": kind in ("call", "thread", "task"),
        "more": max(0, len(shown) - MOST_CULPRITS),
        "rows": [
            {
                "thread": name(row.thread),
                "place": places.number(row.function, row.filename, row.line),
                "called": name(culprit_words.called(row, waited_ns)).replace("%", "\u202f%"),
                "several": bool(culprit_words.callees(row, waited_ns)),
                "task": name(row.task),
                **{key: getattr(row, key) for key in ("caused_ns", "own_ns", "looks", "low", "high")},
            }
            for row in shown[:MOST_CULPRITS]
        ],
    }


def _labels(report: Report) -> dict[str, Any]:
    """Return what the code under each label held and waited, and which label waited behind which."""
    rows, blame = ranked_labels(report), sorted(report.label_blame, key=lambda row: -row.wait_ns)
    return {
        "more": max(0, len(rows) - MOST_LABELS),
        "rows": [
            {
                "label": name(row.totals.name),
                "behind": name(row.behind),
                "behind_ns": row.behind_ns,
                **{
                    key: getattr(row.totals, key)
                    for key in ("hold_ns", "wait_ns", "off_ns", "holds", "waits")
                },
            }
            for row in rows[:MOST_LABELS]
        ],
        "more_blame": max(0, len(blame) - MOST_LABELS),
        "blame": [
            {"waiter": name(row.waiter), "holder": name(row.holder), "wait_ns": row.wait_ns}
            for row in blame[:MOST_LABELS]
        ],
    }


def _tasks(report: Report, places: Places) -> list[dict[str, Any]]:
    """Return the tasks of event loops that a page lists, the worst first."""
    interval = ShareInterval((site.hold_ns, site.looks) for site in report.sites)
    held_ns = all_held_ns(report)
    rows = []
    for task in report.tasks[:MOST_TASKS]:
        around = interval.around(task.hold_ns) if held_ns else None
        low, high = (None, None) if around is None else (min(end / held_ns, 1.0) for end in around)
        rows.append(
            {
                "task": name(task.name),
                "place": places.number(task.function, task.filename, task.line),
                "low": low,
                "high": high,
                **{key: getattr(task, key) for key in ("hold_ns", "caused_ns", "looks")},
            }
        )
    return rows


def _callbacks(report: Report, places: Places) -> list[dict[str, Any]]:
    """Return the longest callbacks of event loops."""
    return [
        {
            "task": name(row.task),
            "thread": name(row.thread),
            "place": places.number(row.function, row.filename, row.line),
            "seen_place": places.number(row.seen_function, row.seen_filename, row.seen_line, row.seen_callee),
            **{key: getattr(row, key) for key in ("start_ns", "duration_ns", "waited_ns", "looks", "seen")},
        }
        for row in report.longest_callbacks
    ]


def _ranked(sites: Sequence[Site]) -> list[Site]:
    return sorted(sites, key=lambda site: site.hold_ns + site.wait_ns + site.caused_ns, reverse=True)


def _sites(sites: Sequence[Site], places: Places) -> list[dict[str, Any]]:
    """Return the sites that a page lists, the most important first."""
    return [
        {
            "place": places.number(site.function or "?", site.filename, site.line, site.callee),
            **{key: getattr(site, key) for key in (*_SUMMED, "hold_cpu_ns", "looks")},
        }
        for site in _ranked(sites)[:MOST_SITES]
    ]


def _rest(sites: Sequence[Site]) -> dict[str, int] | None:
    """Return the sums of sites that are not listed; None if all are."""
    rest = _ranked(sites)[MOST_SITES:]
    if not rest:
        return None
    return {"count": len(rest), **{key: sum(getattr(site, key) for site in rest) for key in _SUMMED}}


def _blame(report: Report, threads: ThreadRows, places: Places) -> list[tuple[int, int, int, int]]:
    """Return rows (waiter, holder, place, ns), longest first.

    Nobody as a holder is `NOWHERE`. Of very many rows the smallest are summed up per waiter.
    """
    total: Counter[tuple[int, int, _Place | None]] = Counter()
    for row in report.blame:
        waiter = _known(threads.number(row.waiter, row.waiter_id))
        if row.holder:
            holder = _known(threads.number(row.holder, row.holder_id))
            place = (row.function or "?", row.filename, row.line, row.callee)
            total[waiter, holder, place] += row.wait_ns
        else:
            total[waiter, NOWHERE, None] += row.wait_ns
    ranked = total.most_common()
    several: Counter[int] = Counter()
    for (waiter, _, _), wait_ns in ranked[MOST_BLAMES:]:
        several[waiter] += wait_ns
    kept = [
        (waiter, holder, NOWHERE if place is None else places.number(*place), wait_ns)
        for (waiter, holder, place), wait_ns in ranked[:MOST_BLAMES]
    ]
    return kept + [(waiter, OTHERS, NOWHERE, wait_ns) for waiter, wait_ns in several.items()]


def _known(thread: int) -> int:
    return OTHERS if thread == NOWHERE else thread


def _stalls(report: Report, threads: ThreadRows, places: Places) -> list[dict[str, Any]]:
    return [_stall(stall, threads, places) for stall in telling_stalls(report)[:MOST_STALLS]]


def _collections(report: Report, places: Places) -> dict[str, Any]:
    rows = sorted(report.collections or (), key=lambda row: (-row.caused_ns, -row.pause_ns))
    shown = rows[:MOST_COLLECTIONS]
    return {
        "more": len(rows) - len(shown),
        "rows": [
            {
                "thread": name(row.thread) or "?",
                "place": places.number(row.function, row.filename, row.line),
                **{key: getattr(row, key) for key in _OF_COLLECTIONS},
            }
            for row in shown
        ],
    }


def _stall(stall: Stall, threads: ThreadRows, places: Places) -> dict[str, Any]:
    return {
        "waiter": name(stall.waiter) or "?",
        "waiter_thread": threads.number(stall.waiter),
        "waiter_place": places.number(stall.waiter_function, stall.waiter_filename, stall.waiter_line),
        "holder": name(stall.holder),
        "holder_thread": threads.number(stall.holder) if stall.holder else NOWHERE,
        "holder_place": places.number(*stall.seen_at[:3]),
        "start_ns": stall.start_ns,
        "wait_ns": stall.wait_ns,
        "holder_ns": stall.holder_ns,
        "pause_ns": stall.pause_ns,
        "pause_generation": stall.pause_generation,
        "holder_state": stall.holder_state or "",
        "holder_stack": [
            places.number(frame.function, frame.filename, frame.line) for frame in stall.holder_stack or ()
        ],
    }


def environment(measured_on: Environment) -> dict[str, str]:
    """Return interpreter and machine, in words for a page."""
    load = measured_on.load_average
    build = f"{measured_on.build} build, GIL {'on' if measured_on.gil_enabled else 'off'}"
    shown = {
        "interpreter": f"{measured_on.implementation} {measured_on.python} ({build})",
        "switch interval": words.duration_on_page(measured_on.switch_interval_s),
        "compiler": measured_on.compiler,
        "processor": measured_on.cpu,
        "cores": f"{measured_on.cores} usable of {measured_on.cores_online}",
        "platform": f"{measured_on.platform} ({measured_on.machine})",
        "load average": "not known" if load is None else f"{load:.2f}",
        "clock": measured_on.clock,
        "started": measured_on.started,
        "gilprobe": measured_on.gilprobe,
    }
    return {label: name(value, 400) for label, value in shown.items()}
