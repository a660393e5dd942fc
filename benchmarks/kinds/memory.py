"""What runs inside of other code: the collector, finalizers, weak references' callbacks, and freeing."""

from __future__ import annotations

import gc
import json
import time
import weakref
from typing import TYPE_CHECKING, Any

from .base import kind, note

if TYPE_CHECKING:
    from .base import Act
    from .truth import Truth

TEXT = json.dumps([[number, *[number / 7] * 20] for number in range(1_000)])
"""Its lists let the collector run while it is read, its floats take the time."""

FREED = r"freeing"
WOKEN_S = 0.0005
"""After this time without the GIL, nobody waits any more."""


class Node:
    """One that only the collector ends."""

    def __init__(self) -> None:
        self.itself = self


class Finalized(Node):
    """One with a finalizer."""

    def __del__(self) -> None:
        note()


@kind("finalizer", callee=r"json|loads|decode|Scanner", functions=("loads", "decode", "raw_decode"))
def finalizer(_: Truth) -> Act:
    """Read JSON while the collector calls finalizers, which take no time."""

    def act() -> None:
        for _ in range(20):
            Finalized()
        json.loads(TEXT)  # culprit
        note()

    return act


@kind("weakref callback", callee=r"json|loads|decode|Scanner", functions=("loads", "decode", "raw_decode"))
def callback(_: Truth) -> Act:
    """Read JSON while the collector lets weak references call back, which takes no time."""
    known: weakref.WeakValueDictionary[int, Node] = weakref.WeakValueDictionary()

    def act() -> None:
        for number in range(20):
            known[number] = Node()
        json.loads(TEXT)  # culprit
        note()

    return act


def collected(generation: int) -> str:
    """Return the pattern of a collection's name, which may leave out the generation."""
    return rf"garbage collection( \(generation {generation}\))?$"


def collecting(truth: Truth, thresholds: tuple[int, int, int], generation: int) -> None:
    """Let only collections of a generation make others wait, and note when they run."""
    began = 0

    def watch(phase: str, about: dict[str, Any]) -> None:
        nonlocal began
        if about["generation"] != generation:
            return
        if phase == "start":
            truth.park(0)
            began = truth.now()
        elif began:
            truth.culprit_since(began)
            truth.park(1)

    gc.collect()
    gc.freeze()
    gc.set_threshold(*thresholds)
    gc.callbacks.append(watch)


@kind("collection, generation 0", callee=collected(0), must_name=True, itself=True, unclocked=True)
def youngest(truth: Truth) -> Act:
    """Make more objects than fit into the youngest generation."""
    collecting(truth, (250_000, 1_000_000, 1_000_000), 0)

    def act() -> None:
        truth.park(1)
        made = [[] for _ in range(252_000)]  # type: ignore[var-annotated]  # culprit
        time.sleep(WOKEN_S)
        del made
        truth.park(0)

    return act


@kind("collection, generation 1", callee=collected(1), must_name=True, itself=True, unclocked=True)
def middle(truth: Truth) -> Act:
    """Let each collection be one of the middle generation."""
    collecting(truth, (250_000, 0, 1_000_000), 1)

    def act() -> None:
        truth.park(1)
        made = [[] for _ in range(252_000)]  # type: ignore[var-annotated]  # culprit
        time.sleep(WOKEN_S)
        del made
        truth.park(0)

    return act


@kind("collection, generation 2", callee=collected(2), must_name=True, itself=True, unclocked=True)
def oldest(truth: Truth) -> Act:
    """Collect all that lives from time to time, as a program with a large heap does."""
    collecting(truth, (40_000, 0, 0), 2)
    heap: list[object] = []

    def act() -> None:
        truth.park(1)
        heap.append([[] for _ in range(50_000)])  # culprit
        time.sleep(WOKEN_S)
        truth.park(0)
        if len(heap) > 6:
            heap.clear()

    return act


@kind("gc.collect()", callee=r"\bcollect\b|garbage collection")
def asked_for(_: Truth) -> Act:
    """Ask for a collection."""
    heap = [[] for _ in range(100_000)]  # type: ignore[var-annotated]

    def act() -> None:
        gc.collect()  # culprit
        note(heap)

    return act


def asked(truth: Truth, generation: int) -> Act:
    """Ask for collections of the objects that were made just before, and note how long they take.

    Making them and letting go takes as long as to collect them: these would be culprits, too. So whoever
    waits before or after it is let in, and nobody waits while they are made and freed.
    """
    gc.collect()
    gc.freeze()
    gc.disable()

    def act() -> None:
        truth.park(1)
        time.sleep(WOKEN_S)
        made = [[] for _ in range(100_000)]  # type: ignore[var-annotated]
        for younger in range(generation):
            gc.collect(younger)
        truth.park(0)
        begin = truth.now()
        gc.collect(generation)  # culprit
        truth.culprit_since(begin)
        truth.park(1)
        time.sleep(WOKEN_S)
        del made
        truth.park(0)

    return act


ASKED = {
    "must_name": True,
    "itself": True,
    "unclocked": True,
}


@kind("gc.collect(0)", callee=collected(0), **ASKED)
def asked_for_youngest(truth: Truth) -> Act:
    """Ask for a collection of the youngest generation."""
    return asked(truth, 0)


@kind("gc.collect(1)", callee=collected(1), **ASKED)
def asked_for_middle(truth: Truth) -> Act:
    """Ask for a collection of the middle generation."""
    return asked(truth, 1)


@kind("gc.collect(2)", callee=collected(2), **ASKED)
def asked_for_oldest(truth: Truth) -> Act:
    """Ask for a collection of all generations."""
    return asked(truth, 2)


@kind("freeing", callee=FREED, itself=True, unclocked=True)
def freeing(truth: Truth) -> Act:
    """Let go of a large object by a new value for its name. Nobody waits while it is made."""

    def act() -> None:
        truth.park(1)
        big = [[] for _ in range(150_000)]  # type: ignore[var-annotated]
        truth.park(0)
        begin = truth.now()
        big = None  # type: ignore[assignment]  # culprit
        note(big)
        truth.culprit_since(begin)

    return act


@kind("freeing at a return", callee=FREED, itself=True, unclocked=True)
def freeing_locals(truth: Truth) -> Act:
    """Let go of a large object at the end of the function that has it."""

    def local() -> int:
        truth.park(1)
        big = [[] for _ in range(150_000)]  # type: ignore[var-annotated]
        truth.park(0)
        note(big)
        return truth.now()  # culprit

    def act() -> None:
        begin = local()  # culprit
        truth.culprit_since(begin)

    return act
