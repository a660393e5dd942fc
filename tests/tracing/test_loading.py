"""Reading back: one file, and the recordings of the children that lie beside it."""

from __future__ import annotations

import tracemalloc

import pytest

from gilprobe.errors import FormatError
from gilprobe.model.traced_process import TracedProcess
from gilprobe.tracing import loading


def test_a_saved_report_is_a_process_whose_number_is_not_known(report, tmp_path):
    report.save(tmp_path / "r.json")
    assert loading.load(tmp_path / "r.json") == TracedProcess("r.json", report)
    assert loading.load(str(tmp_path / "r.json")).title == "r.json"
    (tmp_path / "r.json").write_text("\n" + (tmp_path / "r.json").read_text())
    assert loading.load(tmp_path / "r.json").report == report


def test_a_file_of_another_kind_is_not_read_to_its_end(tmp_path):
    with (tmp_path / "core").open("wb") as file:
        file.write(b"\x7fELF")
        file.truncate(1 << 30)
    tracemalloc.start()
    try:
        with pytest.raises(FormatError, match="must be a recording or a saved report"):
            loading.load(tmp_path / "core")
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


def test_children_lie_beside_and_are_named_after_their_parent(tmp_path):
    (tmp_path / "a.71.gilprobe").mkdir()
    for name in (
        "a.gilprobe",
        "a.9.gilprobe",
        "a.10.gilprobe",
        "a.10-2.gilprobe",
        "a.10.11.gilprobe",
        "a.10-.gilprobe",
        "a.x.gilprobe",
        "a..gilprobe",
        "a.9.gilprobe.tmp",
        "ab.9.gilprobe",
        "axb.9.gilprobe",
        "a.\u0663.gilprobe",
    ):
        (tmp_path / name).touch()
    found = [path.name for path in loading.children_of(tmp_path / "a.gilprobe")]
    assert found == ["a.10-2.gilprobe", "a.10.11.gilprobe", "a.10.gilprobe", "a.71.gilprobe", "a.9.gilprobe"]
    assert [path.name for path in loading.children_of(tmp_path / "a.10.gilprobe")] == ["a.10.11.gilprobe"]
    assert list(loading.children_of(tmp_path / "a.json")) == []


def test_a_saved_report_has_no_children(report, tmp_path):
    for name in ("a.json", "a.7.json"):
        report.save(tmp_path / name)
    assert [process.source for process in loading.load_family(tmp_path / "a.json")[0]] == ["a.json"]


def test_a_stem_is_no_pattern(tmp_path):
    (tmp_path / "ab.9.gilprobe").touch()
    assert list(loading.children_of(tmp_path / "a*.gilprobe")) == []
    assert list(loading.children_of(tmp_path / "a..gilprobe")) == []


@pytest.fixture
def recorded(report, tmp_path, monkeypatch):
    """Return a function that makes a recording, or what reading it raises; they are read from memory."""
    made = {}

    def load(path):
        value = made[path.name]
        if isinstance(value, Exception):
            raise value
        return value

    def make(name, *, error=None, started=0, **changes):
        (tmp_path / name).touch()
        made[name] = error or TracedProcess(name, report, started_unix_ns=started, **changes)
        return tmp_path / name

    monkeypatch.setattr(loading, "load", load)
    return make


def test_a_family_is_the_file_and_its_children(recorded):
    first = recorded("a.gilprobe", started=100, pid=1)
    recorded("a.2.gilprobe", started=150, pid=2)
    recorded("a.3.gilprobe", started=100, pid=3)
    processes, left_out = loading.load_family(first)
    assert [process.pid for process in processes] == [1, 2, 3]
    assert left_out == []


def test_what_an_earlier_recording_left_is_passed_over(recorded):
    first = recorded("a.gilprobe", started=100, pid=1)
    recorded("a.2.gilprobe", started=99, pid=2)
    assert [process.pid for process in loading.load_family(first)[0]] == [1]


def test_a_childs_damaged_file_is_told_and_costs_nothing_else(recorded):
    first = recorded("a.gilprobe", pid=1)
    recorded("a.2.gilprobe", error=FormatError("no header"))
    recorded("a.3.gilprobe", pid=3)
    processes, left_out = loading.load_family(first)
    assert [process.pid for process in processes] == [1, 3]
    assert left_out == ["a child's recording is left out: no header"]


def test_the_files_own_damage_is_an_error(recorded):
    with pytest.raises(FormatError):
        loading.load_family(recorded("a.gilprobe", error=FormatError("no header")))
