"""Measures whether an audit is right: about calls whose released share is known, and the gain of threads.

The known shares are those of `kernels.alternate`, which holds and releases by turns and measures both with
its own clock. The other calls are of the standard library; their sources show whether they release the GIL.
"""

from __future__ import annotations

import hashlib
import json
import pickle
import random
import re
import sys
import time
import zlib
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parent))  # python -P does not

import common
from common import Question, Row

from gilprobe._native import kernels
from gilprobe.auditing.auditor import NOTHING, AuditRequest, carry_out, take_samples
from gilprobe.auditing.release_size import least_releasing_size
from gilprobe.auditing.traced_calls import released_shares
from gilprobe.measuring.measure import Settings
from gilprobe.scenarios.contention.stdlib_audit import expected_steps

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Sequence

    Call = Callable[[], object]

US, MS = 1000, 1_000_000
KIB, MIB = 1 << 10, 1 << 20
LENGTHS_NS = (20 * US, MS, 100 * MS)
SHARES = (0.1, 0.5, 0.9)
PICK = random.Random(1)
WORDS = b" ".join(PICK.randbytes(4).hex().encode() for _ in range(MIB // 9))
NUMBERS = [PICK.random() for _ in range(20_000)]
RECORDS = [{"id": number, "price": number / 7} for number in range(4_000)]
HEXADECIMAL = re.compile(rb"\b[0-9a-f]*7[0-9a-f]*\b")


def count_down(steps: int = 50_000) -> None:
    """Compute in pure Python."""
    while steps:
        steps -= 1


RELEASING: dict[str, Call] = {
    "hashlib.sha256, 16 MiB": partial(hashlib.sha256, bytes(16 * MIB)),
    "zlib.compress, 1 MiB": partial(zlib.compress, WORDS),
    "time.sleep, 10 ms": partial(time.sleep, 0.01),
}
HOLDING: dict[str, Call] = {
    "json.dumps": partial(json.dumps, RECORDS),
    "re.findall": partial(HEXADECIMAL.findall, WORDS[: 64 * KIB]),
    "pickle.dumps": partial(pickle.dumps, RECORDS),
    "sorted": partial(sorted, NUMBERS),
    "pure Python": count_down,
}
PREDICTED: dict[str, Call] = {
    **RELEASING,
    **HOLDING,
    "hashlib.blake2b, 1 MiB": partial(hashlib.blake2b, WORDS),
    "alternate, 25 % held": partial(kernels.alternate, 1, 2 * MS, 6 * MS),
    "alternate, 75 % held": partial(kernels.alternate, 1, 6 * MS, 2 * MS),
    "alternate, 90 % held": partial(kernels.alternate, 1, 9 * MS, MS),
}


def request(
    name: str, call: Call, options: argparse.Namespace, threads: tuple[int, ...] = (1,)
) -> AuditRequest:
    """Return what an audit is asked with."""
    frame = Settings(repeat=max(2, options.repeat), arm_ns=int(options.work * 1e9))
    return AuditRequest(name, call, NOTHING, threads, frame, lambda _label, _share: None)


def released(name: str, call: Call, options: argparse.Namespace) -> tuple[float, ...]:
    """Return the released share of each sample."""
    shares = take_samples(request(name, call, options))
    return released_shares(shares.samples, shares.overhead)


def true_share(call: Callable[[], tuple[int, int, int, int]], calls: int) -> float:
    """Return the released share by the kernel's own clock: of its work, without the cost of the releases."""
    spent = [call() for _ in range(calls)]
    held, free = sum(one[0] for one in spent), sum(one[2] for one in spent)
    return free / (held + free)


def known(options: argparse.Namespace) -> Iterator[Row]:
    """Audit calls whose share is known."""
    for length_ns in LENGTHS_NS:
        for share in SHARES:
            call = partial(kernels.alternate, 1, round(length_ns * (1 - share)), round(length_ns * share))
            truth = true_share(call, max(1, min(1000, 50 * MS // length_ns)))
            found = released(f"alternate, {share:.0%}", call, options)
            errors = [100 * (one - truth) for one in found]
            yield Row(
                f"released share of alternate: {share:.0%} of {length_ns / MS:g} ms, error",
                "within 1 point",
                "points",
                errors,
                common.judge(errors, lambda error: abs(error) <= 1),
                f"truth {truth:.2%}",
            )


def at_least(options: argparse.Namespace) -> Iterator[Row]:
    """Audit calls that release the GIL."""
    for name, call in RELEASING.items():
        found = released(name, call, options)
        verdict = common.judge(found, lambda share: share >= 0.99)
        yield Row(f"released share: {name}", ">= 0.99", "", found, verdict)


def at_most(options: argparse.Namespace) -> Iterator[Row]:
    """Audit calls that never release it."""
    for name, call in HOLDING.items():
        found = released(name, call, options)
        verdict = common.judge(found, lambda share: share <= 0.01)
        yield Row(f"released share: {name}", "<= 0.01", "", found, verdict)


def step(options: argparse.Namespace) -> Iterator[Row]:
    """Search for the least size at which a hash releases the GIL."""
    expected = expected_steps(sys.version.split()[0])["hashlib.sha256"]

    def prepared(size: int) -> nullcontext[Call]:
        return nullcontext(partial(hashlib.sha256, bytes(size)))

    found = [least_releasing_size(prepared, 64, 4096) for _ in range(options.repeat)]
    verdict = common.judge(found, lambda size: size == expected)
    yield Row("least size for which hashlib.sha256 releases", f"{expected:,} bytes", "bytes", found, verdict)


def predicted(options: argparse.Namespace) -> Iterator[Row]:
    """Compare the speedup of two threads with what the holds of the call allow."""
    for name, call in PREDICTED.items():
        audits = [carry_out(request(name, call, options, (1, 2))) for _ in range(options.rounds)]
        pairs = [(audit.speedups[0].measured, audit.speedups[0].allowed or 0.0) for audit in audits]
        errors = [100 * abs(measured / allowed - 1) for measured, allowed in pairs]
        yield Row(
            f"predicted against measured speedup at T = 2: {name}",
            "within 10 %",
            "%",
            errors,
            common.judge(errors, lambda error: error <= 10),
            "; ".join(f"predicted {allowed:.2f}, measured {measured:.2f}" for measured, allowed in pairs),
        )


QUESTIONS: Sequence[Question] = (
    Question("released share of alternate", "within 1 point", known),
    Question("released share of calls that release", ">= 0.99", at_least),
    Question("released share of calls that hold", "<= 0.01", at_most),
    Question("least size for which hashlib.sha256 releases", "the documented one", step),
    Question("predicted against measured speedup at T = 2", "within 10 %", predicted),
)


def main() -> int:
    """Run the benchmark."""
    made = common.parser("Is an audit right?", repeat=5)
    made.add_argument("--work", type=common.seconds, default=0.2, help="seconds of an arm (%(default)s)")
    made.add_argument(
        "--rounds", type=common.positive, default=3, help="audits a call, of T = 2 (%(default)s)"
    )
    options = made.parse_args()
    common.check_file(options, made)
    if options.quick:
        options.repeat, options.work, options.rounds = min(options.repeat, 2), 0.01, 1
    return common.main("audit", options, QUESTIONS)


if __name__ == "__main__":
    sys.exit(main())
