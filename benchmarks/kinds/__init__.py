"""Programs with a planted culprit of many kinds; `benchmarks/culprit.py` asks who is told to be the culprit.

Each kind is a function with the decorator `kind`. It prepares data and returns the act: what the culprit does
again and again. The lines that are to blame end with `# culprit`. The truth comes from clocks of the program:
around each act, and in the victims around each wait.
"""

from __future__ import annotations

from . import c_calls, callbacks, loops, memory, operators, python_code, surroundings, threads
from .base import KINDS, Kind

__all__ = [
    "KINDS",
    "Kind",
    "c_calls",
    "callbacks",
    "loops",
    "memory",
    "operators",
    "python_code",
    "surroundings",
    "threads",
]
