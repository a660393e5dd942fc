"""Interpreters with their own GIL (PEP 684), each run by one thread of this process.

The standard library's module for them has changed twice; ``module`` names the one used.
"""

from __future__ import annotations

import importlib
import marshal
import sys
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from typing import TYPE_CHECKING, Any, NamedTuple

from gilprobe.engines import team_worker
from gilprobe.engines.team import START_S, assembled
from gilprobe.engines.threads import ThreadCrew, WorkerLife
from gilprobe.errors import InvalidValueError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from gilprobe.engines.channels import Channels
    from gilprobe.engines.team import Team, Work
    from gilprobe.engines.team_worker import Spec

_MODULE = (
    ""
    if sys.version_info < (3, 12)
    else "_xxsubinterpreters"
    if sys.version_info < (3, 13)
    else "_interpreters"
    if sys.version_info < (3, 14)
    else "concurrent.interpreters"
)

_SCRIPT = """\
import marshal, sys
sys.path[:] = {path!r}
names = {{"__name__": {name!r}}}
exec(marshal.loads({code!r}), names)
names["serve"]({index!r}, {begun_ns!r}, {work!r}, {ends!r})
"""


@dataclass(frozen=True, slots=True)
class InterpreterEngine:
    """Sub-interpreters, each with its own GIL and its own modules."""

    name: str = "interpreters"
    module: str = _MODULE

    def unavailable(self) -> str:
        """Return why interpreters with their own GIL are not available here; empty if they are."""
        if sys.implementation.name != "cpython":
            return f"only CPython has interpreters with their own GIL, this is {sys.implementation.name}"
        if not self.module:
            return f"interpreters share one GIL before CPython 3.12, this is {sys.version.split()[0]}"
        try:
            importlib.import_module(self.module)
        except ImportError as error:
            return f"the module {self.module} can't be imported: {error}"
        return ""

    def start(self, workers: int, work: Work, *, limit_s: float = START_S) -> AbstractContextManager[Team]:
        """Start a team; see :meth:`gilprobe.engines.team.Engine.start`.

        Raises
        ------
        InvalidValueError
            If `work` has no chunk: code in an interpreter can't be ended from outside, and 3.12 aborts a
            process that ends before its interpreters.
        """
        if work.chunk is None:
            raise InvalidValueError("chunk must be a number for work in interpreters, got None")
        return assembled(self, ThreadCrew(_life), workers, work, limit_s)


class _InterpreterCalls(NamedTuple):
    """Creates, runs and ends interpreters in this Python version."""

    create: Callable[[], Any]
    run: Callable[[Any, str], object]
    destroy: Callable[[Any], object]


def _means() -> _InterpreterCalls:
    module: Any = importlib.import_module(_MODULE)
    if sys.version_info >= (3, 14):
        return _InterpreterCalls(
            module.create, lambda created, code: created.exec(code), lambda created: created.close()
        )
    if sys.version_info >= (3, 13):
        return _InterpreterCalls(lambda: module.create("isolated"), module.run_string, module.destroy)
    return _InterpreterCalls(lambda: module.create(isolated=True), module.run_string, module.destroy)


def _life(work: Spec, channels: Channels) -> WorkerLife:
    means = _means()
    code = _worker_code()
    path = [entry for entry in sys.path if isinstance(entry, str)]
    ends = channels.worker_ends

    def live(index: int, begun_ns: int) -> None:
        script = _SCRIPT.format(
            path=path,
            name=team_worker.__name__,
            code=code,
            index=index,
            begun_ns=begun_ns,
            work=work,
            ends=ends,
        )
        try:
            # In the thread that will run it: several can then start in parallel, and 3.12 ends only those
            # that the same thread began.
            interpreter = means.create()
            try:
                failure = means.run(interpreter, script)
            finally:
                means.destroy(interpreter)
            if failure is not None:  # 3.13 returns the script's exception
                raise UnsupportedError(getattr(failure, "formatted", str(failure)))
        except BaseException as error:  # the owner raises it
            team_worker.report_failure(ends[2], index, error)

    return live


def _worker_code() -> bytes:
    """Return the worker's code: importing it there would load all of gilprobe, and count as start-up."""
    loader: Any = team_worker.__loader__
    if not hasattr(loader, "get_code"):  # pytest's loader, which rewrites assertions, has none
        loader = SourceFileLoader(team_worker.__name__, team_worker.__file__)
    return marshal.dumps(loader.get_code(team_worker.__name__))
