"""A report made live, one made from the recording and one by a slow twin are equal, field by field.

The tracer's own stream, books and recorder are played random schedules of threads (support/play_schedule.c),
and the twin (support/report_twin.py) is told the same.
"""

from __future__ import annotations

import os
import platform
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from recording_chunks import chunks
from report_twin import (
    FINAL,
    FREE,
    HOLD,
    LOOKS,
    SEEN,
    SITES,
    STACKS,
    UNSEEN,
    Recorded,
    Twin,
    Watch,
    differences,
    merge,
    read_places,
    read_snapshot,
)

from gilprobe.tracing.recording_reader import Recording

CSRC = Path(__file__).parents[2] / "csrc"
PLAYER = Path(__file__).parent.parent / "support" / "play_schedule.c"
ROOMS = ("base", "stream", "books", "hooks", "recording", "trace")
SCHEDULES = 1000
BATCH = 100  # that one process plays
AT_ONCE, ASKED_UNSEEN, AS_ASKED = 1, 0, 2
FIRST_ID = 1000

# As the player has them, the outermost frame first.
A, B, C, D, E = (("a", 2), ("b", 4), ("c", 8), ("d", 4), ("d", 6))
PLACES = [
    tuple((name, "made_up.py", line) for name, line in frames)
    for frames in ((), (A,), (C, B, A), (C, B, B), (C, D, A))
]
PLACES.append((("deeper",), *((name, "made_up.py", line) for name, line in (A, E))))

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in ("x86_64", "aarch64"), reason="no tracer here"
)


@pytest.fixture(scope="module")
def player(tmp_path_factory):
    """Return the program that plays schedules, built now."""
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        pytest.skip("no C compiler to build the player with")
    if not CSRC.is_dir():
        pytest.skip("the C sources to build the player from are not here")
    left_out = "gp_unwind.c" if platform.machine() != "x86_64" else "gp_unwind_unsupported.c"
    sources = [
        str(source)
        for room in ROOMS
        for source in sorted((CSRC / room).glob("*.c"))
        if source.name != left_out
        and (source.name.startswith("gp_unwind") or "unsupported" not in source.name)
    ]
    path = tmp_path_factory.mktemp("player") / "play_schedule"
    options = ["-O1", "-pthread", f"-I{CSRC}", "-Wl,--wrap=gp_clock_slow_ticks"]
    subprocess.run([compiler, *options, str(PLAYER), *sources, "-o", str(path), "-ldl"], check=True)
    return path


