"""What a thread runs in C is told by its name, by a look from outside that needs no GIL."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import ctypes
import functools
import gc
import json
import operator
import pickle
import re
import struct
import sys
import sysconfig
import threading
import types
import typing
from collections import Counter

import pytest

from gilprobe._native import frames

pytestmark = pytest.mark.timing  # what was seen most often took longest, if the system let the thread run

NUMBERS = [n * 7919 % 200_003 for n in range(200_000)]
PACKED = (f"{len(NUMBERS)}i", *NUMBERS)
ITEMS = [object() for _ in range(300_000)]
SAME = [[(n,) for n in range(200_000)] for _ in range(2)]
TEXT = "lorem ipsum dolor " * 10_000
WORDS = re.compile(r"(\w+) (\w+)")
DOCUMENT = [{"id": n, "name": f"user {n}", "tags": ["a", "b", "c"] * 5} for n in range(3000)]
ENCODED = json.dumps(DOCUMENT)
MEMBERS = dict.fromkeys(NUMBERS)
LARGE = 3**60_000
SETTINGS = {"reverse": True}
DIGITS = 7**4_500
EVERYTHING = slice(None)

CONTEXT = contextvars.copy_context()

NAMED = 75
GAP_NS = 300_000
BURST = 25  # looks in a row, fewer than half of all: if the system suspends the thread, they see the same


@pytest.fixture(autouse=True)
def no_collection_by_chance():
    """All looks at a call may fall into one collection of garbage, which then is what they name."""
    gc.disable()
    yield
    gc.enable()


def look_at(culprit, *, looks=None):
    """Run `culprit` again and again in a thread, and count the names that so many looks found; b"" is none.

    Without a number, go on until enough have found one.
    """
    states, done, started = [], threading.Event(), threading.Event()

    def run():
        states.append(frames.thread_state())
        started.set()
        while not done.is_set():
            culprit()

    thread = threading.Thread(target=run)
    thread.start()
    started.wait()
    seen = Counter()
    try:
        while seen.total() - seen[""] < NAMED if looks is None else seen.total() < looks:
            # without the GIL, which the thread may hold all the time
            for name, times in frames.read_callees(states[0], BURST, gap_ns=GAP_NS).items():
                seen[name.decode()] += times
    finally:
        done.set()
        thread.join()
    return seen


def first(seen):
    """Return the name seen most often, but for the freeing of what was made."""
    return max((name for name in seen if name not in {"", "freeing"}), key=seen.__getitem__)


class Text(ctypes.Structure):
    _fields_ = (("value", ctypes.c_char * (1 << 20)),)


CELL = Text(b"x" * ((1 << 20) - 1))


class Owner:
    @property
    def computed(self):
        return sorted(NUMBERS)

    def __getattr__(self, name):
        return sorted(NUMBERS)

    def __contains__(self, item):
        ordered = sorted(NUMBERS)  # freed when this returns, not by another operator
        return nothing(ordered) is item


def nothing(thing=None):
    return thing


def with_a_dict():
    sorted(*(NUMBERS,), **SETTINGS)


def as_attribute_of_a_list():
    method = [].extend
    method(map(bool, NUMBERS))  # makes no objects, which would have to be freed


def in_a_handler():
    try:
        raise KeyError
    except KeyError:
        with threading.Lock():
            nothing(sorted(NUMBERS))


def in_a_generator():
    def generate():
        yield 1
        for _ in range(3):
            try:
                yield nothing(sorted(NUMBERS))
            finally:
                nothing(1)

    for item in generate():
        nothing(item)


def in_a_coroutine():
    async def compute():
        return nothing(sorted(NUMBERS))

    async def wait():
        return await compute()

    with pytest.raises(StopIteration):
        wait().send(None)


def in_a_class():
    class Body:
        value = sorted(NUMBERS)

    return Body


def in_a_comprehension():
    return [sorted(NUMBERS) for _ in range(2)]


def in_a_long_function():
    """Its instructions have arguments above 255."""
    return LONG["compute"]()


LONG: dict[str, typing.Any] = {"sorted": sorted, "NUMBERS": NUMBERS}
exec(
    "def compute():\n"
    + "".join(f"    name_{n} = 'value {n}'\n" for n in range(400))
    + "    if not name_399:\n        return None\n    result = sorted(NUMBERS)\n    return result\n",
    LONG,
)


def under_a_profiler():
    sys.setprofile(lambda *_: None)
    try:
        nothing(sorted(NUMBERS))
    finally:
        sys.setprofile(None)


def under_a_tracer():
    def trace(frame, *_):
        frame.f_trace_opcodes = True
        return trace

    sys.settrace(trace)
    try:
        traced()
    finally:
        sys.settrace(None)


def traced():
    for _ in range(50):  # to set a trace function takes long, too
        nothing(sorted(NUMBERS))


def store_a_slice():
    things = [1]
    things[0:0] = ITEMS


def delete_a_slice():
    things = [None] * 3_000_000
    del things[EVERYTHING]


def store_an_item():
    things = []
    things[EVERYTHING] = ITEMS


def add_in_place():
    things = [1]
    things += ITEMS
    things += ITEMS


def unpack():
    first, *_ = ITEMS
    return first


def drop_a_local():
    things = [[] for _ in range(100_000)]
    things = None
    nothing(things)


# Who calls another callable, and does nothing else, is looked through.
CALLERS = {
    "a partial": ("sorted", functools.partial(functools.partial(sorted, NUMBERS), reverse=True)),
    "a bound method": ("str.translate", functools.partial(TEXT.translate, {ord("a"): "bc"})),
    "a method of a function in C": ("sorted", lambda: types.MethodType(sorted, NUMBERS)()),
    "a context": ("sorted", lambda: CONTEXT.run(sorted, NUMBERS)),
    "a context with keywords": ("sorted", lambda: CONTEXT.run(sorted, NUMBERS, reverse=True)),
    "a context with a tuple": ("sorted", lambda: CONTEXT.run(*(sorted, NUMBERS), **SETTINGS)),
    "a context by its class": ("sorted", lambda: contextvars.Context.run(CONTEXT, sorted, NUMBERS)),
    "a context in a partial": ("sorted", lambda: functools.partial(CONTEXT.run, sorted)(NUMBERS)),
    "a partial in a context": ("sorted", lambda: CONTEXT.run(functools.partial(sorted, NUMBERS))),
    "a thread of asyncio": ("sorted", functools.partial(CONTEXT.run, functools.partial(sorted, NUMBERS))),
    "an operator": ("sorted", lambda: operator.call(sorted, NUMBERS)),
    "a method caller": ("str.split", lambda: operator.methodcaller("split")(TEXT)),
    "a cache": ("sum", lambda: functools.lru_cache(maxsize=0)(sum)(range(300_000))),
    "a static method": ("sorted", lambda: staticmethod(sorted)(NUMBERS)),
    "a bound __call__": ("sorted", lambda: sorted.__call__(NUMBERS)),
    "a __call__ by its class": ("set", lambda: type.__call__(set, NUMBERS)),
}

# An iterator that calls tells what it calls; if that is in Python, its own frame is there.
ITERATORS = {
    "a map": ("list over map(sorted)", lambda: list(map(sorted, [NUMBERS] * 3))),
    "a map of partials": ("list over map(sorted)", lambda: list(map(REVERSE, [NUMBERS] * 3))),
    "a map for a method": ("list.extend over map(sorted)", lambda: [].extend(map(sorted, [NUMBERS] * 3))),
    "a filter": ("list over filter(re.Pattern.findall)", lambda: list(filter(WORDS.findall, [TEXT] * 3))),
    "a filter of nothing": ("list", lambda: list(filter(None, NUMBERS))),
}

LIBC = ctypes.PyDLL(None)  # keeps the GIL
LIBC.strlen.argtypes = (ctypes.c_char_p,)
UNNAMED = ctypes.PYFUNCTYPE(ctypes.c_size_t, ctypes.c_char_p)(("strlen", LIBC))
RENAMED = LIBC["strlen"]
RENAMED.one, RENAMED.__name__ = 1, "length"
LETTERS = b"a" * 20_000_000

REVERSE = functools.partial(sorted, reverse=True)

CALLS = {
    "a function": ("sorted", lambda: sorted(NUMBERS)),
    "keywords": ("sorted", lambda: sorted(NUMBERS, reverse=True)),
    "a tuple of arguments": ("sorted", lambda: sorted(*(NUMBERS,))),
    "a dict of arguments": ("sorted", with_a_dict),
    "a key of C": ("sorted", lambda: sorted(NUMBERS, key=str)),
    "a method": ("re.Pattern.findall", lambda: WORDS.findall(TEXT)),
    "a method found first": ("list.extend over map(bool)", as_attribute_of_a_list),
    "a class": ("set", lambda: set(NUMBERS)),
    "a class with a name of its own": ("str", lambda: str(DIGITS)),
    "a class method": ("dict.fromkeys", lambda: dict.fromkeys(NUMBERS)),
    "a function of a module": ("_pickle.dumps", lambda: pickle.dumps(DOCUMENT)),
    "a function of C that Python calls": ("_collections._count_elements", lambda: Counter(TEXT)),
    "an encoder": ("_json.Encoder", lambda: json.dumps(DOCUMENT)),
    "a packer": ("_struct.pack", lambda: struct.pack(*PACKED)),
    "a joiner": ("str.join", lambda: ",".join(["ab"] * 500_000)),
    "a sum": ("sum", lambda: sum(NUMBERS)),
    "a foreign function": ("strlen (ctypes)", lambda: LIBC.strlen(LETTERS)),
    "a foreign function with a name of its own": ("length (ctypes)", lambda: RENAMED(LETTERS)),
    "a foreign function without a name": ("CFunctionType", lambda: UNNAMED(LETTERS)),
    "a slot": ("list.__eq__", lambda: list.__eq__(*SAME)),
    "a bound slot": ("list.__eq__", lambda: SAME[0].__eq__(SAME[1])),
    "an operator as a function": ("_operator.eq", lambda: operator.eq(*SAME)),
    "a property": ("sorted", lambda: Owner().computed),
    "a missing attribute": ("sorted", lambda: Owner().missing),
    "a method of Python": ("sorted", lambda: 1 in Owner()),
    "in a handler": ("sorted", in_a_handler),
    "in a generator": ("sorted", in_a_generator),
    "in a coroutine": ("sorted", in_a_coroutine),
    "in a class": ("sorted", in_a_class),
    "in a comprehension": ("sorted", in_a_comprehension),
    "in a long function": ("sorted", in_a_long_function),
    "under a profiler": ("sorted", under_a_profiler),
    "under a tracer": ("sorted", under_a_tracer),
}

OPERATORS = {
    "in": ("`in` on list", lambda: 0.5 in ITEMS),
    "==": ("list == list", lambda: SAME[0] == SAME[1]),
    "<": ("list < list", lambda: SAME[0] < SAME[1]),
    "*": ("int * int", lambda: LARGE * LARGE),
    "**": ("int ** int", lambda: 3 ** len(TEXT)),
    "|": ("dict | dict", lambda: MEMBERS | MEMBERS),
    "+=": ("list += list", add_in_place),
    "a slice": ("list[...]", lambda: ITEMS[EVERYTHING]),
    "a slice of two ends": ("list[...]", lambda: ITEMS[1:]),
    "a slice stored": ("list[...] =", store_a_slice),
    "an item stored": ("list[...] =", store_an_item),
    "a slice deleted": ("del list[...]", delete_a_slice),
    "an attribute": ("Text.value", lambda: CELL.value),
    "iteration": ("iteration over map(sorted)", lambda: [None for _ in map(sorted, [NUMBERS] * 3)]),
    "iteration with a filter": (
        "iteration over filter(re.Pattern.findall)",
        lambda: [None for _ in filter(WORDS.findall, [TEXT] * 3)],
    ),
    "unpacking": ("unpacking list", unpack),
    "a star": ("unpacking list", lambda: [*ITEMS, 1]),
    "two stars": ("unpacking dict", lambda: {**MEMBERS, "a": 1}),
    "formatting": ("formatting list", lambda: f"{NUMBERS}"),
    "an f-string": ("f-string", lambda: f"{TEXT}{TEXT}{TEXT}{TEXT}{TEXT}{TEXT}{TEXT}"),
}


@pytest.mark.parametrize(("expected", "culprit"), CALLS.values(), ids=CALLS)
def test_a_call_is_named(expected, culprit):
    seen = look_at(culprit)
    # what it made is freed after it
    del seen["freeing"]
    assert first(seen) == expected, seen


@pytest.mark.parametrize(("expected", "culprit"), CALLERS.values(), ids=CALLERS)
def test_what_another_callable_calls_is_named(expected, culprit):
    seen = look_at(culprit)
    assert first(seen) == expected, seen


@pytest.mark.parametrize(("expected", "culprit"), ITERATORS.values(), ids=ITERATORS)
def test_what_an_iterator_calls_is_named(expected, culprit):
    seen = look_at(culprit)
    assert first(seen) == expected, seen


@pytest.mark.parametrize(("expected", "culprit"), OPERATORS.values(), ids=OPERATORS)
def test_an_operator_is_named_by_its_types(expected, culprit):
    seen = look_at(culprit)
    assert first(seen) == expected, seen


def test_a_function_of_c_in_a_pool_is_named():
    """The innermost frame is one of the pool's."""
    seen = Counter()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        state = pool.submit(frames.thread_state).result()
        while seen.total() - seen[b""] < NAMED:
            jobs = [pool.submit(sorted, NUMBERS) for _ in range(20)]
            seen.update(frames.read_callees(state, BURST, gap_ns=GAP_NS))
            concurrent.futures.wait(jobs)
    del seen[b""]
    assert max(seen, key=seen.__getitem__) == b"sorted", seen


