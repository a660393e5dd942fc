"""What a page is told of a process: words, sums and numbers that fit together."""

from __future__ import annotations

import dataclasses
import json
import random

import pytest

from gilprobe.model.labels import LabelBlame, LabelTotals
from gilprobe.model.lock_ranking import rank_locks
from gilprobe.model.pauses import Collection
from gilprobe.model.traced_process import TracedProcess
from gilprobe.render.html.process import headline as told
from gilprobe.render.html.process import process_data
from gilprobe.render.html.process.places import NOWHERE
from gilprobe.render.shared.wait_summary import ANY, Question, summarise_waits
from gilprobe.report import Blame, Frame, LoopTask, OpenHold, OwnGil, Site, Stack

pytestmark = pytest.mark.plain_python


def described(report, question=ANY, **changes):
    return process_data.described(TracedProcess("x.gilprobe", report, **changes), question=question)


def headline(report, question=ANY):
    return told.headline(report, summarise_waits(report, question), rank_locks(report))


def more(report):
    return told.more(report, summarise_waits(report), rank_locks(report))


def text(sentences):
    return [
        "".join(run for run, _ in sentence).replace("\u202f", " ").replace("\u00a0", " ")
        for sentence in sentences
    ]


def test_the_headline_names_the_culprit_and_what_it_cost(report):
    assert text(headline(report)) == [
        "The GIL was held 90 % of the time.",
        "3 threads waited 900 ms for it, 66 % of that behind JSONEncoder.iterencode (lib/encoder.py:250).",
    ]
    assert ("JSONEncoder.iterencode", "culprit") in headline(report)[1]
    assert text(more(report)) == [
        "It was held there by worker 1.",
        "worker 2 paid most: it waited 600 ms, 60 % of its life.",
    ]


def test_the_headline_says_if_the_gil_is_not_what_makes_a_program_slow(report):
    calm = dataclasses.replace(report, contended_ns=1_000_000)
    assert text(headline(calm))[:2] == [
        "The GIL hardly slows this program down.",
        "It was held 90 % of the time.",
    ]
    assert text(more(calm)) == [
        "It was held there by worker 1.",
        "One thread held it while another waited for less than 1 % of the time.",
    ]


def test_the_headline_speaks_for_the_process_alone_if_others_were_contended(report):
    calm = dataclasses.replace(report, contended_ns=1_000_000)
    page = process_data.described(TracedProcess("x.gilprobe", calm), all_clear=False)
    assert text(page["headline"])[0] == "The GIL hardly slows this process down."


def test_the_headline_counts_interpreters_with_a_gil_of_their_own(report):
    own = OwnGil(3, 500_000_000, 490_000_000, 400_000_000, 2_000_000_000, 9)
    page = described(dataclasses.replace(report, contended_ns=1, own_gils=(own,)))
    assert text(page["headline"])[:2] == [
        "The GIL was held 90 % of the time.",
        "Threads waited most in interpreter 3: its own GIL was held 98 % and contended 80 % of its time.",
    ]


