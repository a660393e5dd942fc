"""Files of the viewer: its user's only, new ones, or a line that says why not."""

from __future__ import annotations

import stat

import pytest

from gilprobe.live.kept_files import keep_last_seconds, keep_report

pytestmark = pytest.mark.plain_python


def test_no_file_is_replaced_and_only_the_user_may_read_them(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gilprobe-top-7-1.gilprobe").symlink_to("elsewhere")
    assert [keep_last_seconds(7, content) for content in (b"one", b"two")] == [
        "written: gilprobe report gilprobe-top-7-2.gilprobe",
        "written: gilprobe report gilprobe-top-7-3.gilprobe",
    ]
    assert (tmp_path / "gilprobe-top-7-3.gilprobe").read_bytes() == b"two"
    assert stat.S_IMODE((tmp_path / "gilprobe-top-7-3.gilprobe").stat().st_mode) == 0o600
    assert not (tmp_path / "elsewhere").exists()


def test_what_can_not_be_written_is_told(monkeypatch, tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert keep_last_seconds(7, b"one").startswith("not written: gilprobe-top-7-1.gilprobe: ")
    assert keep_last_seconds(7, None).startswith("not written: ")
    assert keep_report(7, None) == "there is nothing to write yet"
