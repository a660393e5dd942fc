"""``gilprobe record --follow``: every child that runs Python leaves a recording, and none is disturbed."""

from __future__ import annotations

import re
import shutil
import sys
import time
from pathlib import Path

import pytest
from recordings import read
from side_by_side import FREE_THREADED, both, environment, outcome, record_command, start, write_files

from gilprobe import __version__
from gilprobe.measuring.host import capabilities
from gilprobe.programs.follow import FOLDER, VARIABLE, child_path
from gilprobe.programs.program_recording import RecordOptions
from gilprobe.tracing.loading import children_of, load
from gilprobe.tracing.recording_reader import Recording

pytestmark = pytest.mark.skipif(
    "import slots" in capabilities().tracer_reason, reason="no tracer here, with a GIL or without"
)


def follow(folder, script, *arguments, flags=("-W", "ignore"), options=(), env=None):
    """Record `script` and its children; return status, output, errors and the files by process."""
    write_files(folder, {"program.py": script})
    command = record_command(
        "program.py", *arguments, flags=flags, options=["--follow", *options], target=folder / "all.gilprobe"
    )
    ended = outcome(start(command, folder, env={"TMPDIR": str(folder / "tmp")} | (env or {})))
    found = {}
    for path in children_of(folder / "all.gilprobe"):
        found.setdefault(int(re.split("[-.]", path.name)[1]), []).append(path)
    return *ended, found


def wait_for(condition):
    """Wait until it is true; pytest's timeout is the limit."""
    while not condition():
        time.sleep(0.01)


@pytest.fixture
def folder(tmp_path):
    """Return a folder with a place for temporary files, which must be empty in the end."""
    (tmp_path / "tmp").mkdir()
    yield tmp_path
    assert not [path.name for path in (tmp_path / "tmp").iterdir() if path.name.startswith("gilprobe")]


def test_files_of_children_stand_beside_their_parents(tmp_path):
    target = tmp_path / "a.gilprobe"
    first = Path(child_path(str(target), 12))
    assert first == tmp_path / "a.12.gilprobe"
    first.touch()
    second = Path(child_path(str(target), 12))
    assert second == tmp_path / "a.12-2.gilprobe"
    second.touch()
    for name in ("a.x.gilprobe", "a.1.txt", "ab.1.gilprobe", "a.gilprobe", "a..gilprobe", "a.1-2-3.gilprobe"):
        (tmp_path / name).touch()
    assert set(children_of(target)) == {second, first}
    assert child_path("/folder.d/noext", 3) == "/folder.d/noext.3"


def test_forks_are_followed_however_they_end(folder):
    script = """
        import atexit, os, sys, threading
        atexit.register(lambda: print("exit of", os.getpid(), flush=True))
        children = []
        for ending in ("return", "exit", "error", "fork"):
            child = os.fork()
            if not child:
                threading.current_thread().name = ending
                if ending == "exit": sys.exit(4)
                if ending == "error": raise ValueError("on purpose")
                if ending == "fork":
                    grandchild = os.fork()
                    if grandchild:
                        os.waitpid(grandchild, 0)
                    else:
                        print("pid", os.getpid(), flush=True)
                break
            print("pid", child, flush=True)
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    """
    status, out, errors, found = follow(folder, script)
    assert status == 0
    pids = [int(word) for word in re.findall(r"pid (\d+)", out)]
    assert len(pids) == 5
    assert sorted(found) == sorted(pids)
    assert re.findall(r"^\d+$", out, re.MULTILINE) == ["0", "4", "1", "0"]
    assert out.count("exit of") == 6
    assert errors.count("Traceback (most recent call last)") == 1
    assert errors.count("gilprobe: recorded;") == 1
    names = set()
    for files in found.values():
        (path,) = files
        names |= {thread.name for thread in read(path).threads}
    assert {"return", "exit", "error", "fork"} <= names


