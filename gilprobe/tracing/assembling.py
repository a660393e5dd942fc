"""Turn the tracer's numbers into the model: threads, sites, blame and stalls by name.

Works the same for a running trace, an ended one, and a recording.
"""

from __future__ import annotations

from _operator import attrgetter  # as in gilprobe/model/plain_data.py
from collections import Counter, defaultdict

from gilprobe._native import recording
from gilprobe._native.tracer import LABEL_ENDED
from gilprobe.model.distribution import EMPTY, Distribution
from gilprobe.model.pauses import Collection, Pause
from gilprobe.model.plain_data import dataclass
from gilprobe.model.thread_kind import thread_kind
from gilprobe.report import Blame, Frame, OpenHold, OwnGil, Report, Site, Stack, Stall, ThreadAccount
from gilprobe.tracing.label_rows import LabelRows, rest_of, sum_up
from gilprobe.tracing.loop_tasks import TaskSums, callbacks_of, tasks_of
from gilprobe.tracing.pauses import Pauses, overlaps
from gilprobe.tracing.places import (
    CAUSED,
    COLUMNS,
    CPU,
    HOLD,
    LOOKS,
    RELEASES,
    UNSEEN,
    WAIT,
    Naming,
    Stacks,
    caller,
    frame_of,
    importing,
)
from gilprobe.tracing.sharing_out import Looks

TYPE_CHECKING = False  # as in gilprobe/__init__.py: a recorded process loads no typing
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from gilprobe._native.recording import _Account, _Place, _Snapshot
    from gilprobe.model.environment import Environment
    from gilprobe.report import LoopCallback
    from gilprobe.tracing.loop_tasks import Running
    from gilprobe.tracing.seen_holds import RecordedHold

    _Spot = tuple[Frame, str]
    """What makes a site: its frame, and its callee or nothing."""

    _Whom = tuple[str, int]
    """A thread's name and native identifier."""

    _Ran = tuple[_Spot, int | None, Running | None]
    """A site, the number of the stack, and the task."""

    _Behind = tuple[_Whom, _Ran]
    """A holder, and what it ran."""

    _BlameSums = dict[_Whom, dict[_Behind, list[int]]]
    """Waits, looks and spreads (:meth:`gilprobe.tracing.sharing_out.Looks.waits`) by waiter."""

HANDOFF = "(handoff)"
"""Stands for a function where nobody held the GIL during a wait."""

_NOBODYS = (Frame(HANDOFF, "", 0), ""), None, None

_SEEN_FRAMES = 24
"""Limit of frames told of a hold that was seen during a wait; the tracer reads 20."""

NO_ROOM = "(no memory for more sites)"
"""Stands for a function where the tables were full."""

_NO_ROOM = Frame(NO_ROOM, "", 0)


@dataclass(frozen=True, slots=True)
class TracePart:
    """What a trace has booked for one GIL.

    Attributes
    ----------
    places : sequence of tuple
        What ``_native.recording.decode_places`` returned.
    snapshot : dict
        What ``_native.recording.decode_snapshot`` returned.
    seen : sequence of RecordedHold
        Holds that were seen while they lasted.
    still_held : RecordedHold or None
        The one that was under way in the snapshot.
    """

    places: Sequence[_Place]
    snapshot: _Snapshot
    seen: Sequence[RecordedHold] = ()
    still_held: RecordedHold | None = None

    @classmethod
    def decode(cls, places: bytes, snapshot: bytes) -> TracePart:
        """Read both payloads (docs/recording-format.md, PLAC and SNAP)."""
        return cls(recording.decode_places(places), recording.decode_snapshot(snapshot))


