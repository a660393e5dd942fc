"""Durations as people read them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gilprobe.durations import duration, parse_duration

pytestmark = pytest.mark.plain_python

TOLD = json.loads((Path(__file__).parent / "data" / "durations.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(("ns", "text"), TOLD)
def test_a_duration_has_three_digits_and_the_unit_that_fits_as_in_the_scripts_of_pages(ns, text):
    assert duration(ns / 1e9) == text


@pytest.mark.parametrize("seconds", [3e-9, 4.56e-5, 0.1, 7.0, 86400.0])
def test_what_is_written_is_read_back(seconds):
    assert parse_duration(duration(seconds), "--duration") == pytest.approx(seconds, rel=0.005)
