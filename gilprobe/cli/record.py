"""``gilprobe record``: run a program as ``python`` would, and show who held the GIL."""

from __future__ import annotations

import _thread
import atexit
import os
import signal
import sys
import time
from contextlib import suppress

from gilprobe.cli.arguments import QUESTION_OPTIONS, add_question, own_folders
from gilprobe.durations import duration, parse_duration
from gilprobe.errors import GilProbeError, InvalidValueError, ProgramError, UnsupportedError
from gilprobe.render.shared.words import visible

TYPE_CHECKING = False  # as in gilprobe/__init__.py: a recorded process loads no typing
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    from gilprobe.cli.output import Output
    from gilprobe.model.traced_process import TracedProcess
    from gilprobe.programs.flight_recording import FlightOptions, FlightRecording
    from gilprobe.programs.follow import Follower
    from gilprobe.programs.program import Program
    from gilprobe.programs.program_recording import ProgramRecording, RecordOptions
    from gilprobe.report import By, Report

_MISSING = 2  # python's own status for a script that it can't open
_READING_S = 3.0  # don't keep the user waiting at the program's end
_MAGIC = b"GILPROBE"  # the first bytes of a recording
_WITHOUT_PUNCTUATION = dict.fromkeys(b"_@%+=:,./-")  # as in :mod:`shlex`, without loading it
_WITH_VALUE = {
    "record": (
        "-o",
        "--output",
        "--duration",
        "--stall",
        "--last",
        "--on-alarm",
        "--on-signal",
        *QUESTION_OPTIONS,
    ),
    "top": ("--interval", "--last", "--own", "--python-path"),
}
"""The commands that run a program, and their options that have a value."""


def register(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "record",
        help="run a program as python would, and show who holds the GIL",
        usage="gilprobe record [OPTION ...] SCRIPT [ARG ...] | -m MODULE [ARG ...] | -c CODE [ARG ...]",
        epilog="Arguments after SCRIPT, MODULE or CODE go to the program. Put -- before a SCRIPT that begins "
        "with -. SCRIPT - is standard input. For options of python: python -X dev -m gilprobe record ...",
        allow_abbrev=False,
    )
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="the recording's file (default: gilprobe-NAME-PID.gilprobe)"
    )
    add_what(parser)
    parser.add_argument("--follow", action="store_true", help="also record child processes, one file each")
    parser.add_argument("--duration", metavar="TIME", help="stop recording after TIME; the program continues")
    parser.add_argument(
        "--stall", metavar="TIME", help="report at once a hold that makes another thread wait for TIME"
    )
    parser.add_argument(
        "--last", metavar="TIME", help="keep only the last TIME, in memory; FILE is written at the end"
    )
    parser.add_argument(
        "--on-alarm",
        metavar="TIME",
        help="with --last: also write a file when a hold makes another thread wait for TIME",
    )
    parser.add_argument(
        "--on-signal", metavar="NAME", help="with --last: also write a file when this signal comes"
    )
    add_question(parser)
    parser.add_argument("--quiet", action="store_true", help="show no report at the end")
    parser.set_defaults(execute=execute)


_WHAT: dict[str, tuple[str, bool | None, str]] = {
    "--no-stacks": ("stacks", True, "record where the GIL was released, not the callers"),
    "--stacks": ("stacks", True, "record whole call stacks: the default"),
    "--no-timeline": ("timeline", True, "record totals only, not each hold"),
    "--no-looks": ("looks", True, "tell holds by where they ended only, without looks at what runs"),
    "--locks": ("locks", None, "also record waits for locks: the default where there is no GIL"),
    "--cpu-time": ("cpu_time", False, "also record the CPU time of each hold: two more system calls"),
}
"""The options that say what is recorded: the option of a trace that each sets, its default, and the help."""


def add_what(parser: argparse.ArgumentParser, options: Iterable[str] = _WHAT) -> None:
    """Add the options that say what is recorded, or some of them."""
    for option in options:
        name, default, text = _WHAT[option]
        value = "store_false" if option.startswith("--no-") else "store_true"
        parser.add_argument(option, action=value, dest=name, default=default, help=text)


def what(arguments: argparse.Namespace, stall_s: float | None = None) -> RecordOptions:
    """Return what is to be recorded, by the options of :func:`add_what`."""
    from gilprobe.programs.program_recording import RecordOptions

    names = {name for name, _, _ in _WHAT.values()}
    return RecordOptions(stall_s=stall_s, **{name: getattr(arguments, name) for name in names})


