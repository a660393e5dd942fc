"""Arguments that several commands share."""

from __future__ import annotations

import os
import re

from gilprobe.errors import InvalidTypeError, InvalidValueError

TYPE_CHECKING = False  # as in gilprobe/__init__.py: a recorded process loads no typing
if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from gilprobe.render.shared.wait_summary import Question

QUESTION_OPTIONS = ("--by", "--own")
"""The options of :func:`add_question`; each has a value."""


def parse_pid(text: str) -> int:
    """Return the process identifier of another process."""
    if not re.fullmatch(r"[1-9][0-9]{0,8}", text, re.ASCII):
        raise InvalidValueError(f"PID must be the number of a process, got {ascii(text)[:60]}")
    pid = int(text)
    if pid == os.getpid():
        raise InvalidValueError("PID must be another process than this one")
    return pid


def add_packages(parser: argparse.ArgumentParser) -> None:
    """Add the option that names more versions of gilprobe, for other processes."""
    parser.add_argument(
        "--python-path",
        metavar="FOLDER",
        action="append",
        default=[],
        help="a folder with a gilprobe for the process's Python, if that is another version than this one; "
        "can be given several times",
    )


def packages_of(arguments: argparse.Namespace) -> list[str]:
    """Return the packages in the folders of ``--python-path``.

    Raises
    ------
    InvalidValueError
        If there is none in one of them.
    """
    packages = []
    for folder in arguments.python_path:
        packages.append(os.path.join(os.path.abspath(folder), "gilprobe"))  # noqa: PTH100, PTH118
        if not os.path.isfile(os.path.join(packages[-1], "__init__.py")):  # noqa: PTH113, PTH118
            raise InvalidValueError(f"--python-path must be a folder with gilprobe in it, got {folder!r}")
    return packages


def parse_threads(text: str) -> tuple[int, ...]:
    """Return the numbers in ``"1,2,4"``."""
    words = [word.strip() for word in text.split(",")]
    for word in words:
        if not re.fullmatch(r"-?[0-9]{1,9}", word):
            raise InvalidTypeError(f"--threads must be integers separated by commas, got {ascii(text)[:60]}")
    return tuple(map(int, words))


def add_question(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what the verdict of a trace is about."""
    parser.add_argument(
        "--by",
        choices=("call", "function", "line", "thread", "module", "task"),
        help="what the verdict names: a call (thread, line of your own code, what it called), a function, "
        "a line, a thread, a module or a task of asyncio (default: call)",
    )
    parser.add_argument(
        "--own",
        metavar="FOLDER",
        action="append",
        default=[],
        help="your own code is what is below FOLDER; can be given several times (default: all code but the "
        "standard library and installed packages)",
    )


def own_folders(given: Sequence[str]) -> tuple[str, ...]:
    """Return the folders of ``--own``, as they were given and from the root on: a program may change its own.

    Raises
    ------
    InvalidValueError
        If one is empty.
    """
    if not all(given):
        raise InvalidValueError("--own must be a folder, got ''")
    return tuple(form for folder in given for form in (folder, os.path.abspath(folder)))  # noqa: PTH100


def question_of(arguments: argparse.Namespace) -> Question:
    """Return what the verdict is to be about."""
    from gilprobe.render.shared.wait_summary import Question

    return Question(arguments.by, own_folders(arguments.own))
