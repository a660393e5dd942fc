"""Merge the reports of many processes into one, one after the other, in bounded memory.

Sums and histograms are exact. Threads are told by kind (``pool_N``), since native identifiers mean nothing
beyond a process. Of tables that grow too long the largest rows are kept; the others are summed as "(others)".
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace
from operator import attrgetter
from typing import TYPE_CHECKING

from gilprobe.errors import InvalidValueError
from gilprobe.model.distribution import Distribution
from gilprobe.model.labels import OTHER_LABELS, LabelBlame, LabelTotals
from gilprobe.model.locks import Lock, LockWait, LockWaiter
from gilprobe.model.pauses import Collection
from gilprobe.model.thread_kind import thread_kind
from gilprobe.model.traced_process import TracedProcess, contended, traces_gil, waited_ns
from gilprobe.report import (
    OTHERS,
    Blame,
    Frame,
    HostLevel,
    LoopTask,
    OwnGil,
    ProcessLevel,
    Report,
    Site,
    Stack,
    ThreadAccount,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
    from typing import Any

    from gilprobe.model.environment import Environment
    from gilprobe.report import Culprit

    _Key = tuple[Any, ...]

MOST_ROWS = 4000
"""Limit of rows of each table of sums."""

MOST_PROCESSES = 1000
"""Limit of rows of processes."""

_MOST_LONGEST = 256
"""Limit of longest waits, pauses and callbacks."""

_MOST_CULPRITS = 24
"""Number of processes whose culprit is told: those whose threads waited most."""

_MOST_DOUBTS = 100
_MOST_TEXT = 400
_MOST_SUM = 2**63 - 1
"""What is saved must be read again: numbers of a file fit into 64 bits."""

_NO_NAME = "(without a name)"
"""Stands for the name of a lock that only its address tells from others, which means nothing elsewhere."""

_ACCOUNT_SUMS = (
    *("lifetime_ns", "hold_ns", "wait_ns", "off_ns", "acquisitions", "contended_acquisitions"),
    *("forced_releases", "voluntary_releases"),
)
_REPORT_SUMS = (
    *("elapsed_ns", "held_ns", "contended_ns", "handoffs", "dropped_events"),
    *("looks", "looks_unseen", "unshared_wait_ns"),
)


class _Durations:
    """A sum of distributions."""

    __slots__ = ("buckets", "count", "max_ns", "total_ns")

    def __init__(self) -> None:
        self.count = self.total_ns = self.max_ns = 0
        self.buckets: dict[int, int] = {}

    def add(self, other: Distribution) -> None:
        self.count += other.count
        self.total_ns += other.total_ns
        self.max_ns = max(self.max_ns, other.max_ns)
        buckets = self.buckets
        for bucket, number in other.buckets:
            buckets[bucket] = buckets.get(bucket, 0) + number

    def told(self) -> Distribution:
        return Distribution(self.count, self.total_ns, self.max_ns, tuple(sorted(self.buckets.items())))


def _together(parts: Iterable[Distribution]) -> Distribution:
    whole = _Durations()
    for part in parts:
        whole.add(part)
    return whole.told()


class _SumTable:
    """Rows of sums by key.

    Parameters
    ----------
    columns : int
        Numbers of a row, of which the last `largest` are not added: the largest counts.
    other : callable
        Returns the key of the row in which one that falls out is summed.
    most : int
        Limit of rows.
    """

    def __init__(
        self, columns: int, other: Callable[[_Key], _Key], *, largest: int = 0, most: int = MOST_ROWS
    ) -> None:
        self.rows: dict[_Key, list[Any]] = {}
        self.fell_out = False
        self._columns, self._sums, self._other, self._most = columns, columns - largest, other, most

    def add(self, key: _Key, numbers: Sequence[Any]) -> None:
        row = self.rows.get(key)
        if row is None:
            row = self.rows[key] = [0] * self._columns
        for at in range(self._sums):
            row[at] += numbers[at]
        for at in range(self._sums, self._columns):
            row[at] = max(row[at], numbers[at])

    def trim(self, weight: Callable[[list[Any]], int], *, last: bool = False) -> None:
        """Sum the smallest rows up, when there are twice as many as may stay, or at last too many."""
        if len(self.rows) <= (self._most if last else 2 * self._most):
            return
        ranked = sorted(self.rows.items(), key=lambda row: weight(row[1]), reverse=True)
        self.rows = dict(ranked[: self._most])
        for key, numbers in ranked[self._most :]:
            self.fell_out = True
            self.add(self._other(key), numbers)

    def ranked(self, weight: Callable[[list[Any]], int]) -> Iterator[tuple[_Key, list[Any]]]:
        """Return the rows that stay, the largest first."""
        self.trim(weight, last=True)
        return iter(sorted(self.rows.items(), key=lambda row: (-weight(row[1]), str(row[0]))))


class _Longest:
    """The longest of something, of all processes."""

    def __init__(self, length: str) -> None:
        self._of = attrgetter(length)
        self._rows: list[Any] = []

    def add(self, rows: Iterable[Any], label: Callable[[Any], Any]) -> None:
        """Add rows; `label` names the process in one that stays."""
        least = self._of(self._rows[-1]) if len(self._rows) >= _MOST_LONGEST else -1
        longer = [row for row in rows if self._of(row) > least]
        longer.sort(key=self._of, reverse=True)
        self._rows += map(label, longer[:_MOST_LONGEST])
        self._rows.sort(key=self._of, reverse=True)
        del self._rows[_MOST_LONGEST:]

    def told(self) -> tuple[Any, ...]:
        return tuple(self._rows)


class _Account:
    """The threads of one kind."""

    __slots__ = ("cpu_ns", "ended", "hold", "merged", "off_cpu_ns", "sums", "wait")

    def __init__(self) -> None:
        self.merged, self.ended = 0, True
        self.sums = dict.fromkeys(_ACCOUNT_SUMS, 0)
        self.cpu_ns: int | None = 0
        self.off_cpu_ns: int | None = 0
        self.hold, self.wait = _Durations(), _Durations()

    def add(self, thread: ThreadAccount | _Account) -> None:
        if isinstance(thread, _Account):
            sums, hold, wait, cpu_ns = thread.sums, thread.hold.told(), thread.wait.told(), thread.cpu_ns
            off_cpu_ns = thread.off_cpu_ns
        else:
            sums = {name: getattr(thread, name) for name in _ACCOUNT_SUMS}
            hold, wait, cpu_ns = thread.hold, thread.wait, thread.hold_cpu_ns
            off_cpu_ns = thread.off_cpu_ns
        self.merged += thread.merged
        self.ended &= thread.ended
        for name, number in sums.items():
            self.sums[name] += number
        self.cpu_ns = _added(self.cpu_ns, cpu_ns)
        self.off_cpu_ns = _added(self.off_cpu_ns, off_cpu_ns)
        self.hold.add(hold)
        self.wait.add(wait)

    def told(self, kind: str, interpreter: int) -> ThreadAccount:
        return ThreadAccount(
            native_id=0,
            name=kind,
            ended=self.ended,
            interpreter=interpreter,
            merged=self.merged,
            **self.sums,
            hold=self.hold.told(),
            wait=self.wait.told(),
            hold_cpu_ns=self.cpu_ns,
            off_cpu_ns=self.off_cpu_ns,
        )


def _added(sum_: int | None, ns: int | None) -> int | None:
    """Return a sum that is known if all its parts are."""
    return None if sum_ is None or ns is None else sum_ + ns


class _Accounts:
    """All threads, by kind and interpreter."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, int], _Account] = {}

    def add(self, threads: Iterable[ThreadAccount]) -> None:
        for thread in threads:
            self._row(thread_kind(thread.name), thread.interpreter).add(thread)
        if len(self.rows) > 2 * MOST_ROWS:
            self._trim()

    def _row(self, kind: str, interpreter: int) -> _Account:
        row = self.rows.get((kind, interpreter))
        if row is None:
            row = self.rows[kind, interpreter] = _Account()
        return row

    def _trim(self) -> None:
        ranked = sorted(self.rows.items(), key=lambda row: row[1].sums["hold_ns"] + row[1].sums["wait_ns"])
        for key, row in ranked[: len(ranked) - MOST_ROWS]:
            del self.rows[key]
            self._row(OTHERS, 0 if key[1] == 0 else -1).add(row)

    def told(self) -> tuple[ThreadAccount, ...]:
        rows = [row.told(*key) for key, row in self.rows.items()]
        return tuple(sorted(rows, key=lambda row: (-row.wait_ns - row.hold_ns, row.name)))


