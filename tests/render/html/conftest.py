"""A real browser for the tests of pages."""

from __future__ import annotations

import dataclasses
import os
import shutil

import pytest

from gilprobe.model.distribution import Distribution
from gilprobe.model.traced_process import TracedProcess
from gilprobe.report import Blame, Frame, Site, Stack, Stall


@pytest.fixture(scope="session")
def chromium():
    """Return a driver of a headless Chromium that all tests share."""
    pytest.importorskip("selenium", reason="browser tests need selenium: pip install selenium")
    missing = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"browser tests need {' and '.join(missing)}: apt-get install chromium chromium-driver")
    from browsing import start_chromium

    driver = start_chromium(root=os.geteuid() == 0)
    yield driver
    driver.quit()


@pytest.fixture
def browser(chromium, tmp_path):
    """Return a browser with a fresh tab: 1280 x 900, light, and its log empty."""
    from browsing import Browser

    return Browser(chromium, tmp_path)


def _site(function, line, hold_ms, wait_ms, caused_ms):
    times = (ms * 1_000_000 for ms in (hold_ms, wait_ms, caused_ms))
    return Site(function, f"/srv/app/{function}.py", line, 5, *times)


def _stack(names, hold_ms, wait_ms, caused_ms):
    times = (ms * 1_000_000 for ms in (hold_ms, wait_ms, caused_ms))
    return Stack(tuple(Frame(name, f"/srv/app/{name}.py", line) for name, line in names), 5, *times)


@pytest.fixture
def process(report, account):
    """Return a process whose culprit is `encode`; `compress` and `parse` caused little."""
    durations = Distribution(6, 320_007_007, 200_000_000, ((7, 1), (200, 3), (1400, 2)))
    threads = (
        account("exporter", 600, 100, 300, hold=durations, wait=durations),
        account("packer", 100, 400, 500, native_id=4712, wait=durations),
        account("heartbeat", 5, 395, 600, native_id=4713, wait=durations),
    )
    encode, compress, parse = (("encode", 250), ("compress", 17), ("parse", 3))
    blame = [
        Blame("packer", 4712, "exporter", 4711, "encode", "/srv/app/encode.py", 250, None, 380_000_000),
        Blame("packer", 4712, "exporter", 4711, "parse", "/srv/app/parse.py", 3, None, 10_000_000),
        Blame("heartbeat", 4713, "exporter", 4711, "encode", "/srv/app/encode.py", 250, None, 300_000_000),
        Blame("heartbeat", 4713, "packer", 4712, "compress", "/srv/app/compress.py", 17, None, 90_000_000),
        Blame("exporter", 4711, "packer", 4712, "compress", "/srv/app/compress.py", 17, None, 95_000_000),
        Blame("exporter", 4711, "", 0, "(handoff)", "", 0, None, 5_000_000),
    ]
    packed, parsed = ("compress", "/srv/app/compress.py", 17), ("parse", "/srv/app/parse.py", 3)
    encoded = ("encode", "/srv/app/encode.py", 250)
    stalls = [
        Stall("packer", *parsed, "exporter", *encoded, 200_000_000, 90_000_000, 88_000_000),
        Stall("heartbeat", *parsed, "packer", *packed, 400_000_000, 50_000_000, 20_000_000),
    ]
    return TracedProcess(
        "app.gilprobe",
        dataclasses.replace(
            report,
            threads=threads,
            sites=(_site(*encode, 600, 100, 680), _site(*compress, 90, 400, 185), _site(*parse, 15, 390, 10)),
            stacks=(
                _stack([("main", 9), encode], 600, 100, 680),
                _stack([("main", 9), ("pack", 2), compress], 90, 400, 185),
                _stack([parse], 15, 390, 10),
            ),
            blame=tuple(blame),
            longest_waits=tuple(stalls),
        ),
        pid=77,
        argv=("app.py", "--fast"),
    )
