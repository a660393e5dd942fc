"""Single waits for locks in a recording (docs/recording-format.md, LNAM and LWAT), with names."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gilprobe._native import recording as native
from gilprobe.model.locks import UNKNOWN
from gilprobe.model.timeline import TimelineLockWait
from gilprobe.report import Frame
from gilprobe.tracing.lock_part import (
    Payload,
    What,
    read_lock,
    read_place,
    title_of,
)
from gilprobe.tracing.places import EDGE, UNSEEN, Stacks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from gilprobe._native.recording import _LockWait
    from gilprobe.tracing.places import Naming

_FAILED, _GOES_ON = 2, 4
_MOST = 1 << 20  # places, locks, stacks and threads: a recorder has fewer
_NO_FRAME, _FIRST_PLACE = 1, 3  # as in LOCK
_UNSEEN_FRAME = Frame(UNSEEN, "", 0)
_EDGE_FRAME = Frame(EDGE, "", 0)


class _WaitingThread(NamedTuple):
    native_id: int
    label: int
    os_name: str


class LockNames:
    """What the single waits of a recording refer to: all that its LNAM chunks have told."""

    def __init__(self) -> None:
        self._accounts = [_WaitingThread(0, 0, "")]
        self._places: list[Frame] = []
        self._locks: list[What] = []
        self._stacks = Stacks()
        self._numbers: list[int] = []  # of each stack in `_stacks`
        self._waited_in: set[int] = set()  # stacks that waits refer to

    def add(self, payload: bytes) -> None:
        """Add a chunk; ValueError if it breaks a rule."""
        read = Payload(payload)
        self._places += [read_place(read) for _ in range(read.number(_MOST))]
        self._locks += [read_lock(read) for _ in range(read.number(_MOST))]
        for _ in range(read.number(_MOST)):
            outer = read.number(len(self._numbers) + 1)
            self._add_stack(outer, read.number(len(self._places) + _FIRST_PLACE))
        for _ in range(read.number(_MOST)):
            self._accounts.append(_WaitingThread(read.signed(), read.number(1 << 32), read.string()))
        read.end()
        if any(len(told) > _MOST for told in (self._places, self._locks, self._numbers, self._accounts)):
            raise ValueError(f"at most {_MOST} places, locks, stacks and threads must be told of")

    def _add_stack(self, outer: int, place: int) -> None:
        called_from = self._numbers[outer - 1] if outer else None
        self._numbers.append(self._stacks.called_from(called_from, self._frame(place)))

    def check(self, payload: bytes) -> int:
        """Check an LWAT; ValueError if it breaks a rule. Returns how many waits were dropped so far."""
        rows, dropped = native.read_lock_waits(payload)
        accounts, places = len(self._accounts), len(self._places) + _FIRST_PLACE
        for thread, lock, place, stack, _, holder, holder_place, *_ in rows:
            known = lock <= len(self._locks) and stack <= len(self._numbers)
            if thread >= accounts or holder > accounts or max(place, holder_place) >= places or not known:
                raise ValueError("a wait must be of a lock, a thread, a place and a stack that are described")
            self._waited_in.add(stack)
        return dropped

    def _frame(self, place: int) -> Frame:
        if place >= _FIRST_PLACE:
            return self._places[place - _FIRST_PLACE]
        return _EDGE_FRAME if place == _NO_FRAME else _UNSEEN_FRAME

    def waits(
        self, chunks: Iterable[bytes], who: Callable[[int, int, str], Naming]
    ) -> Iterator[TimelineLockWait]:
        """Yield the waits of LWAT chunks that were checked; parts of one wait as one."""
        self._stacks.check(self._numbers[stack - 1] for stack in self._waited_in if stack)
        yield from map(_WaitTeller(self, who), _whole(chunks))

    def name(self, account: int, who: Callable[[int, int, str], Naming]) -> str:
        """Return a thread's name."""
        return who(*self._accounts[account]).name if account else "(more threads)"

    def native_id(self, account: int) -> int:
        """Return a thread's native identifier."""
        return self._accounts[account].native_id

    def stack(self, number: int, place: int) -> tuple[Frame, ...]:
        """Return the frames of a stack, outermost first; that of the place if it is not known."""
        return self._stacks.frames(self._numbers[number - 1]) if number else (self._frame(place),)

    def place(self, number: int) -> Frame:
        """Return a place."""
        return self._frame(number)

    def lock(self, number: int) -> tuple[str, str]:
        """Return the kind and the title of a lock."""
        what = self._locks[number - 1] if number else What(UNKNOWN)
        return what.kind, title_of(what, self._places)


class _WaitTeller:
    """Turns rows into waits, with each name found once."""

    def __init__(self, names: LockNames, who: Callable[[int, int, str], Naming]) -> None:
        self._names, self._who = names, who
        self._threads: dict[int, str] = {}
        self._locks: dict[int, tuple[str, str]] = {}
        self._stacks: dict[tuple[int, int], tuple[Frame, ...]] = {}

    def _thread(self, account: int) -> str:
        if account not in self._threads:
            self._threads[account] = self._names.name(account, self._who)
        return self._threads[account]

    def __call__(self, row: _LockWait) -> TimelineLockWait:
        thread, lock, place, stack, flags, holder, holder_place, released_ns, start_ns, wait_ns, spun_ns = row
        names = self._names
        if lock not in self._locks:
            self._locks[lock] = names.lock(lock)
        key = (stack, 0 if stack else place)
        if key not in self._stacks:
            self._stacks[key] = names.stack(stack, place)
        kind, title = self._locks[lock]
        return TimelineLockWait(
            names.native_id(thread),
            self._thread(thread),
            kind,
            title,
            start_ns,
            wait_ns,
            min(spun_ns, wait_ns),
            bool(flags & _FAILED),
            self._stacks[key],
            names.native_id(holder - 1) if holder else 0,
            self._thread(holder - 1) if holder else "",
            names.place(holder_place) if holder else None,
            released_ns,
        )


def _whole(chunks: Iterable[bytes]) -> Iterator[_LockWait]:
    """Yield the waits of chunks; parts of one wait as one."""
    open_: dict[int, _LockWait] = {}
    for chunk in chunks:
        for row in native.read_lock_waits(chunk)[0]:
            last = open_.pop(row[0], None)
            if last is not None and row[4] & _GOES_ON and last[1] == row[1]:
                open_[row[0]] = _joined(last, row)
                continue
            open_[row[0]] = row
            if last is not None:
                yield last
    yield from open_.values()


def _joined(first: _LockWait, second: _LockWait) -> _LockWait:
    """Return two parts of one wait as one: it began with the first, and ended as the second."""
    start_ns = min(first[8], second[8])
    end_ns = second[8] + second[9]
    return (*first[:4], *second[4:8], start_ns, max(end_ns - start_ns, 0), first[10] + second[10])