def assemble(
    parts: Sequence[TracePart],
    who: Callable[[_Account], Naming],
    environment: Environment,
    *,
    bystanders: Mapping[int, str],
    warnings: Sequence[str] = (),
    trusted: bool = True,
) -> Report:
    """Put names to the numbers.

    Parameters
    ----------
    parts : sequence of TracePart
        The main GIL first, then the interpreters that have their own.
    who : callable
        Returns the thread of an account.
    environment : Environment
        What it was measured on.
    bystanders : mapping of int to str
        Native identifiers and names of threads that lived throughout; those that never used the GIL get a row
        too.
    warnings : sequence of str
        Doubts to add to those in the books.
    trusted : bool
        Whether the parts come from this process.

    Returns
    -------
    Report
        Rows of the same name are merged.

    Raises
    ------
    ValueError
        If the books are not trusted and all stacks together have more than 16 million frames.
    """
    named = [_NamedPart(part, who) for part in parts]
    main = parts[0].snapshot["totals"]
    elapsed_ns = max(part.end_ns() for part in named)
    threads = [thread for part in named for thread in part.threads()]
    seen = {thread.native_id for thread in threads}
    threads += [
        bystander(native_id, name, elapsed_ns, main["cpu_time"])
        for native_id, name in bystanders.items()
        if native_id not in seen
    ]
    stacks = Stacks()
    sites: dict[_Spot, list[int]] = defaultdict(lambda: [0] * COLUMNS)
    blame: _BlameSums = defaultdict(lambda: defaultdict(lambda: [0, 0, 0]))
    tasks = TaskSums()
    unshared_ns = 0
    for part in named:
        part.add_sites(sites, stacks, tasks)
        unshared_ns += part.add_blame(blame, sites, stacks, tasks)
    looks = sum(part.looks() for part in named)
    if not trusted:
        stacks.check([*stacks.rows, *(number for part in named for number in part.seen_stacks(stacks))])
    ranked = stacks.ranked()
    ranked_tasks, rank_of_task = tasks.ranked()
    rank_of_stack = {number: rank for rank, (number, _) in enumerate(ranked)}
    ranked_blame = _ranked_blame(blame, rank_of_stack, rank_of_task)
    stalls = [stall for part in named for stall in part.stalls(stacks)]
    stalls.sort(key=attrgetter("start_ns"))
    stalls.sort(key=attrgetter("wait_ns"), reverse=True)
    labels = named[0].labels()
    report = Report(
        elapsed_ns=elapsed_ns,
        held_ns=sum(thread.hold_ns for thread in threads if thread.interpreter == 0),
        contended_ns=main["contended_ns"],
        handoffs=main["handoffs"],
        threads=tuple(threads),
        sites=_ranked_sites(sites, main["cpu_time"]),
        stacks=tuple(_stack(stacks.frames(number), row) for number, row in ranked),
        blame=ranked_blame,
        longest_waits=tuple(stalls),
        dropped_events=sum(part.snapshot["totals"]["dropped_events"] for part in parts),
        warnings=(*_counted([doubt for part in named for doubt in part.doubts()]), *warnings),
        environment=environment,
        looks=looks,
        looks_unseen=sum(part.looks_unseen() for part in named),
        unshared_wait_ns=unshared_ns if looks else 0,
        own_gils=tuple(part.own_gil() for part in named[1:]) or None,
        still_held=tuple(hold for part in named for hold in part.still_held(stacks)) or None,
        collections=_ranked_collections(named),
        longest_pauses=_longest_pauses(named),
        tasks=ranked_tasks,
        longest_callbacks=tuple(
            sorted(
                (row for part in named for row in part.callbacks(stalls)),
                key=lambda row: (-row.duration_ns, row.start_ns),
            )
        ),
        labels=labels.totals,
        label_blame=labels.blame,
    )
    for part in named:
        part.close()
    return report