POOLS = """
    import multiprocessing, os, sys, threading, time
    def pid(_):
        time.sleep(0.01)
        return os.getpid()
    def grand():
        process = multiprocessing.get_context("spawn").Process(target=announce)
        process.start()
        process.join()
        announce()
    def announce():
        threading.Thread(target=time.sleep, args=(0.05,), name="late").start()
        print("pid", os.getpid(), flush=True)
    if __name__ == "__main__":
        for method in sys.argv[1:]:
            context = multiprocessing.get_context(method)
            process = context.Process(target=grand)
            process.start()
            process.join()
            pool = context.Pool(2)
            for number in set(pool.map(pid, range(20))):
                print("pid", number, flush=True)
            pool.close()
            pool.join()
"""


# the process, its own child, two workers; forkserver's own process; never multiprocessing's resource tracker
@pytest.mark.parametrize(("method", "processes"), [("fork", 4), ("spawn", 4), ("forkserver", 5)])
def test_the_processes_of_multiprocessing_are_followed(folder, method, processes):
    status, out, errors, found = follow(folder, POOLS, method)
    assert (status, errors.count("Traceback (most recent call last)")) == (0, 0)
    pids = {int(word) for word in re.findall(r"pid (\d+)", out)}
    assert len(pids) >= 3
    assert pids <= set(found)
    assert len(found) == processes
    for pid in pids:
        (path,) = found[pid]
        report = read(path)
        assert report.threads
        assert report.held_ns > 0


def test_interpreters_that_are_started_are_followed(folder):
    write_files(
        folder,
        {
            "child.py": """
                import os, sys
                ours = [p for p in sys.path if p.endswith("_follow")]
                print("pid", os.getpid(), sys.argv[1:], ours, flush=True)
            """
        },
    )
    script = """
        import os, subprocess, sys
        for options in ([], ["-P"], ["-I"], ["-E"], ["-S"], ["-B", "-OO"]):
            subprocess.run([sys.executable, *options, "child.py", "x"], check=True)
        there = "while not any(str(os.getpid()) in name for name in os.listdir()): pass"
        replace = "os.execv(sys.executable, [sys.executable, 'child.py', 'y'])"
        replace = f"import os, sys\\n{there}\\n{replace}"
        subprocess.run([sys.executable, "-c", replace])
        os.system(f"exec {sys.executable} -c pass")
    """
    status, out, errors, found = follow(folder, script)
    assert status == 0
    pids = [int(word) for word in re.findall(r"pid (\d+)", out)]
    assert len(pids) == 7
    assert out.count("['x'] []") == 5  # with -S nothing takes our folder off the path again
    followed = [pids[0], pids[1], pids[5]]
    for pid in followed:
        (path,) = found[pid]
        assert read(path).threads
    assert not set(pids[2:5]) & set(found)
    (second,) = [path for path in found[pids[6]] if "-2" in path.name]  # the first ended with os.execv
    assert read(second).threads
    assert len(found) == 5  # and the one of os.system
    assert "gilprobe report all.gilprobe" in errors  # which finds them itself


@pytest.mark.spawns_nothing
def test_a_sitecustomize_that_was_there_still_runs(folder):
    write_files(
        folder,
        {
            "site/sitecustomize.py": "import sys; print('customized', __file__)",
            "broken/sitecustomize.py": "1 / 0",
        },
    )
    script = """
        import subprocess, sys
        code = "import sys, sitecustomize; print(sys.path, sitecustomize.__file__)"
        subprocess.run([sys.executable, "-c", code])
    """
    for name in ("site", "broken"):
        write_files(folder, {"program.py": script})
        env = {"PYTHONPATH": str(folder / name), "TMPDIR": str(folder / "tmp")}
        plain, recorded = both(folder, "program.py", env=env, options=["--follow"])
        if name == "broken":  # plain python forgets a module that failed; so do we, but for the name of ours
            assert "Error in sitecustomize" in recorded[2]
            assert recorded[2].count("ZeroDivisionError") == plain[2].count("ZeroDivisionError")
        else:
            assert recorded == plain


