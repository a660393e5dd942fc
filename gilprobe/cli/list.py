"""``gilprobe list``: the catalogue of scenarios."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse

    from gilprobe.cli.output import Output


def register(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("list", help="show the catalogue of scenarios")
    parser.set_defaults(execute=execute)


def execute(_arguments: argparse.Namespace, output: Output) -> int:
    """Show the catalogue."""
    from gilprobe import scenarios
    from gilprobe.render import terminal

    rows = [(one.group, one.id, one.title) for one in scenarios.catalogue().scenarios]
    output.write(terminal.render_catalogue(rows, output.look))
    return 0
