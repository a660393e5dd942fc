"""Tests here collect garbage again and again."""

from __future__ import annotations

import gc

import pytest


@pytest.fixture(autouse=True, scope="module")
def collections_are_short():
    """Keep what pytest has made of thousands of tests out of the collections: each takes 0.5 s else."""
    gc.freeze()
    yield
    gc.unfreeze()
