"""What a thread runs in C is told by its name, by a look from outside that needs no GIL."""

from __future__ import annotations

import functools
import gc
import json
import pickle
import re
import threading
from collections import Counter

import pytest

from gilprobe._native import frames

NUMBERS = [n * 7919 % 200_003 for n in range(200_000)]
TEXT = "lorem ipsum dolor " * 10_000
WORDS = re.compile(r"(\w+) (\w+)")
DOCUMENT = [{"id": n, "name": f"user {n}", "tags": ["a", "b", "c"] * 5} for n in range(3000)]

ROUNDS = 60
GAP_NS = 500_000


def names_of(culprit):
    """Run `culprit` again and again in a thread, and return how often each name was seen there."""
    states, done = [], threading.Event()

    def run():
        states.append(frames.thread_state())
        started.set()
        while not done.is_set():
            culprit()

    started = threading.Event()
    thread = threading.Thread(target=run)
    thread.start()
    started.wait()
    try:
        # without the GIL: the thread may hold it all the time
        seen = frames.read_callees(states[0], ROUNDS, gap_ns=GAP_NS)
    finally:
        done.set()
        thread.join()
    return Counter({name.decode(): times for name, times in seen.items()})


def sort_with_everything():
    sorted(*(NUMBERS,), **{"reverse": True})


CALLS = {
    "a function": ("sorted", lambda: sorted(NUMBERS)),
    "keywords": ("sorted", lambda: sorted(NUMBERS, reverse=True)),
    "a tuple of arguments": ("sorted", lambda: sorted(*(NUMBERS,))),
    "a dict of arguments": ("sorted", sort_with_everything),
    "a partial": ("sorted", functools.partial(functools.partial(sorted, NUMBERS), reverse=True)),
    "a method": ("re.Pattern.findall", lambda: WORDS.findall(TEXT)),
    "a bound method": ("str.translate", functools.partial(TEXT.translate, {ord("a"): "bc"})),
    "a class": ("set", lambda: set(NUMBERS)),
    "a class method": ("dict.fromkeys", lambda: dict.fromkeys(NUMBERS)),
    "a function of a module": ("_pickle.dumps", lambda: pickle.dumps(DOCUMENT)),
    "an object": ("_json.Encoder", lambda: json.dumps(DOCUMENT)),
    "a slot": ("list.__eq__", lambda: list.__eq__(NUMBERS, NUMBERS.copy())),
    "a bound slot": ("list.__eq__", lambda: NUMBERS.__eq__(NUMBERS.copy())),
    "the collector": ("garbage collection (generation 2)", gc.collect),
}


@pytest.mark.parametrize(("expected", "culprit"), CALLS.values(), ids=CALLS)
def test_a_call_is_named(expected, culprit):
    seen = names_of(lambda: culprit())
    assert seen.most_common(1)[0][0] == expected, seen
