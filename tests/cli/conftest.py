"""What the tests of the command line share."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _folder_of_its_own(tmp_path_factory, monkeypatch):
    """Call commands in an empty folder: `gilprobe run` leaves its report where it is called."""
    monkeypatch.chdir(tmp_path_factory.mktemp("called-in"))
