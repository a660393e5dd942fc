"""Read recordings (docs/recording-format.md).

A file is hostile input: an error in it is a :class:`~gilprobe.errors.FormatError` with the offset. Events are
read in batches, so memory depends on a file's threads, places and last snapshots, not on its length.
"""

from __future__ import annotations

import contextlib
import json
import os
from array import array
from functools import cached_property
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from gilprobe._native import recording as native
from gilprobe.errors import FormatError
from gilprobe.files import open_regular
from gilprobe.model import codec
from gilprobe.model.environment import Environment
from gilprobe.model.timeline import HOLD, NOWHERE, Batch, TimelineLockWait, TimelinePause, TimelineThread
from gilprobe.tracing.late_events import MOST_EVENTS, LateEvent, add_late
from gilprobe.tracing.places import Naming, Stacks, frame_of
from gilprobe.tracing.seen_holds import AT_SNAPSHOT, RecordedHold

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gilprobe._native.recording import _Pause, _Place, _Seen, _Snapshot
    from gilprobe.report import Frame
    from gilprobe.tracing.lock_part import LockPart
    from gilprobe.tracing.single_lock_waits import LockNames

MAGIC = b"GILPROBE"
_INTERPRETERS = 4096  # recorders write at most 1,025
_NUMBERS = 1 << 22  # numbers of accounts, all interpreters together
_NAMED = 1 << 20  # threads alive at the beginning or the end
_PIECE = 1 << 20  # bytes
_ZEROS = 1 << 26  # bytes checked at a time where only zeros may follow
_SEEN = 1 << 16  # holds seen under way; a recorder tells of 4,096 for each trace, and one at each snapshot
_TICKS = 1 << 32  # a factor that leaves ticks as they are
_LABEL = (1 << 31) - 1  # the bits of a label that stand for a name

_META: dict[str, type] = {
    "pid": int,
    "parent": int,
    "argv": list,
    "started_unix_ns": int,
    "options": dict,
    "environment": dict,
}


class ThreadDescription(NamedTuple):
    """A thread as a recording describes it.

    Attributes
    ----------
    number : int
        Its account's number within its interpreter.
    native_id : int
        The operating system's thread identifier.
    label : int
        Stands for its name; 0 for none. 2**31 is added at the end of its Python code.
    os_name : str
        The operating system's name.
    first_tick : int
        When it first used the GIL, in ticks since the start.
    """

    number: int
    native_id: int
    label: int
    os_name: str
    first_tick: int


class EventSums(NamedTuple):
    """Sums of one thread's events, in ticks and in events."""

    hold_ticks: int
    wait_ticks: int
    holds: int
    waits: int


