"""``gilprobe top``: show each second who holds the GIL in a program, or in a process that runs."""

from __future__ import annotations

import os
import sys
from contextlib import closing, contextmanager, suppress

from gilprobe.cli.arguments import add_packages, own_folders, packages_of, parse_pid
from gilprobe.cli.record import add_what, parse_last, parse_program
from gilprobe.durations import parse_duration
from gilprobe.errors import GilProbeError, InvalidValueError, ProgramError, UnsupportedError

TYPE_CHECKING = False  # as in gilprobe/__init__.py: a watched process loads no typing
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator
    from typing import Any

    from gilprobe.cli.output import Output
    from gilprobe.live.client import Listener
    from gilprobe.live.viewer import Viewed
    from gilprobe.workers.group import ProcessGroup

_SOCKET = "GILPROBE_TOP"
"""The environment variable that tells the program's process where its viewer listens."""

_MISSING = 2  # python's own status for a script that it can't open
_SHORTEST_S, _LONGEST_S = 0.1, 3600.0
_BEGIN_S = 15.0  # until the process gives a sign of life, and until it traces itself
_FAREWELL_S = 3.0  # for the program to clean up when the user has left
_SIGNALLED = 128  # added to a signal's number, as shells report it


def register(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "top",
        help="show each second who holds the GIL, in a program or in a process that runs",
        usage="gilprobe top [OPTION ...] PID | SCRIPT [ARG ...] | -m MODULE [ARG ...] | -c CODE [ARG ...]",
        epilog="Arguments after SCRIPT, MODULE or CODE go to the program. Put -- before a SCRIPT that begins "
        "with -, or is a number. Keys: h, w, o, n sort; space freezes; arrows and enter pick a thread; r "
        "writes a report, d the last TIME; q quits, and ends a program; a process PID goes on.",
        allow_abbrev=False,
    )
    parser.add_argument("pid", metavar="PID", nargs="?", help="a process that runs: a CPython from 3.11 on")
    parser.add_argument(
        "--interval", metavar="TIME", default="1s", help="time between two screens (default: 1s)"
    )
    parser.add_argument(
        "--json", action="store_true", help="print a line of JSON each time instead; needs no terminal"
    )
    parser.add_argument(
        "--last",
        metavar="TIME",
        help="keep the last TIME in the process, from 1s to an hour: the key d, the signal USR1 to gilprobe "
        "top, and the program's end write a recording of it",
    )
    add_what(parser, ("--no-stacks", "--no-looks", "--locks"))
    add_packages(parser)
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
    pid = None if arguments.pid is None else parse_pid(arguments.pid)
    if pid is None:
        parse_program(arguments.program, "top")
    interval_s = _interval(arguments.interval)
    arguments.last_s = None if arguments.last is None else parse_last(arguments.last)
    own = own_folders(arguments.own)
    packages = packages_of(arguments)
    if packages and pid is None:
        raise InvalidValueError("--python-path is for a process that runs: give its PID")
    if not arguments.json and not (_is_terminal(0) and _is_terminal(1)):
        raise InvalidValueError(
            "input and output must be a terminal; without one use --json, before the program"
        )
    with _handled(_leave, "SIGTERM", "SIGHUP"):  # so that the terminal is restored
        if pid is not None:
            return _attached(arguments, output, (pid, packages), interval_s, own)
        return _started(arguments, output, interval_s, own)


def _started(arguments: argparse.Namespace, output: Output, interval_s: float, own: tuple[str, ...]) -> int:
    """Start a program and watch it; return its status."""
    from gilprobe.live.client import Listener
    from gilprobe.measuring import host

    able = host.capabilities()
    if able.tracer != "exact" and (able.gil_enabled or able.locks != "exact"):
        raise UnsupportedError(f"the GIL can't be traced: {able.tracer_reason}")
    with Listener() as listener:
        group = _start(arguments, listener.path)
        try:
            title = f"{arguments.program[1]} ({group.pid})"
            ended = _view(arguments, output, (group, listener), (title, "was told to end"), interval_s, own)
        finally:
            status = _end(group)
    if not ended:
        return 0
    return status if status >= 0 else _SIGNALLED - status


