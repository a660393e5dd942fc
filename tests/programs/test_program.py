"""A program runs under ``gilprobe record`` as it runs under plain ``python``: the same output, to the letter.

Each test runs both and compares standard output, standard error and the exit status.
"""

from __future__ import annotations

import compileall
import os
import signal
import sys
import zipapp
from pathlib import Path

import pytest
from side_by_side import both, outcome, record_command, start, write_files

from gilprobe.measuring.host import capabilities
from gilprobe.programs.program import _python_words

pytestmark = pytest.mark.skipif(
    os.name != "posix" or "import slots" in capabilities().tracer_reason, reason="no tracer here"
)

LOOK = """
    import sys, os, pickle, inspect
    print("argv", sys.argv, sys.orig_argv)
    print("path", sys.path)
    main = sys.modules["__main__"]
    print("main", vars(main) is globals(), main)
    for name, value in list(globals().items()):
        if name == "__builtins__":
            value = type(value)
        if name == "__loader__" and not isinstance(value, type):
            value = type(value), getattr(value, "name", None), getattr(value, "path", None)
        print(name, value)
    print(sys.flags, sys.warnoptions, sys._xoptions, sys.exc_info())
    class Thing:
        def method(self):
            return 1
    print(type(pickle.loads(pickle.dumps(Thing()))) is Thing)
    try:
        print(inspect.getsource(Thing))
    except (OSError, TypeError) as error:
        print(error)
    print(__name__ == "__main__", sorted(k for k in os.environ if "PYTHON" in k or "GILPROBE" in k))
"""


def assert_same(results):
    plain, recorded = results
    for one, other in zip(plain, recorded, strict=True):
        assert one == other
    return plain


def same_script(folder, script, *arguments, **options):
    """Run a script both ways; return its exit status and what it wrote."""
    write_files(folder, {"program.py": script})
    return assert_same(both(folder, "program.py", *arguments, **options))


# What a program finds


@pytest.mark.parametrize("script", ["program.py", "./program.py", "sub/../program.py", "sub/link.py"])
def test_a_script_finds_the_same_world(tmp_path, script):
    write_files(tmp_path, {"program.py": LOOK, "sub/other.py": ""})
    (tmp_path / "sub/link.py").symlink_to("../program.py")
    status, out, _ = assert_same(both(tmp_path, script, "-x", "--help", "--", "-o", "a b"))
    assert status == 0
    assert f"argv ['{script}', '-x', '--help', '--', '-o', 'a b']" in out


@pytest.mark.parametrize("flags", [("-P",), ("-X", "dev", "-W", "error"), ("-I", "-B"), ("-OO", "-u")])
def test_the_interpreters_own_options_are_kept(tmp_path, flags):
    same_script(tmp_path, LOOK, flags=flags)


@pytest.mark.parametrize("arguments", [("-m", "package"), ("-m", "package.inner", "--help"), ("-mpackage",)])
def test_a_module_finds_the_same_world(tmp_path, arguments):
    shared = {"package/__init__.py": "import sys; print(sys.argv)", "package/__main__.py": LOOK}
    write_files(tmp_path, shared | {"package/inner.py": LOOK})
    assert assert_same(both(tmp_path, *arguments))[0] == 0


def test_folders_and_zip_files_are_programs(tmp_path):
    write_files(
        tmp_path, {"app/__main__.py": LOOK + "    import beside\n", "app/beside.py": "print(__file__)"}
    )
    zipapp.create_archive(tmp_path / "app", tmp_path / "app.pyz")
    for program in ("app", "app.pyz", "./app", "app/"):
        assert assert_same(both(tmp_path, program, "1"))[0] == 0
    assert assert_same(both(tmp_path, "app.pyz", flags=("-P",)))[0] == 0


def test_code_and_standard_input_are_programs(tmp_path):
    code = "import sys\nprint(sys.argv, sys.path, {k: str(v) for k, v in globals().items()})\n"
    assert assert_same(both(tmp_path, "-c", code, "-c", "x"))[0] == 0
    assert assert_same(both(tmp_path, "-c" + code, flags=("-P",)))[0] == 0
    rest = "print(repr(sys.stdin.read()), input.__name__)\n"
    assert assert_same(both(tmp_path, "-", "a", stdin=(code + rest).encode()))[0] == 0


def test_compiled_scripts_are_programs(tmp_path):
    write_files(tmp_path, {"program.py": LOOK})
    compileall.compile_file(tmp_path / "program.py", legacy=True, quiet=2)
    (tmp_path / "copy").write_bytes((tmp_path / "program.pyc").read_bytes())
    (tmp_path / "bad.pyc").write_bytes(b"1234567890123456789")
    assert assert_same(both(tmp_path, "program.pyc"))[0] == 0
    assert assert_same(both(tmp_path, "copy"))[0] == 0
    assert "Bad magic number" in assert_same(both(tmp_path, "bad.pyc"))[2]


