"""Read what ``gilprobe record`` has written."""

from __future__ import annotations

import gilprobe


def read(path):
    """Return the report of a whole recording."""
    return gilprobe.Report.load(path)
