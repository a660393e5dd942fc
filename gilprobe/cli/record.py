"""``gilprobe record``: run a program as ``python`` would, and show who held the GIL meanwhile."""

from __future__ import annotations

import _thread
import atexit
import os
import re
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gilprobe.durations import duration, parse_duration
from gilprobe.errors import GilProbeError, InvalidValueError, ProgramError, UnsupportedError
from gilprobe.render.shared.words import visible

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from gilprobe.cli.output import Output
    from gilprobe.model.traced_process import TracedProcess
    from gilprobe.programs.follow import Follower
    from gilprobe.programs.program import Program
    from gilprobe.programs.program_recording import ProgramRecording, RecordOptions
    from gilprobe.report import Report

_MISSING = 2  # python's own status for a script that it can't open
_READING_S = 3.0  # at the end of a program nobody wants to wait for long
_MAGIC = b"GILPROBE"  # how recordings begin
_PLAIN_WORD = re.compile(r"[\w@%+=:,./-]+", re.ASCII)  # as :mod:`shlex`, which is one module more to load
_WITH_VALUE = ("-o", "--output", "--duration", "--stall")


def register(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "record",
        help="run a program as python would, and show who held the GIL",
        usage="gilprobe record [OPTION ...] SCRIPT [ARG ...] | -m MODULE [ARG ...] | -c CODE [ARG ...]",
        epilog="What follows SCRIPT, MODULE or CODE belongs to the program. A SCRIPT that begins with - comes"
        " after --; - is standard input. Options of python itself: python -X dev -m gilprobe record ...",
        allow_abbrev=False,
    )
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="the recording (default: gilprobe-NAME-PID.gilprobe)"
    )
    parser.add_argument("--stacks", action="store_true", help="record whole Python stacks")
    parser.add_argument(
        "--no-timeline", action="store_false", dest="timeline", help="totals only, not when each hold was"
    )
    parser.add_argument("--follow", action="store_true", help="record child processes, too, one file each")
    parser.add_argument("--duration", metavar="TIME", help="stop recording after TIME; the program goes on")
    parser.add_argument(
        "--stall", metavar="TIME", help="tell of holds that make others wait for TIME while they last"
    )
    parser.add_argument("--quiet", action="store_true", help="show no report at the end")
    parser.set_defaults(execute=execute)


