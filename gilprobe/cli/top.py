"""``gilprobe top``: run a program, and show each second who holds the GIL."""

from __future__ import annotations

import os
import sys
from contextlib import closing, suppress

from gilprobe.cli.arguments import own_folders
from gilprobe.cli.record import parse_program
from gilprobe.durations import parse_duration
from gilprobe.errors import InvalidValueError, ProgramError, UnsupportedError

TYPE_CHECKING = False  # as in gilprobe/__init__.py: a watched process loads no typing
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable
    from typing import Any

    from gilprobe.cli.output import Output
    from gilprobe.live.client import Listener
    from gilprobe.workers.group import ProcessGroup

_SOCKET = "GILPROBE_TOP"
"""The environment variable that tells the program's process where its viewer listens."""

_MISSING = 2  # python's own status for a script that it can't open
_SHORTEST_S, _LONGEST_S = 0.1, 3600.0
_FAREWELL_S = 3.0  # for the program to clean up when the user has left
_SIGNALLED = 128  # added to a signal's number, as shells report it


def register(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "top",
        help="run a program as python would, and show each second who holds the GIL",
        usage="gilprobe top [OPTION ...] SCRIPT [ARG ...] | -m MODULE [ARG ...] | -c CODE [ARG ...]",
        epilog="Arguments after SCRIPT, MODULE or CODE go to the program. Put -- before a SCRIPT that begins "
        "with -. Keys: h, w, o, n sort; space freezes; arrows and enter pick a thread; r writes a report; q "
        "quits and ends the program.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--interval", metavar="TIME", default="1s", help="time between two screens (default: 1s)"
    )
    parser.add_argument(
        "--json", action="store_true", help="print a line of JSON each time instead; needs no terminal"
    )
    parser.add_argument(
        "--no-stacks",
        action="store_false",
        dest="stacks",
        help="trace where the GIL was released, not the callers",
    )
    parser.add_argument(
        "--no-looks",
        action="store_false",
        dest="looks",
        help="tell holds by where they ended only, without looks at what runs",
    )
    parser.add_argument(
        "--locks",
        action="store_true",
        default=None,
        help="also trace waits for locks: the default where the interpreter runs without a GIL",
    )
    parser.add_argument(
        "--own",
        metavar="FOLDER",
        action="append",
        default=[],
        help="your own code is what is below FOLDER; can be given several times (default: all code but the "
        "standard library and installed packages)",
    )
    parser.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace, output: Output) -> int | Callable[[], int]:
    """Watch a program; in the program's own process return the function that runs it."""
    socket = os.environ.pop(_SOCKET, None)
    if socket is not None:
        return _watched(arguments, output, socket)
    from gilprobe.measuring import host

    parse_program(arguments.program, "top")
    interval_s = _interval(arguments.interval)
    own = own_folders(arguments.own)
    if not arguments.json and not (_is_terminal(0) and _is_terminal(1)):
        raise InvalidValueError("standard input and output must be a terminal; without one use --json")
    able = host.capabilities()
    if able.tracer != "exact" and (able.gil_enabled or able.locks != "exact"):
        raise UnsupportedError(f"the GIL can't be traced: {able.tracer_reason}")
    from gilprobe.live.client import Listener

    with _ends_on_signals(), Listener() as listener:
        group = _start(arguments, listener.path)
        try:
            watch = _as_lines if arguments.json else _on_screen
            ended = watch(arguments, output, group, listener, interval_s, own)
        finally:
            status = _end(group)
    if not ended:
        return 0
    return status if status >= 0 else _SIGNALLED - status


def _interval(text: str) -> float:
    seconds = parse_duration(text, "--interval")
    if not _SHORTEST_S <= seconds <= _LONGEST_S:
        raise InvalidValueError(
            f"--interval must be from {_SHORTEST_S:g}s to {_LONGEST_S:g}s, got {ascii(text)[:60]}"
        )
    return seconds


def _is_terminal(descriptor: int) -> bool:
    try:
        return os.isatty(descriptor)
    except OSError:
        return False


# ---- in the program's process ----


