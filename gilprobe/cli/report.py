"""``gilprobe report``: show a recording, or convert it."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gilprobe.cli import results_page
from gilprobe.cli.arguments import add_question, question_of
from gilprobe.cli.output import STDOUT, check_outputs, complain
from gilprobe.errors import FormatError, InvalidValueError
from gilprobe.render.shared.wait_summary import ANY, Question
from gilprobe.render.shared.words import visible

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator, Sequence

    from gilprobe.cli.output import Output
    from gilprobe.model.traced_process import TracedProcess
    from gilprobe.results import ScenarioResult

_OPTIONS = {
    "html": "as an HTML page with pictures, tables and search; it loads nothing else",
    "perfetto": "as a trace for ui.perfetto.dev or chrome://tracing (.json, .json.gz); needs a timeline",
    "speedscope": "as profiles for speedscope.app",
    "folded": "as folded stacks for flame-graph tools, in nanoseconds",
    "json": "as JSON",
    "csv": "as CSV: the timeline's events, or else the sites; with --weight lock the waits for locks",
}
_MOST_APART = 24  # files; more become one report
_ROWS_OF_MANY = 500  # rows of blame and longest waits, for each of several processes
_GZIP_LEVEL = 4  # takes half the time of the usual 6, and is hardly larger


def register(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("report", help="show a recording, or convert it")
    parser.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="a recording, a saved report, or results of `gilprobe run`; a folder or a pattern: "
        "all recordings in it as one report",
    )
    for name, described in _OPTIONS.items():
        parser.add_argument(
            f"--{name}", metavar="F", help=f"write it to F {described}; - for standard output"
        )
    parser.add_argument(
        "--weight",
        choices=("hold", "wait", "caused", "lock"),
        help="what --folded counts and --speedscope shows first: holds, waits, waits caused to "
        "other threads, or waits for locks (default: hold; lock if there was no GIL to trace)",
    )
    parser.add_argument(
        "--source",
        metavar="DIR",
        help="folder of source files that --html may show (default: none)",
    )
    add_question(parser)
    parser.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace, output: Output) -> int:
    """Read the files, then show or convert them."""
    targets = {name: getattr(arguments, name) for name in _OPTIONS if getattr(arguments, name) is not None}
    _check(targets, arguments.files)
    from gilprobe.render.shared.wait_summary import doubts_of_many

    source, question = _checked_source(arguments.source, targets), question_of(arguments)
    results = None if _has_many(arguments.files) else results_page.saved_results(arguments.files)
    if results is not None:
        return _report_results(results, targets, output)
    processes = _read(arguments.files)
    if "perfetto" in targets and processes[0].report.processes is not None:
        raise InvalidValueError("--perfetto needs a timeline, and a merged report has none")
    if not targets:
        _show(processes, output, question)
        return 0
    weight = _checked_weight(arguments.weight, processes)
    for name, target in targets.items():
        _write(target, _exported(name, processes, weight, source, question), output)
    for process in processes:
        if "perfetto" in targets and process.timeline is None:
            complain(f"{process.source}: left out, it has no timeline")
    for doubt in doubts_of_many(processes):
        complain(doubt)
    return 0


def _report_results(results: Sequence[ScenarioResult], targets: dict[str, str], output: Output) -> int:
    """Show or write what ``run --json`` saved."""
    from gilprobe.render import terminal
    from gilprobe.render.shared.sides import sides_of

    for name in targets:
        if name != "html":
            raise InvalidValueError(f"results of `gilprobe run` need --html, got --{name}")
    if not results:
        raise FormatError("results must contain at least one scenario, got none")
    if targets:
        from gilprobe.render.html import export_results

        _write(targets["html"], export_results(sides_of(results)), output)
        return 0
    for side, found in sides_of(results):
        output.write(f"{visible(side)}\n{terminal.render_environment(found[0].environment, output.look)}\n")
        for result in found:
            output.write(terminal.render_result(result, output.look))
    return 0


def _check(targets: dict[str, str], files: Sequence[str]) -> None:
    from gilprobe.tracing.merging import input_files

    alone = [f"--{name}" for name, target in targets.items() if target == STDOUT]
    if len(alone) > 1:
        raise InvalidValueError(f"only one output can be - (standard output), got {' and '.join(alone)}")
    check_outputs(
        {f"--{name}": target for name, target in targets.items()},
        input_files(files),
    )


def _has_many(files: Sequence[str]) -> bool:
    """Return whether a name stands for many files."""
    from gilprobe.tracing.merging import is_many

    return any(map(is_many, files))


def _checked_source(source: str | None, targets: dict[str, str]) -> Path | None:
    if source is None:
        return None
    if "html" not in targets:
        raise InvalidValueError("--source needs --html: only the page shows source lines")
    if not Path(source).is_dir():
        raise InvalidValueError(f"--source must be a folder, got {source!r}")
    return Path(source)


def _checked_weight(weight: Any, processes: Sequence[TracedProcess]) -> Any:
    from gilprobe.render.shared.weights import default_weight, knows

    reports = [process.report for process in processes]
    if weight is None:
        return default_weight(reports)
    if not any(knows(report, weight) for report in reports):
        raise InvalidValueError(
            f"--weight {weight} needs waits for locks (gilprobe record --locks), "
            f"got {processes[0].source!r}, which has none"
        )
    return weight


def _read(files: Sequence[str]) -> list[TracedProcess]:
    """Return the processes of the files and of their children, each file once; many are merged as one."""
    from gilprobe.tracing import loading

    if _has_many(files) or len(set(files)) > _MOST_APART:
        from gilprobe.model.traced_process import TracedProcess
        from gilprobe.tracing.merging import merge

        name = Path(files[0]).name or files[0]
        more = f" and {len(files) - 1} more" if len(files) > 1 else ""
        return [TracedProcess(source=f"{name}{more}", report=merge(files))]

    processes: list[TracedProcess] = []
    seen: set[Path] = set()
    for name in files:
        path = Path(name)
        if path.resolve() in seen:
            continue
        family, left_out = loading.load_family(path)
        if left_out:
            others = f" (and {len(left_out) - 1} more)" if len(left_out) > 1 else ""
            complain(left_out[0] + others)
        for process in family:
            beside = (path.parent / process.source).resolve()
            if beside not in seen:
                seen.add(beside)
                processes.append(process)
    return processes


def _show(processes: Sequence[TracedProcess], output: Output, question: Question) -> None:
    from gilprobe.render import terminal
    from gilprobe.render.text import trace_text

    output.write(terminal.render_environment(processes[0].report.environment, output.look) + "\n")
    output.write(trace_text.render_processes(processes, output.look, question=question))


def _exported(
    name: str,
    processes: Sequence[TracedProcess],
    weight: Any,
    source: Path | None,
    question: Question = ANY,
) -> Iterator[str]:
    from gilprobe.render.export import folded, perfetto, speedscope, tables

    match name:
        case "html":
            from gilprobe.model.traced_process import with_worst
            from gilprobe.render.html import export_processes  # loads jinja2, which nothing else needs

            shown = [part for process in processes for part in with_worst(process)]
            return export_processes(shown, source=source, question=question)
        case "perfetto":
            return perfetto.export(processes)
        case "speedscope":
            return speedscope.export(processes, weight)
        case "folded":
            return folded.export(processes, weight)
        case "csv":
            return tables.export(processes, locks=weight == "lock")
        case _:
            return _json(processes, question)


def _json(processes: Sequence[TracedProcess], question: Question) -> Iterator[str]:
    """Yield one report as :meth:`Report.save` writes it, several in an object with their processes."""
    if len(processes) == 1:
        report = processes[0].report
        yield from report.pieces(report.verdict(question.kind(report), question.own))
        return
    from gilprobe.render.shared.wait_summary import contended, waited_ns

    suffering = sorted(filter(contended, processes), key=waited_ns, reverse=True)
    sources = json.dumps([process.source for process in suffering])
    yield f'{{"kind": "gilprobe.processes", "schema": 1, "contended": {sources}, "processes": [\n'
    for number, process in enumerate(processes):
        yield ",\n" * (number > 0) + _described(process, question)
    yield "\n]}\n"


def _described(process: TracedProcess, question: Question) -> str:
    """Return a process in one line: indented, many would be far larger."""
    report = process.report
    described = {
        "source": process.source,
        "pid": process.pid,
        "argv": process.argv,
        "started_unix_ns": process.started_unix_ns,
        "complete": process.complete,
        "verdict": report.verdict(question.kind(report), question.own),
        "report": report.abridged(_ROWS_OF_MANY).to_dict(),
    }
    return json.dumps(described)


def _write(target: str, pieces: Iterable[str], output: Output) -> None:
    from gilprobe.files import replacing

    if target == STDOUT:
        for piece in pieces:
            output.write(piece)
            if output.closed:
                return
        return
    with replacing(target) as file:
        if not target.endswith(".gz"):
            file.writelines(piece.encode("utf-8") for piece in pieces)
            return
        with gzip.GzipFile("", "wb", _GZIP_LEVEL, file, mtime=0) as packed:
            packed.writelines(piece.encode("utf-8") for piece in pieces)
