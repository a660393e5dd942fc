"""Audit the functions of a module, each in its own process."""

from __future__ import annotations

from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from gilprobe.auditing.generated import functions
from gilprobe.auditing.own_process import AuditOrder, audit_apart
from gilprobe.auditing.statements import Statement
from gilprobe.measuring import host
from gilprobe.model.audit_result import AuditResult, AuditSet, Unaudited

if TYPE_CHECKING:
    from gilprobe.measuring.measure import Progress


def audit_functions(
    module_name: str,
    threads: tuple[int, ...],
    *,
    repeat: int | None,
    quick: bool,
    limit_s: float,
    progress: Progress,
) -> AuditSet:
    """Audit a module; see :func:`gilprobe.audit_module`."""
    names = functions(module_name)
    audits: list[AuditResult] = []
    unaudited: list[Unaudited] = []
    with TemporaryDirectory(prefix="gilprobe-") as folder:
        for number, name in enumerate(names):
            called = f"{module_name}.{name}"
            progress(called, number / len(names))
            order = AuditOrder(_statement(module_name, name, folder), threads, repeat, quick)
            found = audit_apart(order, limit_s)
            if found.answer is not None:
                audits.append(found.answer)
            else:
                unaudited.append(Unaudited(called, found.complaint))
    progress("done", 1.0)
    environment = audits[0].environment if audits else host.read_environment()
    return AuditSet(environment, tuple(audits), tuple(unaudited))


def _statement(module_name: str, name: str, folder: str) -> Statement:
    setup = (
        f"import os; os.chdir({folder!r})\n"
        "from gilprobe.auditing.generated import ready\n"
        f"call = ready({module_name!r}, {name!r})"
    )
    return Statement("call()", setup, f"{module_name}.{name}")