def _watched(arguments: argparse.Namespace, output: Output, socket: str) -> int | Callable[[], int]:
    from gilprobe.live.server import serve
    from gilprobe.programs.program import prepare

    try:
        run = prepare(parse_program(arguments.program, "top"))
    except ProgramError as error:
        if sys.stderr is not None:
            sys.stderr.write(f"{error}\n")
        return _MISSING
    serve(
        path=socket,
        options={"stacks": arguments.stacks, "looks": arguments.looks, "locks": arguments.locks},
    )
    output.closed = True  # standard output belongs to the program

    def launch() -> int:
        run()
        return 0

    return launch


# ---- in the viewer's process ----


class _ends_on_signals:  # noqa: N801  # a context manager
    """Turns SIGTERM and SIGHUP into an exit, so that the terminal is restored."""

    def __enter__(self) -> None:
        import signal

        self._before = {one: signal.signal(one, self._leave) for one in (signal.SIGTERM, signal.SIGHUP)}

    @staticmethod
    def _leave(number: int, _frame: object) -> None:
        raise SystemExit(_SIGNALLED + number)

    def __exit__(self, *_exception: object) -> None:
        import signal

        for number, handler in self._before.items():
            signal.signal(number, handler)


def _start(arguments: argparse.Namespace, path: str) -> ProcessGroup:
    """Start the program's process: this command once more, with its own arguments."""
    import subprocess

    from gilprobe.workers.group import ProcessGroup

    env = {**os.environ, _SOCKET: path}
    command = [*_own_command(arguments), *_own_options(arguments), *arguments.program]
    if arguments.json:  # standard output is for the lines
        return ProcessGroup(
            command, stdin=_or_nowhere(0), stdout=_or_nowhere(2), stderr=_or_nowhere(2), env=env
        )
    return ProcessGroup(command, stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT, env=env)


def _own_command(arguments: argparse.Namespace) -> list[str]:
    """Return the words that have started this command: interpreter, its options, and what runs gilprobe."""
    whole, own = sys.orig_argv, sys.argv
    if arguments.own_process and whole[len(whole) - len(own) + 1 :] == own[1:]:
        return [sys.executable, *whole[1 : len(whole) - len(own) + 1]]
    return [sys.executable, "-m", "gilprobe"]


def _own_options(arguments: argparse.Namespace) -> list[str]:
    words = ["top"]
    words += [] if arguments.stacks else ["--no-stacks"]
    words += [] if arguments.looks else ["--no-looks"]
    return words + (["--locks"] if arguments.locks else [])


def _or_nowhere(descriptor: int) -> int:
    """Return a standard stream for a child, or what stands for none."""
    import subprocess

    with suppress(OSError):
        os.fstat(descriptor)
        return descriptor
    return subprocess.DEVNULL


def _as_lines(
    arguments: argparse.Namespace,  # noqa: ARG001  # as the other
    output: Output,
    group: ProcessGroup,
    listener: Listener,
    interval_s: float,
    own: tuple[str, ...],
) -> bool:
    from gilprobe.live.faces import JsonLines
    from gilprobe.live.viewer import Viewer

    face = JsonLines(output.write, lambda: output.closed)
    with closing(Viewer(group, listener, face, interval_s=interval_s, own=own)) as viewer:
        return viewer.run()


def _on_screen(
    arguments: argparse.Namespace,
    output: Output,  # noqa: ARG001  # as the other
    group: ProcessGroup,
    listener: Listener,
    interval_s: float,
    own: tuple[str, ...],
) -> bool:
    from rich.console import Console

    from gilprobe.live.faces import Terminal
    from gilprobe.live.viewer import Viewer

    title = f"{arguments.program[1]} ({group.pid})"
    face = Terminal(Console(), 0, title=title, pid=group.pid, interval_s=interval_s)
    with face, closing(Viewer(group, listener, face, interval_s=interval_s, own=own)) as viewer:
        ended = viewer.run()
        if ended:
            face.ended = group.how_ended()
    face.leave_last()
    return ended


def _end(group: ProcessGroup) -> int:
    """End the program if it runs: it may clean up first. Return its status."""
    from gilprobe.workers.group import ProcessGroup, see_off

    see_off([group], ProcessGroup.interrupt, _FAREWELL_S)
    return group.end()
