"""The exact GIL tracer: every hold and wait of every thread of the process, without privileges."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from gilprobe import thread_names
from gilprobe._native import gil
from gilprobe.distribution import EMPTY, Distribution
from gilprobe.errors import TracerStateError, UnsupportedError
from gilprobe.machine import read_environment
from gilprobe.report import Report, ThreadAccount

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from gilprobe._native.gil import _Account, _Totals
    from gilprobe.environment import Environment


_RUNNING = "a trace must be stopped before it is started again"


class Trace:
    """A recording of who holds the GIL and who waits for it, over all threads of the process.

    Use it as a context manager, or call :meth:`start` and :meth:`stop`, from any thread. Traces may overlap
    and nest; each has its own accounts. Once ended it can be started again, which begins a new recording.

    Holds are wall-clock time: a thread that the operating system suspends while it has the GIL still holds
    it.
    """

    def __init__(self) -> None:
        self._session: gil.Session | None = None
        self._bystanders: dict[int, str] = {}
        self._environment: Environment | None = None
        self._report: Report | None = None

    @property
    def running(self) -> bool:
        """Whether the trace has been started and not stopped."""
        return self._session is not None

    def start(self) -> Trace:
        """Begin to record.

        Returns
        -------
        Trace
            This trace.

        Raises
        ------
        UnsupportedError
            If the GIL can't be traced here; the message says why.
        TracerStateError
            If the trace is running.
        """
        if self._session is not None:
            raise TracerStateError(_RUNNING)
        environment = read_environment()  # costs a millisecond: before the first stamp, not after
        thread_names.watch()
        try:
            bystanders = thread_names.alive()
            session = gil.Session()
            thread_names.review()  # the end of another trace may have come between
        except NotImplementedError as error:
            thread_names.review()
            raise UnsupportedError(f"the GIL can't be traced: {error}") from None
        except BaseException:
            thread_names.review()
            raise
        if self._session is not None:  # another thread has started it meanwhile
            session.stop()
            thread_names.review()
            raise TracerStateError(_RUNNING)
        # no call since that question, so no other thread had the GIL
        self._session = session
        self._environment, self._bystanders, self._report = environment, bystanders, None
        return self

    def stop(self) -> Report:
        """End the recording. Stopping a trace that has ended changes nothing.

        Returns
        -------
        Report
            What was recorded.

        Raises
        ------
        TracerStateError
            If the trace was never started.
        """
        session = self._session
        if session is not None:
            session.stop()
            self._report = self._read(session)
            if self._session is session:  # another thread may have stopped it meanwhile, and started it again
                self._session = None
            thread_names.review()
        return self.report()

    def report(self) -> Report:
        """Return what has been recorded: all of it after the end, a snapshot while the trace is running.

        Raises
        ------
        TracerStateError
            If the trace was never started.
        """
        session = self._session
        if session is not None:
            return self._read(session)
        if self._report is None:
            raise TracerStateError("a trace must be started before it can report")
        return self._report

    def _read(self, session: gil.Session) -> Report:
        totals, accounts = session.read()
        alive = thread_names.alive()
        threads = [_account(account, alive) for account in accounts]
        seen = {account["native_id"] for account in accounts}
        threads += [
            _bystander(native_id, alive[native_id], totals["elapsed_ns"])
            for native_id in self._bystanders
            if native_id in alive and native_id not in seen
        ]
        assert self._environment is not None  # set by start, without which there is no session  # noqa: S101
        return Report(
            elapsed_ns=totals["elapsed_ns"],
            held_ns=sum(thread.hold_ns for thread in threads),
            contended_ns=totals["contended_ns"],
            handoffs=totals["handoffs"],
            threads=tuple(threads),
            sites=(),
            stacks=(),
            blame=(),
            longest_waits=(),
            dropped_events=0,
            warnings=tuple(_warnings(totals, accounts)),
            environment=self._environment,
        )

    def __del__(self, at_exit: Callable[[], bool] = sys.is_finalizing) -> None:
        # The session would end with its last reference; the method that keeps names must be put back too. Not
        # at the interpreter's end, which takes the globals of modules away: hence also the default argument.
        session = getattr(self, "_session", None)
        if session is not None and not at_exit():
            session.stop()
            thread_names.review()

    def __enter__(self) -> Trace:
        return self.start()

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


def trace() -> Trace:
    """Record who holds the GIL, who waits for it and how long, in all threads of the process.

    Returns
    -------
    Trace
        Not started: use it in a ``with`` statement, or call its ``start`` and ``stop``.

    Examples
    --------
    >>> with gilprobe.trace() as t:
    ...     work()
    >>> for thread in t.report().threads:
    ...     print(thread.name, thread.hold_s, thread.wait_s, thread.off_s)
    """
    return Trace()


def _name(account: _Account, alive: dict[int, str]) -> str:
    """Return the name that :mod:`threading` gave the thread last, else the operating system's."""
    name = thread_names.ended(account["label"])
    if not name and not account["ended"]:
        name = alive.get(account["native_id"], "")
    return name or account["os_name"] or f"thread {account['native_id']}"


