"""Make docs/leaks-released.md: what `gilprobe leaks` finds in released packages.

Measure:  python benchmarks/leaks_released.py --json FILE.json
          PYTHON benchmarks/leaks_released.py --quick --json FILE.json  (CPython's own, of another version)
Then:     python docs/leaks_released.py FILE.json ... > docs/leaks-released.md
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HEAD = """\
# What `gilprobe leaks` finds in released packages

This page checks [`gilprobe leaks`](commands/leaks.md) on functions of which it is known whether they leak.
Those with a link do, or did: the link is the public report. Most are here twice, with a version that leaks
and the one that fixed it. The others are widely used, and no leak in them is known. Each version was
installed in its own environment and searched with the defaults. **Finding** is the first finding, with the
amount a call; **seconds** is the time of the search.

{right} of {all} verdicts are right.

{machines}

Made by these commands, the second one for each other interpreter; the functions are in
`benchmarks/leaks_released.toml`:

    python benchmarks/leaks_released.py --json released.json
    python3.13 benchmarks/leaks_released.py --quick --json python3.13.json
    python docs/leaks_released.py released.json python3.13.json > docs/leaks-released.md

| package | version | function | expected | verdict | finding | calls | seconds |
|---|---|---|---|---|---|--:|--:|
"""


def machine(document: dict[str, Any]) -> str:
    """Return where and when a file was measured."""
    ran = document["environment"]
    load = "" if ran["load_average"] is None else f", load average {ran['load_average']:.0f}"
    where = f"{ran['cpu']}, {ran['cores']} cores{load}, {ran['platform']}"
    return f"- CPython {ran['python']}, {ran['started'][:10]}, {where}"


def line(row: dict[str, Any]) -> str:
    """Return a row of the table."""
    found = row["details"]
    call = f"[{found['call']}]({found['known']})" if found["known"] else found["call"]
    told = found["told"] + (", not certain" if found["uncertain"] else "")
    told = told if found["told"] == found["expected"] else f"**{told}**"
    finding = found["finding"].replace("|", "\\|").replace("<", "\\<")
    cells = (found["package"], found["version"], call, found["expected"], told, finding)
    return f"| {' | '.join(cells)} | {found['calls']} | {row['figure']:.1f} |"


def page(paths: Sequence[str]) -> Iterator[str]:
    """Yield the page, line by line."""
    documents = [json.loads(Path(path).read_text(encoding="utf-8")) for path in paths]
    rows = [row for document in documents for row in document["rows"]]
    hunted = [row for row in rows if row["samples"]]
    right = sum(row["verdict"] == "reached" for row in hunted)
    yield HEAD.format(right=right, all=len(hunted), machines="\n".join(map(machine, documents))).rstrip()
    yield from map(line, hunted)
    missing = [row for row in rows if not row["samples"] and not row["note"].startswith("quick")]
    yield from ("", *(f"- not searched: {row['what']}: {row['note']}" for row in missing))


def main(arguments: Sequence[str]) -> int:
    """Write the page to standard output."""
    if not arguments:
        sys.stderr.write(__doc__ or "")
        return 2
    sys.stdout.write("\n".join(page(arguments)).rstrip() + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