def _attached(
    arguments: argparse.Namespace,
    output: Output,
    seen: tuple[int, list[str]],
    interval_s: float,
    own: tuple[str, ...],
) -> int:
    """Attach to a process and watch it; it goes on as before.

    `seen` are the process, and packages for its version of Python.
    """
    from gilprobe.attaching.injecting import check_supported, inject
    from gilprobe.attaching.shared_folder import SharedFolder
    from gilprobe.attaching.target import ProcessGoneError
    from gilprobe.cli.attach import tell_keeper
    from gilprobe.cli.output import complain
    from gilprobe.live.client import Listener
    from gilprobe.live.viewer import Stranger

    pid, packages = seen
    check_supported()
    try:
        process = Stranger(pid)
    except ProcessLookupError:
        raise ProcessGoneError(f"process {pid} has ended") from None
    with process, SharedFolder(pid, packages) as folder, Listener(folder) as listener:
        order = {"path": listener.path, "options": _options(arguments), "last_s": arguments.last_s}
        injected = inject(
            pid,
            "gilprobe.live.server",
            "serve",
            order,
            _BEGIN_S,
            folder=folder,
            tell=lambda keeper: tell_keeper(complain, pid, keeper, _BEGIN_S),
        )
        try:
            injected.result(_BEGIN_S)
        except TimeoutError:
            raise GilProbeError(f"process {pid} does not answer: a thread of it may keep the GIL") from None
        finally:
            injected.close()
        _view(arguments, output, (process, listener), (f"process {pid}", "goes on"), interval_s, own)
    return 0


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


def _options(arguments: argparse.Namespace) -> dict[str, bool | None]:
    return {"stacks": arguments.stacks, "looks": arguments.looks, "locks": arguments.locks}


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
    last_s = None if arguments.last is None else parse_last(arguments.last)
    serve(path=socket, options=_options(arguments), last_s=last_s)
    output.closed = True  # standard output belongs to the program

    def launch() -> int:
        run()
        return 0

    return launch


# ---- in the viewer's process ----


@contextmanager
def _handled(handler: Callable[[int, object], None], *signals: str) -> Iterator[None]:
    """Let a function handle signals, named as SIGTERM, for the length of a block."""
    import signal

    numbers = [getattr(signal, name) for name in signals]
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


def _leave(number: int, _frame: object) -> None:
    raise SystemExit(_SIGNALLED + number)


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
    words += [] if arguments.last is None else ["--last", arguments.last]
    return words + (["--locks"] if arguments.locks else [])


def _or_nowhere(descriptor: int) -> int:
    """Return a standard stream for a child, or what stands for none."""
    import subprocess

    with suppress(OSError):
        os.fstat(descriptor)
        return descriptor
    return subprocess.DEVNULL


def _view(
    arguments: argparse.Namespace,
    output: Output,
    seen: tuple[Viewed, Listener],
    words: tuple[str, str],
    interval_s: float,
    own: tuple[str, ...],
) -> bool:
    """Show readings until the process ends or the user leaves; return whether it has ended.

    `words` are a title, and what is said of the process when the user has left.
    """
    from gilprobe.live.faces import JsonLines, Terminal
    from gilprobe.live.viewer import Viewer

    process, listener = seen
    last_s = arguments.last_s

    def run(face: JsonLines | Terminal) -> bool:
        viewer = Viewer(process, listener, face, interval_s=interval_s, own=own, keeps=last_s is not None)
        signals = () if last_s is None else ("SIGUSR1",)
        with closing(viewer), _handled(lambda *_: viewer.ask_last_seconds(), *signals):
            return viewer.run()

    if arguments.json:
        from gilprobe.cli.output import complain

        return run(JsonLines(output.write, lambda: output.closed, complain))
    from rich.console import Console

    title, left = words
    screen = Terminal(Console(), 0, title=title, pid=process.pid, interval_s=interval_s, last_s=last_s)
    with screen:
        ended = run(screen)
    screen.leave_last(process.how_ended() if ended else left, ended=ended)
    return ended


def _end(group: ProcessGroup) -> int:
    """End the program if it runs: it may clean up first. Return its status."""
    from gilprobe.workers.group import ProcessGroup, see_off

    see_off([group], ProcessGroup.interrupt, _FAREWELL_S)
    return group.end()
