"""A test suite with a fixture that every test copies, beside a server in a thread that its clients wait for.

Run it by pytest.
"""

from __future__ import annotations

import copy
import http.server
import sys
import threading
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # pytest's import mode does not

from spent import spent

if TYPE_CHECKING:
    from collections.abc import Iterator

PRISTINE = [
    {"id": number, "tags": ["a", "b"], "lines": [{"n": n} for n in range(4)]} for number in range(2_000)
]


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers at once."""

    def do_GET(self) -> None:
        """Answer."""
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="session")
def address() -> Iterator[str]:
    """Start a server."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), name="server")
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()


@pytest.fixture(scope="session")
def monitor(address: str) -> Iterator[list[int]]:
    """Ask the server all the time, as a health check does."""
    answers: list[int] = []
    end = threading.Event()

    def ask() -> None:
        while not end.wait(0.005):
            with urllib.request.urlopen(address) as answer:  # noqa: S310 (it is our own)
                answers.append(answer.status)

    thread = threading.Thread(target=ask, name="monitor")
    thread.start()
    yield answers
    end.set()
    thread.join()


@pytest.fixture
def orders(monitor: list[int]) -> list[dict[str, Any]]:  # noqa: ARG001 (a fixture is asked for by name)
    """Return data that a test may change."""
    with spent("copy.deepcopy"):
        return copy.deepcopy(PRISTINE)


@pytest.mark.parametrize("number", range(60))
def test_an_order_can_be_changed(orders: list[dict[str, Any]], number: int) -> None:
    """Change one order, and look at all."""
    orders[number]["tags"].append("c")
    with spent("the test's own sum"):
        assert sum(len(order["tags"]) for order in orders) == 2 * len(orders) + 1  # noqa: S101
