"""Reach into a running process: find what it is, load an agent there, talk to it.

What then runs in that process stands in :mod:`gilprobe.attached`.
"""

from __future__ import annotations

from gilprobe.attaching.injecting import Injected, inject

__all__ = ["Injected", "inject"]
