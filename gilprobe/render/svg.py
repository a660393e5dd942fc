"""The threads' timeline as a picture: one row per thread, in two colours and two heights.

The picture is static SVG for any viewer of notebooks: no script, no style sheet, no identifiers (several
pictures share a page), nothing external. It has its own background, so it is readable on dark and light
pages. The two colours are from Okabe and Ito's palette, which everybody can distinguish
(https://jfly.uni-koeln.de/color/); a wait is also lower than a hold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gilprobe.durations import duration
from gilprobe.errors import InvalidTypeError, InvalidValueError
from gilprobe.model.timeline import HOLD, WAIT
from gilprobe.render.shared.lanes import SLICES, lanes_of
from gilprobe.render.shared.words import clipped, plural, share, visible
from gilprobe.render.templates import template

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gilprobe.model.traced_process import TracedProcess
    from gilprobe.render.shared.lanes import Lane

COLORS = {HOLD: "#0072b2", WAIT: "#d55e00"}
"""Colour of a hold and of a wait."""

_OFF = "#dfe3e8"
_NAMES, _TOP, _ROW, _BAR, _WAIT_BAR, _MARGIN = 170, 34, 24, 16, 10, 12
_WIDTH = _NAMES + SLICES + 3 * _MARGIN
_NAME_LENGTH = 24
_TICKS = 8
_LEGEND = (("hold", COLORS[HOLD], _BAR), ("wait", COLORS[WAIT], _WAIT_BAR), ("off", _OFF, _BAR))


def render_timeline(process: TracedProcess, *, rows: int = 24) -> str:
    """Draw when each thread held the GIL and waited for it.

    Up to 1500 holds and waits are drawn one by one. If there are more, each pixel shows the shares of its
    time: hold from below, wait above it. The rows limit the number of shapes, the pixels their size.

    Parameters
    ----------
    process : TracedProcess
        A trace with a timeline.
    rows : int
        Limit of threads: those that held and waited longest are shown.

    Returns
    -------
    str
        An SVG document. Foreign text is escaped.

    Raises
    ------
    InvalidTypeError
        If `rows` is not an int.
    InvalidValueError
        If `rows` is below 1 or the trace has no timeline.
    """
    if not isinstance(rows, int) or isinstance(rows, bool):
        raise InvalidTypeError(f"rows must be an int, got {rows!r}")
    if rows < 1:
        raise InvalidValueError(f"rows must be >= 1, got {rows}")
    if process.timeline is None:
        raise InvalidValueError("a picture of the timeline needs a trace with timeline=True")
    lanes, left_out = lanes_of(process.report, process.timeline, rows=rows)
    return template("timeline.svg.j2").render(picture=_Canvas(process, lanes, left_out), off=_OFF)


class _Canvas:
    """The shapes and their positions."""

    def __init__(self, process: TracedProcess, lanes: Sequence[Lane], left_out: int) -> None:
        self.elapsed_ns = max(process.report.elapsed_ns, 1)
        self.lanes = lanes
        self.exact = not any(lane.shares for lane in lanes)
        notes = [f"{plural(left_out, 'thread')} with shorter holds and waits not shown"] if left_out else []
        if not self.exact:
            notes.append("too many holds and waits to draw each: a pixel shows the shares of its time")
        self.notes = [clipped(note, 150) for note in (*notes, *process.doubts)]
        self.width, self.top = _WIDTH, _TOP
        self.bottom = _TOP + _ROW * len(lanes)
        self.height = self.bottom + 26 + 15 * len(self.notes) + (_MARGIN if self.notes else 4)
        self.title = f"Timeline of {plural(len(lanes), 'thread')} over {duration(self.elapsed_ns / 1e9)}"
        self.said = "; ".join(_summary(lane, self.elapsed_ns) for lane in lanes)

    def x(self, time_ns: float) -> float:
        """Return the x position of a moment."""
        return _NAMES + _MARGIN + SLICES * time_ns / self.elapsed_ns

    def legend(self) -> Iterator[tuple[int, str, str, int]]:
        """Yield position, word, colour and height of each kind."""
        for number, entry in enumerate(_LEGEND):
            yield (_NAMES + _MARGIN + 80 * number, *entry)

    def ticks(self) -> Iterator[tuple[float, str]]:
        """Yield position and text of the axis' marks."""
        step = _step(self.elapsed_ns)
        for time_ns in range(0, self.elapsed_ns + 1, step):
            yield self.x(time_ns), duration(time_ns / 1e9) if time_ns else "0"

    def rows(self) -> Iterator[_Row]:
        """Yield the lanes for drawing."""
        for number, lane in enumerate(self.lanes):
            name = visible(clipped(lane.name, _NAME_LENGTH)) or "?"
            top = _TOP + _ROW * number
            outlines = _exact(self, lane, top + 3) if self.exact else _shares(lane, top + 3)
            yield _Row(
                name=clipped(name, 2 * _NAME_LENGTH),
                fit=_fit(name),
                summary=_summary(lane, self.elapsed_ns),
                top=top,
                ends=(self.x(lane.first_ns), self.x(lane.last_ns)),
                outlines=[*zip((COLORS[HOLD], COLORS[WAIT]), outlines, strict=True)],
            )


@dataclass(frozen=True, slots=True)
class _Row:
    """A lane: `fit` is the width to squeeze its name into, or 0; each outline has its colour."""

    name: str
    fit: int
    summary: str
    top: int
    ends: tuple[float, float]
    outlines: Sequence[tuple[str, str]]


def _summary(lane: Lane, elapsed_ns: int) -> str:
    hold, wait = duration(lane.hold_ns / 1e9), duration(lane.wait_ns / 1e9)
    shares = share(lane.hold_ns, elapsed_ns), share(lane.wait_ns, elapsed_ns)
    return f"{clipped(lane.name, 80) or '?'}: hold {hold} ({shares[0]}), wait {wait} ({shares[1]})"


def _step(elapsed_ns: int) -> int:
    """Return 1, 2 or 5 times a power of ten that divides the whole into at most `_TICKS`."""
    power = 1
    while True:
        for factor in (1, 2, 5):
            if elapsed_ns <= _TICKS * factor * power:
                return factor * power
        power *= 10


def _fit(name: str) -> int:
    """Return the width to squeeze a name into, 0 if it fits; a glyph may be 12 wide."""
    return _NAMES - _MARGIN if 12 * len(name) > 2 * (_NAMES - _MARGIN) else 0


def _exact(picture: _Canvas, lane: Lane, top: int) -> tuple[str, str]:
    outlines: tuple[list[str], list[str]] = ([], [])
    for kind, start, end in lane.events:
        left = picture.x(start)
        width = picture.x(end) - left
        height = _BAR if kind == HOLD else _WAIT_BAR
        outlines[kind].append(f"M{left:.2f} {top + _BAR}v-{height}h{width:.3f}v{height}z")
    return "".join(outlines[HOLD]), "".join(outlines[WAIT])


def _shares(lane: Lane, top: int) -> tuple[str, str]:
    outlines: tuple[list[str], list[str]] = ([], [])
    for number, (hold, wait) in enumerate(lane.shares):
        bottom = float(top + _BAR)
        for kind, part in ((HOLD, hold), (WAIT, wait)):
            height = _BAR * min(part, 1.0)
            if height >= 0.05:
                outlines[kind].append(
                    f"M{_NAMES + _MARGIN + number} {bottom:.1f}v-{height:.1f}h1v{height:.1f}z"
                )
                bottom -= height
    return "".join(outlines[HOLD]), "".join(outlines[WAIT])
