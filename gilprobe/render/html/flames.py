"""Stacks of a page as one tree, whose nodes weigh what was held, waited and caused in them and below."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gilprobe.render.html.places import NOWHERE
from gilprobe.render.weights import WEIGHTS, weight_ns

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gilprobe.render.html.places import Places
    from gilprobe.report import Frame, Stack

MOST_NODES = 3000
"""Nodes of a tree that is drawn."""

SMALLEST = 0.001
"""Share of the whole, by each weight, below which a node is folded."""


class _Tree:
    """Nodes by number, the root 0; a node's number is above its parent's."""

    def __init__(self) -> None:
        self.frames: list[Frame | None] = [None]
        self.parents = [NOWHERE]
        self.weights = [[0] * len(WEIGHTS)]
        self.children: list[dict[Frame, int]] = [{}]

    def add(self, stack: Stack) -> None:
        weights = [weight_ns(stack, weight) for weight in WEIGHTS]
        if not any(weights):
            return
        node = 0
        self._weigh(node, weights)
        for frame in stack.frames:
            below = self.children[node].get(frame)
            node = self._grown(node, frame) if below is None else below
            self._weigh(node, weights)

    def _grown(self, parent: int, frame: Frame) -> int:
        node = self.children[parent][frame] = len(self.frames)
        self.frames.append(frame)
        self.parents.append(parent)
        self.weights.append([0] * len(WEIGHTS))
        self.children.append({})
        return node

    def _weigh(self, node: int, weights: list[int]) -> None:
        self.weights[node] = [before + more for before, more in zip(self.weights[node], weights, strict=True)]

    def shares(self) -> list[float]:
        """Return for each node its largest share of the whole, by any weight."""
        whole = self.weights[0]
        return [
            max(part / all_ if all_ else 0.0 for part, all_ in zip(node, whole, strict=True))
            for node in self.weights
        ]


def flame(stacks: Sequence[Stack], places: Places, most: int = MOST_NODES) -> dict[str, Any]:
    """Return the tree of the stacks as columns, parents before their children.

    Parameters
    ----------
    stacks : sequence of Stack
        What is drawn.
    places : Places
        Numbers the frames.
    most : int
        Most nodes that are kept.

    Returns
    -------
    dict
        Columns ``parent``, ``place`` (`NOWHERE` for the root, and for what is folded), ``hold_ns``,
        ``wait_ns``, ``caused_ns``; ``folded``, the number of frames that were too small to be kept; and
        ``smallest``, the share of the whole that a frame must have had.
    """
    tree = _Tree()
    for stack in stacks:
        tree.add(stack)
    shares = tree.shares()
    smallest = max(SMALLEST, _share_of_rank(shares, most))
    rows = list(_kept(tree, shares, smallest, places))
    columns = [list(column) for column in zip(*rows, strict=True)]
    kept = dict(zip(("parent", "place", *(f"{weight}_ns" for weight in WEIGHTS)), columns, strict=True))
    in_full = sum(1 for place in kept["place"] if place != NOWHERE)
    return {**kept, "folded": len(tree.frames) - 1 - in_full, "smallest": smallest}


def _share_of_rank(shares: list[float], rank: int) -> float:
    """Return what a node must exceed to be among the first `rank`."""
    return sorted(shares, reverse=True)[rank] if len(shares) > rank else 0.0


def _kept(tree: _Tree, shares: list[float], smallest: float, places: Places) -> Iterator[tuple[int, ...]]:
    """Yield a row for each node that is large enough, and behind its parent one for its small children."""
    number_of: dict[int, int] = {}
    rows = 0
    for node, frame in enumerate(tree.frames):
        if node and shares[node] <= smallest:
            continue  # and what is below it: nothing weighs more than what it is in
        number_of[node] = rows
        place = NOWHERE if frame is None else places.number(frame.function or "?", frame.filename, frame.line)
        yield (number_of.get(tree.parents[node], NOWHERE), place, *tree.weights[node])
        rows += 1
        small = [tree.weights[child] for child in tree.children[node].values() if shares[child] <= smallest]
        if small:
            yield (number_of[node], NOWHERE, *map(sum, zip(*small, strict=True)))
            rows += 1
