"""Measures the page of a recording: its size, the time until it shows, how smoothly it moves.

The recordings are made up (tests/support/busy_service.py): a service in which one thread makes all others
wait, with realistic detail at every scale. A headless Chromium without a GPU opens the page from disk. While
a script zooms or moves the timeline a little in each frame, the page counts the frames that it draws; a
browser shows about 60 a second, not more.

The writing of a page is timed in its own process, from start to end.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
sys.path.insert(0, str(Path(__file__).parent))  # python -P does not

import common
from common import Question, Row

from gilprobe.errors import UnsupportedError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from selenium.webdriver import Chrome

MB = 1e6
KIB, MIB = 1024, 1024 * 1024
SMALL = 100_000
WIDTH, HEIGHT = 1280, 900
LEAST_FRAMES = 30
RUN_LIMIT_S = 2.0
SCENARIO = "held-vs-released"

# The time of the first paint, or when all parts of the page were built, whichever is later.
FIRST_PAINT = """
const [done] = arguments;
const tell = () => {
  const paint = performance.getEntriesByName("first-contentful-paint")[0];
  const built = performance.getEntriesByType("navigation")[0].domContentLoadedEventEnd;
  if (!paint || !built) requestAnimationFrame(tell);
  else done(Math.max(paint.startTime, built) / 1000);
};
tell();
"""

# Acts once in each frame for the given milliseconds; returns the frames drawn, a second.
FRAMES = """
const [way, ms, done] = arguments;
const shown = gilprobe.timeline.shown;
const { view, model } = shown;
const acts = {
  zooming: (frame) => shown.zoom(frame % 160 < 80 ? 0.9 : 1 / 0.9, model.extent * 0.37),
  moving: (frame) => shown.pan(((frame % 200 < 100 ? 1 : -1) * view.span) / 60),
};
shown.show(0, model.extent);
if (way === "moving") shown.show(model.extent * 0.3, model.extent * 0.6);
const began = performance.now();
const before = view.frames;
let frame = 0;
const step = () => {
  const spent = performance.now() - began;
  if (spent > ms) return done((1000 * (view.frames - before)) / spent);
  acts[way](frame++);
  requestAnimationFrame(step);
};
requestAnimationFrame(step);
"""

_made: dict[int, Path] = {}


@contextmanager
def _chromium() -> Iterator[Chrome]:
    """Start a browser; raise an error if there is none."""
    try:
        from browsing import start_chromium
    except ImportError as error:
        raise UnsupportedError(f"no browser can be driven: {error}") from None
    for program in ("chromium", "chromedriver"):
        if shutil.which(program) is None:
            raise UnsupportedError(f"no browser can be driven: there is no {program}")
    driver = start_chromium(root=os.geteuid() == 0)
    try:
        metrics = {"width": WIDTH, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        driver.set_script_timeout(60)
        yield driver
    finally:
        driver.quit()


def _recording(options: argparse.Namespace, events: int) -> Path:
    """Return a recording of so many events; made once."""
    import busy_service

    if events not in _made:
        path = Path(options.folder, f"{events}.gilprobe")
        busy_service.write(path, events)
        _made[events] = path
    return _made[events]


def _page(options: argparse.Namespace, events: int) -> Path:
    """Return the page of a recording; made once."""
    page = Path(options.folder, f"{events}.html")
    if not page.exists():
        _run(["report", str(_recording(options, events)), "--html", str(page)])
    return page


def _run(arguments: list[str]) -> tuple[float, float]:
    """Run the command; return its seconds and its peak memory in MiB."""
    command = [sys.executable, "-I", "-m", "gilprobe", *arguments]
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        complaint = process.stderr.read() if process.stderr else ""
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    elapsed_s = time.perf_counter() - began
    if process.returncode != 0:
        raise UnsupportedError(f"gilprobe {arguments[0]}: {complaint.strip()[-200:]}")
    return elapsed_s, usage.ru_maxrss * KIB / MIB


def size(options: argparse.Namespace) -> Iterator[Row]:
    """Measure the size of pages; it is always the same."""
    for events, target in ((SMALL, "<= 2 MB"), (options.events, "")):
        megabytes = [_page(options, events).stat().st_size / MB]
        verdict = common.judge(megabytes, lambda one: one <= 2) if target else common.NO_TARGET
        yield Row(f"size of the page: {_told(events)}", target, "MB", megabytes, verdict)


def first_paint(options: argparse.Namespace) -> Iterator[Row]:
    """Open pages from disk, by turns, in a running browser."""
    cases = ((SMALL, "<= 1 s"), (options.events, ""))
    pages = [_page(options, events).as_uri() for events, _ in cases]
    with _chromium() as driver:

        def sample(arm: int) -> float:
            driver.get("about:blank")
            driver.get(pages[arm])
            return float(driver.execute_async_script(FIRST_PAINT))

        taken = common.in_turns(sample, len(cases), options.repeat)
    for (events, target), seconds in zip(cases, taken, strict=True):
        verdict = common.judge(seconds, lambda one: one <= 1) if target else common.NO_TARGET
        yield Row(f"first paint from disk: {_told(events)}", target, "s", seconds, verdict, "all parts built")


def frames(options: argparse.Namespace) -> Iterator[Row]:
    """Count frames while the timeline is zoomed and moved."""
    ways = ("zooming", "moving")
    milliseconds = 1000 * options.work
    for events in (options.events, SMALL):
        page = _page(options, events).as_uri()
        with _chromium() as driver:
            driver.get(page)
            taken = common.in_turns(
                lambda arm: float(driver.execute_async_script(FRAMES, ways[arm], milliseconds)),
                len(ways),
                options.repeat,
            )
        for way, rates in zip(ways, taken, strict=True):
            verdict = common.judge(rates, lambda one: one >= LEAST_FRAMES)
            what = f"frames a second while {way}: {_told(events)}"
            yield Row(what, f">= {LEAST_FRAMES}", "1/s", rates, verdict, f"{WIDTH} x {HEIGHT}, no GPU")


def writing(options: argparse.Namespace) -> Iterator[Row]:
    """Write the page of a long recording in a new process."""
    path = _recording(options, options.events)
    page = Path(options.folder, "written.html")
    runs = [_run(["report", str(path), "--html", str(page)]) for _ in range(options.repeat)]
    seconds, memory = ([run[column] for run in runs] for column in (0, 1))
    note = f"a recording of {path.stat().st_size / MIB:.1f} MiB, in a new process"
    what = f"writing the page: {_told(options.events)}"
    yield Row(what, "<= 15 s", "s", seconds, common.judge(seconds, lambda one: one <= 15), note)
    verdict = common.judge(memory, lambda mib: mib * MIB <= 1e9)
    yield Row(f"{what}, peak memory", "<= 1 GB", "MiB", memory, verdict, note)


def run_with_page(options: argparse.Namespace) -> Iterator[Row]:
    """Run a scenario with its page and without, by turns."""
    page = str(Path(options.folder, "run.html"))
    arms = (["--no-html"], ["--html", page])
    quick = ["--quick"] if options.quick else []
    off, on = common.in_turns(
        lambda arm: _run(["run", SCENARIO, *quick, *arms[arm]])[0], 2, min(options.repeat, 5)
    )
    yield common.difference(
        f"gilprobe run {SCENARIO}: with the page against without",
        f"<= {RUN_LIMIT_S:g} s",
        "s",
        off,
        on,
        RUN_LIMIT_S,
    )


def _told(events: int) -> str:
    return f"{events / 1e6:.3g} million events"


QUESTIONS = (
    Question("size of the page", "<= 2 MB", size, traces=False),
    Question("first paint from disk", "<= 1 s", first_paint, traces=False),
    Question("frames a second", f">= {LEAST_FRAMES}", frames, traces=False),
    Question("writing the page", "<= 15 s, <= 1 GB", writing, traces=False),
    Question("gilprobe run", f"<= {RUN_LIMIT_S:g} s", run_with_page),
)


def main() -> int:
    """Run the benchmark."""
    made = common.parser("How large, fast and smooth is a recording's page?", repeat=10)
    made.add_argument("--work", type=common.seconds, default=2.0, help="seconds of moving (%(default)s)")
    made.add_argument(
        "--events",
        type=common.positive,
        default=10_000_000,
        help="in the long recording (%(default)s)",
    )
    options = made.parse_args()
    common.check_file(options, made)
    if options.quick:
        options.repeat, options.work, options.events = min(options.repeat, 2), 0.1, 200_000
    with tempfile.TemporaryDirectory(prefix="gilprobe-") as options.folder:
        return common.main("html", options, QUESTIONS)


if __name__ == "__main__":
    sys.exit(main())
