"""What a trace has booked of locks (docs/recording-format.md, LOCK), with names."""

from __future__ import annotations

from collections import defaultdict

from gilprobe.model import locks as model
from gilprobe.model.distribution import BUCKETS, Distribution
from gilprobe.model.locks import Lock, LockWait, LockWaiter
from gilprobe.model.plain_data import dataclass
from gilprobe.report import Frame
from gilprobe.tracing.assembling import HANDOFF, bystander
from gilprobe.tracing.places import UNSEEN, Naming, frame_of

TYPE_CHECKING = False  # as in gilprobe/__init__.py: a recorded process loads no typing
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Any

    from gilprobe.model.environment import Environment
    from gilprobe.report import Report, ThreadAccount

    _Who = Callable[[int, int, str, bool], Naming]
    """Returns a thread by native identifier, label, the operating system's name, and whether it has ended."""

_FINAL, _HOOKS_LOST, _SPINS, _CPU = 1, 2, 4, 8
_FLAGS = 15
_WAITS, _BLAME, _LENGTH = range(3)
_UNSEEN_PLACE, _NO_FRAME, _NO_PLACE, _FIRST_PLACE = range(4)
NOBODY, NOBODY_SEEN, _FIRST_HOLDER = range(3)
_MOST_NS = 2**63
_MOST = 1 << 20  # rows, places, locks and threads: a recorder has fewer

_NATIVE = 1  # as in PLAC
_PART, _STOP_BY = range(len(model.KINDS), len(model.KINDS) + 2)
UNSEEN_FRAME = Frame(UNSEEN, "", 0)


@dataclass(frozen=True, slots=True)
class What:
    """What a lock is: the fields of a `Lock` that tell it from others."""

    kind: str
    type: str = ""
    name: str = ""
    owner: str = ""
    address: int = 0
    part: str = ""


class Payload:
    """The payload of a chunk, read from front to back; ValueError if it ends too early."""

    def __init__(self, payload: bytes) -> None:
        self._payload, self._at = payload, 0

    def number(self, below: int = 1 << 64) -> int:
        """Read a number."""
        value = shift = 0
        while True:
            if self._at == len(self._payload) or shift > 63:
                raise ValueError("a number must be complete, and have at most 64 bits")
            byte = self._payload[self._at]
            self._at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
        if value >= below:
            raise ValueError(f"a number must be below {below}, got {value}")
        return value

    def signed(self) -> int:
        """Read a signed number."""
        value = self.number()
        return (value >> 1) ^ -(value & 1)

    def string(self) -> str:
        """Read a string."""
        size = self.number(1 << 16)
        if size > len(self._payload) - self._at:
            raise ValueError("a string must be complete")
        self._at += size
        return self._payload[self._at - size : self._at].decode("utf-8", "surrogatepass")

    def end(self) -> None:
        """Check that nothing follows."""
        if self._at != len(self._payload):
            raise ValueError(f"{len(self._payload) - self._at} bytes follow the end of the chunk")


