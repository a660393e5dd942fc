"""``gilprobe compare``: show two saved results side by side, with the significance of each difference."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from gilprobe.cli.output import STDOUT, check_outputs

if TYPE_CHECKING:
    import argparse

    from gilprobe.cli.output import Output


def register(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("compare", help="compare two saved results")
    parser.add_argument("before", metavar="A.json", help="results saved by `gilprobe run --json`")
    parser.add_argument("after", metavar="B.json", help="results to compare with A")
    parser.add_argument("--json", metavar="FILE", help="write the comparison to FILE; - for standard output")
    parser.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace, output: Output) -> int:
    """Read both, compare, and show or write the comparison."""
    from gilprobe.measuring import comparing
    from gilprobe.model import codec
    from gilprobe.render.text import side_by_side
    from gilprobe.results import ResultSet

    check_outputs({"--json": arguments.json}, (arguments.before, arguments.after))
    before, after = (ResultSet.load(name) for name in (arguments.before, arguments.after))
    comparison = comparing.compare(before, after, (arguments.before, arguments.after))
    if arguments.json == STDOUT:
        output.write(json.dumps(comparison.to_dict(), indent=1) + "\n")
        return 0
    if arguments.json is not None:
        codec.write_json(arguments.json, comparison.to_dict())
    output.write(side_by_side.render_comparison(comparison, output.look))
    return 0
