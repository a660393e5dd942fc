"""Where threads are, against what Python itself says: sys._getframe, code.co_positions, traceback."""

from __future__ import annotations

import argparse
import ast
import asyncio
import concurrent.futures
import ctypes
import dataclasses
import functools
import inspect
import itertools
import os
import sys
import tempfile
import threading
import time
import types
import typing
from pathlib import Path

import pytest

from gilprobe._native import frames, kernels


def chain(frame):
    """Return what frames.stack should, in Python's own words."""
    found = []
    while frame is not None:
        found.append((frame.f_code, frame.f_lasti))
        frame = frame.f_back
    return found


def as_text(described):
    function, file, line = described
    return function.decode("utf-8", "surrogatepass"), file.decode("utf-8", "surrogatepass"), line


def observe():
    """Take the stack from here in both ways."""
    (seen, truncated), expected = frames.stack(10_000), chain(sys._getframe())
    assert not truncated
    # the two were asked at different instructions of this function
    assert seen[0][0] is expected[0][0]
    assert seen[1:] == expected[1:]
    frame = sys._getframe(1)
    assert frames.stack_above(frame, 10_000) == (expected[1:], False)
    assert as_text(frames.describe(*seen[1])) == (
        frame.f_code.co_qualname,
        frame.f_code.co_filename,
        frame.f_lineno,
    )
    return [code.co_name for code, _ in seen[1:]]


def caller(function):
    """Return what `function` returns, through a Python frame of a name of its own."""
    return function()


def test_the_layout_is_the_one_compiled_for():
    assert frames.check() is None
    assert caller(frames.check) is None
    assert deep(200, frames.check) is None


@pytest.mark.skipif(sys.platform == "win32", reason="nothing is looked up by name there")
def test_a_release_asks_no_function_of_the_interpreter_for_its_thread():
    assert frames.check() is None
    # since 3.15 the state is a variable of the thread, which only the interpreter can read
    assert frames.shortcuts() == {"finalizing": True, "state": sys.version_info < (3, 15)}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no processes are forked there")
def test_a_forked_child_finds_its_state_by_a_key_of_its_own():
    assert frames.check() is None
    keys = [ctypes.c_uint() for _ in range(3)]  # the child may get the one that is free again
    for key in keys:
        assert ctypes.CDLL(None).pthread_key_create(ctypes.byref(key), None) == 0
    ctypes.CDLL(None).pthread_key_delete(keys[1])
    child = os.fork()
    if child == 0:
        try:
            observe()
            with concurrent.futures.ThreadPoolExecutor(1) as pool:
                pool.submit(observe).result()
        except BaseException:
            os._exit(1)
        os._exit(0)
    for key in (keys[0], keys[2]):
        ctypes.CDLL(None).pthread_key_delete(key)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.skipif(sys.version_info < (3, 13), reason="the interpreter publishes no offsets")
def test_a_layout_that_differs_is_noticed():
    """Changes what the interpreter publishes, number by number; nothing but debuggers reads that."""
    words = (ctypes.c_uint64 * 70).in_dll(ctypes.pythonapi, "_PyRuntime")
    messages = set()
    for n, published in enumerate(list(words)):
        words[n] = published ^ 1 << 24
        try:
            messages.add(frames.check())
        finally:
            words[n] = published
    assert frames.check() is None
    wanted = ("PyThreadState.current_frame", "_PyInterpreterFrame.previous", "PyCodeObject.co_linetable")
    for start in ("the interpreter", "compiled for", *wanted):
        assert [message for message in messages if message and message.startswith(start)], start
    assert all("\n" not in message and len(message) < 150 for message in messages if message)


def test_here_is_the_function_that_asks():
    code, instruction = frames.here()
    assert code is sys._getframe().f_code
    here = sys._getframe().f_lineno - 2
    assert as_text(frames.describe(code, instruction)) == (code.co_qualname, __file__, here)


def test_functions_and_lambdas():
    assert caller(lambda: caller(observe))[:3] == ["caller", "<lambda>", "caller"]


def test_methods_and_closures_have_their_qualified_names():
    class Outer:
        def method(self):
            return (lambda: frames.here())()

    function, _, _ = as_text(frames.describe(*Outer().method()))
    name = "test_methods_and_closures_have_their_qualified_names.<locals>.Outer.method.<locals>.<lambda>"
    assert function == name