class RecordedInterpreter:
    """A recording's data about one interpreter's GIL.

    Attributes
    ----------
    number : int
        0 for the main one.
    threads : dict of int to ThreadDescription
        By the numbers of their accounts.
    places : list of tuple
        By number: parent or None, kind, line or account, function, file. Kind 0 is Python code with its line,
        1 native code with the thread's account; 2 stands for missing deeper frames, 3 for code that could not
        be seen, 4 for a task of an event loop, with its name instead of a function.
    snapshot : dict or None
        The last one, as ``_native.recording.decode_snapshot`` returns it.
    seen : list of RecordedHold
        Holds that were seen while they lasted.
    still_held : RecordedHold or None
        The one that was under way in the snapshot.
    events, dropped : int
        Number of events, and of those missing because they came faster than they were written.
    thread_numbers, place_numbers : array of uint32
        Numbers in the whole file, by numbers here; 2**32 - 1 for an account that was not described.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.threads: dict[int, ThreadDescription] = {}
        self.places: list[_Place] = []
        self.snapshot: _Snapshot | None = None
        self.seen: list[RecordedHold] = []
        self.still_held: RecordedHold | None = None
        self.events = 0
        self.dropped = 0
        self.thread_numbers = array("I")
        self.place_numbers = array("I")

    @property
    def complete(self) -> bool:
        """Return whether its last snapshot was taken at the end of the recording."""
        return self.snapshot is not None and self.snapshot["totals"]["final"]


class Recording:
    """A recording with the sums of its events; the events are read from the file on request.

    Attributes
    ----------
    path : str
        Where it was read from.
    identity : (int, int) or None
        Device and inode of the file.
    beginning : bytes
        Its first bytes, with the first chunk's checksum: another file may get the same inode.
    meta : dict
        `pid`, `parent`, `argv`, `started_unix_ns`, `options`, `environment`, and in newer files `host`; empty
        if the process was killed before it wrote them.
    labels, names : dict of int to str
        Names of threads by label, and by native identifier.
    interpreters : dict of int to RecordedInterpreter
        By number, in the order in which the file mentions them.
    threads, places : list of tuple of (Interpreter, int)
        All of the file, by number: their interpreters, and their numbers there.
    done : dict or None
        Written at the end: `reason` is "stopped", "signal" (with its number in `signal`) or "exit" (with
        `status`). None if the process was killed otherwise.
    locks : LockPart or None
        What was booked of locks, if it was.
    lock_names : LockNames or None
        What single waits for locks refer to, if they were recorded.
    lock_waits_dropped : int
        Number of these missing because they came faster than they were written.
    doubts : list of str
        About numbers beyond the last totals.
    truncated : bool
        Whether the last chunk is incomplete.
    size : int
        Bytes up to the end of the last complete chunk.
    """

    def __init__(self, path: str, *, events: bool = True) -> None:
        self.path = path
        self._reads_events = events
        self.identity: tuple[int, int] | None = None
        self.beginning = b""
        self.meta: dict[str, Any] = {}
        self.done: dict[str, Any] | None = None
        self.labels: dict[int, str] = {}
        self.names: dict[int, str] = {}
        self.interpreters: dict[int, RecordedInterpreter] = {}
        self.threads: list[tuple[RecordedInterpreter, int]] = []
        self.places: list[tuple[RecordedInterpreter, int]] = []
        self.locks: LockPart | None = None
        self.lock_names: LockNames | None = None
        self.lock_waits_dropped = 0
        self.doubts: list[str] = []
        self.truncated = False
        self.size = 0
        self._account_numbers = 0
        self._sums = array("Q")  # four per thread

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        identity: tuple[int, int] | None = None,
        started_unix_ns: int | None = None,
        *,
        events: bool = True,
    ) -> Recording:
        """Read a recording: check everything, and sum the events up.

        Parameters
        ----------
        path : path-like
            The file.
        identity : (int, int), optional
            Device and inode that it must have.
        started_unix_ns : int, optional
            When it must have begun: the inode of a replaced file is used again.
        events : bool
            Whether events that are in the last totals are checked and summed up, one by one. If not, those of
            a file of 10 MB cost half as much: checksums only.

        Raises
        ------
        FormatError
            If it is not a recording, another one, of another version, or damaged. A truncated one is allowed:
            see `truncated`.
        OSError
            If it can't be read.
        """
        opened = cls(os.fspath(path), events=events)
        with _open_file(opened.path, identity) as file:
            opened.identity, opened.beginning = _identity(file), _beginning(file)
            chunks = _Chunks(opened.path, file)
            loader = _Loader(opened)
            for offset, kind, payload in chunks:
                with _naming(opened.path, offset):
                    loader.take(offset, kind, payload)
            loader.decode_snapshots()
            loader.add_late(file)
        if opened.meta and started_unix_ns not in (None, opened.meta["started_unix_ns"]):
            raise _replaced(opened.path)
        opened.truncated, opened.size = chunks.cut, chunks.offset
        return opened

    @property
    def complete(self) -> bool:
        """Return whether the recording was ended, by a signal or otherwise."""
        finals = bool(self.interpreters) and all(one.complete for one in self.interpreters.values())
        alone = self.locks is not None and self.locks.final and not self.interpreters
        return finals or alone or self.done is not None

    @property
    def event_count(self) -> int:
        """Number of events."""
        return sum(one.events for one in self.interpreters.values())

    @property
    def dropped(self) -> int:
        """Number of events missing because they came faster than they were written."""
        return sum(one.dropped for one in self.interpreters.values()) + self.lock_waits_dropped

    def who(self, native_id: int, label: int = 0, os_name: str = "") -> Naming:
        """Return a thread's latest name, as a trace does; an ended one has it in its label.

        Otherwise it is the operating system's name.
        """
        name = self.labels.get(label & _LABEL, "")
        if label <= _LABEL:  # still alive, perhaps renamed
            name = self.names.get(native_id, name)
        return Naming(name or os_name or f"thread {native_id}", bool(name))

    def event_sums(self) -> dict[tuple[int, int], EventSums]:
        """Return each thread's sums, by the numbers of its interpreter and its account; 0 if not read."""
        return {
            (interpreter.number, account): EventSums(*self._sums[4 * n : 4 * n + 4])
            for n, (interpreter, account) in enumerate(self.threads)
        }

    def timeline(self) -> RecordedTimeline:
        """Return the events, to be read batch by batch (a :class:`gilprobe.model.timeline.Timeline`)."""
        return RecordedTimeline(self)

    # Called while loading.

    def interpreter(self, number: int) -> RecordedInterpreter:
        """Return an interpreter, new or known; ValueError if there are too many."""
        known = self.interpreters.get(number)
        if known is None:
            if len(self.interpreters) == _INTERPRETERS:
                raise ValueError(f"there must be at most {_INTERPRETERS} interpreters")
            known = self.interpreters[number] = RecordedInterpreter(number)
        return known

    def describe_thread(self, interpreter: RecordedInterpreter, thread: ThreadDescription) -> None:
        """Add or update a thread; ValueError if the numbers are too large."""
        known = thread.number in interpreter.threads
        interpreter.threads[thread.number] = thread
        if known:
            return
        table = interpreter.thread_numbers
        missing = max(0, thread.number + 1 - len(table))
        self._account_numbers += missing
        if self._account_numbers > _NUMBERS:
            raise ValueError(f"the numbers of all accounts together must be below {_NUMBERS}")
        table.frombytes(b"\xff" * (table.itemsize * missing))
        table[thread.number] = len(self.threads)
        self.threads.append((interpreter, thread.number))
        self._sums.frombytes(bytes(4 * self._sums.itemsize))

    def describe_places(self, interpreter: RecordedInterpreter, places: list[_Place]) -> None:
        """Append places."""
        for number, place in enumerate(places, len(interpreter.places)):
            interpreter.places.append(place)
            interpreter.place_numbers.append(len(self.places))
            self.places.append((interpreter, number))

    def add_events(self, interpreter: RecordedInterpreter, payload: bytes) -> None:
        """Add the events of a chunk to the sums; ValueError if they refer to unknown threads or places."""
        _, count, dropped = native.events_head(payload)
        if self._reads_events:
            native.add_events(payload, interpreter.thread_numbers, interpreter.place_numbers, self._sums)
        interpreter.events += count
        interpreter.dropped = max(interpreter.dropped, dropped)


