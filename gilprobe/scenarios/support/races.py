"""How a race of threads ended, all of which updated one number."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RaceEnd:
    """Updates that all threads made together, and the number at the end, from 0."""

    updates: int
    value: int

    @property
    def lost(self) -> int:
        """Updates that another thread has overwritten."""
        return self.updates - self.value
