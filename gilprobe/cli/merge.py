"""``gilprobe merge``: make one report of many recordings."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any

from gilprobe.cli.output import STDOUT, check_outputs, complain
from gilprobe.render.shared.words import plural, visible

if TYPE_CHECKING:
    import argparse

    from gilprobe.cli.output import Output

_ALLOCATIONS = 100_000
"""Between two collections of garbage: reading a file makes many objects, and hardly any garbage."""


def register(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("merge", help="make one report of many recordings")
    parser.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="a recording, a saved report, a folder with files *.gilprobe, or a pattern",
    )
    parser.add_argument(
        "-o", "--output", required=True, metavar="OUT", help="write the report to OUT; - for standard output"
    )
    parser.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace, output: Output) -> int:
    """Read the files one by one, and write what they are together."""
    from gilprobe.tracing.merging import input_files, merge

    check_outputs({"--output": arguments.output}, input_files(arguments.files))
    gc.set_threshold(_ALLOCATIONS)
    report = merge(arguments.files)
    for doubt in report.warnings:
        complain(visible(doubt))
    pieces = report.pieces(report.verdict("call" if report.stacks or report.looks else "line"))
    if arguments.output == STDOUT:
        for piece in pieces:
            output.write(piece)
            if output.closed:
                break
        return 0
    from gilprobe.model import codec

    codec.write_text(arguments.output, pieces)
    processes = sum(level.processes for level in report.processes or ())
    told = f"{plural(processes, 'process', 'es')} of {plural(len(report.hosts or ()), 'host')}"
    output.write(
        f"{visible(arguments.output)} has {told}; to show it: gilprobe report {visible(arguments.output)}\n"
    )
    return 0
