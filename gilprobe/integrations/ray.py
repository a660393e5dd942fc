"""Trace the workers of a Ray job, and merge what they tell into one report.

The functions here need ``gilprobe[ray]``, where the driver runs and on each node.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from gilprobe.attaching.recording import AttachedRecording
from gilprobe.errors import FormatError, GilProbeError, InvalidValueError
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
from gilprobe.programs.program_recording import RecordOptions
from gilprobe.tracing.loading import load

if TYPE_CHECKING:
    from gilprobe.report import Frame, Report, Stack

_ANSWER_S = 120.0  # for a node: its first answer comes when a process has started there
_ATTACH_S = 10.0  # for a worker whose thread keeps the GIL in native code
_SEARCH_S = 0.2  # between two looks for workers that have started
_AT_A_TIME = 8
_OF_NO_JOB = "ffffffff"  # of workers that started before there was a job for them
_LOCALS = "<locals>."
_MAIN = ("Worker.main_loop", "_private/worker.py")
_CALLERS = (
    _MAIN,
    (".actor_method_executor", "_private/function_manager.py"),
    ("sync_to_async.<locals>.wrapper", "_private/async_compat.py"),
    ("._resume_span", "util/tracing/tracing_helper.py"),
    ("._function_with_tracing", "util/tracing/tracing_helper.py"),
)
"""Python functions of Ray above which a task or a method is called, with their files in its package."""
_LOOP = ("Thread.run", "BaseEventLoop.run_forever", "BaseEventLoop._run_once", "Handle._run")
"""So begins what runs in an actor's event loop."""


def record(seconds: float, folder: str | os.PathLike[str] | None = None) -> Report:
    """Trace all workers of this job for some time.

    Parameters
    ----------
    seconds : float
        How long.
    folder : path-like, optional
        As for :class:`JobTrace`.

    Returns
    -------
    Report
        All workers together (:func:`gilprobe.merge`), each a level; :func:`task_times` tells its tasks.

    Raises
    ------
    InvalidTypeError, InvalidValueError
        If `seconds` is no positive, finite number, or this process has no connection to Ray.
    FormatError
        If no worker could be traced.
    """
    check_seconds(seconds)
    with JobTrace(folder) as job:
        time.sleep(seconds)
    return job.report


def task_times(report: Report) -> tuple[TaskTimes, ...]:
    """Return what tasks and actors' methods did, by name, those for which others waited longest first.

    The name is the function's, as ``hog``, or the class and its method, as ``Model.predict``. Threads that a
    task starts are not among them.
    """
    return tuple(TaskTimes(name, *sums) for name, sums in times_by_task(report, _task_of))


def _task_of(stack: Stack) -> str | None:
    """Return the function that Ray called: the first one above Ray's own and those of its event loops."""
    caller, package = None, ""
    below: tuple[str, ...] = ()
    for frame in stack.frames:
        if not frame.filename:  # a function in C
            continue
        found = next((each for each in _CALLERS if _is(frame, *each)), None)
        if found is not None:
            caller, package = found, frame.filename.removesuffix(found[1])
        elif caller is not None or below[-len(_LOOP) :] == _LOOP:
            if "/asyncio/" in frame.filename or "/ray/_private/" in frame.filename:
                return None
            if caller == _MAIN and _is_rays(frame.filename, package):
                return None
            return frame.function.rpartition(_LOCALS)[2]
        below = (*below, frame.function)
    return None


def _is(frame: Frame, function: str, path: str) -> bool:
    return frame.function.endswith(function) and frame.filename.endswith(f"/ray/{path}")


def _is_rays(filename: str, package: str) -> bool:
    """Return whether a file is of Ray's core, which runs more than tasks in a worker's main thread."""
    path = filename.removeprefix(package)
    return path != filename and (path.startswith(("_", "util/")) or "/" not in path)


class JobTrace:
    """Traces all workers of this job while a ``with`` block runs, also those that start meanwhile.

    Nothing that goes wrong here makes a worker or a task fail: a doubt of the report says why a worker was
    not traced.

    Parameters
    ----------
    folder : path-like, optional
        Folder on each node in which the workers write recordings, with a timeline, named
        ``HOST-PID.gilprobe``. Default: none.

    Raises
    ------
    InvalidValueError
        If this process has no connection to Ray.

    Attributes
    ----------
    report : Report
        After the block: all workers together (:func:`gilprobe.merge`).
    """

    report: Report

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        if not ray.is_initialized():
            raise InvalidValueError("Ray must be connected: call ray.init() first")
        self._folder = None if folder is None else os.path.abspath(folder)  # noqa: PTH100
        self._nodes: dict[str, Any] = {}
        self._silent: dict[str, BaseException] = {}
        self._ended = False

    def __enter__(self) -> JobTrace:
        self._silent.clear()
        self._ended = False
        made = ray.remote(num_cpus=0, max_restarts=0)(_Node)
        for node in ray.nodes():
            if node["Alive"]:
                name = f"node {node['NodeManagerHostname']} {node['NodeID'][:8]}"
                there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
                self._nodes[name] = made.options(scheduling_strategy=there).remote()
        try:
            self._ask("begin", self._folder)
        except BaseException:
            self._leave()
            raise
        return self

    def __exit__(self, kind: object, *_exception: object) -> None:
        try:
            if kind is None:
                self.report = self._collected()
        finally:
            self._leave()

    def _leave(self) -> None:
        if not self._ended:  # what still records would end with the nodes' actors, but leave files behind
            with suppress(Exception):
                self._ask("end")
        for node in self._nodes.values():
            ray.kill(node)
        self._nodes.clear()

    def _ask(self, method: str, *arguments: object) -> list[tuple[str, Any]]:
        """Return what each node answers; one that has failed once is not asked again."""
        asked = {
            name: getattr(node, method).remote(*arguments)
            for name, node in self._nodes.items()
            if name not in self._silent
        }
        answers = []
        until_s = time.monotonic() + _ANSWER_S
        for name, answer in asked.items():
            try:
                answers.append((name, ray.get(answer, timeout=max(0.0, until_s - time.monotonic()))))
            except (RayError, OSError, GilProbeError, ImportError) as error:
                self._silent[name] = getattr(error, "cause", None) or error  # what was raised there
        return answers

    def _collected(self) -> Report:
        offsets = list(clocks(lambda: (answer for _, answer in self._ask("now"))))
        merger = Merger()
        self._ended = True
        for _, answers in self._ask("end"):
            for answer in answers:
                source = f"{answer['host']}:{answer['pid']}"
                add_answer(merger, source, answer, source, answer["title"])
        for name, error in self._silent.items():
            leave_out(merger, f"of {name}", f"{type(error).__name__}: {' '.join(str(error).split())}")
        return finished(merger, offsets)


