"""Loads `holds.c`, and keeps what each thread of a workload knows about itself."""

from __future__ import annotations

import ctypes
import os
import threading
import time
from dataclasses import dataclass, field
from typing import Any

clock = time.monotonic_ns


class Spent(ctypes.Structure):
    """What `holds.c` has measured, in nanoseconds."""

    _fields_ = [(name, ctypes.c_int64) for name in ("held", "perhaps_held", "waited", "worst_wait", "cycles")]


def load(path: str) -> ctypes.PyDLL:
    """Load the library; PyDLL, so that a call keeps the GIL until the library itself lets it go."""
    library = ctypes.PyDLL(path)
    number, spent = ctypes.c_int64, ctypes.POINTER(Spent)
    library.alternate.argtypes = (number, number, number, spent)
    library.nap.argtypes = (number, spent)
    library.alternate.restype = library.nap.restype = None
    return library


holds = load(os.environ["PEERS_HOLDS"])


@dataclass
class Known:
    """What is true of one thread.

    `held_ns`, `waited_ns` and `worst_ns` are the lowest and the highest that it can be; None where the thread
    can't know. `lines` are those of the culprit, `runs` the spans in which a spinner ran.
    """

    name: str
    native_id: int = 0
    begin_ns: int = 0
    end_ns: int = 0
    held_ns: tuple[int, int] | None = None
    waited_ns: tuple[int, int] | None = None
    worst_ns: tuple[int, int] | None = None
    function: str = ""
    lines: tuple[int, int] | None = None
    runs: list[tuple[int, int]] = field(default_factory=list)

    def enter(self) -> None:
        """Begin the thread's life."""
        self.native_id, self.begin_ns = threading.get_native_id(), clock()

    def leave(self, spent: Spent | None = None) -> None:
        """End it, with what the library has measured."""
        self.end_ns = clock()
        if spent is not None:
            self.held_ns = spent.held, spent.held + spent.perhaps_held
            self.waited_ns = spent.waited, spent.waited
            self.worst_ns = spent.worst_wait, spent.worst_wait

    def to_dict(self) -> dict[str, Any]:
        """Return it without the spans."""
        kept = dict(vars(self))
        kept.pop("runs")
        return kept
