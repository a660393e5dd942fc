"""A file that is written is private, and whole or not there."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys

import pytest

from gilprobe.errors import FormatError
from gilprobe.files import identity, read_whole, replacing

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


def by_shell(tmp_path, redirection, content="new", path="/dev/stdout"):
    """Run a process that writes to a descriptor's name while that leads to where the shell says."""
    code = "from gilprobe.files import replacing\n"
    code += f"with replacing({path!r}) as file: file.write({content.encode()!r})"
    command = f'"$0" -P -c "$1" {redirection}'
    return subprocess.run(
        ["sh", "-c", command, sys.executable, code], cwd=tmp_path, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("path", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "link/to"])
def test_a_descriptors_name_is_written_through_whatever_is_behind_it(tmp_path, path):
    (tmp_path / "link").mkdir()
    (tmp_path / "link" / "to").symlink_to("other")
    (tmp_path / "link" / "other").symlink_to("/dev/stdout")
    (tmp_path / "f").write_text("earlier, ")
    assert by_shell(tmp_path, ">> f", path=path).returncode == 0
    assert (tmp_path / "f").read_text() == "earlier, new"
    piped = by_shell(tmp_path, "| cat", path=path)
    assert (piped.stdout, piped.stderr) == ("new", "")
    assert os.readlink(tmp_path / "link" / "to") == "other"  # noqa: PTH115
    assert os.path.islink("/dev/stdout")  # noqa: PTH114


def test_a_descriptor_that_is_closed_is_an_error_and_its_link_stays(tmp_path):
    (tmp_path / "out").symlink_to("/proc/self/fd/1")
    closed = by_shell(tmp_path, ">&-", path="out")
    assert closed.returncode == 1
    assert "OSError: [Errno 9] Bad file descriptor: 'out'" in closed.stderr
    assert os.listdir(tmp_path) == ["out"]  # noqa: PTH208
    assert (tmp_path / "out").is_symlink()


def test_a_link_to_a_device_stays_and_the_device_is_written_to(tmp_path):
    (tmp_path / "nowhere").symlink_to("/dev/null")
    with replacing(tmp_path / "nowhere") as file:
        file.write(b"x")
    assert os.readlink(tmp_path / "nowhere") == "/dev/null"  # noqa: PTH115


def test_another_name_of_the_file_keeps_what_it_had(tmp_path):
    (tmp_path / "a").write_text("earlier")
    (tmp_path / "b").hardlink_to(tmp_path / "a")
    with replacing(tmp_path / "a") as file:
        file.write(b"new")
    assert ((tmp_path / "a").read_text(), (tmp_path / "b").read_text()) == ("new", "earlier")


@pytest.mark.parametrize("kind", ["folder", "link to folder", "socket", "missing/f"])
def test_what_cant_be_a_file_is_refused_by_its_name(tmp_path, kind):
    (tmp_path / "folder").mkdir()
    (tmp_path / "link to folder").symlink_to("folder")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(tmp_path / "socket"))
        before = sorted(os.listdir(tmp_path))  # noqa: PTH208
        with pytest.raises(OSError, match=kind), replacing(tmp_path / kind):
            pass
    assert sorted(os.listdir(tmp_path)) == before  # noqa: PTH208


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_file_that_may_not_be_written_is_not_replaced_either(tmp_path):
    (tmp_path / "f").write_text("precious")
    (tmp_path / "f").chmod(0o400)
    with pytest.raises(PermissionError, match=r"f'$"), replacing(tmp_path / "f"):
        pass
    assert (tmp_path / "f").read_text() == "precious"


@pytest.mark.parametrize("limit", ["the program is told", "it is killed"])
def test_a_file_that_grows_too_large_leaves_what_was_there_and_no_litter(tmp_path, limit):
    """As a full disk does; by default the signal of such a limit kills at once, and nobody cleans up."""
    (tmp_path / "f").write_text("earlier")
    code = (
        "import resource, signal\n"
        "from gilprobe.files import replacing\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, -1))\n"
        f"signal.signal(signal.SIGXFSZ, signal.{'SIG_IGN' if 'told' in limit else 'SIG_DFL'})\n"
        "with replacing('f') as file:\n"
        "    file.write(bytes(50_000)); file.write(bytes(1_000_000))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ran.returncode == (1 if "told" in limit else -signal.SIGXFSZ)
    assert "told" not in limit or ran.stderr.endswith("OSError: [Errno 27] File too large: 'f'\n")
    assert (tmp_path / "f").read_text() == "earlier"
    assert os.listdir(tmp_path) == ["f"]  # noqa: PTH208


def test_where_a_file_must_have_a_name_it_is_written_all_the_same(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    test_the_target_appears_when_all_is_written(tmp_path)
    (tmp_path / "f").unlink()
    test_an_error_leaves_what_was_there_and_no_litter(tmp_path)


def test_names_are_one_file_if_they_lead_to_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").write_text("x")
    (tmp_path / "hard").hardlink_to("a")
    (tmp_path / "soft").symlink_to("a")
    (tmp_path / "up").symlink_to(".")
    assert identity("a") == identity("hard") == identity("soft") == identity(tmp_path / "up" / "a")
    assert identity("new") == identity("./new") == identity("up/new") != identity("a")


def test_only_a_regular_file_of_bounded_size_is_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in ("/dev/zero", tmp_path / "pipe", tmp_path):
        with pytest.raises(FormatError, match="a list must be a regular file"):
            read_whole(path, "a list")
    with (tmp_path / "f").open("wb") as file:
        file.truncate(8 << 40)
    with pytest.raises(
        FormatError, match=r"a list must have at most 1073741824 bytes, got .*/f' with 8796093022208"
    ):
        read_whole(tmp_path / "f", "a list")
    with (tmp_path / "f").open("wb") as file:
        file.write(b"12345")
    assert read_whole(tmp_path / "f", "a list", 5) == b"12345"
    with pytest.raises(FormatError, match="at most 4 bytes"):
        read_whole(tmp_path / "f", "a list", 4)
    with pytest.raises(FormatError, match="must not change while it is read"):
        read_whole("/proc/self/maps", "a list")
