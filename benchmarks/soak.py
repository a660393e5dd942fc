"""Does a traced service need more and more memory? ``python benchmarks/soak.py --minutes 60``.

Two copies of one made-up service run side by side, one of them under ``gilprobe record``. The service makes
new code objects with large constants, threads with new names, children and, from CPython 3.12 on,
interpreters with their own GIL. Both are compared after the same number of requests, since some versions of
CPython lose memory with each interpreter. In the first quarter tables fill; afterwards the memory that the
traced copy needs beyond the other must stay below a constant.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parent))  # python -P does not

from common import Question, Row, check_file, judge, main, parser, positive

from gilprobe.errors import UnsupportedError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

LIMIT_MIB = 32
POINTS = 20
RATE = 40  # requests a second; on a busy machine the same number takes longer
QUICK_S = 8.0
WHAT = "memory of a traced service beyond an untraced one, after a quarter of the time"

SERVICE = """
import gc, importlib, os, sys, threading, time
requests, points, rate = map(int, sys.argv[1:])
TEMPLATE = "def handle():\\n    data = {data!r}\\n    time.sleep(0)\\n    return len(data)\\nhandle()"
interpreters = None
if sys.version_info >= (3, 12):
    known = sys.version_info >= (3, 13)
    interpreters = importlib.import_module("_interpreters" if known else "_xxsubinterpreters")

def memory():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

def request(number):
    data = "x" * 50_000 + str(number)
    exec(compile(TEMPLATE.format(data=data), f"<template {number % 50}>", "exec"), {"time": time})

def child():
    identifier = os.fork()
    if identifier == 0:
        os._exit(0)
    os.waitpid(identifier, 0)

def interpreter():
    made = interpreters.create()
    interpreters.run_string(made, "import time; time.sleep(0)")
    interpreters.destroy(made)

begun, number = time.monotonic(), 0
for point in range(1, points + 1):
    while number < requests * point // points:
        thread = threading.Thread(target=request, args=(number,), name=f"request {number}")
        thread.start()
        thread.join()
        if number % 20 == 0:
            child()
        if number % 25 == 0 and interpreters is not None:
            interpreter()
        number += 1
        time.sleep(max(0, begun + number / rate - time.monotonic()))
    gc.collect()
    print(memory(), number, flush=True)
"""


def start(seconds: float, folder: Path, *before: str) -> subprocess.Popen[str]:
    """Start one copy, which prints its memory (MiB) and its number of requests at each point."""
    service = folder / "service.py"
    service.write_text(SERVICE, encoding="utf-8")
    command = [sys.executable, *before, str(service), str(round(seconds * RATE)), str(POINTS), str(RATE)]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)


def points(copy: subprocess.Popen[str]) -> Iterator[tuple[float, int]]:
    """Yield the lines of a copy as they come."""
    for line in copy.stdout or ():
        mib, requests = line.split()
        yield float(mib), int(requests)


def compare(seconds: float) -> Iterator[float]:
    """Run both, print what they need, and yield the difference at each point, MiB."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        record = ("-m", "gilprobe", "record", "--quiet", "--no-timeline", "-o", str(folder / "soak.gilprobe"))
        begun = time.monotonic()
        with start(seconds, folder) as plain, start(seconds, folder, *record) as traced:
            for (is_plain, _), (is_traced, requests) in zip(points(plain), points(traced), strict=False):
                took, more = time.monotonic() - begun, is_traced - is_plain
                print(
                    f"{took:6.0f} s  untraced {is_plain:7.1f} MiB  traced {is_traced:7.1f} MiB  "
                    f"more {more:+7.1f} MiB  {requests} requests",
                    flush=True,
                )
                yield more
        if plain.returncode or traced.returncode:
            raise UnsupportedError(f"the service ended with {plain.returncode} and {traced.returncode}")


def soak(options: argparse.Namespace) -> Iterator[Row]:
    """Yield the row: how much the difference has grown since the first quarter."""
    differences = list(compare(QUICK_S if options.quick else options.minutes * 60))
    early = max(differences[: POINTS // 4])
    grown = [more - early for more in differences[POINTS // 4 :]]
    note = f"the traced one has {differences[-1]:.0f} MiB more at the end"
    verdict = judge(grown, lambda mib: mib <= LIMIT_MIB)
    yield Row(WHAT, f"<= {LIMIT_MIB} MiB", "MiB", grown, verdict, note)


QUESTIONS = (Question(WHAT, f"<= {LIMIT_MIB} MiB", soak),)


if __name__ == "__main__":
    made = parser("Does a traced service need more and more memory?", repeat=1)
    made.add_argument(
        "--minutes", type=positive, default=60, help="how long both run, on an idle machine (%(default)s)"
    )
    chosen = made.parse_args()
    check_file(chosen, made)
    sys.exit(main("soak", chosen, QUESTIONS))
