"""Call stacks at releases of the GIL are those that Python itself tells, whatever has changed since.

A thread recognises the stack that it was in before by the addresses of its frames, which come again and
again: so here the same functions call each other at the same depth, in other ways.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
import sys
import threading
from collections import Counter
from dataclasses import dataclass
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tracer_checks import check

import gilprobe
from gilprobe._native import kernels, tracer
from gilprobe.tracing.places import DEEPER

SUPPORTED, REASON = tracer.support()

pytestmark = pytest.mark.skipif(not SUPPORTED, reason=f"the GIL can't be traced here: {REASON}")

MOST_LEVELS = 128  # that are recorded


@pytest.fixture(autouse=True, scope="module")
def nobody_made_to_release():
    """Leave only the releases that the code asks for."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(30)
    yield
    sys.setswitchinterval(interval)
    gc.collect()


def let_go(told):
    """Give the GIL up once, and count the stack that Python tells."""
    frame, callers = sys._getframe(1), []
    while frame is not None:
        callers.append((frame.f_code.co_qualname, frame.f_code.co_filename, frame.f_lineno))
        frame = frame.f_back
    told[tuple(callers[::-1])] += 1
    kernels.cycle(1)


def recorded(report):
    """Return how often the GIL was given up by `let_go`, by the stack that called it."""
    found = Counter()
    for stack in report.stacks:
        if stack.frames[-1].function == let_go.__qualname__:
            callers = tuple((frame.function, frame.filename, frame.line) for frame in stack.frames[:-1])
            found[callers] += stack.releases
    return found


def compare(run, *arguments):
    """Run with a trace, and assert that it has the stacks that Python told; return them."""
    told = Counter()
    with gilprobe.trace(stacks=True) as trace:
        run(told, *arguments)
    report = check(trace.report())
    assert recorded(report) == told
    return told


# ---- one caller is another, the innermost frames and the depth are the same


def innermost(told):
    let_go(told)


def middle(told, line):
    if line == 0:
        innermost(told)
    if line == 1:
        innermost(told)
    if line == 2:
        innermost(told)


def other_middle(told, line):
    if line == 0:
        innermost(told)
    innermost(told) if line == 1 else None


def test_a_line_in_the_middle_of_the_stack_changes():
    def run(told):
        for line in (0, 0, 1, 1, 0, 2, 1, 0, 2, 2):
            middle(told, line)

    assert sorted(compare(run).values()) == [3, 3, 4]


def test_a_function_in_the_middle_of_the_stack_changes():
    def run(told):
        for function in (middle, other_middle, middle, middle, other_middle):
            function(told, 0)

    assert sorted(compare(run).values()) == [2, 3]


def test_a_caller_of_many_changes():
    """The outermost level of twenty."""

    def down(told, levels):
        down(told, levels - 1) if levels else middle(told, 0)

    def run(told):
        for _ in range(3):
            down(told, 20)
            down(told, 20)

    assert list(compare(run).values()) == [3, 3]


def test_a_recursion_of_one_code_from_two_lines():
    """All levels have the same code, and each turn of the path is another stack."""

    def turn(told, path):
        if not path:
            innermost(told)
        elif path[0]:
            turn(told, path[1:])
        else:
            turn(told, path[1:])

    def run(told):
        for _ in range(2):
            for path in itertools.product((False, True), repeat=6):
                turn(told, path)

    assert list(compare(run).values()) == [2] * 64


def test_a_recursion_of_changing_depth():
    def down(told, levels):
        down(told, levels - 1) if levels else innermost(told)

    def run(told):
        for levels in (*range(30), *range(30, 0, -1), 5, 5, 25, 5):
            down(told, levels)

    assert len(compare(run)) == 31


def test_one_generator_is_resumed_from_two_lines():
    """Its frame lies in the generator: at the same address whoever resumes it."""

    def work(told):
        while True:
            innermost(told)
            yield

    def resume(generator):
        next(generator)

    def run(told):
        generator = work(told)
        for _ in range(3):
            next(generator)
            next(generator)
            resume(generator)

    assert list(compare(run).values()) == [3, 3, 3]


def test_one_coroutine_is_awaited_from_two_lines():
    class Pause:
        def __await__(self):
            yield

    async def work(told):
        for _ in range(4):
            innermost(told)
            await Pause()

    async def outer(coroutine):
        await coroutine

    def run(told):
        coroutine = outer(work(told))
        coroutine.send(None)
        coroutine.send(None)
        for _ in range(2):
            coroutine.send(None)
        coroutine.close()

    assert sorted(compare(run).values()) == [1, 1, 2]


