"""These tests are about all objects, or search all: none of them may be frozen, as elsewhere (tests/conftest.py)."""

from __future__ import annotations

import gc

import pytest


@pytest.fixture(autouse=True, scope="package")
def nothing_frozen():
    """Unfreeze what was there, for these tests."""
    gc.unfreeze()
    yield
    gc.collect()
    gc.freeze()
