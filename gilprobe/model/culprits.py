"""Rank what made threads wait for the GIL, by what people recognise: calls, functions, lines, threads."""

from __future__ import annotations

from collections import defaultdict

from gilprobe.errors import InvalidTypeError, InvalidValueError
from gilprobe.model.own_code import OwnCode, module_name
from gilprobe.model.share_interval import ShareInterval
from gilprobe.model.thread_kind import thread_kind
from gilprobe.report import OTHERS, Callee, Culprit, Frame

TYPE_CHECKING = False  # as in gilprobe/__init__.py: a recorded process loads no typing
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from gilprobe.report import Blame, By, LoopTask, Report

    _Where = int | tuple[str, str, int, str]
    """Number of a stack; without stacks a site with its callee."""

    _Key = tuple[str, str, int, str]
    """Function, file, line, and what was called: what a row is about, besides its threads."""

KINDS = ("call", "function", "line", "thread", "module", "task")
"""What rows can be about."""

_PLACES = 10_000
"""Of how many places all levels of the stack are looked at: work must be bounded, also for damaged files."""

_DRIVERS = 8
"""How many lines of own code, each of which drives the next, are told as one."""

_DRIVES = 8
"""A line drives what it calls if it takes at least one part in so many of what that takes."""

_ONLY = 10
"""Less than one part in so many of a function runs elsewhere if one line alone drives it."""


def rank(report: Report, by: By, own: Sequence[str]) -> tuple[Culprit, ...]:
    """Return the rows of :meth:`gilprobe.report.Report.culprits`."""
    if by not in KINDS:
        raise InvalidValueError(f"by must be one of {', '.join(KINDS)}, got {by!r}")
    if not isinstance(own, tuple | list) or not all(isinstance(folder, str) for folder in own):
        raise InvalidTypeError(f"own must be a sequence of folders, got {own!r}")
    places = _HeldPlaces(report)
    shares = _WaitShares(sum(thread.wait_ns for thread in report.threads), ShareInterval(places.certain))
    if by == "call":
        lines = _by_thread(places, _Calls(OwnCode(own), places).key, by)
        return tuple(sorted([_line_told(line, shares) for line in _gathered(lines)], key=_worst_first))
    if by in ("thread", "task"):
        sums = [(key, row) for _, key, row in _by_thread(places, _nothing, by)]
        order = _worst_first
    else:
        sums = _with_callers(places, {"function": _function, "line": _line, "module": _module}[by])
        order = _innermost_first
    return tuple(sorted([row.told(key, shares) for key, row in sums], key=order))


def _worst_first(row: Culprit) -> tuple[object, ...]:
    return (-row.caused_ns, row.function, row.filename, row.line, row.called, row.thread, row.task)


def _innermost_first(row: Culprit) -> tuple[object, ...]:
    return (-row.own_ns, *_worst_first(row))


class _HeldPlaces:
    """Where holders were while others waited.

    Attributes
    ----------
    behind : list of tuple
        Each holder (name, native identifier) with a place and the task that it ran, or None; what all threads
        waited for it there, nanoseconds; and the looks that tell it.
    certain : list of tuple
        For the interval of the same rows: nanoseconds, and how many looks of equal weight are as certain.
    """

    def __init__(self, report: Report) -> None:
        self._stacks = report.stacks
        self._tasks = report.tasks
        total: dict[tuple[str, int, _Where, LoopTask | None], list[int]] = {}
        effective: dict[tuple[str, int, _Where, LoopTask | None], float] = defaultdict(float)
        for row in report.blame:
            if row.holder and row.function != OTHERS:
                key = row.holder, row.holder_id, self._where(row), self._task(row)
                cell = total.setdefault(key, [0, 0])
                cell[0] += row.wait_ns
                cell[1] = max(cell[1], row.looks)  # waiters share looks
                effective[key] = max(effective[key], row.effective_looks or row.looks)
        self.behind = [
            ((holder, native_id), where, task, caused_ns, looks)
            for (holder, native_id, where, task), (caused_ns, looks) in total.items()
        ]
        self.certain = [(cell[0], effective[key]) for key, cell in total.items()]
        self._kinds: dict[str, str] = {}

    def kind(self, holder: tuple[str, int]) -> str:
        """Return the kind of thread that a holder is: its name without numbers."""
        name = holder[0]
        if name not in self._kinds:
            self._kinds[name] = thread_kind(name)
        return self._kinds[name]

    def _task(self, row: Blame) -> LoopTask | None:
        task = row.task
        return self._tasks[task] if task is not None and 0 <= task < len(self._tasks) else None

    def _where(self, row: Blame) -> _Where:
        stack = row.stack
        if stack is not None and 0 <= stack < len(self._stacks) and self._stacks[stack].frames:
            return stack
        return row.function, row.filename, row.line, row.callee

    def levels(self, where: _Where) -> tuple[Frame, ...]:
        """Return the levels of a place, the outermost first; a callee is the last."""
        if isinstance(where, int):
            return self._stacks[where].frames
        function, filename, line, callee = where
        frame = Frame(function, filename, line)
        return (frame, Frame(callee, "", 0)) if callee else (frame,)