class _NamedPart:
    """One GIL's books, with names for threads and places."""

    def __init__(self, part: TracePart, who: Callable[[_Account], Naming]) -> None:
        self.totals = part.snapshot["totals"]
        self.accounts = part.snapshot["accounts"]
        self.site_rows = part.snapshot["sites"]
        self.blame_rows = part.snapshot["blame"]
        self.stall_rows = part.snapshot["stalls"]
        self._pauses = Pauses(part.places, part.snapshot.get("pauses"), self._account_number)
        self._seen, self._still_held = part.seen, part.still_held
        named = [who(account) for account in self.accounts]
        self.names = {
            account["number"]: self._name(account, naming.name)
            for account, naming in zip(self.accounts, named, strict=True)
        }
        self.ids = {account["number"]: account["native_id"] for account in self.accounts}
        self.started = {
            account["number"]: naming.started for account, naming in zip(self.accounts, named, strict=True)
        }
        # ended threads are merged into one row, which others' references then mean
        self.merged = next((account["number"] for account in self.accounts if account["merged"] != 1), None)
        self._stack_of: list[int] = []  # by place
        self._seen_frames: dict[int, tuple[Frame, ...]] = {}
        paused = self._pauses.paused()
        self.places = self._pauses.places
        self._frames: list[Frame | None] = [None] * len(self.places)
        self._site_of: dict[int | None, _Spot] = {}
        self._tasks = tasks_of(self.places)
        self._callbacks = part.snapshot.get("callbacks", [])
        self._labels = part.snapshot.get("labels")
        looks = ((self._account_number(row[0]), *row[1:]) for row in part.snapshot.get("looks", ()))
        self._looks = Looks(self._pauses.beside(looks), self._alike, paused)

    def close(self) -> None:
        """Give up what refers back to this: the memory is free at once, not with the next collection."""
        del self._looks, self._pauses

    def _name(self, account: _Account, name: str) -> str:
        interpreter = self.totals["interpreter"]
        if account["merged"] != 1:
            name = f"({account['merged']} ended threads)"
        return f"{name} (interpreter {interpreter})" if interpreter else name

    def _alike(self, holder: int | None, ended: int | None) -> tuple[str | None, _Spot]:
        """Return what short threads that do the same have in common: kind, and where their holds ended."""
        return None if holder is None else thread_kind(self.thread_name(holder)), self.site(ended)

    def _account_number(self, number: int) -> int:
        return number if number in self.names or self.merged is None else self.merged

    def thread_name(self, number: int) -> str:
        """Return the name of the thread of an account."""
        return self.names.get(self._account_number(number), UNSEEN)

    def _who(self, number: int) -> Naming:
        number = self._account_number(number)
        return Naming(self.thread_name(number), self.started.get(number, False))

    def _stack(self, place: int | None, stacks: Stacks) -> int:
        """Return the number of the stack of a place."""
        if place is None:
            return stacks.called_from(None, _NO_ROOM)
        for number in range(len(self._stack_of), place + 1):  # a parent's number is below its child's
            parent = self.places[number][0]
            outer = None if parent is None else self._stack_of[parent]
            self._stack_of.append(stacks.called_from(outer, self._frame(number)))
        return self._stack_of[place]

    def _frame(self, place: int) -> Frame:
        frame = self._frames[place]
        if frame is None:
            frame = self._frames[place] = frame_of(self.places[place], self._who)
        return frame

    def site(self, place: int | None) -> _Spot:
        """Return the innermost frame of a place, and the callee below; with stacks, the line of an import."""
        found = self._site_of.get(place)
        if found is None:
            found = self._site_of[place] = (_NO_ROOM, "") if place is None else self._spot(place)
        return found

    def _spot(self, place: int) -> _Spot:
        line = caller(self.places, place)
        if line is None:
            return self._frame(importing(self.places, place)), ""
        return self._frame(importing(self.places, line)), self.places[place][3]

    def threads(self) -> list[ThreadAccount]:
        """Return one row per account."""
        return [
            _thread_account(account, self.names[account["number"]], self.totals["interpreter"])
            for account in self.accounts
        ]

    def own_gil(self) -> OwnGil:
        """Return the sums of an interpreter's GIL."""
        ends = [account["first_ns"] + account["lifetime_ns"] for account in self.accounts]
        return OwnGil(
            interpreter=self.totals["interpreter"],
            lifetime_ns=max(ends, default=0) - min((one["first_ns"] for one in self.accounts), default=0),
            held_ns=sum(account["hold_ns"] for account in self.accounts),
            contended_ns=self.totals["contended_ns"],
            wait_ns=sum(account["wait_ns"] for account in self.accounts),
            handoffs=self.totals["handoffs"],
        )

    def end_ns(self) -> int:
        """Return the latest booked time.

        A killed process's GILs were last read one after the other, and older recorders read accounts after
        the clock.
        """
        alone = (account for account in self.accounts if account["merged"] == 1)
        lasts = (account["first_ns"] + account["lifetime_ns"] for account in alone)
        return max((self.totals["elapsed_ns"], *lasts))

    def looks(self) -> int:
        """Return the number of looks."""
        return sum(self._looks.by_place.values())

    def looks_unseen(self) -> int:
        """Return how many more looks could not read what ran."""
        return self.totals.get("looks_unseen", 0)

    def _by_place(self) -> dict[int | None, list[int]]:
        """Return releases, holds, waits and looks by place, the holds shared out."""
        rows: dict[int | None, list[int]] = defaultdict(lambda: [0] * COLUMNS)
        holds: dict[int | None, int] = defaultdict(int)
        cpu: dict[int | None, int] = defaultdict(int)
        for place, releases, hold_ns, wait_ns, hold_cpu_ns in self.site_rows:
            rows[place][RELEASES] += releases
            rows[place][WAIT] += wait_ns
            holds[place] += hold_ns
            cpu[place] += hold_cpu_ns
        amounts_of = {
            HOLD: self._looks.holds(holds),
            CPU: self._looks.holds(cpu, holds),
            LOOKS: self._looks.by_place,
        }
        for column, amounts in amounts_of.items():
            for where, amount in amounts.items():
                rows[where][column] += amount
        return rows

    def _task(self, place: int | None) -> tuple[str, str, str, int] | None:
        return None if place is None else self._tasks[place]

    def labels(self) -> LabelRows:
        """Return what was booked for labels; nothing where nothing had one."""
        if self._labels is None:
            return LabelRows((), ())
        whole = [0] * 5
        for account in self.accounts:
            times = account["hold_ns"], account["wait_ns"], account["off_ns"]
            sum_up(whole, (*times, account["releases"], account["contended_acquisitions"]))
        rows, pairs = self._labels
        return LabelRows.of([rest_of(whole, rows), *rows], pairs)

    def callbacks(self, stalls: Sequence[Stall]) -> list[LoopCallback]:
        """Return the longest callbacks of event loops."""
        return callbacks_of(self._callbacks, self.names, stalls)

    def add_sites(self, sites: dict[_Spot, list[int]], stacks: Stacks, tasks: TaskSums) -> None:
        """Add releases, holds, waits and looks to the rows of the sites, and of stacks and tasks if any."""
        for place, amounts in self._by_place().items():
            _add(sites[self.site(place)], amounts)
            task = self._task(place)
            if task is not None:
                tasks.add(task, hold_ns=amounts[HOLD], looks=amounts[LOOKS])
            if self.totals["stacks"]:
                _add(stacks.rows[self._stack(place, stacks)], amounts)

    def add_blame(
        self, blame: _BlameSums, sites: dict[_Spot, list[int]], stacks: Stacks, tasks: TaskSums
    ) -> int:
        """Add who waited behind whom, also to what the sites, stacks and tasks caused.

        The rest of a thread's wait is the time in which nobody held the GIL. It is computed from the rounded
        rows, so that all add up to the wait exactly.

        Returns
        -------
        int
            Nanoseconds of waits behind a holder for which no look tells the place.
        """
        left = {account["number"]: account["wait_ns"] for account in self.accounts}
        totals: dict[int, dict[tuple[int, int | None], int]] = defaultdict(lambda: defaultdict(int))
        known: dict[tuple[int, int | None], tuple[int, int | None]] = {}
        for waiter_number, holder_number, ended, wait_ns in self.blame_rows:
            waiter, holder = self._account_number(waiter_number), self._account_number(holder_number)
            left[waiter] = left.get(waiter, 0) - wait_ns
            own = holder, ended
            totals[waiter][known.setdefault(own, own)] += wait_ns
        unshared_ns = 0
        caused: dict[int | None, int] = defaultdict(int)
        behind: dict[tuple[int, int | None], _Behind] = {}
        for waiter, shared, rest_ns in self._looks.waits(totals):
            unshared_ns += rest_ns
            rows = blame[self._whom(waiter)]
            for own, row in shared.items():
                caused[own[1]] += row[0]
                if own not in behind:
                    behind[own] = self._whom(own[0]), self._ran(own[1], stacks, tasks)
                _add(rows[behind[own]], row)
        for place, caused_ns in caused.items():
            site, stack, _ = self._ran(place, stacks, tasks, caused_ns)
            sites[site][CAUSED] += caused_ns
            if stack is not None:
                stacks.rows[stack][CAUSED] += caused_ns
        for number, wait_ns in left.items():
            if self.totals["sites"] and wait_ns > 0:
                blame[self._whom(number)][("", 0), _NOBODYS][0] += wait_ns
        return unshared_ns

    def _ran(self, place: int | None, stacks: Stacks, tasks: TaskSums, caused_ns: int = 0) -> _Ran:
        """Return what runs at a place, and add to what its task caused."""
        stack = self._stack(place, stacks) if self.totals["stacks"] else None
        task = self._task(place)
        return self.site(place), stack, None if task is None else tasks.add(task, caused_ns=caused_ns)

    def _whom(self, number: int) -> _Whom:
        return self.thread_name(number), self.ids.get(number, 0)

    def seen_stacks(self, stacks: Stacks) -> list[int]:
        """Return the numbers of the stacks at which single holds were seen."""
        places = {hold.place for hold in self._seen} | {row[7] for row in self.stall_rows}
        return [self._stack(place, stacks) for place in places]

    def still_held(self, stacks: Stacks) -> Iterator[OpenHold]:
        """Yield the hold that was under way at the end, if there is one."""
        hold = self._still_held
        if hold is not None:
            yield OpenHold(
                self.thread_name(hold.holder),
                self.ids.get(self._account_number(hold.holder), 0),
                self.totals["interpreter"],
                hold.state,
                hold.at_ns - hold.since_ns,
                stacks.frames(self._stack(hold.place, stacks)),
            )

    def knows_pauses(self) -> bool:
        """Return whether the collector told of its pauses."""
        return self._pauses.known

    def collections(self) -> Iterator[Collection]:
        """Yield the sums of collections by thread, line and generation."""
        sums: dict[tuple[int, tuple[str, str, int], int], list[int]] = defaultdict(lambda: [0] * 7)
        for holder, _, place, generation, held_ns, wait_ns, *others in self._pauses.sums():
            row = sums[self._account_number(holder), self._where(place, ""), generation]
            count, pause_ns, longest_ns, collected, uncollectable = others
            row[2] = max(row[2], longest_ns)
            _add(row, (count, pause_ns, 0, held_ns, wait_ns, collected, uncollectable))
        for (holder, where, generation), row in sums.items():
            name, native_id = self._whom(holder)
            function, filename, line = where
            yield Collection(
                name, native_id, self.totals["interpreter"], generation, function, filename, line, *row
            )

    def longest_pauses(self) -> Iterator[Pause]:
        """Yield the longest collections, one by one."""
        for holder, place, generation, *numbers in self._pauses.longest():
            name, native_id = self._whom(self._account_number(holder))
            function, filename, line = self._where(place, "")
            yield Pause(
                name, native_id, self.totals["interpreter"], generation, function, filename, line, *numbers
            )

    def stalls(self, stacks: Stacks) -> Iterator[Stall]:
        """Yield the longest waits, with waiter and holder."""
        seen = None
        if self._seen:  # only a recording has some
            from gilprobe.tracing.seen_holds import SeenHolds

            seen = SeenHolds(self._seen)
        paused = overlaps(self._pauses.longest())
        for row in self.stall_rows:
            hold = None if seen is None else seen.during(row[2], row[4], row[4] + row[5])
            yield self._stall(
                *row[:7], *self._told_of(row[7], hold, stacks), *paused(row[2], row[4], row[4] + row[5])
            )

    def _told_of(
        self, looked: int | None, hold: RecordedHold | None, stacks: Stacks
    ) -> tuple[tuple[Frame, ...] | None, str | None]:
        """Return what most looks at a hold saw, else the one for a recording; and the holder's state."""
        state = None if hold is None else hold.state
        place = hold.place if looked is None and hold is not None else looked
        if place is None:
            return None, state
        if place not in self._seen_frames:
            self._seen_frames[place] = stacks.frames(self._stack(place, stacks))[-_SEEN_FRAMES:]
        return self._seen_frames[place], state

    def _stall(
        self,
        waiter: int,
        waiter_place: int | None,
        holder: int | None,
        holder_place: int | None,
        start_ns: int,
        wait_ns: int,
        holder_ns: int,
        holder_stack: tuple[Frame, ...] | None,
        holder_state: str | None,
        pause_ns: int,
        pause_generation: int | None,
    ) -> Stall:
        return Stall(
            self.thread_name(waiter),
            *self._where(waiter_place, UNSEEN),
            "" if holder is None else self.thread_name(holder),
            *(("", "", 0) if holder is None else self._where(holder_place, NO_ROOM)),
            start_ns=start_ns,
            wait_ns=wait_ns,
            holder_ns=holder_ns,
            holder_stack=holder_stack,
            holder_state=holder_state,
            pause_ns=pause_ns,
            pause_generation=pause_generation,
        )

    def _where(self, place: int | None, otherwise: str) -> tuple[str, str, int]:
        if place is None:
            return otherwise, "", 0
        frame, _ = self.site(place)
        return frame.function, frame.filename, frame.line

    def doubts(self) -> list[str]:
        """Return all doubts about the books' numbers."""
        totals, doubts = self.totals, []
        if totals["lost"]:
            doubts.append(
                f"{totals['lost']} intervals were not counted: no memory for their threads' accounts or notes"
            )
        if totals["others_missed"]:
            doubts.append("some interpreters with a GIL of their own are missing: there were too many")
        if totals["hooks_lost"]:
            doubts.append("another library replaced the tracer's hooks: everything after that is missing")
        if not totals["releases_told_apart"]:
            doubts.append("forced and voluntary releases look the same here: all count as voluntary")
        if self._pauses.lost:
            doubts.append(f"{self._pauses.lost} collections of garbage are missing: there was no memory")
        if totals["sites_lost_ns"]:
            from gilprobe.durations import duration

            doubts.append(
                f"{duration(totals['sites_lost_ns'] / 1e9)} have no site or blame: the tables were full"
            )
        unbalanced = [account["native_id"] for account in self.accounts if account["imbalance_ticks"]]
        if unbalanced and totals["final"]:
            doubts.append(f"hold, wait and off do not add up to the lifetime of threads {unbalanced}")
        return doubts