def split(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """Divide the command line of this command into gilprobe's part and the program's.

    argparse alone would look for gilprobe's options behind the program's name, too.

    Returns
    -------
    own, program : list of str
        The second begins with ``-m``, ``-c`` or ``--``; it is empty if no program is named, and for other
        commands.
    """
    if not argv or argv[0] != "record":
        return list(argv), []
    at = 1
    while at < len(argv):
        word = argv[at]
        if word == "--":
            return list(argv[:at]), list(argv[at:])
        if word[:2] in ("-m", "-c") and word != "--":
            value = [word[2:]] if len(word) > 2 else []  # as python: -mMODULE
            return list(argv[:at]), [word[:2], *value, *argv[at + 1 :]]
        if word == "-" or not word.startswith("-"):
            return list(argv[:at]), ["--", *argv[at:]]
        at += 2 if word in _WITH_VALUE else 1
    return list(argv), []


def execute(arguments: argparse.Namespace, output: Output) -> int | Callable[[], int]:
    """Check everything and begin to record; return what runs the program."""
    from gilprobe.measuring import host
    from gilprobe.programs.program import prepare
    from gilprobe.programs.program_recording import RecordOptions

    program = parse_program(arguments.program)
    duration_s = _seconds(arguments.duration, "--duration")
    stall_s = _stall_limit(arguments.stall)
    options = RecordOptions(stacks=arguments.stacks, timeline=arguments.timeline, stall_s=stall_s)
    able = host.capabilities()
    if able.tracer != "exact":
        raise UnsupportedError(f"the GIL can't be traced: {able.tracer_reason}")
    try:
        run = prepare(program)
    except ProgramError as error:
        if sys.stderr is not None:
            sys.stderr.write(f"{error}\n")
        return _MISSING
    target = Path(arguments.output or _default_name(program)).absolute()
    check_replaceable(target)
    check_not_read(target, program)
    began_ns = time.time_ns()
    deadline = None if duration_s is None else _Deadline(duration_s)
    follower = follow(target, options) if arguments.follow else None
    try:
        recording = _CommandRecording(
            target, begin(target, options), follower, quiet=arguments.quiet, began_ns=began_ns
        )
    except BaseException:
        if follower is not None:
            follower.close()
        raise
    if deadline is not None:
        deadline.begin(recording.stop_early)
    output.closed = True  # standard output is the program's

    def launch() -> int:
        run()
        return 0

    return launch


def parse_program(words: Sequence[str]) -> Program:
    """Return the program that the second part of the command line names; see :func:`split`."""
    from gilprobe.programs.program import Program

    if len(words) < 2:
        needed = {"-m": "-m needs a MODULE", "-c": "-c needs CODE"}
        rule = needed.get(words[0] if words else "", "a SCRIPT, -m MODULE or -c CODE is required")
        raise InvalidValueError(f"{rule}; see gilprobe record --help")
    first, target, *rest = words
    if first == "-m":
        return Program("module", target, tuple(rest))
    return Program("code" if first == "-c" else "script", target, tuple(rest))


def _seconds(text: str | None, option: str) -> float | None:
    return None if text is None else parse_duration(text, option)


def _stall_limit(text: str | None) -> float | None:
    """Check here what the watch refuses later, when an earlier recording would be lost already."""
    from gilprobe.tracing.stall_watch import LONGEST_LIMIT_S

    seconds = _seconds(text, "--stall")
    if seconds is not None and seconds > LONGEST_LIMIT_S:
        raise InvalidValueError(f"--stall must be at most {LONGEST_LIMIT_S:g}s, got {ascii(text)[:60]}")
    return seconds


def _default_name(program: Program) -> str:
    if program.kind == "code":
        name = "code"
    elif program.kind == "module":
        name = program.target
    else:
        name = "stdin" if program.target == "-" else Path(program.target).absolute().stem
    return f"gilprobe-{name.replace(os.sep, '_')[:50]}-{os.getpid()}.gilprobe"


def check_replaceable(target: Path) -> None:
    """Make sure that no file but a recording is lost.

    Raises
    ------
    InvalidValueError
        If `target` is a directory, or a file of another kind.
    """
    try:
        if target.is_dir():
            raise InvalidValueError(f"-o must name a file, got the directory {str(target)!r}")
        if not target.is_file():
            return
        with target.open("rb") as file:
            magic = file.read(len(_MAGIC))
    except OSError as error:
        raise _unwritable(target, error) from None
    if magic not in (b"", _MAGIC):
        raise InvalidValueError(
            f"-o must not name a file that is no recording, got {str(target)!r}: remove it first"
        )


def check_not_read(target: Path, program: Program) -> None:
    """Make sure that the program is not lost: an empty file would pass for a recording to be.

    Raises
    ------
    InvalidValueError
        If `target` is the program, by whatever name.
    """
    from gilprobe.files import identity

    if program.kind != "script" or not target.exists():
        return
    read = 0 if program.target == "-" else program.target
    if identity(target) in (identity(read), identity(Path(program.target, "__main__.py"))):
        raise InvalidValueError(f"-o must name another file than the program, got {str(target)!r}")


def begin(target: Path, options: RecordOptions) -> ProgramRecording:
    """Begin to record into `target`.

    Raises
    ------
    InvalidValueError
        If it can't be written.
    GilProbeError
        If something else fails.
    """
    from gilprobe.programs.program_recording import ProgramRecording

    try:
        return ProgramRecording(target, options)
    except GilProbeError:
        raise
    except OSError as error:
        if error.filename is None:  # it is not about the file
            raise GilProbeError(error.strerror or str(error)) from None
        raise _unwritable(target, error) from None


def _unwritable(target: Path, error: OSError) -> InvalidValueError:
    reason = error.strerror or error
    return InvalidValueError(f"-o must name a file that can be written, got {str(target)!r}: {reason}")


def follow(target: Path, options: RecordOptions) -> Follower:
    """Have the children of this process recorded, too."""
    from gilprobe.programs.follow import Follower
    from gilprobe.programs.program_recording import begin as begin_child
    from gilprobe.tracing import loading  # noqa: F401  # so that the end need not find it

    follower = Follower(str(target), options.to_text(), begin_child)
    follower.announce()
    return follower


class _Deadline:
    """Calls something after a time, on a thread that no recording sees.

    Make it before the recording begins. :mod:`threading` doesn't know the thread, and exit doesn't wait for
    it.
    """

    def __init__(self, seconds: float) -> None:
        from gilprobe._native.gil import hide_thread

        self._hide = hide_thread
        self._seconds = seconds
        self._action: Callable[[], object]
        self._hidden, self._begun, self._never = (_thread.allocate_lock() for _ in range(3))
        for lock in (self._hidden, self._begun, self._never):
            lock.acquire()
        _thread.start_new_thread(self._wait, ())
        self._hidden.acquire()

    def begin(self, action: Callable[[], object]) -> None:
        """Let the time run from now on."""
        self._action = action
        self._begun.release()

    def _wait(self) -> None:
        self._hide()
        self._hidden.release()
        self._begun.acquire()
        self._never.acquire(timeout=self._seconds)
        self._action()


class _CommandRecording:
    """The recording of this process: ends at the process's exit, or earlier, and is then told of."""

    def __init__(
        self, target: Path, run: ProgramRecording, follower: Follower | None, *, quiet: bool, began_ns: int
    ) -> None:
        from gilprobe.programs import program

        self._program = program  # it may be gone from sys.modules at the end
        self._command = visible(f"gilprobe report {_quoted(target)}")  # finds those of the children itself
        self._target = target
        self._began_ns = began_ns
        self._run = run
        self._follower = follower
        self._quiet = quiet
        self._stderr = _StandardError()
        self._pid = os.getpid()
        self._path = list(sys.path)
        self._stopping = _thread.allocate_lock()
        self._finishing = False
        # Before the program registers its own: runs after them.
        atexit.register(self._finish)

    def stop_early(self) -> None:
        """Stop now, while the program goes on."""
        if self._finishing or (report := self._stop()) is None:
            return
        self._close_follower()
        self._tell(f"stopped recording after {duration(report.elapsed_s)}; the program goes on")

    def _close_follower(self) -> None:
        if self._follower is not None:
            with suppress(Exception):  # whatever the program has done to its files and modules
                self._follower.close()

    def _stop(self) -> Report | None:
        try:
            with self._stopping:  # the time may be up at the very end
                return self._run.stop()
        except Exception as error:
            self._tell(f"error: {error}", even_if_quiet=True)
            return None

    def _finish(self) -> None:
        if os.getpid() != self._pid:  # a fork: its parent will see to it
            return
        # The last moments are ours: a Ctrl-C too many, or a reader that left, must not cost the recording.
        handlers = {
            number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGPIPE)
        }
        self._finishing = True
        report = self._stop()
        self._close_follower()
        if report is not None and not self._quiet:
            self._show(report)
        for number, handler in handlers.items():
            if handler is not None:  # not one that C code has installed, which only C code can put back
                signal.signal(number, handler)
        self._program.renew_interrupt()

    def _show(self, report: Report) -> None:
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):
                stream.flush()
        # What this loads is to come from gilprobe's own path, not from the program's.
        found, sys.path[:] = list(sys.path), self._path
        sys.modules.update(self._program.forgotten)
        try:
            shown = self._rendered(report)
        except Exception as error:  # it may have another root, or not the rights to read our modules
            self._tell(f"the report can't be shown in this process: {error!r}")
            self._tell(f"recorded; see it with: {self._command}")
        else:
            self._stderr.write(shown)
            self._tell(f"recorded; see it again with: {self._command}")
        finally:
            sys.path[:] = found

    def _rendered(self, report: Report) -> str:
        from gilprobe.render.text.trace_text import render_report

        return render_report(report, self._stderr.look, children=self._children())

    def _children(self) -> list[TracedProcess]:
        """Return the processes that were followed, as far as there is time to read what they have left."""
        if self._follower is None:
            return []
        from gilprobe.model.traced_process import TracedProcess
        from gilprobe.tracing.loading import load_children

        children, until = [], time.monotonic() + _READING_S
        with suppress(Exception):  # the report of this process is told all the same
            for child in load_children(self._target, self._began_ns):
                if isinstance(child, TracedProcess):
                    children.append(child)
                if time.monotonic() >= until:
                    self._tell("there are more processes than were read: gilprobe report reads all")
                    break
        return children

    def _tell(self, message: str, *, even_if_quiet: bool = False) -> None:
        if even_if_quiet or not self._quiet:
            self._stderr.write(f"gilprobe: {message}\n")


def _quoted(path: Path) -> str:
    """Return the path as a shell takes it that is where we are now, when the program has not yet begun."""
    with suppress(ValueError, OSError):
        path = path.relative_to(Path.cwd())
    word = str(path)
    if _PLAIN_WORD.fullmatch(word):
        return word
    return "'" + word.replace("'", "'\"'\"'") + "'"


class _StandardError:
    """Standard error as it was before the program ran, whatever the program does to ``sys.stderr``.

    If the program has closed it or put something else in its place, nothing is written: that may be a file
    of the program's.
    """

    def __init__(self) -> None:
        from gilprobe.cli.output import look_of

        self.look = look_of(sys.stderr)
        self._encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
        self._identity = _identity(2)

    def write(self, text: str) -> None:
        data = memoryview(text.encode(self._encoding, "backslashreplace"))
        if self._identity is None or _identity(2) != self._identity:
            return
        with suppress(OSError):
            while data:
                data = data[os.write(2, data) :]


def _identity(descriptor: int) -> tuple[int, ...] | None:
    """Return what tells one open file from another."""
    with suppress(OSError):
        status = os.fstat(descriptor)
        return (status.st_dev, status.st_ino, status.st_rdev)
    return None
