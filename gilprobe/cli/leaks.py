"""``gilprobe leaks``: call a function over and over, and say what every call leaves behind."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import json
import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gilprobe.cli.output import STDOUT, check_outputs
from gilprobe.errors import InvalidTypeError, InvalidValueError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator
    from types import ModuleType

    from gilprobe.cli.output import Output

_LEAKS = 1
_FORM = "MODULE:FUNCTION or FILE.py::FUNCTION"


def register(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("leaks", help="call a function over and over, and see whether it leaks")
    parser.add_argument("function", metavar="FUNCTION", help=f"what to call: {_FORM}")
    parser.add_argument(
        "--args", metavar="TUPLE", default="()", help="its arguments, as Python writes them: '(1, \"a\")'"
    )
    parser.add_argument(
        "--warmup", type=int, metavar="N", help="repetitions that don't count (default: until nothing grows)"
    )
    parser.add_argument(
        "--repeats", type=int, metavar="N", default=10, help="repetitions that count (default: 10)"
    )
    parser.add_argument(
        "--calls", type=int, metavar="N", help="calls a repetition (default: what takes 2 ms, at most 500)"
    )
    parser.add_argument(
        "--json", metavar="FILE", help="write the report to FILE; - for standard output, alone"
    )
    parser.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace, output: Output) -> int:
    """Find the function, hunt, and show or write what was found."""
    from gilprobe.refs import find_leaks
    from gilprobe.render.leaks import render_leaks

    check_outputs({"--json": arguments.json}, (arguments.function.partition("::")[0],))
    args = parse_args(arguments.args)
    with _function_prints_to_stderr(arguments.json == STDOUT):
        report = find_leaks(
            find_function(arguments.function),
            args=args,
            warmup=arguments.warmup,
            repeats=arguments.repeats,
            calls=arguments.calls,
        )
    if arguments.json == STDOUT:
        output.write(json.dumps(report.to_dict(), indent=1) + "\n")
    else:
        if arguments.json is not None:
            report.save(arguments.json)
        output.write(render_leaks(report, output.look))
    return _LEAKS if report.leaking else 0


def parse_args(text: str) -> tuple[object, ...]:
    """Return the arguments in ``"(1, 'a')"``: literals only, nothing is run.

    Raises
    ------
    InvalidValueError
        If it is no tuple or list of literals.
    """
    try:
        found = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        found = None
    if not isinstance(found, tuple | list):
        raise InvalidValueError(f"--args must be a tuple of literals such as \"(1, 'a')\", got {_told(text)}")
    return tuple(found)


def find_function(name: str) -> Callable[..., object]:
    """Return what ``MODULE:FUNCTION`` or ``FILE.py::FUNCTION`` names; attributes may follow after dots.

    Raises
    ------
    InvalidValueError
        If there is no such file, module or function, or loading it fails.
    InvalidTypeError
        If it can't be called.
    """
    file, in_file, attribute = name.partition("::")
    if in_file:
        module = _load(Path(file))
    else:
        file, separator, attribute = name.partition(":")
        if not separator:
            raise InvalidValueError(f"FUNCTION must be {_FORM}, got {_told(name)}")
        module = _import(file)
    if not file or not attribute:
        raise InvalidValueError(f"FUNCTION must be {_FORM}, got {_told(name)}")
    found: object = module
    for part in attribute.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise InvalidValueError(
                f"FUNCTION must exist, but {_told(file)} has no {_told(attribute)}"
            ) from None
    if not callable(found):
        raise InvalidTypeError(f"FUNCTION must be callable, {_told(name)} is of type {type(found).__name__}")
    return found


def _import(name: str) -> ModuleType:
    """Import a module as ``python -m`` finds it: the current folder counts."""
    if not all(part.isidentifier() for part in name.split(".")):
        raise InvalidValueError(f"FUNCTION must be {_FORM}, got the module {_told(name)}")
    if not sys.flags.safe_path:
        sys.path.insert(0, os.getcwd())  # noqa: PTH109
    with _failing_in_one_line(name):
        return importlib.import_module(name)


def _load(path: Path) -> ModuleType:
    """Run a file as a module; its folder counts, as it does for a script."""
    if not path.is_file():
        raise InvalidValueError(f"FUNCTION must be in a file that exists, got {_told(str(path))}")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise InvalidValueError(f"FUNCTION must be in a Python file, got {_told(str(path))}")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.absolute().parent))
    sys.modules.setdefault(path.stem, module)
    with _failing_in_one_line(str(path)):
        spec.loader.exec_module(module)
    return module


@contextmanager
def _failing_in_one_line(what: str) -> Iterator[None]:
    try:
        yield
    except (Exception, SystemExit) as error:  # whatever code of the user's does when it is loaded
        reason = ascii(str(error))[1:-1][:200]
        raise InvalidValueError(
            f"FUNCTION must be in a module that can be loaded; "
            f"{_told(what)} raised {type(error).__name__}: {reason}"
        ) from None


@contextmanager
def _function_prints_to_stderr(wanted: bool) -> Iterator[None]:
    """Keep standard output for the report alone, whatever the function prints, be it from C."""
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


def _told(text: str) -> str:
    shown = ascii(text)
    return shown if len(shown) <= 80 else f"{shown[:77]}..."
