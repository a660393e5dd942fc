"""Are looks at a running process safe, whatever that does? ``python benchmarks/looks.py --looks 1000000000``.

A program does its worst: it recurses deeply, frees frames, generators, greenlets and threads, makes, replaces
and drops code objects, traces itself, collects and forks. Beside it, looks read who has the GIL and what each
of its threads runs, as fast as they can, also of threads that have ended. A look may be wrong then, but must
do no harm: the program has to end by itself, with all its own checks right. Run it with an AddressSanitizer
build, too, as nox's session `asan` does, but preload libstdc++ behind libasan: greenlet throws, which ASan
else can't pass on.

With `--quick` reads are by the kernel, as always. Else `quick_reads.c` copies, which faults may end: a look
takes a tenth of the time, and what it reads is at least as torn.
"""

from __future__ import annotations

import os
import shlex
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

QUICK = 50_000
WHAT = "looks at a process that does its worst, until it ends well"
TARGET = "all"

PROGRAM = """
import gc, os, random, resource, sys, threading, time, warnings
import gilprobe
from gilprobe._native import frames, tracer

warnings.simplefilter("ignore", DeprecationWarning)  # of fork, beside threads
wanted, until = int(sys.argv[1]), time.monotonic() + float(sys.argv[2])
rounds, some = min(20_000, max(1, wanted // 50)), 300
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

def forking():
    child = os.fork()
    if not child:
        deep(20)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    deep(200)

workers = [recursion, generators, codes, threads, objects, tracing, forking]
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
    while looks < wanted and time.monotonic() < until:
        del live[len(workers) + 20:-20]
        for state in list(live):
            seen = frames.read_callees(state, some)
            named += some - seen.get(b"", 0)
            frames.read_safely(state, 100, rounds=10)
            done, told = tracer.look(rounds)
            looks += done + some
            named += told
    over.set()
    for thread in team:
        thread.join()
if failed:
    sys.exit("; ".join(failed))
used = resource.getrusage(resource.RUSAGE_SELF)
print(looks, named, used.ru_utime + used.ru_stime)
"""


def quickly(folder: Path) -> dict[str, str]:
    """Return an environment in which reads are copies."""
    library = folder / "quick_reads.so"
    command = [*shlex.split(os.environ.get("CC", "cc")), "-std=c11", "-O2", "-shared", "-fPIC"]
    source = Path(__file__).with_name("quick_reads.c")
    subprocess.run([*command, "-o", str(library), str(source)], check=True)
    return {"LD_PRELOAD": f"{os.environ.get('LD_PRELOAD', '')} {library}".strip()}


def look(wanted: int, minutes: float, *, quick: bool) -> Iterator[Row]:
    """Yield the row: how many looks there were in a program that ended well; 0 if it did not."""
    with tempfile.TemporaryDirectory() as name:
        file = Path(name, "hostile.py")
        file.write_text(PROGRAM, encoding="utf-8")
        done = subprocess.run(
            [sys.executable, str(file), str(wanted), str(60 * minutes)],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, **({} if quick else quickly(Path(name)))},
        )
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["nothing"]
        note = f"the program ended with {done.returncode}, and said: {last[0]}"
        looks = 0
    else:
        looks, named, cpu_s = map(float, done.stdout.split())
        greenlets = ", without greenlets" if "no greenlet" in done.stderr else ""
        note = f"{named / looks:.0%} found a name or code; {cpu_s:.0f} s of CPU{greenlets}"
    yield Row(WHAT, TARGET, "looks", [looks], judge([looks], lambda count: count >= wanted), note)


def answer(options: argparse.Namespace) -> Iterator[Row]:
    """Look as often as is wanted."""
    yield from look(QUICK if options.quick else options.looks, options.minutes, quick=options.quick)


QUESTIONS = (Question(WHAT, TARGET, answer),)


if __name__ == "__main__":
    made = parser("Are looks at a running process safe, whatever that does?", repeat=1)
    made.add_argument("--looks", type=positive, default=100_000_000, help="how many (%(default)s)")
    made.add_argument("--minutes", type=float, default=60, help="end after so many in any case (%(default)s)")
    chosen = made.parse_args()
    check_file(chosen, made)
    sys.exit(main("looks", chosen, QUESTIONS))