def test_children_see_the_environment_but_nothing_else(folder):
    script = """
        import os, subprocess, sys
        print(sorted(name for name in os.environ if name.startswith(("PYTHON", "GILPROBE"))), flush=True)
        subprocess.run([sys.executable, "-c", "import sys; print(sys.path, sys.argv, sys.flags)"])
        subprocess.run([sys.executable, "-c", "print(1)"], env={"PYTHON_GIL": "1"})
    """
    _, out, _, found = follow(folder, script)
    assert VARIABLE in out
    assert len(found) == 1


def test_what_starts_after_the_duration_is_not_followed(folder):
    script = """
        import os, subprocess, sys, time
        before = os.environ["PYTHONPATH"].split(os.pathsep)
        while "GILPROBE_FOLLOW" in os.environ:
            time.sleep(0.01)
        print(before[-1], os.environ["PYTHONPATH"], flush=True)
        subprocess.run([sys.executable, "-c", "pass"], check=True)
        child = os.fork()
        if child:
            os.waitpid(child, 0)
    """
    status, out, errors, found = follow(
        folder, script, options=["--duration", "10ms"], env={"PYTHONPATH": "/earlier"}
    )
    assert (status, out, found) == (0, "/earlier /earlier\n", {})
    assert errors.count("gilprobe: stopped recording after ") == 1


@pytest.mark.plain_python
@pytest.mark.parametrize(
    "content",
    [
        "",
        ":",
        "::",
        "0:stacks=1:x",
        *(f"{__version__}:{rest}" for rest in ("", ":", "stacks=1:x", "\\:/x")),
        f"{__version__}:{RecordOptions().to_text()}:/nowhere/x",
    ],
)
def test_an_environment_that_makes_no_sense_disturbs_nobody(folder, content):
    env = environment(PYTHONPATH=FOLDER, **{VARIABLE: content})
    assert outcome(start([sys.executable, "-c", "print(1)"], folder, env=env)) == (0, "1\n", "")


def test_another_gilprobe_or_none_is_left_alone(folder):
    shutil.copytree(FOLDER, folder / "copy", ignore=shutil.ignore_patterns("__pycache__"))
    sitecustomize = folder / "copy" / "sitecustomize.py"
    rest = f"{RecordOptions().to_text()}:{folder / 'b.gilprobe'}"
    env = {"PYTHONPATH": str(sitecustomize.parent), VARIABLE: f"{__version__}:{rest}"}
    run = [sys.executable, "-c", "import sys; print(1)"]
    assert outcome(start(run, folder, env=env)) == (0, "1\n", "")
    assert len(list(children_of(folder / "b.gilprobe"))) == 1
    other = env | {VARIABLE: f"0.0.other:{rest}"}
    assert outcome(start(run, folder, env=other)) == (0, "1\n", "")
    text = sitecustomize.read_text()
    sitecustomize.write_text(text.replace("from gilprobe import", "from gilprobe_is_not_here import"))
    assert outcome(start(run, folder, env=env)) == (0, "1\n", "")
    assert len(list(children_of(folder / "b.gilprobe"))) == 1


def test_an_interpreter_within_a_child_is_no_child(folder):
    child = """
        try:
            import _interpreters as interpreters
        except ImportError:
            import _xxsubinterpreters as interpreters
        inner = interpreters.create()
        interpreters.run_string(inner, "import sys; print(len(sys.modules) > 10, flush=True)")
        interpreters.destroy(inner)
    """
    write_files(folder, {"child.py": child})
    script = "import subprocess, sys; subprocess.run([sys.executable, 'child.py'], check=True)"
    status, out, _, found = follow(folder, script)
    assert (status, out) == (0, "True\n")
    ((path,),) = found.values()
    assert read(path).threads


