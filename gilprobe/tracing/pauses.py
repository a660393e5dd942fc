"""Pauses of the garbage collector in a trace part: their places, and what of holds and waits they took."""

from __future__ import annotations

from collections import defaultdict

from gilprobe.tracing.places import caller
from gilprobe.tracing.sharing_out import Paused

TYPE_CHECKING = False  # as in gilprobe/__init__.py: a recorded process loads no typing
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from gilprobe._native.recording import _Pause, _Pauses, _PauseSum, _Place
    from gilprobe.tracing.sharing_out import LookRow

COLLECTOR = "garbage collection"
"""Begins the name of the collector as a callee (csrc/cpython/gp_callee.c)."""

_NONE: _Pauses = {"lost": 0, "sums": [], "longest": [], "looks": []}


class Pauses:
    """The pauses of a trace part.

    Parameters
    ----------
    places : sequence of tuple
        Rows of ``_native.recording.decode_places``.
    pauses : dict or None
        Those of the snapshot; None: nobody told of them.
    number : callable
        Returns the number of the account that stands for an account.

    Attributes
    ----------
    places : sequence of tuple
        The same, with places of the collector behind them.
    known : bool
        Whether pauses were recorded.
    lost : int
        Number of pauses that are missing: there was no memory.
    """

    def __init__(
        self, places: Sequence[_Place], pauses: _Pauses | None, number: Callable[[int], int]
    ) -> None:
        self.known = pauses is not None
        self._pauses = _NONE if pauses is None else pauses
        self._number = number
        self.lost = self._pauses["lost"]
        self._below: dict[tuple[int, int], int] = {}
        self._more = [] if not self._pauses["sums"] else list(places)
        self.places = self._more or places

    def sums(self) -> list[_PauseSum]:
        """Return the sums, by thread, places and generation."""
        return self._pauses["sums"]

    def longest(self) -> list[_Pause]:
        """Return the longest pauses, one by one."""
        return self._pauses["longest"]

    def looks(self) -> Iterable[LookRow]:
        """Yield the looks that fell into pauses."""
        for look in self._pauses["looks"]:
            yield self._number(look[0]), *look[1:]

    def beside(self, rows: Iterable[LookRow]) -> list[LookRow]:
        """Return other looks than those that saw the collector just before or behind a pause.

        The pause is known to the nanosecond, so they tell nothing more.
        """
        known = {
            (self._number(holder), self.places[place][1:], generation)
            for holder, _, place, generation, *_ in self.sums()
            if place is not None
        }
        return [row for row in rows if not known or self._told(row[0], row[2]) not in known]

    def _told(self, holder: int, looked: int | None) -> tuple[int, tuple[int, int, str, str], int] | None:
        """Return who was seen to collect, at which line, and which generation; None if nobody was."""
        if looked is None or not self._is_collector(looked):
            return None
        line = caller(self.places, looked)
        generation = self.places[looked][3].removeprefix(f"{COLLECTOR} (generation ").removesuffix(")")
        if line is None or not generation.isdecimal():
            return None
        return holder, self.places[line][1:], int(generation[:9])

    def _collector_below(self, place: int, generation: int) -> int:
        """Return the place of the collector, called by the line that made it run."""
        number = self._below.setdefault((place, generation), len(self._more))
        if number == len(self._more):
            self._more.append((place, 0, 0, f"{COLLECTOR} (generation {generation})", ""))
        return number

    def _is_collector(self, number: int | None) -> bool:
        if number is None or caller(self.places, number) is None:
            return False
        return self.places[number][3].startswith(COLLECTOR)

    def paused(self) -> Paused:
        """Return what of the holds and waits passed in pauses, and on what."""
        exact = [
            (self._number(holder), ended, self._collector_below(place, generation), held_ns, wait_ns)
            for holder, ended, place, generation, held_ns, wait_ns, *_ in self.sums()
            if place is not None  # there is no memory for it, or no session wants places
        ]
        return Paused(exact, list(self.looks()), self._is_collector)


def overlaps(pauses: Iterable[_Pause]) -> Callable[[int | None, int, int], tuple[int, int | None]]:
    """Return a function that tells how long a thread's pauses lasted between two moments.

    It takes the thread's account and two times; it returns nanoseconds, and the generation of the longest.
    """
    of: dict[int | None, list[_Pause]] = defaultdict(list)
    for pause in pauses:
        of[pause[0]].append(pause)

    def during(holder: int | None, start_ns: int, end_ns: int) -> tuple[int, int | None]:
        parts = [
            (min(start + length, end_ns) - max(start, start_ns), generation)
            for _, _, generation, start, length, *_ in of.get(holder, ())
        ]
        parts = [part for part in parts if part[0] > 0]
        return sum(part for part, _ in parts), max(parts)[1] if parts else None

    return during
