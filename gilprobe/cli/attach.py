"""``gilprobe attach``: record a process that runs, and show who held the GIL."""

from __future__ import annotations

import os
import shlex
import time
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

from gilprobe.cli.arguments import add_packages, add_question, packages_of, parse_pid, question_of
from gilprobe.cli.output import complain, look_of
from gilprobe.cli.record import add_what, check_replaceable, what
from gilprobe.durations import duration, parse_duration
from gilprobe.render.shared.words import clipped, place

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator
    from typing import Any

    from gilprobe.attaching.injecting import Injected
    from gilprobe.attaching.outside import Keeper
    from gilprobe.cli.output import Output

_LEVELS = 20  # of a stack, that are told


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
    parser.add_argument(
        "--follow", action="store_true", help="also record children that it starts from now on, one file each"
    )
    parser.add_argument("--duration", metavar="TIME", help="stop after TIME (default: with Ctrl-C)")
    parser.add_argument(
        "--wait",
        metavar="TIME",
        default="15s",
        help="how long to wait until the process answers, for example while a thread keeps the GIL in native "
        "code (default: 15s)",
    )
    add_packages(parser)
    add_question(parser)
    parser.add_argument("--quiet", action="store_true", help="show no report at the end")
    parser.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace, _output: Output) -> int:
    """Attach, wait for the end, and show the report."""
    pid = parse_pid(arguments.pid)
    duration_s = None if arguments.duration is None else parse_duration(arguments.duration, "--duration")
    options = what(arguments).to_text()
    question = question_of(arguments)
    packages = packages_of(arguments)
    wait_s = parse_duration(arguments.wait, "--wait")
    target = os.path.abspath(arguments.output or f"gilprobe-attach-{pid}.gilprobe")  # noqa: PTH100
    check_replaceable(target)
    tell = _silent if arguments.quiet else complain
    from gilprobe.attaching.injecting import check_supported
    from gilprobe.attaching.programs import Programs
    from gilprobe.attaching.recording import AttachedRecording
    from gilprobe.programs.follow import child_path

    check_supported()
    began_ns = time.time_ns()

    def told(child: int) -> None:
        tell(f"recording process {child}, a child")

    def child(number: int) -> AttachedRecording:
        path = child_path(target, number)
        return AttachedRecording(number, path, options, wait_s, None, packages, follow=told)

    follow = told if arguments.follow else None
    with (
        _ended_by_signals(),
        AttachedRecording(pid, target, options, wait_s, duration_s, packages, follow=follow) as recording,
        Programs(pid, child, told, complain) if arguments.follow else nullcontext(),
    ):
        try:
            injected = recording.begin(lambda keeper: tell_keeper(tell, pid, keeper, wait_s))
            tell(
                f"recording process {pid} (CPython {injected.target.release}): attached in "
                f"{duration(injected.took_s)}, {_way(injected)}; Ctrl-C ends it"
            )
            goes_on = recording.wait()
        except KeyboardInterrupt:
            if not recording.begun:
                raise
            recording.stop()
            goes_on = recording.wait()
        if not goes_on:
            tell(f"process {pid} has ended")
    if not arguments.quiet:
        _show(target, question, began_ns if arguments.follow else None)
    return 0


def tell_keeper(tell: Callable[[str], object], pid: int, keeper: Keeper, wait_s: float) -> None:
    """Say which thread of a process keeps the GIL in native code, and where."""
    where = f", in {clipped(keeper.symbol)}" if keeper.symbol else ""
    tell(f"process {pid}: thread {keeper.thread} keeps the GIL in native code{where}, called from")
    for level in keeper.levels[:_LEVELS]:
        tell(f"    {place(level.function, level.filename, level.line)}")
    if len(keeper.levels) > _LEVELS:
        tell(f"    and {len(keeper.levels) - _LEVELS} more")
    tell(f"waiting up to {duration(wait_s)} until it lets go; nothing is changed in the process so far")


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end a recording as Ctrl-C does, unless they are ignored: no files stay."""
    import signal

    both = [one for one in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(one) == signal.SIG_DFL]
    for one in both:
        signal.signal(one, signal.default_int_handler)
    try:
        yield
    finally:
        for one in both:
            signal.signal(one, signal.SIG_DFL)


def _silent(_text: str) -> None:
    pass


def _way(injected: Injected) -> str:
    if injected.signal is not None:
        return f"by signal {injected.signal}"
    return f"thread {injected.thread} stood still for {duration(injected.stopped_s)}"


def _show(target: str, question: Any, since_unix_ns: int | None) -> None:
    """Show the report, with those of children that began since then."""
    import sys

    from gilprobe.model.traced_process import TracedProcess
    from gilprobe.render.text.trace_text import render_report
    from gilprobe.tracing.loading import load, load_children

    look = look_of(sys.stderr)
    if sys.stderr is not None:
        found = [] if since_unix_ns is None else load_children(target, since_unix_ns)
        children = [child for child in found if isinstance(child, TracedProcess)]
        sys.stderr.write(render_report(load(target).report, look, children=children, question=question))
    complain(f"recorded; to see it again: gilprobe report {shlex.quote(os.path.relpath(target))}")