def test_generators():
    def inner():
        yield observe()

    def outer():
        yield from inner()
        yield observe()

    running = outer()
    assert next(running)[:3] == ["inner", "outer", "test_generators"]
    assert next(running)[:2] == ["outer", "test_generators"]
    assert next(value for value in (observe() for _ in range(1)))[:2] == ["<genexpr>", "<genexpr>"]


def test_coroutines_and_asynchronous_generators():
    async def producer():
        yield observe()
        await asyncio.sleep(0)
        yield observe()

    async def consumer():
        found = []
        async for names in producer():
            found.append(names[:2])  # not a comprehension: a frame of its own in 3.11
        return found

    assert asyncio.run(consumer()) == [["producer", "consumer"]] * 2


def test_comprehensions():
    (names,) = [observe() for _ in range(1)]
    assert "test_comprehensions" in names[:2]  # a frame of its own before 3.12
    (names,) = {n: observe() for n in range(1)}.values()
    assert "test_comprehensions" in names[:2]


def test_class_bodies():
    class Body:
        seen = observe()

    assert Body.seen[:2] == ["Body", "test_class_bodies"]


def test_c_functions_in_between_are_left_out():
    seen = []

    def key(_):
        seen.append(observe())
        return 0

    sorted([1], key=key)
    list(map(key, [1]))
    functools.partial(key, 1)()
    functools.reduce(lambda _, item: key(item), [1, 2])
    assert [names[:2] for names in seen[:3]] == [["key", "test_c_functions_in_between_are_left_out"]] * 3
    assert seen[3][:3] == ["key", "<lambda>", "test_c_functions_in_between_are_left_out"]


def test_finalizers():
    seen = []

    class Dying:
        def __del__(self):
            seen.append(observe())

    def leave():
        kept = Dying()  # dies with the frame
        return None if kept else 1

    leave()
    Dying()
    assert len(seen) == 2
    assert all(names[0] == "__del__" and "test_finalizers" in names for names in seen)


def test_ctypes_callbacks():
    seen = []
    callback = ctypes.CFUNCTYPE(None)(lambda: seen.append(observe()))
    callback()
    assert seen[0][:2] == ["<lambda>", "test_ctypes_callbacks"]


def deep(levels, function):
    return function() if levels == 0 else deep(levels - 1, function)


def deep_through_c(levels, function):
    return function() if levels == 0 else next(map(deep_through_c, [levels - 1], [function]))


@pytest.fixture
def recursion():
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(20_000)
    yield
    sys.setrecursionlimit(limit)


def test_deep_recursion(recursion):
    assert deep(5000, observe)[:5001] == ["deep"] * 5001
    assert deep_through_c(100, observe)[:101] == ["deep_through_c"] * 101


def test_a_stack_deeper_than_the_room_is_cut_and_says_so(recursion):
    limits = (0, 1, 20, 1000)
    whole, *cut = deep(1500, lambda: list(map(frames.stack, (10_000, *limits))))
    for (seen, truncated), limit in zip(cut, limits, strict=True):
        assert truncated
        assert seen == whole[0][:limit]
    depth = len(chain(sys._getframe()))
    assert frames.stack(depth)[1] is False
    assert frames.stack(depth - 1)[1] is True


def test_a_stack_may_begin_further_up():
    here = chain(sys._getframe(1))
    assert frames.stack_above(sys._getframe(1), 1000) == (here, False)
    assert frames.stack_above(sys._getframe(1), 1) == (here[:1], True)
    assert frames.stack_above(sys._getframe(1), 0) == ([], True)


def test_a_stack_of_what_is_no_frame_is_empty():
    for other in (None, 1, observe, sys):
        assert frames.stack_above(other, 10) == ([], False)


def test_a_stack_from_a_frame_that_has_ended_is_that_frame_alone():
    ended = caller(sys._getframe)
    assert [code for code, _ in frames.stack_above(ended, 10)[0]] == [caller.__code__]


def test_threads():
    seen = {}

    def work(number):
        seen[number] = deep(number, observe)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(4):
        assert seen[number][: number + 2] == ["deep"] * (number + 1) + ["work"]
        assert "test_threads" not in seen[number]


def test_under_a_trace_function():
    seen = []
    before = sys.gettrace()
    sys.settrace(lambda *_: seen.append(observe()) if not seen else None)
    caller(int)
    sys.settrace(before)
    assert seen[0][1] == "caller"


