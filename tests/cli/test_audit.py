"""`gilprobe audit`: what a statement does, whatever it does to its process."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

import gilprobe
from gilprobe.cli import main
from gilprobe.model.audit_result import AuditSet

pytestmark = pytest.mark.plain_python

TRACED = gilprobe.capabilities().tracer == "exact"
needs_tracer = pytest.mark.skipif(not TRACED, reason="no tracer here")
QUICK = ["audit", "--quick", "--repeat", "2", "--threads", "1"]


@needs_tracer
def test_statements_are_audited_shown_and_saved(tmp_path, capsys):
    lines = tmp_path / "statements.txt"
    lines.write_text("# a comment\n\n  json.dumps(data)\n")
    target = tmp_path / "audits.json"
    command = [*QUICK, "time.sleep(0.01)", "--file", str(lines), "--json", str(target)]
    assert main([*command, "--setup", "import json, time; data = list(range(3000))"]) == 0
    shown = capsys.readouterr().out
    assert shown.count("json.dumps(data)") == 2, "on its own, and in the table of both"
    audits = AuditSet.load(target).audits
    # of a call on a busy machine, some is the wait for a core: then it "releases 85% of the call"
    assert [(audit.name, audit.verdict.split()[0]) for audit in audits] == [
        ("time.sleep(0.01)", "releases"),
        ("json.dumps(data)", "holds"),
    ]
    assert audits[1].holds.longest.filename.endswith(("encoder.py", "__init__.py", "<statement>", ""))


@needs_tracer
def test_a_share_that_is_too_small_is_an_exit_status(capsys):
    assert main([*QUICK, "sum(range(1000))", "--fail-under", "0.9", "--json", "-"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["audits"][0]["released_fraction"] == 0


@pytest.mark.skipif(TRACED, reason="the GIL can be traced here")
def test_a_share_that_nobody_can_tell_is_not_supported(capsys):
    assert main([*QUICK, "sum(range(1000))", "--fail-under", "0.9"]) == 3
    assert "--fail-under" in capsys.readouterr().err


HOSTILE = [
    ("raise KeyError('x')", "", "KeyError: 'x' (<statement>:1, in statement)"),
    ("1", "raise OSError('no data')", "OSError: no data (<setup>:1, in <module>)"),
    ("raise SystemExit(3)", "", "SystemExit: 3"),
    ("os.kill(os.getpid(), 11)", "import os", "the statement failed: its process was killed by SIGSEGV"),
    ("os.fork()", "import os", "a statement must not return in a child that it forks"),
]


def test_what_ends_a_statement_is_told_and_the_others_go_on(capsys, tmp_path):
    """One process each: a statement that dies costs nothing but itself."""
    for source, setup, said in HOSTILE:
        assert main([*QUICK, source, "--setup", setup]) == 1
        told = capsys.readouterr()
        assert told.out == ""
        (line,) = [line for line in told.err.splitlines() if source[:20] in line or said in line]
        assert line.startswith(f"gilprobe: {source}: {said}"), told.err


def test_a_statement_that_hangs_is_cut(capsys):
    assert main([*QUICK, "time.sleep(600)", "--setup", "import time", "--limit", "100ms"]) == 1
    assert "the statement was stopped after its limit of 0.1 s" in capsys.readouterr().err


def test_what_a_statement_does_to_its_process_is_told(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    statement = (
        "os.chdir('/'); print('hello \\x1b[2J'); time.sleep(0.001)\n"
        "if threading.active_count() < 3:\n"
        "    threading.Thread(target=time.sleep, args=(600,), name='left', daemon=True).start()"
    )
    assert main([*QUICK, statement, "--setup", "import os, time, threading"]) == 0
    told = capsys.readouterr()
    assert "it changes the current directory (to /)" in told.out
    assert "threads that it started outlive it: left" in told.out
    assert "printed: hello \\x1b[2J" in told.err
    assert Path.cwd() == tmp_path


def test_a_module_of_the_current_folder_can_be_audited(capsys, monkeypatch, tmp_path):
    (tmp_path / "mine_to_audit.py").write_text("def work():\n    return sum(range(1000))\n")
    monkeypatch.chdir(tmp_path)
    assert main([*QUICK, "mine_to_audit.work()", "--setup", "import mine_to_audit"]) == 0


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        ([], "audit needs at least one STATEMENT, got none"),
        (["x ="], "a statement must be Python code, got 'x ='"),
        ([" "], "a statement to audit must not be empty"),
        (["1", "--setup", "("], "--setup must be Python code"),
        (["1", "--threads", "x"], "--threads must be integers separated by commas"),
        (["1", "--threads", "0"], "threads must be between 1 and 1024, got 0"),
        (["1", "--repeat", "1"], "repeat must be between 2 and 1000, got 1"),
        (["1", "--fail-under", "1.5"], "--fail-under must be between 0 and 1, got 1.5"),
        (["1", "--fail-under", "nan"], "--fail-under must be between 0 and 1, got nan"),
        (["1", "--limit", "soon"], "--limit must be a time above 0"),
        (["1", "--json", "/no/such/folder/x.json"], "--json must be a writable file"),
        (["--file", "/no/such/file"], "No such file or directory"),
    ],
)
def test_bad_input_is_one_line_and_status_2(arguments, rule, capsys):
    assert main(["audit", *arguments]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert rule in told.err
    assert told.err.count("\n") == 1


def test_help_tells_of_the_command(capsys):
    assert main(["audit", "--help"]) == 0
    assert "--fail-under" in capsys.readouterr().out


@pytest.mark.plain_python
def test_a_list_of_statements_is_a_file_and_not_the_output(tmp_path, capsys):
    os.mkfifo(tmp_path / "pipe")
    for name in ("/dev/zero", str(tmp_path / "pipe")):
        assert main(["audit", "--file", name]) == 2
        assert f"--file must be a regular file, got {name!r}" in capsys.readouterr().err
    (tmp_path / "list").write_text("pass\n")
    assert main(["audit", "--file", str(tmp_path / "list"), "--json", str(tmp_path / "list")]) == 2
    assert "--json must not be a file that is read" in capsys.readouterr().err
    assert (tmp_path / "list").read_text() == "pass\n"