class _Host:
    """The processes of one machine."""

    def __init__(self) -> None:
        self.sums = [0] * 6  # processes, threads, elapsed, held, contended, waited
        self.hold, self.wait = _Durations(), _Durations()
        self.first_ns = self.last_ns = 0
        self.clock: tuple[int, int] | None = None

    def add(self, sums: Sequence[int], hold: Distribution, wait: Distribution) -> None:
        for at, number in enumerate(sums):
            self.sums[at] += number
        self.hold.add(hold)
        self.wait.add(wait)

    def between(self, first_ns: int, last_ns: int) -> None:
        if first_ns:
            self.first_ns = min(self.first_ns or first_ns, first_ns)
            self.last_ns = max(self.last_ns, last_ns)

    def told(self, host: str) -> HostLevel:
        offset, error = self.clock or (None, None)
        times = self.first_ns, self.last_ns, offset, error
        told: list[Any] = [*self.sums, self.hold.told(), self.wait.told(), *times]
        return HostLevel(host, *told)


class Merger:
    """Merges reports: :meth:`add` each, then call :meth:`finished`."""

    def __init__(self) -> None:
        self._sums = dict.fromkeys(_REPORT_SUMS, 0)
        self._total = 0
        self._threads = _Accounts()
        self._sites = _SumTable(7, lambda _: (OTHERS, "", 0, ""))  # last: processes that know no CPU time
        self._stacks = _SumTable(5, lambda _: (((OTHERS, "", 0),),))
        self._blame = _SumTable(3, lambda key: (key[0], OTHERS, OTHERS, "", 0, "", None, None))
        self._tasks = _SumTable(3, lambda _: (OTHERS, "", "", 0))
        self._labels = _SumTable(5, lambda _: (OTHER_LABELS,))
        self._label_blame = _SumTable(1, lambda key: (OTHER_LABELS, key[1] and OTHER_LABELS))
        self._own_gils = _SumTable(5, lambda _: (-1,), most=1000)
        self._collections = _SumTable(
            7, lambda key: (OTHERS, 0, key[2], "", "", 0), largest=1
        )  # the longest counts
        self._locks: dict[_Key, tuple[_Durations, list[int]]] = {}
        self._lock_waits = _SumTable(1, lambda key: (*key[:2], OTHERS, "", 0, OTHERS, OTHERS, "", 0))
        self._lock_waiters = _SumTable(4, lambda key: (*key[:2], OTHERS, "", 0), largest=1)
        self._stalls, self._pauses = _Longest("wait_ns"), _Longest("pause_ns")
        self._callbacks, self._open = _Longest("duration_ns"), _Longest("hold_ns")
        self._has = dict.fromkeys(("own_gils", "still_held", "collections", "longest_pauses", "locks"), False)
        self._processes: list[ProcessLevel] = []
        self._others: ProcessLevel | None = None
        self._hosts: dict[str, _Host] = {}
        self._worst: tuple[int, Report] | None = None
        self._doubts: Counter[str] = Counter()
        self._first_with: dict[str, str] = {}
        self._left_out: list[str] = []
        self._not_named = 0
        self._environments: dict[tuple[str, ...], Environment] = {}
        self._known: set[Hashable] = set()
        self._twice = 0

    @property
    def processes(self) -> int:
        """Number of processes so far."""
        return sum(host.sums[0] for host in self._hosts.values())

    @property
    def first_left_out(self) -> list[str]:
        """Why files could not be read: the first three."""
        return self._left_out[:3]

    def leave_out(self, why: str) -> None:
        """Take note of a file that can't be read."""
        if len(self._left_out) < _MOST_DOUBTS:
            self._left_out.append(why)
        else:
            self._not_named += 1

    def set_clock(self, host: str, offset_ns: int, error_ns: int) -> None:
        """Tell a host's clock: by how much it is ahead of this process's, and how far the truth may be."""
        if host in self._hosts:
            self._hosts[host].clock = offset_ns, error_ns

    def add(self, process: TracedProcess) -> None:
        """Add a process, or all of a merged report.

        Raises
        ------
        InvalidValueError
            If the sums would not fit into 64 bits; nothing is then added.
        """
        report = process.report
        total = self._total + _all_numbers(report)
        if total > _MOST_SUM:
            raise InvalidValueError("the sums of all processes must fit into 64 bits")
        self._total = total
        for name in _REPORT_SUMS:
            self._sums[name] += getattr(report, name)
        self._add_doubts(process)
        self._environments.setdefault(_kind_of(report.environment), report.environment)
        if len(self._environments) > _MOST_DOUBTS:
            self._environments.popitem()
        self._threads.add(report.threads)
        self._add_tables(report)
        self._add_locks(report)
        self._add_longest(process)
        if report.processes is None:
            self._add_level(process)
        else:
            self._add_levels(report)

    def _add_doubts(self, process: TracedProcess) -> None:
        for doubt in dict.fromkeys(process.doubts if process.report.processes is None else ()):
            if doubt in self._doubts or len(self._doubts) < _MOST_DOUBTS:
                self._doubts[doubt] += 1
                self._first_with.setdefault(doubt, process.source)
        if process.report.processes is not None:  # each tells its processes itself
            self._left_out += process.report.warnings[: _MOST_DOUBTS - len(self._left_out)]

    # The levels.

    def _add_level(self, process: TracedProcess) -> None:
        report = process.report
        waited = waited_ns(process)
        threads = sum(thread.merged for thread in report.threads)
        hold = _together(thread.hold for thread in report.threads)
        wait = _together(thread.wait for thread in report.threads)
        sums = (1, threads, report.elapsed_ns, report.held_ns, report.contended_ns, waited)
        host = self._host(process.host)
        host.add(sums, hold, wait)
        host.between(process.started_unix_ns, process.started_unix_ns + report.elapsed_ns)
        identity = process.host, process.pid, process.started_unix_ns
        self._twice += bool(process.pid) and identity in self._known
        if len(self._known) < 100 * MOST_PROCESSES:
            self._known.add(identity)
        suffers = contended(process)
        self._keep(
            ProcessLevel(
                source=process.source[:_MOST_TEXT],
                host=process.host[:_MOST_TEXT],
                pid=process.pid,
                command=" ".join(process.argv)[:_MOST_TEXT],
                started_unix_ns=process.started_unix_ns,
                complete=process.complete,
                processes=1,
                threads=threads,
                elapsed_ns=report.elapsed_ns,
                held_ns=report.held_ns,
                contended_ns=report.contended_ns,
                waited_ns=waited,
                wait=wait,
                culprit=_culprit(report) if suffers and self._is_among_worst(waited) else None,
            )
        )
        if suffers and (self._worst is None or waited > self._worst[0]):
            self._worst = waited, _shortened(report)

    def _is_among_worst(self, waited: int) -> bool:
        told = [level.waited_ns for level in self._processes[:_MOST_CULPRITS]]
        return len(told) < _MOST_CULPRITS or waited > told[-1]

    def _keep(self, level: ProcessLevel) -> None:
        """Keep the processes whose threads waited most, in order."""
        rows = self._processes
        at = len(rows)
        while at and rows[at - 1].waited_ns < level.waited_ns:
            at -= 1
        rows.insert(at, level)
        if len(rows) > _MOST_CULPRITS and rows[_MOST_CULPRITS].culprit is not None:
            rows[_MOST_CULPRITS] = replace(rows[_MOST_CULPRITS], culprit=None)
        if len(rows) > MOST_PROCESSES:
            self._sum_up(rows.pop())

    def _sum_up(self, level: ProcessLevel) -> None:
        others = self._others
        self._others = ProcessLevel(
            source=OTHERS,
            host="",
            pid=0,
            command="",
            started_unix_ns=0,
            complete=level.complete and (others is None or others.complete),
            wait=level.wait if others is None else others.wait.merge(level.wait),
            **{
                name: getattr(level, name) + (0 if others is None else getattr(others, name))
                for name in ("processes", "threads", "elapsed_ns", "held_ns", "contended_ns", "waited_ns")
            },
        )

    def _add_levels(self, report: Report) -> None:
        """Add the levels of a merged report."""
        for level in report.processes or ():
            if level.source == OTHERS:
                self._sum_up(level)
            else:
                self._keep(level)
        for host in report.hosts or ():
            sums = (host.processes, host.threads, host.elapsed_ns, host.held_ns, host.contended_ns)
            self._host(host.host).add((*sums, host.waited_ns), host.hold, host.wait)
            self._host(host.host).between(host.first_unix_ns, host.last_unix_ns)
        if report.worst is not None and report.processes:
            waited = report.processes[0].waited_ns
            if self._worst is None or waited > self._worst[0]:
                self._worst = waited, _shortened(report.worst)

    def _host(self, name: str) -> _Host:
        name = name[:_MOST_TEXT]
        if name not in self._hosts and len(self._hosts) >= MOST_PROCESSES:
            name = OTHERS
        return self._hosts.setdefault(name, _Host())

    # The tables.

    def _add_tables(self, report: Report) -> None:
        kinds: dict[str, str] = {}

        def kind(name: str) -> str:
            if name not in kinds:
                kinds[name] = thread_kind(name)
            return kinds[name]

        for site in report.sites:
            self._sites.add(
                (site.function, site.filename, site.line, site.callee),
                (
                    *(site.releases, site.hold_ns, site.wait_ns, site.caused_ns, site.looks),
                    *(site.hold_cpu_ns or 0, site.hold_cpu_ns is None),
                ),
            )
        self._sites.trim(_second)
        stacks = self._add_stacks(report)
        tasks = self._add_tasks(report)
        self._add_blame(report, kind, stacks, tasks)
        self._add_labels(report)
        for gil in report.own_gils or ():
            numbers = (gil.lifetime_ns, gil.held_ns, gil.contended_ns, gil.wait_ns, gil.handoffs)
            self._own_gils.add((gil.interpreter,), numbers)
        self._own_gils.trim(_first)
        for row in report.collections or ():
            self._collections.add(
                (
                    *(kind(row.thread), row.interpreter, row.generation),
                    *(row.function, row.filename, row.line),
                ),
                (
                    *(row.count, row.pause_ns, row.held_ns, row.caused_ns),
                    *(row.collected, row.uncollectable, row.longest_ns),
                ),
            )
        self._collections.trim(_second)
        for name in self._has:
            self._has[name] |= getattr(report, name) is not None

    def _add_stacks(self, report: Report) -> list[_Key]:
        """Add the stacks; return their keys. Stacks share frames, so each frame is taken apart once."""
        known: dict[int, tuple[str, str, int]] = {}
        keys: list[_Key] = []
        for stack in report.stacks:
            levels = []
            for frame in stack.frames:
                level = known.get(id(frame))
                if level is None:
                    level = known[id(frame)] = (frame.function, frame.filename, frame.line)
                levels.append(level)
            keys.append((tuple(levels),))
            numbers = (stack.releases, stack.hold_ns, stack.wait_ns, stack.caused_ns, stack.looks)
            self._stacks.add(keys[-1], numbers)
        self._stacks.trim(_hold_and_caused)
        return keys

    def _add_tasks(self, report: Report) -> list[_Key]:
        keys: list[_Key] = []
        for task in report.tasks:
            keys.append((_task_kind(task.name), task.function, task.filename, task.line))
            self._tasks.add(keys[-1], (task.hold_ns, task.caused_ns, task.looks))
        self._tasks.trim(_first)
        return keys

    def _add_labels(self, report: Report) -> None:
        """Add the rows of labels. Processes without any are not in them."""
        for row in report.labels:
            self._labels.add((row.name,), (row.hold_ns, row.wait_ns, row.off_ns, row.holds, row.waits))
        self._labels.trim(lambda row: row[0] + row[1])
        for blame in report.label_blame:
            self._label_blame.add((blame.waiter, blame.holder), (blame.wait_ns,))
        self._label_blame.trim(_first)

    def _add_blame(
        self, report: Report, kind: Callable[[str], str], stacks: list[_Key], tasks: list[_Key]
    ) -> None:
        """Add who waited for whom. Waiters of one holder share looks, processes don't."""
        rows: dict[tuple[_Key, str, int], list[Any]] = {}
        for row in report.blame:
            stack = stacks[row.stack] if row.stack is not None and 0 <= row.stack < len(stacks) else None
            task = tasks[row.task] if row.task is not None and 0 <= row.task < len(tasks) else None
            place = row.function, row.filename, row.line, row.callee
            key = kind(row.waiter), kind(row.holder), *place, stack, task
            cell = rows.setdefault((key, row.holder, row.holder_id), [0, 0, 0.0])
            cell[0] += row.wait_ns
            cell[1] = max(cell[1], row.looks)
            cell[2] = max(cell[2], row.effective_looks)
        for (key, _, _), cell in rows.items():
            self._blame.add(key, cell)
        self._blame.trim(_first)

    def _add_locks(self, report: Report) -> None:
        keys: list[_Key] = []
        for lock in report.locks or ():
            named = lock.name or (_NO_NAME if lock.address else "")
            key: _Key = (lock.kind, lock.type, named, lock.owner, lock.part)
            if key not in self._locks and len(self._locks) >= MOST_ROWS:
                key = (lock.kind, "", OTHERS, "", "")
            keys.append(key)
            durations, spun = self._locks.setdefault(key, (_Durations(), [0]))
            durations.add(lock.wait)
            spun[0] += lock.spun_ns
        for row in report.lock_waits or ():
            self._lock_waits.add(
                (
                    *(keys[row.lock], thread_kind(row.waiter)),
                    *(row.waiter_function, row.waiter_filename, row.waiter_line),
                    *(thread_kind(row.holder), row.function, row.filename, row.line),
                ),
                (row.wait_ns,),
            )
        self._lock_waits.trim(_first)
        for waiter in report.lock_waiters or ():
            place = waiter.function, waiter.filename, waiter.line
            self._lock_waiters.add(
                (keys[waiter.lock], thread_kind(waiter.waiter), *place),
                (waiter.waits, waiter.wait_ns, waiter.spun_ns, waiter.longest_ns),
            )
        self._lock_waiters.trim(_second)

    def _add_longest(self, process: TracedProcess) -> None:
        report = process.report
        merged = report.processes is not None
        where = "" if merged else f" ({_label(process)})"

        def labelled(*names: str) -> Callable[[Any], Any]:
            def label(row: Any) -> Any:
                return replace(
                    row, **{name: f"{getattr(row, name)}{where}" for name in names if getattr(row, name)}
                )

            return label

        self._stalls.add(report.longest_waits, labelled("waiter", "holder"))
        self._pauses.add(report.longest_pauses or (), labelled("thread"))
        self._callbacks.add(report.longest_callbacks, labelled("thread"))
        self._open.add(report.still_held or (), labelled("thread"))

    # The end.

    def finished(self) -> Report:
        """Return the merged report.

        Raises
        ------
        InvalidValueError
            If no process was added.
        """
        if not self._hosts:
            raise InvalidValueError("there must be at least one report to merge")
        tasks = list(self._tasks.ranked(_second))
        stacks = list(self._stacks.ranked(_second))
        locks = sorted(self._locks, key=lambda key: (-self._locks[key][0].total_ns, key))
        number_of_lock = {key: number for number, key in enumerate(locks)}
        hosts = [host.told(name) for name, host in self._hosts.items()]
        has = self._has
        labels, label_blame = self._told_labels()
        frames: dict[tuple[str, str, int], Frame] = {}
        sums: dict[str, Any] = dict(self._sums)
        return Report(
            **sums,
            threads=self._threads.told(),
            sites=tuple(_site(key, row) for key, row in self._sites.ranked(_second)),
            stacks=tuple(_stack(key, row, frames) for key, row in stacks),
            blame=self._told_blame(
                {key: number for number, (key, _) in enumerate(stacks)},
                {key: number for number, (key, _) in enumerate(tasks)},
            ),
            longest_waits=self._stalls.told(),
            warnings=self._warnings(hosts),
            environment=self._environment(),
            own_gils=tuple(OwnGil(*key, *row) for key, row in self._own_gils.ranked(_first)) or None,
            still_held=self._open.told() or None,
            collections=self._told_collections() if has["collections"] else None,
            longest_pauses=self._pauses.told() if has["longest_pauses"] else None,
            tasks=tuple(LoopTask(*key, *row) for key, row in tasks),
            longest_callbacks=self._callbacks.told(),
            labels=labels,
            label_blame=label_blame,
            locks=tuple(self._lock(key) for key in locks) if has["locks"] else None,
            lock_waits=self._told_lock_waits(number_of_lock) if has["locks"] else None,
            lock_waiters=self._told_lock_waiters(number_of_lock) if has["locks"] else None,
            processes=(*self._processes, *([] if self._others is None else [self._others])),
            hosts=tuple(sorted(hosts, key=lambda host: (-host.waited_ns, host.host))),
            worst=None if self._worst is None else self._worst[1],
        )

    def _told_labels(self) -> tuple[tuple[LabelTotals, ...], tuple[LabelBlame, ...]]:
        totals = self._labels.ranked(lambda row: row[0] + row[1])
        blame = self._label_blame.ranked(_first)
        return (
            tuple(LabelTotals(*key, *row) for key, row in totals),
            tuple(LabelBlame(*key, *row) for key, row in blame),
        )

    def _told_blame(self, stacks: dict[_Key, int], tasks: dict[_Key, int]) -> tuple[Blame, ...]:
        rows: dict[_Key, list[Any]] = defaultdict(lambda: [0, 0, 0.0])
        for (waiter, holder, *place, stack, task), (wait_ns, looks, effective) in self._blame.ranked(_first):
            # a stack or task that fell out: the place stays
            cell = rows[waiter, holder, *place, stacks.get(stack), tasks.get(task)]
            cell[0], cell[1], cell[2] = cell[0] + wait_ns, cell[1] + looks, cell[2] + effective
        told = []
        for key, (wait_ns, looks, effective) in rows.items():
            waiter, holder, function, filename, line, callee, stack, task = key
            fields: list[Any] = [waiter, 0, holder, 0, function, filename, line, stack]
            fields += [wait_ns, callee, looks, effective, task]
            told.append(Blame(*fields))
        return tuple(sorted(told, key=lambda row: -row.wait_ns))

    def _told_collections(self) -> tuple[Collection, ...]:
        told = []
        for key, sums in self._collections.ranked(_second):
            thread, interpreter, generation, function, filename, line = key
            count, pause_ns, held_ns, caused_ns, collected, uncollectable, longest_ns = sums
            fields: list[Any] = [thread, 0, interpreter, generation, function, filename, line, count]
            fields += [pause_ns, longest_ns, held_ns, caused_ns, collected, uncollectable]
            told.append(Collection(*fields))
        return tuple(told)

    def _lock(self, key: _Key) -> Lock:
        durations, (spun_ns,) = self._locks[key]
        kind, type_, name, owner, part = key
        return Lock(kind, type_, name, owner, 0, durations.told(), spun_ns, part)

    def _told_lock_waits(self, number: dict[_Key, int]) -> tuple[LockWait, ...]:
        told = []
        for (lock, waiter, *places), (wait_ns,) in self._lock_waits.ranked(_first):
            waited_at, holder, released_at = places[:3], places[3], places[4:]
            fields: list[Any] = [number[lock], waiter, 0, *waited_at, holder, 0, *released_at, wait_ns]
            told.append(LockWait(*fields))
        return tuple(told)

    def _told_lock_waiters(self, number: dict[_Key, int]) -> tuple[LockWaiter, ...]:
        told = []
        for (lock, waiter, *place), sums in self._lock_waiters.ranked(_second):
            waits, wait_ns, spun_ns, longest_ns = sums
            fields: list[Any] = [number[lock], waiter, 0, *place, waits, wait_ns, longest_ns, spun_ns]
            told.append(LockWaiter(*fields))
        return tuple(told)

    def _environment(self) -> Environment:
        """Return the first with a GIL, if there is one: it decides what a report is about."""
        found = list(self._environments.values())
        return next((one for one in found if one.gil_enabled), found[0])

    def _warnings(self, hosts: Sequence[HostLevel]) -> tuple[str, ...]:
        warnings = [
            f"{self._first_with[doubt] if number == 1 else f'{number} processes'}: {doubt}"
            for doubt, number in self._doubts.most_common()
        ]
        warnings += self._left_out
        if self._not_named:
            warnings.append(f"{self._not_named} more files are left out")
        if len(self._environments) > 1:
            listed = sorted(" ".join(kind) for kind in self._environments)
            warnings.append(f"the processes ran on different interpreters: {'; '.join(listed[:8])}")
        if self._twice:
            number = f"{self._twice} recordings have" if self._twice > 1 else "a recording has"
            warnings.append(f"{number} the same process and start as another one: a copy counts twice")
        tables = (self._sites, self._stacks, self._blame, self._lock_waits, self._lock_waiters)
        if any(table.fell_out for table in tables):
            warnings.append(
                f"tables keep their {MOST_ROWS} largest rows, the others are summed as {OTHERS}: a small row "
                "that fell out before it grew is too low"
            )
        return (*warnings, *_about_clocks(hosts))


