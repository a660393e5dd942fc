"""``gilprobe doctor``: show what this interpreter and machine support."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse

    from gilprobe.cli.output import Output


def register(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("doctor", help="show what this interpreter and machine support")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace, output: Output) -> int:
    """Examine the machine, and show what was found."""
    from gilprobe.measuring import host
    from gilprobe.render import terminal

    diagnosis = host.diagnose()
    if arguments.json:
        output.write(json.dumps(diagnosis.to_dict(), indent=1) + "\n")
    else:
        output.write(terminal.render_diagnosis(diagnosis, output.look))
    return 0
