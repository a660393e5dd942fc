"""Rank what made threads wait for the GIL, by what people recognise: calls, functions, lines, threads."""

from __future__ import annotations

import re
from collections import defaultdict

from gilprobe.errors import InvalidTypeError, InvalidValueError
from gilprobe.model.own_code import OwnCode, module_name
from gilprobe.model.share_interval import ShareInterval
from gilprobe.report import OTHERS, Culprit, Frame

TYPE_CHECKING = False  # as in gilprobe/__init__.py: a recorded process loads no typing
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from gilprobe.report import Blame, By, Report

    _Where = int | tuple[str, str, int, str]
    """Number of a stack; without stacks a site with its callee."""

    _Key = tuple[str, str, int, str]
    """Function, file, line, and what was called: what a row is about, besides its threads."""

    _Keys = list[tuple[_Key, bool]]
    """The rows that a stack adds to, each with whether it is about the innermost level."""

KINDS = ("call", "function", "line", "thread", "module")
"""What rows can be about."""

_NUMBER = re.compile(r"\d+")
_NOTHING = "", "", 0, ""


def rank(report: Report, by: By, own: Sequence[str]) -> tuple[Culprit, ...]:
    """Return the rows of :meth:`gilprobe.report.Report.culprits`."""
    if by not in KINDS:
        raise InvalidValueError(f"by must be one of {', '.join(KINDS)}, got {by!r}")
    if not isinstance(own, tuple | list) or not all(isinstance(folder, str) for folder in own):
        raise InvalidTypeError(f"own must be a sequence of folders, got {own!r}")
    keys_of = {
        "call": _call_by(OwnCode(own)),
        "function": _functions,
        "line": _lines,
        "thread": _threads,
        "module": _modules,
    }[by]
    behind = list(_behind(report))
    by_thread = by in ("call", "thread")
    rows = _added_up(report, behind, keys_of, by_thread=by_thread)
    interval = ShareInterval((caused_ns, looks) for _, _, caused_ns, looks in behind)
    waited_ns = sum(thread.wait_ns for thread in report.threads)
    found = [row.told(key, waited_ns, interval) for (_, key), row in rows.items()]
    return tuple(sorted(found, key=_worst_first if by_thread else _innermost_first))


def _worst_first(row: Culprit) -> tuple[object, ...]:
    return (-row.caused_ns, row.function, row.filename, row.line, row.called, row.thread)


def _innermost_first(row: Culprit) -> tuple[object, ...]:
    return (-row.own_ns, *_worst_first(row))


def _behind(report: Report) -> Iterator[tuple[tuple[str, int], _Where, int, int]]:
    """Yield each holder with a place, what all threads waited for it there, and its looks."""
    total: dict[tuple[tuple[str, int], _Where], list[int]] = defaultdict(lambda: [0, 0])
    for row in report.blame:
        if row.holder and row.function != OTHERS:
            cell = total[(row.holder, row.holder_id), _where(row, report)]
            cell[0] += row.wait_ns
            cell[1] = max(cell[1], row.looks)  # waiters share looks
    for (holder, where), (caused_ns, looks) in total.items():
        yield holder, where, caused_ns, looks


def _where(row: Blame, report: Report) -> _Where:
    stack = row.stack
    if stack is not None and 0 <= stack < len(report.stacks) and report.stacks[stack].frames:
        return stack
    return row.function, row.filename, row.line, row.callee


def _levels(where: _Where, report: Report) -> tuple[Frame, ...]:
    """Return the levels of a place, the outermost first; a callee is the last."""
    if isinstance(where, int):
        return report.stacks[where].frames
    function, filename, line, callee = where
    frame = Frame(function, filename, line)
    return (frame, Frame(callee, "", 0)) if callee else (frame,)


class _CulpritSum:
    """What is added up of one row."""

    __slots__ = ("caused_ns", "looks", "own_ns", "seen_ns", "threads")

    def __init__(self) -> None:
        self.caused_ns = self.own_ns = self.seen_ns = self.looks = 0
        self.threads: set[tuple[str, int]] = set()

    def add(self, holder: tuple[str, int], caused_ns: int, looks: int, *, innermost: bool) -> None:
        self.threads.add(holder)
        self.caused_ns += caused_ns
        self.own_ns += caused_ns if innermost else 0
        self.seen_ns += caused_ns if looks else 0
        self.looks += looks

    def told(self, key: _Key, waited_ns: int, interval: ShareInterval) -> Culprit:
        function, filename, line, called = key
        around = interval.around(self.seen_ns, self.caused_ns - self.seen_ns) if waited_ns else None
        low, high = (None, None) if around is None else (min(end / waited_ns, 1.0) for end in around)
        return Culprit(
            _named(self.threads),
            function,
            filename,
            line,
            called,
            self.caused_ns,
            self.own_ns,
            self.caused_ns / waited_ns if waited_ns else 0.0,
            self.looks,
            low,
            high,
        )