def _add(row: list[int], amounts: Sequence[int]) -> None:
    for column, amount in enumerate(amounts):
        row[column] += amount


def _counted(doubts: Sequence[str]) -> Iterator[str]:
    """Yield each doubt once, with how many interpreters share it."""
    for doubt, number in Counter(doubts).items():
        yield doubt if number == 1 else f"{doubt} (so in {number} interpreters)"


def _thread_account(account: _Account, name: str, interpreter: int) -> ThreadAccount:
    lifetime_ns, hold_ns, wait_ns = account["lifetime_ns"], account["hold_ns"], account["wait_ns"]
    return ThreadAccount(
        native_id=account["native_id"],
        name=name,
        # a joined thread of threading may still run for a moment as a native thread
        ended=account["ended"] or account["label"] >= LABEL_ENDED,
        interpreter=interpreter,
        merged=account["merged"],
        lifetime_ns=lifetime_ns,
        hold_ns=hold_ns,
        wait_ns=wait_ns,
        # The three add up in ticks (imbalance_ticks); each was rounded down on its own.
        off_ns=account["off_ns"] if account["imbalance_ticks"] else lifetime_ns - hold_ns - wait_ns,
        acquisitions=account["acquisitions"],
        contended_acquisitions=account["contended_acquisitions"],
        forced_releases=account["forced_releases"],
        voluntary_releases=account["releases"] - account["forced_releases"],
        hold=_distribution(account["holds"], hold_ns, account["longest_hold_ns"]),
        wait=_distribution(account["waits"], wait_ns, account["longest_wait_ns"]),
        hold_cpu_ns=_within(account["hold_cpu_ns"], hold_ns),
    )


