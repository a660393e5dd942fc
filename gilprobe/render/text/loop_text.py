"""What event loops ran, as text: their tasks, and their longest callbacks."""

from __future__ import annotations

from gilprobe.durations import duration
from gilprobe.render.shared import words
from gilprobe.render.shared.accounts import all_held_ns
from gilprobe.render.shared.culprit_words import per_cent
from gilprobe.render.shared.words import clipped, plural, share

TYPE_CHECKING = False  # as in gilprobe/__init__.py: a recorded process loads no typing
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gilprobe.model.share_interval import ShareInterval
    from gilprobe.render.shared.page import Page
    from gilprobe.report import LoopCallback, LoopTask, Report


def task_table(
    page: Page, report: Report, short: Mapping[str, str], interval: ShareInterval, waited_ns: int, rows: int
) -> None:
    """Write the tasks that were seen with the GIL.

    Parameters
    ----------
    page : Page
        What to write to.
    report : Report
        The report.
    short : mapping of str to str
        Paths as they are shown.
    interval : ShareInterval
        The interval of a share of all holds.
    waited_ns : int
        All waiting.
    rows : int
        Limit of rows; the others are summed up.
    """
    if not report.tasks:
        return
    page.line("What event loops ran with the GIL", style="bold")
    table = page.table(
        ">waits caused",
        ">of all waiting",
        ">hold",
        ">of all holds",
        ">95% interval",
        ">looks",
        "task",
        "coroutine",
    )
    held_ns = all_held_ns(report)
    for task in report.tasks[:rows]:
        around = interval.around(task.hold_ns) if task.looks else None
        ends = [min(end / held_ns, 1.0) for end in around or ()] if held_ns else []
        where = words.place(task.function, short.get(task.filename, task.filename), task.line)
        told = per_cent(*ends) if ends else ""
        page.row(
            table, *_sums([task], report, waited_ns), told, str(task.looks), clipped(task.name) or "-", where
        )
    rest = report.tasks[rows:]
    if rest:
        looks = str(sum(task.looks for task in rest))
        page.row(table, *_sums(rest, report, waited_ns), "", looks, f"{len(rest)} more, summed", "")
    page.show(table)


def _sums(tasks: Sequence[LoopTask], report: Report, waited_ns: int) -> list[str]:
    caused_ns, hold_ns = sum(task.caused_ns for task in tasks), sum(task.hold_ns for task in tasks)
    return [
        duration(caused_ns / 1e9),
        share(caused_ns, waited_ns),
        duration(hold_ns / 1e9),
        share(hold_ns, all_held_ns(report)),
    ]


def callback_sentences(page: Page, report: Report, short: Mapping[str, str], rows: int) -> None:
    """Write the longest callbacks, one line each."""
    if not report.longest_callbacks:
        return
    page.line("The longest callbacks of event loops", style="bold")
    for row in report.longest_callbacks[:rows]:
        page.line(f"- at {row.start_s:.3f} s: {_sentence(row, short)}")
    page.line()


def _sentence(row: LoopCallback, short: Mapping[str, str]) -> str:
    what = words.place(row.function, short.get(row.filename, row.filename), row.line)
    whose = f"a step of task {clipped(row.task)}, {what}," if row.task else f"callback {what}"
    told = f"{whose} kept {clipped(row.thread)}'s loop for {duration(row.duration_s)}"
    if row.looks:
        filename = short.get(row.seen_filename, row.seen_filename)
        where = words.place(row.seen_function, filename, row.seen_line, row.seen_callee)
        told += f", in {where} at {row.seen} of {plural(row.looks, 'look')}"
    return f"{told}; other threads waited {duration(row.waited_s)}" if row.waited_ns else told
