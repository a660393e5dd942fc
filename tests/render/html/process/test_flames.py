"""The tree of stacks: what is folded is still in the sums."""

from __future__ import annotations

import random

import pytest

from gilprobe.render.html.process.flames import flame
from gilprobe.render.html.process.places import NOWHERE, Places
from gilprobe.report import Frame, Stack

pytestmark = pytest.mark.plain_python

COLUMNS = ("hold_ns", "wait_ns", "caused_ns")  # of locks: test_lock_data.py


def stack(names, hold=0, wait=0, caused=0):
    return Stack(tuple(Frame(name, "app.py", 1) for name in names.split()), 1, hold, wait, caused)


def named(tree, places):
    """Return the nodes as {path of functions: (hold, wait, caused)}."""
    functions = [place[0] for place in places]
    paths, rows = {}, {}
    for node, (parent, place) in enumerate(zip(tree["parent"], tree["place"], strict=True)):
        own = functions[place] if place != NOWHERE else "*" if node else ""
        paths[node] = f"{paths[parent]}/{own}" if parent != NOWHERE else own
        rows[paths[node]] = tuple(tree[column][node] for column in COLUMNS)
    return rows


def test_a_node_weighs_what_is_in_it_and_below():
    places = Places()
    tree = flame([stack("main a", 10, 1, 5), stack("main b", 20, 2), stack("main", 3)], places)
    assert named(tree, places) == {
        "": (33, 3, 5),
        "/main": (33, 3, 5),
        "/main/a": (10, 1, 5),
        "/main/b": (20, 2, 0),
    }
    assert tree["folded"] == 0


def test_frames_that_are_small_by_every_weight_are_folded_into_one():
    places = Places()
    stacks = [stack("main big", 10**9, 10**9, 10**9), stack("main payer", 1, 10**8, 0)]
    stacks += [stack(f"main small_{n} inner", 10, 10, 10) for n in range(50)]
    tree = flame(stacks, places)
    rows = named(tree, places)
    assert set(rows) == {"", "/main", "/main/big", "/main/payer", "/main/*"}
    assert rows["/main/*"] == (500, 500, 500)
    assert tree["folded"] == 100


def test_a_large_tree_is_cut_to_what_is_drawn_and_its_sums_stay():
    random_ = random.Random(7)
    stacks = [
        stack(
            " ".join(f"f{random_.randrange(9)}" for _ in range(random_.randint(1, 9))),
            random_.randint(0, 99),
            1,
        )
        for _ in range(3000)
    ]
    tree = flame(stacks, Places(), most=100)
    assert len(tree["parent"]) <= 2 * 101
    assert tree["hold_ns"][0] == sum(one.hold_ns for one in stacks)
    for column in COLUMNS:
        below = [0] * len(tree["parent"])
        for parent, weight in zip(tree["parent"][1:], tree[column][1:], strict=True):
            below[parent] += weight
        assert all(inner <= whole for inner, whole in zip(below, tree[column], strict=True))
    assert all(parent < node for node, parent in enumerate(tree["parent"]))


def test_no_stacks_are_only_a_root():
    assert flame([], Places())["parent"] == [NOWHERE]
