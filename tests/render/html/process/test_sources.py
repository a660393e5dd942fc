"""Lines of source: of files below the folder that the page's maker named, and of no other."""

from __future__ import annotations

import os

import pytest

from gilprobe.errors import InvalidValueError
from gilprobe.render.html.process.sources import Sources

pytestmark = pytest.mark.plain_python


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "secret.py").write_text("secret\n" * 9)
    inner = tmp_path / "project"
    inner.mkdir()
    (inner / "app.py").write_text("".join(f"line {n}\n" for n in range(1, 21)))
    return inner


def test_lines_around_a_site_are_shown_by_absolute_and_by_relative_name(folder):
    sources = Sources(folder)
    expected = {"first": 7, "lines": [f"line {n}" for n in range(7, 14)]}
    assert sources.around(str(folder / "app.py"), 10) == expected
    assert sources.around("app.py", 10) == expected
    assert sources.around("app.py", 1) == {"first": 1, "lines": ["line 1", "line 2", "line 3", "line 4"]}
    assert sources.around("app.py", 21)["lines"][-1] == ""  # behind the last line break
    assert sources.around("app.py", 22) is None
    assert sources.around("app.py", 0) is None
    assert sources.around("app.py", -3) is None


@pytest.mark.parametrize(
    "name",
    [
        "../secret.py",
        "x/../../secret.py",
        "{folder}/../secret.py",
        "/etc/passwd",
        "link.py",
        "folder/secret.py",
        "pipe",
        "inner",
        "",
        ".",
        "missing.py",
        "a\0b",
        "n" * 5000,
        "\ud800",
        "app.py/x",
        "loop",
        "large.py",
    ],
)
def test_nothing_else_is_read(folder, name):
    (folder / "link.py").symlink_to(folder.parent / "secret.py")
    (folder / "folder").symlink_to(folder.parent)
    (folder / "loop").symlink_to(folder / "loop")
    os.mkfifo(folder / "pipe")
    (folder / "inner").mkdir()
    (folder / "large.py").write_bytes(b"x\n" * (1 << 19) + b"y")
    assert Sources(folder).around(name.format(folder=folder), 1) is None


def test_a_link_within_the_folder_and_the_folder_as_a_link_are_followed(folder):
    (folder / "same.py").symlink_to(folder / "app.py")
    (folder.parent / "linked").symlink_to(folder)
    sources = Sources(folder.parent / "linked")
    for name in ("same.py", str(folder.parent / "linked" / "app.py"), str(folder / "app.py")):
        assert sources.around(name, 2)["lines"][1] == "line 2"


def test_what_would_not_be_shown_is_written_as_escapes(folder):
    (folder / "odd.py").write_bytes(b"\tx = '\xe2\x80\xae'\x1b[2J\r\n" + b"y" * 5000)
    assert Sources(folder).around("odd.py", 1)["lines"][0] == r"    x = '\u202e'\x1b[2J\r"
    assert len(Sources(folder).around("odd.py", 2)["lines"][1]) <= 200


def test_a_file_is_refused_as_a_folder(folder):
    with pytest.raises(InvalidValueError, match="--source must be a folder, got"):
        Sources(folder / "app.py")