class Schedule:
    """A random schedule: the player's lines, and what is to come of them.

    A line is a letter and numbers: N now; F thread, whether it was there before, when it asked (it is
    followed from now on); A thread, when (it asks); T thread, how it asked, when, place of an unseen release
    (it takes the GIL); R thread, place, whether forced (it lets go); V what came of it (0 seen, 1 the GIL
    was free, 2 nothing), place, whether with a callee (a look); G thread (it exits); K (a thread that
    passes by keeps the books); W session (its recorder writes); B session, thread, whether it was there
    before, flags, how many accounts to keep (it begins); E session, thread, place (it ends); L session, place
    (its live report); P path (of the next recording); X (the end).
    """

    def __init__(self, seed, folder):
        self.seed, self.folder = seed, folder
        self.random = random.Random(seed)
        self.lines, self.expected = [], []  # expected: (session, report, events or None) for each reading
        self.now = 1_000_000 + self.random.randrange(1000)
        self.states, self.fresh = {}, {}
        self.watches, self.ended = {}, {}
        self.holder = None
        self.late = []  # a taking that nobody has seen yet
        self.twin = Twin(self.now)
        self._play()

    # ---- the player's lines ----

    def _say(self, *words):
        self.lines.append(" ".join(map(str, words)))

    def _tick(self, least=0):
        self.now += max(least, 0 if self._chance(0.1) else self.random.choice((5, 200, 5000)))
        self.now += self.random.randrange(3)
        self._say("N", self.now)
        return self.now

    def _chance(self, share):
        return self.random.random() < share

    def _place(self):
        return self.random.randrange(len(PLACES))

    def _noted(self, place):
        """Return a place as it is noted: as much of it as any session wants."""
        flags = 0
        for watch in self.watches.values():
            flags |= watch.flags
        return None if not flags & SITES else PLACES[place] if flags & STACKS else PLACES[place][-1:]

    # ---- threads ----

    def _play(self):
        most = self.random.choice((1, 2, 3, 5, 12, 12, 40))
        self.keep = self.random.choice((2, 4, 2048))
        self.unborn = list(range(1, most))
        self.random.shuffle(self.unborn)
        self._say("N", self.now)
        self._follow(0, self._chance(0.5), AT_ONCE, holds=True)
        self._begin(0)
        for _ in range(self.random.randrange(5, 250)):
            self.random.choices(
                (self._move, self._ask, self._bear, self._leave, self._look, self._manage, self._look_at),
                (60, 25, 6, 2, 4, 3, 20),
            )[0]()
        while self.watches:
            self._end(self._get_holder())
        self._say("X")

    def _follow(self, thread, early, asked, *, holds=False):
        if not holds:
            self._say("F", thread, int(early), asked)
        self.early = early
        self.states[thread], self.fresh[thread] = ("holds" if holds else "off"), not holds
        self.twin.born(FIRST_ID + thread, 0 if early else self.now, holds=holds)
        if holds:
            self.holder = thread

    def _those(self, *states):
        return [thread for thread, state in self.states.items() if state in states]

    def _bear(self):
        if self.unborn:
            self._tick()
            self._follow(self.unborn.pop(), self._chance(0.3), AT_ONCE)

    def _ask(self):
        """Begin to wait; `forced` threads may ask again, which says nothing new."""
        able = self._those("off", "forced")
        if not able:
            return
        thread = self.random.choice(able)
        self._say("A", thread, self._tick())
        if self.states[thread] == "off":
            self.states[thread] = "waits"
            self.twin.ask(FIRST_ID + thread, self.now)

    def _leave(self):
        able = self._those("off", "waits")
        if able:
            thread = self.random.choice(able)
            self.twin.exit(FIRST_ID + thread, self._tick())
            self._say("G", thread)
            del self.states[thread]

    def _look_at(self):
        """Have a look taken: at a moment at which nothing else happens."""
        self._publish()
        what = self.random.choices((SEEN, FREE, UNSEEN), (8, 1, 1))[0]
        place, callee = self._place(), self._chance(0.2)
        self.twin.look(self._tick(1), what, PLACES[place], "sorted" if callee else "")
        self._say("V", (SEEN, FREE, UNSEEN).index(what), place, int(callee))
        self._tick(1)

    def _move(self):
        if self.holder is None:
            self._take()
        elif self._chance(0.8):
            self._publish()
            self._release()

    def _take(self):
        able = self._those("off", "waits", "forced")
        if not able and not self.unborn:
            return
        unseen = False
        if not able or (self.unborn and self._chance(0.1)):
            thread, unseen = self.unborn.pop(), self._chance(0.3)
            self._tick()
            self._follow(thread, unseen, ASKED_UNSEEN if unseen else AT_ONCE)
        else:
            thread = self.random.choice(able)
        place = self._place()
        asked = ASKED_UNSEEN if unseen else AT_ONCE if self.states[thread] == "off" else AS_ASKED
        before = self._noted(place) if self.fresh[thread] else None
        # a hand-over takes time, by which takings are told apart
        self.twin.take(FIRST_ID + thread, self._tick(1), unseen=unseen, place=before)
        self.states[thread], self.fresh[thread], self.holder = "holds", False, thread
        self.late = [("T", thread, asked, self.now, place)]
        if self._chance(0.8):
            self._publish()

    def _publish(self):
        for line in self.late:
            self._say(*line)
        self.late = []

    def _release(self):
        thread, place, forced = self.holder, self._place(), self._chance(0.3)
        self.twin.release(FIRST_ID + thread, self._tick(), self._noted(place), forced=forced)
        self._say("R", thread, place, int(forced))
        self.states[thread], self.holder = ("forced" if forced else "off"), None

    def _get_holder(self):
        while self.holder is None:
            if not self._those("off", "waits", "forced") and not self.unborn:
                self.unborn.append(max(self.fresh) + 1)
            self._take()
        self._publish()
        return self.holder

    # ---- sessions ----

    def _look(self):
        """Have the books kept, or a snapshot written, by somebody who need not have the GIL."""
        if self._chance(0.5) or not self.watches:
            self._say("K")
        else:
            self._tick()
            self._say("W", self.random.choice(list(self.watches)))

    def _manage(self):
        holder = self._get_holder()
        free = {0, 1, 2} - self.watches.keys() - self.ended.keys()
        if self._chance(0.5):
            self._read(self.random.choice(list(self.watches)))
        elif free and self._chance(0.6):
            self._begin(min(free))
        elif len(self.watches) > 1:
            self._end(holder)

    def path(self, session):
        return self.folder / f"{self.seed}-{session}.gilprobe"

    def _begin(self, session):
        self._tick()
        flags = self.random.choice((0, SITES, SITES | STACKS))
        how = {0: 0, SITES: 1}.get(flags, 2)
        if flags and self._chance(0.7):
            flags |= LOOKS
            how |= 4
        self._say("P", self.path(session))
        self._say("B", session, self.holder, int(self.early), how, self.keep)
        self.watches[session] = Watch(self.now, self.twin.event, flags)
        if not self.ended and len(self.watches) == 1:
            self.twin.start_at(self.now)

    def _read(self, session):
        watch, place = self.watches[session], self._place()
        self._tick()
        self._say("L", session, place)
        self.expected.append((session, self.twin.report(watch, self.now, PLACES[place]), None))

    def _end(self, holder):
        session = self.random.choice(list(self.watches))
        watch, place = self.watches.pop(session), self._place()
        self._tick()
        self._say("E", session, holder, place)
        self.ended[session] = watch
        self._say("L", session, 0)
        report = self.twin.report(watch, self.now, PLACES[place])
        self.expected.append((session, report, self.twin.events(watch, self.now, PLACES[place])))


