from __future__ import annotations

import pytest
from made_up_results import free_threaded, made_up

from gilprobe.render.shared.sides import sides_of

pytestmark = pytest.mark.plain_python


def test_saved_results_are_put_together_by_interpreter(environment):
    one, other = environment, free_threaded(environment)
    results = [made_up(place, name=name) for name in ("a", "b") for place in (one, other)]
    sides = sides_of(results)
    assert [(name, [result.id for result in found]) for name, found in sides] == [
        ("3.13.0", ["a", "b"]),
        ("3.13.5t", ["a", "b"]),
    ]


def test_interpreters_that_are_alike_are_told_apart_by_their_order(environment):
    results = [made_up(environment, name=name) for name in ("a", "a", "b", "b")]
    sides = sides_of(results)
    assert [name for name, _ in sides] == ["3.13.0 (1)", "3.13.0 (2)"]
    assert [found for _, found in sides] == [[results[0], results[2]], [results[1], results[3]]]
