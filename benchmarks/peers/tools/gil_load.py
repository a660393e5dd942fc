"""gil_load: a thread without the GIL that reads, at random times, who holds it and who waits."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .base import HELD, WAIT, Place, Reading, Tool, UnreadableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class GilLoad(Tool):
    """It knows threads only by their identifiers, so their names are recorded when they start."""

    name = "gil_load"
    environment = "gil_load"
    settings = "LD_PRELOAD, init(), start(av_sample_interval=0.001)"
    measures = frozenset({HELD, WAIT})

    def variables(self, place: Place) -> dict[str, str]:
        """Preload its library, as `python -m gil_load` does."""
        library = next(
            Path(place.python).parent.parent.glob("lib/python*/site-packages/gil_load/preload*.so"), None
        )
        if library is None:
            raise UnreadableError("gil_load's library to preload is missing in its installation")
        return {"LD_PRELOAD": str(library)}

    @contextmanager
    def inside(self) -> Iterator[Reading]:
        """Sample while the block runs."""
        import gil_load

        reading = Reading()
        names = _noted_names()
        gil_load.init()
        gil_load.start(av_sample_interval=0.001)
        try:
            yield reading
        finally:
            gil_load.stop()
        fill(reading, *gil_load.get(), names)


def fill(
    reading: Reading,
    total: Mapping[str, float],
    threads: Mapping[int, Mapping[str, float]],
    names: Mapping[int, str],
) -> None:
    """Read what `gil_load.get` returns."""
    reading.held = total["held"]
    reading.waits = {names[ident]: shares["wait"] for ident, shares in threads.items() if ident in names}


def _noted_names() -> dict[int, str]:
    names: dict[int, str] = {}
    run = threading.Thread.run

    def noted(self: threading.Thread, *arguments: Any) -> None:
        names[threading.get_ident()] = self.name
        run(self, *arguments)

    threading.Thread.run = noted  # type: ignore[method-assign]
    return names