def _named(threads: set[tuple[str, int]]) -> str:
    """Return the name of a thread, or of several whose names differ only in numbers; nothing without any."""
    if not threads:
        return ""
    names = {name for name, _ in threads}
    (kind,) = {_kind(name) for name in names} if len(names) > 1 else names
    return f"{kind} x {len(threads)}" if len(threads) > 1 else kind


def _kind(name: str) -> str:
    return _NUMBER.sub("N", name)


def _added_up(
    report: Report,
    behind: Iterable[tuple[tuple[str, int], _Where, int, int]],
    keys_of: Callable[[Sequence[Frame]], _Keys],
    *,
    by_thread: bool,
) -> dict[tuple[str, _Key], _CulpritSum]:
    """Return the rows by kind of thread and key; each place is taken apart once."""
    rows: dict[tuple[str, _Key], _CulpritSum] = defaultdict(_CulpritSum)
    known: dict[_Where, _Keys] = {}
    for holder, where, caused_ns, looks in behind:
        if where not in known:
            known[where] = keys_of(_levels(where, report))
        kind = _kind(holder[0]) if by_thread else ""
        for key, innermost in known[where]:
            rows[kind, key].add(holder, caused_ns, looks, innermost=innermost)
    if not by_thread:
        for row in rows.values():
            row.threads.clear()
    return rows


def _call_by(own: OwnCode) -> Callable[[Sequence[Frame]], _Keys]:
    def call(levels: Sequence[Frame]) -> _Keys:
        at = _own_level(levels, own)
        if at is None:
            return [(_library_call(levels), True)]
        line, inner = levels[at], levels[at + 1 :]
        called = qualified(inner[0]) if inner else ""
        return [((line.function, line.filename, line.line, called), len(inner) <= 1)]

    return call


def _own_level(levels: Sequence[Frame], own: OwnCode) -> int | None:
    """Return the number of the innermost level of own code.

    A library makes code from strings, too: such a level counts only if there is no other.
    """
    made = None
    for at in range(len(levels) - 1, -1, -1):
        if own.has(levels[at].filename):
            if not levels[at].filename.startswith("<"):
                return at
            made = at if made is None else made
    return made


def _library_call(levels: Sequence[Frame]) -> _Key:
    """Return what stands for a call without own code: the innermost function, as a whole."""
    last = _innermost_python(levels)
    called = levels[-1].function if last < len(levels) - 1 else ""
    return levels[last].function, levels[last].filename, 0, called


def _innermost_python(levels: Sequence[Frame]) -> int:
    """Return the number of the level that is the innermost line; of a callee alone its own."""
    callee = len(levels) > 1 and not levels[-1].filename and levels[-1].line == 0
    return len(levels) - (2 if callee else 1)


def qualified(frame: Frame) -> str:
    """Return a function's name with its module; without a file the name alone."""
    return f"{module_name(frame.filename)}.{frame.function}" if frame.filename else frame.function


def _functions(levels: Sequence[Frame]) -> _Keys:
    last = (levels[-1].function, levels[-1].filename, 0, "")
    return [(key, key == last) for key in {(level.function, level.filename, 0, "") for level in levels}]


def _lines(levels: Sequence[Frame]) -> _Keys:
    at = _innermost_python(levels)
    called = levels[-1].function if at < len(levels) - 1 else ""
    last = (levels[at].function, levels[at].filename, levels[at].line, called)
    outer = {(level.function, level.filename, level.line, "") for level in levels[:at]}
    return [(last, True), *((key, False) for key in outer - {last})]


def _modules(levels: Sequence[Frame]) -> _Keys:
    at = _innermost_python(levels)
    last = _module(levels[at])
    return [(key, key == last) for key in {last, *map(_module, levels[:at])}]


def _module(level: Frame) -> _Key:
    return module_name(level.filename) if level.filename else level.function, level.filename, 0, ""


def _threads(levels: Sequence[Frame]) -> _Keys:  # noqa: ARG001  # one of the kinds of rows
    return [(_NOTHING, True)]