def _within(cpu_ns: int | None, hold_ns: int) -> int | None:
    """Return a CPU time no longer than its hold: the two clocks are not read at the same time."""
    return None if cpu_ns is None else min(cpu_ns, hold_ns)


def _distribution(buckets: Sequence[tuple[int, int]], total_ns: int, max_ns: int) -> Distribution:
    return Distribution(
        count=sum(number for _, number in buckets),
        total_ns=total_ns,
        max_ns=max_ns,
        buckets=tuple(buckets),
    )


def bystander(
    native_id: int,
    name: str,
    elapsed_ns: int,
    cpu_time: bool,
    ended: bool = False,
    off_cpu_ns: int | None = None,
) -> ThreadAccount:
    """Return the account of a thread that lived throughout and never used the GIL."""
    return ThreadAccount(
        native_id=native_id,
        name=name,
        ended=ended,
        interpreter=0,
        merged=1,
        lifetime_ns=elapsed_ns,
        hold_ns=0,
        wait_ns=0,
        off_ns=elapsed_ns,
        acquisitions=0,
        contended_acquisitions=0,
        forced_releases=0,
        voluntary_releases=0,
        hold=EMPTY,
        wait=EMPTY,
        hold_cpu_ns=0 if cpu_time else None,
        off_cpu_ns=None if off_cpu_ns is None else min(off_cpu_ns, elapsed_ns),
    )


