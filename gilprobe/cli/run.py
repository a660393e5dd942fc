"""``gilprobe run``: measure scenarios and show what they found."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gilprobe.cli.output import STDOUT, check_writable
from gilprobe.errors import InvalidTypeError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from gilprobe.cli.output import Output
    from gilprobe.results import ResultSet, ScenarioResult


def register(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("run", help="measure scenarios; the headline ones unless told which")
    parser.add_argument("ids", nargs="*", metavar="ID", help="scenarios, as in `gilprobe list`")
    parser.add_argument(
        "--threads", metavar="1,2,4", help="sizes of team (default: 1, 2, 4, ... twice the cores)"
    )
    parser.add_argument("--repeat", type=int, default=5, metavar="N", help="samples of each arm (default: 5)")
    parser.add_argument(
        "--json", metavar="FILE", help="write the results to FILE; - for standard output, alone"
    )
    parser.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace, output: Output) -> int:
    """Check every argument, then measure: nothing is to fail after minutes of work."""
    from gilprobe import machine, scenarios
    from gilprobe.measure import Frame
    from gilprobe.results import ResultSet

    ids = [scenario.id for name in dict.fromkeys(arguments.ids) for scenario in scenarios.find(name)]
    ids = ids or [scenario.id for scenario in scenarios.catalogue().scenarios if scenario.headline]
    threads = None if arguments.threads is None else scenarios.check_threads(parse_threads(arguments.threads))
    Frame(repeat=arguments.repeat)
    if arguments.json not in (None, STDOUT):
        check_writable(Path(arguments.json), "--json")

    environment = machine.read_environment()
    results: list[ScenarioResult] = []
    try:
        for result in _measured(ids, threads, arguments, output, environment_shown=arguments.json != STDOUT):
            results.append(result)
    finally:  # what was measured before Ctrl-C or a failure is kept
        if results and arguments.json is not None:
            _deliver(ResultSet(environment, tuple(results)), arguments.json, output, len(ids))
    return 0


def _measured(
    ids: list[str],
    threads: tuple[int, ...] | None,
    arguments: argparse.Namespace,
    output: Output,
    *,
    environment_shown: bool,
) -> Iterator[ScenarioResult]:
    """Yield the results one by one; each is shown as soon as it is there."""
    from gilprobe import scenarios
    from gilprobe.cli.progress import ProgressBar
    from gilprobe.render import terminal

    with ProgressBar(len(ids)) as bar:
        for number, name in enumerate(ids):
            bar.begin(name)
            result = scenarios.run(name, threads=threads, repeat=arguments.repeat, progress=bar.update)
            bar.hide()
            if environment_shown:
                heading = (
                    "" if number else terminal.render_environment(result.environment, output.look) + "\n"
                )
                output.write(heading + terminal.render_result(result, output.look))
            yield result
            if output.closed and arguments.json is None:
                return  # nobody reads on


def _deliver(results: ResultSet, target: str, output: Output, wanted: int) -> None:
    whole = len(results.scenarios) == wanted
    if target == STDOUT:
        if whole:
            output.write(json.dumps(results.to_dict(), indent=1) + "\n")
        return
    results.save(target)
    if not whole and sys.stderr is not None:
        sys.stderr.write(f"gilprobe: {len(results.scenarios)} of {wanted} scenarios are in {target}\n")


def parse_threads(text: str) -> tuple[int, ...]:
    """Return the numbers in ``"1,2,4"``."""
    words = [word.strip() for word in text.split(",")]
    for word in words:
        if not re.fullmatch(r"-?[0-9]{1,9}", word):
            raise InvalidTypeError(f"--threads must be integers separated by commas, got {ascii(text)[:60]}")
    return tuple(map(int, words))
