"""``gilprobe sharing``: which objects cost threads time by being shared, on a free-threaded Python."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from gilprobe.cli.output import STDOUT, check_outputs, complain
from gilprobe.durations import parse_duration
from gilprobe.errors import InvalidValueError, UnsupportedError

if TYPE_CHECKING:
    import argparse

    from gilprobe.cli.output import Output

_MISSED = 1
_UNSUPPORTED = 3


def register(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("sharing", help="find what threads lose by sharing objects, without a GIL")
    parser.add_argument("statement", metavar="STATEMENT", help="code to measure, as for timeit")
    parser.add_argument("--setup", default="", metavar="S", help="code to run once before the statement")
    parser.add_argument("--threads", type=int, default=2, metavar="N", help="number of threads (default: 2)")
    parser.add_argument("--repeat", type=int, metavar="N", help="samples of each (default: 5; quick: 3)")
    parser.add_argument("--quick", action="store_true", help="fewer samples")
    parser.add_argument("--limit", metavar="TIME", help="stop measuring after TIME (default: 60s)")
    parser.add_argument(
        "--fail-over",
        type=float,
        metavar="FACTOR",
        help="exit with status 1 if threads take more than FACTOR times as long as with objects of their own",
    )
    parser.add_argument("--json", metavar="FILE", help="write the result to FILE; - for standard output")
    parser.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace, output: Output) -> int:
    """Check all arguments, then look into the statement."""
    from gilprobe.auditing import Statement, settings_for, statements
    from gilprobe.auditing.sharing import SEARCH_S, SharingOrder, check_size
    from gilprobe.measuring.host import capabilities

    statement = Statement(arguments.statement, arguments.setup)
    statements.check(statement)
    settings_for(arguments.quick, arguments.repeat, None)
    limit_s = SEARCH_S if arguments.limit is None else parse_duration(arguments.limit, "--limit")
    most = arguments.fail_over
    if most is not None and not most >= 1:
        raise InvalidValueError(f"--fail-over must be at least 1, got {most}")
    check_outputs({"--json": arguments.json})
    order = SharingOrder(statement, check_size(arguments.threads), arguments.repeat, arguments.quick, limit_s)
    if capabilities().gil_enabled:
        raise UnsupportedError(
            "this Python has a GIL: one thread runs at a time, so none loses time by shared reference counts"
        )
    return _carried_out(order, arguments.json, most, output)


def _carried_out(order: Any, target: str | None, most: float | None, output: Output) -> int:
    from gilprobe.auditing.sharing import sharing_apart
    from gilprobe.cli.progress import ProgressBar
    from gilprobe.render.text.sharing_text import render_sharing

    with ProgressBar(1) as bar:
        bar.begin(order.statement.shown[:40])
        outcome = sharing_apart(order, bar.update)
        bar.hide()
    found = outcome.answer
    if found is None:
        complain(f"{order.statement.shown[:60]}: {outcome.complaint}")
        here_not = (f"{order.threads} threads must ", "this Python has a GIL")
        return _UNSUPPORTED if outcome.complaint.startswith(here_not) else _MISSED
    if target != STDOUT:
        output.write(render_sharing(found, output.look))
    if target == STDOUT:
        output.write(json.dumps(found.to_dict(), indent=1) + "\n")
    elif target is not None:
        found.save(target)
    return _MISSED if most is not None and found.factor > most else 0
