"""Trace the workers of a Dask cluster, and merge what they tell into one report.

The functions here need ``gilprobe[dask]``, where the client runs and on each worker.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
import threading
import time
import uuid
from types import FunctionType
from typing import TYPE_CHECKING, Any

import distributed.worker
from dask.utils import key_split
from distributed import WorkerPlugin

from gilprobe.errors import GilProbeError, InvalidValueError
from gilprobe.integrations.cluster_reports import (
    TaskTimes,
    add_answer,
    answer_of,
    check_seconds,
    clocks,
    finished,
    leave_out,
    now,
    times_by_task,
)
from gilprobe.model.merging import Merger

if TYPE_CHECKING:
    from collections.abc import Callable

    from distributed import Client, Worker

    from gilprobe.report import Report
    from gilprobe.tracing.tracer import Trace

TASK = "<dask task>"
"""Stands for the file of the level that a task's key has in call stacks."""

_MOST_KEYS = 1000
_LONGEST_KEY = 200
_OTHER_KEYS = "(others)"


class TaskKeys(TaskTimes):
    """What the tasks of one kind of key did on all workers: a :class:`TaskTimes` by prefix."""

    __slots__ = ()

    @property
    def prefix(self) -> str:
        """What the keys have in common: ``inc`` for ``inc-1f2e...``, as the dashboard shows it."""
        return self.name


class GilProbe(WorkerPlugin):
    """Traces each worker as long as it is registered, also workers that join later.

    Workers that are threads of one process share one trace. Nothing that goes wrong here makes a worker
    fail: :func:`collect` says why it was not traced.

    Parameters
    ----------
    folder : str, optional
        Folder on the workers' machines in which each writes a recording, with a timeline, named
        ``HOST-PID.gilprobe``. Default: none.
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        self.name = f"gilprobe-{uuid.uuid4().hex}"
        self._folder = None if folder is None else os.fspath(folder)

    async def setup(self, worker: Worker) -> None:
        """Begin to trace the worker's process, in a thread: its event loop goes on meanwhile."""
        await asyncio.to_thread(_join, self.name, worker.address, self._folder)

    async def teardown(self, worker: Worker) -> None:
        """End the trace, if this was the last worker of its process."""
        await asyncio.to_thread(_leave, self.name, worker.address)


def record(client: Client, seconds: float, folder: str | os.PathLike[str] | None = None) -> Report:
    """Trace all workers of a cluster for some time.

    Parameters
    ----------
    client : distributed.Client
        A synchronous client of the cluster.
    seconds : float
        How long.
    folder : path-like, optional
        As for :class:`GilProbe`.

    Returns
    -------
    Report
        All workers together (:func:`gilprobe.merge`), each a level; :func:`task_keys` tells its tasks.

    Raises
    ------
    InvalidTypeError, InvalidValueError
        If `seconds` is no positive, finite number, or the client is asynchronous.
    FormatError
        If no worker could be traced.
    """
    check_seconds(seconds)
    _check(client)
    plugin = GilProbe(folder)
    client.register_plugin(plugin)
    try:
        before = set(client.run(now))
        time.sleep(seconds)
        return _collected(client, plugin, before)
    finally:
        client.unregister_worker_plugin(plugin.name)


def collect(client: Client, plugin: GilProbe) -> Report:
    """Return what the workers have traced so far; the traces go on.

    Parameters
    ----------
    client : distributed.Client
        A synchronous client of the cluster.
    plugin : GilProbe
        What was registered by ``client.register_plugin(plugin)``.

    Raises
    ------
    InvalidValueError
        If the client is asynchronous.
    FormatError
        If no worker could be traced.
    """
    _check(client)
    return _collected(client, plugin, set())


def task_keys(report: Report) -> tuple[TaskKeys, ...]:
    """Return what tasks did, by the prefix of their keys, those for which others waited longest first.

    Coroutines, and tasks of an executor that starts processes, are not among them; nor are tasks that ran
    when the trace began.
    """
    rows = times_by_task(
        report, lambda stack: next((each.function for each in stack.frames if each.filename == TASK), None)
    )
    return tuple(TaskKeys(prefix, *sums) for prefix, sums in rows)


def _check(client: Client) -> None:
    if client.asynchronous:
        raise InvalidValueError("client must be synchronous, got an asynchronous one")


def _collected(client: Client, plugin: GilProbe, before: set[str]) -> Report:
    offsets = list(clocks(lambda: client.run(now, on_error="ignore").values()))
    answers = client.run(_tell, plugin.name, on_error="return")
    merger = Merger()
    for address, answer in sorted(answers.items()):
        if answer is not None:  # else another worker of its process told it
            more = 0 if isinstance(answer, BaseException) else answer.get("workers", 1) - 1
            source = f"{address} and {more} more" if more else address
            add_answer(merger, address, answer, source, f"dask worker {source}")
    for address in sorted(before - set(answers)):
        leave_out(merger, address, "it left the cluster")
    return finished(merger, offsets)


