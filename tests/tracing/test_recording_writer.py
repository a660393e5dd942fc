"""Recordings that traces write: the file, what stands in it beside the numbers, and what may go wrong."""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import resource
import stat
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
import recording_chunks
from tracer_checks import MAIN, await_no_recorder, busy, check, doze, recorders, run_threads, spin

import gilprobe
from gilprobe._native import recording, tracer
from gilprobe._native.tracer import LABEL_ENDED, STRING_MAX, encoded_number, encoded_string
from gilprobe.errors import FormatError, InvalidTypeError, InvalidValueError, TracerStateError
from gilprobe.tracing import thread_names
from gilprobe.tracing.recording_reader import Recording

SUPPORTED, REASON = tracer.support()

needs_tracer = pytest.mark.skipif(not SUPPORTED, reason=f"the GIL can't be traced here: {REASON}")

METHODS = {name: threading.Thread.__dict__[name] for name in ("_set_native_id", "_delete")}


def assert_nothing_is_left():
    gc.collect()
    assert tracer.sessions() == 0
    assert {name: threading.Thread.__dict__[name] for name in METHODS} == METHODS
    assert thread_names.listeners == []
    await_no_recorder()


def files_in(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(autouse=True)
def nothing_is_left():
    """Every test here ends as it began."""
    yield
    assert_nothing_is_left()


def run_named(name, target, *args):
    thread = threading.Thread(target=target, args=args, name=name)
    thread.start()
    thread.join()


# ---- the file


@pytest.mark.plain_python
@needs_tracer
@pytest.mark.parametrize("kind", [str, os.fsencode, Path])
@pytest.mark.parametrize("timeline", [False, True])
def test_a_recording_is_a_file_for_its_owner_only(tmp_path, kind, timeline):
    path = tmp_path / "x.rec"
    with gilprobe.trace(path=kind(path), timeline=timeline) as trace, busy(2):
        assert trace._writer.recorder.flush(60)
        assert recorders() == timeline
        spin(0.02)
    report = check(trace.report())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert files_in(tmp_path) == ["x.rec"]
    found = recording_chunks.chunks(path)
    assert recording_chunks.finals(found) == 1
    assert [kind for kind, _ in found[-2:]] == ["SNAP", "DONE"]
    holds = sum(thread.hold.count for thread in report.threads)
    assert (recording_chunks.events(found) >= holds) == timeline


@needs_tracer
def test_a_recording_says_what_process_it_is_of(tmp_path):
    path = tmp_path / "x.rec"
    with gilprobe.trace(path=path, stacks=True) as trace:
        doze(1)
    document = recording_chunks.meta(recording_chunks.chunks(path))
    assert (document["pid"], document["parent"]) == (os.getpid(), os.getppid())
    assert document["argv"] == sys.argv
    assert abs(document["started_unix_ns"] - time.time_ns()) < 60e9
    assert document["options"] == {
        "sites": True,
        "stacks": True,
        "timeline": False,
        "cpu_time": False,
        "looks": True,
    }
    assert document["environment"]["python"] == trace.report().environment.python


@needs_tracer
def test_a_recording_replaces_a_file_and_never_half(tmp_path):
    path = tmp_path / "x.rec"
    path.write_bytes(b"before" * 1000)
    path.chmod(0o644)
    with path.open("rb") as old, gilprobe.trace(path=path):
        assert old.read() == b"before" * 1000
        doze(1)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert recording_chunks.chunks(path)
    assert files_in(tmp_path) == ["x.rec"]


@needs_tracer
def test_of_two_traces_with_one_path_the_first_says_that_its_file_was_replaced(tmp_path):
    """And has no timeline any more: the events in the file are the other's."""
    path = tmp_path / "x.rec"
    first = gilprobe.trace(path=path, timeline=True).start()
    run_named("only in the first", doze, 1)
    second = gilprobe.trace(path=path, timeline=True).start()
    assert f"the recording {str(path)!r} was replaced by another file while it was written" in (
        first.report().warnings
    )
    first.stop()
    run_named("only in the second", doze, 1)
    second.stop()
    assert any("was replaced" in doubt for doubt in first.report().warnings)
    assert "only in the first" in {account.name for account in first.report().threads}
    with pytest.raises(FormatError, match="was replaced by another file"):
        first.timeline()
    assert second.report().warnings == ()
    names = {thread.name for thread in second.timeline().threads}
    assert "only in the second" in names
    assert "only in the first" not in names


@needs_tracer
def test_a_trace_knows_its_file_from_another_that_has_got_the_inode(tmp_path):
    """As the third of one path may get that of the first, where the file is not open between two writes."""
    path, other = tmp_path / "x.rec", tmp_path / "other.rec"
    with gilprobe.trace(path=path, timeline=True) as trace:
        run_named("ours", doze, 1)
    with gilprobe.trace(path=other, timeline=True):
        run_named("another's", doze, 1)
    assert "ours" in {thread.name for thread in trace.timeline().threads}
    path.write_bytes(other.read_bytes())
    with pytest.raises(FormatError, match="was replaced by another file"):
        trace.timeline()


@needs_tracer
@pytest.mark.parametrize("timeline", [False, True])
def test_of_many_traces_with_one_path_the_last_has_the_file(tmp_path, timeline):
    path = tmp_path / "x.rec"
    earlier = [gilprobe.trace(path=path, timeline=timeline).start() for _ in range(4)]
    began_unix_ns = time.time_ns()
    last = gilprobe.trace(path=path, timeline=timeline).start()
    for trace in (*earlier, last):
        trace.stop()
    assert last.report().warnings == ()
    assert all(trace.report().warnings for trace in earlier)
    found = Recording.open(path)
    assert found.complete
    assert found.meta["started_unix_ns"] >= began_unix_ns


@needs_tracer
@pytest.mark.parametrize(
    ("harm", "doubt"),
    [
        (lambda path: path.unlink(), "was removed or renamed while it was written"),
        (lambda path: path.rename(path.with_suffix(".old")), "was removed or renamed while it was written"),
        (lambda path: path.write_bytes(b""), os.strerror(errno.ESTALE)),
    ],
    ids=["removed", "renamed", "shortened"],
)
def test_what_others_do_to_a_recording_is_a_doubt_and_the_program_goes_on(tmp_path, harm, doubt):
    path = tmp_path / "x.rec"
    with gilprobe.trace(path=path, timeline=True) as trace:
        run_named("early", doze, 1)
        assert trace._writer.recorder.flush(30.0)
        harm(path)
        run_named("late", doze, 1)
    (told,) = [one for one in trace.report().warnings if one.startswith(f"the recording {str(path)!r} ")]
    assert told.endswith(doubt)
    assert {"early", "late"} <= {account.name for account in trace.report().threads}
    with pytest.raises((FormatError, FileNotFoundError)):
        trace.timeline()


@needs_tracer
@pytest.mark.parametrize("what", ["Session", "encoded_string"])
def test_an_earlier_recording_stays_if_the_new_one_cannot_begin(tmp_path, monkeypatch, what):
    path = tmp_path / "x.rec"
    path.write_bytes(b"earlier")

    def fail(*arguments, **options):
        raise MemoryError("full")

    module = tracer if what == "Session" else gilprobe.tracing.recording_writer
    monkeypatch.setattr(module, what, fail)
    with pytest.raises(MemoryError, match="full"):
        gilprobe.trace(path=path, timeline=True).start()
    assert path.read_bytes() == b"earlier"
    assert files_in(tmp_path) == ["x.rec"]


@needs_tracer
@pytest.mark.plain_python
def test_without_a_thread_an_earlier_recording_stays_and_the_reason_is_told(child):
    ended = child("""
        import os, resource, tempfile
        import gilprobe

        folder = tempfile.mkdtemp()
        with gilprobe.trace(timeline=True):  # loads what it needs, which another user may not read
            pass
        open(f"{folder}/x", "w").write("earlier")
        os.chmod(folder, 0o777), os.chmod(f"{folder}/x", 0o666)
        resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))
        if os.getuid() == 0:  # to whom the limit does not apply
            os.setresuid(54321, 54321, 54321)
        try:
            gilprobe.trace(path=f"{folder}/x", timeline=True).start()
        except OSError as error:
            print(error.filename, error)
        assert open(f"{folder}/x").read() == "earlier"
        assert os.listdir(folder) == ["x"]
        with gilprobe.trace(path=f"{folder}/y"):  # needs none
            pass
    """)
    assert (ended.status, ended.stderr) == (0, "")
    assert ended.stdout.startswith("None [Errno 11] a recording needs a thread, which can't be made: ")


@needs_tracer
def test_a_trace_that_is_started_again_records_anew(tmp_path):
    path = tmp_path / "x.rec"
    trace = gilprobe.trace(path=path, timeline=True)
    for name in ("first", "second"):
        with trace:
            run_named(name, doze, 1)
    found = recording_chunks.chunks(path)
    names = recording_chunks.labels(found)
    seen = {names.get(label & ~LABEL_ENDED) for _, label, _ in recording_chunks.accounts(found)}
    assert "second" in seen
    assert "first" not in seen


def in_the_way(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("precious")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe")


@pytest.mark.plain_python
@needs_tracer
@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("folder", errno.EEXIST),
        ("link", errno.EEXIST),
        ("dangling", errno.EEXIST),
        ("pipe", errno.EEXIST),
        ("missing/x.rec", errno.ENOENT),
        ("file/x.rec", errno.ENOTDIR),
        ("x" * 300, errno.ENAMETOOLONG),
        ("/" * 5000, errno.EEXIST),
    ],
)
def test_what_is_in_the_way_is_refused_before_anything_starts(tmp_path, name, number):
    in_the_way(tmp_path)
    path = os.path.join(tmp_path, name)  # noqa: PTH118  # a Path would lose the slashes
    before = files_in(tmp_path)
    trace = gilprobe.trace(path=path, timeline=True)
    with pytest.raises(OSError, match=os.strerror(number)) as raised:
        trace.start()
    assert raised.value.errno == number
    assert os.fspath(raised.value.filename) == os.path.abspath(path)  # noqa: PTH100
    assert "\n" not in str(raised.value)
    assert not trace.running
    assert_nothing_is_left()
    assert files_in(tmp_path) == before
    assert (tmp_path / "file").read_text() == "precious"
    with pytest.raises(TracerStateError):
        trace.report()