def test_a_pipe_can_be_a_script(tmp_path):
    shell = "cat program.py | {} /dev/fd/0 x"
    write_files(tmp_path, {"program.py": "import sys; print(sys.argv, __file__)"})
    assert assert_same(both(tmp_path, shell=shell))[0] == 0


# How a program ends


ENDINGS = {
    "status": "import sys; sys.exit(7)",
    "large status": "raise SystemExit(2**32 + 2)",
    "negative": "import sys; sys.exit(-1)",
    "text": "import sys; print('out'); sys.exit('ünder the hood')",
    "none": "raise SystemExit",
    "file": "import atexit; atexit.register(lambda: print('__file__' in globals())); exit(0)",
    "true": "raise SystemExit(True)",
    "tuple": "raise SystemExit((1, 'two'))",
    "own exception": "class E(SystemExit): code = property(lambda self: 1 / 0)\nraise E",
    "error": "def f(): 1 / 0\ntry: f()\nexcept ZeroDivisionError as e: raise KeyError('x') from e\n",
    "context": "try:\n    raise OSError\nexcept OSError:\n    raise ValueError('y')\n",
    "group": "raise ExceptionGroup('g', [ValueError(1), TypeError(2)])",
    "hook": """
        import atexit, sys
        def hook(kind, error, traceback):
            print("hook", kind, error, __file__, sys.exc_info(), sys.excepthook is hook)
            while traceback:
                print(traceback.tb_frame.f_code.co_filename, traceback.tb_lineno)
                traceback = traceback.tb_next
            print(getattr(sys, "last_exc", error) is error, sys.last_value is error, sys.last_type is kind)
            print(sys.last_traceback is error.__traceback__)
        sys.excepthook = hook
        atexit.register(lambda: print("at exit", sys.excepthook is hook, "__file__" in globals()))
        raise ValueError("one")
    """,
    "failing hook": "import sys\ndef h(*a):\n    1 / 0\nsys.excepthook = h\nraise ValueError",
    "exiting hook": "import sys\nsys.excepthook = lambda *a: sys.exit(9)\nraise ValueError",
    "no hook": "import sys\ndel sys.excepthook\nraise ValueError",
    "interrupt": """
        import atexit, signal, threading, time
        atexit.register(print, "at exit")
        threading.Thread(target=lambda: (time.sleep(0.1), print("thread"))).start()
        signal.raise_signal(signal.SIGINT)
    """,
    "interrupt raised": "raise KeyboardInterrupt('by hand')",
    "terminated": "import signal; signal.raise_signal(signal.SIGKILL)",
    "os._exit": "import os; print('lost'); os._exit(5)",
    "exec": "import os, sys; os.execv(sys.executable, [sys.executable, '-c', 'raise SystemExit(4)'])",
    "order": """
        import atexit, threading, time
        def late():
            while "__file__" in globals():  # the program goes on
                time.sleep(0.01)
            print("thread", __file__ if "__file__" in globals() else None)
        atexit.register(lambda: print("first in"))
        atexit.register(lambda: print("last in", "__file__" in globals()))
        atexit.register(lambda: 1 / 0)
        threading.Thread(target=late).start()
        threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
        print("main ends")
    """,
    "threads": """
        import sys, threading
        def leave(): sys.exit("not shown")
        def fail(): raise ValueError("shown")
        for target in (leave, fail):
            thread = threading.Thread(target=target); thread.start(); thread.join()
        threading.excepthook = lambda args: print("hook", args.exc_type)
        thread = threading.Thread(target=fail); thread.start(); thread.join()
        print([thread.name for thread in threading.enumerate()])
    """,
    "closed streams": "import sys; print(1); sys.stdout.close(); sys.stdin.close(); sys.stderr.flush()",
    "replaced streams": "import io, sys; sys.stdout = io.StringIO(); sys.stderr = None; sys.exit('x')",
    "closed descriptors": "import os; print(1, flush=True); os.closerange(3, 256); open('x', 'w').write('x')",
    "no descriptors": "import os; os.closerange(0, 256)",
    "other folder": "import os; os.makedirs('d', exist_ok=True); os.chdir('d'); os.rmdir('../d'); print(1)",
    "fork": """
        import os, sys
        print("before", flush=True)
        child = os.fork()
        if child:
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        else:
            sys.exit(3)
    """,
    "unraisable": "class C:\n    def __del__(self): 1 / 0\nC()\nx = C()\n",
}