def test_a_fork_in_a_busy_process_does_not_hang(folder):
    script = """
        import os, threading, importlib
        stop = threading.Event()
        def churn():
            while not stop.is_set():
                importlib.reload(importlib.import_module("colorsys"))
        threads = [threading.Thread(target=churn) for _ in range(3)]
        [thread.start() for thread in threads]
        for _ in range(20):
            child = os.fork()
            if not child:
                os.stat(".")  # lets the GIL go: a child that never does so leaves nothing
                os._exit(7)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        stop.set()
        [thread.join() for thread in threads]
        print("done")
    """
    status, out, _, found = follow(folder, script)
    assert (status, out) == (0, "done\n")
    assert len(found) == (0 if FREE_THREADED else 20)  # docs/commands/record.md says why


@pytest.mark.parametrize(
    "ending", ["os.kill(os.getpid(), 15)", "os._exit(0)", "os.execv('/bin/true', ['true'])", "sys.exit()"]
)
def test_nothing_is_left_behind_however_the_first_process_ends(folder, ending):
    before = sorted(path.name for path in Path(FOLDER).iterdir())
    follow(folder, f"import os, sys; {ending}")  # the fixture looks into the folder for temporary files
    assert sorted(path.name for path in Path(FOLDER).iterdir()) == before


def test_a_process_that_outlives_the_first_is_followed_and_so_are_its_children(folder):
    write_files(
        folder,
        {
            "server.py": """
                import os, subprocess, sys, time
                while os.getppid() == int(sys.argv[1]):
                    time.sleep(0.01)
                subprocess.run([sys.executable, "-c", "open('served', 'w').close()"])
                os.rename("served", "done")
            """
        },
    )
    # between its start and its end it has no time to come to its site module
    script = """
        import os, subprocess, sys
        nothing = subprocess.DEVNULL
        subprocess.Popen([sys.executable, "server.py", str(os.getpid())], stdout=nothing, stderr=nothing)
    """
    follow(folder, script)
    wait_for(lambda: (folder / "done").exists() and len(list(children_of(folder / "all.gilprobe"))) == 2)


def test_what_follows_forks_does_not_add_up_over_generations(folder):
    script = """
        import multiprocessing, multiprocessing.util, sys
        def born(left, queue):
            if left == 0:
                queue.put(len(multiprocessing.util._afterfork_registry))
            else:
                child = multiprocessing.get_context("fork").Process(target=born, args=(left - 1, queue))
                child.start()
                child.join()
        if __name__ == "__main__":
            queue = multiprocessing.get_context("fork").SimpleQueue()
            born(int(sys.argv[1]), queue)
            print(queue.get())
    """
    _, few, _, _ = follow(folder, script, "1")
    _, many, _, _ = follow(folder, script, "5")
    assert few == many


@pytest.mark.spawns_nothing
def test_a_followed_interpreter_loads_little(folder):
    """What would cost each of a thousand short processes more than the rest of its start."""
    code = "import sys; print(*sorted(sys.modules))"
    script = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {code!r}], check=True)"
    _, out, _, found = follow(folder, script)
    assert len(found) == 1
    plain, _, _ = outcome(start([sys.executable, "-c", code], folder))[1].partition("\n")
    heavy = {"argparse", "ast", "dataclasses", "inspect", "json", "pathlib", "re", "tempfile", "typing"}
    assert set(out.split()) & heavy <= set(plain.split())
    assert "gilprobe.tracing.tracer" in out.split()


WORKERS = """
    import os, threading
    def take_turns():
        me = threading.get_ident()
        while len(turns) < 40:  # each of them after a switch interval of waiting
            if turns[-1:] != [me]:
                turns.append(me)
    turns = []
    child = os.fork()
    if child:
        print("pid", child, flush=True)
        os.waitpid(child, 0)
    threads = [threading.Thread(target=take_turns, name="spinner") for _ in range(2)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    os._exit(7)
"""