@pytest.mark.plain_python
@pytest.mark.parametrize("path", [7, 1.5, True, ["x"], object])
def test_a_path_is_a_path(path):
    with pytest.raises(InvalidTypeError, match=r"^path must be a path or None, got "):
        gilprobe.trace(path=path)


@needs_tracer
def test_a_path_has_no_zero_byte(tmp_path):
    with pytest.raises(InvalidValueError, match=r"^path must have no zero byte, got '.*a\\x00b'$"):
        gilprobe.trace(path=tmp_path / "a\0b").start()
    assert files_in(tmp_path) == []


@needs_tracer
def test_a_running_trace_keeps_its_recording_when_it_is_started_again(tmp_path):
    path = tmp_path / "x.rec"
    with gilprobe.trace(path=path) as trace:
        inode = path.stat().st_ino
        with pytest.raises(TracerStateError):
            trace.start()
        assert path.stat().st_ino == inode
        run_named("kept", doze, 1)
    assert "kept" in recording_chunks.labels(recording_chunks.chunks(path)).values()


@needs_tracer
def test_a_trace_that_many_threads_start_has_one_recording(tmp_path):
    path = tmp_path / "x.rec"
    trace = gilprobe.trace(path=path, timeline=True)
    inodes, refused = [], []
    barrier = threading.Barrier(6)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)

    def start():
        barrier.wait()
        try:
            trace.start()
            inodes.append(path.stat().st_ino)
        except TracerStateError:
            refused.append(True)

    try:
        run_threads(6, start)
        run_threads(6, trace.stop)
    finally:
        sys.setswitchinterval(interval)
    assert len(refused) == 5
    assert inodes == [path.stat().st_ino]
    assert recording_chunks.finals(recording_chunks.chunks(path)) == 1
    assert check(trace.report()).warnings == ()


