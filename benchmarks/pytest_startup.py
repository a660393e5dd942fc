"""Measure what the installed pytest plugin costs a run that does not use it.

Whole runs of pytest on one empty test take turns, with the plugin and with ``-p no:gilprobe``, which keeps
pytest from importing it. The result is the difference of neighbouring runs: the machine's drift affects both
equally. The same is measured for ``--gil``, which pays for the tracer and for one trace.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parent))  # python -P does not

from common import Question, Row, check_file, difference, in_turns, main, parser

from gilprobe.errors import UnsupportedError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

UNUSED_LIMIT_MS = 3.0
WITHOUT, UNUSED, USED = ("-p", "no:gilprobe"), (), ("--gil",)
HOW = {UNUSED: "unused", USED: "with --gil"}


def run_ms(folder: Path, arguments: tuple[str, ...]) -> float:
    """Return how long one run of pytest takes."""
    command = [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    # if pytest can't keep compiled plugins, it compiles them anew in each run
    left_out = ("PYTEST_", "PYTHONDONTWRITEBYTECODE")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    began = time.perf_counter()
    ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    took = time.perf_counter() - began
    if ended.returncode:
        raise UnsupportedError(f"pytest does not run here: {(ended.stderr or ended.stdout).strip()[-200:]}")
    return took * 1e3


def pairs(options: argparse.Namespace, arguments: tuple[str, ...]) -> tuple[list[float], list[float]]:
    """Return the times of runs without the plugin and of their neighbours with it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "test_it.py").write_text("def test_it(): pass\n", encoding="utf-8")
        both = WITHOUT, arguments
        without, with_it = in_turns(
            lambda arm: run_ms(folder, both[arm]), 2, 2 if options.quick else options.repeat
        )
    return without, with_it


def cost(options: argparse.Namespace, arguments: tuple[str, ...], limit: float | None) -> Iterator[Row]:
    """Yield the row of one way to run."""
    without, with_it = pairs(options, arguments)
    what, target = f"plugin installed, {HOW[arguments]}", f"<= {limit} ms" if limit else ""
    yield difference(what, target, "ms", without, with_it, limit)


QUESTIONS = (
    Question(
        "plugin installed, unused",
        f"<= {UNUSED_LIMIT_MS} ms",
        lambda options: cost(options, UNUSED, UNUSED_LIMIT_MS),
        traces=False,
    ),
    Question("plugin installed, with --gil", "", lambda options: cost(options, USED, None)),
)


if __name__ == "__main__":
    made = parser("What does the installed pytest plugin cost?", repeat=40)
    chosen = made.parse_args()
    check_file(chosen, made)
    sys.exit(main("pytest_startup", chosen, QUESTIONS))
