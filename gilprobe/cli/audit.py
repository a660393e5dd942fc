"""``gilprobe audit``: whether a statement releases the GIL, and how it scales with threads."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from gilprobe.cli.arguments import parse_threads
from gilprobe.cli.output import STDOUT, check_outputs, complain
from gilprobe.durations import parse_duration
from gilprobe.errors import InvalidValueError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from gilprobe.auditing import Statement
    from gilprobe.cli.output import Output
    from gilprobe.model.audit_result import AuditResult

_MISSED = 1
_UNSUPPORTED = 3
_PRINTED_LINES = 3
_MOST_LISTED = 1 << 24  # bytes of a file of statements


def register(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("audit", help="measure how far a statement releases the GIL")
    parser.add_argument("statements", nargs="*", metavar="STATEMENT", help="code to measure, as for timeit")
    parser.add_argument("--setup", default="", metavar="S", help="code to run once before each statement")
    parser.add_argument("--file", metavar="F", help="read statements from F, one a line; # for comments")
    parser.add_argument("--threads", metavar="1,2", help="numbers of threads (default: 1,2; 1: no speedups)")
    parser.add_argument("--repeat", type=int, metavar="N", help="samples of each (default: 5; quick: 3)")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter runs")
    parser.add_argument(
        "--limit", metavar="TIME", help="stop the audit of a statement after TIME (default: 120s)"
    )
    parser.add_argument(
        "--fail-under",
        type=float,
        metavar="SHARE",
        help="exit with status 1 if a statement releases the GIL for less than this share (0 to 1)",
    )
    parser.add_argument("--json", metavar="FILE", help="write the audits to FILE; - for standard output")
    parser.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace, output: Output) -> int:
    """Check all arguments, then audit each statement."""
    from gilprobe import auditing
    from gilprobe.auditing import statements
    from gilprobe.measuring.teams import check_threads

    wanted = _statements(arguments)
    for statement in wanted:
        statements.check(statement)
    threads = auditing.THREADS if arguments.threads is None else parse_threads(arguments.threads)
    auditing.settings_for(arguments.quick, arguments.repeat, None)
    limit_s = auditing.LIMIT_S if arguments.limit is None else parse_duration(arguments.limit, "--limit")
    least = arguments.fail_under
    if least is not None and not 0 <= least <= 1:
        raise InvalidValueError(f"--fail-under must be between 0 and 1, got {least}")
    check_outputs({"--json": arguments.json}, () if arguments.file is None else (arguments.file,))
    run = _AuditRun(arguments, output, check_threads(threads), limit_s)
    try:
        run.audit(wanted)
    finally:  # keep the results from before Ctrl-C
        run.deliver()
    return run.status(least)


def _statements(arguments: argparse.Namespace) -> list[Statement]:
    from gilprobe import files
    from gilprobe.auditing import Statement

    sources = list(arguments.statements)
    if arguments.file is not None:
        listed = files.read_whole(arguments.file, "--file", _MOST_LISTED)
        lines = listed.decode("utf-8", "surrogateescape").splitlines()
        sources += [line for line in map(str.strip, lines) if line and not line.startswith("#")]
    if not sources:
        raise InvalidValueError("audit needs at least one STATEMENT, got none")
    return [Statement(source, arguments.setup) for source in sources]


class _AuditRun:
    """One call of the command, with its results so far."""

    def __init__(
        self, arguments: argparse.Namespace, output: Output, threads: tuple[int, ...], limit_s: float
    ) -> None:
        self._audits: list[AuditResult] = []
        self._failed = False
        self._unsupported = False
        self._arguments = arguments
        self._output = output
        self._threads = threads
        self._limit_s = limit_s

    def audit(self, wanted: Sequence[Statement]) -> None:
        """Audit the statements, and show each result at once."""
        from gilprobe.cli.progress import ProgressBar

        with ProgressBar(len(wanted)) as bar:
            for statement in wanted:
                bar.begin(statement.shown[:40])
                self._one(statement, bar)
                if self._output.closed and self._arguments.json is None:
                    return  # the reader has left

    def _one(self, statement: Statement, bar: Any) -> None:
        from gilprobe.auditing.own_process import AuditOrder, audit_apart
        from gilprobe.render.text.audit_text import render_audit

        order = AuditOrder(statement, self._threads, self._arguments.repeat, self._arguments.quick)
        outcome = audit_apart(order, self._limit_s, bar.update)
        bar.hide()
        self._tell_printed(statement, outcome.output, bool(outcome.complaint))
        if outcome.answer is not None:
            self._audits.append(outcome.answer)
            if self._arguments.json != STDOUT:
                self._output.write(render_audit(outcome.answer, self._output.look))
        else:
            self._failed = True
            self._unsupported |= outcome.complaint.startswith("the GIL can't be traced")
            complain(f"{statement.shown[:60]}: {outcome.complaint}")

    def _tell_printed(self, statement: Statement, text: str, failed: bool) -> None:
        """Show what the statement printed; a failure's complaint contains its last lines already."""
        lines = [line for line in text.splitlines() if line.strip()]
        if not lines or failed:
            return
        for line in lines[-_PRINTED_LINES:]:
            complain(line[:200], f"{statement.shown[:60]} printed")
        complain(f"{statement.shown[:60]}: it prints; the measured time includes that")

    def deliver(self) -> None:
        """Show a table of several audits, and write them as JSON if asked to."""
        from gilprobe.model.audit_result import AuditSet
        from gilprobe.render.text.audit_text import render_audits

        target = self._arguments.json
        if len(self._audits) > 1 and target != STDOUT:
            self._output.write(render_audits(self._audits, (), self._output.look))
        if target is None or not self._audits:
            return
        found = AuditSet(self._audits[0].environment, tuple(self._audits), ())
        if target != STDOUT:
            found.save(target)
        else:
            self._output.write(json.dumps(found.to_dict(), indent=1) + "\n")

    def status(self, least: float | None) -> int:
        """Return the exit status: 1 if one failed or releases less than `least`, 3 if nothing was traced."""
        if self._unsupported and not self._audits:
            return _UNSUPPORTED
        shares = [audit.released_fraction for audit in self._audits]
        if least is not None and None in shares:
            complain("--fail-under needs a GIL that can be traced, this interpreter has none")
            return _UNSUPPORTED
        missed = least is not None and any(share is not None and share < least for share in shares)
        return _MISSED if missed or self._failed else 0