def test_a_recording_reaches_up_to_os_exit(folder):
    """In the first process and in its child: a snapshot each second would know of nothing here."""
    status, _, _, found = follow(folder, WORKERS)
    assert status == 7
    ((child,),) = found.values()
    for path in (child, folder / "all.gilprobe"):
        report = read(path)
        assert [thread.name for thread in report.threads].count("spinner") == 2
        assert report.contended_s > 0.1
        assert Recording.open(path).done == {"reason": "exit", "status": 7}


LISTING = "import os; print(sorted(int(number) for number in os.listdir('/proc/self/fd')), flush=True)"


def test_no_descriptor_of_ours_is_open_in_the_program_or_its_children(folder):
    script = f"""
        import os, subprocess, sys, threading
        def look():
            {LISTING}
        look()
        for threads in (0, 1):  # alone, and so that nothing is paused
            stop = threading.Event()
            others = [threading.Thread(target=stop.wait) for _ in range(threads)]
            [other.start() for other in others]
            child = os.fork()
            look()
            if not child:
                os._exit(0)
            os.waitpid(child, 0)
            look()
            stop.set()
            [other.join() for other in others]
        subprocess.run([sys.executable, "-c", {LISTING!r}], close_fds=False)
    """
    write_files(folder, {"program.py": script})
    _, plain, _ = outcome(start([sys.executable, "-W", "ignore", "program.py"], folder))
    _, out, _, _ = follow(folder, script, options=["--stall", "10s"])
    assert sorted(out.splitlines()) == sorted(plain.splitlines())


@pytest.mark.spawns_nothing
def test_a_file_that_was_moved_is_still_written_after_forks(folder):
    """Its descriptor goes from the recorder's thread to the process and back: the name leads nowhere."""
    script = """
        import os, threading
        first = threading.Thread(target=len, args=("",))  # from here on there is a thread that writes
        first.start()
        first.join()
        os.rename("all.gilprobe", "moved")
        os.mkdir("all.gilprobe")
        for _ in range(5):
            child = os.fork()
            if not child:
                os._exit(0)
            os.waitpid(child, 0)
        late = threading.Thread(target=len, args=("",), name="late")
        late.start()
        late.join()
    """
    status, _, _, _ = follow(folder, script)
    assert status == 0
    assert "late" in [thread.name for thread in read(folder / "moved").threads]


def test_children_that_end_at_once_leave_nothing(folder):
    # a recorder writes first after 0.05 s, which a busy machine may need for a child that does nothing
    script = """
        import os, time
        quick = 0
        while quick < 20:
            begin = time.monotonic()
            child = os.fork()
            if not child:
                if quick % 2:
                    os._exit(3)
                os.execv("/bin/true", ["true"])
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            assert status == (3 if quick % 2 else 0)
            if time.monotonic() - begin < 0.04:
                quick += 1
                print(child)
    """
    status, out, _, found = follow(folder, script)
    quick = {int(word) for word in out.split()}
    assert (status, len(quick), quick & found.keys()) == (0, 20, set())


def test_the_end_tells_of_the_children(folder):
    script = """
        import subprocess, sys
        code = "import threading\\ndef spin(): [None for _ in range(5_000_000)]\\n"
        code += "threads = [threading.Thread(target=spin) for _ in range(2)]\\n"
        code += "[thread.start() for thread in threads]\\n[thread.join() for thread in threads]"
        for words in (["-c", code], ["-c", "pass", "calm"]):
            subprocess.run([sys.executable, *words], check=True)
    """
    _, _, errors, found = follow(folder, script)
    assert "\n2 more processes, 1 of them contended\n" in f"\n{errors}"
    assert "hardly slows this program down" not in errors
    assert "No thread waited" not in errors
    told = [load(path).title for files in found.values() for path in files]
    assert sum(title.endswith(": -c pass calm") for title in told) == 1
    (busy,) = [title for title in told if "import threading" in title]
    assert f"Threads waited most in {busy.partition(':')[0]}: -c " in errors
