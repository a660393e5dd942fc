"""Make docs/counting-references.md out of what several interpreters answer.

For each interpreter:   PYTHON docs/counting_references.py --ask VERSION.json
Then:                   python docs/counting_references.py *.json > docs/counting-references.md
"""

from __future__ import annotations

import json
import platform
import sys
import sysconfig
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HEAD = """\
# Counting references in 2026

How many references does an object have? Since 2023 the answer of `sys.getrefcount` depends on the version,
the build, the way the object is passed, and whether a thread has ever started. This page shows what each
interpreter answers and why, and what `gilprobe.refs` answers instead. All numbers are output of these
interpreters:

| name here | interpreter |
|---|---|
{machines}

Made by the first command for each interpreter, and the second for all of them:

    PYTHON docs/counting_references.py --ask VERSION.json
    python docs/counting_references.py {files} > docs/counting-references.md
"""

PARTS = (
    (
        "Borrowed: a call that gets the object may count it, or not",
        """\
To call `sys.getrefcount(thing)` the interpreter used to push a new reference to `thing`, so one name gave 2.
From 3.14 on the compiler sees that the local variable outlives the call and lends it (LOAD_FAST_BORROW):
nothing is counted, and the same line answers one less. A global or an attribute is not lent. A watch already
has its reference, and reads the count without a call that passes the object.""",
        (
            "sys.getrefcount(local)",
            "sys.getrefcount(module_global)",
            "watch(local).count",
            "watch(module_global).count",
        ),
    ),
    (
        "Immortal: not counted",
        """\
From 3.12 on (PEP 683) None, small integers, static types and others are never freed. Their count is a fixed
mark: a huge number without meaning that differs between versions. In 3.11 it is a count like any other. A
watch says `immortal`, and its count is None.""",
        (
            "sys.getrefcount(None)",
            "watch(None).count",
            "watch(None).immortal",
            "watch(None).delta() over 1,000 more",
        ),
    ),
    (
        "Deferred: the stacks of threads do not count",
        """\
All threads use functions, modules, classes and code all the time. A free-threaded build does not count
references from stacks to them; the cycle collector frees them. Their stored count is raised so that it never
reaches zero. 3.13 goes further: when the first thread starts, such objects become immortal. A watch subtracts
what was added, and says whether the object is deferred or immortal.""",
        (
            "sys.getrefcount(function)",
            "watch(function).count",
            "watch(function).deferred",
            "after a thread: sys.getrefcount(function)",
            "after a thread: watch(function).count",
            "after a thread: watch(function).immortal",
        ),
    ),
    (
        "Biased: two counts in one object",
        """\
Without a GIL an atomic operation for each reference would be too slow. So each object belongs to the thread
that made it (PEP 703). The owner counts in a field of its own, `local`, without atomic operations; all other
threads count in `shared`, which may become negative. The count is the sum. When the owner drops its last
reference, or ends, both are merged and nobody owns the object. Here the main thread makes an object and
another thread takes five references to it. The watch is read from the main thread; its reference is in
`local`.""",
        (
            "made here: (local, shared)",
            "five more from another thread: (local, shared)",
            "five more from another thread: watch.count",
            "owner is this thread",
        ),
    ),
)

module_global = object()


def function() -> None:
    """Do nothing: what is counted."""


def ask() -> dict[str, Any]:
    """Return what this interpreter answers. Begins before any thread has been started."""
    from gilprobe.refs import watch

    local = object()
    answers: dict[str, Any] = {
        "sys.getrefcount(local)": sys.getrefcount(local),
        "sys.getrefcount(module_global)": sys.getrefcount(module_global),
        "watch(local).count": watch(local).count,
        "watch(module_global).count": watch(module_global).count,
        "sys.getrefcount(None)": sys.getrefcount(None),
        "watch(None).count": watch(None).count,
        "watch(None).immortal": watch(None).immortal,
        "watch(None).delta() over 1,000 more": _of_none(),
        "sys.getrefcount(function)": sys.getrefcount(function),
        "watch(function).count": watch(function).count,
        "watch(function).deferred": watch(function).deferred,
    }
    answers |= _biased()  # starts a thread
    answers |= {
        "after a thread: sys.getrefcount(function)": sys.getrefcount(function),
        "after a thread: watch(function).count": watch(function).count,
        "after a thread: watch(function).immortal": watch(function).immortal,
    }
    return answers


def _of_none() -> int:
    from gilprobe.refs import watch

    watched = watch(None)
    nones = [None] * 1000
    delta = watched.delta()
    del nones
    return delta


def _biased() -> dict[str, Any]:
    from gilprobe.refs import watch

    thing = object()
    watched = watch(thing)
    before = (watched.local, watched.shared)
    taken: list[object] = []

    def take() -> None:
        taken.extend([watched.obj for _ in range(5)])

    thread = threading.Thread(target=take)
    thread.start()
    thread.join()
    return {
        "made here: (local, shared)": before if before[0] is not None else None,
        "five more from another thread: (local, shared)": (watched.local, watched.shared)
        if before[0]
        else None,
        "five more from another thread: watch.count": watched.count,
        "owner is this thread": None if watched.owner is None else watched.owner == threading.get_ident(),
    }


def name() -> str:
    """Return the version in short: ``"3.13t"``."""
    return "{}.{}".format(*sys.version_info) + ("t" if sysconfig.get_config_var("Py_GIL_DISABLED") else "")


def save(path: str) -> None:
    """Write this interpreter's answers to a file."""
    document = {"name": name(), "version": platform.python_version(), "answers": ask()}
    Path(path).write_text(json.dumps(document), encoding="utf-8")


def shown(answer: Any) -> str:
    """Return an answer in a cell's words."""
    if isinstance(answer, list):
        return f"({', '.join(map(str, answer))})"
    if isinstance(answer, bool) or answer is None:
        return str(answer)
    return f"{answer:,}"


def page(documents: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield the page, part by part."""
    names = [document["name"] for document in documents]
    machines = [
        f"| {one['name']} | CPython {one['version']}{', free-threaded' * one['name'].endswith('t')} |"
        for one in documents
    ]
    yield HEAD.format(machines="\n".join(machines), files=" ".join(f"{one}.json" for one in names))
    for title, text, rows in PARTS:
        yield f"## {title}\n\n{text}\n"
        yield "| | " + " | ".join(names) + " |"
        yield "|---|" + "--:|" * len(names)
        for row in rows:
            yield f"| `{row}` | " + " | ".join(shown(one["answers"][row]) for one in documents) + " |"
        yield ""
    yield TAIL


TAIL = """\
## What to write instead

| instead of | write |
|---|---|
| `assert sys.getrefcount(x) == 2` | `assert gilprobe.refs.watch(x).count == 1` |
| the same before and after some code | `with gilprobe.refs.track(x, expect=0): ...` |
| `[sys.getrefcount(x) for x in items]` | `gilprobe.refs.counts(items)` |

Details: [Reference counts](refs.md)."""


def main(arguments: Sequence[str]) -> int:
    """Ask, or write the page to standard output."""
    if not arguments or (arguments[0] == "--ask" and len(arguments) != 2):
        sys.stderr.write(__doc__ or "")
        return 2
    if arguments[0] == "--ask":
        save(arguments[1])
        return 0
    documents = [json.loads(Path(path).read_text(encoding="utf-8")) for path in arguments]
    documents.sort(key=lambda one: (int(one["name"].strip("t").split(".")[1]), one["name"]))
    sys.stdout.write("\n".join(page(documents)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
