"""Make docs/stdlib-audit.md out of the results of several interpreters.

For each interpreter:   PYTHON -m gilprobe run stdlib-audit --repeat 25 --json VERSION.json
Then:                   python docs/stdlib_audit.py *.json > docs/stdlib-audit.md
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from gilprobe.results import ResultSet

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gilprobe.results import ScenarioResult

SCENARIO = "stdlib-audit"
MISSING = "not in this interpreter: "

HEAD = """\
# Which calls of the standard library release the GIL

This table shows for each call the share of its time without the GIL, in which other threads could run. The
shares are measured, not derived from the sources. A single thread repeats the call under the exact tracer.
The share is its time off divided by its time off and holding, without the cost of the loop. **never**: no
call released the GIL at this size. **from**: the smallest argument for which a call releases the GIL, found
by bisection; a call without such a row releases at every size tried, or at none. **-**: not in this version.
**\\***: the trace made the call at least half as long again, so the share is too high.

Shares are medians. They depend on the processor, the C library and the file system; the sizes after **from**
do not.

| | version | measured |
|---|---|---|
{machines}

Made by this command for each interpreter, and the one below for all of them:

    python -m gilprobe run stdlib-audit --repeat {repeats} --json 3.11.json
    python docs/stdlib_audit.py {files} > docs/stdlib-audit.md
"""


def version(result: ScenarioResult) -> str:
    """Return the version without its micro part: ``"3.11"``."""
    return ".".join(result.environment.python.split(".")[:2])


def load(path: str) -> ScenarioResult:
    """Return the audit that was saved in a file."""
    for result in ResultSet.load(path).scenarios:
        if result.id == SCENARIO:
            return result
    raise SystemExit(f"{path}: must hold a result of {SCENARIO}, has none")


def rows(results: Sequence[ScenarioResult]) -> Iterator[tuple[str, str, list[str]]]:
    """Yield a call, a size and its share in each version; where there is one, the step before them."""
    names = dict.fromkeys(arm.name for result in reversed(results) for arm in result.arms)
    shown = ""
    for name in names:
        call, _, size = name.rpartition(", ")
        label = f"`{call}`" if call != shown else ""
        if call != shown:
            steps = [step(result, call) for result in results]
            if any(steps):
                yield label, "**from**", [found or "" for found in steps]
                label = ""
        shown = call
        yield label, size, [share(result, name) for result in results]


def step(result: ScenarioResult, call: str) -> str:
    """Return the least size that releases the GIL; empty if there is none."""
    found = [fact.value for fact in result.facts if fact.name == f"step_{call}"]
    return f"**{found[0]:,.0f} B**" if found else ""


def share(result: ScenarioResult, name: str) -> str:
    """Return the share in a cell's words."""
    found = [arm for arm in result.arms if arm.name == name]
    if not found:
        return "-"
    mark = "\\*" if any(fact.name == f"slowdown_{name}" for fact in result.facts) else ""
    return f"{found[0].median:.0%}{mark}" if max(found[0].samples) > 0 else "never"


def page(results: Sequence[ScenarioResult]) -> Iterator[str]:
    """Yield the page, line by line."""
    machines = "\n".join(
        f"| {result.environment.implementation} | {result.environment.python} | {where(result)} |"
        for result in results
    )
    yield HEAD.format(
        machines=machines,
        repeats=max(len(arm.samples) for result in results for arm in result.arms),
        files=" ".join(f"{version(result)}.json" for result in results),
    )
    yield "| call | size | " + " | ".join(map(version, results)) + " |"
    yield "|---|---|" + "--:|" * len(results)
    for call, size, cells in rows(results):
        yield f"| {call} | {size} | " + " | ".join(cells) + " |"
    doubts = [f"- {version(result)}: {text}" for result in results for text in result.warnings]
    shown = [text for text in doubts if MISSING not in text]
    if shown:
        yield "\n## Doubts\n"
        yield from shown


def where(result: ScenarioResult) -> str:
    """Return when and on what a result was measured."""
    ran = result.environment
    return f"{ran.started[:7]}, {ran.cpu}, {ran.cores} cores, {ran.platform}"


def main(paths: Sequence[str]) -> int:
    """Write the page to standard output."""
    if not paths:
        sys.stderr.write(__doc__ or "")
        return 2
    results = sorted(map(load, paths), key=lambda result: [int(n) for n in version(result).split(".")])
    sys.stdout.write("\n".join(page(results)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
