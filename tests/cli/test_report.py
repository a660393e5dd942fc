"""``gilprobe report``: what it shows, what it writes, and how it refuses."""

from __future__ import annotations

import csv
import dataclasses
import gzip
import json
import os
import re
import stat
import subprocess
import sys
from io import StringIO

import pytest
import trace_event_format
from hostile_names import HOSTILE
from made_up_timeline import simulated

from gilprobe.cli import main
from gilprobe.model.culprits import KINDS
from gilprobe.model.traced_process import TracedProcess
from gilprobe.report import Report, Site
from gilprobe.tracing import loading

pytestmark = pytest.mark.plain_python

EXPORTS = ("--html", "--perfetto", "--speedscope", "--folded", "--json", "--csv")
GILPROBE = [sys.executable, "-P", "-m", "gilprobe"]


@pytest.fixture
def saved(report, tmp_path):
    report.save(tmp_path / "r.json")
    return tmp_path / "r.json"


@pytest.fixture
def recorded(report, tmp_path, monkeypatch):
    """Return a function that makes a recording with a timeline; it is read from memory."""
    made = {}
    monkeypatch.setattr(loading, "load", lambda path: made[path.name])

    def make(name="app.gilprobe", pid=7, **changes):
        (tmp_path / name).touch()
        timeline = simulated(depth=2)
        options = {"timeline": timeline, "argv": ("app.py",), "started_unix_ns": 10**18} | changes
        made[name] = TracedProcess(name, report, pid=pid, **options)
        return str(tmp_path / name)

    return make


def test_the_report_is_shown_in_a_process_of_its_own(saved):
    ran = subprocess.run([*GILPROBE, "report", str(saved)], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "66% of all waiting was behind JSONEncoder.iterencode (lib/encoder.py:250)" in ran.stdout
    assert "CPython 3.13.0" in ran.stdout
    assert "a doubt about the trace" in ran.stdout


def test_every_export_is_written_whole_and_private(recorded, tmp_path, capsys):
    targets = {name: tmp_path / f"out{name}" for name in EXPORTS}
    arguments = [part for name, target in targets.items() for part in (name, str(target))]
    assert main(["report", recorded(), *arguments]) == 0
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == "gilprobe: app.gilprobe: a doubt about the trace\n"
    for target in targets.values():
        assert stat.S_IMODE(target.stat().st_mode) == 0o600
    trace_event_format.check(targets["--perfetto"].read_text())
    assert len(json.loads(targets["--speedscope"].read_text())["profiles"]) == 3 + 2 * 4
    assert targets["--folded"].read_text().endswith("encoder.py:250) 600000000\n")
    assert Report.load(targets["--json"]).held_ns == 900_000_000
    assert next(csv.reader(StringIO(targets["--csv"].read_text())))[:2] == ["pid", "kind"]
    assert {path.name for path in tmp_path.iterdir()} == {"app.gilprobe", *(f"out{name}" for name in EXPORTS)}


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ((), "JSONEncoder.iterencode (lib/encoder.py:250), thread worker 1"),
        (
            ("--by", "call", "--own", "/srv", "--own", "."),
            "JSONEncoder.iterencode (lib/encoder.py), thread worker 1",
        ),
        (("--by", "function"), "JSONEncoder.iterencode (lib/encoder.py)"),
        (("--by", "line"), "JSONEncoder.iterencode (lib/encoder.py:250)"),
        (("--by", "thread"), "thread worker 1"),
        (("--by", "module"), "encoder (lib/encoder.py)"),
    ],
)
def test_the_verdict_is_about_what_was_asked_for(saved, capsys, options, named):
    assert main(["report", str(saved), *options]) == 0
    assert f"\n66% of all waiting was behind {named}\n" in capsys.readouterr().out