def test_under_a_trace_function_that_follows_every_instruction():
    names = []

    def follow(frame, event, _):
        frame.f_trace_opcodes = True
        if event == "opcode":
            names.append(observe()[1])
        return follow

    before = sys.gettrace()
    sys._getframe().f_trace_opcodes = True  # 3.12 looks for one that asks when the function is set
    sys.settrace(follow)
    caller(int)
    sys.settrace(before)
    assert names
    assert set(names) == {"caller"}


STRANGE = [
    "plain.py",
    "",
    "caf\xe9.py",
    "\u4e2d\u6587.py",
    "\U0001f40d/\U0001f40d.py",
    "lone \ud800 and \udcff.py",
    "line\nfeed.py",
]


def place_in(name):
    """Return where code from a file of this name stands when it asks."""
    room = {"frames": frames}
    exec(compile("\n\nseen = frames.here()", name, "exec"), room)
    return as_text(frames.describe(*room["seen"]))


@pytest.mark.parametrize("name", STRANGE, ids=ascii)
def test_file_names_of_every_kind(name):
    assert place_in(name) == ("<module>", name, 3)


@pytest.mark.parametrize("letter", ["a", "\xe9", "\u4e2d", "\U0001f40d", "\udc80"], ids=ascii)
def test_long_file_names_keep_their_end(letter):
    width = len(letter.encode("utf-8", "surrogatepass"))
    whole = letter * (1024 // width)
    assert place_in(whole)[1] == whole
    assert place_in(letter * 5000 + "/end.py")[1] == "..." + letter * ((1021 - 7) // width) + "/end.py"


class TextOfAnotherType(str):
    __slots__ = ()


def test_long_names_keep_their_beginning():
    code = caller.__code__.replace(co_qualname="begin" + "x" * 5000)
    assert as_text(frames.describe(code, 0))[0] == "begin" + "x" * 1016 + "..."


def test_names_of_a_subclass_of_str():
    code = caller.__code__.replace(
        co_qualname=TextOfAnotherType("na\xefve"), co_filename=TextOfAnotherType("f")
    )
    assert as_text(frames.describe(code, 0))[:2] == ("na\xefve", "f")


def test_an_instruction_without_a_line_has_line_0():
    nowhere = caller.__code__.replace(co_linetable=bytes([0x80 | 15 << 3 | 7]) * 100)
    assert frames.describe(nowhere, 0)[2] == 0
    seen = types.FunctionType(nowhere, globals())(frames.here)
    assert seen[0] is nowhere
    assert frames.describe(*seen)[2] == 0


@pytest.mark.parametrize(
    "table", [b"", b"\x00", b"\x01\x02\x03" * 50, b"\xff", b"\xe8" + b"\x7f" * 1000, b"\xe8"]
)
def test_a_location_table_of_nonsense_gives_a_line_or_none(table):
    code = caller.__code__.replace(co_linetable=table)
    assert 0 <= frames.describe(code, 0)[2] < 2**31


def test_an_instruction_out_of_range_has_line_0():
    code = caller.__code__
    assert frames.describe(code, len(code.co_code))[2] == 0
    assert frames.describe(code, 2**31 - 1)[2] == 0
    assert frames.describe(code, -2)[2] == code.co_firstlineno


def test_only_code_can_be_described():
    with pytest.raises(TypeError, match="got function"):
        frames.describe(caller, 0)


def codes_in(code):
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from codes_in(constant)


@pytest.mark.parametrize("module", [argparse, ast, asyncio.tasks, dataclasses, inspect, tempfile, typing])
def test_lines_are_those_of_the_interpreter(module):
    path = Path(module.__file__)
    codes = list(codes_in(compile(path.read_bytes(), str(path), "exec")))
    assert len(codes) > 20
    for code in codes:
        for n, (line, *_) in enumerate(code.co_positions()):
            assert frames.describe(code, 2 * n)[2] == (line or 0)
        for start, end, line in code.co_lines():
            assert frames.describe(code, start)[2] == frames.describe(code, end - 2)[2] == (line or 0)


class Watched:
    """A thread that runs `work`, and the address of its state."""

    def __init__(self, work):
        self._ready = threading.Event()
        self._work = work
        self.thread = threading.Thread(target=self._run)

    def _run(self):
        self.state = frames.thread_state()
        self._ready.set()
        self._work()

    def __enter__(self):
        self.thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_):
        self.thread.join()


def functions(lines):
    return [function.decode("utf-8", "surrogatepass") for function, _, _ in lines]


def seen_from_outside(watched, wanted):
    """Peek until the thread has got as far as `wanted`."""
    while True:
        lines, _ = frames.read_safely(watched.state, 100, delay_ns=1_000_000)
        if wanted in functions(lines):
            return lines


def test_safe_read_of_a_thread_that_sleeps():
    end = threading.Event()

    def sleeper():
        while not end.is_set():
            time.sleep(0.01)

    with Watched(lambda: deep(3, sleeper)) as watched:
        try:
            lines = seen_from_outside(watched, "test_safe_read_of_a_thread_that_sleeps.<locals>.sleeper")
            # it stays there: the whole stack, to the bottom of the thread
            names = functions(lines)
            assert names[names.index("deep") :][:4] == ["deep"] * 4
            assert names[-2:] == ["Thread._bootstrap_inner", "Thread._bootstrap"]
            _, file, line = lines[names.index("deep")]
            assert file.endswith(Path(__file__).name.encode())
            assert line == deep.__code__.co_firstlineno + 1
            assert len(frames.read_safely(watched.state, 2)[0]) == 2
            assert frames.read_safely(watched.state, 0)[0] == []
        finally:
            end.set()


def test_safe_read_of_a_thread_that_keeps_the_gil_in_native_code():
    """Answers the watchdog's question: who is it that does not let go."""
    began, seen = [], []
    state = frames.thread_state()

    def watch():
        while not began:
            time.sleep(0.001)
        seen.append(frames.read_safely(state, 100, delay_ns=100_000_000)[0])

    def hold():
        began.append(True)
        while not seen:
            kernels.spin(300_000_000)

    watcher = threading.Thread(target=watch)
    watcher.start()
    hold()
    watcher.join()
    names = functions(seen[0])
    assert names[0].endswith("<locals>.hold")
    assert names[1] == "test_safe_read_of_a_thread_that_keeps_the_gil_in_native_code"


def churn(end):
    """Make and leave frames, generators and code as fast as it goes."""
    while not end.is_set():
        deep(20, int)
        list(itertools.islice((n for n in range(9)), 5))
        room = {}
        exec(
            compile(f"def f{time.perf_counter_ns()}(): return [x for x in range(3)]", "gone.py", "exec"), room
        )
        room.popitem()[1]()


def test_safe_read_of_a_thread_that_runs_never_fails():
    end = threading.Event()
    with Watched(lambda: churn(end)) as watched:
        try:
            seen = sum(frames.read_safely(watched.state, 64, rounds=2000)[1] for _ in range(4))
        finally:
            end.set()
    assert seen > 0


def test_safe_read_of_a_thread_that_has_ended_never_fails():
    with Watched(int) as watched:
        pass
    for _ in range(100):
        lines, _ = frames.read_safely(watched.state, 64)
        assert len(lines) <= 64


@pytest.mark.parametrize(
    "state", [0, 1, 8, 4095, 2**47 - 8, 2**63, 2**64 - 1, id(sys), id("text"), id(chain)]
)
def test_safe_read_of_anything_never_fails(state):
    assert len(frames.read_safely(state, 10)[0]) <= 10
    if state < 4096:
        assert frames.read_safely(state, 10)[0] == []


def test_safe_read_of_oneself_with_long_names():
    room = {"frames": frames}
    code = compile(
        "seen = frames.read_safely(frames.thread_state(), 1)[0]", "\u4e2d" * 500 + "/end.py", "exec"
    )
    exec(code.replace(co_qualname="\xe9" * 500), room)
    ((function, file, line),) = room["seen"]
    assert function.decode() == "\xe9" * 62 + "..."
    assert file.decode() == "..." + "\u4e2d" * 81 + "/end.py"
    assert line == 1


def test_safe_read_finds_lines_far_into_a_function():
    """The location table is read in pieces."""
    room = {"frames": frames}
    source = "a = 1\n" * 5000 + "seen = frames.read_safely(frames.thread_state(), 1)[0]\n" + "a = 1\n" * 5000
    exec(compile(source, "far.py", "exec"), room)
    assert room["seen"] == [(b"<module>", b"far.py", 5001)]


def test_costs_can_be_measured():
    assert 0 < frames.here_cost_ns(1000) < 1e6
    assert 0 < frames.stack_cost_ns(20, 1000) < 1e6
