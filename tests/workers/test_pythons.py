"""Interpreters that workers run with: found as a shell finds them, met, or left out with one line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from processes import gone, shell_program

import gilprobe
from gilprobe.workers import launch, turns
from gilprobe.workers.pythons import Python, find_pythons, this_python

pytestmark = pytest.mark.plain_python


@pytest.mark.parametrize(
    ("script", "complaint"),
    [
        ("exit 3", "ended with status 3, before it said hello; left out"),
        ("echo oops >&2; exit 1", "ended with status 1: oops, before it said hello; left out"),
        ("echo hello world", "is not a Python with gilprobe, it wrote b'hello world'; left out"),
        ("echo '{\"progress\": {}}'; sleep 600", "is not a Python with gilprobe, it wrote "),
        (
            'echo \'{"hello": {"gilprobe": "9.9"}}\'; sleep 600',
            f"has gilprobe 9.9, this is {gilprobe.__version__}; left out",
        ),
        (
            "echo \"ModuleNotFoundError: No module named 'gilprobe'\" >&2; exit 1",
            "has no gilprobe; install it there with `",
        ),
        (
            "echo \"ModuleNotFoundError: No module named 'gilprobe.workers'\" >&2; exit 1",
            f"has an older gilprobe than this one, {gilprobe.__version__}; left out",
        ),
        (
            "echo 'Unknown option: -P' >&2; exit 2",
            "is older than Python 3.11, which gilprobe needs; left out",
        ),
    ],
)
def test_what_is_no_interpreter_with_this_gilprobe_is_left_out_with_a_line(tmp_path, script, complaint):
    path = shell_program(tmp_path, "python9", script)
    met, complaints = turns.meet([Python(path, "python9"), this_python()])
    assert [one.path for one in met] == [sys.executable]
    (line,) = complaints
    assert line.startswith(f"python9: {complaint}")
    assert "\n" not in line


def test_an_interpreter_that_hangs_at_its_start_is_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(launch, "START_S", 0.3)
    path = shell_program(tmp_path, "python9", "trap '' INT; sleep 613.75")
    met, complaints = turns.meet([Python(path, "python9")])
    assert met == ()
    assert complaints == ("python9: did not say hello within 0.3 s; left out",)
    assert gone("613.75")


def test_a_program_that_can_not_be_started_is_left_out(tmp_path):
    path = shell_program(tmp_path, "python9", "")
    Path(path).write_bytes(b"\x7fELF")
    met, complaints = turns.meet([Python(path, "python9")])
    assert met == ()
    assert complaints == ("python9: can't be started: Exec format error; left out",)


def test_interpreters_are_found_as_a_shell_finds_them(tmp_path, monkeypatch):
    path = shell_program(tmp_path, "python9", "")
    link = tmp_path / "python10"
    link.symlink_to(path)
    monkeypatch.setenv("PATH", str(tmp_path))
    found, missing = find_pythons(["python9", "python77", path, str(link)])
    assert [one.path for one in found] == [sys.executable, path]
    assert missing == ("python77: no such program; left out",)
    assert find_pythons([""])[1] == ("'': no such program; left out",)
    found, _ = find_pythons(["python9", sys.executable])
    assert [one.path for one in found] == [path, sys.executable]
    assert found[1].flags == this_python().flags


def test_a_worker_is_started_as_this_interpreter_was(tmp_path):
    script = "import sys; from gilprobe.workers.pythons import this_python as t;print(*t().flags)"
    command = [sys.executable, "-W", "error::UserWarning", "-X", "dev", "-X", "mine=3", "-c", script]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    ran = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=tmp_path, env=environment, timeout=120
    )
    flags = ran.stdout.split()
    assert "-Werror::UserWarning" in flags
    assert "-X dev" in ran.stdout
    assert "-X mine=3" in ran.stdout
    assert flags.count("-P") == 1
