"""Merging files: each once, one at a time; what can't be read is named and nothing else is lost."""

from __future__ import annotations

import pytest
import recording_twin as twin

import gilprobe
from gilprobe.errors import FormatError, InvalidTypeError
from gilprobe.tracing.merging import files_of, merge

pytestmark = pytest.mark.plain_python


@pytest.fixture
def write(environment, tmp_path):
    """Return a function that writes a small recording, by the format's description alone."""
    from gilprobe.model import codec

    def make(name="app.gilprobe", **meta):
        described = twin.meta(codec.encode(environment), **meta)
        snapshot = twin.snapshot(twin.empty_snapshot(final=True))
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(twin.header() + twin.chunk("META", described) + twin.chunk("SNAP", snapshot))
        return path

    return make


def sources(report):
    return sorted(level.source for level in report.processes)


def test_a_folder_stands_for_the_recordings_in_it_and_below(write, tmp_path):
    write("a.gilprobe", host="one")
    write("below/b.gilprobe", host="two")
    write(".hidden.gilprobe")
    (tmp_path / "notes.txt").write_text("no recording")
    (tmp_path / "loop").symlink_to(tmp_path)
    whole = gilprobe.merge(tmp_path)
    assert sources(whole) == ["a.gilprobe", "b.gilprobe"]
    assert {host.host for host in whole.hosts} == {"one", "two"}


def test_a_pattern_stands_for_what_it_matches(write, tmp_path):
    for name in ("a1.gilprobe", "a2.gilprobe", "b.gilprobe"):
        write(name)
    assert sources(merge(str(tmp_path / "a*"))) == ["a1.gilprobe", "a2.gilprobe"]
    odd = write("c[1].gilprobe")
    assert list(files_of(odd)) == [odd]  # a file of that name is no pattern


def test_no_file_counts_twice(write, tmp_path):
    path = write("a.gilprobe")
    (tmp_path / "link.gilprobe").symlink_to(path)
    write("a.12.gilprobe")
    assert sources(merge([path, path, tmp_path, str(tmp_path / "*")])) == ["a.12.gilprobe", "a.gilprobe"]
    assert sources(merge(path)) == ["a.12.gilprobe", "a.gilprobe"]  # with its child


def test_reports_and_files_mix(write, report, tmp_path):
    report.save(tmp_path / "r.json")
    whole = merge([write(), report, tmp_path / "r.json"])
    assert sources(whole) == ["a report", "app.gilprobe", "r.json"]


def test_what_cannot_be_read_is_named_and_the_rest_is_kept(write, tmp_path):
    good = write("a.gilprobe")
    write("cut.gilprobe").write_bytes(good.read_bytes()[:30])
    write("foreign.gilprobe").write_bytes(b"\x7fELF" + bytes(100))
    damaged = bytearray(good.read_bytes())
    damaged[40] ^= 1
    write("damaged.gilprobe").write_bytes(damaged)
    write("empty.gilprobe").write_bytes(b"")
    whole = merge([tmp_path, tmp_path / "none.gilprobe"])
    assert sources(whole) == ["a.gilprobe"]
    told = [doubt for doubt in whole.warnings if doubt.startswith("left out: ")]
    assert len(told) == 5
    for name in ("cut", "foreign", "damaged", "empty", "none"):
        assert any(f"{name}.gilprobe" in doubt for doubt in told), name


def test_a_recording_without_a_host_is_of_an_unknown_one(write):
    assert merge(write()).hosts[0].host == ""


def test_a_host_must_be_a_name(write):
    with pytest.raises(FormatError, match="'host' in META must be a string"):
        merge(write(host=[1]))


def test_nothing_to_merge_is_an_error(tmp_path):
    with pytest.raises(FormatError, match="nothing to merge"):
        merge([])
    with pytest.raises(FormatError, match="a folder must have a file"):
        merge(tmp_path)
    with pytest.raises(FormatError, match="a pattern must match a file"):
        merge(str(tmp_path / "*.x"))
    for wrong in (7, [7], None):
        with pytest.raises(InvalidTypeError, match="files or reports"):
            merge(wrong)
