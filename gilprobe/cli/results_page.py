"""Write the HTML page of ``gilprobe run``, also from saved results."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gilprobe.cli.output import STDOUT, check_writable, complain
from gilprobe.errors import FormatError, InvalidValueError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Sequence

    from gilprobe.results import ResultSet, ScenarioResult

DEFAULT = "gilprobe-run.html"
"""The page's default name, in the current folder."""

_OURS = b'<meta name="generator" content="gilprobe '
_BEGINNING = 4096  # bytes at a page's beginning that name its author


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the page."""
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument(
        "--html",
        metavar="FILE",
        help=f"write the report as an HTML page to FILE (default: {DEFAULT}; none with --json -)",
    )
    choice.add_argument("--no-html", action="store_true", help="write no HTML page")


def named(arguments: argparse.Namespace) -> str | None:
    """Return the page's name that the user chose, None if none; it is still to be checked.

    Raises
    ------
    InvalidValueError
        If it is standard output.
    """
    if arguments.html == STDOUT:
        raise InvalidValueError("--html must be a file: standard output has the results as text")
    name: str | None = arguments.html
    return name


def target_of(arguments: argparse.Namespace) -> Path | None:
    """Return the page's path, None for no page, before minutes of work.

    A problem with the default name is only reported: it doesn't stop the run.
    """
    if arguments.html is not None:
        return Path(arguments.html)
    if arguments.no_html or arguments.json == STDOUT:
        return None
    path = Path(DEFAULT)
    return path if _free(path) else None


def _free(path: Path) -> bool:
    """Return whether the page may take the default name; if not, say why."""
    try:
        if path.exists() and not _is_ours(path):
            raise InvalidValueError(f"{path} was not written by gilprobe; name another with --html FILE")
        check_writable(path, "the report")
    except (OSError, InvalidValueError) as error:
        complain(f"no report is written: {error}")
        return False
    return True


def _is_ours(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return _OURS in file.read(_BEGINNING)


def write(path: Path, sides: Sequence[tuple[str, Sequence[ScenarioResult]]]) -> None:
    """Write the page, with mode 0600; if anything fails, an earlier one stays."""
    from gilprobe.files import replacing
    from gilprobe.render.html import export_results  # loads jinja2, which nothing else needs

    pieces = export_results(sides)
    with replacing(path) as file:
        file.writelines(piece.encode("utf-8") for piece in pieces)


def write_default(path: Path, sides: Sequence[tuple[str, Sequence[ScenarioResult]]]) -> bool:
    """Write the page to the default name if still possible; return whether it was."""
    if not _free(path):  # minutes later, it may have changed
        return False
    try:
        write(path, sides)
    except OSError as error:
        complain(f"no report is written: {error}")
        return False
    return True


def saved_results(files: Iterable[str]) -> list[ScenarioResult] | None:
    """Return the results in files that ``run --json`` wrote; None if all are recordings or reports.

    Raises
    ------
    FormatError
        If they are a mixture, or damaged.
    OSError
        If one can't be read.
    """
    found = [(name, _results(Path(name))) for name in files]
    others = [name for name, results in found if results is None]
    if len(others) == len(found):
        return None
    if others:
        raise FormatError(f"results of `gilprobe run` can't be mixed with other files, got {others[0]!r}")
    return [one for _, results in found if results is not None for one in results.scenarios]


def _results(path: Path) -> ResultSet | None:
    """Return the results in a file; None if it contains something else."""
    from gilprobe.model import codec
    from gilprobe.results import ResultSet
    from gilprobe.tracing.recording_reader import beginning_of

    beginning = beginning_of(path).lstrip()
    if not beginning.startswith(b"{") or b'"kind"' in beginning:
        return None
    document = codec.read_json(path)
    if not isinstance(document, dict) or "scenarios" not in document:
        return None
    return codec.naming(path, ResultSet.from_dict, document)