def test_shares_of_all_holds_count_those_of_other_interpreters(report):
    """Tasks and labels are of all of them: they were told to be more than all."""
    own = OwnGil(3, 500_000_000, report.held_ns, 0, 0, 0)
    task = LoopTask("poll", "fetch", "/srv/app.py", 20, report.held_ns // 2, 0, 40)
    site = dataclasses.replace(report.sites[0], hold_ns=2 * report.held_ns, looks=400)
    page = described(dataclasses.replace(report, own_gils=(own,), tasks=(task,), sites=(site,)))
    assert page["all_held_ns"] == 2 * report.held_ns
    (row,) = page["tasks"]
    assert row["low"] < 0.25 < row["high"] < 0.5


def test_the_headline_says_what_was_still_held(report):
    hold = OpenHold("worker 1", 4711, 0, "running", 400_000_000, (Frame("encode", "/srv/app.py", 9),))
    page = described(dataclasses.replace(report, still_held=(hold,)))
    assert text(page["headline"])[-1] == (
        "It was still held at the end: by worker 1, for 400 ms so far, in encode (srv/app.py:9), running."
    )
    assert ("encode", "culprit") in page["headline"][-1]


def test_the_headline_says_if_most_waiting_was_behind_nobody(report):
    handoff = dataclasses.replace(report.blame[1], wait_ns=700_000_000)
    free = dataclasses.replace(report, blame=(report.blame[0], handoff))
    assert text(headline(free))[1] == "3 threads waited 900 ms for it, 78 % of that while nobody held it."
    assert text(more(free))[:2] == [
        "It was free then, but the next thread did not run yet.",
        "66 % of all waiting was behind JSONEncoder.iterencode (lib/encoder.py:250).",
    ]


def test_the_headline_does_without_sites_and_without_waits(report, account):
    bare = dataclasses.replace(report, sites=(), stacks=(), blame=(), longest_waits=())
    assert text(headline(bare))[1] == "3 threads waited 900 ms for it."
    alone = dataclasses.replace(report, threads=(account(wait_ms=0),), blame=(), contended_ns=0)
    assert text(headline(alone))[-1] == "No thread waited for it."
    assert text(more(dataclasses.replace(alone, sites=()))) == []


def test_below_the_headline_stands_what_holding_used_no_cpu_and_which_gil_is_meant(report, account):
    threads = (account(hold_cpu_ns=450_000_000), account("other", interpreter=2))
    assert text(more(dataclasses.replace(report, threads=threads)))[-2:] == [
        (
            "25 % of all holding (150 ms) used no CPU time: "
            "blocked in the kernel, waiting for a core, or stopped."
        ),
        "Held and contended are about the main interpreter's GIL, all else is about all GILs.",
    ]


def test_everything_is_plain_data_and_refers_to_what_is_there(report):
    page = json.loads(json.dumps(described(report)))
    assert [(place["function"], place["line"]) for place in page["places"]] == [
        ("JSONEncoder.iterencode", 250),
        ("(start or end of a thread)", 0),
        ("JSONEncoder.iterencode", 0),  # as functions
        ("main", 0),
        ("main", 3),
        ("recv", 40),
    ]
    assert page["places"][0] == {
        "function": "JSONEncoder.iterencode",
        "file": "/lib/encoder.py",
        "short": "lib/encoder.py",
        "line": 250,
    }
    assert page["blame"] == [[2, 1, 0, 590_000_000], [2, NOWHERE, NOWHERE, 10_000_000]]
    (stall,) = page["stalls"]
    assert (stall["waiter_thread"], stall["holder_thread"]) == (2, 1)
    assert (stall["waiter_place"], stall["holder_place"]) == (5, 0)
    calls, functions = page["culprits"]
    assert (calls["by"], calls["disjoint"], functions["by"], functions["disjoint"]) == (
        "call", True, "function", False,
    )  # fmt: skip
    assert calls["rows"] == [
        {
            "thread": "worker 1", "place": 0, "called": "", "several": False, "task": "",
                "caused_ns": 590_000_000, "own_ns": 590_000_000,
            "looks": 0, "low": None, "high": None,
        }
    ]  # fmt: skip
    assert page["doubts"] == ["a doubt about the trace"]
    assert page["environment"]["interpreter"] == "CPython 3.13.0 (gil build, GIL on)"
    assert page["flame"]["recorded"] is True


LINE = ("export", "/srv/app.py", 9)


@pytest.fixture
def looked(report):
    """Return a report whose culprit is known by looks, in a call of `json.dumps`."""
    frames = (
        Frame(*LINE),
        Frame("dumps", "/usr/lib/python3.11/json/__init__.py", 231),
        Frame("json.Encoder", "", 0),
    )
    dumps = {
        "function": "dumps",
        "filename": frames[1].filename,
        "line": 231,
        "callee": "json.Encoder",
        "looks": 150,
    }
    site, row = (dataclasses.replace(one, **dumps) for one in (report.sites[0], report.blame[0]))
    line = {"function": "export", "filename": "/srv/app.py", "line": 9, "callee": "", "looks": 5}
    other = dataclasses.replace(row, **line, stack=1, wait_ns=20_000_000)
    return dataclasses.replace(
        report,
        sites=(site,),
        stacks=(Stack(frames, 1, 1, 1, 1), Stack(frames[:1], 1, 1, 1, 1)),
        blame=(row, other, report.blame[1]),
        looks=200,
        looks_unseen=2,
        unshared_wait_ns=7,
    )


def test_what_was_cut_short_or_dropped_is_a_doubt(report):
    doubts = described(dataclasses.replace(report, dropped_events=7), complete=False)["doubts"]
    assert any("7 events are missing" in doubt for doubt in doubts)
    assert any("was not ended" in doubt for doubt in doubts)


def test_the_verdict_by_call_has_what_was_called_and_how_certain_it_is(looked):
    assert text(headline(looked))[1] == (
        "3 threads waited 900 ms for it, 68 % of that behind export (srv/app.py:9): "
        "json.dumps 66 % and itself 2 %."
    )
    below = text(more(looked))
    assert below[0] == "It was held there by worker 1."
    assert below[1] == "That share is an estimate: 95% interval 66 to 68 %, from 155 looks.".replace(
        "95%", "95 %"
    )
    page = described(looked)
    first = page["culprits"][0]["rows"][0]
    assert (first["called"], first["looks"]) == ("json.dumps 66\u202f%, itself 2\u202f%", 155)
    assert 0 < first["low"] < 610 / 900 <= first["high"] < 1
    assert (page["looks"], page["looks_unseen"], page["unshared_wait_ns"]) == (200, 2, 7)
    (site,) = page["sites"]
    assert site["looks"] == 150
    assert page["places"][site["place"]]["callee"] == "json.Encoder"
    assert [page["places"][place]["function"] for _, _, place, _ in page["blame"][:2]] == ["dumps", "export"]


def test_a_line_that_called_several_is_told_with_all_of_them(looked):
    freed = dataclasses.replace(
        looked.stacks[0], frames=(looked.stacks[0].frames[0], Frame("freeing <b>\u202e", "", 0))
    )
    other = dataclasses.replace(looked.blame[0], stack=2, wait_ns=90_000_000)
    found = dataclasses.replace(looked, stacks=(*looked.stacks, freed), blame=(*looked.blame, other))
    told = "export (srv/app.py:9): json.dumps 66 %, freeing <b>\\u202e 10 % and itself 2 %."
    assert text(headline(found))[1] == f"3 threads waited 900 ms for it, 78 % of that behind {told}"
    first = described(found)["culprits"][0]["rows"][0]
    assert (first["caused_ns"], first["several"]) == (700_000_000, True)
    called = "json.dumps 66\u202f%, freeing <b>\\u202e 10\u202f%, itself 2\u202f%"
    assert first["called"] == called


def test_the_verdict_can_be_about_something_else(looked):
    page = described(looked, question=Question("thread"))
    (table,) = page["culprits"]
    assert [(row["thread"], row["place"], row["caused_ns"]) for row in table["rows"]] == [
        ("worker 1", NOWHERE, 610_000_000)
    ]
    assert text(headline(looked, Question("thread")))[1].endswith("68 % of that behind worker 1.")
    assert text(headline(looked, Question("module")))[1].endswith("behind json (json/__init__.py).")


def test_without_stacks_and_looks_the_sites_are_the_verdict(report):
    page = described(dataclasses.replace(report, stacks=()))
    assert page["culprits"] == []


def test_sites_beyond_those_that_are_listed_are_summed(report):
    sites = tuple(Site(f"f{n}", "a.py", n, 1, n, 2 * n, 3 * n) for n in range(1, 2501))
    page = described(dataclasses.replace(report, sites=sites, stacks=()))
    assert len(page["sites"]) == 2000
    assert page["other_sites"]["count"] == 500
    for key in ("hold_ns", "wait_ns", "caused_ns", "releases"):
        assert sum(site[key] for site in page["sites"]) + page["other_sites"][key] == sum(
            getattr(site, key) for site in sites
        )
    assert described(report)["other_sites"] is None


def test_rows_of_blame_beyond_those_that_are_kept_still_count_for_their_waiter(report, account):
    random_ = random.Random(3)
    threads = tuple(account(f"t{n}", native_id=n + 1, ended=False) for n in range(60))
    rows = tuple(
        Blame(
            f"t{w}",
            w + 1,
            f"t{h}" if h else "",
            h + 1 if h else 0,
            "f",
            "a.py",
            line,
            None,
            random_.randint(1, 999),
        )
        for w in range(60)
        for h in range(60)
        for line in (1, 2)
    )
    page = described(dataclasses.replace(report, threads=threads, blame=rows))
    assert len(page["blame"]) <= 3000 + 60
    for waiter in (0, 59):
        shown = sum(ns for who, _, _, ns in page["blame"] if who == waiter)
        assert shown == sum(row.wait_ns for row in rows if row.waiter == f"t{waiter}")
    assert {holder for _, holder, _, _ in page["blame"]} >= {NOWHERE, process_data.OTHERS}


def test_a_page_of_thousands_of_threads_and_sites_is_small(report, account):
    threads = tuple(account(f"t{chr(97 + n % 26)}{n}", ended=False, native_id=n + 1) for n in range(10_000))
    sites = tuple(
        Site(f"module.function_{n}", f"/srv/app/m{n % 99}.py", n, 1, n, n, n) for n in range(20_000)
    )
    whole = described(dataclasses.replace(report, threads=threads, sites=sites, stacks=()))
    assert len(json.dumps(whole)) < 1_500_000


def test_collections_of_garbage_are_a_table_and_part_of_the_longest_waits(report):
    def row(number):
        return Collection("worker 1", 4711, 0, 2, "load", "a.py", number, 1, 9, 9, 9, number, 3, 0)

    (stall,) = report.longest_waits
    data = described(
        dataclasses.replace(
            report,
            collections=tuple(map(row, range(process_data.MOST_COLLECTIONS + 3))),
            longest_waits=(dataclasses.replace(stall, pause_ns=7, pause_generation=1),),
        )
    )
    table = data["collections"]
    assert (len(table["rows"]), table["more"]) == (process_data.MOST_COLLECTIONS, 3)
    first = table["rows"][0]
    assert (first["thread"], first["generation"], first["caused_ns"], first["collected"]) == (
        "worker 1", 2, process_data.MOST_COLLECTIONS + 2, 3,
    )  # fmt: skip
    assert data["places"][first["place"]]["function"] == "load"
    assert (data["stalls"][0]["pause_ns"], data["stalls"][0]["pause_generation"]) == (7, 1)
    assert described(report)["collections"] == {"more": 0, "rows": []}


def test_labels_are_two_bounded_tables_and_a_sentence(report):
    number = process_data.MOST_LABELS + 2
    data = described(
        dataclasses.replace(
            report,
            labels=tuple(LabelTotals(f"<b>{at}", 1, at, 2, 3, 4) for at in range(number)),
            label_blame=tuple(LabelBlame(f"<b>{at}", "a\x1b", at) for at in range(number)),
        )
    )
    table, last = data["labels"], number - 1
    assert (
        (len(table["rows"]), table["more"]) == (len(table["blame"]), table["more_blame"]) == (number - 2, 2)
    )
    first = table["rows"][0]
    assert (first["label"], first["wait_ns"], first["behind_ns"]) == (f"<b>{last}", last, last)
    assert table["blame"][0] == {"waiter": f"<b>{last}", "holder": first["behind"], "wait_ns": last}
    assert "\x1b" not in first["behind"]
    (sentence,) = ["".join(text for text, _ in runs) for runs in data["more"] if "label" in runs[1][0]]
    assert sentence.startswith(f"<b>{last} is the label that waited longest: ")
    assert described(report)["labels"] == {"more": 0, "rows": [], "more_blame": 0, "blame": []}