class RecordedTimeline:
    """The events of a recording (a :class:`gilprobe.model.timeline.Timeline`), read anew each time."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording

    @cached_property
    def threads(self) -> tuple[TimelineThread, ...]:
        """All threads; events refer to them by number."""
        return tuple(
            TimelineThread(
                interpreter.threads[account].native_id,
                self._who(interpreter, account).name,
                interpreter.number,
            )
            for interpreter, account in self._recording.threads
        )

    @cached_property
    def places(self) -> tuple[tuple[Frame, ...], ...]:
        """All places, by number: stacks, outermost frame first.

        Raises
        ------
        FormatError
            If all stacks of the file together have more than 16 million frames.
        """
        stacks = Stacks()
        numbers: list[int] = []
        for interpreter, place in self._recording.places:
            parent = interpreter.places[place][0]
            outer = None if parent is None else numbers[interpreter.place_numbers[parent]]
            numbers.append(stacks.called_from(outer, self._frame(interpreter, place)))
        with _naming(self._recording.path, 0):
            stacks.check(numbers)
        return tuple(map(stacks.frames, numbers))

    @property
    def dropped(self) -> int:
        """Number of events missing because they came faster than they were written."""
        return self._recording.dropped

    def batches(self) -> Iterator[Batch]:
        """Yield all events, from the beginning.

        Raises
        ------
        FormatError
            If the file has changed since it was opened.
        OSError
            If it can't be read.
        """
        for offset, payload in self.chunks(b"EVNT"):
            with _naming(self._recording.path, offset):
                batch = self._batch(payload)
            yield batch

    def pauses(self) -> Iterator[TimelinePause]:
        """Yield all collections of garbage in the order of their ends.

        Raises
        ------
        FormatError
            If the file has changed since it was opened.
        OSError
            If it can't be read.
        """
        for offset, payload in self.chunks(b"PAUS"):
            with _naming(self._recording.path, offset):
                pauses = self._pauses(payload)
            yield from pauses

    def lock_waits(self) -> Iterator[TimelineLockWait]:
        """Yield all waits for locks and for work; of one thread in the order of their ends.

        Raises
        ------
        FormatError
            If the file has changed since it was opened, or all stacks have more than 16 million frames.
        OSError
            If it can't be read.
        """
        names = self._recording.lock_names
        if names is None:
            return
        chunks = (payload for _, payload in self.chunks(b"LWAT"))
        with _naming(self._recording.path, 0):
            yield from names.waits(chunks, self._recording.who)

    def chunks(self, wanted: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield the payloads of one type of chunk, with their offsets."""
        recording = self._recording
        with _open_file(recording.path, recording.identity, recording.beginning) as file:
            for offset, kind, payload in _Chunks(recording.path, file, recording.size):
                if kind == wanted:
                    yield offset, payload

    def _described(self, number: int) -> tuple[RecordedInterpreter, int]:
        interpreter = self._recording.interpreters.get(number)
        if interpreter is None or interpreter.snapshot is None:
            raise ValueError("a file must not change while it is read")
        return interpreter, interpreter.snapshot["totals"]["factor"]

    def _batch(self, payload: bytes) -> Batch:
        number, _, _ = native.events_head(payload)
        interpreter, factor = self._described(number)
        return Batch(
            *native.read_events(payload, interpreter.thread_numbers, interpreter.place_numbers, factor)
        )

    def _pauses(self, payload: bytes) -> list[TimelinePause]:
        number, entries = native.split_interpreter(payload)
        interpreter, factor = self._described(number)
        threads, places = interpreter.thread_numbers, interpreter.place_numbers
        rows = native.decode_pauses(entries, factor)
        _check_pauses(rows, interpreter)
        return [
            TimelinePause(threads[account], NOWHERE if place is None else places[place], *others)
            for account, place, *others in rows
        ]

    def _who(self, interpreter: RecordedInterpreter, account: int) -> Naming:
        thread = interpreter.threads.get(account)
        if thread is None:
            return Naming(f"of account {account}", False)
        return self._recording.who(thread.native_id, thread.label, thread.os_name)

    def _frame(self, interpreter: RecordedInterpreter, place: int) -> Frame:
        return frame_of(interpreter.places[place], lambda account: self._who(interpreter, account))


