"""``gilprobe attach``: record a process that runs, and show who held the GIL."""

from __future__ import annotations

import os
import shlex
import shutil
import tempfile
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from gilprobe.cli.arguments import add_question, parse_pid, question_of
from gilprobe.cli.output import complain, look_of
from gilprobe.cli.record import add_what, check_replaceable, what
from gilprobe.durations import duration, parse_duration
from gilprobe.errors import GilProbeError, InvalidValueError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from typing import Any

    from gilprobe.attaching import Injected
    from gilprobe.cli.output import Output

_BEGIN_S = 15.0  # until the process gives a sign of life
_END_S = 30.0  # until it has ended the recording: it needs the GIL


def register(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "attach",
        help="record a process that runs, and show who holds the GIL",
        epilog="The recording ends after TIME, with Ctrl-C, or with the process, which goes on as before.",
        allow_abbrev=False,
    )
    parser.add_argument("pid", metavar="PID", help="the process: a CPython from 3.11 on")
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="the recording's file (default: gilprobe-attach-PID.gilprobe)"
    )
    add_what(parser)
    parser.add_argument("--duration", metavar="TIME", help="stop after TIME (default: with Ctrl-C)")
    parser.add_argument(
        "--python-path",
        metavar="FOLDER",
        action="append",
        default=[],
        help="a folder with a gilprobe for the process's Python, if that is another version than this one; "
        "can be given several times",
    )
    add_question(parser)
    parser.add_argument("--quiet", action="store_true", help="show no report at the end")
    parser.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace, _output: Output) -> int:
    """Attach, wait for the end, and show the report."""
    pid = parse_pid(arguments.pid)
    duration_s = None if arguments.duration is None else parse_duration(arguments.duration, "--duration")
    options = what(arguments).to_text()
    question = question_of(arguments)
    packages = [_package(folder) for folder in arguments.python_path]
    target = os.path.abspath(arguments.output or f"gilprobe-attach-{pid}.gilprobe")  # noqa: PTH100
    check_replaceable(target)
    tell = _silent if arguments.quiet else complain
    from gilprobe.attaching import inject
    from gilprobe.attaching.injecting import check_shared, check_supported
    from gilprobe.attaching.target import user_of

    check_supported()
    with _written_to(target, user_of(pid)) as path:
        check_shared(pid, os.path.dirname(path))  # noqa: PTH120
        order = {"path": path, "options": options, "duration_s": duration_s}
        with inject(
            pid, "gilprobe.attached.recording", "record", order, _BEGIN_S, packages=packages
        ) as injected:
            _wait(injected, tell)
    if not arguments.quiet:
        _show(target, question)
    return 0


def _package(folder: str) -> str:
    """Return the package in a folder that ``PYTHONPATH`` could have."""
    package = os.path.join(os.path.abspath(folder), "gilprobe")  # noqa: PTH100, PTH118
    if not os.path.isfile(os.path.join(package, "__init__.py")):  # noqa: PTH113, PTH118
        raise InvalidValueError(f"--python-path must be a folder with gilprobe in it, got {folder!r}")
    return package


def _silent(_text: str) -> None:
    pass


@contextmanager
def _written_to(target: str, user: int) -> Iterator[str]:
    """Return a path that the process can write to; what it has written there is in `target` afterwards."""
    if user == os.geteuid():
        yield target
        return
    with tempfile.TemporaryDirectory(prefix="gilprobe-", dir="/tmp") as folder:
        os.chown(folder, user, -1)
        path = f"{folder}/recording"
        try:
            yield path
        finally:
            with suppress(FileNotFoundError):
                _take(path, target)


def _take(path: str, target: str) -> None:
    """Copy what another user has written: a regular file, not what a link points to."""
    from gilprobe.files import replacing

    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with open(descriptor, "rb") as source, replacing(target) as file:  # noqa: PTH123
        shutil.copyfileobj(source, file)


def _wait(injected: Injected, tell: Any) -> None:
    """Wait until the recording has ended."""
    from gilprobe.attaching.target import ProcessGoneError

    pid = injected.target.pid
    try:
        injected.result(_BEGIN_S)  # its first message says that it records
        tell(
            f"recording process {pid} (CPython {injected.target.release}): attached in "
            f"{duration(injected.took_s)}, {_way(injected)}; Ctrl-C ends it"
        )
        injected.result()
    except KeyboardInterrupt:
        injected.channel.send({"stop": True})
        injected.result(_END_S)
    except ProcessGoneError:
        tell(f"process {pid} has ended")
    except TimeoutError:
        raise GilProbeError(f"process {pid} does not answer: the recording ends when it can") from None


def _way(injected: Injected) -> str:
    if injected.signal is not None:
        return f"by signal {injected.signal}"
    return f"thread {injected.thread} stood still for {duration(injected.stopped_s)}"


def _show(target: str, question: Any) -> None:
    import sys

    from gilprobe.render.text.trace_text import render_report
    from gilprobe.tracing.loading import load

    look = look_of(sys.stderr)
    if sys.stderr is not None:
        sys.stderr.write(render_report(load(target).report, look, question=question))
    complain(f"recorded; to see it again: gilprobe report {shlex.quote(os.path.relpath(target))}")