def _stack(frames: tuple[Frame, ...], row: Sequence[int]) -> Stack:
    return Stack(frames, row[RELEASES], row[HOLD], row[WAIT], row[CAUSED], row[LOOKS])


def _ranked_sites(sites: Mapping[_Spot, Sequence[int]], cpu_time: bool) -> tuple[Site, ...]:
    rows = [
        Site(
            frame.function,
            frame.filename,
            frame.line,
            row[RELEASES],
            row[HOLD],
            row[WAIT],
            row[CAUSED],
            _within(row[CPU], row[HOLD]) if cpu_time else None,
            callee,
            row[LOOKS],
        )
        for (frame, callee), row in sites.items()
    ]
    return tuple(
        sorted(rows, key=lambda row: (-row.hold_ns, -row.caused_ns, row.function, row.line, row.callee))
    )


def _effective(wait_ns: int, looks: int, spread: int) -> float:
    """Return how many looks of equal weight are as certain as these of unequal ones."""
    if looks == 0:
        return 0.0
    return min(float(looks), round(wait_ns * wait_ns / spread, 1)) if spread else float(looks)


def _ranked_collections(parts: Sequence[_NamedPart]) -> tuple[Collection, ...] | None:
    if not any(part.knows_pauses() for part in parts):
        return None
    rows = [row for part in parts for row in part.collections()]
    return tuple(sorted(rows, key=lambda row: (-row.pause_ns, row.thread, row.function, row.line)))