def _about_clocks(hosts: Sequence[HostLevel]) -> list[str]:
    """Return what can't be compared: each host has its own clock."""
    if len(hosts) < 2:
        return []
    told = [host for host in hosts if host.clock_offset_ns is not None and host.clock_error_ns is not None]
    unknown = len(hosts) - len(told)
    doubts = [
        f"the clock of {host.host} was {(host.clock_offset_ns or 0) / 1e6:+.3f} ms off this one's, "
        f"known to {(host.clock_error_ns or 0) / 1e6:.3f} ms"
        for host in told[:_MOST_CULPRITS]
    ]
    if unknown > (1 if told else 0):
        doubts.append(
            f"times of day are those of each host's own clock ({unknown} hosts); how far these are apart is "
            "not known, so times of two hosts can't be compared"
        )
    return doubts


def _first(row: list[Any]) -> int:
    number: int = row[0]
    return number


def _second(row: list[Any]) -> int:
    number: int = row[1]
    return number


def _hold_and_caused(row: list[Any]) -> int:
    number: int = row[1] + row[3]
    return number


def _site(key: _Key, row: list[Any]) -> Site:
    releases, hold_ns, wait_ns, caused_ns, looks, cpu_ns, without_cpu = row
    function, filename, line, callee = key
    cpu = None if without_cpu else cpu_ns
    return Site(function, filename, line, releases, hold_ns, wait_ns, caused_ns, cpu, callee, looks)


