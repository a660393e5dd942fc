"""What the tests of the plugin share."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _not_a_ci_machine(monkeypatch):
    """Have pytest write what it writes anywhere: on CI machines its summary repeats whole messages."""
    for variable in ("CI", "BUILD_NUMBER"):
        monkeypatch.delenv(variable, raising=False)
