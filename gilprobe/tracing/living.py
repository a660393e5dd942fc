"""The report of a trace of this process."""

from __future__ import annotations

from gilprobe._native.tracer import LABEL_ENDED
from gilprobe.model.environment import Environment
from gilprobe.tracing import thread_names
from gilprobe.tracing.assembling import TracePart, assemble
from gilprobe.tracing.places import Naming

TYPE_CHECKING = False  # as in gilprobe/__init__.py: a recorded process loads no typing
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from gilprobe.report import Report


def assemble_living(
    parts: Iterable[tuple[bytes, bytes]] | None,
    locks: bytes | None,
    environment: Mapping[str, Any],
    bystanders: Iterable[int],
    warnings: Sequence[str],
    names: Mapping[int, str],
) -> Report:
    """Return the report of a trace of this process.

    Parameters
    ----------
    parts : iterable of (bytes, bytes) or None
        What ``_native.tracer.Session.read`` returned; None without a GIL.
    locks : bytes or None
        What ``_native.tracer.LockSession.read`` returned; None if locks are not traced.
    environment : mapping
        The fields of :class:`~gilprobe.model.environment.Environment`.
    bystanders : iterable of int
        Native identifiers of the threads that were alive when the trace began.
    warnings : sequence of str
        Doubts to add to those in the parts.
    names : mapping of int to str
        Of threads that were alive when the trace ended, by native identifier.
    """
    alive = {**names, **thread_names.alive()}
    here = Environment(**environment)
    others = {native_id: alive[native_id] for native_id in bystanders if native_id in alive}

    def who(native_id: int, label: int, os_name: str, ended: bool) -> Naming:
        return _living(native_id, label, os_name, ended, alive)

    if parts is None and locks is not None:
        from gilprobe.tracing.lock_part import LockPart

        return LockPart(locks).alone(who, here, others, tuple(warnings))
    report = assemble(
        [TracePart.decode(*read) for read in parts or ()],
        lambda account: who(account["native_id"], account["label"], account["os_name"], account["ended"]),
        here,
        bystanders=others,
        warnings=warnings,
    )
    if locks is None:
        return report
    from gilprobe.tracing.lock_part import LockPart

    return LockPart(locks).add_to(report, who)


def _living(native_id: int, label: int, os_name: str, ended: bool, alive: Mapping[int, str]) -> Naming:
    """Return a thread's last name in :mod:`threading`, else the operating system's."""
    name = thread_names.labelled(label)
    if label < LABEL_ENDED and not ended:
        name = alive.get(native_id, name)
    return Naming(name or os_name or f"thread {native_id}", bool(name))
