"""py-spy, a sampler in another process: `record --gil` counts stacks, `dump` shows one moment."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from .base import FUNCTION, HELD, LINE, Place, Reading, Tool, UnreadableError

if TYPE_CHECKING:
    from collections.abc import Iterable

FRAME = re.compile(r"(?P<function>.+) \((?P<file>[^()]*?)(?::(?P<line>\d+))?\)$")
RATE = 1000


class PySpyRecord(Tool):
    """The held share is the share of samples with a holder among all requested samples."""

    name = "py-spy record"
    environment = "py-spy"
    settings = f"record --gil --format raw --rate {RATE}, attached"
    measures = frozenset({HELD, FUNCTION, LINE})
    in_process = False

    def attach(self, place: Place, pid: int) -> list[str]:
        """Sample for the middle of the run."""
        options = [
            "--gil",
            "--format",
            "raw",
            "--rate",
            str(RATE),
            "--duration",
            str(sampled_s(place.seconds)),
        ]
        return [place.tool("py-spy"), "record", "--pid", str(pid), *options, "--output", place.output]

    def read(self, place: Place, truth: dict[str, Any]) -> Reading:
        """Read the raw format."""
        del truth
        text = (place.folder / place.output).read_text(encoding="utf-8")
        reading = read_raw(text, RATE * sampled_s(place.seconds))
        log = (place.folder / "tool-log").read_text(encoding="utf-8", errors="replace")
        if "process exited" in log:
            reading.held = None
            reading.note = f"fell behind at {RATE} samples a second, and tells not how many it took"
        return reading


def sampled_s(seconds: float) -> int:
    """Return how long to sample a program that works for `seconds`: py-spy takes whole seconds."""
    return max(1, int(seconds))


def read_raw(text: str, asked: float) -> Reading:
    """Read lines `frame;frame;frame samples`, of `asked` samples altogether."""
    leaves: Counter[tuple[str, int | None]] = Counter()
    without_frames = 0
    for line in text.splitlines():
        stack, _, samples = line.rpartition(" ")
        frame = FRAME.match(stack.rpartition(";")[2])
        if not samples.isdigit() or (stack and frame is None):
            raise UnreadableError(f"py-spy's raw format has a line {line[:80]!r}")
        if frame is None:
            without_frames += int(samples)
        else:
            leaves[frame["function"], int(frame["line"]) if frame["line"] else None] += int(samples)
    top = leaves.most_common(1)
    held = min(1.0, (leaves.total() + without_frames) / asked)
    return Reading(held=held, culprit=top[0][0] if top else None)


class PySpyDump(Tool):
    """One dump after another, for as long as the program runs: each says which thread holds the GIL."""

    name = "py-spy dump"
    environment = "py-spy"
    settings = "dump --json, one after another for as long as the program runs"
    measures = frozenset({HELD, FUNCTION, LINE})
    in_process = False
    costs = False

    def attach(self, place: Place, pid: int) -> list[str]:
        """Dump until the process is gone."""
        dump = f"{place.tool('py-spy')} dump --json --pid {pid}"
        return ["bash", "-c", f"while {dump} 2>/dev/null; do echo; done >{place.output}; true"]

    def read(self, place: Place, truth: dict[str, Any]) -> Reading:
        """Count the dumps in which a thread owned the GIL."""
        del truth
        return read_dumps(_documents((place.folder / place.output).read_text(encoding="utf-8")))


def _documents(text: str) -> Iterable[list[dict[str, Any]]]:
    decoder, at = json.JSONDecoder(), 0
    text = text.strip()
    while at < len(text):
        try:
            document, at = decoder.raw_decode(text, at)
        except ValueError:
            return  # the program ended in the middle of it
        yield document
        at += len(text[at:]) - len(text[at:].lstrip())


def read_dumps(dumps: Iterable[list[dict[str, Any]]]) -> Reading:
    """Read the output of `dump --json`; if only the main thread lives, it is the start or the end."""
    leaves: Counter[tuple[str, int | None]] = Counter()
    taken = 0
    for threads in dumps:
        if len(threads) < 2:
            continue
        taken += 1
        for thread in threads:
            if thread["owns_gil"] and thread["frames"]:
                leaf = thread["frames"][0]
                leaves[leaf["name"], leaf["line"]] += 1
    if not taken:
        raise UnreadableError("no py-spy dump succeeded while the threads ran")
    top = leaves.most_common(1)
    return Reading(held=leaves.total() / taken, culprit=top[0][0] if top else None, note=f"{taken} dumps")


class PySpyTop(Tool):
    """For people only."""

    name = "py-spy top"
    settings = "-"
    why_not = (
        "draws a screen for a terminal, with no format that a program reads; `record --gil` samples the same"
    )
    in_process = False
