"""A file that is written is private, and whole or not there."""

from __future__ import annotations

import os
import stat

import pytest

from gilprobe.files import replacing

pytestmark = pytest.mark.plain_python


def test_the_target_appears_when_all_is_written(tmp_path):
    target = tmp_path / "f"
    target.write_text("earlier")
    with replacing(target) as file:
        file.write(b"new")
        file.flush()
        assert target.read_text() == "earlier"
    assert target.read_text() == "new"
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


def test_an_error_leaves_what_was_there_and_no_litter(tmp_path):
    target = tmp_path / "f"
    target.write_text("earlier")
    with pytest.raises(TypeError), replacing(target) as file:
        file.writelines([b"new", "not bytes"])
    assert target.read_text() == "earlier"
    assert os.listdir(tmp_path) == ["f"]  # noqa: PTH208


def test_a_name_as_long_as_names_may_be(tmp_path):
    with replacing(tmp_path / ("n" * 255)) as file:
        file.write(b"x")
    assert (tmp_path / ("n" * 255)).read_bytes() == b"x"


def test_a_pipe_is_written_to_directly(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    with replacing(tmp_path / "pipe") as file:
        file.write(b"x")
    assert os.read(reader, 10) == b"x"
    os.close(reader)
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