def _stack(key: _Key, row: list[Any], known: dict[tuple[str, str, int], Frame]) -> Stack:
    frames = []
    for level in key[0]:
        if level not in known:
            known[level] = Frame(*level)
        frames.append(known[level])
    return Stack(tuple(frames), *row)


def _task_kind(name: str) -> str:
    """Return a task's name with N for each number, and without the number of its kind."""
    kind, times, number = name.rpartition(" x ")
    return thread_kind(kind if times and number.isdecimal() else name)


def _kind_of(found: Environment) -> tuple[str, ...]:
    build = "without a GIL" if not found.gil_enabled else found.build
    return found.implementation[:40], found.python[:40], build


def _label(process: TracedProcess) -> str:
    """Return a process's name in a row of another."""
    told = str(process.pid) if process.pid else process.source[:40]
    return f"{process.host[:40]}:{told}" if process.host else told


def _culprit(report: Report) -> Culprit | None:
    by_call = bool(report.stacks or report.looks)
    found = report.culprits("call" if by_call else "line") if traces_gil(report) else ()
    return found[0] if found and found[0].caused_ns > 0 else None


def _shortened(report: Report, rows: int = 500) -> Report:
    """Return a report with only so many rows, and the stacks that they need."""
    short = report.abridged(rows)
    needed = sorted({row.stack for row in short.blame if row.stack is not None})
    number = {stack: at for at, stack in enumerate(needed) if stack < len(short.stacks)}
    return replace(
        short,
        threads=_busiest(short.threads, rows),
        sites=_largest_sites(short.sites, rows),
        stacks=tuple(short.stacks[stack] for stack in number),
        blame=tuple(
            row if row.stack is None else replace(row, stack=number.get(row.stack)) for row in short.blame
        ),
        collections=None if short.collections is None else short.collections[:rows],
    )


