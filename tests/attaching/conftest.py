"""Small processes to attach to, and whether the machine lets us."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys

import pytest

from gilprobe.attaching import inject
from gilprobe.errors import InvalidValueError, UnsupportedError

LIMIT_S = 120  # there only so that a hang ends
WAITS = "print('ready', flush=True); sys.stdin.readline()"


class Process:
    """A Python without site-packages; it says that it is ready, and ends when it is told."""

    def __init__(self, code: str) -> None:
        self._child = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", "import sys\n" + code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.pid = self._child.pid
        self.read("ready")

    def read(self, line: str) -> None:
        assert self._child.stdout.readline() == f"{line}\n"

    def tell(self, line: str = "") -> None:
        self._child.stdin.write(f"{line}\n")
        self._child.stdin.flush()

    def end(self) -> tuple[int, str, str]:
        """Let it go on, and return its status and what it wrote."""
        out, err = self._child.communicate("\n", timeout=LIMIT_S)
        return self._child.returncode, out, err

    def kill(self) -> None:
        self._child.kill()
        self._child.communicate()


@pytest.fixture(scope="session")
def _permitted():
    if "libasan" in os.environ.get("LD_PRELOAD", ""):
        pytest.skip("nobody has tried this with ASan's allocator in the process")
    process = Process(WAITS)
    try:
        inject(process.pid, "os", "getpid", {}, LIMIT_S).close()
    except (InvalidValueError, UnsupportedError) as error:
        pytest.skip(str(error))
    finally:
        process.kill()


@pytest.fixture
def start(_permitted):
    """Return a function that starts a process with some code."""
    with contextlib.ExitStack() as stack:

        def begin(code: str = WAITS) -> Process:
            process = Process(code)
            stack.callback(process.kill)
            return process

        yield begin
