"""``gilprobe merge``, and ``gilprobe report`` of a folder: one report of many recordings."""

from __future__ import annotations

import json
import stat

import pytest
from hostile_names import HOSTILE

from gilprobe.cli import main
from gilprobe.model.traced_process import TracedProcess
from gilprobe.report import Report
from gilprobe.tracing import loading, merging

pytestmark = pytest.mark.plain_python


@pytest.fixture
def recorded(report, tmp_path, monkeypatch):
    """Return a function that makes a recording, which is read from memory."""
    made = {}

    def load(path, *, timeline):
        return made.get(str(path)) or loading.load(path, timeline=timeline)

    monkeypatch.setattr(merging, "load", load)

    def make(name, pid, **changes):
        (tmp_path / name).touch()
        options = {"argv": ("app.py",), "started_unix_ns": 10**18, "host": "one"} | changes
        made[str(tmp_path / name)] = TracedProcess(name, report, pid=pid, **options)
        return str(tmp_path / name)

    return make


@pytest.fixture
def folder(recorded, tmp_path):
    for pid in (3, 4, 5):
        recorded(f"{pid}.gilprobe", pid, host="two" if pid == 5 else "one")
    return tmp_path


def test_merge_writes_a_report_that_is_read_like_any(folder, capsys):
    out = folder / "all.json"
    assert main(["merge", str(folder), "-o", str(out)]) == 0
    shown = capsys.readouterr()
    assert shown.out == f"{out} has 3 processes of 2 hosts; to show it: gilprobe report {out}\n"
    assert "times of two hosts can't be compared" in shown.err
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert len(Report.load(out).processes) == 3
    assert json.loads(out.read_text())["verdict"]["by"] == "call"
    assert main(["report", str(out)]) == 0
    assert "3 processes on 2 hosts" in capsys.readouterr().out


def test_merge_writes_to_standard_output(folder, capsys):
    assert main(["merge", str(folder / "*.gilprobe"), "-o", "-"]) == 0
    assert len(json.loads(capsys.readouterr().out)["processes"]) == 3


def test_report_of_a_folder_tells_all_and_the_process_that_suffered_most(folder, capsys):
    assert main(["report", str(folder)]) == 0
    shown = capsys.readouterr().out
    assert "Threads waited most in process 3: app.py on one:" in shown
    assert "Traced 3 s in 3 processes together" in shown
    assert "What made threads wait, by call" in shown
    assert "mostly behind" in shown


@pytest.mark.parametrize("kind", ["html", "json", "csv", "folded", "speedscope"])
def test_a_merged_report_is_written_in_each_form(folder, kind):
    out = folder / "out"
    assert main(["report", str(folder), f"--{kind}", str(out)]) == 0
    text = out.read_text()
    assert text
    if kind == "html":
        assert "3 processes together" in text
        assert "process 3: app.py" in text


def test_a_merged_report_has_no_timeline(folder, capsys):
    assert main(["report", str(folder), "--perfetto", "-"]) == 2
    assert "a merged report has none" in capsys.readouterr().err


def test_many_files_become_one_report(recorded, capsys):
    names = [recorded(f"{pid}.gilprobe", pid) for pid in range(1, 26)]
    assert main(["report", *names, "--json", "-"]) == 0
    assert len(json.loads(capsys.readouterr().out)["processes"]) == 25


def test_a_damaged_file_among_many_is_named(folder, capsys):
    (folder / "bad.gilprobe").write_bytes(b"nonsense")
    assert main(["merge", str(folder), "-o", str(folder / "all.json")]) == 0
    assert "bad.gilprobe" in capsys.readouterr().err
    assert len(Report.load(folder / "all.json").processes) == 3


def test_nothing_readable_is_an_error_of_one_line(tmp_path, capsys):
    (tmp_path / "bad.gilprobe").write_bytes(b"nonsense")
    for names in (["bad.gilprobe"], ["."], ["none*"], ["none"]):
        assert main(["merge", *(str(tmp_path / name) for name in names), "-o", str(tmp_path / "o")]) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1
    assert not (tmp_path / "o").exists()


def test_no_input_is_overwritten(folder, capsys):
    assert main(["merge", str(folder), "-o", str(folder / "3.gilprobe")]) == 2
    assert main(["report", str(folder), "--json", str(folder / "3.gilprobe")]) == 2
    assert (folder / "3.gilprobe").read_bytes() == b""


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_foreign_names_do_no_harm(recorded, tmp_path, capsys, name):
    recorded("1.gilprobe", 1, host=name, argv=(name,))
    recorded("2.gilprobe", 2)
    assert main(["report", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert not {"\x1b", "\0", "\u202e", "\r"} & set(shown)
