"""Run scenarios on the machines of a Dask cluster: for ``gilprobe run --on dask://HOST:PORT``.

Each machine measures as it would by ``gilprobe run`` there, in a process that a worker starts.
"""

from __future__ import annotations

import asyncio
import os
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from distributed import Client
from distributed.comm import connect

from gilprobe import __version__
from gilprobe.errors import FormatError, GilProbeError, InvalidValueError
from gilprobe.measuring import host
from gilprobe.model import codec
from gilprobe.model.environment import Environment
from gilprobe.results import ScenarioResult
from gilprobe.scenarios import own_process
from gilprobe.scenarios.own_process import ScenarioOrder
from gilprobe.workers.launch import TaskOutcome
from gilprobe.workers.pythons import Python, this_python

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_ADDRESS = re.compile(r"dask://((?:\[[0-9A-Fa-f:.%]+\]|[^/:\[\]\s]+):[0-9]{1,5})")
_CONNECT_S = 30
_LONGEST_REASON = 400


@dataclass(frozen=True, slots=True)
class Machine:
    """An interpreter of a host on which workers run.

    Attributes
    ----------
    address : str
        Of one of its workers, which measures for all.
    python : Python
        The interpreter, called by its host, and by its path too where a host has several.
    turn : int
        Machines with the same number measure at a time: those of one host take turns.
    """

    address: str
    python: Python
    turn: int


class Cluster:
    """The machines of a cluster, each once, whatever the number of its workers.

    Parameters
    ----------
    address : str
        Of the scheduler: ``dask://HOST:PORT``.

    Raises
    ------
    InvalidValueError
        If the address is none, nobody answers there, or no worker has this gilprobe.

    Attributes
    ----------
    machines : tuple of Machine
        Ordered by name.
    left_out : tuple of str
        A line for each worker that can't measure, with the reason.
    """

    def __init__(self, address: str) -> None:
        found = _ADDRESS.fullmatch(address)
        if found is None:
            raise InvalidValueError(f"--on must be dask://HOST:PORT, got {ascii(address)[:80]}")
        try:
            asyncio.run(_greet(f"tcp://{found[1]}"))
            self._client = Client(f"tcp://{found[1]}", timeout=_CONNECT_S, set_as_default=False)
        except (OSError, ValueError) as error:
            raise InvalidValueError(
                f"--on must be the address of Dask's scheduler, none answers at {found[1]}: {_told(error)}"
            ) from None
        self.machines, self.left_out = machines_of(self._client.run(_met, on_error="return"))
        if not self.machines:
            self.close()
            reason = f": {self.left_out[0]}" if self.left_out else ""
            raise InvalidValueError(f"--on must be a cluster with workers that have gilprobe{reason}")

    def close(self) -> None:
        """Leave the cluster."""
        self._client.close()

    def run_side_by_side(
        self,
        order: ScenarioOrder,
        _pythons: tuple[Python, ...],
        ceiling_s: float,
        told: Callable[[Python, str, float], None],
    ) -> tuple[TaskOutcome[ScenarioResult], ...]:
        """Run one scenario on all machines; as :func:`gilprobe.scenarios.own_process.run_side_by_side`."""
        answers: dict[str, Any] = {}
        turns = sorted({machine.turn for machine in self.machines})
        for turn in turns:
            now = [machine for machine in self.machines if machine.turn == turn]
            told(now[0].python, "measures", turn / len(turns))
            answers |= self._client.run(
                _measured,
                codec.encode(order),
                ceiling_s,
                workers=[machine.address for machine in now],
                on_error="return",
            )
        return tuple(_outcome(machine, answers.get(machine.address), order) for machine in self.machines)


async def _greet(address: str) -> None:
    """Raise OSError unless what answers speaks as Dask does: Client waits for that without a limit."""
    comm = await asyncio.wait_for(connect(address), _CONNECT_S)
    await comm.close()


def machines_of(answers: Mapping[str, Any]) -> tuple[tuple[Machine, ...], tuple[str, ...]]:
    """Return the machines behind what each worker told of itself, and why others are left out."""
    found: dict[tuple[str, str], tuple[str, Environment]] = {}
    left_out = []
    for address, answer in sorted(answers.items()):
        try:
            name, executable, environment = _read(answer)
        except GilProbeError as error:
            left_out.append(f"worker {address}: {error}; left out")
        else:
            found.setdefault((name, executable), (address, environment))
    hosts = [name for name, _ in found]
    machines = [
        Machine(
            address,
            Python(executable, name if hosts.count(name) == 1 else f"{name} {executable}", (), environment),
            hosts[:number].count(name),
        )
        for number, ((name, executable), (address, environment)) in enumerate(sorted(found.items()))
    ]
    return tuple(machines), tuple(left_out)


def _read(answer: Any) -> tuple[str, str, Environment]:
    if isinstance(answer, BaseException):
        raise FormatError(_told(answer))
    environment = codec.decode(Environment, answer["environment"], "environment")
    if environment.gilprobe != __version__:
        raise FormatError(f"has gilprobe {environment.gilprobe}, this is {__version__}")
    return str(answer["host"]), str(answer["executable"]), environment


def _outcome(machine: Machine, answer: Any, order: ScenarioOrder) -> TaskOutcome[ScenarioResult]:
    result, complaint = None, f"{order.scenario}: the worker left the cluster"
    if isinstance(answer, BaseException):
        complaint = f"{order.scenario}: {_told(answer)}"
    elif answer is not None:
        complaint = str(answer["complaint"])
        try:
            if answer["result"]:
                found = codec.decode(ScenarioResult, answer["result"], "result")
                result = replace(found, machine=machine.python.named)
        except FormatError as error:
            complaint = f"{order.scenario}: {error}"
    return TaskOutcome(machine.python, result, complaint, "")


def _told(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:_LONGEST_REASON]


# What follows runs on workers.


def _met() -> dict[str, Any]:
    return {
        "host": os.uname().nodename,
        "executable": this_python().path,
        "environment": codec.encode(host.read_environment()),
    }


async def _measured(order: object, ceiling_s: float) -> dict[str, Any]:
    """Measure in a process of its own, while the worker's event loop goes on."""
    wanted = codec.decode(ScenarioOrder, order, "order")
    (outcome,) = await asyncio.to_thread(
        own_process.run_side_by_side, wanted, [this_python()], ceiling_s, lambda *_: None
    )
    answer = None if outcome.answer is None else codec.encode(outcome.answer)
    return {"result": answer, "complaint": outcome.complaint}
