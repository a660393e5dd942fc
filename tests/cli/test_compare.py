"""`gilprobe compare` as a user meets it."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import stat
from pathlib import Path

import pytest

from gilprobe.cli import main
from gilprobe.results import ResultSet

pytestmark = pytest.mark.plain_python


@pytest.fixture
def saved(result, environment, tmp_path):
    """Return the names of two saved results, the second of a faster machine."""
    faster = dataclasses.replace(
        result,
        environment=dataclasses.replace(environment, cores=8),
        arms=tuple(
            dataclasses.replace(
                arm,
                median=2 * arm.median,
                low=2 * arm.low,
                high=2 * arm.high,
                samples=tuple(2 * x for x in arm.samples),
            )
            for arm in result.arms
        ),
    )
    paths = [tmp_path / "a.json", tmp_path / "b.json"]
    for path, one in zip(paths, (result, faster), strict=True):
        ResultSet(one.environment, (one,)).save(path)
    return [str(path) for path in paths]


def test_two_results_are_shown_side_by_side(saved, capsys):
    assert main(["compare", *saved]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    for part in ("unequal: usable cores 2 and 8", "2x", "no difference shown", "few samples", "Holm"):
        assert part in shown.out


def test_as_json_to_a_file_or_alone(saved, tmp_path, capsys):
    target = tmp_path / "c.json"
    assert main(["compare", *saved, "--json", str(target)]) == 0
    assert "no difference shown" in capsys.readouterr().out
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert main(["compare", *saved, "--json", "-"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document == json.loads(target.read_text())
    assert document["scenarios"][0]["arms"][0]["ratio"] == 2.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "must be a JSON file"),
        (b"[" * 100_000, "must be a JSON file"),
        (b"[]", "a result set must be an object"),
        (b'{"schema": 2}', "must have schema 1, got 2"),
        (b'{"schema": 1, "environment": {}, "scenarios": [], "more": 1}', "unknown key 'more'"),
    ],
)
def test_a_wrong_file_is_one_line_and_status_two(saved, capsys, text, message):
    Path(saved[0]).write_bytes(text)
    assert main(["compare", *saved]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert re.fullmatch(r"gilprobe: error: [^\n]+\n", shown.err)
    assert message in shown.err


def test_a_missing_file_and_an_unwritable_target_are_told(saved, tmp_path, capsys):
    assert main(["compare", saved[0], str(tmp_path / "none.json")]) == 2
    assert "No such file" in capsys.readouterr().err
    assert main(["compare", *saved, "--json", os.sep]) == 2
    assert "--json must be a file, got the directory" in capsys.readouterr().err


@pytest.mark.parametrize("which", [0, 1])
def test_what_endless_or_no_files_yield_is_refused_at_once(saved, tmp_path, capsys, which):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "twice").write_text('{"schema": 1, "schema": 1}')
    files = list(saved)
    for name, rule in (
        ("/dev/zero", "must be a regular file"),
        (str(tmp_path / "pipe"), "must be a regular file"),
        (str(tmp_path / "twice"), "the key 'schema' must come once in an object"),
    ):
        files[which] = name
        assert main(["compare", *files]) == 2
        shown = capsys.readouterr()
        assert re.fullmatch(r"gilprobe: error: [^\n]+\n", shown.err)
        assert rule in shown.err
        assert name in shown.err


@pytest.mark.parametrize("which", [0, 1])
def test_what_is_compared_is_not_the_output(saved, capsys, which):
    before = Path(saved[which]).read_bytes()
    assert main(["compare", *saved, "--json", saved[which]]) == 2
    assert "--json must not be a file that is read" in capsys.readouterr().err
    assert Path(saved[which]).read_bytes() == before
