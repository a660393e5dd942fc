"""The headline of a page: sentences in runs of text, some emphasized."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilprobe.render.html.process.places import name
from gilprobe.render.shared import culprit_words, words
from gilprobe.render.shared.label_rows import ranked_labels, worst_label
from gilprobe.render.shared.wait_summary import holders, suffering_gil, traces_gil, without_cpu

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gilprobe.model.lock_ranking import LockRanking
    from gilprobe.render.shared.wait_summary import WaitSummary
    from gilprobe.report import Culprit, OpenHold, Report

Sentence = list[tuple[str, str]]
"""Runs of text, each with its kind: "" (plain), hold, wait, culprit, place or thread."""

_NAMED = 3
_LITTLE = 0.01
"""Share of the waits for locks; spins below it are not told."""

_SOME = 0.05
"""Least share of the waits behind the culprit for which a holder is named."""


def headline(
    report: Report, found: WaitSummary, locks: LockRanking, *, whole: str = "program"
) -> list[Sentence]:
    """Return the headline, which a hasty reader sees; `whole` is what the trace is about."""
    if not traces_gil(report):
        return [_for_locks(locks, f"In this {whole} without a GIL, ")]
    held = _share(report.held_ns, report.elapsed_ns)
    sentences: list[Sentence] = []
    little = found.little and report.worst is None  # of many processes one may suffer all the same
    if little:
        sentences.append([(f"The GIL hardly slows this {whole} down.", "")])
    sentences.append(
        [("It was held " if little else "The GIL was held ", ""), (held, "hold"), (" of the time.", "")]
    )
    sentences += _suffering(report)
    sentences.append(_waiting(found, known=bool(report.sites)))
    sentences += [_still_held(hold) for hold in found.still_held]
    return sentences


def _for_locks(found: LockRanking, begin: str = "") -> Sentence:
    """Return how long threads waited for locks, for which most, and where."""
    if not found.waited_ns:
        return [(f"{begin}no thread waited for a lock." if begin else "No thread waited for a lock.", "")]
    threads = words.plural(found.waiters, "thread")
    worst = found.locks[0]
    sentence = [
        (f"{begin}{threads} waited ", ""),
        (_duration(found.waited_ns), "wait"),
        (" for locks, ", ""),
        (_share(worst.lock.wait_ns, found.waited_ns), "wait"),
        (" of that for ", ""),
        (name(worst.lock.title), "culprit"),
    ]
    if worst.function:
        sentence += [(" in ", ""), *_site(worst.function, worst.filename, worst.line, "thread")]
    return [*sentence, (".", "")]


def _site(function: str, filename: str, line: int, kind: str) -> Sentence:
    """Return a function with its place."""
    if not filename:
        return [(name(function), kind)]
    short = words.short_paths([filename])[filename]
    return [(name(function), kind), (f" ({name(short)}{f':{line}' if line > 0 else ''})", "place")]


def _lock_holder(found: LockRanking) -> Sentence:
    """Return who had the lock that was waited for most."""
    worst = found.locks[0] if found.locks else None
    if worst is None or not worst.holder:
        return []
    return [
        (f"{_share(worst.holder_ns, worst.lock.wait_ns)} of the waits for it were behind ", ""),
        (name(worst.holder), "thread"),
        (", which let it go in ", ""),
        *_site(worst.holder_function, worst.holder_filename, worst.holder_line, "thread"),
        (".", ""),
    ]


def _beside_locks(found: LockRanking) -> list[Sentence]:
    """Return what else threads waited for, and how much of all waiting was without sleep."""
    sentences: list[Sentence] = []
    if found.waited_ns and found.spun_ns >= _LITTLE * found.waited_ns:
        part = _share(found.spun_ns, found.waited_ns)
        sentences.append([(f"For {part} of that time they tried again and again, without sleep.", "")])
    if found.work_ns:
        sentences.append([(f"They waited {_duration(found.work_ns)} for work, too.", "")])
    return sentences


def _suffering(report: Report) -> list[Sentence]:
    """Return the interpreter whose threads waited most, if it has a GIL of its own."""
    gil = suffering_gil(report)
    if gil is None:
        return []
    return [
        [
            (f"Threads waited most in interpreter {gil.interpreter}: its own GIL was held ", ""),
            (_share(gil.held_ns, gil.lifetime_ns), "hold"),
            (f" and contended {_share(gil.contended_ns, gil.lifetime_ns)} of its time.", ""),
        ]
    ]


def _still_held(hold: OpenHold) -> Sentence:
    """Return which hold had not ended, and where its thread was."""
    function, filename, line, callee = hold.seen_at
    state = f", {hold.state}" if hold.state else ""
    short = words.short_paths([filename])
    return [
        ("It was still held at the end: by ", ""),
        (name(hold.thread) or "?", "thread"),
        (", for ", ""),
        (_duration(hold.hold_ns), "hold"),
        (" so far, in ", ""),
        (name(function), "culprit"),
        (f" ({name(short[filename])}:{line})" if filename else "", "place"),
        (f" in {name(callee)}" if callee else "", "culprit"),
        (f"{state}.", ""),
    ]


def _waiting(found: WaitSummary, *, known: bool) -> Sentence:
    """Return who waited, for how long, and behind what."""
    if not found.waited_ns:
        return [("No thread waited for it.", "")]
    sentence = [
        (f"{words.plural(found.threads, 'thread')} waited ", ""),
        (_duration(found.waited_ns), "wait"),
        (" for it", ""),
    ]
    culprit = found.culprit
    if culprit is None:
        return [*sentence, (", none while another one held it." if known else ".", "")]
    if found.nobody_is_worse:
        free = _share(found.nobody_ns, found.waited_ns)
        return [*sentence, (", ", ""), (free, "wait"), (" of that while nobody held it.", "")]
    behind = _share(culprit.caused_ns, found.waited_ns)
    return [
        *sentence,
        (", ", ""),
        (behind, "wait"),
        (" of that behind ", ""),
        *_culprit(found, culprit, "culprit"),
        (".", ""),
    ]


def _culprit(found: WaitSummary, culprit: Culprit, kind: str) -> Sentence:
    """Return what a culprit is: its function with the place, and what it called; else the thread."""
    if not culprit.function:
        return [(name(culprit.thread), kind)]
    told = [(f"{name(culprit_words.task(culprit))} in ", kind)] if culprit.task else []
    told.append((name(culprit.function), kind))
    if culprit.filename:
        short = words.short_paths([culprit.filename])[culprit.filename]
        line = f":{culprit.line}" if culprit.line > 0 else ""
        told.append((f" ({name(short)}{line})", "place"))
    if parts := culprit_words.callees(culprit, found.waited_ns):
        return [*told, (": ", ""), *_callees(parts, kind)]
    return [*told, (" in ", ""), (name(culprit.called), kind)] if culprit.called else told


def _callees(parts: Sequence[tuple[str, str]], kind: str) -> Sentence:
    told: Sentence = []
    for number, (called, part) in enumerate(parts):
        if number:
            told.append((" and " if number == len(parts) - 1 else ", ", ""))
        told += [(name(called), kind), (f" {part}".replace("%", "\u202f%"), "")]
    return told


def more(report: Report, found: WaitSummary, locks: LockRanking) -> list[Sentence]:
    """Return the text below the headline: who held there, who waited most, what the figures mean."""
    about_locks = [_lock_holder(locks), *_beside_locks(locks)] if report.locks is not None else []
    if not traces_gil(report):
        return [sentence for sentence in about_locks if sentence]
    sentences = [
        *_free(found),
        _holders(found, report),
        _certainty(found),
        [] if found.little else _payer(report),
        _label(report),
    ]
    if found.little and found.culprit is not None:
        sentences.append(
            [("One thread held it while another waited for less than 1\u202f% of the time.", "")]
        )
    idle_ns, hold_ns = without_cpu(report)
    if hold_ns:
        idle = f"{_share(idle_ns, hold_ns)} of all holding ({_duration(idle_ns)}) used no CPU time"
        sentences.append([(f"{idle}: blocked in the kernel, waiting for a core, or stopped.", "")])
    if any(thread.interpreter for thread in report.threads):
        sentences.append(
            [
                (
                    "Held and contended are about the main interpreter's GIL, all else is about all GILs.",
                    "",
                )
            ]
        )
    if report.locks is not None and locks.waited_ns:
        sentences += [_for_locks(locks, "Beside the GIL, "), *about_locks]
    return [sentence for sentence in sentences if sentence]


def _free(found: WaitSummary) -> list[Sentence]:
    """Return why threads waited for a free GIL, and the culprit, which the headline then does not name."""
    if found.culprit is None or not found.nobody_is_worse:
        return []
    behind = _share(found.culprit.caused_ns, found.waited_ns)
    return [
        [("It was free then, but the next thread did not run yet.", "")],
        [(f"{behind} of all waiting was behind ", ""), *_culprit(found, found.culprit, "thread"), (".", "")],
    ]


def _certainty(found: WaitSummary) -> Sentence:
    """Return how certain the culprit's share is, if looks tell it."""
    culprit = found.culprit
    told = "" if culprit is None else culprit_words.certainty(culprit)
    if culprit is None or not told:
        return []
    share = f"That share is an estimate: {told}.".replace("%", "\u202f%")
    return [(share, "")]


