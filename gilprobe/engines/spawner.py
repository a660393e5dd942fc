"""The process that starts a team's processes with :mod:`multiprocessing`, and watches them.

They are not children of the measured program, since there multiprocessing would fork among the program's
threads, import its ``__main__`` again, and leave a fork server behind. This process has one thread, a
``__main__`` of one line, and the work loaded, like a small program.

It ends all its processes when its standard input is closed, by the owner or by its end.
"""

from __future__ import annotations

import multiprocessing
import signal
import sys
import time
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, cast

from gilprobe.engines import team_worker

if TYPE_CHECKING:
    from multiprocessing.context import ForkContext, ForkServerContext, SpawnContext
    from multiprocessing.process import BaseProcess

    from gilprobe.engines.team_worker import Ends, Spec

    Context = ForkContext | ForkServerContext | SpawnContext

_GOODBYE_S = 1.0


def main(method: str, workers: int, work: Spec, ends: Ends) -> None:
    """Start the workers; return when the owner has ended them."""
    reports = ends[2]
    children: dict[int, BaseProcess] = {}
    try:
        context: Context = multiprocessing.get_context(method)  # type: ignore[assignment]
        _prepare(context, method, work, reports)
        connections = _connections(ends)
        for index in range(workers):
            child = context.Process(target=_work, args=(index, time.perf_counter_ns(), work, connections))
            child.start()
            children[index] = child
        _look_after(children, reports)
    except Exception as error:
        team_worker.report_failure(reports, -1, error)
    finally:
        _see_off(list(children.values()))


def _prepare(context: Context, method: str, work: Spec, reports: int) -> None:
    """Load the work for forks, and start what is started once, such as the fork server."""
    if method == "fork":
        with suppress(Exception):  # the workers will report it
            __import__(work[0])
        return
    context.set_forkserver_preload([__name__, work[0]])
    begun_ns = time.perf_counter_ns()
    first = context.Process(target=_nothing)
    first.start()
    first.join()
    team_worker.report(reports, team_worker.ONCE, -1, time.perf_counter_ns() - begun_ns)


def _nothing() -> None:
    """Do nothing, in the very first process."""


def _connections(ends: Ends) -> list[Connection]:
    """Wrap the descriptors so that multiprocessing passes them to any child."""
    orders, gate, reports, flag = ends
    return [Connection(orders), Connection(gate), Connection(reports), Connection(flag)]


def _work(index: int, begun_ns: int, work: Spec, connections: list[Connection]) -> None:
    """Be a worker in its own process."""
    orders, gate, reports, flag = (connection.fileno() for connection in connections)
    team_worker.serve(index, begun_ns, work, (orders, gate, reports, flag))


def _look_after(children: dict[int, BaseProcess], reports: int) -> None:
    """Report each worker that ends; return when the owner has closed our input."""
    owner = sys.stdin.fileno()
    sentinels = {child.sentinel: index for index, child in children.items()}
    while True:
        for ended in wait([owner, *sentinels]):
            if ended == owner:
                return
            index = sentinels.pop(cast("int", ended))
            children[index].join()
            team_worker.report(reports, team_worker.DIED, index, text=_end_of(children[index].exitcode))


def _end_of(status: int | None) -> str:
    if status is not None and status < 0:
        name = str(-status)
        with suppress(ValueError):
            name = signal.Signals(-status).name
        return f"was killed by signal {name}"
    return f"ended with status {status}"


def _see_off(children: list[BaseProcess]) -> None:
    deadline = time.monotonic() + _GOODBYE_S
    for child in children:
        child.join(max(0.0, deadline - time.monotonic()))
    for child in children:
        child.kill()
    for child in children:
        child.join(_GOODBYE_S)
