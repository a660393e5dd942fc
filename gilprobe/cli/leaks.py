"""``gilprobe leaks``: call a function repeatedly, and report what each call leaves behind."""

from __future__ import annotations

import ast
import json
import os
import sys
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from gilprobe.cli.functions import FORM, error_line, find_function, told
from gilprobe.cli.output import STDOUT, check_outputs
from gilprobe.errors import GilProbeError, InvalidValueError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    from gilprobe.cli.output import Output
    from gilprobe.model.leak_report import LeakReport

_LEAKS = 1


def register(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("leaks", help="call a function repeatedly, and report whether it leaks")
    parser.add_argument("function", metavar="FUNCTION", help=f"the function: {FORM}")
    parser.add_argument(
        "--args", metavar="TUPLE", default="()", help="its arguments, as Python writes them: '(1, \"a\")'"
    )
    parser.add_argument(
        "--warmup", type=int, metavar="N", help="uncounted repetitions first (default: until nothing grows)"
    )
    parser.add_argument(
        "--repeats", type=int, metavar="N", default=10, help="counted repetitions (default: 10)"
    )
    parser.add_argument(
        "--calls", type=int, metavar="N", help="calls per repetition (default: 2 ms of them, at most 500)"
    )
    parser.add_argument(
        "--limit",
        type=float,
        metavar="SECONDS",
        default=30.0,
        help="time limit (default: 30); a verdict that is still uncertain then says so",
    )
    parser.add_argument("--json", metavar="FILE", help="write the report to FILE; - for standard output")
    parser.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace, output: Output) -> int:
    """Find the function, hunt, and show or write the report."""
    check_outputs({"--json": arguments.json}, (arguments.function.partition("::")[0],))
    parse_args(arguments.args)
    from gilprobe.refs.leak_child import is_possible

    if not (arguments.own_process and is_possible()):
        return show(arguments, output, hunt(arguments))
    from gilprobe.cli.leaks_child import RetriedHunt

    return RetriedHunt(arguments, partial(hunt, arguments), partial(show, arguments, output)).status()


def hunt(
    arguments: argparse.Namespace,
    *,
    progress: Callable[[str], None] = lambda _: None,
    count: Callable[[int], None] = lambda _: None,
    keep_all: bool = False,
) -> LeakReport:
    """Find the function and hunt: see :func:`gilprobe.refs.leak_hunt.hunt`."""
    from gilprobe.refs import leak_hunt

    with _function_prints_to_stderr(arguments.json == STDOUT):
        function = find_function(arguments.function)
        with _ending_in_one_line(arguments.function):
            return leak_hunt.hunt(
                function,
                args=parse_args(arguments.args),
                warmup=arguments.warmup,
                repeats=arguments.repeats,
                calls=arguments.calls,
                limit_s=arguments.limit,
                progress=progress,
                count=count,
                keep_all=keep_all,
            )


def show(arguments: argparse.Namespace, output: Output, report: LeakReport) -> int:
    """Show or write the report; return the exit status."""
    from gilprobe.render.text.leaks_text import render_leaks

    if arguments.json == STDOUT:
        output.write(json.dumps(report.to_dict(), indent=1) + "\n")
    else:
        if arguments.json is not None:
            report.save(arguments.json)
        output.write(render_leaks(report, output.look))
    return _LEAKS if report.leaking else 0


def parse_args(text: str) -> tuple[object, ...]:
    """Return the arguments in ``"(1, 'a')"``: literals only, no code runs.

    Raises
    ------
    InvalidValueError
        If it is not a tuple or list of literals.
    """
    try:
        found = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        found = None
    if not isinstance(found, tuple | list):
        raise InvalidValueError(f"--args must be a tuple of literals such as \"(1, 'a')\", got {told(text)}")
    return tuple(found)


@contextmanager
def _ending_in_one_line(name: str) -> Iterator[None]:
    """Report what ends the hunt, such as pytest's skip or CancelledError: status 1 is for leaks only."""
    from gilprobe.refs.leak_child import BrokenHuntError

    rule = f"FUNCTION must let the hunt go on, {told(name)} ended it with"
    try:
        yield
    except (GilProbeError, KeyboardInterrupt):
        raise
    except Exception as error:  # the function's own errors are counted, not raised
        reason = error_line(error)
        raise BrokenHuntError(f"{rule} {reason}", reason) from None
    except BaseException as error:
        raise InvalidValueError(f"{rule} {error_line(error)}") from None


@contextmanager
def _function_prints_to_stderr(wanted: bool) -> Iterator[None]:
    """Keep standard output for the report only, even if the function prints from C."""
    if not wanted or sys.stdout is None:
        yield
        return
    from contextlib import redirect_stdout

    try:
        own = os.dup(1)
    except OSError:  # closed
        own = -1
    try:
        if own >= 0:
            sys.stdout.flush()
            os.dup2(2, 1)
        with redirect_stdout(sys.stderr):
            yield
    finally:
        if own >= 0:
            os.dup2(own, 1)
            os.close(own)
