"""``gilprobe record --follow``: every child that runs Python leaves a recording, and none is disturbed."""

from __future__ import annotations

import json
import re
import sys

import pytest
from recordings import read
from side_by_side import FREE_THREADED, both, environment, outcome, record_command, start, write_files

from gilprobe import __version__
from gilprobe.follow import VARIABLE, child_path
from gilprobe.loading import children_of
from gilprobe.machine import capabilities

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


@pytest.fixture
def folder(tmp_path):
    """Return a folder with a place for temporary files, which must be empty in the end."""
    (tmp_path / "tmp").mkdir()
    yield tmp_path
    assert not [path.name for path in (tmp_path / "tmp").iterdir() if path.name.startswith("gilprobe")]


def test_files_of_children_stand_beside_their_parents(tmp_path):
    target = tmp_path / "a.gilprobe"
    first = child_path(target, 12)
    assert first == tmp_path / "a.12.gilprobe"
    first.touch()
    second = child_path(target, 12)
    assert second == tmp_path / "a.12-2.gilprobe"
    second.touch()
    for name in ("a.x.gilprobe", "a.1.txt", "ab.1.gilprobe", "a.gilprobe", "a..gilprobe", "a.1-2-3.gilprobe"):
        (tmp_path / name).touch()
    assert set(children_of(target)) == {second, first}
    assert child_path(tmp_path / "noext", 3) == tmp_path / "noext.3"


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
    assert errors.count("Traceback") == 1
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
    assert (status, errors.count("Traceback")) == (0, 0)
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
                ours = [p for p in sys.path if os.path.exists(p + "/sitecustomize.py") and "/gilprobe-" in p]
                print("pid", os.getpid(), sys.argv[1:], ours, flush=True)
            """
        },
    )
    script = """
        import os, subprocess, sys
        for options in ([], ["-P"], ["-I"], ["-E"], ["-S"], ["-B", "-OO"]):
            subprocess.run([sys.executable, *options, "child.py", "x"], check=True)
        replace = "import os, sys; os.execv(sys.executable, [sys.executable, 'child.py', 'y'])"
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
        while "GILPROBE_FOLLOW" in os.environ or os.path.exists(before[0]):
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
    ["", "{", "[]", "{}", '{"target": 3, "options": {}}', '{"target": "/nowhere/x", "options": {}}', "\\"],
)
def test_an_environment_that_makes_no_sense_disturbs_nobody(folder, content):
    sitecustomize = leaked_sitecustomize(folder)
    env = environment(PYTHONPATH=str(sitecustomize.parent), **{VARIABLE: content})
    assert outcome(start([sys.executable, "-c", "print(1)"], folder, env=env)) == (0, "1\n", "")


def leaked_sitecustomize(folder):
    """Return a copy of the sitecustomize that a recording makes for its children."""
    script = "import os, shutil; shutil.copytree(os.environ['PYTHONPATH'], 'copy')"
    follow(folder, script)
    return folder / "copy" / "sitecustomize.py"


def test_another_gilprobe_or_none_is_left_alone(folder):
    sitecustomize = leaked_sitecustomize(folder)
    document = json.dumps({"target": str(folder / "b.gilprobe"), "options": {}})
    env = {"PYTHONPATH": str(sitecustomize.parent), VARIABLE: document}
    run = [sys.executable, "-c", "import sys; print(1)"]
    assert outcome(start(run, folder, env=env)) == (0, "1\n", "")
    assert len(list(children_of(folder / "b.gilprobe"))) == 1
    text = sitecustomize.read_text()
    sitecustomize.write_text(text.replace(repr(__version__), "'0.0.other'"))
    assert outcome(start(run, folder, env=env)) == (0, "1\n", "")
    sitecustomize.write_text(text.replace("import gilprobe", "import gilprobe_is_not_here"))
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
                os._exit(7)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        stop.set()
        [thread.join() for thread in threads]
        print("done")
    """
    status, out, _, found = follow(folder, script)
    assert (status, out) == (0, "done\n")
    assert len(found) == (0 if FREE_THREADED else 20)  # docs/commands/record.md says why