def _busiest(threads: tuple[ThreadAccount, ...], rows: int) -> tuple[ThreadAccount, ...]:
    if len(threads) <= rows:
        return threads
    by_kind = _Accounts()
    by_kind.add(threads)
    return by_kind.told()


def _largest_sites(sites: tuple[Site, ...], rows: int) -> tuple[Site, ...]:
    wanted = {*sorted(sites, key=lambda site: -site.caused_ns)[:rows], *sites[:rows]}
    return tuple(site for site in sites if site in wanted)


def _all_numbers(report: Report) -> int:
    """Return a number that no sum of a merged report can exceed by this report's part."""
    total: int = sum(getattr(report, name) for name in _REPORT_SUMS)
    for thread in report.threads:
        total += sum(getattr(thread, name) for name in _ACCOUNT_SUMS) + (thread.hold_cpu_ns or 0)
        total += thread.hold.total_ns + thread.hold.count + thread.wait.total_ns + thread.wait.count
        total += thread.merged
    places: list[Site | Stack] = [*report.sites, *report.stacks]
    for place in places:
        total += place.releases + place.hold_ns + place.wait_ns + place.caused_ns + place.looks
    total += sum(site.hold_cpu_ns or 0 for site in report.sites)
    total += sum(row.wait_ns + row.looks for row in report.blame)
    total += sum(row.hold_ns + row.wait_ns + row.off_ns + row.holds + row.waits for row in report.labels)
    total += sum(row.wait_ns for row in report.label_blame)
    total += sum(task.hold_ns + task.caused_ns + task.looks for task in report.tasks)
    for row in report.collections or ():
        total += row.count + row.pause_ns + row.held_ns + row.caused_ns
        total += row.collected + row.uncollectable
    for gil in report.own_gils or ():
        total += gil.lifetime_ns + gil.held_ns + gil.contended_ns + gil.wait_ns + gil.handoffs
    for lock in report.locks or ():
        total += lock.wait.total_ns + lock.wait.count + lock.spun_ns
    total += sum(row.wait_ns for row in report.lock_waits or ())
    total += sum(row.waits + row.wait_ns + row.spun_ns for row in report.lock_waiters or ())
    levels: list[ProcessLevel | HostLevel] = [*(report.processes or ()), *(report.hosts or ())]
    for level in levels:
        total += level.processes + level.threads + level.elapsed_ns + level.held_ns + level.contended_ns
        total += level.waited_ns + level.wait.total_ns + level.wait.count
    return total