def readings_of(output):
    """Yield the session, the places and the snapshot of each reading."""
    while output:
        head, _, rest = output.partition(b"\n")
        session, places, snapshot = map(int, head.split())
        yield session, rest[:places], rest[places : places + snapshot]
        output = rest[places + snapshot :]


def normal(snapshot):
    """Return a snapshot's numbers in the twin's form: without what is not of the threads' doing."""
    return {
        key: value
        for key, value in snapshot.items()
        if key not in ("flags", "interpreter", "rate", "numbers")
    }


def compare(snapshot, report, where):
    alone = [who for who, account in snapshot["accounts"].items() if account["merged"] == 1]
    found = list(differences(normal(snapshot), merge(report, alone)))
    assert not found, f"{where}:\n" + "\n".join(found)


def sums_of(recording):
    """Return the hold ticks and wait ticks of each thread as the package's own reader has them."""
    threads = recording.interpreters[0].threads
    sums = {threads[account].native_id: row for (_, account), row in recording.event_sums().items()}
    return {who: (row.hold_ticks, row.wait_ticks) for who, row in sums.items() if row.holds or row.waits}


def sums_of_events(events):
    sums = {}
    for kind, who, _, start, end in events:
        held, waited = sums.get(who, (0, 0))
        sums[who] = (held + end - start, waited) if kind == HOLD else (held, waited + end - start)
    return sums


def check(schedule, readings):
    """Compare each reading, and at the end of each session its recording."""
    for session, report, events in schedule.expected:
        number, described, content = next(readings)
        where = f"seed {schedule.seed}, session {session}"
        assert number == session
        snapshot = read_snapshot(content, read_places(described))
        assert bool(snapshot["flags"] & FINAL) == (events is not None)
        compare(snapshot, report, where)
        if events is not None:
            recorded = Recorded(chunks(schedule.path(session)))
            assert recorded.described == described, where
            assert recorded.snapshots[-1] == content, where
            assert sorted(recorded.events, key=repr) == sorted(events, key=repr), where
            assert sums_of(Recording.open(schedule.path(session))) == sums_of_events(events), where


@pytest.mark.slow  # no interpreter takes part
@pytest.mark.parametrize("first", range(0, SCHEDULES, BATCH))
def test_reports_and_recordings_are_as_the_twin_has_them(player, tmp_path, first):
    schedules = [Schedule(seed, tmp_path) for seed in range(first, first + BATCH)]
    lines = "\n".join(line for schedule in schedules for line in schedule.lines)
    played = subprocess.run([player], input=lines.encode(), stdout=subprocess.PIPE, check=True)
    readings = readings_of(played.stdout)
    for schedule in schedules:
        check(schedule, readings)
    assert next(readings, None) is None