@needs_tracer
def test_a_relative_path_is_meant_from_where_the_trace_started(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    with gilprobe.trace(path="x.rec", timeline=True) as trace:
        os.chdir(tmp_path / "elsewhere")
        os.closerange(200, 260)  # as programs do that become daemons: the recorder opens its file again
        spin(0.02)
    assert check(trace.report()).warnings == ()
    assert recording_chunks.chunks(tmp_path / "x.rec")
    assert files_in(tmp_path / "elsewhere") == []


@needs_tracer
def test_a_timeline_without_a_path_leaves_no_file(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    trace = gilprobe.trace(timeline=True)
    for _ in range(2):
        with trace:
            doze(1)
        (folder,) = tmp_path.iterdir()  # the first run's is gone
        (file,) = folder.iterdir()
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert recording_chunks.events(recording_chunks.chunks(file)) > 0
    del trace
    gc.collect()
    assert files_in(tmp_path) == []


@needs_tracer
def test_a_recording_ends_with_the_last_reference_to_its_trace(tmp_path):
    gilprobe.trace(path=tmp_path / "x.rec", timeline=True).start()
    assert_nothing_is_left()
    assert recording_chunks.finals(recording_chunks.chunks(tmp_path / "x.rec")) == 1


@pytest.mark.lengthy
@needs_tracer
def test_a_session_that_is_garbage_is_recorded_to_its_end(tmp_path):
    """The collector may take it apart in any order, as it does at the interpreter's end."""
    for n in range(8):
        recorder = tracer.Recorder(os.fsencode(tmp_path / f"{n}.rec"))
        garbage = [tracer.Session(sites=True, timeline=True, recorder=recorder)]
        garbage.append(garbage)
        doze(1)
        del garbage
        gc.collect()
        recorder.finish()
        assert recording_chunks.finals(recording_chunks.chunks(tmp_path / f"{n}.rec")) == 1


@needs_tracer
def test_nested_traces_write_recordings_of_their_own(tmp_path):
    with gilprobe.trace(path=tmp_path / "outer", timeline=True):
        with gilprobe.trace(path=tmp_path / "inner"):
            run_named("within", doze, 1)
        run_named("after", doze, 1)
    names = [
        set(recording_chunks.labels(recording_chunks.chunks(tmp_path / n)).values())
        for n in ("outer", "inner")
    ]
    assert {"within", "after"} <= names[0]
    assert "within" in names[1]


# ---- names


@needs_tracer
def test_threads_have_their_names_in_the_file(tmp_path):
    """Those that begin within by a label, those that were there and are still by their identifiers."""
    end = threading.Event()
    before = threading.Thread(target=end.wait, name="before")
    before.start()
    ids = {}

    def note(name):
        ids[name] = threading.get_native_id()
        doze(1)
        if name == "old":
            threading.current_thread().name = "renamed"

    names = ["plain", "Wörker-线程 🧵", "odd \ud800 \0 \n", "old"]
    path = tmp_path / "x.rec"
    with gilprobe.trace(path=path):
        for name in names:
            run_named(name, note, name)
    end.set()
    before.join()
    found = recording_chunks.chunks(path)
    known = recording_chunks.labels(found)
    accounts = {native_id: label for native_id, label, _ in recording_chunks.accounts(found)}
    for name in names:
        label = accounts[ids[name]]
        assert label & LABEL_ENDED
        assert known[label & ~LABEL_ENDED] == ("renamed" if name == "old" else name)
    assert {(threading.get_native_id(), MAIN), (before.native_id, "before")} <= recording_chunks.alive(found)


@needs_tracer
def test_a_running_thread_has_its_name_in_the_file_before_it_ends(tmp_path):
    end, began = threading.Event(), threading.Event()
    path = tmp_path / "x.rec"

    def work():
        began.set()
        end.wait()

    trace = gilprobe.trace(path=path).start()
    thread = threading.Thread(target=work, name="alive")
    thread.start()
    began.wait()
    assert trace._writer.recorder.flush(60)
    found = recording_chunks.chunks(path)  # as of a process that is killed now
    label = dict(recording_chunks.threads(found).values())[thread.native_id]
    assert recording_chunks.labels(found)[label] == "alive"
    end.set()
    thread.join()
    trace.stop()


@pytest.mark.lengthy
@needs_tracer
def test_threads_that_come_and_go_between_two_rounds_of_the_writer_have_their_names(tmp_path):
    """The trace is over before it looks again: what the threads are called must not depend on its pace."""
    for number in range(20):
        path = tmp_path / f"{number}.rec"
        with gilprobe.trace(path=path):
            run_named("short", doze, 1)
        found = recording_chunks.chunks(path)
        labels = recording_chunks.labels(found)
        last = recording_chunks.threads(found).values()
        assert "short" in {labels.get(label & ~LABEL_ENDED) for _, label in last}


@needs_tracer
@pytest.mark.parametrize("setter", ["setprofile", "settrace"])
def test_profilers_see_no_frame_of_the_recorder(tmp_path, setter):
    seen = set()

    def hook(frame, event, argument):
        seen.add(frame.f_code.co_filename)
        return hook

    before = getattr(threading, f"get{setter[3:]}")()
    getattr(threading, setter)(hook)
    try:
        with gilprobe.trace(path=tmp_path / "x.rec", timeline=True):
            for n in range(3):
                run_named(f"new to the recording {setter} {n}", doze, 1)
    finally:
        getattr(threading, setter)(before)
    assert any(name.endswith("tracer_checks.py") for name in seen)
    package = str(Path(gilprobe.__file__).parent)
    assert not [name for name in seen if name.startswith((package, "gilprobe"))]


def test_numbers_and_strings_are_encoded_as_the_format_says():
    for value in (0, 1, 127, 128, 300, 2**31, 2**32 + 5, 2**64 - 1):
        payload = recording_chunks.Payload(encoded_number(value))
        assert payload.number() == value
        assert not payload
    for text in ("", "x", "é" * 300, "\ud800", "\0", "x" * STRING_MAX):
        payload = recording_chunks.Payload(encoded_string(text))
        assert payload.string() == text
        assert not payload


@pytest.mark.plain_python
@pytest.mark.parametrize("character", ["x", "é", "中", "🧵", "\ud800"])
@pytest.mark.parametrize("shift", range(4))
def test_a_string_that_is_too_long_is_cut_between_characters(character, shift):
    text = "x" * shift + character * STRING_MAX
    cut = recording_chunks.Payload(encoded_string(text)).string()
    assert text.startswith(cut)
    size = len(cut.encode("utf-8", "surrogatepass"))
    assert STRING_MAX - 3 <= size <= STRING_MAX


# ---- what may go wrong


def test_a_full_disk_ends_the_recording_and_not_the_program(child):
    ended = child("""
        import os, resource, sys
        import gilprobe, recording_chunks
        from gilprobe._native import tracer
        from tracer_checks import check, doze, run_threads

        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
        with gilprobe.trace(path="x.rec", timeline=True, stacks=True) as t:
            run_threads(3, doze, 100)
            while not t.report().warnings: run_threads(3, doze, 100)
        report = check(t.report(), lossless=False)
        (warning,) = report.warnings
        assert warning.startswith(f"the recording {os.path.abspath('x.rec')!r} ends after "), warning
        assert warning.endswith("events: File too large"), warning
        assert os.stat("x.rec").st_size <= 20_000
        assert recording_chunks.chunks("x.rec")
        assert sum(thread.acquisitions for thread in report.threads) >= 300
        assert tracer.sessions() == 0
        print("done")
    """)
    assert (ended.stderr, ended.stdout, ended.status) == ("", "done\n", 0)


def test_a_forked_child_leaves_the_recording_to_its_parent(child):
    ended = child("""
        import os, sys, threading
        import gilprobe, recording_chunks
        from tracer_checks import check, doze, fork, spin, wait

        def end_of_child():
            doze()
            report = check(t.report(), lossless=False)
            assert report.warnings == (
                f"process {os.getpid()} was forked: only process {os.getppid()} is recorded",
            ), report.warnings
            t.stop()
            assert t.report().warnings == report.warnings
            with gilprobe.trace(path="child.rec", timeline=True) as own: doze()
            check(own.report())

        with gilprobe.trace(path="x.rec", timeline=True) as t:
            assert wait(fork(end_of_child)) == 0
            pid = os.fork()
            if pid == 0: sys.exit(7)  # all the way through the interpreter's end
            assert wait(pid) == 7
            thread = threading.Thread(target=doze, name="after the fork")
            thread.start()
            thread.join()
        check(t.report())
        found = recording_chunks.chunks("x.rec")
        assert "after the fork" in recording_chunks.labels(found).values()
        assert recording_chunks.finals(found) == 1
        assert recording_chunks.meta(found)["pid"] == os.getpid()
        assert recording_chunks.meta(recording_chunks.chunks("child.rec"))["parent"] == os.getpid()
        print("done")
    """)
    assert (ended.stderr, ended.stdout, ended.status) == ("", "done\n", 0)


def test_a_forked_child_leaves_the_temporary_file_to_its_parent(child, tmp_path):
    (tmp_path / "temporary").mkdir()
    ended = child(
        """
        import os, sys
        import gilprobe, recording_chunks
        from tracer_checks import doze, wait

        with gilprobe.trace(timeline=True) as t:
            pid = os.fork()
            if pid == 0: sys.exit(7)  # all the way through the interpreter's end
            assert wait(pid) == 7
            doze()
        (folder,) = os.listdir("temporary")
        (file,) = os.listdir(f"temporary/{folder}")
        assert recording_chunks.finals(recording_chunks.chunks(f"temporary/{folder}/{file}")) == 1
        print("done")
        """,
        env={"TMPDIR": str(tmp_path / "temporary")},
    )
    assert (ended.stderr, ended.stdout, ended.status) == ("", "done\n", 0)
    assert files_in(tmp_path / "temporary") == []


@pytest.mark.parametrize("end", ["", "sys.exit(0)", "os.kill(os.getpid(), signal.SIGKILL)"])
def test_a_program_that_ends_inside_its_trace_leaves_a_readable_recording(child, tmp_path, end):
    ended = child(f"""
        import os, signal, sys, time
        import gilprobe
        from tracer_checks import doze

        t = gilprobe.trace(path="x.rec", timeline=True).start()
        doze(100)
        assert t._writer.recorder.flush(30)
        print("done", flush=True)
        {end}
    """)
    assert (ended.stderr, ended.stdout) == ("", "done\n")
    assert recording_chunks.events(recording_chunks.chunks(tmp_path / "x.rec")) >= 100


@needs_tracer
def test_whatever_is_the_last_to_be_written_has_numbers_that_can_be(tmp_path):
    """A process may be killed at any time: each snapshot is read while threads take and drop the GIL."""
    path, end = tmp_path / "x.rec", threading.Event()

    def work(spins):
        while not end.is_set():
            for _ in range(50):
                time.sleep(0)
            sum(range(spins))

    with gilprobe.trace(path=path) as trace:
        threads = [threading.Thread(target=work, args=(2000 * n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for _ in range(300):
            assert trace._writer.recorder.flush(60)
        end.set()
        for thread in threads:
            thread.join()
    payloads = [payload for kind, payload in recording_chunks.chunks(path) if kind == "SNAP"]
    assert len(payloads) >= 300
    for snapshot in map(recording.decode_snapshot, payloads):
        totals, accounts = snapshot["totals"], snapshot["accounts"]
        assert [account["imbalance_ticks"] for account in accounts] == [0] * len(accounts)
        held_ns = sum(account["hold_ns"] for account in accounts)
        assert totals["contended_ns"] <= held_ns + len(accounts)  # each is rounded
        assert held_ns <= totals["elapsed_ns"]
        assert all(row["first_ns"] + row["lifetime_ns"] <= totals["elapsed_ns"] for row in accounts)
        for account in accounts:
            blamed_ns = sum(row[3] for row in snapshot["blame"] if row[0] == account["number"])
            assert blamed_ns <= account["wait_ns"]


def test_names_of_the_operating_system_are_cut_into_utf8(child):
    """The system keeps 15 bytes, whatever they are: part of a character at the end, or no text at all."""
    script = """
        import ctypes, sys
        import gilprobe, recording_chunks
        from tracer_checks import check

        libc = ctypes.CDLL(None)
        callback = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)(lambda _: 0)
        names = []
        for name in (b"12345678901234\\xe4\\xb8", b"\\xff\\xfe", "Wörker".encode(), b"\\xed\\xa0\\x80"):
            with gilprobe.trace(path="x.rec") as t:
                handle = ctypes.c_ulong()
                libc.prctl(15, name)
                assert libc.pthread_create(ctypes.byref(handle), None, callback, None) == 0
                assert libc.pthread_join(handle, None) == 0
            (native,) = [thread for thread in check(t.report()).threads if thread.name != "MainThread"]
            names.append(native.name)
            found = recording_chunks.chunks("x.rec")
            assert native.name in {name for _, _, name in recording_chunks.accounts(found)}
            recording_chunks.threads(found)  # decodes them, too
        print(ascii(names))
    """
    ended = child(script)
    expected = ["12345678901234?", "??", "W\xf6rker", "\ud800"]
    assert (ended.stderr, ended.stdout, ended.status) == ("", ascii(expected) + "\n", 0)


@pytest.mark.plain_python
@needs_tracer
@pytest.mark.parametrize("argv", [None, "text", [7, "word", object()], []])
def test_the_program_may_have_put_anything_into_argv(tmp_path, monkeypatch, argv):
    monkeypatch.setattr(sys, "argv", argv)
    with gilprobe.trace(path=tmp_path / "x.rec"):
        pass
    words = recording_chunks.meta(recording_chunks.chunks(tmp_path / "x.rec"))["argv"]
    assert words == ([word for word in argv if isinstance(word, str)] if isinstance(argv, list) else [])


@pytest.mark.plain_python
@needs_tracer
@pytest.mark.parametrize("options", [{"path": "x.rec"}, {"timeline": True}])
def test_a_process_without_a_free_descriptor_can_have_no_recording(tmp_path, monkeypatch, options):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    gilprobe.trace().start().stop()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
    try:
        with pytest.raises(OSError, match=os.strerror(errno.EMFILE)):
            gilprobe.trace(**options).start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert_nothing_is_left()
    assert files_in(tmp_path) == []


@needs_tracer
def test_the_program_may_use_all_descriptors(tmp_path):
    """Nothing of the recorder stands where programs expect their own files: its thread has it for itself."""
    before = list_descriptors()
    with gilprobe.trace(path=tmp_path / "x.rec") as trace:
        assert list_descriptors() == before
        with (tmp_path / "x.rec").open("rb") as file:
            assert links_to(file.fileno(), tmp_path / "x.rec")
        os.closerange(3 + max(before), 1024)
        subprocess.run([sys.executable, "-c", ""], check=True)
    assert check(trace.report()).warnings == ()


def list_descriptors():
    return [int(entry.name) for entry in Path("/proc/self/fd").iterdir()]


def links_to(fd, path):
    with contextlib.suppress(OSError):
        return Path(f"/proc/self/fd/{fd}").readlink() == path
    return False
