"""Builds the small foreign extensions of tests/downstream with setuptools, as their users would."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

DOWNSTREAM = Path(__file__).parents[1] / "downstream"


def build(name: str, destination: Path) -> Path:
    """Build tests/downstream/`name`/setup.py into `destination`; return the folder to put on ``sys.path``.

    The sources are copied first: the checkout stays as it is; nothing is downloaded. Skips the test where
    there is no C compiler, which a released wheel is tested without; a package that the extra ``test`` should
    have brought is an error.
    """
    compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()[0]
    if shutil.which(compiler) is None:
        pytest.skip(f"no C compiler ({compiler}) to build tests/downstream/{name} with")
    sources, modules = destination / "source", destination / "modules"
    shutil.copytree(DOWNSTREAM / name, sources)
    command = [sys.executable, "setup.py", "--quiet", "build_ext"]
    command += [f"--build-lib={modules}", f"--build-temp={destination / 'objects'}"]
    # What the tests themselves run under is not for the compiler: it would be slow under ASan, which would
    # hold its leaks against it.
    ours = ("LD_PRELOAD", "ASAN_OPTIONS", "PYTHONMALLOC", "PYTHONWARNINGS")
    variables = {key: value for key, value in os.environ.items() if key not in ours}
    done = subprocess.run(command, cwd=sources, env=variables, capture_output=True, text=True, timeout=280)
    if done.returncode:
        pytest.fail(f"tests/downstream/{name} does not build:\n{done.stdout}{done.stderr}", pytrace=False)
    return modules
