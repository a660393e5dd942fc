"""Are looks at a running process safe, whatever that does? ``python benchmarks/looks.py --looks 1000000000``.

A program does its worst: it recurses deeply, frees frames, generators, greenlets and threads, makes, replaces
and drops code objects, traces itself and collects. Beside it, looks read what each of its threads runs, as
fast as they can, also of threads that have ended. A look may be wrong then, but must do no harm: the program
has to end by itself, with all its own checks right. Run it with an AddressSanitizer build, too, as nox's
session `asan` does, but preload libstdc++ behind libasan: greenlet throws, which ASan else can't pass on.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parent))  # python -P does not

from common import Question, Row, check_file, judge, main, parser, positive

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

QUICK = 200_000
WHAT = "looks at a process that does its worst, until it ends well"
TARGET = "all"

PROGRAM = """
import gc, random, sys, threading
import gilprobe
from gilprobe._native import frames

wanted, rounds = int(sys.argv[1]), 3000
random.seed(2)
live, over = [], threading.Event()

def deep(levels):
    return levels and deep(levels - 1)

def generated(count):
    try:
        for number in range(count):
            yield sorted(range(number))
    finally:
        {}.get(1)

def recursion():
    assert deep(random.randrange(900)) == 0

def generators():
    assert len(list(generated(20))) == 20
    begun = generated(5)
    assert next(begun) == []
    del begun

SOURCE = "def made(x):\\n{lines}    return sorted(range({size}), reverse={reverse})[::{step}]\\n"

def codes():
    lines = "".join(f"    y{n} = x {random.choice('+-*|&')} {n}\\n" for n in range(random.randrange(1, 60)))
    size, space = random.randrange(50), {}
    exec(SOURCE.format(lines=lines, size=size, reverse=size % 2, step=1 + size % 3), space)
    for number in range(random.randrange(1, 30)):
        assert len(space["made"](number)) == len(range(0, size, 1 + size % 3))
    space["made"].__code__ = (lambda x: [x] * 3).__code__
    assert space["made"](1) == [1, 1, 1]

def short():
    live.append(frames.thread_state())
    deep(30)

def threads():
    thread = threading.Thread(target=short)
    thread.start()
    thread.join()

class Finalized:
    def __del__(self):
        deep(5)

def objects():
    things = [object() for _ in range(500)]
    assert things == things[:] and 5 not in things
    cycle = [Finalized(), things]
    cycle.append(cycle)
    del things, cycle
    gc.collect(random.randrange(3))

def tracing():
    sys.settrace(lambda *_: None)
    deep(20)
    sys.settrace(None)
    deep(20)

def switching():
    parent = greenlet.getcurrent()
    made = [greenlet.greenlet(lambda: parent.switch(deep(20)), parent) for _ in range(5)]
    assert [one.switch() for one in made] == [0] * 5

workers = [recursion, generators, codes, threads, objects, tracing]
try:
    import greenlet
except ImportError:
    print("no greenlet", file=sys.stderr)
else:
    workers.append(switching)

failed = []

def keep_on(work):
    live.append(frames.thread_state())
    try:
        while not over.is_set():
            work()
    except BaseException as error:
        failed.append(f"{work.__name__}: {error!r}")

looks = named = 0
sys.setswitchinterval(1e-4)
with gilprobe.trace(stacks=True):
    team = [threading.Thread(target=keep_on, args=(work,)) for work in workers]
    for thread in team:
        thread.start()
    while looks < wanted:
        del live[len(workers) + 20:-20]
        for state in list(live):
            seen = frames.read_callees(state, rounds)
            looks += rounds
            named += rounds - seen.get(b"", 0)
            frames.read_safely(state, 100, rounds=10)
    over.set()
    for thread in team:
        thread.join()
if failed:
    sys.exit("; ".join(failed))
print(looks, named)
"""


def look(wanted: int) -> Iterator[Row]:
    """Yield the row: how many looks there were in a program that ended well; 0 if it did not."""
    with tempfile.TemporaryDirectory() as name:
        file = Path(name, "hostile.py")
        file.write_text(PROGRAM, encoding="utf-8")
        done = subprocess.run(
            [sys.executable, str(file), str(wanted)], capture_output=True, text=True, check=False
        )
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["nothing"]
        note = f"the program ended with {done.returncode}, and said: {last[0]}"
        looks = 0
    else:
        looks, named = map(int, done.stdout.split())
        greenlets = ", without greenlets" if "no greenlet" in done.stderr else ""
        note = f"{named / looks:.0%} found a name{greenlets}"
    yield Row(WHAT, TARGET, "looks", [looks], judge([looks], lambda count: count >= wanted), note)


def answer(options: argparse.Namespace) -> Iterator[Row]:
    """Look as often as is wanted."""
    yield from look(QUICK if options.quick else options.looks)


QUESTIONS = (Question(WHAT, TARGET, answer),)


if __name__ == "__main__":
    made = parser("Are looks at a running process safe, whatever that does?", repeat=1)
    made.add_argument("--looks", type=positive, default=100_000_000, help="how many (%(default)s)")
    chosen = made.parse_args()
    check_file(chosen, made)
    sys.exit(main("looks", chosen, QUESTIONS))
