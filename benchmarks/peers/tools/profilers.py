"""Time profilers, which say nothing about the GIL. Users use them for it, so their cost is compared."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from .base import Place, Reading, Tool

if TYPE_CHECKING:
    from collections.abc import Iterator


class Yappi(Tool):
    """A deterministic profiler of threads."""

    name = "yappi"
    environment = "yappi"
    settings = 'set_clock_type("wall"), start()'
    silence = "times functions a thread; tells not who had the GIL"
    restarts = True

    @contextmanager
    def inside(self) -> Iterator[Reading]:
        """Profile the block."""
        import yappi

        reading = Reading()
        yappi.set_clock_type("wall")
        yappi.start()
        try:
            yield reading
        finally:
            yappi.stop()


class VizTracer(Tool):
    """A tracer of function entries and exits."""

    name = "viztracer"
    environment = "viztracer"
    settings = (
        "VizTracer(log_gc=False, verbose=0), the defaults; the file is written in the measured time's end"
    )
    silence = "times functions a thread; tells not who had the GIL"
    each_event = True

    @contextmanager
    def inside(self) -> Iterator[Reading]:
        """Trace the block and write its file, the other half of the tool's work."""
        from viztracer import VizTracer as Tracer

        reading = Reading()
        tracer = Tracer(verbose=0)
        tracer.start()
        try:
            yield reading
        finally:
            tracer.stop()
            with tempfile.TemporaryDirectory() as folder:
                tracer.save(os.fspath(Path(folder) / "trace.json"))


class Austin(Tool):
    """A sampler in another process."""

    name = "austin"
    environment = "austin"
    settings = "--pid, --interval 1ms, --sleepless"
    silence = "version 3 samples stacks and idle threads; tells not who had the GIL"
    in_process = False

    def attach(self, place: Place, pid: int) -> list[str]:
        """Sample until the process ends."""
        options = ["--sleepless", "--interval", "1ms", "--output", place.output]
        return [place.tool("austin"), *options, "--pid", str(pid)]
