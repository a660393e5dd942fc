"""``gilprobe leaks`` in two processes: one hunts, the other reports how it ended."""

from __future__ import annotations

import dataclasses
import os
import signal
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from gilprobe.cli.functions import told
from gilprobe.cli.output import STDOUT, complain
from gilprobe.cli.progress import StatusLine
from gilprobe.durations import duration
from gilprobe.errors import InvalidValueError
from gilprobe.refs.leak_child import CRASHES, HuntOutcome, HuntProgress, Teller, hunt_in_child
from gilprobe.render.shared.words import plural

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from gilprobe.model.leak_report import LeakReport

_UNUSABLE = 2


class RetriedHunt:
    """A hunt that runs once more, with all objects kept alive, if the first one crashes.

    Parameters
    ----------
    arguments : argparse.Namespace
        Those of the command.
    hunt : callable
        Hunts; takes ``progress``, ``count`` and ``keep_all`` as :func:`gilprobe.refs.leak_hunt.hunt` does.
    show : callable
        Shows a report, and returns the exit status.
    """

    def __init__(
        self,
        arguments: argparse.Namespace,
        hunt: Callable[..., LeakReport],
        show: Callable[[LeakReport], int],
    ) -> None:
        self._name = arguments.function
        self._alone = arguments.json == STDOUT
        self._hunt = hunt
        self._show = show
        self._status = 0
        self._begun = time.monotonic()
        self._line = StatusLine()

    def status(self) -> int:
        """Hunt, report the outcome, and return the exit status.

        Raises
        ------
        InvalidValueError
            If the function ended the process before a verdict.
        """
        first = self._try(done=self._shown)
        if first.report is not None:
            return self._after_report(first)
        if first.told:
            return _own(first)
        if not (first.broken or -first.status in CRASHES) or not first.progress.phase:
            raise self._unjudged(_how(first))
        second = self._try(keep_all=True, done=lambda _: None)
        if second.told:
            return _own(second)
        if second.report is None or not second.report.leaking:
            again = "no leak was found" if second.report else f"it {_how(second)}"
            raise self._unjudged(
                f"{_how(first)}, and in a second try with all objects kept alive {again}; "
                f"PYTHONFAULTHANDLER=1 shows where"
            )
        warning = f"a first try {_how(first)}: this one kept all objects alive"
        return self._show(dataclasses.replace(second.report, warnings=(warning, *second.report.warnings)))

    def _try(self, *, keep_all: bool = False, done: Callable[[LeakReport], None]) -> HuntOutcome:
        try:
            outcome = hunt_in_child(partial(self._in_child, keep_all), done, self._watch)
        except SystemExit:  # the child ends here; the parent reports it
            raise
        except BaseException:  # also in the child, which reports it
            self._line.erase()
            raise
        self._line.erase()
        return outcome

    def _watch(self, progress: HuntProgress) -> None:
        seconds = time.monotonic() - self._begun
        self._line.show(
            f"{progress.phase or 'loading'}, {plural(progress.calls, 'call')}, {duration(seconds)}"
        )

    def _in_child(self, keep_all: bool, teller: Teller) -> LeakReport:
        if self._alone:  # standard output is for the report only, also when the program prints at its end
            with suppress(OSError):
                os.dup2(2, 1)
        return self._hunt(progress=teller.phase, count=teller.count, keep_all=keep_all)

    def _shown(self, report: LeakReport) -> None:
        self._line.erase()
        self._status = self._show(report)

    def _after_report(self, outcome: HuntOutcome) -> int:
        if outcome.status >= 0:
            return self._status
        complain(f"{told(self._name)} was judged, but its process {_by(outcome.status)} as it ended")
        return self._status or _UNUSABLE

    def _unjudged(self, what: str) -> InvalidValueError:
        return InvalidValueError(f"FUNCTION must let the hunt go on, {told(self._name)} {what}")


def _own(outcome: HuntOutcome) -> int:
    """Return the exit status of a child that reported its error."""
    return outcome.status if outcome.status >= 0 else _UNUSABLE


def _how(outcome: HuntOutcome) -> str:
    by = f"was ended by {outcome.broken}" if outcome.broken else _by(outcome.status)
    return f"{by} {_when(outcome.progress)}"


def _by(status: int) -> str:
    if status >= 0:
        return f"ended its process with status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:  # a real-time signal
        name = f"signal {-status}"
    doubt = " (out of memory?)" if -status == signal.SIGKILL else ""
    return f"was ended by {name}{doubt}"


def _when(progress: HuntProgress) -> str:
    if not progress.phase:
        return "while its module was loaded"
    if progress.calls == 0:
        return "in its first call"
    return f"after about {plural(progress.calls, 'call')} ({progress.phase})"