def _account(account: _Account, alive: dict[int, str]) -> ThreadAccount:
    lifetime_ns, hold_ns, wait_ns = account["lifetime_ns"], account["hold_ns"], account["wait_ns"]
    return ThreadAccount(
        native_id=account["native_id"],
        name=_name(account, alive),
        # threading lets a thread be joined while the operating system's thread still has a few steps to go
        ended=account["ended"] or account["label"] != 0,
        interpreter=0,
        merged=1,
        lifetime_ns=lifetime_ns,
        hold_ns=hold_ns,
        wait_ns=wait_ns,
        # The three add up in ticks (imbalance_ticks); each was rounded down to a nanosecond on its own.
        off_ns=account["off_ns"] if account["imbalance_ticks"] else lifetime_ns - hold_ns - wait_ns,
        acquisitions=account["acquisitions"],
        contended_acquisitions=account["contended_acquisitions"],
        forced_releases=account["forced_releases"],
        voluntary_releases=account["releases"] - account["forced_releases"],
        hold=_distribution(account["holds"], hold_ns, account["longest_hold_ns"]),
        wait=_distribution(account["waits"], wait_ns, account["longest_wait_ns"]),
    )


def _distribution(buckets: list[tuple[int, int]], total_ns: int, max_ns: int) -> Distribution:
    return Distribution(
        count=sum(number for _, number in buckets),
        total_ns=total_ns,
        max_ns=max_ns,
        buckets=tuple(buckets),
    )


def _bystander(native_id: int, name: str, elapsed_ns: int) -> ThreadAccount:
    """Return the account of a thread that was alive all along and never touched the GIL."""
    return ThreadAccount(
        native_id=native_id,
        name=name,
        ended=False,
        interpreter=0,
        merged=1,
        lifetime_ns=elapsed_ns,
        hold_ns=0,
        wait_ns=0,
        off_ns=elapsed_ns,
        acquisitions=0,
        contended_acquisitions=0,
        forced_releases=0,
        voluntary_releases=0,
        hold=EMPTY,
        wait=EMPTY,
    )


def _warnings(totals: _Totals, accounts: list[_Account]) -> list[str]:
    warnings = []
    if totals["lost"]:
        warnings.append(f"{totals['lost']} intervals were not booked: no memory for their threads' accounts")
    if totals["hooks_lost"]:
        warnings.append("another library replaced the tracer's hooks: what came after that is missing")
    if not totals["releases_told_apart"]:
        warnings.append("forced and voluntary releases can't be told apart here: all count as voluntary")
    unbalanced = [account["native_id"] for account in accounts if account["imbalance_ticks"]]
    if unbalanced:
        warnings.append(f"hold, wait and off do not add up to the lifetime of threads {unbalanced}")
    return warnings
