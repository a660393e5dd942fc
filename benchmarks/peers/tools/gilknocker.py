"""gilknocker: a thread that asks for the GIL and reports how long it took to get it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from .base import HELD, Reading, Tool

if TYPE_CHECKING:
    from collections.abc import Iterator


class Gilknocker(Tool):
    """Its metric is "not specific, closer to 1 is more contention": compared with the held share."""

    environment = "gilknocker"
    silence = "its contention metric, of no unit, is compared with the held share"
    measures = frozenset({HELD})
    restarts = True

    def __init__(self, name: str, settings: str, **intervals: int) -> None:
        self.name = name
        self.settings = settings
        self._intervals = intervals

    @contextmanager
    def inside(self) -> Iterator[Reading]:
        """Knock while the block runs."""
        import gilknocker

        reading = Reading()
        knocker = gilknocker.KnockKnock(**self._intervals)
        knocker.start()
        try:
            yield reading
            reading.held = knocker.contention_metric
        finally:
            knocker.stop()