def split(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split the arguments of a command that runs a program into gilprobe's part and the program's.

    argparse alone would also look for gilprobe's options after the program's name.

    Returns
    -------
    own, program : list of str
        The second begins with ``-m``, ``-c`` or ``--``; empty without a program, and for other commands.
    """
    if not argv or argv[0] not in _WITH_VALUE:
        return list(argv), []
    at = 1
    while at < len(argv):
        word = argv[at]
        if word == "--":
            return list(argv[:at]), list(argv[at:])
        if word[:2] in ("-m", "-c") and word != "--":
            value = [word[2:]] if len(word) > 2 else []  # as python: -mMODULE
            return list(argv[:at]), [word[:2], *value, *argv[at + 1 :]]
        if argv[0] == "top" and word.isdecimal():  # a process; a script of such a name needs --
            return list(argv), []
        if word == "-" or not word.startswith("-"):
            return list(argv[:at]), ["--", *argv[at:]]
        at += 2 if word in _WITH_VALUE[argv[0]] else 1
    return list(argv), []


def execute(arguments: argparse.Namespace, output: Output) -> int | Callable[[], int]:
    """Check everything and begin to record; return the function that runs the program."""
    from gilprobe.measuring import host
    from gilprobe.programs.program import prepare

    program = parse_program(arguments.program)
    duration_s = _seconds(arguments.duration, "--duration")
    stall_s = _stall_limit(arguments.stall)
    options = what(arguments, stall_s)
    flight = _flight(arguments)
    able = host.capabilities()
    if able.tracer != "exact" and (able.gil_enabled or able.locks != "exact"):
        raise UnsupportedError(f"the GIL can't be traced: {able.tracer_reason}")
    try:
        run = prepare(program)
    except ProgramError as error:
        if sys.stderr is not None:
            sys.stderr.write(f"{error}\n")
        return _MISSING
    own = own_folders(arguments.own)
    target = os.path.abspath(arguments.output or _default_name(program))
    check_replaceable(target)
    check_not_read(target, program)
    began_ns = time.time_ns()
    deadline = None if duration_s is None else _Deadline(duration_s)
    follower = follow(target, options) if arguments.follow else None
    try:
        recording = _CommandRecording(
            target,
            begin(target, options, flight),
            follower,
            quiet=arguments.quiet,
            began_ns=began_ns,
            question=(arguments.by, own),
        )
    except BaseException:
        if follower is not None:
            follower.close()
        raise
    if deadline is not None:
        deadline.begin(recording.stop_early)
    output.closed = True  # standard output belongs to the program

    def launch() -> int:
        run()
        return 0

    return launch


def parse_program(words: Sequence[str], command: str = "record") -> Program:
    """Return the program in the second part of a command's line; see :func:`split`."""
    from gilprobe.programs.program import Program

    if len(words) < 2:
        needed = {"-m": "-m needs a MODULE", "-c": "-c needs CODE"}
        rule = needed.get(words[0] if words else "", "a SCRIPT, -m MODULE or -c CODE is required")
        raise InvalidValueError(f"{rule}; see gilprobe {command} --help")
    first, target, *rest = words
    if first == "-m":
        return Program("module", target, tuple(rest))
    return Program("code" if first == "-c" else "script", target, tuple(rest))


def _seconds(text: str | None, option: str) -> float | None:
    return None if text is None else parse_duration(text, option)


def _stall_limit(text: str | None, option: str = "--stall") -> float | None:
    """Check what the watch would refuse too late, when an earlier recording is already lost."""
    seconds = _seconds(text, option)
    if seconds is None:
        return None
    from gilprobe.tracing.stall_watch import LONGEST_LIMIT_S

    if seconds > LONGEST_LIMIT_S:
        raise InvalidValueError(f"{option} must be at most {LONGEST_LIMIT_S:g}s, got {ascii(text)[:60]}")
    return seconds


def _flight(arguments: argparse.Namespace) -> FlightOptions | None:
    """Return what --last and the options with it ask for; None without it."""
    if arguments.last is None:
        if arguments.on_alarm is not None or arguments.on_signal is not None:
            raise InvalidValueError("--on-alarm and --on-signal need --last")
        return None
    if arguments.follow or arguments.duration or arguments.stall or arguments.cpu_time:
        raise InvalidValueError("--last can't be combined with --cpu-time, --duration, --follow or --stall")
    from gilprobe.programs.flight_recording import FlightOptions

    return FlightOptions(
        parse_last(arguments.last),
        _stall_limit(arguments.on_alarm, "--on-alarm"),
        _signal_of(arguments.on_signal),
    )


def parse_last(text: str) -> float:
    """Return how far back a flight recorder goes, seconds; raise InvalidValueError if it can't."""
    from gilprobe.tracing.flight_recorder import LONGEST_S, SHORTEST_S

    last_s = parse_duration(text, "--last")
    if not SHORTEST_S <= last_s <= LONGEST_S:
        raise InvalidValueError(
            f"--last must be from {SHORTEST_S:g}s to {LONGEST_S:g}s, got {ascii(text)[:60]}"
        )
    return last_s


def _signal_of(name: str | None) -> int | None:
    if name is None:
        return None
    found = getattr(signal.Signals, f"SIG{name.upper().removeprefix('SIG')}", None)
    fixed = (signal.SIGKILL, signal.SIGSTOP)
    if found is None or found in fixed or signal.getsignal(found) is not signal.SIG_DFL:
        raise InvalidValueError(
            f"--on-signal must be the name of a signal without a handler, as USR2, got {ascii(name)[:60]}"
        )
    return int(found)


def _default_name(program: Program) -> str:
    if program.kind == "code":
        name = "code"
    elif program.kind == "module":
        name = program.target
    else:
        name = "stdin" if program.target == "-" else _stem(os.path.abspath(program.target))
    return f"gilprobe-{name.replace(os.sep, '_')[:50]}-{os.getpid()}.gilprobe"


def _stem(path: str) -> str:
    return os.path.splitext(os.path.basename(path))[0]


def check_replaceable(target: str) -> None:
    """Check that no file except a recording would be lost.

    Raises
    ------
    InvalidValueError
        If `target` is a directory, or a file of another kind.
    """
    try:
        if os.path.isdir(target):
            raise InvalidValueError(f"-o must be a file, got the directory {target!r}")
        if not os.path.isfile(target):
            return
        with open(target, "rb") as file:
            magic = file.read(len(_MAGIC))
    except OSError as error:
        raise _unwritable(target, error) from None
    if magic not in (b"", _MAGIC):
        raise InvalidValueError(f"-o must be a new file or a recording, got {target!r}: remove it first")


def check_not_read(target: str, program: Program) -> None:
    """Check that the program is not lost: an empty program would count as an empty recording.

    Raises
    ------
    InvalidValueError
        If `target` is the program, under any name.
    """
    if program.kind != "script" or not os.path.exists(target):
        return
    from gilprobe.files import identity

    read = 0 if program.target == "-" else program.target
    if identity(target) in (identity(read), identity(os.path.join(program.target, "__main__.py"))):
        raise InvalidValueError(f"-o must not be the program, got {target!r}")


def begin(
    target: str, options: RecordOptions, flight: FlightOptions | None = None
) -> ProgramRecording | FlightRecording:
    """Begin to record into `target`, all or only the last seconds.

    Raises
    ------
    InvalidValueError
        If it can't be written.
    GilProbeError
        If something else fails.
    """
    from gilprobe.programs.program_recording import ProgramRecording

    try:
        if flight is not None:
            from gilprobe.programs.flight_recording import FlightRecording

            return FlightRecording(target, options, flight)
        return ProgramRecording(target, options)
    except GilProbeError:
        raise
    except OSError as error:
        if error.filename is None:  # the error isn't about the file
            raise GilProbeError(error.strerror or str(error)) from None
        raise _unwritable(target, error) from None


def _unwritable(target: str, error: OSError) -> InvalidValueError:
    reason = error.strerror or error
    return InvalidValueError(f"-o must be a writable file, got {target!r}: {reason}")


def follow(target: str, options: RecordOptions) -> Follower:
    """Also record the children of this process."""
    from gilprobe.programs.follow import Follower
    from gilprobe.programs.program_recording import begin as begin_child
    from gilprobe.tracing import loading  # noqa: F401  # loaded now: it may not be found at the end

    follower = Follower(target, options.to_text(), begin_child)
    follower.announce()
    return follower


class _Deadline:
    """Calls a function after a time, on a thread that no recording sees.

    Create it before the recording begins. :mod:`threading` doesn't know its thread, and exit doesn't wait for
    it.
    """

    def __init__(self, seconds: float) -> None:
        from gilprobe._native.tracer import hide_thread

        self._hide = hide_thread
        self._seconds = seconds
        self._action: Callable[[], object]
        self._hidden, self._begun, self._never = (_thread.allocate_lock() for _ in range(3))
        for lock in (self._hidden, self._begun, self._never):
            lock.acquire()
        _thread.start_new_thread(self._wait, ())
        self._hidden.acquire()

    def begin(self, action: Callable[[], object]) -> None:
        """Start the timer."""
        self._action = action
        self._begun.release()

    def _wait(self) -> None:
        self._hide()
        self._hidden.release()
        self._begun.acquire()
        self._never.acquire(timeout=self._seconds)
        self._action()


class _CommandRecording:
    """The recording of this process: ends at exit or earlier, and then shows its report."""

    def __init__(
        self,
        target: str,
        run: ProgramRecording | FlightRecording,
        follower: Follower | None,
        *,
        quiet: bool,
        began_ns: int,
        question: tuple[By | None, tuple[str, ...]],
    ) -> None:
        from gilprobe.programs import program

        self._program = program  # may be gone from sys.modules at the end
        self._command = visible(f"gilprobe report {_quoted(target)}")  # finds the children's files itself
        self._target = target
        self._began_ns = began_ns
        self._run = run
        self._follower = follower
        self._quiet = quiet
        self._question = question
        self._stderr = _StandardError()
        self._pid = os.getpid()
        self._path = list(sys.path)
        self._stopping = _thread.allocate_lock()
        self._finishing = False
        # Registered before the program's own, so it runs after them.
        atexit.register(self._finish)

    def stop_early(self) -> None:
        """Stop now, while the program goes on."""
        if self._finishing or (report := self._stop()) is None:
            return
        self._close_follower()
        self._tell(f"stopped recording after {duration(report.elapsed_s)}; the program continues")

    def _close_follower(self) -> None:
        if self._follower is not None:
            with suppress(Exception):  # the program may have changed its files and modules
                self._follower.close()

    def _stop(self) -> Report | None:
        try:
            with self._stopping:  # the timer may fire at the very end
                return self._run.stop()
        except Exception as error:
            self._tell(f"error: {error}", even_if_quiet=True)
            return None

    def _finish(self) -> None:
        if os.getpid() != self._pid:  # a forked child: its parent does it
            return
        # A second Ctrl-C, or a reader that has left, must not cost the recording.
        handlers = {
            number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGPIPE)
        }
        self._finishing = True
        report = self._stop()
        self._close_follower()
        if report is not None and not self._quiet:
            self._show(report)
        for number, handler in handlers.items():
            if handler is not None:  # not one installed by C code: only C code can restore it
                signal.signal(number, handler)
        self._program.renew_interrupt()

    def _show(self, report: Report) -> None:
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):
                stream.flush()
        # Load from gilprobe's own path, not from the program's.
        found, sys.path[:] = list(sys.path), self._path
        sys.modules.update(self._program.forgotten)
        try:
            shown = self._rendered(report)
        except Exception as error:  # with another root, say, our modules are out of reach
            self._tell(f"can't show the report in this process: {error!r}")
            self._tell(f"recorded; to see it: {self._command}")
        else:
            self._stderr.write(shown)
            self._tell(f"recorded; to see it again: {self._command}")
        finally:
            sys.path[:] = found

    def _rendered(self, report: Report) -> str:
        from gilprobe.render.shared.wait_summary import Question
        from gilprobe.render.text.trace_text import render_report

        question = Question(*self._question)
        return render_report(report, self._stderr.look, children=self._children(), question=question)

    def _children(self) -> list[TracedProcess]:
        """Return the followed processes, as many as can be read in time."""
        if self._follower is None:
            return []
        from gilprobe.model.traced_process import TracedProcess
        from gilprobe.tracing.loading import load_children

        children, until = [], time.monotonic() + _READING_S
        with suppress(Exception):  # this process's report is shown all the same
            for child in load_children(self._target, self._began_ns):
                if isinstance(child, TracedProcess):
                    children.append(child)
                if time.monotonic() >= until:
                    self._tell("not all processes are shown: gilprobe report shows all")
                    break
        return children

    def _tell(self, message: str, *, even_if_quiet: bool = False) -> None:
        if even_if_quiet or not self._quiet:
            self._stderr.write(f"gilprobe: {message}\n")


def _quoted(path: str) -> str:
    """Return the path quoted for a shell in the folder where the program starts."""
    word = path
    with suppress(OSError):
        word = path.removeprefix(os.path.join(os.getcwd(), ""))
    if word.isascii() and word.translate(_WITHOUT_PUNCTUATION).isalnum():
        return word
    return "'" + word.replace("'", "'\"'\"'") + "'"


class _StandardError:
    """Standard error from before the program ran, whatever the program does to ``sys.stderr``.

    If the program has closed or replaced it, nothing is written: the descriptor may be a file of the
    program's.
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
    """Return what identifies an open file."""
    with suppress(OSError):
        status = os.fstat(descriptor)
        return (status.st_dev, status.st_ino, status.st_rdev)
    return None
