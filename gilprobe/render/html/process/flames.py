"""Stacks of a page as one tree; nodes weigh holds, waits, caused waits and waits for locks in and below."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gilprobe.render.html.process.places import NOWHERE
from gilprobe.render.shared.weights import WEIGHTS, weight_ns

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from gilprobe.render.html.process.places import Places
    from gilprobe.render.shared.weights import LockStack, Weight
    from gilprobe.report import Frame, Stack

MOST_NODES = 3000
"""Limit of nodes in a tree."""

SMALLEST = 0.001
"""A node below this share of the whole, by all weights, is folded."""


class _Tree:
    """Nodes by number, the root 0; a node's number is larger than its parent's."""

    def __init__(self, stacks: Iterable[Stack | LockStack]) -> None:
        self.frames: list[Frame | None] = [None]
        self.parents = [NOWHERE]
        self.children: list[dict[Frame, int]] = [{}]
        self.weights: dict[Weight, list[int]] = {weight: [0] for weight in WEIGHTS}
        for stack in stacks:
            node = self._node(stack.frames)
            for weight, column in self.weights.items():
                column[node] += weight_ns(stack, weight)
        for column in self.weights.values():  # children first: a node includes what is below it
            for node in range(len(column) - 1, 0, -1):
                column[self.parents[node]] += column[node]

    def _node(self, frames: Sequence[Frame]) -> int:
        node = 0
        for frame in frames:
            below = self.children[node].get(frame)
            node = self._grown(node, frame) if below is None else below
        return node

    def _grown(self, parent: int, frame: Frame) -> int:
        node = self.children[parent][frame] = len(self.frames)
        self.frames.append(frame)
        self.parents.append(parent)
        self.children.append({})
        for column in self.weights.values():
            column.append(0)
        return node

    def shares(self) -> list[float]:
        """Return each node's largest share of the whole, over the weights."""
        columns = [[part / column[0] for part in column] for column in self.weights.values() if column[0]]
        return list(map(max, *columns)) if len(columns) > 1 else columns[0] if columns else [0.0]

    def row(self, node: int) -> tuple[int, ...]:
        """Return the weights of a node."""
        return tuple(column[node] for column in self.weights.values())


def flame(stacks: Sequence[Stack | LockStack], places: Places, most: int = MOST_NODES) -> dict[str, Any]:
    """Return the tree of the stacks as columns, parents before their children.

    Parameters
    ----------
    stacks : sequence of Stack or LockStack
        The stacks.
    places : Places
        Numbers the frames.
    most : int
        Limit of nodes.

    Returns
    -------
    dict
        Columns ``parent``, ``place`` (`NOWHERE` for the root and for folded nodes), ``hold_ns``, ``wait_ns``,
        ``caused_ns``, ``lock_ns``; ``folded``, the number of folded frames; and ``smallest``, the least share
        of a kept frame.
    """
    tree = _Tree(stack for stack in stacks if any(weight_ns(stack, weight) for weight in WEIGHTS))
    shares = tree.shares()
    smallest = max(SMALLEST, _share_of_rank(shares, most))
    rows = list(_kept(tree, shares, smallest, places))
    columns = [list(column) for column in zip(*rows, strict=True)]
    kept = dict(zip(("parent", "place", *(f"{weight}_ns" for weight in WEIGHTS)), columns, strict=True))
    in_full = sum(1 for place in kept["place"] if place != NOWHERE)
    return {**kept, "folded": len(tree.frames) - 1 - in_full, "smallest": smallest}


def _share_of_rank(shares: list[float], rank: int) -> float:
    """Return the value that a node must exceed to be among the first `rank`."""
    return sorted(shares, reverse=True)[rank] if len(shares) > rank else 0.0


def _kept(tree: _Tree, shares: list[float], smallest: float, places: Places) -> Iterator[tuple[int, ...]]:
    """Yield a row per node that is large enough, and one for the small children of each."""
    number_of: dict[int, int] = {}
    rows = 0
    for node, frame in enumerate(tree.frames):
        if node and shares[node] <= smallest:
            continue  # with all below it, which never weighs more
        number_of[node] = rows
        place = NOWHERE if frame is None else places.number(frame.function or "?", frame.filename, frame.line)
        yield (number_of.get(tree.parents[node], NOWHERE), place, *tree.row(node))
        rows += 1
        small = [tree.row(child) for child in tree.children[node].values() if shares[child] <= smallest]
        if small:
            yield (number_of[node], NOWHERE, *map(sum, zip(*small, strict=True)))
            rows += 1