@pytest.mark.parametrize("name", ENDINGS)
def test_a_script_ends_the_same_way(tmp_path, name):
    same_script(tmp_path, ENDINGS[name], flags=("-W", "ignore::DeprecationWarning"))


def test_death_by_ctrl_c_is_one_by_the_signal(tmp_path):
    for arguments in (["-c", "raise KeyboardInterrupt"], ["program.py"], ["-m", "program"]):
        write_files(tmp_path, {"program.py": "raise KeyboardInterrupt"})
        status, _, errors = outcome(start(record_command(*arguments), tmp_path))
        assert status == -signal.SIGINT
        assert errors.endswith("KeyboardInterrupt\n")


@pytest.mark.parametrize(
    "program", ["1 / 0", "import sys; sys.exit('text')", "def f(:", "import missing", "  x"]
)
def test_code_modules_and_folders_fail_the_same_way(tmp_path, program):
    write_files(tmp_path, {"app/__main__.py": program, "module.py": program})
    assert_same(both(tmp_path, "-c", program))
    assert_same(both(tmp_path, "-", stdin=program.encode()))
    assert_same(both(tmp_path, "-m", "module"))
    assert_same(both(tmp_path, "app"))


UNREADABLE = {
    "encoding.py": b'x = "caf\xe9"\n',
    "latin.py": b'# coding: latin-1\nprint(ascii("caf\xe9"))\n',
    "unknown.py": b"# coding: nope\n",
    "null.py": b"a\0b = 1\n",
    "cut.py": b"if 1:\n",
    "open.py": b"x = (1,\n",
    "tabs.py": b"if 1:\n\tx=1\n        y=2\n",
    "mark.py": b"\xef\xbb\xbfprint(1)",
    "return.py": b"return",
    "empty.py": b"",
}


def test_what_is_no_python_is_refused_in_the_same_words(tmp_path):
    write_files(tmp_path, UNREADABLE)
    shell = "for f in *.py; do {} $f; echo $f $?; echo $f 1>&2; done"
    _, out, errors = assert_same(both(tmp_path, shell=shell))
    assert "empty.py 0" in out
    assert "Non-UTF-8 code" in errors


def test_what_is_not_there_is_told_in_the_same_words(tmp_path):
    (tmp_path / "empty").mkdir()
    for arguments in (["missing.py"], ["-m", "missing"], ["-m", "missing.inner"], ["empty"], ["-m", "empty"]):
        status, _, errors = assert_same(both(tmp_path, *arguments))
        assert status == (2 if arguments == ["missing.py"] else 1)
        assert errors
    if os.geteuid() != 0:
        (tmp_path / "secret.py").touch(mode=0)
        assert assert_same(both(tmp_path, "secret.py"))[0] == 2


# Streams


def test_a_reader_that_leaves_is_met_the_same_way(tmp_path):
    script = "for number in range(100000): print(number)"
    shell = "{} | head -n 1; echo ${PIPESTATUS[0]}"
    _, out, _ = same_script(tmp_path, script, shell=shell)
    assert out.startswith("0\n")
    # not before nobody can read: poll tells of that unasked
    script = "import select; gone = select.poll(); gone.register(1, 0); gone.poll(); print(1)"
    same_script(tmp_path, script, shell="{} | true; echo ${PIPESTATUS[0]}")


def test_a_full_disk_is_met_the_same_way(tmp_path):
    for script in ("print(1)", "print(1, flush=True)"):
        assert same_script(tmp_path, script, shell="{} > /dev/full")[0] in (1, 120)


def test_closed_streams_are_met_the_same_way(tmp_path):
    script = "import sys; print(sys.stdin, sys.stdout, sys.stderr); sys.exit('text')"
    for shell in ("{} <&-", "{} >&-", "{} 2>&-", "{} <&- >&- 2>&-"):
        same_script(tmp_path, script, shell=shell)


def test_both_streams_keep_their_order(tmp_path):
    script = """
        import atexit, os, sys
        print("one"); print("two", file=sys.stderr); os.write(1, b"three\\n")
        atexit.register(lambda: (print("four"), print("five", file=sys.stderr)))
        print("six", end="")
    """
    for flags in ((), ("-u",)):
        same_script(tmp_path, script, shell="{} 2>&1", flags=flags)


# Processes


POOLS = """
    import multiprocessing, sys, warnings
    from dataclasses import dataclass

    @dataclass
    class Pair:
        left: int
        right: int

    def swapped(pair):
        return Pair(pair.right, pair.left)

    if __name__ == "__main__":
        for method in sys.argv[1:]:
            context = multiprocessing.get_context(method)
            with context.Pool(2) as pool:
                print(pool.map(swapped, [Pair(1, 2), Pair(3, 4)]))
            process = context.Process(target=sys.exit, args=(6,))
            process.start()
            process.join()
            print(process.exitcode)
"""