def _holders(found: WaitSummary, report: Report) -> Sentence:
    """Return the threads that held at the culprit, if few."""
    culprit = found.culprit
    threads = holders(report, culprit) if culprit is not None and culprit.function else []
    whole = sum(caused for _, caused in threads)
    named = [(holder, caused) for holder, caused in threads if caused >= _SOME * whole]
    if not named:
        return []
    if len(named) > _NAMED:
        return [(f"It was held there by {words.plural(len(threads), 'thread')}.", "")]
    shown = [(name(holder), _share(caused, whole)) for holder, caused in named]
    if len(threads) == 1:
        return [("It was held there by ", ""), (shown[0][0], "thread"), (".", "")]
    return [("It was held there by ", ""), *_listed(shown), (".", "")]


def _listed(shown: Sequence[tuple[str, str]]) -> Sentence:
    sentence: Sentence = []
    for number, (who, part) in enumerate(shown):
        if number:
            sentence.append((" and " if number == len(shown) - 1 else ", ", ""))
        sentence += [(who, "thread"), (f" ({part})", "")]
    return sentence


def _payer(report: Report) -> Sentence:
    """Return the thread that waited longest; nothing if only one waited."""
    single = [
        thread for thread in report.threads if thread.merged == 1 and thread.wait_ns and thread.lifetime_ns
    ]
    if len(single) < 2:
        return []
    worst = max(single, key=lambda thread: thread.wait_ns)
    part = _share(worst.wait_ns, worst.lifetime_ns)
    return [
        (name(worst.name) or "?", "thread"),
        (" paid most: it waited ", ""),
        (f"{_duration(worst.wait_ns)}, {part}", "wait"),
        (" of its life.", ""),
    ]


def _label(report: Report) -> Sentence:
    """Return which label's code waited longest, and behind which label."""
    worst = worst_label(ranked_labels(report))
    if worst is None:
        return []
    return [
        (name(worst.totals.name), "thread"),
        (" is the label that waited longest: ", ""),
        (_duration(worst.totals.wait_ns), "wait"),
        (f", {_share(worst.behind_ns, worst.totals.wait_ns)} behind ", ""),
        (name(worst.behind) or "nobody", "thread"),
        (".", ""),
    ]


def _share(part: int, whole: int) -> str:
    return words.share(part, whole).replace("%", "\u202f%")


def _duration(ns: int) -> str:
    return words.duration_on_page(ns / 1e9).replace(" ", "\u00a0")
