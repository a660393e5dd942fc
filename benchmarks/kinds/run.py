"""Runs one kind in a process of its own, and writes the truth and what gilprobe tells.

    run.py KIND SECONDS LIBRARY RESULT [--gilprobe] [--wait] [--cpus N]

With `--wait` it says when it is ready and waits for a line, so that another tool can attach; after its work
it waits for another one, so that the tool sees nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # python -P does not

from kinds import KINDS, Kind
from kinds.told import caused_s_of, hold_share_of, read_rows, verdict_of
from kinds.truth import VICTIMS_NS, Truth

if TYPE_CHECKING:
    from kinds.base import Act


VICTIM = "victim"


def work(kind: Kind, act: Act, truth: Truth) -> None:
    """Let the culprit act until the time is over."""
    if kind.whole:
        act()
        return
    while not truth.is_over():
        begin = truth.now()
        act()
        if not kind.itself:
            truth.culprit_since(begin)
        truth.rest(alone=kind.alone)


def run(kind: Kind, act: Act, truth: Truth, seconds: float, tracing: Any) -> Any:
    """Run the culprit and its victims, and return what the trace was."""
    victims = [
        threading.Thread(target=truth.suffer, args=(mean_ns,), name=f"{VICTIM} {number}")
        for number, mean_ns in enumerate(VICTIMS_NS)
    ]
    for victim in victims if kind.early else ():
        victim.start()
    with tracing as trace:
        truth.open(seconds)
        for victim in () if kind.early else victims:
            victim.start()
        if kind.main:
            work(kind, act, truth)
        else:
            culprit = threading.Thread(target=work, args=(kind, act, truth), name="culprit")
            culprit.start()
            culprit.join()
        truth.close()
    for victim in victims:
        victim.join()
    return trace


def tracer(*, wanted: bool) -> Any:
    """Return gilprobe's trace, or nothing that can be entered."""
    if not wanted:
        return nullcontext()
    from gilprobe import trace

    return trace(stacks=True)


def written(kind: Kind, truth: Truth, trace: Any) -> dict[str, Any]:
    """Return the truth, and what gilprobe tells if it traced.

    That nobody held the GIL for a part of the waits is gilprobe's word: a program can't know when another
    thread let go, unless that notes it itself. It does not depend on who is blamed for the rest.
    """
    knows = {"unclocked": kind.unclocked, "lets_go": kind.lets_go}
    if trace is None:
        return {"facts": asdict(truth.facts(nobody_ns=None, **knows))}
    report = trace.report()
    waits = [row for row in report.blame if row.waiter.startswith(VICTIM)]
    nobody_ns = sum(row.wait_ns for row in waits if not row.holder)
    shares = hold_share_of(kind, report), caused_s_of(kind, report, VICTIM)
    return {
        "facts": asdict(truth.facts(nobody_ns=None if kind.logged else nobody_ns, **knows)),
        "reading": read_rows(kind, verdict_of(report), *shares).to_dict(),
        "victims_s": sum(row.wait_ns for row in waits) / 1e9,
        "nobody_s": nobody_ns / 1e9,
    }


def main() -> None:
    """Run the kind, and write the result."""
    made = argparse.ArgumentParser(description=__doc__)
    made.add_argument("kind", choices=KINDS)
    made.add_argument("seconds", type=float)
    made.add_argument("library")
    made.add_argument("result")
    made.add_argument("--gilprobe", action="store_true")
    made.add_argument("--wait", action="store_true")
    made.add_argument("--cpus", type=int, default=0)
    options = made.parse_args()
    if options.cpus:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.cpus])
    kind, truth = KINDS[options.kind], Truth(options.library)
    if missing := kind.missing():
        document: dict[str, Any] = {"missing": missing}
    else:
        act = kind.prepare(truth)
        if options.wait:
            print("ready", os.getpid(), flush=True)
            sys.stdin.readline()
        trace = run(kind, act, truth, options.seconds, tracer(wanted=options.gilprobe))
        if options.wait:
            sys.stdin.readline()
        document = written(kind, truth, trace)
    Path(options.result).write_text(json.dumps(document), encoding="utf-8")
    sys.stdout.flush()
    os._exit(0)  # pools and native threads may linger


if __name__ == "__main__":
    main()
