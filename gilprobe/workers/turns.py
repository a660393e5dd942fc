"""Run a task in one process per interpreter, of which one computes at a time."""

from __future__ import annotations

import dataclasses
import math
import selectors
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from gilprobe.model import codec
from gilprobe.model.environment import Environment
from gilprobe.workers.launch import TaskWorker, dismiss
from gilprobe.workers.protocol import Task

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gilprobe.workers.launch import TaskOutcome
    from gilprobe.workers.pythons import Python

    Told = Callable[[Python, str, float], None]

T = TypeVar("T")


def meet(pythons: Sequence[Python]) -> tuple[tuple[Python, ...], tuple[str, ...]]:
    """Start each interpreter once and let it say hello.

    Returns
    -------
    pythons : tuple of Python
        Those with this version of gilprobe, with their environments.
    complaints : tuple of str
        One line for each that was left out.
    """
    read = partial(codec.decode, Environment, where="environment")
    task = Task("gilprobe.workers.task_worker:environment", None, read)
    met, complaints = [], []
    for outcome in run_side_by_side(task, pythons):
        if outcome.answer is not None:
            met.append(dataclasses.replace(outcome.python, environment=outcome.answer))
        else:
            complaints.append(f"{outcome.complaint}; left out")
    return tuple(met), tuple(complaints)


def run_side_by_side(
    task: Task[T],
    pythons: Sequence[Python],
    ceiling_s: float = math.inf,
    told: Told = lambda *_: None,
) -> tuple[TaskOutcome[T], ...]:
    """Do one task on several interpreters, which take turns run by run.

    Parameters
    ----------
    task : Task
        What to do.
    pythons : sequence of Python
        At least one.
    ceiling_s : float
        Time limit of each, without the turns of the others.
    told : callable
        Called between the runs with the interpreter, the next step, and the common progress.

    Returns
    -------
    tuple of TaskOutcome
        In the order of the Pythons.

    Raises
    ------
    KeyboardInterrupt
        On Ctrl-C, after all workers have been ended.
    """
    workers = [TaskWorker(one, task, ceiling_s) for one in pythons]
    with selectors.DefaultSelector() as selector:
        try:
            for worker in workers:
                worker.start()
                for descriptor, read in worker.sources():
                    selector.register(descriptor, selectors.EVENT_READ, (worker, read))
            turn = 0
            while any(worker.state != "ended" for worker in workers):
                turn = _grant(workers, turn, told)
                _listen(selector, workers)
        finally:
            dismiss(workers)
    return tuple(worker.outcome() for worker in workers)


def _listen(selector: selectors.BaseSelector, workers: list[TaskWorker[T]]) -> None:
    """Read messages until something has happened, or a worker's time is over."""
    for key, _ in selector.select(min(worker.wait_s() for worker in workers)):
        read: Callable[[], bool] = key.data[1]
        if not read():
            selector.unregister(key.fd)
    for worker in workers:
        worker.look()
    for key in [*selector.get_map().values()]:
        if key.data[0].state == "ended":  # its descriptors are closed, and may be reused
            selector.unregister(key.fd)


def _grant(workers: list[TaskWorker[T]], turn: int, told: Told) -> int:
    """Give the turn to the next waiting worker, if none is busy; return whose turn comes after that."""
    if any(worker.state not in ("waiting", "ended") for worker in workers):
        return turn
    for index in (*range(turn, len(workers)), *range(turn)):
        worker = workers[index]
        if worker.state == "waiting":
            share = sum(1.0 if one.state == "ended" else one.share for one in workers) / len(workers)
            told(worker.python, worker.label, share)
            worker.go_on()
            turn = (index + 1) % len(workers)
            break
    return turn