def test_code_that_is_made_as_the_program_goes():
    """The next code object is often at the address of the last, and its instructions are."""

    def made(told, name, line, filename):
        source = "\n" * line + f"def {name}(told):\n    innermost(told)\n{name}(told)"
        exec(compile(source, filename, "exec"), {"told": told, "innermost": innermost})

    def run(told):
        for n in range(40):
            made(told, ("first", "second")[n % 2], n % 5, ("one.py", "two.py")[n % 3 == 0])
            gc.collect(0)

    assert len(compare(run)) == 20


def test_functions_that_c_code_calls():
    """`map`, `sorted` and a class: from 3.12 on frames that are no functions stand between those that are."""

    class Made:
        def __init__(self, told):
            innermost(told)

    def by_name(told, _):
        innermost(told)

    def run(told):
        for _ in range(20):  # from then on the interpreter's specialised code runs
            Made(told)
            Made(told)
            list(map(innermost, [told]))
            sorted([1], key=partial(by_name, told))

    assert list(compare(run).values()) == [20] * 4


def test_a_stack_deeper_than_what_is_recorded():
    """Its innermost levels are told, and that there are more."""

    def down(told, levels):
        down(told, levels - 1) if levels else middle(told, 1)

    def run(told):
        for levels in (200, 201, 200, 10):
            down(told, levels)

    told = Counter()
    with gilprobe.trace(stacks=True) as trace:
        run(told)
    expected = Counter()
    for callers, count in told.items():
        deep = len(callers) + 1 > MOST_LEVELS
        expected[((DEEPER, "", 0), *callers[1 - MOST_LEVELS :]) if deep else callers] += count
    assert recorded(check(trace.report())) == expected
    assert sorted(expected.values()) == [1, 3]


def test_each_thread_knows_its_own_stacks():
    def run(told):
        threads = [threading.Thread(target=middle, args=(told, n % 3)) for n in range(9)]
        for thread in threads:
            thread.start()
            thread.join()

    assert list(compare(run).values()) == [3, 3, 3]


# ---- any calls


@dataclass(frozen=True)
class Call:
    """One of the functions below, from which of two lines it goes on, and what it calls (`let_go`: none)."""

    way: int
    second: bool
    calls: tuple[Call, ...]


def go(told, call):
    for inner in call.calls:
        WAYS[inner.way](told, inner)
    if not call.calls:
        let_go(told)


def plainly(told, call):
    if call.second:
        go(told, call)
    else:
        go(told, call)


def in_a_generator(told, call):
    def steps():
        go(told, call)
        yield
        go(told, call)
        yield

    generator = steps()
    next(generator)
    if call.second:
        next(generator)


def in_a_coroutine(told, call):
    async def outer():
        await inner()

    async def inner():
        go(told, call)

    coroutine = outer()
    with contextlib.suppress(StopIteration):
        if call.second:
            coroutine.send(None)
        coroutine.send(None)


def by_map(told, call):
    if call.second:
        list(map(go, [told], [call]))
    else:
        any(map(go, [told], [call]))


class Made:
    def __init__(self, told, call):
        go(told, call)


def by_a_class(told, call):
    if call.second:
        Made(told, call)
    else:
        Made(told, call)


def by_made_code(told, call):
    source = "\n" * call.second + "def plainly(told, call):\n    go(told, call)\nplainly(told, call)"
    exec(compile(source, "made.py", "exec"), {"go": go, "told": told, "call": call})


def in_a_finalizer(told, call):
    class Ending:
        def __del__(self):
            go(told, call)

    ending = Ending()
    del ending


WAYS = (plainly, in_a_generator, in_a_coroutine, by_map, by_a_class, by_made_code, in_a_finalizer)


def call_of(calls):
    return st.builds(Call, st.integers(0, len(WAYS) - 1), st.booleans(), calls)


def calls_of(inner):
    return call_of(st.lists(inner, max_size=3).map(tuple))


CALLS = st.recursive(call_of(st.just(())), calls_of, max_leaves=12)


@settings(deadline=None, max_examples=60)
@given(st.lists(CALLS, min_size=1, max_size=4))
def test_any_calls_in_any_order(calls):
    def run(told):
        for _ in range(3):
            for call in calls:
                WAYS[call.way](told, call)

    compare(run)
