"""A trace as text for a terminal or a pipe: summary, threads, sites, blame, stalls, doubts."""

from __future__ import annotations

from collections import Counter

from gilprobe.durations import duration
from gilprobe.model.lock_ranking import rank_locks
from gilprobe.model.share_interval import ShareInterval
from gilprobe.model.traced_process import TracedProcess, with_worst
from gilprobe.render.shared import culprit_words, words
from gilprobe.render.shared.accounts import all_held_ns, crowds, thread_rows, thread_table
from gilprobe.render.shared.page import PLAIN, Look, Page
from gilprobe.render.shared.pause_words import paused, worst_collections
from gilprobe.render.shared.wait_summary import (
    ANY,
    MOST,
    NEARLY_ALL,
    Question,
    by_waits,
    contended,
    doubts_of_many,
    suffering_gil,
    summarise_waits,
    telling_stalls,
    traces_gil,
    waited_ns,
    without_cpu,
)
from gilprobe.render.shared.words import clipped, plural, share
from gilprobe.render.text.labels_text import label_headline, write_labels
from gilprobe.render.text.locks_text import (
    lock_headline,
    lock_verdict,
    paths_of_locks,
    write_locks,
    write_off_times,
    write_single_waits,
)
from gilprobe.render.text.loop_text import callback_sentences, task_table

TYPE_CHECKING = False  # as in gilprobe/__init__.py: a recorded process loads no typing
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gilprobe.model.pauses import Collection
    from gilprobe.report import By, Culprit, Report, Site, Stall

_HEADS: dict[By, str] = {
    "call": "line of own code",
    "function": "function",
    "line": "line",
    "module": "module",
    "task": "coroutine",
}

_LEVELS = 6
"""Limit of levels shown of a stack that was seen during a wait."""

_IN_FULL = 4
"""Limit of processes shown in full."""


def render_report(
    report: Report,
    look: Look = PLAIN,
    *,
    rows: int = 12,
    children: Sequence[TracedProcess] = (),
    question: Question = ANY,
) -> str:
    """Render a trace: who held the GIL, who waited, where, and behind whom.

    Parameters
    ----------
    report : Report
        The report of the trace.
    look : Look
        What the reader can show.
    rows : int
        Limit of rows in each table; the others are summed up.
    children : sequence of TracedProcess
        Its child processes: the verdict covers all, and the one that waited most is named.
    question : Question
        What the verdict is to be about.

    Returns
    -------
    str
        Lines of text.
    """
    process = TracedProcess(source="", report=report)
    told = render_process(process, look, rows=rows, beside=children, question=question)
    return _told_of_all(process, children, look, question) + told


def _told_of_all(
    process: TracedProcess, children: Sequence[TracedProcess], look: Look, question: Question
) -> str:
    """Add a summary of the children, and the one that waited most, if more than the first process."""
    page = Page(look)
    if children:
        suffering = [child for child in children if contended(child)]
        number = plural(len(children), "more process", "es")
        page.line(f"{number}, {len(suffering) or 'none'} of them contended", style="bold")
        worst = max(children, key=waited_ns)
        if worst in suffering and waited_ns(worst) > waited_ns(process):
            _told_of_worst(page, worst, question)
        page.line()
    return page.finished()


def _told_of_worst(page: Page, worst: TracedProcess, question: Question) -> None:
    """Write the headline of the process whose threads waited most."""
    on = f" on {clipped(worst.host)}" if worst.host else ""
    page.line(f"Threads waited most in {clipped(worst.title, 100)}{on}:")
    _Pages(page, worst.report, 0, question=question).headline()


def render_process(
    process: TracedProcess,
    look: Look = PLAIN,
    *,
    rows: int = 12,
    heading: bool = False,
    beside: Sequence[TracedProcess] = (),
    question: Question = ANY,
) -> str:
    """Render the trace of a process as :func:`render_report` does, with a heading if it is one of several.

    It gives no all-clear if other processes of the program (`beside`) were contended.
    """
    page = Page(look)
    if heading:
        page.line(clipped(process.title, 400), style="bold underline")
        page.line()
    write_process(page, process, rows=rows, all_clear=not any(map(contended, beside)), question=question)
    return page.finished()


