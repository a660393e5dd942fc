"""What objects refer to, without those that an interpreter has freed."""

from __future__ import annotations

import gc

from gilprobe.refs.referents import referents

SCRIPT = """
import asyncio, gc
from gilprobe.refs.leak_census import population

async def some():
    await asyncio.gather(*(asyncio.sleep(0.001) for _ in range(5)))

for _ in range(3):
    asyncio.run(some())
    population(60)
    gc.collect()
print("done")
"""


def test_a_census_frees_no_object_of_the_interpreters_a_second_time(child):
    """On 3.12 the second collection went round in a ring of freed iterators."""
    ended = child(SCRIPT)
    assert (ended.stderr, ended.stdout) == ("", "done\n")


def test_they_are_those_of_the_collector():
    one, other = [1.5], {"key": [2.5]}
    assert list(map(id, referents([one, other]))) == list(map(id, gc.get_referents(one, other)))