class LockPart:
    """What a trace has booked of locks.

    Attributes
    ----------
    final : bool
        Whether that is all: the trace has ended.
    hooks_lost, spins_seen : bool
        Whether another library replaced the hooks; whether tries without sleep are seen.
    elapsed_ns, lost, lost_ns : int
        Length of the trace; notes that were lost; waits for which there was no row.
    """

    def __init__(self, payload: bytes) -> None:
        read = Payload(payload)
        flags = read.number(_FLAGS + 1)
        self.final, self.hooks_lost = bool(flags & _FINAL), bool(flags & _HOOKS_LOST)
        self.spins_seen = bool(flags & _SPINS)
        self._factor = read.number()
        self.elapsed_ns = self._ns(read.number())
        self.lost = read.number()
        self.lost_ns = self._ns(read.number())
        self._accounts = [(0, 0, False, "")]
        for _ in range(read.number(_MOST)):
            self._accounts.append((read.signed(), read.number(1 << 32), bool(read.number(2)), read.string()))
        self.waits: dict[tuple[int, int, int], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
        self.blame: dict[tuple[int, int, int, int, int], int] = defaultdict(int)
        self.lengths: dict[int, dict[int, int]] = defaultdict(lambda: defaultdict(int))
        for _ in range(2):
            for _ in range(read.number(_MOST)):
                self._read_row(read)
        self._cpu_of: dict[int, int] = {}  # by thread
        self._cpu_of_id: dict[int, int] = {}  # by native identifier
        if flags & _CPU:
            self._read_cpu(read)
        self._places = [read_place(read) for _ in range(read.number(_MOST))]
        self._locks = [read_lock(read) for _ in range(read.number(_MOST))]
        read.end()
        self._check()

    def _ns(self, ticks: int) -> int:
        ns = ticks * self._factor >> 32
        if ns >= _MOST_NS:
            raise ValueError(f"a time must be below {_MOST_NS} ns, got {ns}")
        return ns

    def _read_row(self, read: Payload) -> None:
        kind, lock, waiter = read.number(3), read.number(1 << 32), read.number(1 << 32)
        if kind == _LENGTH:
            self.lengths[lock][waiter] += read.signed()
            return
        place = read.number(1 << 32)
        if kind == _BLAME:
            key = (lock, waiter, place, read.number(1 << 33), read.number(1 << 32))
            self.blame[key] += self._ns(read.number())
            return
        row = self.waits[lock, waiter, place]
        row[0] += read.number()
        row[1] += self._ns(read.number())
        row[2] = max(row[2], self._ns(read.number()))
        row[3] += self._ns(read.number())

    def _read_cpu(self, read: Payload) -> None:
        """Read the CPU times; of threads with the same identifier the last one counts."""
        for _ in range(read.number(2 * _MOST)):
            number, native_id, cpu_ns = read.number(1 << 32), read.signed(), read.number(_MOST_NS)
            if number >= len(self._accounts):
                raise ValueError("a CPU time must be of a thread that is described")
            self._cpu_of_id[native_id] = cpu_ns
            if number:
                self._cpu_of[number] = cpu_ns

    def _check(self) -> None:
        """Check that everything that is referred to is there."""
        accounts, places = len(self._accounts), len(self._places) + _FIRST_PLACE
        for lock, waiter, place in self.waits:
            if lock > len(self._locks) or waiter >= accounts or place >= places:
                raise ValueError("a wait must be of a lock, a thread and a place that are described")
        for lock, waiter, place, holder, holder_place in self.blame:
            known = (lock, waiter, place) in self.waits and holder < accounts + _FIRST_HOLDER
            if not known or holder_place >= places:
                raise ValueError("a part of a wait must be of a wait and a holder that are described")
        for lock, lengths in self.lengths.items():
            if lock > len(self._locks) or max(lengths) >= BUCKETS or min(lengths.values()) < 0:
                raise ValueError("a length must be of a lock that is described, and of a bucket")

    # ---- with names ----

    def add_to(self, report: Report, who: _Who) -> Report:
        """Return the report with the locks."""
        from dataclasses import replace

        locks, waits, waiters = self._told(who)
        warnings = (*report.warnings, *self._doubts())
        threads = tuple(
            one if one.hold_cpu_ns is None else replace(one, off_cpu_ns=self._off_cpu_ns(one))
            for one in report.threads
        )
        return replace(
            report, threads=threads, locks=locks, lock_waits=waits, lock_waiters=waiters, warnings=warnings
        )

    def _off_cpu_ns(self, account: ThreadAccount) -> int | None:
        """Return the CPU time of a thread while it was off, where that in its holds is known."""
        cpu_ns = self._cpu_of_id.get(account.native_id)
        if cpu_ns is None or account.merged != 1:
            return None
        return min(max(cpu_ns - (account.hold_cpu_ns or 0), 0), account.off_ns)

    def alone(
        self, who: _Who, environment: Environment, bystanders: Mapping[int, str], warnings: tuple[str, ...]
    ) -> Report:
        """Return the report of a trace without a GIL: threads are off in it all the time."""
        from dataclasses import replace

        from gilprobe.report import Report

        threads = tuple(self._threads(who, bystanders))
        report = Report(
            elapsed_ns=self.elapsed_ns,
            held_ns=0,
            contended_ns=0,
            handoffs=0,
            threads=threads,
            sites=(),
            stacks=(),
            blame=(),
            longest_waits=(),
            dropped_events=0,
            warnings=warnings,
            environment=environment,
        )
        return replace(self.add_to(report, who), threads=threads)

    def _threads(self, who: _Who, bystanders: Mapping[int, str]) -> Iterator[ThreadAccount]:
        seen = {waiter for _, waiter, _ in self.waits}
        seen |= {key[3] - _FIRST_HOLDER for key in self.blame if key[3] >= _FIRST_HOLDER}
        told = set()
        for number in sorted(seen - {0}):
            native_id, _, ended, _ = self._accounts[number]
            told.add(native_id)
            cpu_ns = self._cpu_of.get(number)
            yield bystander(native_id, self._name(number, who), self.elapsed_ns, False, ended, cpu_ns)
        for native_id, name in bystanders.items():
            if native_id not in told:
                cpu_ns = self._cpu_of_id.get(native_id)
                yield bystander(native_id, name, self.elapsed_ns, False, off_cpu_ns=cpu_ns)

    def _name(self, number: int, who: _Who) -> str:
        if number == 0:
            return "(more threads)"
        native_id, label, ended, os_name = self._accounts[number]
        return who(native_id, label, os_name, ended).name

    def _frame(self, place: int, thread: int, who: _Who) -> Frame:
        if place >= _FIRST_PLACE:
            return self._places[place - _FIRST_PLACE]
        if place != _NO_FRAME:
            return UNSEEN_FRAME
        native_id, label, ended, os_name = self._accounts[thread]
        naming = who(native_id, label, os_name, ended) if thread else Naming(UNSEEN, False)
        return frame_of((None, _NATIVE, thread, "", ""), lambda _: naming)

    def _lock(self, number: int) -> What:
        """Return what a lock is; work by the function that waits."""
        if number == 0:
            return What(model.UNKNOWN)
        lock = self._locks[number - 1]
        if lock.kind == model.WORK and not lock.name:
            known = 0 < lock.address <= len(self._places)
            return What(lock.kind, name=self._places[lock.address - 1].function if known else "")
        return lock

    def _told(self, who: _Who) -> tuple[tuple[Lock, ...], tuple[LockWait, ...], tuple[LockWaiter, ...]]:
        numbers: dict[What, list[int]] = defaultdict(list)
        for number in sorted({lock for lock, _, _ in self.waits}):
            numbers[self._lock(number)].append(number)
        told = [(self._sum(key, same), same) for key, same in numbers.items()]
        told.sort(key=lambda pair: (-pair[0].wait_ns, pair[0].title))
        rank = {number: at for at, (_, same) in enumerate(told) for number in same}
        rows: dict[tuple[Any, ...], int] = defaultdict(int)
        largest: dict[tuple[int, int, int], tuple[int, tuple[Any, ...]]] = {}
        left = {key: row[1] for key, row in self.waits.items()}
        for (lock, waiter, place, holder, holder_place), wait_ns in self.blame.items():
            behind = self._holder(holder, holder_place, who)
            row = (rank[lock], *self._waiter(waiter, place, who), *behind)
            rows[row] += wait_ns
            left[lock, waiter, place] -= wait_ns
            largest[lock, waiter, place] = max(largest.get((lock, waiter, place), (0, row)), (wait_ns, row))
        for (lock, waiter, place), wait_ns in left.items():  # each part was rounded down on its own
            unseen = (rank[lock], *self._waiter(waiter, place, who), "", 0, UNSEEN, "", 0)
            rows[largest.get((lock, waiter, place), (0, unseen))[1]] += wait_ns
        waits = [LockWait(*(*key, wait_ns)) for key, wait_ns in rows.items() if wait_ns]
        waits.sort(key=lambda row: (-row.wait_ns, row.lock, row.waiter, row.holder, row.function, row.line))
        return tuple(lock for lock, _ in told), tuple(waits), self._waiters(rank, who)

    def _waiters(self, rank: Mapping[int, int], who: _Who) -> tuple[LockWaiter, ...]:
        """Return the waits by lock, thread and place, longest first."""
        rows: dict[tuple[Any, ...], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
        for (lock, waiter, place), (count, wait_ns, longest_ns, spun_ns) in self.waits.items():
            row = rows[(rank[lock], *self._waiter(waiter, place, who))]
            row[0] += count
            row[1] += wait_ns
            row[2] = max(row[2], longest_ns)
            row[3] += min(spun_ns, wait_ns)  # each was rounded down on its own
        waiters = [LockWaiter(*key, *row) for key, row in rows.items() if row[0]]
        waiters.sort(key=lambda row: (-row.wait_ns, row.lock, row.waiter, row.function, row.line))
        return tuple(waiters)

    def _waiter(self, number: int, place: int, who: _Who) -> tuple[str, int, str, str, int]:
        frame = self._frame(place, number, who)
        return (
            self._name(number, who),
            self._accounts[number][0],
            frame.function,
            frame.filename,
            frame.line,
        )

    def _holder(self, holder: int, place: int, who: _Who) -> tuple[str, int, str, str, int]:
        if holder < _FIRST_HOLDER:
            return ("", 0, HANDOFF if holder == NOBODY else UNSEEN, "", 0)
        return self._waiter(holder - _FIRST_HOLDER, place, who)

    def _sum(self, what: What, numbers: list[int]) -> Lock:
        same, lengths = set(numbers), defaultdict[int, int](int)
        rows = [row for (lock, _, _), row in self.waits.items() if lock in same]
        for number in numbers:
            for bucket, count in self.lengths[number].items():
                lengths[bucket] += count
        buckets = tuple(sorted((bucket, count) for bucket, count in lengths.items() if count))
        wait = Distribution(
            count=sum(count for _, count in buckets),
            total_ns=sum(row[1] for row in rows),
            max_ns=max(row[2] for row in rows),
            buckets=buckets,
        )
        return Lock(
            what.kind,
            what.type,
            what.name,
            what.owner,
            what.address,
            wait=wait,
            spun_ns=sum(row[3] for row in rows),
            part=what.part,
        )

    def _doubts(self) -> Iterator[str]:
        if self.hooks_lost:
            yield "another library replaced the hooks of locks: everything after that is missing"
        if self.lost:
            yield f"{self.lost} waits or releases of locks were not noted: there was no room, or no time"
        if self.lost_ns:
            yield f"{self.lost_ns / 1e9:.3g} s of waits for locks have no row: the tables were full"


def title_of(what: What, places: Sequence[Frame]) -> str:
    """Return what a lock is, in a few words; work by the function that waits, which is one of the places."""
    name = what.name
    if what.kind == model.WORK and not name and 0 < what.address <= len(places):
        name = places[what.address - 1].function
    none = Distribution(count=0, total_ns=0, max_ns=0, buckets=())
    return Lock(what.kind, what.type, name, what.owner, what.address, none, part=what.part).title


def read_place(read: Payload) -> Frame:
    """Read a place (LOCK)."""
    read.number(1)  # kind: Python
    line = read.number(1 << 31)
    function = read.string()
    return Frame(function, read.string(), line)


def read_lock(read: Payload) -> What:
    """Read what a lock is (LOCK)."""
    number = read.number(_STOP_BY + 1)
    if number == _PART:
        kind = model.KINDS[read.number(len(model.KINDS))]
        if kind not in (model.LOCK, model.OBJECT, model.WORK):
            raise ValueError(f"what has a part must be a lock, an object or work, got {kind}")
        type_, name, owner, part = (read.string() for _ in range(4))
        return What(kind, type_, name, owner, read.number(1 << 63), part)
    if number == _STOP_BY:
        return What(model.STOP, name=read.string())
    kind = model.KINDS[number]
    if kind in (model.LOCK, model.OBJECT):
        type_, name, owner = (read.string() for _ in range(3))
        return What(kind, type_, name, owner, read.number(1 << 63))
    if kind == model.INTERPRETER:
        return What(kind, name=read.string())
    return What(kind, address=0 if kind == model.STOP else read.number(1 << 63))