def test_a_function_of_c_in_a_thread_of_asyncio_is_named():
    """`to_thread` gives the pool a partial of a context's `run`."""

    async def work():
        loop = asyncio.get_running_loop()
        loop.set_default_executor(concurrent.futures.ThreadPoolExecutor(1))
        state = await asyncio.to_thread(frames.thread_state)
        while seen.total() - seen[b""] < NAMED:
            job = asyncio.gather(*(asyncio.to_thread(sorted, NUMBERS) for _ in range(20)))
            await asyncio.sleep(0)
            seen.update(frames.read_callees(state, BURST, gap_ns=GAP_NS))
            await job

    seen = Counter()
    asyncio.run(work())
    del seen[b""]
    assert max(seen, key=seen.__getitem__) == b"sorted", seen


def collect(generation):
    """Return a function that collects it, and of the others the younger ones at most."""

    def run():
        held.append([[] for _ in range(20_000)])
        for _ in range(5):  # to make and free what is collected takes long, too
            if generation:
                gc.collect(generation - 1)
            gc.collect(generation)
        held.clear()

    held = []
    return run


@pytest.mark.parametrize("generation", [0, 1, 2])
def test_a_collection_is_named(generation):
    seen = look_at(collect(generation))
    names = {name for name in seen if name.startswith("garbage collection")}
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        assert names == {"garbage collection"}  # there are no generations
    else:
        ran = {f"garbage collection (generation {n})" for n in (generation - 1, generation)}
        assert f"garbage collection (generation {generation})" in names <= ran, seen


def test_freeing_is_named():
    seen = look_at(drop_a_local)
    assert "freeing" in seen, seen


def test_plain_python_has_no_callee():
    def compute():
        total = 0
        for number in range(100_000):
            if number % 3:
                total += number * 2
        return total

    seen = look_at(compute, looks=200)
    assert seen[""] > 180, seen


def test_a_thread_that_is_gone_has_none():
    states = []
    for _ in range(20):
        thread = threading.Thread(target=lambda: states.append(frames.thread_state()))
        thread.start()
        thread.join()
    for state in [0, 8, 2**47 - 4096, *states]:
        assert frames.read_callees(state, 20) == {b"": 20}
