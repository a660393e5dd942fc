"""`gilprobe run --on`: scenarios on the machines of a real cluster of Dask, each machine once."""

from __future__ import annotations

import os
import socket
import sys
from dataclasses import replace

import pytest

pytest.importorskip("distributed")

from dask_clusters import local_cluster

from gilprobe import __version__
from gilprobe.cli import main
from gilprobe.integrations import dask_machines
from gilprobe.integrations.dask_machines import machines_of
from gilprobe.measuring import host
from gilprobe.model import codec
from gilprobe.results import ResultSet
from gilprobe.scenarios.own_process import ScenarioOrder

pytestmark = [
    # the cluster's own: sockets that it leaves to the collector
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.mark.slow
def test_a_machine_measures_once_however_many_workers_it_has(tmp_path, capsys):
    target = tmp_path / "results.json"
    with local_cluster(processes=True, threads=1) as made:
        address = made.scheduler_address.replace("tcp://", "dask://")
        command = ["run", "--on", address, "refcount-lifecycle", "--quick", "--threads", "1", "--no-html"]
        assert main([*command, "--json", str(target)]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].startswith("name ")
    assert shown[2].startswith(os.uname().nodename[:40])
    (result,) = ResultSet.load(target).scenarios
    assert result.id == "refcount-lifecycle"
    assert result.environment.gilprobe == __version__
    assert result.machine == os.uname().nodename


@pytest.mark.parametrize("listens", [False, True])
def test_an_address_where_nobody_answers_is_one_line(listens, capsys, monkeypatch):
    monkeypatch.setattr(dask_machines, "_CONNECT_S", 0.2)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        if listens:
            nobody.listen()
        assert main(["run", "--on", f"dask://127.0.0.1:{nobody.getsockname()[1]}", "python-loop"]) == 2
    told = capsys.readouterr().err.splitlines()[-1]
    assert told.startswith("gilprobe: error: --on must be the address of Dask's scheduler, none answers at ")


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "dask://127.0.0.1", "dask://a b:1", "dask://x:1/y"])
def test_an_address_has_a_host_and_a_port(address, capsys):
    assert main(["run", "--on", address, "python-loop"]) == 2
    assert "--on must be dask://HOST:PORT, got " in capsys.readouterr().err


def told_by(name, executable, **changes):
    environment = replace(host.read_environment(), **changes)
    return {"host": name, "executable": executable, "environment": codec.encode(environment)}


def test_each_interpreter_of_each_host_is_a_machine_and_those_of_one_host_take_turns():
    machines, left_out = machines_of(
        {
            "tcp://b:3": told_by("b", "/usr/bin/python3"),
            "tcp://a:1": told_by("a", "/usr/bin/python3"),
            "tcp://a:2": told_by("a", "/usr/bin/python3"),
            "tcp://a:9": told_by("a", "/opt/python3"),
        }
    )
    assert left_out == ()
    assert [(one.python.named, one.address, one.turn) for one in machines] == [
        ("a /opt/python3", "tcp://a:9", 0), ("a /usr/bin/python3", "tcp://a:1", 1), ("b", "tcp://b:3", 0),
    ]  # fmt: skip


def test_workers_that_cannot_measure_are_left_out_with_the_reason():
    machines, left_out = machines_of(
        {
            "tcp://a:1": told_by("a", sys.executable, gilprobe="0.0.1"),
            "tcp://b:1": ModuleNotFoundError("No module named\n'gilprobe'"),
            "tcp://c:1": told_by("c", sys.executable),
            "tcp://d:1": {**told_by("d", sys.executable), "environment": {"python": 3}},
        }
    )
    assert [one.python.named for one in machines] == ["c"]
    assert left_out[0] == f"worker tcp://a:1: has gilprobe 0.0.1, this is {__version__}; left out"
    assert left_out[1] == "worker tcp://b:1: ModuleNotFoundError: No module named 'gilprobe'; left out"
    assert left_out[2].startswith("worker tcp://d:1: environment")


def test_a_machine_without_an_answer_is_told_and_a_foreign_answer_refused():
    (machine,), _ = machines_of({"tcp://a:1": told_by("a", sys.executable)})
    order = ScenarioOrder("python-loop", "python-loop")
    for answer, complaint in (
        (None, "python-loop: the worker left the cluster"),
        (OSError("gone"), "python-loop: OSError: gone"),
        ({"result": None, "complaint": "python-loop: cut off"}, "python-loop: cut off"),
        ({"result": {"id": 3}, "complaint": ""}, "python-loop: result"),
    ):
        outcome = dask_machines._outcome(machine, answer, order)
        assert outcome.answer is None
        assert outcome.complaint.startswith(complaint)