# What follows runs on nodes: one actor attaches to the workers there. Their tasks go on meanwhile.


class _Node:
    """Traces the workers of this node. An actor."""

    def __init__(self) -> None:
        self._open = ExitStack()
        self._workers: dict[int, tuple[_Attached, Future[None]]] = {}
        self._ending = threading.Event()
        self._finder: threading.Thread | None = None

    def begin(self, folder: str | None) -> None:
        """Attach to the workers that are there, and from now on to those that start."""
        if folder is None:
            made = self._open.enter_context(tempfile.TemporaryDirectory(prefix="gilprobe-"))
        else:
            made = folder
            Path(made).mkdir(mode=0o700, parents=True, exist_ok=True)
        options = RecordOptions(stacks=True, timeline=folder is not None).to_text()
        pool = self._open.enter_context(ThreadPoolExecutor(_AT_A_TIME))

        def look() -> None:
            for pid in _processes_here() - self._workers.keys():
                worker = _Attached(pid, made, options)
                self._workers[pid] = worker, pool.submit(worker.begin)

        def find() -> None:
            while not self._ending.wait(_SEARCH_S):
                with suppress(OSError):
                    look()

        look()
        for _, beginning in tuple(self._workers.values()):
            beginning.result()
        self._finder = threading.Thread(target=find, name="gilprobe-finder", daemon=True)
        self._finder.start()

    def now(self) -> tuple[str, int]:
        """Return this host's name and time."""
        return now()

    def end(self) -> list[dict[str, Any]]:
        """End all recordings, and return what they tell."""
        self._ending.set()
        if self._finder is not None:
            self._finder.join()
        with self._open:
            for worker, beginning in self._workers.values():
                beginning.result()
                worker.stop()
            return [worker.answer() for worker, _ in self._workers.values()]


class _Attached:
    """The recording of one worker's process."""

    def __init__(self, pid: int, folder: str, options: str) -> None:
        self._pid, self._host = pid, os.uname().nodename
        self._path = str(Path(folder) / f"{self._host}-{pid}.gilprobe")
        self._recording = AttachedRecording(pid, self._path, options, _ATTACH_S)
        self._reason = ""

    def begin(self) -> None:
        """Attach; what fails is told by the answer."""
        try:
            self._recording.begin(lambda _keeper: None)
        except (GilProbeError, OSError) as error:
            self._reason = str(error) or type(error).__name__

    def stop(self) -> None:
        """Let the recording end; :meth:`answer` waits for it."""
        if self._recording.begun:
            self._recording.stop()

    def answer(self) -> dict[str, Any]:
        """Return what the recording tells, as :func:`answer_of`, or the reason why there is none."""
        named = {"host": self._host, "pid": self._pid, "title": _title(self._pid) or "ray worker"}
        if not self._reason:
            try:
                with self._recording as recording:
                    recording.wait()
                process = load(self._path, timeline=False)
                return named | answer_of(
                    process.report,
                    pid=self._pid,
                    host=self._host,
                    started_unix_ns=process.started_unix_ns,
                    complete=process.complete,
                )
            except (GilProbeError, FormatError, OSError) as error:
                self._reason = str(error) or type(error).__name__
        return named | {"reason": self._reason}


def _processes_here() -> set[int]:
    """Return the processes of this node that run this job's tasks, without this one."""
    raylet = os.environ.get("RAY_RAYLET_PID") or str(os.getppid())
    jobs = {f"RAY_JOB_ID={job}" for job in (os.environ.get("RAY_JOB_ID", _OF_NO_JOB), _OF_NO_JOB)}
    jobs.add(f"RAY_JOB_ID={ray.get_runtime_context().get_job_id()}")
    found = set()
    for thread in Path(f"/proc/{raylet}/task").iterdir():
        with suppress(OSError):  # it has ended
            for pid in map(int, (thread / "children").read_text().split()):
                # A worker has its title when it is connected. Until then it may still become another program.
                if pid != os.getpid() and _title(pid).startswith("ray::") and jobs & _environment(pid):
                    found.add(pid)
    return found


def _title(pid: int) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return ""
    return words.rstrip(b"\0 ").replace(b"\0", b" ").decode("utf-8", "replace")


def _environment(pid: int) -> set[str]:
    try:
        return set(Path(f"/proc/{pid}/environ").read_bytes().decode("utf-8", "replace").split("\0"))
    except OSError:
        return set()
