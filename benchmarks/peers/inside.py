"""Runs one workload in a process of its own, under the tool that measures from inside, if any.

    inside.py TOOL KIND PROGRAM PARAMETERS RESULT [wait]

The folder of this file is copied to the tools' environments, so it imports nothing else of the benchmark.
With `wait` it says when it is ready and waits for a line, so that another process can attach.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from tools import BY_NAME
from tools.base import Reading


def peak_kib() -> int:
    """Return this program's peak memory; getrusage would also count the program that started it."""
    with Path("/proc/self/status").open(encoding="utf-8") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))


def nothing() -> AbstractContextManager[Reading]:
    """No tool."""
    return nullcontext(Reading())


def main(tool: str, kind: str, program: str, parameters: str, result: str, wait: str = "") -> None:
    """Run it, and write the truth, the tool's answer and the cost."""
    work = importlib.import_module(f"programs.{kind}").WORK[program]
    if wait:
        print("ready", os.getpid(), flush=True)
        sys.stdin.readline()
    inside = BY_NAME[tool].inside if tool in BY_NAME else nothing
    in_turns = kind == "turns"  # it starts and stops the tool itself
    with nothing() if in_turns else inside() as reading:
        begin = time.monotonic_ns()
        answer = work(*((inside,) if in_turns else ()), **json.loads(parameters))
        end = time.monotonic_ns()
    document: dict[str, Any] = {
        "begin_ns": begin,
        "end_ns": end,
        "elapsed_s": (end - begin) / 1e9,
        "peak_kib": peak_kib(),
        "reading": reading.to_dict(),
    }
    if kind == "threads":
        document["threads"] = [one.to_dict() for one in answer]
    else:
        document["figures"] = answer
    with Path(result).open("w", encoding="utf-8") as file:
        json.dump(document, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
