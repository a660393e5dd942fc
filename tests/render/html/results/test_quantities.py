from __future__ import annotations

import pytest

from gilprobe.render.html.results.quantities import common_part, scale_of

pytestmark = pytest.mark.plain_python


def test_names_that_differ_in_a_quantity_are_put_in_its_order():
    assert scale_of(["10 ms", "1 us", "100 us"]) == ["1 us", "100 us", "10 ms"]
    assert scale_of(["100% released", "0% released", "50% released"])[0] == "0% released"
    assert scale_of(["f, 4 KiB", "f, 64 B", "f, 1 MiB"]) == ["f, 64 B", "f, 4 KiB", "f, 1 MiB"]
    assert scale_of(["1,000 items", "10 items", "100 items"])[-1] == "1,000 items"


@pytest.mark.parametrize(
    "names",
    [
        ["1 us", "2 us"],
        ["1 us", "2 us", "fast"],
        ["1 us", "2 us", "held 3 us"],
        ["1 us", "2 us", "3"],
        ["1 ms", "1000 us", "2 ms"],
        ["held 5 ms, interval 1 us", "held 5 ms, interval 2 us", "held 6 ms, interval 1 us"],
    ],
)
def test_names_that_differ_otherwise_are_no_scale(names):
    assert scale_of(names) is None


def test_what_all_names_share_is_said_once():
    assert common_part(["every 1 us", "every 10 ms"]) == ("every ...", ["1 us", "10 ms"])
    assert common_part(["0% released", "50% released"]) == ("... released", ["0%", "50%"])
    assert common_part(["1 us", "10 us"]) == ("", ["1 us", "10 us"])
