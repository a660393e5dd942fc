"""A real browser for the tests of pages."""

from __future__ import annotations

import os
import shutil

import pytest


@pytest.fixture(scope="session")
def chromium():
    """Return a driver of a headless Chromium that all tests share."""
    pytest.importorskip("selenium", reason="browser tests need selenium: pip install 'gilprobe[dev]'")
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
