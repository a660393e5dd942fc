"""The public face is a contract: names, commands, formats and exit statuses are as they were saved.

tests/support/contract.py says what that is, and saves it anew when it is changed on purpose.
"""

from __future__ import annotations

import gzip
import json

import contract
import pytest

from gilprobe.cli import main

pytestmark = pytest.mark.plain_python


def saved(name):
    return json.loads((contract.FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def as_json(value):
    return json.loads(json.dumps(value))


FACE, FORMATS, STATUSES = saved("face"), saved("formats"), saved("statuses")


def test_commands_take_the_same_arguments():
    assert as_json(contract.commands()) == FACE["commands"]


@pytest.mark.parametrize("command", FACE["commands"])
def test_help_shows_every_argument(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert main([*([command] if command else []), "--help"]) == 0
    shown = capsys.readouterr().out
    for argument, known in FACE["commands"][command].items():
        if command != "record" or argument.startswith("-"):  # the rest is the program's own, told in one line
            assert all(option in shown for option in argument.split()), argument
            assert known["metavar"] is None or str(known["metavar"]) in shown


def test_documented_modules_offer_the_same_names():
    assert as_json(contract.public_names()) == FACE["names"]


def test_the_plugin_of_pytest_offers_the_same():
    assert as_json(contract.plugin()) == FACE["plugin"]


@pytest.mark.parametrize("command", FORMATS)
def test_json_has_the_same_keys(command):
    was, now = FORMATS[command], contract.keys(contract.written(contract.WRITES_JSON[command]))
    for path in was.keys() & now.keys():
        # only where a look fell into a wait, or saw a call
        assert set(now[path]) ^ set(was[path]) <= {"holder_stack", "callee"}, path
    # a list may be empty in one run, of warnings for instance; all else must be there
    assert {path for path in was.keys() ^ now.keys() if "[]" not in path} == set()


def test_calls_end_with_the_same_status():
    assert contract.statuses() == STATUSES


@pytest.mark.parametrize("kind", contract.EXPORTS)
def test_a_recording_made_before_reads_the_same(kind):
    with gzip.open(contract.FOLDER / f"{kind}.gz") as file:
        assert contract.exported(kind) == json.load(file)