class _Loader:
    """Takes the chunks of a file one after the other; ValueError with the broken rule."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.snapshots: dict[int, tuple[int, bytes]] = {}  # the last one of each interpreter, and its offset
        self.seen: dict[int, list[_Seen]] = {}
        self.under_way: dict[int, _Seen] = {}  # in the last snapshot
        self.locks: tuple[int, bytes] | None = None  # the last LOCK, and its offset
        self.late: dict[int, list[tuple[int, int, int]]] = {}  # EVNT behind it: offset, size, events
        self.late_pauses: dict[int, list[tuple[int, int]]] = {}  # PAUS behind it: offset, size

    def take(self, offset: int, kind: bytes, payload: bytes) -> None:
        recording = self.recording
        if kind == b"EVNT":
            self._take_events(offset, payload)
        elif kind == b"SNAP":
            self._take_snapshot(offset, payload)
        elif kind == b"THRD":
            number, entries = native.split_interpreter(payload)
            interpreter = recording.interpreter(number)
            for thread in native.decode_threads(entries):
                recording.describe_thread(interpreter, ThreadDescription(*thread))
        elif kind == b"PLAC":
            number, entries = native.split_interpreter(payload)
            interpreter = recording.interpreter(number)
            recording.describe_places(interpreter, native.decode_places(entries, len(interpreter.places)))
        elif kind == b"SEEN":
            self._take_seen(payload)
        elif kind == b"PAUS":
            self._take_pauses(offset, payload)
        elif kind == b"LABL":
            recording.labels.update(native.decode_labels(payload))
        elif kind == b"NAME":
            recording.names.update(native.decode_names(payload))
            if len(recording.names) > _NAMED:
                raise ValueError(f"at most {_NAMED} threads must have names by their identifiers")
        elif kind == b"META":
            recording.meta = _checked_meta(payload)
        elif kind == b"LOCK":
            self.locks = offset, payload
        elif kind == b"LNAM":
            self._lock_names().add(payload)
        elif kind == b"LWAT":
            dropped = self._lock_names().check(payload)
            recording.lock_waits_dropped = max(recording.lock_waits_dropped, dropped)
        elif kind == b"DONE":
            recording.done = _checked_done(payload)

    def _lock_names(self) -> LockNames:
        if self.recording.lock_names is None:
            from gilprobe.tracing.single_lock_waits import LockNames

            self.recording.lock_names = LockNames()
        return self.recording.lock_names

    def _take_events(self, offset: int, payload: bytes) -> None:
        number, count, _ = native.events_head(payload)
        if number not in self.snapshots:
            raise ValueError("a snapshot must come before the first events")
        self.recording.add_events(self.recording.interpreter(number), payload)
        self.late.setdefault(number, []).append((offset, len(payload), count))

    def _take_snapshot(self, offset: int, payload: bytes) -> None:
        _, behind_flags = native.split_interpreter(payload)
        number, _ = native.split_interpreter(behind_flags)
        self.recording.interpreter(number)
        self.snapshots[number] = offset, payload
        self.under_way.pop(number, None)
        self.late.pop(number, None)
        self.late_pauses.pop(number, None)

    def _take_seen(self, payload: bytes) -> None:
        number, entries = native.split_interpreter(payload)
        if number not in self.snapshots:
            raise ValueError("a snapshot must come before the first hold that was seen")
        rows = native.decode_seen(entries)
        _check_seen(rows, self.recording.interpreters[number])
        self.seen.setdefault(number, []).extend(rows)
        if sum(map(len, self.seen.values())) > _SEEN:
            raise ValueError(f"at most {_SEEN} holds must be seen under way")
        self.under_way.update((number, row) for row in rows if row[0] == AT_SNAPSHOT)

    def _take_pauses(self, offset: int, payload: bytes) -> None:
        number, entries = native.split_interpreter(payload)
        if number not in self.snapshots:
            raise ValueError("a snapshot must come before the first pause")
        _check_pauses(native.decode_pauses(entries, _TICKS), self.recording.interpreters[number])
        self.late_pauses.setdefault(number, []).append((offset, len(payload)))

    def decode_snapshots(self) -> None:
        """Decode the last snapshot of each interpreter, and of locks: earlier ones don't count."""
        for number, (offset, payload) in self.snapshots.items():
            interpreter = self.recording.interpreters[number]
            with _naming(self.recording.path, offset):
                snapshot = native.decode_snapshot(payload)
                snapshot["blame"], snapshot["stalls"] = [*snapshot["blame"]], [*snapshot["stalls"]]
                _check_references(snapshot, interpreter)
                self._place_seen(number, snapshot)
            interpreter.snapshot = snapshot
            interpreter.dropped = max(interpreter.dropped, snapshot["totals"]["dropped_events"])
        if self.locks is not None:
            from gilprobe.tracing.lock_part import LockPart

            offset, payload = self.locks
            with _naming(self.recording.path, offset):
                self.recording.locks = LockPart(payload)

    def _place_seen(self, number: int, snapshot: _Snapshot) -> None:
        interpreter, factor = self.recording.interpreters[number], snapshot["totals"]["factor"]
        interpreter.seen = [RecordedHold.from_row(row, factor) for row in self.seen.get(number, ())]
        under_way = self.under_way.get(number)
        if under_way is not None and not snapshot["totals"]["final"]:
            interpreter.still_held = RecordedHold.from_row(under_way, factor)

    def add_late(self, file: BinaryIO) -> None:
        """Book the events behind the last snapshots of a recording that was not ended."""
        for number, chunks in self.late.items():
            interpreter = self.recording.interpreters[number]
            snapshot = interpreter.snapshot
            if snapshot is None or snapshot["totals"]["final"]:
                continue
            if sum(count for _, _, count in chunks) > MOST_EVENTS:
                self.recording.doubts.append("the totals end before the events: there are too many of them")
                continue
            events = [event for chunk in chunks for event in self._late_events(file, interpreter, chunk)]
            since_ns = snapshot["totals"]["elapsed_ns"]
            pauses = [
                pause
                for chunk in self.late_pauses.get(number, ())
                for pause in self._pauses_of(file, snapshot["totals"]["factor"], *chunk)
            ]
            if not add_late(snapshot, events, interpreter.threads, interpreter.still_held, pauses):
                self.recording.doubts.append(
                    "not all waits near the end are charged: there are too many holds"
                )
            if any(event.kind == HOLD and event.end_ns > since_ns for event in events):
                interpreter.still_held = None

    def _pauses_of(self, file: BinaryIO, factor: int, offset: int, size: int) -> list[_Pause]:
        file.seek(offset + native.CHUNK_HEADER_SIZE)
        _, entries = native.split_interpreter(file.read(size))
        with _naming(self.recording.path, offset):
            return native.decode_pauses(entries, factor)

    def _late_events(
        self, file: BinaryIO, interpreter: RecordedInterpreter, chunk: tuple[int, int, int]
    ) -> Iterator[LateEvent]:
        offset, size, _ = chunk
        file.seek(offset + native.CHUNK_HEADER_SIZE)
        payload = file.read(size)
        factor = interpreter.snapshot["totals"]["factor"] if interpreter.snapshot is not None else 0
        with _naming(self.recording.path, offset):
            columns = native.read_events(
                payload, interpreter.thread_numbers, interpreter.place_numbers, factor
            )
        places, threads = self.recording.places, self.recording.threads
        for kind, thread, place, start_ns, duration_ns in zip(*columns, strict=True):
            yield LateEvent(
                kind,
                threads[thread][1],
                None if place == NOWHERE else places[place][1],
                start_ns,
                start_ns + duration_ns,
            )


