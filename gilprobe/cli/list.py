"""``gilprobe list``: show the catalogue of scenarios, and which of them work here."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from gilprobe.cli.output import complain

if TYPE_CHECKING:
    import argparse

    from gilprobe.cli.output import Output

_SCHEMA = 1


def register(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("list", help="show the catalogue of scenarios")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace, output: Output) -> int:
    """Show the catalogue; problems with other packages' scenarios go to standard error."""
    from gilprobe import scenarios
    from gilprobe.measuring import host
    from gilprobe.model import codec
    from gilprobe.render import terminal
    from gilprobe.scenarios.own_process import listed

    catalogue = scenarios.catalogue()
    environment = host.read_environment()
    found = [listed(scenario, environment) for scenario in catalogue.scenarios]
    if arguments.json:
        document = {
            "schema": _SCHEMA,
            "environment": codec.encode(environment),
            "scenarios": codec.encode(found),
            "problems": [*catalogue.problems],
        }
        output.write(json.dumps(document, indent=1) + "\n")
    else:
        rows = [(one.group, one.id, one.title, one.missing) for one in found]
        output.write(terminal.render_catalogue(rows, output.look))
    for problem in catalogue.problems:
        complain(problem)
    return 0
