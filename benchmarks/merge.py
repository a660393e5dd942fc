"""Measures how long it takes to merge many recordings into one report, and in how much memory.

Some recordings are real: threads of a program hold and release the GIL, fight for it, and run code at several
depths, until the file has the size that is wanted. The others are copies of these, with another process,
host and start. `gilprobe merge` runs in its own process, timed from start to end, with the files in the page
cache as far as they fit.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parent))  # python -P does not

import common
from common import Question, Row

from gilprobe.errors import UnsupportedError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

MIB, KIB = 1024 * 1024, 1024
LIMIT_S, LIMIT_MB = 60.0, 500.0
REAL = 4
HOSTS = 40
WORK = """
import json, os, random, sys, threading, time
from gilprobe import kernels, trace
path, size = sys.argv[1], int(sys.argv[2])
done = False
def deep(levels, work):
    return work() if levels == 0 else deep(levels - 1, work)
def request(number):
    kinds = (json.dumps, [*range(200)]), (sorted, [*range(2000)]), (sum, [*range(3000)])
    while not done:
        function, argument = random.choice(kinds)
        deep(random.randrange(20), lambda: function(argument))
        deep(random.randrange(20), lambda: kernels.alternate(200, held_ns=500, released_ns=500))
threads = [threading.Thread(target=request, args=(number,), name=f"request_{number}") for number in range(8)]
with trace(path=path, stacks=True, timeline=True):
    for thread in threads: thread.start()
    while os.path.getsize(path) < size: time.sleep(0.01)
    done = True
    for thread in threads: thread.join()
"""


def _record(path: Path, size: int) -> None:
    ran = subprocess.run([sys.executable, "-c", WORK, path, str(size)], capture_output=True, check=False)
    if ran.returncode:
        raise UnsupportedError(f"the recorded program failed: {ran.stderr.decode()[-200:]}")


def _copy(real: bytes, number: int) -> bytes:
    """Return a recording as if of another process: its first chunk tells that."""
    head = 16
    kind, size = real[head : head + 4], struct.unpack("<I", real[head + 4 : head + 8])[0]
    if kind != b"META":
        raise UnsupportedError(f"a recording must begin with META, got {kind!r}")
    rest = head + 12 + size
    meta = json.loads(real[head + 12 : rest])
    meta |= {"pid": number + 1, "host": f"host-{number % HOSTS}"}
    meta["started_unix_ns"] += number
    payload = json.dumps(meta).encode()
    start = kind + struct.pack("<I", len(payload))
    return real[:head] + start + struct.pack("<I", zlib.crc32(start + payload)) + payload + real[rest:]


def _make(options: argparse.Namespace) -> float:
    """Write the recordings; return their mean size in MB."""
    folder = Path(options.folder)
    real = []
    for number in range(min(REAL, options.files)):
        path = folder / "real"
        _record(path, round(options.size * 1e6))
        real.append(path.read_bytes())
        path.unlink()
        common.progress(f"recorded {len(real[-1]) / 1e6:.1f} MB, {number + 1} of {REAL}")
    total = 0
    for number in range(options.files):
        total += (folder / f"{number}.gilprobe").write_bytes(_copy(real[number % len(real)], number))
    return total / options.files / 1e6


def merging(options: argparse.Namespace) -> Iterator[Row]:
    """Merge all recordings of the folder."""
    each = _make(options)
    runs = [_run(options) for _ in range(options.repeat)]
    what = f"merge {options.files} recordings of {each:.1f} MB"
    note = f"CPU time {min(run[2] for run in runs):.1f} s"
    seconds, memory = ([run[column] for run in runs] for column in (0, 1))
    within = common.judge(seconds, lambda one: one <= LIMIT_S)
    yield Row(what, f"<= {LIMIT_S:g} s", "s", seconds, within, note)
    within = common.judge(memory, lambda one: one <= LIMIT_MB)
    yield Row(f"{what}: peak memory", f"<= {LIMIT_MB:g} MB", "MB", memory, within)


def _run(options: argparse.Namespace) -> tuple[float, float, float]:
    """Return seconds, the peak of memory in MB, and seconds of CPU time."""
    out = str(Path(options.folder, "all.json"))
    command = [sys.executable, "-P", "-m", "gilprobe", "merge", options.folder, "-o", out]
    began = time.perf_counter()
    with Path(options.folder, "complaints").open("wb") as complaints:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=complaints)
    _, status, usage = os.wait4(process.pid, 0)
    elapsed_s = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise UnsupportedError(f"gilprobe merge: {Path(complaints.name).read_text()[-200:]}")
    with Path(out).open(encoding="utf-8") as file:
        merged = sum(level["processes"] for level in json.load(file)["processes"])
    if merged != options.files:
        raise UnsupportedError(f"{merged} of {options.files} recordings were merged")
    return elapsed_s, usage.ru_maxrss * KIB / 1e6, usage.ru_utime + usage.ru_stime


QUESTIONS = (Question("merge", f"<= {LIMIT_S:g} s, <= {LIMIT_MB:g} MB", merging),)


def main() -> int:
    """Run the benchmark."""
    made = common.parser("How fast, and in how much memory, do many recordings become one report?", repeat=3)
    made.add_argument("--files", type=common.positive, default=1000, help="number (%(default)s)")
    made.add_argument("--size", type=common.seconds, default=10.0, help="MB of each (%(default)s)")
    made.add_argument("--in", dest="within", metavar="DIR", help="folder for the files (default: temporary)")
    options = made.parse_args()
    common.check_file(options, made)
    if options.quick:
        options.repeat, options.files, options.size = 2, 8, 0.2
    with tempfile.TemporaryDirectory(prefix="gilprobe-", dir=options.within) as options.folder:
        return common.main("merge", options, QUESTIONS)


if __name__ == "__main__":
    sys.exit(main())
