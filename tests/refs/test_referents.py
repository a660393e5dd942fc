"""What objects refer to, without those that an interpreter has freed."""

from __future__ import annotations

import gc

import pytest

from gilprobe.refs.referents import referents

SCRIPT = """
import asyncio, gc
from gilprobe.refs.leak_census import population
from gilprobe.refs.referrers import describe

async def some():
    await asyncio.gather(*(asyncio.sleep(0.001) for _ in range(5)))

for _ in range(3):
    asyncio.run(some())
    LOOK
    gc.collect()
print("done")
"""


@pytest.mark.parametrize("look", ["population(60)", "gc.freeze(); describe(gc)"])
def test_no_look_frees_an_object_of_the_interpreters_a_second_time(child, look):
    """On 3.12 the second collection went round in a ring of freed iterators."""
    ended = child(SCRIPT.replace("LOOK", look))
    assert (ended.stderr, ended.stdout) == ("", "done\n")


def test_they_are_those_of_the_collector():
    one, other = [1.5], {"key": [2.5]}
    assert list(map(id, referents([one, other]))) == list(map(id, gc.get_referents(one, other)))  # noqa: TID251
