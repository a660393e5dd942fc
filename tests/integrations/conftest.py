"""What the tests of middleware share: a thread's times that a test sets, and labels that are noted."""

from __future__ import annotations

import pytest

from gilprobe.integrations import asgi, celery, django, figures, flask, timing, wsgi
from gilprobe.tracing.stall_alarm import Alarm


class Times:
    """The calling thread's times, as a test says."""

    def __init__(self) -> None:
        self.hold_ns = self.wait_ns = 0

    def spend(self, hold_ms: int, wait_ms: int) -> None:
        self.hold_ns += hold_ms * 1_000_000
        self.wait_ns += wait_ms * 1_000_000

    def __call__(self) -> tuple[int, int, int]:
        return self.hold_ns, self.wait_ns, 0


@pytest.fixture
def times(monkeypatch) -> Times:
    found = Times()
    monkeypatch.setattr(timing, "thread_times", found)
    return found


class Bell(Alarm):
    """An alarm that has rung as often as a test says."""

    def __init__(self) -> None:
        self.rings = 0

    @property
    def count(self) -> int:
        return self.rings


@pytest.fixture
def bell() -> Bell:
    return Bell()


class Running:
    """A monitor that runs."""

    running = True


@pytest.fixture
def labels(monkeypatch) -> list[str]:
    """Note the labels that are entered and left, in this order."""
    noted: list[str] = []

    class label:  # noqa: N801  # stands for gilprobe.label
        def __init__(self, name: str) -> None:
            self._name = name

        def __enter__(self):
            noted.append(f"enter {self._name}")

        def __exit__(self, *_exception):
            noted.append(f"leave {self._name}")

    for module in (asgi, celery, django, flask, wsgi):
        monkeypatch.setattr(module, "label", label)
    monkeypatch.setattr(figures, "_SHARED", Running())
    return noted
