"""CPython 3.15's own sampling profiler: `python -m profiling.sampling attach --mode gil`."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from .base import FUNCTION, HELD, LINE, Place, Reading, Tool, UnreadableError

FRAME = re.compile(r"(?P<file>.*):(?P<function>[^:]+):(?P<line>\d+)$")
RATE = 1000


class CPythonSampling(Tool):
    """Attaches from another process of the same interpreter, which must be a 3.15."""

    name = "profiling.sampling"
    environment = ""
    interpreter = "3.15"
    settings = f"attach --mode gil --all-threads --sampling-rate {RATE} --collapsed; its base is 3.15, too"
    measures = frozenset({HELD, FUNCTION, LINE})
    in_process = False

    def attach(self, place: Place, pid: int) -> list[str]:
        """Sample for nearly the whole work of the program."""
        options = [
            "--mode",
            "gil",
            "--all-threads",
            "--sampling-rate",
            str(RATE),
            "--duration",
            str(max(1, int(place.seconds))),
        ]
        module = [place.python, "-m", "profiling.sampling", "attach", *options, "--collapsed"]
        return [*module, "--output", place.output, str(pid)]

    def read(self, place: Place, truth: dict[str, Any]) -> Reading:
        """Read the collapsed stacks."""
        del truth
        log = (place.folder / "tool-log").read_text(encoding="utf-8", errors="replace")
        file = place.folder / place.output
        return read_collapsed(file.read_text(encoding="utf-8") if file.exists() else "", taken(log))


def taken(log: str) -> int:
    """Return the number of samples that it reports."""
    found = re.search(r"Captured ([\d,]+) samples", log)
    if found is None:
        raise UnreadableError(
            f"profiling.sampling does not tell how many samples it took: {log.strip()[-80:]!r}"
        )
    return int(found[1].replace(",", ""))


def read_collapsed(text: str, samples: int) -> Reading:
    """Read lines `tid:1;file:function:line;... count`, of `samples` samples altogether."""
    leaves: Counter[tuple[str, int | None]] = Counter()
    for line in text.splitlines():
        stack, _, count = line.rpartition(" ")
        frame = FRAME.match(stack.rpartition(";")[2])
        if frame is None or not count.isdigit():
            raise UnreadableError(f"profiling.sampling has a line {line[:80]!r}")
        leaves[frame["function"], int(frame["line"])] += int(count)
    top = leaves.most_common(1)
    return Reading(
        held=min(1.0, leaves.total() / samples) if samples else None, culprit=top[0][0] if top else None
    )
