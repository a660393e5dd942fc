"""The fixture ``gil``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gilprobe.measuring.host import capabilities
from gilprobe.tracing.tracer import trace

if TYPE_CHECKING:
    from gilprobe.tracing.tracer import Trace


class Gil:
    """The value of the fixture ``gil``."""

    def __init__(self) -> None:
        here = capabilities()
        if here.tracer != "exact":
            pytest.skip(f"the GIL can't be traced here: {here.tracer_reason}")

    def trace(self, *, sites: bool = True, stacks: bool = False, timeline: bool = False) -> Trace:
        """Return a trace for a ``with`` statement: see :func:`gilprobe.trace`."""
        return trace(sites=sites, stacks=stacks, timeline=timeline)
