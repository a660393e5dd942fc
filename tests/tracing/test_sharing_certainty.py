"""The interval of a share covers the truth as often as it says: random programs, which a looker sees."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass

import pytest
from shared_waits import shared_waits

from gilprobe.model.share_interval import ShareInterval
from gilprobe.tracing.sharing_out import Looks

pytestmark = pytest.mark.plain_python

HOLDER, WAITER = 0, 1
MS = 1_000_000
GAPS_NS = (3 * MS, 10 * MS)
"""A looker looks less often where nobody has waited lately."""


@dataclass
class Piece:
    """A part of a hold, in which one place runs while so many threads wait."""

    ended: int
    place: int
    length_ns: int
    waiting: int
    gap_ns: int


def program(draw):
    """Return the pieces of some seconds: holds of several kinds, each with places and waiters of its own."""
    kinds = []
    for ended in range(draw.randint(1, 4)):
        places = [(draw.randrange(6), draw.lognormvariate(0, 1)) for _ in range(draw.randint(1, 4))]
        kinds.append((ended, places, draw.choice((1, 5, 40)) * MS, draw.choice((1, 3, 20))))
    pieces, left_ns = [], 4_000 * MS
    while left_ns > 0:
        ended, places, hold_ns, threads = draw.choice(kinds)
        gap_ns, waiting = draw.choice(GAPS_NS), draw.randint(1, threads)
        for place, part in places:
            length_ns = 1 + int(hold_ns * part * draw.expovariate(1))
            pieces.append(Piece(ended, place, length_ns, waiting, gap_ns))
            left_ns -= length_ns
    return pieces


def looked_at(pieces, draw):
    """Return the rows of looks at random times."""
    sums = defaultdict(lambda: [0, 0, 0, 0, 0])
    for piece in pieces:
        time = piece.gap_ns // 10_000
        at = draw.expovariate(1 / piece.gap_ns)
        while at < piece.length_ns:
            waited = time * piece.waiting
            for column, number in enumerate((1, piece.waiting, time, waited, waited * waited)):
                sums[piece.ended, piece.place][column] += number
            at += draw.expovariate(1 / piece.gap_ns)
    return [(HOLDER, ended, place, *row) for (ended, place), row in sums.items()]


def totals_of(pieces):
    """Return waits by where holds ended, and by what was run."""
    by_end, by_place = defaultdict(int), defaultdict(int)
    for piece in pieces:
        wait_ns = piece.length_ns * piece.waiting
        by_end[WAITER, HOLDER, piece.ended] += wait_ns
        by_place[piece.place] += wait_ns
    return by_end, by_place


def effective(wait_ns, spread):
    return wait_ns * wait_ns / spread if spread else 0.0


def test_the_truth_is_inside_as_often_as_is_said():
    draw = random.Random(18)
    inside = told = 0
    widths, errors = [], []
    for _ in range(150):
        pieces = program(draw)
        by_end, truth = totals_of(pieces)
        whole = sum(truth.values())
        shared, unshared_ns = shared_waits(Looks(looked_at(pieces, draw)), by_end)
        rows = {
            place: (wait_ns, effective(wait_ns, spread))
            for (_, _, place), (wait_ns, _, spread) in shared.items()
        }
        interval = ShareInterval(rows.values())
        for place, (wait_ns, looks) in rows.items():
            around = interval.around(wait_ns) if looks and not unshared_ns else None
            if around is None or wait_ns == whole:  # nothing to be uncertain of
                continue
            told += 1
            inside += around[0] <= truth[place] <= around[1]
            widths.append((around[1] - around[0]) / whole)
            errors.append(abs(wait_ns - truth[place]) / whole)
    assert told > 300
    assert inside / told >= 0.93
    assert sum(widths) / told < 12 * sum(errors) / told, "and it is not so wide that it says nothing"


def test_looks_that_were_taken_more_seldom_stand_for_more():
    """Half of a second each was spent on two places, one of which was looked at a third as often."""
    draw, ends = random.Random(7), []
    for _ in range(50):
        pieces = [Piece(0, place, MS, 2, GAPS_NS[place]) for _ in range(500) for place in (0, 1)]
        ends.append(Looks(looked_at(pieces, draw)).holds({0: 1_000})[0])
    assert 470 < sum(ends) / len(ends) < 530


def test_two_threads_whose_holds_end_in_one_function_have_each_its_own_part():
    """One of them held while others waited, and was looked at more often, the other one alone."""
    busy, alone = (300, 300, 300 * 300, 300 * 300, 300 * 300**2), (90, 0, 90 * 1_000, 0, 0)
    looks = Looks([(0, 7, 1, *busy), (1, 7, 2, *alone)])
    shared = looks.holds({7: 1_800})
    assert shared == {1: 900, 2: 900}
    assert shared_waits(looks, {(2, 0, 7): 900})[0] == {(2, 0, 1): (900, 300, 2700)}