class _WaitShares:
    """Makes shares of all waiting, with their intervals."""

    def __init__(self, waited_ns: int, interval: ShareInterval) -> None:
        self._waited_ns, self._interval = waited_ns, interval

    def of(self, row: _CulpritSum) -> tuple[float, int, float | None, float | None]:
        """Return a row's share, its looks, and the ends of its interval."""
        waited_ns = self._waited_ns
        around = self._interval.around(row.seen_ns, row.caused_ns - row.seen_ns) if waited_ns else None
        low, high = (None, None) if around is None else (min(end / waited_ns, 1.0) for end in around)
        return row.caused_ns / waited_ns if waited_ns else 0.0, row.looks, low, high


class _CulpritSum:
    """What is added up of one row."""

    __slots__ = ("caused_ns", "looks", "own_ns", "seen_ns", "tasks", "threads")

    def __init__(self) -> None:
        self.caused_ns = self.own_ns = self.seen_ns = self.looks = 0
        self.threads: set[tuple[str, int]] = set()
        self.tasks: set[str] = set()

    def add(self, caused_ns: int, seen_ns: int, looks: int) -> None:
        self.caused_ns += caused_ns
        self.seen_ns += seen_ns
        self.looks += looks

    def join(self, other: _CulpritSum) -> None:
        """Add another row, which has none of this one's waits."""
        self.add(other.caused_ns, other.seen_ns, other.looks)
        self.own_ns += other.own_ns
        self.threads |= other.threads
        self.tasks |= other.tasks

    def told(self, key: _Key, shares: _WaitShares, callees: tuple[Callee, ...] = ()) -> Culprit:
        task = next(iter(self.tasks), "") if len(self.tasks) <= 1 else f"{len(self.tasks)} tasks"
        told = (*key, self.caused_ns, self.own_ns, *shares.of(self), task, callees)
        return Culprit(_named(self.threads), *told)


def _named(threads: set[tuple[str, int]]) -> str:
    """Return the name of a thread, or of several whose names differ only in numbers; nothing without any."""
    names = {name for name, _ in threads}
    if not names:
        return ""
    kind = thread_kind(min(names)) if len(names) > 1 else min(names)
    return f"{kind} x {len(threads)}" if len(threads) > 1 else kind


def _by_thread(
    places: _HeldPlaces, key_of: Callable[[str, Sequence[Frame]], tuple[_Key, bool]], by: By
) -> list[tuple[str, _Key, _CulpritSum]]:
    """Return rows, by kind of thread, of which each place of a holder adds to one.

    Each place is taken apart once.
    """
    sums: dict[tuple[str, _Key, str], _CulpritSum] = defaultdict(_CulpritSum)
    known: dict[tuple[str, _Where], tuple[_Key, bool]] = {}
    for holder, where, task, caused_ns, looks in places.behind:
        kind = places.kind(holder)
        if (kind, where) not in known:
            known[kind, where] = key_of(kind, places.levels(where))
        key, innermost = known[kind, where]
        name = ""
        if by == "task" and task is not None:
            key, name = (task.function, task.filename, task.line, ""), task.name
        row = sums[kind, key, name]
        row.threads.add(holder)
        if by != "thread" and task is not None and task.name:
            row.tasks.add(task.name)
        row.own_ns += caused_ns if innermost else 0
        row.add(caused_ns, caused_ns if looks else 0, looks)
    return [(kind, key, row) for (kind, key, _), row in sums.items()]


