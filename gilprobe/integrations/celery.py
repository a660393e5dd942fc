"""Celery: one line beside the application, ``gilprobe.integrations.celery.instrument()``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilprobe.integrations.figures import needed, running
from gilprobe.tracing.labelling import label

if TYPE_CHECKING:
    from typing import Any

    from gilprobe.tracing.monitoring import Monitor

_tasks: dict[str, label] = {}


def instrument(monitor: Monitor | None = None) -> None:
    """Label what a worker does by the task's name, in each of its processes or threads.

    Parameters
    ----------
    monitor : Monitor, optional
        Started in each worker, if it does not run. Default: one that all integrations share.
    """
    signals = needed("celery.signals", "celery")

    def started(**_signal: Any) -> None:
        running(monitor)

    def begin(task_id: str, task: Any, **_signal: Any) -> None:
        running(monitor)
        _tasks[task_id] = label(task.name)
        _tasks[task_id].__enter__()

    def end(task_id: str, **_signal: Any) -> None:
        if (entered := _tasks.pop(task_id, None)) is not None:
            entered.__exit__(None, None, None)

    # weak=False: nobody else keeps these functions
    signals.worker_process_init.connect(started, weak=False)
    signals.task_prerun.connect(begin, weak=False)
    signals.task_postrun.connect(end, weak=False)