def test_json_and_page_have_the_same_verdict(saved, capsys):
    assert main(["report", str(saved), "--json", "-", "--by", "function"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["verdict"] == {
        "by": "function",
        "waited_ns": 900_000_000,
        "looks": 0,
        "unshared_wait_ns": 0,
        "culprits": [
            {
                "thread": "", "function": "JSONEncoder.iterencode", "filename": "/lib/encoder.py", "line": 0,
                "called": "", "caused_ns": 590_000_000, "own_ns": 590_000_000, "share": 590 / 900,
            },
            {
                "thread": "", "function": "main", "filename": "app.py", "line": 0, "called": "",
                "caused_ns": 590_000_000, "own_ns": 0, "share": 590 / 900,
            },
        ],
    }  # fmt: skip
    assert Report.from_dict(document) == Report.load(saved)
    assert main(["report", str(saved), "--html", "-", "--by", "module"]) == 0
    assert '"by":"module"' in capsys.readouterr().out


def test_each_process_has_its_verdict_in_json(recorded, capsys):
    assert main(["report", recorded(), recorded("b.gilprobe", pid=8), "--json", "-"]) == 0
    processes = json.loads(capsys.readouterr().out)["processes"]
    assert [one["verdict"]["culprits"][0]["thread"] for one in processes] == ["worker 1"] * 2


def test_what_a_verdict_can_be_about_is_what_reports_know(saved, capsys):
    for by in KINDS:
        assert main(["report", str(saved), "--by", by]) == 0
    capsys.readouterr()
    assert main(["report", str(saved), "--by", "file"]) == 2
    said = capsys.readouterr().err
    assert [by for by in KINDS if by not in said] == []


@pytest.mark.parametrize("name", EXPORTS)
def test_a_dash_is_standard_output_alone(recorded, tmp_path, capsys, name):
    path = recorded()
    assert main(["report", path, name, str(tmp_path / "file")]) == 0
    capsys.readouterr()
    assert main(["report", path, name, "-"]) == 0
    assert capsys.readouterr().out == (tmp_path / "file").read_text()


def test_a_trace_named_gz_is_packed(recorded, tmp_path):
    path = recorded()
    assert main(["report", path, "--perfetto", str(tmp_path / "t.json.gz")]) == 0
    assert main(["report", path, "--perfetto", str(tmp_path / "t.json")]) == 0
    packed = (tmp_path / "t.json.gz").read_bytes()
    assert gzip.decompress(packed) == (tmp_path / "t.json").read_bytes()
    assert stat.S_IMODE((tmp_path / "t.json.gz").stat().st_mode) == 0o600


@pytest.mark.parametrize(("weight", "number"), [("hold", 600), ("wait", 300), ("caused", 590)])
def test_the_weight_is_the_users(saved, capsys, weight, number):
    assert main(["report", str(saved), "--folded", "-", "--weight", weight]) == 0
    assert capsys.readouterr().out.endswith(f" {number}000000\n")
    assert main(["report", str(saved), "--speedscope", "-", "--weight", weight]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["profiles"][document["activeProfileIndex"]]["endValue"] == number * 10**6


@pytest.fixture
def saved_locks(with_locks, tmp_path):
    with_locks.save(tmp_path / "locks.json")
    return str(tmp_path / "locks.json")


def test_waits_for_locks_are_a_weight(saved_locks, capsys):
    assert main(["report", saved_locks, "--folded", "-", "--weight", "lock"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == (
        "Cache.get(cache.py:12);Lock_`self._lock`_of_Cache 60000000"
    )
    assert main(["report", saved_locks, "--csv", "-", "--weight", "lock"]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.startswith("pid,lock,kind,native_id,thread,function")
    assert rows[1] == (
        ",Lock `self._lock` of Cache,lock,4711,worker 1,Cache.get,/app/cache.py,12,4711,worker 2,Cache.put,"
        "/app/cache.py,30,50000000"
    )
    assert main(["report", saved_locks, "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["verdict"]["locks"]["waited_ns"] == 75_000_000


def test_without_a_gil_a_profile_is_about_locks_unless_told_otherwise(without_gil, tmp_path, capsys):
    without_gil.save(tmp_path / "x.json")
    assert main(["report", str(tmp_path / "x.json"), "--folded", "-"]) == 0
    assert "self._lock" in capsys.readouterr().out
    assert main(["report", str(tmp_path / "x.json"), "--folded", "-", "--weight", "hold"]) == 0
    assert capsys.readouterr().out == ""


def test_the_weight_of_locks_needs_locks(saved, tmp_path, capsys):
    assert main(["report", str(saved), "--folded", str(tmp_path / "x"), "--weight", "lock"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "--weight lock needs waits for locks" in line
    assert not (tmp_path / "x").exists()


def test_several_processes_are_told_apart_everywhere(recorded, tmp_path, capsys):
    files = [recorded("a.gilprobe", 7), recorded("b.gilprobe", 8)]
    assert main(["report", *files]) == 0
    shown = capsys.readouterr().out
    assert shown.index("process 7: app.py\n") < shown.index("process 8: app.py\n")
    assert shown.count("CPython 3.13.0") == 1
    for name in EXPORTS:
        assert main(["report", *files, name, str(tmp_path / name)]) == 0
    events = trace_event_format.check((tmp_path / "--perfetto").read_text())
    assert {event["pid"] for event in events} == {7, 8}
    assert {line.split(";")[0] for line in (tmp_path / "--folded").read_text().splitlines()} == {
        "process_7:_app.py",
        "process_8:_app.py",
    }
    rows = list(csv.reader(StringIO((tmp_path / "--csv").read_text())))
    assert {row[0] for row in rows[1:]} == {"7", "8"}
    document = json.loads((tmp_path / "--json").read_text())
    assert [process["pid"] for process in document["processes"]] == [7, 8]
    assert document["contended"] == [process["source"] for process in document["processes"]]
    assert Report.from_dict(document["processes"][1]["report"]).held_ns == 900_000_000


def test_a_process_without_a_timeline_is_named_where_the_trace_lacks_it(recorded, tmp_path, capsys):
    files = [recorded("a.gilprobe", 7), recorded("b.gilprobe", 8, timeline=None)]
    assert main(["report", *files, "--perfetto", str(tmp_path / "t.json")]) == 0
    events = trace_event_format.check((tmp_path / "t.json").read_text())
    assert {event["pid"] for event in events} == {7}
    assert "b.gilprobe: left out, it has no timeline" in capsys.readouterr().err


def test_children_are_found_and_each_counts_once(recorded, capsys):
    first = recorded("a.gilprobe", 7)
    second = recorded("a.8.gilprobe", 8)
    for arguments in ([first], [first, second], [second, first], [first, first]):
        assert main(["report", *arguments]) == 0
        shown = capsys.readouterr().out
        assert (shown.count("process 7:"), shown.count("process 8:")) == (1, 1)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "must be a recording or a saved report, it is empty"),
        (b"hello\nworld\n", r"must be a recording or a saved report, it begins with b'hello\nworld\n'"),
        (b"GIL", "must be a recording or a saved report, it begins with b'GIL'"),
        (b"{", "must be a JSON file"),
        (b"\x7fELF\x00\xff", "must be a recording or a saved report, it begins with b'\\x7fELF"),
        (b"[" * 100_000, "must be a recording or a saved report, it begins with b'[[["),
        (b'{"a":' * 100_000, "must be a JSON file"),
        (b"{}", "must be an object of kind 'gilprobe.report'"),
        (b'{"kind": "gilprobe.report", "schema": 99}', "must have schema 2, got 99"),
        (b"GILPROBE", "error: "),
    ],
)
@pytest.mark.parametrize("option", [(), ("--csv", "-")])
def test_a_foreign_or_cut_file_is_one_line_and_status_two(tmp_path, capsys, content, message, option):
    (tmp_path / "bad\n.json").write_bytes(content)
    assert main(["report", str(tmp_path / "bad\n.json"), *option]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert re.fullmatch(r"gilprobe: error: [^\n]+\n", shown.err)
    assert message in shown.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "arguments are required: FILE"),
        (("none.json",), "No such file"),
        ((".",), "a folder must have a file *.gilprobe"),
        (("r.json", "--weight", "heavy"), "invalid choice: 'heavy'"),
        (("r.json", "--csv", "-", "--json", "-"), "only one output can be -"),
        (("r.json", "--csv", "x", "--json", "x"), "--json and --csv must be different files"),
        (("r.json", "--csv", "."), "--csv must be a file, got the directory"),
        (("r.json", "--own", ""), "--own must be a folder, got ''"),
        (("r.json", "--csv", "none/x"), "--csv must be a writable file"),
        (("r.json", "--perfetto", "x"), "needs a recording with a timeline"),
    ],
)
def test_unusable_arguments_are_one_line_and_status_two(saved, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(saved.parent)
    assert main(["report", *arguments]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert re.fullmatch(r"gilprobe: error: [^\n]+\n", shown.err)
    assert message in shown.err
    assert os.listdir() == ["r.json"]  # noqa: PTH208


def test_what_fails_leaves_the_earlier_file(saved, capsys):
    target = saved.parent / "t.json"
    target.write_text("earlier")
    assert main(["report", str(saved), "--perfetto", str(target)]) == 2
    assert target.read_text() == "earlier"


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_hostile_names_in_a_file_reach_no_stream_as_they_are(report, tmp_path, capsys, name):
    nasty = dataclasses.replace(report, sites=(Site(name, name, 1, 1, 5, 5, 5),), warnings=(name,), stacks=())
    nasty.save(tmp_path / "r.json")
    for option in ((), ("--folded", "-"), ("--csv", "-"), ("--speedscope", "-")):
        assert main(["report", str(tmp_path / "r.json"), *option]) == 0
        shown = capsys.readouterr()
        for text in (shown.out, shown.err):
            assert all(character.isprintable() or character == "\n" for character in text)


def test_a_reader_that_leaves_ends_the_export(saved):
    command = [*GILPROBE, "report", str(saved), "--csv", "-"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        errors = process.stderr.read()
        assert process.wait(timeout=120) == 0
    assert b"Traceback (most recent call last)" not in errors


def test_the_page_shows_lines_of_source_only_if_told_where_they_are(report, tmp_path):
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "encoder.py").write_text("one\ntwo = 'the culprit'\nthree\n")
    (site, *others) = report.sites
    site = dataclasses.replace(site, filename=str(folder / "encoder.py"), line=2)
    saved = str(tmp_path / "r.json")
    dataclasses.replace(report, sites=(site, *others)).save(saved)
    page = tmp_path / "page.html"
    assert main(["report", saved, "--html", str(page)]) == 0
    assert "the culprit" not in page.read_text()
    assert main(["report", saved, "--html", str(page), "--source", str(folder)]) == 0
    assert "the culprit" in page.read_text()
    assert main(["report", saved, "--html", str(page), "--source", str(tmp_path / "project" / "..")]) == 0
    assert "the culprit" in page.read_text()


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        (["--source", "."], "--source needs --html: only the page shows source lines"),
        (["--html", "-", "--source", "missing"], "--source must be a folder, got 'missing'"),
        (["--html", "-", "--source", "r.json"], "--source must be a folder, got 'r.json'"),
    ],
)
def test_a_wrong_source_is_refused(saved, monkeypatch, capsys, arguments, rule):
    monkeypatch.chdir(saved.parent)
    assert main(["report", "r.json", *arguments]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.splitlines()[-1].endswith(rule)


def names_of(path, kind):
    """Return another name for a file."""
    other = path.with_name(f"other {kind}")
    if kind == "itself":
        return path
    if kind == "a hard link":
        other.hardlink_to(path)
    elif kind == "a link":
        other.symlink_to(path)
    else:
        (path.parent / "up").symlink_to(path.parent)
        return path.parent / "up" / path.name
    return other


@pytest.mark.parametrize("option", EXPORTS)
@pytest.mark.parametrize("kind", ["itself", "a hard link", "a link", "a linked folder"])
def test_what_is_read_is_never_the_output(saved, capsys, option, kind):
    before = saved.read_bytes()
    target = names_of(saved, kind)
    assert main(["report", str(saved), option, str(target)]) == 2
    shown = capsys.readouterr()
    assert shown.err.startswith(f"gilprobe: error: {option} must not be a file that is read, ")
    assert shown.err.count("\n") == 1
    assert saved.read_bytes() == before


def test_a_childs_recording_is_not_the_output_either(recorded, tmp_path, capsys):
    parent, child = recorded(), recorded("app.8.gilprobe", pid=8)
    assert main(["report", parent, "--json", child]) == 2
    assert "the same file as" in capsys.readouterr().err
    assert (tmp_path / "app.8.gilprobe").read_bytes() == b""


def test_standard_output_is_not_what_is_read(saved):
    before = saved.read_bytes()
    with saved.open("ab") as file:
        ran = subprocess.run(
            [*GILPROBE, "report", str(saved)], stdout=file, stderr=subprocess.PIPE, text=True, check=False
        )
    assert ran.returncode == 2
    assert "standard output must not be a file that is read" in ran.stderr
    assert saved.read_bytes() == before


def test_two_outputs_are_two_files_by_whatever_name(saved, tmp_path, capsys):
    (tmp_path / "a").touch()
    (tmp_path / "b").hardlink_to(tmp_path / "a")
    for two in (("a", "b"), ("new", "./new")):
        names = [f"{tmp_path}/{name}" for name in two]
        assert main(["report", str(saved), "--json", names[0], "--csv", names[1]]) == 2
        assert "--json and --csv must be different files" in capsys.readouterr().err
    assert sorted(os.listdir(tmp_path)) == ["a", "b", "r.json"]  # noqa: PTH208


def test_a_descriptors_name_as_output_gets_the_report(saved, tmp_path):
    with (tmp_path / "out").open("wb") as file:
        ran = subprocess.run(
            [*GILPROBE, "report", str(saved), "--json", "/dev/stdout"], stdout=file, check=False
        )
    assert ran.returncode == 0
    assert Report.load(tmp_path / "out") == Report.load(saved)
    assert os.path.islink("/dev/stdout")  # noqa: PTH114


def test_a_doubt_that_many_processes_share_is_told_once(recorded, tmp_path, capsys):
    files = [recorded(f"app{number}.gilprobe", pid=number + 1, complete=False) for number in range(24)]
    assert main(["report", *files, "--csv", str(tmp_path / "x.csv")]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert sum("the recording was not ended" in line for line in lines) == 1
    assert any(line.startswith("gilprobe: 24 processes: the recording was not ended") for line in lines)


def test_a_saved_report_that_is_wrong_is_named(report, tmp_path, capsys):
    (tmp_path / "x\x1b[31m.json").write_text(json.dumps(report.to_dict() | {"handoffs": -1}))
    assert main(["report", str(tmp_path / "x\x1b[31m.json")]) == 2
    err = capsys.readouterr().err
    assert "x\\x1b[31m.json': report: handoffs must be >= 0, got -1" in err
    assert "\x1b" not in err


def test_a_report_with_a_doubt_twice_is_still_one_process(report, tmp_path, capsys):
    dataclasses.replace(report, warnings=("a doubt", "a doubt")).save(tmp_path / "r.json")
    assert main(["report", str(tmp_path / "r.json"), "--csv", str(tmp_path / "r.csv")]) == 0
    assert capsys.readouterr().err == "gilprobe: r.json: a doubt\n"
