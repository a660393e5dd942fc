"""Every tool of the comparison; a tool's module imports the tool only at use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .cpython_sampling import CPythonSampling
from .gil_load import GilLoad
from .gilknocker import Gilknocker
from .gilprobe import Gilprobe
from .profilers import Austin, VizTracer, Yappi
from .py_spy import PySpyDump, PySpyRecord, PySpyTop
from .tried import TRIED
from .uprobes import Uprobes

if TYPE_CHECKING:
    from .base import Tool

TOOLS: tuple[Tool, ...] = (
    Gilprobe(),
    Uprobes(),
    Gilknocker("gilknocker", "KnockKnock(), the defaults (knocks each ms for 10 ms of 100 ms)"),
    Gilknocker(
        "gilknocker 100 us",
        "KnockKnock(polling_interval_micros=100, sampling_... and sleeping_interval_micros=1000)",
        polling_interval_micros=100,
        sampling_interval_micros=1000,
        sleeping_interval_micros=1000,
    ),
    GilLoad(),
    PySpyRecord(),
    PySpyDump(),
    PySpyTop(),
    CPythonSampling(),
    Yappi(),
    VizTracer(),
    Austin(),
    *TRIED,
)

BY_NAME = {tool.name: tool for tool in TOOLS}