def _longest_pauses(parts: Sequence[_NamedPart]) -> tuple[Pause, ...] | None:
    if not any(part.knows_pauses() for part in parts):
        return None
    rows = [row for part in parts for row in part.longest_pauses()]
    return tuple(sorted(rows, key=lambda row: (-row.pause_ns, row.start_ns)))


def _ranked_blame(
    sums: _BlameSums, rank_of_stack: Mapping[int, int], rank_of_task: Mapping[Running, int]
) -> tuple[Blame, ...]:
    """Return the rows, and use the sums up: there may be many thousands, and none is kept twice."""
    rows = [
        Blame(  # without names, which take longer
            *waiter,
            *holder,
            frame.function,
            frame.filename,
            frame.line,
            None if stack is None else rank_of_stack[stack],
            wait_ns,
            callee,
            looks,
            _effective(wait_ns, looks, spread),
            None if task is None else rank_of_task[task],
        )
        for waiter in list(sums)
        for (holder, ((frame, callee), stack, task)), row in sums.pop(waiter).items()
        for wait_ns, looks, spread in (row,)
    ]
    for by in "holder", "waiter":  # one by one: what a row is compared by is not made, but there
        rows.sort(key=attrgetter(by))
    rows.sort(key=attrgetter("wait_ns"), reverse=True)
    return tuple(rows)