def _check_pauses(rows: list[_Pause], interpreter: RecordedInterpreter) -> None:
    """Raise ValueError unless all places and threads of these pauses are known."""
    for account, place, *_ in rows:
        if account not in interpreter.threads:
            raise ValueError(f"a pause must be of a described thread, got {account}")
        if place is not None and place >= len(interpreter.places):
            raise ValueError(
                f"a pause must be at a described place, got {place} of {len(interpreter.places)}"
            )


def _check_seen(rows: list[_Seen], interpreter: RecordedInterpreter) -> None:
    """Raise ValueError unless all places and threads of these holds are known."""
    for _, holder, _, _, place, _ in rows:
        if holder not in interpreter.threads:
            raise ValueError(f"a hold that was seen must be of a described thread, got {holder}")
        if place is not None and place >= len(interpreter.places):
            raise ValueError(
                f"a hold must be seen at a described place, got {place} of {len(interpreter.places)}"
            )


def _check_references(snapshot: _Snapshot, interpreter: RecordedInterpreter) -> None:
    """Raise ValueError unless all places and threads in a snapshot's rows are known."""
    threads, places = references(snapshot)
    unknown = threads - {account["number"] for account in snapshot["accounts"]} - interpreter.threads.keys()
    if unknown:
        raise ValueError(f"a snapshot must refer to described threads, got {unknown.pop()}")
    check_places(places, len(interpreter.places))


