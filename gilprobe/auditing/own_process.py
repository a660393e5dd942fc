"""Audit a statement in its own process: the order to a worker, and its work."""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from gilprobe.auditing import audit_statement, settings_for
from gilprobe.auditing.statements import Statement
from gilprobe.model import codec
from gilprobe.model.audit_result import AuditResult
from gilprobe.workers.protocol import Task

if TYPE_CHECKING:
    from gilprobe.measuring.measure import Progress
    from gilprobe.workers.launch import TaskOutcome
    from gilprobe.workers.task_worker import Turns


@dataclass(frozen=True, slots=True)
class AuditOrder:
    """What to audit, and how: as for :func:`gilprobe.audit`."""

    statement: Statement
    threads: tuple[int, ...]
    repeat: int | None
    quick: bool


def audit_apart(
    order: AuditOrder, limit_s: float, progress: Progress = lambda _label, _share: None
) -> TaskOutcome[AuditResult]:
    """Audit a statement in a worker, which is stopped after `limit_s` seconds."""
    from gilprobe.workers import turns
    from gilprobe.workers.pythons import this_python

    read = partial(codec.decode, AuditResult, where="result")
    task = Task(f"{__name__}:audited", order, read, "the statement", errors_are_whole=True)
    (outcome,) = turns.run_side_by_side(
        task, [this_python()], limit_s, lambda _who, label, share: progress(label, share)
    )
    return outcome


def audited(order: object, turns: Turns) -> AuditResult:
    """Audit a statement; the work of :func:`audit_apart`."""
    wanted = codec.decode(AuditOrder, order, "order")
    settings = settings_for(wanted.quick, wanted.repeat, None)
    turns.wait("running the set-up", 0.0)
    sys.path.append(str(Path.cwd()))  # last, so that the user's folder hides no installed module
    return audit_statement(
        wanted.statement,
        threads=wanted.threads,
        settings=dataclasses.replace(settings, cpu_times=turns.cpu_times),
        progress=turns.wait,
    )