def _gathered(rows: list[tuple[str, _Key, _CulpritSum]]) -> Iterable[list[tuple[_Key, _CulpritSum]]]:
    """Return the rows of each line together, that of its largest callee first.

    What a line calls may be spread over several callees, none of which is the largest of all: copying a list
    and freeing the copy are one line's doing.
    """
    lines: dict[tuple[object, ...], list[tuple[_Key, _CulpritSum]]] = {}
    for kind, key, row in rows:
        lines.setdefault((kind, *key[:3]), []).append((key, row))
    for line in lines.values():
        line.sort(key=lambda part: (-part[1].caused_ns, part[0][3]))
    return lines.values()


def _line_told(line: list[tuple[_Key, _CulpritSum]], shares: _WaitShares) -> Culprit:
    whole = _CulpritSum()
    for _, row in line:
        whole.join(row)
    callees = [Callee(key[3], row.caused_ns, row.own_ns, *shares.of(row)) for key, row in line]
    return whole.told(line[0][0], shares, tuple(callees) if len(callees) > 1 else ())


def _with_callers(
    places: _HeldPlaces, key_of: Callable[[Sequence[Frame], int], _Key]
) -> list[tuple[_Key, _CulpritSum]]:
    """Return rows to which a place adds for each of its levels, the innermost its own part.

    Only of the places that caused most all levels count: of the others too little is left to be seen.
    """
    whole: dict[_Where, list[int]] = {}
    for _, where, _, caused_ns, looks in places.behind:
        cell = whole.setdefault(where, [0, 0, 0])
        cell[0] += caused_ns
        cell[1] += caused_ns if looks else 0
        cell[2] += looks
    ranked = sorted(whole.items(), key=lambda row: (-row[1][0], str(row[0])))
    sums: dict[_Key, _CulpritSum] = defaultdict(_CulpritSum)
    callers: dict[
        int, _CulpritSum
    ] = {}  # by the frame: stacks share frames, which stay as long as the report
    for number, (where, (caused_ns, seen_ns, looks)) in enumerate(ranked):
        levels = places.levels(where)
        at = len(levels) - 1 if key_of is _function else innermost_line(levels)
        last = sums[key_of(levels, at)]
        last.own_ns += caused_ns
        rows = {id(last): last}
        for above in range(at if number < _PLACES else 0):
            if is_task(levels[above]):
                continue
            frame = id(levels[above])
            row = callers.get(frame) or sums[key_of(levels[: above + 1], above)]
            if isinstance(where, int):
                callers[frame] = row
            rows[id(row)] = row
        for row in rows.values():  # recursion counts once
            row.add(caused_ns, seen_ns, looks)
    return list(sums.items())


class _Calls:
    """Tells the call that a stack is in.

    A generator, or a callback from C, is code of its own, but it and the line that drives it are one thing to
    people: ``sum(... for ...)``, ``sorted(..., key=...)``. Each alone may be less than an innocent line. So
    what a line drives counts for that line, as its callee.
    """

    def __init__(self, own: OwnCode, places: _HeldPlaces) -> None:
        self._own = own
        self._driving = _Driving()
        for holder, where, _, caused_ns, _ in places.behind:
            levels = places.levels(where)
            at = self._level(levels)
            if at is not None:
                self._driving.add(places.kind(holder), levels, self._chain(levels, at), caused_ns)

    def key(self, kind: str, levels: Sequence[Frame]) -> tuple[_Key, bool]:
        """Return the call that a kind of thread is in, and whether nothing runs that it called in turn."""
        at = self._level(levels)
        if at is None:
            return _library_call(levels), True
        first = at
        for level in self._chain(levels, at)[1:]:
            if not self._driving.drives(kind, levels[level], levels[level + 1]):
                break
            first = level
        line, inner = levels[first], levels[first + 1 :]
        called = _called_by(line, inner[0]) if inner else ""
        return (line.function, line.filename, line.line, called), len(inner) <= 1

    def _chain(self, levels: Sequence[Frame], at: int) -> list[int]:
        """Return a level of own code, and those around it that called the one before, inner ones first.

        Of a function that calls itself only the innermost level counts.
        """
        chain = [at]
        for level in range(at - 1, max(-1, at - _DRIVERS), -1):
            caller, called = levels[level], levels[level + 1]
            is_next = self._own.has(caller.filename) and _function_of(caller) != _function_of(called)
            if not is_next:
                break
            chain.append(level)
        return chain

    def _level(self, levels: Sequence[Frame]) -> int | None:
        """Return the number of the innermost level of own code.

        A library makes code from strings, too: such a level counts only if there is no other.
        """
        made = None
        for at in range(len(levels) - 1, -1, -1):
            if self._own.has(levels[at].filename):
                if not levels[at].filename.startswith("<"):
                    return at
                made = at if made is None else made
        return made