def references(snapshot: _Snapshot) -> tuple[set[int], set[int]]:
    """Return the numbers of all threads and places in a snapshot's rows.

    Raises
    ------
    ValueError
        If an account is there twice.
    """
    if len({account["number"] for account in snapshot["accounts"]}) != len(snapshot["accounts"]):
        raise ValueError("an account must be in a snapshot only once")
    places: set[int | None] = {site[0] for site in snapshot["sites"]}
    threads: set[int | None] = set()
    for waiter, holder, place, _ in snapshot["blame"]:
        threads |= {waiter, holder}
        places.add(place)
    for stall in snapshot["stalls"]:
        threads |= {stall[0], stall[2]}
        places |= {stall[1], stall[3], stall[7]}
    threads |= {callback[0] for callback in snapshot["callbacks"]}
    for holder, ended, looked, *_ in snapshot["looks"]:
        threads.add(holder)
        places |= {ended, looked}
    pauses = snapshot["pauses"]
    if pauses is not None:
        threads |= {row[0] for row in (*pauses["sums"], *pauses["longest"], *pauses["looks"])}
        places |= {place for row in pauses["sums"] for place in row[1:3]}
        places |= {row[1] for row in pauses["longest"]}
        places |= {place for row in pauses["looks"] for place in row[1:3]}
    return {one for one in threads if one is not None}, {one for one in places if one is not None}


def check_places(places: set[int], described: int) -> None:
    """Raise ValueError unless all these places are among those that are described."""
    beyond = [place for place in places if place >= described]
    if beyond:
        raise ValueError(f"a snapshot must refer to described places, got {beyond[0]} of {described}")


