"""The command line: parse, call, render. Only here do errors become exit codes."""

from __future__ import annotations

import argparse
import importlib
import sys

from gilprobe import __version__
from gilprobe.cli import record
from gilprobe.cli.output import Output, complain
from gilprobe.errors import GilProbeError, UnsupportedError

TYPE_CHECKING = False  # as in gilprobe/__init__.py: a recorded process loads no typing
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import NoReturn

_COMMANDS = (
    "run",
    "audit",
    "sharing",
    "compare",
    "record",
    "attach",
    "top",
    "report",
    "leaks",
    "list",
    "doctor",
)
"""Each is a module of this package; of a known command no other module is loaded."""

_UNUSABLE = 2
_UNSUPPORTED = 3
_INTERRUPTED = 130  # 128 + SIGINT, as shells report it


class _Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(_failed(f"error: {message}", _UNUSABLE))


def _parser(argv: Sequence[str]) -> argparse.ArgumentParser:
    parser = _Parser(
        prog="gilprobe", description="See who holds the GIL, and how the same work runs without it."
    )
    parser.add_argument("--version", action="version", version=f"gilprobe {__version__}")
    commands = parser.add_subparsers(
        title="commands",
        metavar="COMMAND",
        required=True,
        prog="gilprobe",  # as found out by a formatter, which loads shutil
    )
    for command in _COMMANDS if not argv or argv[0] not in _COMMANDS else argv[:1]:
        importlib.import_module(f"gilprobe.cli.{command}").register(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments without the program's name; default: those of the process.

    Returns
    -------
    int
        Exit status: 0 done, 1 something failed, 2 unusable arguments, 3 not supported here, 130 interrupted.

    Raises
    ------
    BaseException
        Whatever ended a program that ``record`` or ``top`` ran.
    """
    output = Output()
    own, program = record.split(sys.argv[1:] if argv is None else argv)
    try:
        arguments = _parser(own).parse_args(own)
        arguments.program = program
        arguments.own_process = argv is None
        status: int | Callable[[], int] = arguments.execute(arguments, output)
        output.flush()
    except SystemExit as leaving:  # argparse: --help, --version, or an error it has reported
        status = leaving.code if isinstance(leaving.code, int) else 0
        output.flush()
    except KeyboardInterrupt:
        status = _failed("interrupted", _INTERRUPTED)
    except UnsupportedError as error:
        status = _failed(f"error: {error}", _UNSUPPORTED)
    except GilProbeError as error:
        status = _failed(f"error: {error}", _UNUSABLE)
    except OSError as error:
        status = _failed(f"error: {_file_error(error)}", _UNUSABLE)
    except MemoryError:
        status = _failed("error: out of memory: choose a smaller input", _UNUSABLE)
    # Outside the clauses above: a program may end with any error of its own.
    return status() if callable(status) else status


def _file_error(error: OSError) -> str:
    """Return what is wrong with a file, with its name if known."""
    if error.filename is None or error.strerror is None:
        return str(error)
    return f"can't access {error.filename!a}: {error.strerror}"


def _failed(message: str, status: int) -> int:
    complain(message)
    return status