class _Driving:
    """Knows which lines drive which functions, by what each of them takes.

    A line that only calls, such as one of a main function, takes next to nothing itself. One that consumes a
    generator, or sorts by a key, does a good part of the work. It stands for a function only if no other line
    calls that as well: else the function is what they have in common.
    """

    def __init__(self) -> None:
        self._itself: dict[tuple[str, Frame], int] = defaultdict(int)
        self._called: dict[tuple[str, Frame, tuple[str, str]], int] = defaultdict(int)
        self._whole: dict[tuple[str, tuple[str, str]], int] = defaultdict(int)

    def add(self, kind: str, levels: Sequence[Frame], chain: Sequence[int], caused_ns: int) -> None:
        """Add what a thread of this kind took while the innermost of these levels ran."""
        innermost = chain[0]
        if len(levels) - innermost <= 2:  # itself, or in C
            self._itself[kind, levels[innermost]] += caused_ns
        functions = set()
        for level in chain:
            functions.add(_function_of(levels[level]))
            if level != innermost:
                self._called[kind, levels[level], _function_of(levels[level + 1])] += caused_ns
        for function in functions:
            self._whole[kind, function] += caused_ns

    def drives(self, kind: str, line: Frame, called: Frame) -> bool:
        """Return whether a line does so much itself that what it called is a part of that."""
        function = _function_of(called)
        took_ns = self._called[kind, line, function]
        rest_ns = self._whole[kind, function] - took_ns
        return _DRIVES * self._itself[kind, line] >= took_ns and _ONLY * rest_ns < took_ns


def _function_of(frame: Frame) -> tuple[str, str]:
    return frame.function, frame.filename


def _called_by(line: Frame, called: Frame) -> str:
    """Return the name of what a line called: with its module if that is another one."""
    return called.function if called.filename == line.filename else qualified(called)


def _library_call(levels: Sequence[Frame]) -> _Key:
    """Return what stands for a call without own code: the innermost function, as a whole."""
    last = innermost_line(levels)
    return levels[last].function, levels[last].filename, 0, _callee(levels, last)


def innermost_line(levels: Sequence[Frame]) -> int:
    """Return the number of the level that is the innermost line: not a callee, unless that is all."""
    callee = len(levels) > 1 and not levels[-1].filename and levels[-1].line == 0
    return len(levels) - (2 if callee else 1)


def is_task(level: Frame) -> bool:
    """Return whether a level of a stack is no code, but the task that an event loop ran there."""
    return not level.filename and level.function.startswith(("(task ", "(callback "))


def _callee(levels: Sequence[Frame], at: int) -> str:
    return levels[-1].function if at < len(levels) - 1 else ""


def qualified(frame: Frame) -> str:
    """Return a function's name with its module; without a file the name alone."""
    return f"{module_name(frame.filename)}.{frame.function}" if frame.filename else frame.function


def _nothing(kind: str, levels: Sequence[Frame]) -> tuple[_Key, bool]:  # noqa: ARG001  # of a thread alone
    return ("", "", 0, ""), True


def _function(levels: Sequence[Frame], at: int) -> _Key:
    return levels[at].function, levels[at].filename, 0, ""


def _line(levels: Sequence[Frame], at: int) -> _Key:
    return levels[at].function, levels[at].filename, levels[at].line, _callee(levels, at)


def _module(levels: Sequence[Frame], at: int) -> _Key:
    level = levels[at]
    return module_name(level.filename) if level.filename else level.function, level.filename, 0, ""
