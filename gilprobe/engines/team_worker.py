"""The worker, in any engine: load the work, report, and do it each time the gate opens.

Owner and workers share three pipes and a byte of memory, by file descriptors. This module must not load
anything else of gilprobe: a sub-interpreter gets only its code, and imports here count as every worker's
start-up.
"""

from __future__ import annotations

import os
import struct
import sys
import time
from _thread import get_native_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Spec = tuple[str, str, dict[str, Any], int | None]
    """Module, qualified name, keyword arguments, chunk."""

    Ends = tuple[int, int, int, int]
    """A worker's file descriptors: orders and gate (to read), reports (to write), the flag (to map)."""

REPORT = struct.Struct("<Bi4qH")
"""Kind, index of the worker, four numbers, length of the following text."""

READY, ARMED, DONE, FAILED, DIED, ONCE = range(1, 7)

ORDER = struct.Struct("<q")
LEAVE = -1
"""The order to leave; others are numbers of operations."""

OPEN, SHUT = b"\1", b"\0"
"""Messages at the gate: start, or end of the team."""

_TEXT_BYTES = 1000  # a report must fit into PIPE_BUF, so that reports of several workers never mix


def serve(index: int, begun_ns: int, work: Spec, ends: Ends) -> None:
    """Be a worker until the order to leave; errors are reported, never raised.

    Parameters
    ----------
    index : int
        The worker's index.
    begun_ns : int
        When the owner began to start it, by ``time.perf_counter_ns``, a clock common to all processes.
    work : tuple
        The work.
    ends : tuple of int
        The channels to the owner.
    """
    orders, gate, reports, flag = ends
    try:
        do = _loaded(work, flag)
        report(reports, READY, index, begun_ns, time.perf_counter_ns(), os.getpid())
        while (operations := _next_order(orders)) != LEAVE:
            report(reports, ARMED, index)
            if os.read(gate, 1) != OPEN:
                return
            start_ns = time.perf_counter_ns()
            cpu_ns = time.thread_time_ns()
            do(operations)
            end_ns = time.perf_counter_ns()
            cpu_ns = time.thread_time_ns() - cpu_ns
            report(reports, DONE, index, start_ns, end_ns, cpu_ns, get_native_id())
    except BaseException as error:  # the owner raises it
        report_failure(reports, index, error)


def report(reports: int, kind: int, index: int, *numbers: int, text: str = "") -> None:
    """Report to the owner, if it still listens."""
    encoded = text.encode("utf-8", "backslashreplace")[:_TEXT_BYTES]
    padded = (*numbers, 0, 0, 0, 0)[:4]
    try:  # noqa: SIM105 - importing contextlib costs too much
        os.write(reports, REPORT.pack(kind, index, *padded, len(encoded)) + encoded)
    except OSError:
        pass


def report_failure(reports: int, index: int, error: BaseException) -> None:
    """Report a worker's error, and where it was raised."""
    try:
        text = f"{type(error).__name__}: {error}"
    except Exception:
        text = type(error).__name__
    traceback, place = error.__traceback__, ""
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if not code.co_filename.startswith("<frozen "):  # the import system's own
            place = f" ({os.path.basename(code.co_filename)}:{traceback.tb_lineno})"  # noqa: PTH119
        traceback = traceback.tb_next
    report(reports, FAILED, index, text=text[: _TEXT_BYTES // 2] + place)


def _next_order(orders: int) -> int:
    order = os.read(orders, ORDER.size)
    # Nothing: the owner is gone.
    return int(ORDER.unpack(order)[0]) if len(order) == ORDER.size else LEAVE


def _loaded(work: Spec, flag: int) -> Callable[[int], object]:
    module, name, arguments, chunk = work
    __import__(module)
    found: Any = sys.modules[module]
    for part in name.split("."):
        found = getattr(found, part)
    function: Callable[..., object] = found
    if chunk is None:
        return lambda operations: function(operations, **arguments)
    import mmap

    # Memory, not a pipe: reading it does not release the GIL.
    off = mmap.mmap(flag, 1, prot=mmap.PROT_READ)
    step = chunk

    def do(operations: int) -> None:
        while operations > 0 and not off[0]:
            function(min(operations, step), **arguments)
            operations -= step

    return do
