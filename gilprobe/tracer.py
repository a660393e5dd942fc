"""The exact GIL tracer: every hold and wait of every thread of the process, without privileges."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from gilprobe import thread_names
from gilprobe._native import gil
from gilprobe.accounting import Books, Naming, assemble
from gilprobe.errors import TracerStateError, UnsupportedError
from gilprobe.machine import read_environment

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType, TracebackType

    from gilprobe._native.recording import _Account
    from gilprobe.environment import Environment
    from gilprobe.report import Report


_RUNNING = "a trace must be stopped before it is started again"


class Trace:
    """A recording of who holds the GIL and who waits for it, over all threads of the process.

    Use it as a context manager, or call :meth:`start` and :meth:`stop`, from any thread. Traces may overlap
    and nest; each has its own accounts. Once ended it can be started again, which begins a new recording.

    Holds are wall-clock time: a thread that the operating system suspends while it has the GIL still holds
    it.
    """

    def __init__(self, *, sites: bool = True, stacks: bool = False) -> None:
        self._sites = sites or stacks
        self._stacks = stacks
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
            session = gil.Session(sites=self._sites, stacks=self._stacks)
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
            session.stop(_caller())
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
        books = Books.decode(*session.read(_caller()))
        alive = thread_names.alive()
        assert self._environment is not None  # set by start, without which there is no session  # noqa: S101
        return assemble(
            [books],
            lambda account: _who(account, alive),
            self._environment,
            bystanders={native_id: alive[native_id] for native_id in self._bystanders if native_id in alive},
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


def trace(*, sites: bool = True, stacks: bool = False) -> Trace:
    """Record who holds the GIL, who waits for it and how long, in all threads of the process.

    Parameters
    ----------
    sites : bool
        Record also where: the function and line at which the GIL was let go, who waited behind whom at which of them, and
        the longest waits.
    stacks : bool
        Record the whole Python stack there, up to 128 frames. Implies `sites`.

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
    return Trace(sites=sites, stacks=stacks)


def _caller() -> FrameType | None:
    """Return the innermost frame that is not of this module: whose hold it is that a stop cuts."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename == __file__:
        frame = frame.f_back
    return frame


def _who(account: _Account, alive: dict[int, str]) -> Naming:
    """Name a thread as :mod:`threading` did last, else as the operating system does."""
    name = thread_names.ended(account["label"])
    if not name and not account["ended"]:
        name = alive.get(account["native_id"], "")
    return Naming(name or account["os_name"] or f"thread {account['native_id']}", bool(name))