def write_process(
    page: Page,
    process: TracedProcess,
    *,
    rows: int = 12,
    all_clear: bool = True,
    question: Question = ANY,
) -> None:
    """Write what :func:`render_process` renders onto a page of any kind."""
    if process.report.processes is not None:
        from gilprobe.render.text.levels_text import write_levels  # few reports are merged

        write_levels(page, process.report, 2 * rows)
        for worst in with_worst(process)[1:]:
            _told_of_worst(page, worst, question)
            page.line()
    _Pages(page, process.report, rows, all_clear=all_clear, question=question).write()
    write_single_waits(page, process, max(1, rows // 2))
    page.doubts(process.doubts)


def render_processes(
    processes: Sequence[TracedProcess], look: Look = PLAIN, *, question: Question = ANY
) -> str:
    """Render the traces of processes; if more than four, all in a table, and four in full."""
    if len(processes) <= _IN_FULL:
        several = len(processes) > 1
        return "".join(
            render_process(process, look, heading=several, beside=processes, question=question)
            for process in processes
        )
    ranked = by_waits(processes)
    shown, others = ranked[:_IN_FULL], ranked[_IN_FULL:]
    page = Page(look)
    _process_table(page, ranked)
    page.doubts(doubts_of_many(others))
    page.line(
        f"{len(shown)} of them follow in full: the first, and those with the longest waits. For another:"
    )
    page.line(f"gilprobe report {others[0].source}")
    page.line()
    return page.finished() + "".join(
        render_process(process, look, heading=True, beside=processes, question=question) for process in shown
    )


def _process_table(page: Page, processes: Sequence[TracedProcess], rows: int = 24) -> None:
    page.line(plural(len(processes), "process", "es"), style="bold")
    table = page.table(">traced", ">held", ">contended", ">waited", "process")
    for process in processes[:rows]:
        page.row(table, *_process_cells([process]), clipped(process.title, 100))
    if processes[rows:]:
        page.row(table, *_process_cells(processes[rows:]), f"{len(processes[rows:])} more, summed")
    page.show(table)


def _process_cells(processes: Sequence[TracedProcess]) -> list[str]:
    elapsed_ns = sum(process.report.elapsed_ns for process in processes)
    return [
        duration(elapsed_ns / 1e9),
        share(sum(process.report.held_ns for process in processes), elapsed_ns),
        share(sum(process.report.contended_ns for process in processes), elapsed_ns),
        duration(sum(map(waited_ns, processes)) / 1e9),
    ]


class _Pages:
    """The parts of a report, with paths shortened consistently."""

    def __init__(
        self, page: Page, report: Report, rows: int, *, all_clear: bool = True, question: Question = ANY
    ) -> None:
        self._page, self._report, self._rows = page, report, rows
        self._whole = "program" if all_clear else "process"
        self._question, self._kind = question, question.kind(report)
        self._found = summarise_waits(report, question)
        self._wait_ns = self._found.waited_ns
        self._causes = _ranked(report.sites, lambda site: site.caused_ns)
        self._holds = sorted(report.sites, key=lambda site: site.hold_ns, reverse=True)
        self._crowd_of = crowds(report.threads, rows)
        alive = {account.name for account in report.threads if not account.ended}
        told_apart = {name: crowd for name, crowd in self._crowd_of.items() if name not in alive}
        self._blame = _blame_by_site(report, told_apart)
        self._stalls = telling_stalls(report)[: max(1, rows // 2)]
        self._collections = worst_collections(report)
        self._locks = rank_locks(report)
        self._functions = self._by_function()
        self._short = words.short_paths(self._shown_paths())

    def _by_function(self) -> Sequence[Culprit]:
        """Return the functions below the calls, where nobody asked for something else."""
        if self._question.by is not None or self._kind != "call" or not self._rows:
            return ()
        return [row for row in self._report.culprits("function") if row.own_ns > 0]

    def write(self) -> None:
        self.headline()
        self._page.line()
        if not traces_gil(self._report):
            write_off_times(self._page, self._report, self._rows)
            write_locks(self._page, self._report, self._locks, self._rows, self._short)
            return
        if self._question.by is not None or self._kind == "call":
            self._culprits(self._kind, self._found.culprits, self._rows)
        self._culprits("function", self._functions, max(1, self._rows // 2))
        write_labels(self._page, self._report, self._wait_ns, self._rows)
        table = thread_table(self._page, longest=True)
        threads = self._report.threads
        thread_rows(self._page, table, threads, rows=self._rows, longest=True, crowd_of=self._crowd_of)
        self._page.show(table)
        self._without_cpu()
        write_off_times(self._page, self._report, self._rows)
        if self._question.by != "line":  # the same again
            self._causing_sites()
        self._holding_sites()
        self._what_a_hold_is()
        self._collection_table()
        self._blame_table()
        self._loops()
        self._stall_sentences()
        write_locks(self._page, self._report, self._locks, self._rows, self._short)

    def _shown_paths(self) -> set[str]:
        sites = [*self._causes[: self._rows], *self._holds[: self._rows]]
        culprits = [*self._found.culprits[: max(1, self._rows)], *self._functions[: self._rows]]
        paths = {site.filename for site in sites} | {row.filename for row in culprits}
        paths |= {key[3] for key, _ in self._blame[: self._rows]}
        for stall in self._stalls:
            paths |= {stall.waiter_filename, stall.holder_filename}
            paths |= {frame.filename for frame in stall.holder_stack or ()}
        paths |= {row.filename for row in self._collections[: self._rows]}
        paths |= {frame.filename for hold in self._report.still_held or () for frame in hold.frames}
        paths |= {task.filename for task in self._report.tasks[: self._rows]}
        for callback in self._report.longest_callbacks[: self._rows]:
            paths |= {callback.filename, callback.seen_filename}
        return paths | paths_of_locks(self._report)

    def _place(self, function: str, filename: str, line: int, callee: str = "") -> str:
        return words.place(function, self._short[filename], line, callee)

    def headline(self) -> None:
        """Write the sums of holds and waits, and the culprit."""
        report, page = self._report, self._page
        if not traces_gil(self._report):
            page.line(f"Traced {duration(report.elapsed_s)}{self._together()} without a GIL", style="bold")
            self._locks_told()
            return
        held = share(report.held_ns, report.elapsed_ns)
        contended = share(report.contended_ns, report.elapsed_ns)
        page.line(
            f"Traced {duration(report.elapsed_s)}{self._together()}: GIL held {held}, contended {contended}, "
            f"{plural(report.handoffs, 'handoff')}",
            style="bold",
        )
        self._suffering_gil()
        page.line(f"{plural(self._found.threads, 'thread')} waited {duration(self._wait_ns / 1e9)} in all")
        self._culprit()
        if told := label_headline(report):
            page.line(told)
        if report.locks is not None:
            self._locks_told()

    def _together(self) -> str:
        """Return of how many processes a merged report has the sums."""
        processes = self._report.processes
        if processes is None:
            return ""
        return f" in {plural(sum(level.processes for level in processes), 'process', 'es')} together"

    def _locks_told(self) -> None:
        """Write how long threads waited for locks, and for which most."""
        self._page.line(lock_headline(self._locks))
        verdict = lock_verdict(self._locks, self._short)
        if verdict:
            self._page.line(verdict, style="bold red")

    def _suffering_gil(self) -> None:
        """Write about the interpreter whose threads waited most, if it has a GIL of its own."""
        gil = suffering_gil(self._report)
        if gil is not None:
            number = len(self._report.own_gils or ())
            of = f" (of {number} with a GIL of their own)" if number > 1 else ""
            self._page.line(
                f"Threads waited most in interpreter {gil.interpreter}{of}: in its "
                f"{duration(gil.lifetime_ns / 1e9)} its own GIL was held "
                f"{share(gil.held_ns, gil.lifetime_ns)}, "
                f"contended {share(gil.contended_ns, gil.lifetime_ns)}",
                style="bold",
            )

    def _culprit(self) -> None:
        found, worst = self._found, self._found.culprit
        if worst is not None:
            self._page.line(
                f"{share(worst.caused_ns, self._wait_ns)} of all waiting was behind {self._worst(worst)}",
                style="" if found.little else "bold red",
            )
            if found.nobody_is_worse:
                self._page.line(
                    f"{share(found.nobody_ns, self._wait_ns)} of all waiting passed while nobody held the "
                    "GIL: it was free, but the next thread did not run yet"
                )
        elif self._report.sites:
            of_this = "" if self._whole == "program" else " of this process"
            self._page.line(f"No thread{of_this} waited while another one held the GIL")
        self._still_held()
        if found.little and worst is not None:
            together = self._report.worst is not None  # which says of one process how much it slows that down
            self._page.line(
                "Contended less than 1% of the time of all processes together"
                if together
                else f"Contended less than 1% of the time: the GIL hardly slows this {self._whole} down"
            )

    def _still_held(self) -> None:
        for hold in self._found.still_held:
            state = f", {hold.state}" if hold.state else ""
            self._page.line(
                f"Still held at the end: by {clipped(hold.thread)}, for {duration(hold.hold_s)} so far, in "
                f"{self._place(*hold.seen_at)}{state}",
                style="bold red",
            )

    def _worst(self, worst: Culprit) -> str:
        """Return the culprit, for a sentence."""
        parts = [
            culprit_words.call(worst, self._short, self._wait_ns),
            culprit_words.itself(worst, self._wait_ns),
            culprit_words.thread(worst),
        ]
        told, certain = ", ".join(filter(None, parts)), culprit_words.certainty(worst)
        return f"{told} ({certain})" if certain else told

    def _culprits(self, kind: By, culprits: Sequence[Culprit], rows: int) -> None:
        """Write the table of the verdict, with as many columns as these rows need."""
        if not culprits:
            return
        called, threads = kind in ("call", "line"), kind in ("call", "thread", "task")
        own = kind not in ("thread", "task")
        tasks = any(row.task for row in culprits[:rows])
        self._page.line(culprit_words.TITLES[kind], style="bold")
        columns = [">waits caused", ">of all waiting", *([">own"] if own else [])]
        columns += [">95% interval", ">looks"] if self._report.looks else []
        columns += ["thread"] if threads else []
        columns += ["task"] if tasks else []
        columns += [] if kind == "thread" else [_HEADS[kind]]
        table = self._page.table(*columns, *(["called"] if called else []))
        for row in culprits[:rows]:
            cells = self._culprit_cells([row], own=own)
            cells += [clipped(row.thread)] if threads else []
            cells += [clipped(row.task)] if tasks else []
            cells += [] if kind == "thread" else [culprit_words.where(row, self._short)]
            self._page.row(table, *cells, *([culprit_words.called(row, self._wait_ns)] if called else []))
        rest = culprits[rows:]
        if rest and threads:  # rows of functions, lines and modules contain each other
            cells = self._culprit_cells(rest, own=own)
            self._page.row(table, *cells, f"{len(rest)} more, summed")
        self._page.show(table)
        if rest and not threads:
            self._page.line(f"{len(rest)} more rows are not shown here")
            self._page.line()

    def _culprit_cells(self, rows: Sequence[Culprit], *, own: bool) -> list[str]:
        cells = list(self._waited(sum(row.caused_ns for row in rows)))
        cells += [share(sum(row.own_ns for row in rows), self._wait_ns)] if own else []
        if not self._report.looks:
            return cells
        interval = culprit_words.interval(rows[0]) if len(rows) == 1 else ""
        return [*cells, interval, str(sum(row.looks for row in rows))]

    def _causing_sites(self) -> None:
        self._site_table(
            "Where the GIL was held while others waited",
            (">waits caused", ">of all waiting", ">hold"),
            self._causes,
            lambda sites: [
                duration(sum(site.caused_ns for site in sites) / 1e9),
                share(sum(site.caused_ns for site in sites), self._wait_ns),
                duration(sum(site.hold_ns for site in sites) / 1e9),
            ],
        )

    def _without_cpu(self) -> None:
        """Write the part of all holds without CPU time, if recorded."""
        idle_ns, hold_ns = without_cpu(self._report)
        if hold_ns:
            self._page.line(
                f"{share(idle_ns, hold_ns)} of all holding ({duration(idle_ns / 1e9)}) used no CPU time: "
                "blocked in the kernel, waiting for a core, or stopped"
            )
            self._page.line()

    def _holding_sites(self) -> None:
        knows_cpu = any(site.hold_cpu_ns is not None for site in self._holds)
        looks = self._report.looks
        interval = ShareInterval((site.hold_ns, site.looks) for site in self._holds)
        held_ns = all_held_ns(self._report)
        more = (*((">95% interval", ">looks") if looks else ()), *((">without CPU",) if knows_cpu else ()))
        self._site_table(
            "Where the GIL was held longest",
            (">hold", ">of all holds", *more, ">releases"),
            self._holds,
            lambda sites: [
                duration(sum(site.hold_ns for site in sites) / 1e9),
                share(sum(site.hold_ns for site in sites), held_ns),
                *([self._hold_interval(interval, sites), str(_looks(sites))] if looks else []),
                *([_without_cpu(sites)] if knows_cpu else []),
                str(sum(site.releases for site in sites)),
            ],
        )

    def _hold_interval(self, interval: ShareInterval, sites: Sequence[Site]) -> str:
        around = interval.around(sites[0].hold_ns) if len(sites) == 1 and sites[0].looks else None
        held_ns = all_held_ns(self._report)
        if around is None or not held_ns:
            return ""
        return culprit_words.per_cent(*(min(end / held_ns, 1.0) for end in around))

    def _what_a_hold_is(self) -> None:
        report = self._report
        if not report.sites:
            return
        if report.looks:
            self._page.line(_how_shared(report, self._wait_ns))
        else:
            self._page.line(
                "A hold counts for the line where it ended, "
                "with all code that its thread ran since it took the GIL."
            )
        self._page.line()

    def _site_table(
        self,
        title: str,
        columns: tuple[str, ...],
        sites: Sequence[Site],
        cells: Callable[[Sequence[Site]], list[str]],
    ) -> None:
        if not sites:
            return
        self._page.line(title, style="bold")
        table = self._page.table(*columns, "site")
        for site in sites[: self._rows]:
            where = self._place(site.function, site.filename, site.line, site.callee)
            self._page.row(table, *cells([site]), where)
        rest = sites[self._rows :]
        if rest:
            self._page.row(table, *cells(rest), f"{len(rest)} more, summed")
        self._page.show(table)

    def _collection_table(self) -> None:
        rows = self._collections
        if not rows:
            return
        shown = max(1, self._rows // 2)
        self._page.line("Garbage collection", style="bold")
        columns = (">pauses", ">longest", ">together", ">waits caused", ">of all waiting", ">generation")
        table = self._page.table(*columns, "thread", "made to run by")
        for row in rows[:shown]:
            where = self._place(row.function, row.filename, row.line) if row.function else ""
            self._page.row(
                table, *self._collection_cells([row]), str(row.generation), clipped(row.thread), where
            )
        if rows[shown:]:
            cells = self._collection_cells(rows[shown:])
            self._page.row(table, *cells, "", f"{len(rows) - shown} more, summed", "")
        self._page.show(table)

    def _collection_cells(self, rows: Sequence[Collection]) -> list[str]:
        return [
            str(sum(row.count for row in rows)),
            duration(max(row.longest_ns for row in rows) / 1e9),
            duration(sum(row.pause_ns for row in rows) / 1e9),
            *self._waited(sum(row.caused_ns for row in rows)),
        ]

    def _loops(self) -> None:
        """Write what event loops ran, and what kept them longest."""
        interval = ShareInterval((site.hold_ns, site.looks) for site in self._holds)
        task_table(self._page, self._report, self._short, interval, self._wait_ns, self._rows)
        callback_sentences(self._page, self._report, self._short, max(1, self._rows // 2))

    def _blame_table(self) -> None:
        if not self._blame:
            return
        self._page.line("Who waited for whom", style="bold")
        table = self._page.table(">wait", ">of all waiting", "waiter", "holder", "holder's site")
        for (waiter, holder, function, filename, line, callee), wait_ns in self._blame[: self._rows]:
            site = self._place(function, filename, line, callee)
            who = clipped(holder) or "nobody"
            self._page.row(table, *self._waited(wait_ns), clipped(waiter) or "?", who, site)
        rest = self._blame[self._rows :]
        if rest:
            total = self._waited(sum(wait_ns for _, wait_ns in rest))
            self._page.row(table, *total, f"{len(rest)} more, summed", "", "")
        self._page.show(table)

    def _waited(self, wait_ns: int) -> tuple[str, str]:
        return duration(wait_ns / 1e9), share(wait_ns, self._wait_ns)

    def _stall_sentences(self) -> None:
        if not self._stalls:
            return
        self._page.line("The longest waits", style="bold")
        for stall in self._stalls:
            self._page.line(f"- at {stall.start_s:.3f} s: {self._sentence(stall)}")
            self._seen_stack(stall)
        self._page.line()

    def _seen_stack(self, stall: Stall) -> None:
        """Write the holder's stack as it was seen."""
        frames = (stall.holder_stack or ())[::-1]
        if not frames:
            return
        shown = frames[:_LEVELS]
        told = " < ".join(self._place(frame.function, frame.filename, frame.line) for frame in shown)
        state = f" {stall.holder_state}" if stall.holder_state else ""
        more = " < ..." if len(frames) > len(shown) else ""
        self._page.line(f"  {clipped(stall.holder)} was seen{state} in {told}{more}")

    def _sentence(self, stall: Stall) -> str:
        waiter = f"{clipped(stall.waiter) or '?'} waited {duration(stall.wait_s)}"
        if stall.waiter_function:
            where = self._place(stall.waiter_function, stall.waiter_filename, stall.waiter_line)
            waiter += f" in {where}"
        if not stall.holder:
            return f"{waiter} while nobody held the GIL"
        holder = clipped(stall.holder)
        where = self._held_in(stall)
        if stall.holder_ns < MOST * stall.wait_ns:
            longest = f"{holder}, {duration(stall.holder_s)}{where}{paused(stall)}"
            return f"{waiter}; the longest hold meanwhile: {longest}"
        part = (
            f" for {duration(stall.holder_s)} of it" if stall.holder_ns < NEARLY_ALL * stall.wait_ns else ""
        )
        return f"{waiter} while {holder} held the GIL{where}{part}{paused(stall)}"

    def _held_in(self, stall: Stall) -> str:
        """Name what was seen, and where the hold ended if that is elsewhere."""
        ended = stall.holder_function, stall.holder_filename, stall.holder_line
        if not stall.seen_at[0]:
            return ""
        where = f" in {self._place(*stall.seen_at)}"
        if stall.seen_at[:3] != ended and stall.holder_function:
            where += f", until {self._place(*ended)}"
        return where


def _without_cpu(sites: Sequence[Site]) -> str:
    idle_ns = sum(site.hold_ns - (site.hold_cpu_ns or 0) for site in sites)
    return f"{duration(idle_ns / 1e9)} {share(idle_ns, sum(site.hold_ns for site in sites))}"


def _looks(sites: Sequence[Site]) -> int:
    return sum(site.looks for site in sites)


def _ranked(sites: Sequence[Site], weight: Callable[[Site], int]) -> list[Site]:
    return sorted((site for site in sites if weight(site) > 0), key=weight, reverse=True)


def _how_shared(report: Report, wait_ns: int) -> str:
    """Return how holds and waits came to their places, where looks tell it."""
    told = (
        f"{plural(report.looks, 'look')} at random times share holds and waits out among the lines that ran; "
        "the sums are exact."
    )
    if report.looks_unseen:
        told += f" {plural(report.looks_unseen, 'more look')} could not see what ran."
    if report.unshared_wait_ns:
        part = share(report.unshared_wait_ns, wait_ns)
        told += f" {part} of all waiting is told by where holds ended: no look fell into these holds."
    return told


_BlameKey = tuple[str, str, str, str, int, str]


def _blame_by_site(report: Report, crowd_of: Mapping[str, str]) -> list[tuple[_BlameKey, int]]:
    """Return the rows of blame without stacks, with crowds of threads merged, longest first."""
    total: Counter[_BlameKey] = Counter()
    for row in report.blame:
        waiter, holder = (crowd_of.get(name, name) for name in (row.waiter, row.holder))
        total[waiter, holder, row.function, row.filename, row.line, row.callee] += row.wait_ns
    return total.most_common()