def _object(payload: bytes, kind: str) -> dict[str, Any]:
    try:
        document = json.loads(payload.decode("utf-8", "surrogatepass"))
    except RecursionError:
        raise ValueError(f"{kind} must not nest so deeply") from None
    except ValueError as error:
        raise ValueError(f"{kind} must be JSON: {error}") from None
    if not isinstance(document, dict):
        raise ValueError(f"{kind} must be an object")
    return document


def _checked_meta(payload: bytes) -> dict[str, Any]:
    meta = _object(payload, "META")
    for key, kind in _META.items():
        if type(meta.get(key)) is not kind:
            raise ValueError(f"{key!r} in META must be of type {kind.__name__}")
    if not all(isinstance(argument, str) for argument in meta["argv"]):
        raise ValueError("'argv' in META must be strings")
    if type(meta.get("host", "")) is not str:
        raise ValueError("'host' in META must be a string if given")
    codec.decode(Environment, meta["environment"], "environment in META")
    return meta


def _checked_done(payload: bytes) -> dict[str, Any]:
    done = _object(payload, "DONE")
    if type(done.get("reason")) is not str or type(done.get("signal", 0)) is not int:
        raise ValueError("DONE must have a 'reason', and 'signal' must be a number if given")
    return done


class _Chunks:
    """The chunks of a file, as (offset, type, payload), up to `end` or to where the file ends.

    Attributes
    ----------
    offset : int
        End of the last complete chunk so far.
    cut : bool
        Whether the last chunk is incomplete. Zeros up to the end count as that: a power failure leaves them.
    """

    def __init__(self, path: str, file: BinaryIO, end: int | None = None) -> None:
        self._path = path
        self._file = file
        self._end = os.fstat(file.fileno()).st_size if end is None else end
        self.offset = native.HEADER_SIZE
        self.cut = False

    def __iter__(self) -> Iterator[tuple[int, bytes, bytes]]:
        with _naming(self._path, 0):
            native.check_header(self._file.read(native.HEADER_SIZE))
        while self.offset < self._end:
            with _naming(self._path, self.offset):
                found = self._next()
            if found is None:
                self.cut = True
                return
            header, payload = found
            yield self.offset, header[:4], payload
            self.offset += len(header) + len(payload)

    def _next(self) -> tuple[bytes, bytes] | None:
        header = self._file.read(native.CHUNK_HEADER_SIZE)
        if not any(header) and self._only_zeros_follow():
            return None
        size = native.chunk_size(header, self._end - self.offset)
        if size is None:
            return None
        payload = self._file.read(size)
        if len(payload) < size:
            return None
        if not native.is_intact(header, payload):
            raise ValueError("the checksum of the chunk is wrong")
        return header, payload

    def _only_zeros_follow(self) -> bool:
        while piece := self._file.read(_PIECE):
            if piece.count(0) != len(piece):
                return False
            if self._file.tell() - self.offset > _ZEROS:  # a sparse file's hole may have any size
                return True
        return True


def beginning_of(path: str | os.PathLike[str]) -> bytes:
    """Return the first 64 bytes of a regular file: a recording begins with :data:`MAGIC`.

    Raises
    ------
    FormatError
        If it is not a regular file.
    OSError
        If it can't be read.
    """
    with open_regular(path, "a recording") as file:
        return file.read(64)


def _open_file(path: str, expected: tuple[int, int] | None = None, beginning: bytes = b"") -> BinaryIO:
    """Open a recording, which must be the file `expected` (device, inode), if given."""
    file = open_regular(path, "a recording")
    if expected not in (None, _identity(file)) or not _beginning(file).startswith(beginning):
        file.close()
        raise _replaced(path)
    return file


def _replaced(path: str) -> FormatError:
    return FormatError(f"{path!r} was replaced by another file")


def _beginning(file: BinaryIO) -> bytes:
    found = file.read(native.HEADER_SIZE + native.CHUNK_HEADER_SIZE)
    file.seek(0)
    return found


def _identity(file: BinaryIO) -> tuple[int, int]:
    status = os.fstat(file.fileno())
    return status.st_dev, status.st_ino


@contextlib.contextmanager
def _naming(path: str, offset: int) -> Iterator[None]:
    """Turn a rule's ValueError into a FormatError with file and offset."""
    try:
        yield
    except ValueError as error:
        if offset == 0:
            raise FormatError(f"{path!r}: {error}") from None
        raise FormatError(f"{path!r}, the chunk at byte {offset}: {error}") from None
