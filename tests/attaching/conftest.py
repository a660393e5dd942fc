"""Small processes to attach to, and whether the machine lets us."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys

import pytest

from gilprobe.attaching import inject
from gilprobe.errors import InvalidValueError, UnsupportedError

LIMIT_S = 120  # there only so that a hang ends
WAITS = "print('ready', flush=True); sys.stdin.readline()"


class Process:
    """A Python without site-packages; it says that it is ready, and ends when it is told.

    `before` are the words of a command that runs it.
    """

    def __init__(self, code: str, before: tuple[str, ...] = (), env: dict[str, str] | None = None) -> None:
        self._child = subprocess.Popen(
            [*before, os.path.realpath(sys.executable), "-I", "-S", "-c", "import sys\n" + code],
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.pid = self._child.pid
        try:
            self.read("ready")
        except BaseException:
            self.kill()
            raise

    def number(self) -> int:
        return int(self._child.stdout.readline())

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


CONTAINERS = {
    "folders and numbers": ("--mount", "--pid"),
    "users, too": ("--mount", "--pid", "--user", "--map-root-user"),
}
# Its /proc is still the one of here.
NUMBER = "import os; print('ready', flush=True); print(os.readlink('/proc/self'), flush=True)\n"


@pytest.fixture
def contain(_permitted):
    """Return what runs code in a process with other folders, numbers and users, by unshare(1)."""
    if shutil.which("unshare") is None:
        pytest.skip("there is no unshare(1)")

    @contextlib.contextmanager
    def run(code="sys.stdin.readline()", kind="folders and numbers", folders=None, env=None):
        folders = folders or "mount -t tmpfs none /tmp && mount -t tmpfs none /dev/shm"
        words = ("unshare", *CONTAINERS[kind], "--fork", "--kill-child", "sh", "-c")
        words += (f'{folders} && cd /proc && exec "$@"', "sh")
        tried = subprocess.run([*words, "true"], capture_output=True, text=True, timeout=LIMIT_S)
        if tried.returncode != 0:
            pytest.skip(f"no container can be made: {tried.stderr.strip()}")
        process = Process(NUMBER + code, words, env and {**os.environ, **env})
        try:
            process.pid = process.number()
            yield process
        finally:
            process.kill()

    return run