# What follows runs on workers.


class _Running:
    """The trace of this process, for all workers in it."""

    def __init__(self) -> None:
        self.workers: set[str] = set()
        self.trace: Trace | None = None
        self.started_unix_ns = 0
        self.reason = ""
        self.labelling = _Labelling()

    def start(self, folder: str | None) -> None:
        from gilprobe.tracing.tracer import trace

        try:
            if folder is None:
                made = trace(stacks=True)
            else:
                os.makedirs(folder, mode=0o700, exist_ok=True)  # noqa: PTH103
                name = f"{os.uname().nodename}-{os.getpid()}.gilprobe"
                made = trace(stacks=True, timeline=True, path=os.path.join(folder, name))  # noqa: PTH118
            self.started_unix_ns = time.time_ns()
            made.start()
        except (GilProbeError, OSError, ImportError) as error:  # the worker goes on
            self.reason = str(error) or type(error).__name__
        else:
            self.trace = made
            self.labelling.begin()


_lock = threading.Lock()
_running: dict[str, _Running] = {}


def _join(name: str, address: str, folder: str | None) -> None:
    with _lock:
        known = _running.get(name)
        if known is None:
            known = _running[name] = _Running()
            known.start(folder)
        known.workers.add(address)


def _leave(name: str, address: str) -> None:
    with _lock:
        known = _running.get(name)
        if known is None:
            return
        known.workers.discard(address)
        if known.workers:
            return
        del _running[name]
        known.labelling.end()
        if known.trace is not None:
            known.trace.close()


async def _tell(name: str, dask_worker: Worker) -> dict[str, Any] | None:
    return await asyncio.to_thread(_told, name, dask_worker.address)


def _told(name: str, address: str) -> dict[str, Any] | None:
    """Return what this process has traced: the first of its workers tells it."""
    with _lock:
        known = _running.get(name)
        if known is None:
            return {"reason": "it joined the cluster too late"}
        if known.trace is None:
            return {"reason": known.reason}
        if address != min(known.workers):
            return None
        answer = answer_of(
            known.trace.report(),
            pid=os.getpid(),
            host=os.uname().nodename,
            started_unix_ns=known.started_unix_ns,
        )
        return answer | {"workers": len(known.workers)}


# A task's key is on its thread's call stack, as a level of its own: all that looks and releases tell of the
# stack, they tell of the key. That costs a call for each task, and nothing else.


def _run(function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    return function(*arguments, **named)


@functools.lru_cache(maxsize=_MOST_KEYS)
def _named(prefix: str) -> Callable[..., Any]:
    """Return a function that runs another one, and is called like a task's key."""
    code = _run.__code__.replace(co_name=prefix, co_qualname=prefix, co_filename=TASK)
    return FunctionType(code, {"__builtins__": {}})


_RUNS_TASKS = ("_run_task", "apply_function", "apply_function_actor")
_prefixes: set[str] = set()


def _labelled(key: object) -> Callable[..., Any]:
    prefix = key_split(key)[:_LONGEST_KEY]
    if prefix not in _prefixes:
        if len(_prefixes) >= _MOST_KEYS - 1:
            prefix = _OTHER_KEYS
        else:
            _prefixes.add(prefix)
    return _named(prefix)


class _Labelling:
    """Calls what runs a task in a thread by way of a function that is named like the task's key.

    That function is distributed's own (`_run_task`, in earlier versions `apply_function`): no hook of a
    plugin is called in the thread of a task. If it is not found, tasks have no level of their own, and
    nothing else is different.
    """

    def __init__(self) -> None:
        self._replaced: dict[str, tuple[Any, Any]] = {}

    def begin(self) -> None:
        for name in _RUNS_TASKS:
            original: Any = getattr(distributed.worker, name, None)
            parameters = list(inspect.signature(original).parameters) if original is not None else []
            if "key" in parameters:
                labelled = functools.partial(_run_labelled, original, parameters.index("key"))
                self._replaced[name] = original, labelled
                setattr(distributed.worker, name, labelled)

    def end(self) -> None:
        for name, (original, labelled) in self._replaced.items():
            if getattr(distributed.worker, name, None) is labelled:  # else someone else has replaced it
                setattr(distributed.worker, name, original)
        self._replaced.clear()


def _run_labelled(run: Callable[..., Any], position: int, *arguments: Any, **named: Any) -> Any:
    key = arguments[position] if len(arguments) > position else named.get("key")
    return _labelled(key)(run, *arguments, **named)