def test_the_functions_and_classes_of_main_reach_other_processes(tmp_path):
    status, out, errors = same_script(
        tmp_path, POOLS, "fork", "spawn", "forkserver", flags=("-W", "ignore::DeprecationWarning")
    )
    assert (status, errors) == (0, "")
    assert out.count("[Pair(left=2, right=1), Pair(left=4, right=3)]\n6\n") == 3


@pytest.mark.skipif(not Path("/proc/self/comm").exists(), reason="the platform keeps no such name")
def test_a_process_has_the_interpreters_name(tmp_path):
    """A native thread that nobody has named has its process's name: it must not read as gilprobe."""
    command = f"#!{sys.executable}\nfrom gilprobe.cli import main\nraise SystemExit(main())\n"
    program = "print(open('/proc/self/comm').read())"
    write_files(tmp_path, {"gilprobe": command, "program.py": program})
    (tmp_path / "gilprobe").chmod(0o700)
    recorded = [str(tmp_path / "gilprobe"), "record", "--quiet", "program.py"]
    assert_same([outcome(start(line, tmp_path)) for line in ([sys.executable, "program.py"], recorded)])


def test_a_module_that_uses_processes_is_found_by_them(tmp_path):
    write_files(tmp_path, {"program.py": POOLS, "package/__init__.py": "", "package/inner.py": POOLS})
    assert assert_same(both(tmp_path, "-m", "package.inner", "spawn"))[0] == 0


def test_little_is_loaded_beside_the_program(tmp_path):
    """What registers an exit handler when it is imported would change the order in which they run."""
    code = "import sys; print({'logging', 'multiprocessing', 'concurrent', 'rich'} & sys.modules.keys())"
    status, out, _ = outcome(start(record_command("-c", code), tmp_path))
    assert (status, out) == (0, "set()\n")


def test_a_program_finds_its_own_modules_before_those_that_gilprobe_needs(tmp_path):
    own = ("argparse", "json/__init__", "tempfile", "platform", "random", "os", "sys", "marshal")
    script = """
        import sys
        for name in ("argparse", "json", "tempfile", "platform", "random", "os", "marshal", "shutil", "copy"):
            print(name, getattr(__import__(name), "__file__", None))
    """
    files = {f"app/{name}.py": "" for name in own} | {"app/shutil/data.txt": "no module"}
    write_files(tmp_path, files | {"app/program.py": script, "app/__main__.py": script})
    for program in ("app/program.py", "app"):
        status, out, _ = assert_same(both(tmp_path, program))
        assert (status, out.count("/app/")) == (0, 5)


def test_the_programs_main_is_clean(tmp_path):
    _, out, _ = outcome(start(record_command("-c", "print(sorted(globals()))"), tmp_path))
    assert "argparse" not in out
    assert "'__name__'" in out


@pytest.mark.parametrize(
    ("started", "argv", "words"),
    [
        (["py", "/bin/gilprobe", "record", "x"], ["/bin/gilprobe", "record", "x"], ["py"]),
        (["py", "-I", "--", "g", "record"], ["g", "record"], ["py", "-I"]),
        (["py", "-m", "gilprobe", "record"], ["/g/__main__.py", "record"], ["py"]),
        (["py", "-W", "error", "-mgilprobe"], ["/g/__main__.py"], ["py", "-W", "error"]),
        (["py", "-Im", "gilprobe", "x"], ["/g/__main__.py", "x"], ["py", "-I"]),
        (["py", "-sEmgilprobe", "m"], ["/g/__main__.py", "m"], ["py", "-sE"]),
        (["py", "-c", "main()", "record"], ["-c", "record"], ["py"]),  # not by our command
        (["embedding", "x"], ["other", "arguments"], ["embedding"]),
        ([], [""], []),
    ],
)
def test_the_interpreters_part_of_a_command_line(started, argv, words):
    assert _python_words(started, argv) == words


@pytest.mark.lengthy
def test_pytest_runs_the_same_way_where_warnings_are_errors(tmp_path):
    """The package is imported before pytest, whose plugin it is, too: no reason for a warning."""
    files = {"pytest.ini": "[pytest]\nfilterwarnings = error\n", "test_it.py": "def test_it(): pass\n"}
    write_files(tmp_path, files)
    plain, recorded = both(tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert plain[0] == recorded[0] == 0
    assert "1 passed in" in recorded[1]
    assert "warning" not in recorded[1] + recorded[2]
