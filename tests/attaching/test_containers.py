"""Processes with other folders, numbers and users: what containers are made of, by unshare(1)."""

from __future__ import annotations

import os

import pytest
from side_by_side import FREE_THREADED

from gilprobe import __version__
from gilprobe.attaching import inject
from gilprobe.attaching.recording import AttachedRecording
from gilprobe.attaching.shared_folder import SharedFolder
from gilprobe.cli import main
from gilprobe.live.client import Listener
from gilprobe.programs.program_recording import RecordOptions
from gilprobe.tracing.loading import load

LIMIT_S = 120  # there only so that a hang ends
FOLDERS = "mount -t tmpfs none /tmp && mount -t tmpfs none /dev/shm"
FORKS = """
sys.stdin.readline()
if not (child := os.fork()):
    os._exit(0)
os.waitpid(child, 0)
"""


def there(process):
    """Return the names in its temporary folder."""
    return os.listdir(f"/proc/{process.pid}/root/tmp")  # noqa: PTH208


@pytest.mark.parametrize("kind", ["folders and numbers", "users, too"])
def test_it_is_recorded_again_and_again_and_nothing_is_left_there(contain, kind, tmp_path):
    with contain(FORKS, kind) as process:
        for _ in range(2):
            target = tmp_path / "out.gilprobe"
            assert main(["attach", str(process.pid), "-o", str(target), "--duration", "1ms", "--quiet"]) == 0
            recording = load(target)
            assert (recording.pid, recording.complete) == (1, True)
            status = target.stat()
            assert (status.st_uid, status.st_mode & 0o777) == (os.geteuid(), 0o600)
            assert there(process) == []
        assert process.end() == (0, "", "")


@pytest.mark.parametrize("kind", ["folders and numbers", "users, too"])
def test_it_is_watched(contain, kind):
    with contain(kind=kind) as process, SharedFolder(process.pid) as folder, Listener(folder) as listener:
        order = {"path": listener.path, "options": {}}
        with inject(process.pid, "gilprobe.live.server", "serve", order, LIMIT_S, folder=folder) as injected:
            injected.result(LIMIT_S)
        connection = listener.accept(process.pid)
        assert connection is not None
        connection.close()


def test_its_end_leaves_the_recording(contain, tmp_path):
    path = str(tmp_path / "out.gilprobe")
    with contain() as process:
        options = RecordOptions().to_text()
        with AttachedRecording(process.pid, path, options, LIMIT_S) as recording:
            recording.begin(print)
            assert process.end() == (0, "", "")
            assert not recording.wait()
    assert load(path).complete


@pytest.mark.skipif(FREE_THREADED, reason="needs a GIL")
@pytest.mark.forks_among_threads
def test_its_children_are_recorded_too(contain, tmp_path):
    path, options = str(tmp_path / "out.gilprobe"), RecordOptions().to_text()
    code = FORKS.replace("os._exit(0)", "print(os.getpid(), flush=True), sys.stdin.readline(), os._exit(0)")
    told = []
    with contain(code, "users, too") as process:
        with AttachedRecording(process.pid, path, options, LIMIT_S, follow=told.append) as recording:
            recording.begin(print)
            process.tell()
            child = process.number()
            recording.stop()
            assert recording.wait()
            assert len(told) == 1
        assert sorted(os.listdir(tmp_path)) == [f"out.{child}.gilprobe", "out.gilprobe"]  # noqa: PTH208
        assert load(tmp_path / f"out.{child}.gilprobe").pid == child
        assert there(process) == []


def test_its_links_are_not_followed(contain, tmp_path):
    name = f"gilprobe-{__version__}-1"
    folders = f"{FOLDERS} && ln -s {tmp_path} /tmp/link && ln -s {tmp_path} /tmp/{name}"
    with contain(folders=folders, env={"TMPDIR": "/tmp/link"}) as process:
        with inject(process.pid, "os", "getpid", {}, LIMIT_S) as injected:
            assert injected.result(LIMIT_S) == 1
            assert sorted(there(process)) == [name, f"{name}-2", "link"]
            own = f"/proc/{process.pid}/root/tmp/{name}-2"
            os.symlink(tmp_path, f"{own}/link")  # noqa: PTH211
            os.mkfifo(f"{own}/pipe")
        assert list(tmp_path.iterdir()) == []
        assert sorted(there(process)) == [name, "link"]


def test_what_was_not_imported_before_is_found_later(contain):
    with contain() as process:
        with inject(process.pid, "os", "getpid", {}, LIMIT_S):
            pass
        os.mkdir(f"/proc/{process.pid}/root/tmp/gilprobe-{__version__}-1")  # noqa: PTH102
        with inject(process.pid, "gilprobe.durations", "duration", {"seconds": 1.0}, LIMIT_S) as injected:
            assert injected.result(LIMIT_S) == "1 s"


def test_folders_that_can_not_be_used_are_told_in_one_line(contain, capsys):
    folders = "mount -t tmpfs -o size=100k none /tmp && mount -t tmpfs -o noexec none /dev/shm"
    with contain(folders=folders) as process:
        assert main(["attach", str(process.pid), "--quiet"]) == 2
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        assert "/tmp: No space left on device; /dev/shm: mounted noexec" in err
        assert there(process) == []
        assert process.end() == (0, "", "")
