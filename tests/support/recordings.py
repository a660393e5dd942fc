"""Read what ``gilprobe record`` has written."""

from __future__ import annotations

from gilprobe.tracing.loading import load


def read(path):
    """Return the report of a whole recording."""
    process = load(path)
    assert process.complete
    return process.report
