"""A report as text: the culprit first, both sides of each wait, all of the data, nothing that is obeyed."""

from __future__ import annotations

import dataclasses

import pytest
from hostile_names import HOSTILE

from gilprobe.model.culprits import KINDS
from gilprobe.model.distribution import Distribution
from gilprobe.model.labels import NO_LABEL, LabelBlame, LabelTotals
from gilprobe.model.pauses import Collection
from gilprobe.model.traced_process import TracedProcess
from gilprobe.render.shared.page import PLAIN, Look
from gilprobe.render.shared.wait_summary import Question
from gilprobe.render.shared.words import clipped, place, short_paths
from gilprobe.render.text.trace_text import render_process, render_processes, render_report
from gilprobe.report import Blame, Frame, OpenHold, OwnGil, Site, Stack, Stall

pytestmark = pytest.mark.plain_python


def lines_after(text, heading):
    """Return the lines of the part under a heading."""
    lines = text.split("\n")
    part = lines[lines.index(heading) + 1 :]
    return part[: part.index("")] if "" in part else part


def site(number, **changes):
    made = Site(f"function_{number}", f"/srv/app/m{number}.py", number, 1, number * 10**6, 0, number * 10**5)
    return dataclasses.replace(made, **changes)


def test_the_headline_names_the_worst_culprit(report):
    assert render_report(report).split("\n")[:3] == [
        "Traced 1 s: GIL held 90%, contended 30%, 5 handoffs",
        "3 threads waited 900 ms in all",
        "66% of all waiting was behind JSONEncoder.iterencode (lib/encoder.py:250), thread worker 1",
    ]


def test_without_stacks_and_looks_the_headline_names_the_line_where_the_holds_ended(report):
    blame = tuple(dataclasses.replace(row, stack=None) for row in report.blame)
    text = render_report(dataclasses.replace(report, stacks=(), blame=blame))
    assert "\n66% of all waiting was behind JSONEncoder.iterencode (lib/encoder.py:250)\n" in text
    assert "What made threads wait" not in text


EXPORT, SEARCH = Frame("export", "/srv/app.py", 9), Frame("search", "/srv/app.py", 20)
DUMPS = Frame("dumps", "/usr/lib/python3.11/json/__init__.py", 231)
ENCODE = Frame("JSONEncoder.encode", "/usr/lib/python3.11/json/encoder.py", 200)
FINDALL = Frame("re.Pattern.findall", "", 0)


@pytest.fixture
def looked(report, account):
    """Return a report of an exporter and two searchers, by looks."""
    stacks = ((EXPORT, DUMPS), (EXPORT, DUMPS, ENCODE), (SEARCH, FINDALL), (SEARCH,))
    rows = (
        ("exporter", 0, 200, 60), ("exporter", 1, 300, 90), ("search_0", 2, 200, 60),
        ("search_1", 2, 100, 30), ("search_1", 3, 50, 0),
    )  # fmt: skip
    blame, sites = [], []
    for holder, stack, wait_ms, looks in rows:
        *_, line, last = (Frame("", "", 0), *stacks[stack])
        place, callee = (last, "") if last.filename else (line, last.function)
        where = (place.function, place.filename, place.line)
        blame.append(
            Blame("w", 1, holder, len(holder), *where, stack, wait_ms * 10**6, callee=callee, looks=looks)
        )
        sites.append(Site(*where, 1, wait_ms * 10**6, 0, wait_ms * 10**6, callee=callee, looks=looks))
    return dataclasses.replace(
        report,
        threads=(account("w", 0, 1000, 0, native_id=1),),
        stacks=tuple(Stack(frames, 1, 1, 0, 1) for frames in stacks),
        blame=(*blame, Blame("w", 1, "", 0, "(handoff)", "", 0, None, 150_000_000)),
        sites=tuple(sites),
        looks=250,
        looks_unseen=1,
        unshared_wait_ns=50_000_000,
    )


def test_the_verdict_is_by_call(looked):
    text = render_report(looked)
    assert (
        "\n50% of all waiting was behind export (srv/app.py:9) in json.dumps, thread exporter "
        "(95% interval 45 to 55%, from 150 looks)\n"
    ) in text
    rows = [
        [cell.strip() for cell in line.split("  ") if cell.strip()]
        for line in lines_after(text, "What made threads wait, by call")
    ]
    assert rows[0] == [
        "waits caused", "of all waiting", "own", "95% interval", "looks", "thread", "line of own code",
        "called",
    ]  # fmt: skip
    assert rows[2:] == [
        ["500 ms", "50%", "20%", "45 to 55%", "150", "exporter", "export (srv/app.py:9)", "json.dumps"],
        [
            "350 ms",
            "35%",
            "35%",
            "30 to 40%",
            "90",
            "search_N x 2",
            "search (srv/app.py:20)",
            "re.Pattern.findall 30%, itself 5%",
        ],
    ]
    functions = [line.split()[2:4] for line in lines_after(text, "What made threads wait, by function")[2:]]
    assert functions == [["30%", "30%"], ["30%", "30%"], ["50%", "20%"], ["35%", "5%"]]
    order = [text.index(f"What made threads wait, by {kind}") for kind in ("call", "function")]
    assert order == sorted(order)
    assert order[1] < text.index("Where the GIL was held while others waited")


def test_a_line_is_told_with_all_that_it_called(looked):
    """Shares are of all waiting; the smallest are summed up, and what rounds to nothing is left out."""
    names = ("json.dumps", "freeing", "", "list", "set", "dict")
    line = (EXPORT,)
    parts = tuple((*line, Frame(name, "", 0)) if name else line for name in names)
    weights = (300, 150, 60, 20, 20, 4)
    blame = [
        Blame("w", 1, "exporter", 8, parts[n][-1].function, "", 0, n, weights[n] * 10**6)
        for n in range(len(parts))
    ]
    found = dataclasses.replace(
        looked, stacks=tuple(Stack(frames, 1, 1, 0, 1) for frames in parts), blame=tuple(blame)
    )
    told = "json.dumps 30%, freeing 15%, itself 6% and 2 more 4%, thread exporter"
    assert f"\n55% of all waiting was behind export (srv/app.py:9): {told}" in render_report(found)
    (row,) = lines_after(render_report(found), "What made threads wait, by call")[2:]
    assert row.rstrip().endswith("  json.dumps 30%, freeing 15%, itself 6%, 2 more 4%")
    one = dataclasses.replace(found, blame=(blame[0], blame[5]))
    assert "\n30% of all waiting was behind export (srv/app.py:9) in json.dumps, thread" in render_report(one)


def test_the_verdict_says_what_looks_tell(looked):
    text = render_report(looked)
    assert "\n250 looks at random times share holds and waits out among the lines that ran; " in text
    assert " 1 more look could not see what ran. 5% of all waiting is told by where holds ended: " in text
    assert "A hold counts for the line where it ended" not in text
    held = lines_after(text, "Where the GIL was held longest")
    assert held[0].split() == [
        "hold", "of", "all", "holds", "95%", "interval", "looks", "releases", "site",
    ]  # fmt: skip
    assert held[2].split()[2:8] == ["33%", "28", "to", "39%", "90", "1"]
    assert "search (srv/app.py:20) in re.Pattern.findall" in text


@pytest.mark.parametrize("by", KINDS)
def test_the_verdict_can_be_by_something_else(looked, by):
    text = render_report(looked, question=Question(by))
    behind = {
        "call": "50% of all waiting was behind export (srv/app.py:9) in json.dumps, thread exporter (",
        "function": "30% of all waiting was behind JSONEncoder.encode (json/encoder.py) (",
        "line": "30% of all waiting was behind JSONEncoder.encode (json/encoder.py:200) (",
        "thread": "50% of all waiting was behind thread exporter (",
        "module": "85% of all waiting was behind app (srv/app.py), 35% in itself (",
        "task": "50% of all waiting was behind thread exporter (",
    }
    assert f"\n{behind[by]}" in text
    assert [line for line in text.split("\n") if line.startswith("What made")] == [
        f"What made threads wait, by {by}"
    ]


def test_own_folders_decide_what_the_line_is(looked):
    text = render_report(looked, question=Question("call", ("/usr/lib/python3.11/json",)))
    told = "dumps (json/__init__.py:231): json.encoder.JSONEncoder.encode 30% and itself 20%, "
    assert f"\n50% of all waiting was behind {told}" in text
    lines = lines_after(text, "What made threads wait, by call")[2:]
    assert ["search (srv/app.py)" in line for line in lines] == [False, True]


def test_every_thread_is_shown_with_its_longest_wait(report, account):
    wait = Distribution(1, 70_000_000, 70_000_000, ((1000, 1),))
    text = render_report(dataclasses.replace(report, threads=(*report.threads, account("slow", wait=wait))))
    for name in ("MainThread", "worker 1", "worker 2", "slow"):
        assert f"\n{name} " in text
    assert "0.300  30%  0.600  60%  0.100  10%" in text
    (slow,) = [line for line in text.split("\n") if line.startswith("slow ")]
    assert "  70 ms  " in slow


def test_sites_are_shown_by_the_waits_they_caused_and_by_their_holds(report):
    sites = (site(1, hold_ns=9 * 10**9, caused_ns=0), site(2, hold_ns=1_000, caused_ns=10**8))
    blame = Blame("w", 1, "h", 2, "function_2", "/srv/app/m2.py", 2, None, 10**8)
    text = render_report(dataclasses.replace(report, sites=sites, stacks=(), blame=(blame,)))
    assert [
        line.split()[-2] for line in lines_after(text, "Where the GIL was held while others waited")[2:]
    ] == ["function_2"]
    assert [line.split()[-2] for line in lines_after(text, "Where the GIL was held longest")[2:]] == [
        "function_1",
        "function_2",
    ]
    assert "11% of all waiting was behind function_2 (app/m2.py:2)" in text


def test_blame_names_both_sides_and_the_handoff(report):
    rows = lines_after(render_report(report), "Who waited for whom")
    assert rows[2].split("  ")[-3:] == ["worker 2", "worker 1", "JSONEncoder.iterencode (lib/encoder.py:250)"]
    assert rows[3].split() == ["10", "ms", "1%", "worker", "2", "nobody", "(handoff)"]


def test_blame_of_several_stacks_at_one_site_is_one_row(report):
    row = Blame("a", 1, "b", 2, "f", "f.py", 3, 0, 10**8)
    text = render_report(dataclasses.replace(report, blame=(row, dataclasses.replace(row, stack=1))))
    (shown,) = lines_after(text, "Who waited for whom")[2:]
    assert shown.startswith("200 ms")


def test_a_stall_is_a_sentence_with_both_sides(report):
    stall = Stall(
        "MainThread", "socket.recv", "server.py", 40,
        "Worker-3", "JSONEncoder.iterencode", "encoder.py", 250,
        1_500_000_000, 212_000_000, 212_000_000,
    )  # fmt: skip
    half = dataclasses.replace(stall, holder_ns=106_000_000, holder_function="")
    crowd = dataclasses.replace(stall, holder_ns=1_000_000)
    nobody = dataclasses.replace(stall, waiter_function="", holder="", holder_function="", holder_ns=0)
    text = render_report(dataclasses.replace(report, longest_waits=(stall, half, crowd, nobody)))
    waited, held = "- at 1.500 s: MainThread waited 212 ms", "Worker-3 held the GIL"
    assert lines_after(text, "The longest waits") == [
        f"{waited} in socket.recv (server.py:40) while {held} in JSONEncoder.iterencode (encoder.py:250)",
        f"{waited} in socket.recv (server.py:40) while {held} for 106 ms of it",
        (
            f"{waited} in socket.recv (server.py:40); the longest hold meanwhile: "
            "Worker-3, 1 ms in JSONEncoder.iterencode (encoder.py:250)"
        ),
        f"{waited} while nobody held the GIL",
    ]


def test_what_taking_a_free_gil_costs_is_no_stall(report):
    stall = Stall("MainThread", "f", "f.py", 1, "", "", "", 0, 0, 360, 0)
    assert "The longest waits" not in render_report(dataclasses.replace(report, longest_waits=(stall,)))
    held = dataclasses.replace(stall, holder="worker 1", holder_ns=300)
    assert "The longest waits" in render_report(dataclasses.replace(report, longest_waits=(held,)))


def test_the_headline_tells_when_nobody_is_to_blame(report):
    free = Blame("worker 2", 4712, "", 0, "(handoff)", "", 0, None, 800_000_000)
    text = render_report(dataclasses.replace(report, blame=(free, report.blame[0])))
    assert "\n89% of all waiting passed while nobody held the GIL: " in text
    sites = tuple(dataclasses.replace(site, caused_ns=0) for site in report.sites)
    text = render_report(dataclasses.replace(report, sites=sites, blame=()))
    assert "\nNo thread waited while another one held the GIL\n" in text


def test_the_headline_tells_when_the_gil_is_not_what_is_slow(report):
    verdict = "\nContended less than 1% of the time: "
    assert verdict not in render_report(dataclasses.replace(report, contended_ns=10_000_000))
    assert verdict in render_report(dataclasses.replace(report, contended_ns=9_999_999))


def test_what_a_hold_counts_for_is_said(report):
    assert "\nA hold counts for the line where it ended, " in render_report(report)


def test_ended_threads_of_one_kind_are_one_row_where_there_are_many(report, account):
    crowd = [account(f"Thread-{n} (handle)", 0, 10, 0, native_id=n, ended=True) for n in range(20)]
    pool = [account(f"pool_{n}", 1, 0, 0, ended=False) for n in range(3)]
    blame = [Blame(f"Thread-{n} (handle)", n, "pool_1", 1, "f", "f.py", 1, None, 10**7) for n in range(20)]
    many = dataclasses.replace(report, threads=(*crowd, *pool), blame=tuple(blame))
    text = render_report(many)
    assert "\nThread-N (handle) x 20  0.000   0%  0.200 100%" in text
    assert all(f"\npool_{n} " in text for n in range(3))  # alive
    (row,) = lines_after(text, "Who waited for whom")[2:]
    assert row.split("  ")[0] == "200 ms"
    assert "Thread-N (handle) x 20" in row
    few = render_report(dataclasses.replace(many, threads=tuple(crowd[:9]), blame=tuple(blame[:9])))
    assert "\nThread-8 (handle) " in few


def test_ended_threads_of_one_name_are_one_row_and_one_that_lives_another(report, account):
    ended = [account("handler", 0, 10, 0, native_id=n, ended=True) for n in range(60)]
    alive = account("handler", 0, 5, 0, native_id=99, ended=False)
    text = render_report(dataclasses.replace(report, threads=(*ended, alive)))
    rows = [line for line in text.splitlines() if line.startswith("handler ")]
    assert [row.split("  ")[0] for row in rows] == ["handler x 60", "handler"]
    assert "0.600" in rows[0]
    assert "0.005" in rows[1]
    blame = (Blame("handler", 1, "handler", 2, "f", "f.py", 1, None, 10**7),)  # of whichever
    text = render_report(dataclasses.replace(report, threads=(*ended, alive), blame=blame))
    assert "handler x 60" not in lines_after(text, "Who waited for whom")[2]


def test_doubts_and_dropped_events_are_always_shown(report):
    text = render_report(dataclasses.replace(report, dropped_events=3))
    assert "- a doubt about the trace" in text
    assert "- 3 events are missing in the timeline" in text
    text = render_process(TracedProcess("a.gilprobe", report, pid=7, argv=("app.py",), complete=False))
    assert "- the recording was not ended" in text


def test_a_process_among_others_has_a_heading(report):
    process = TracedProcess("a.gilprobe", report, pid=7, argv=("app.py", "-x"))
    assert render_process(process, heading=True).startswith("process 7: app.py -x\n\nTraced")
    assert render_process(TracedProcess("r.json", report), heading=True).startswith("r.json\n")


def test_of_many_processes_those_that_waited_most_are_told_in_full(report, account):
    processes = [
        TracedProcess(
            f"app.{n}.gilprobe",
            dataclasses.replace(
                report, threads=(account(f"only of {n}", 0, n, 0),), warnings=(f"doubt {n % 50}",)
            ),
            pid=100 + n,
            argv=("worker",),
        )
        for n in range(100)
    ]
    text = render_processes(processes)
    assert text.startswith("100 processes\n")
    assert "76 more, summed" in text
    headings = [line for line in text.split("\n") if line.startswith("process ")]
    assert headings == [f"process {100 + n}: worker" for n in (0, 99, 98, 97)]
    assert "\nonly of 98 " in text
    assert "\nonly of 1 " not in text
    assert "\n- 2 processes: doubt 1\n" in text  # 1 and 51
    assert "\n- app.47.gilprobe: doubt 47\n" in text  # the other one, 97, is told in full
    assert "gilprobe report app.96.gilprobe\n" in text
    few = processes[:4]
    assert render_processes(few) == "".join(render_process(one, heading=True) for one in few)
    assert render_processes(few[:1]) == render_process(few[0])


def test_the_verdict_is_that_of_all_interpreters(report, account):
    """Those with a GIL of their own count, and the one whose threads waited most is named."""
    verdict = "the GIL hardly slows this program down"
    little = dataclasses.replace(report, contended_ns=1)
    assert verdict in render_report(little)
    own = OwnGil(3, 500_000_000, 490_000_000, 400_000_000, 700_000_000, 9)
    calm = OwnGil(4, 500_000_000, 490_000_000, 0, 0, 0)
    others = tuple(dataclasses.replace(thread, interpreter=3) for thread in report.threads)
    text = render_report(dataclasses.replace(little, threads=others, own_gils=(calm, own)))
    assert verdict not in text
    assert (
        "Threads waited most in interpreter 3 (of 2 with a GIL of their own): in its 500 ms its own GIL was "
        "held 98%, contended 80%\n"
    ) in text
    assert "in interpreter" not in render_report(dataclasses.replace(report, own_gils=(calm,)))
    assert verdict in render_report(dataclasses.replace(little, own_gils=(calm,)))


def test_of_all_holds_those_of_other_interpreters_are_a_part(report):
    """A site is about all of them: it was told to be more than all."""
    own = OwnGil(3, 500_000_000, report.held_ns, 0, 0, 0)
    (site,) = [dataclasses.replace(report.sites[0], hold_ns=report.held_ns + own.held_ns, looks=0)]
    text = render_report(dataclasses.replace(report, sites=(site,), stacks=(), looks=0, own_gils=(own,)))
    (row,) = [line for line in text.split("\n") if line.endswith(f"{site.line})") and "100%" in line]
    assert row.split("100%")[0].strip().endswith("s")


def test_a_long_hold_that_had_not_ended_is_told(report):
    frames = (Frame("main", "/srv/app.py", 3), Frame("encode", "/srv/app.py", 9))
    hold = OpenHold("worker\x1b 1", 4711, 0, "stopped by a debugger", 400_000_000, frames)
    text = render_report(dataclasses.replace(report, still_held=(hold,)))
    assert (
        "Still held at the end: by worker\\x1b 1, for 400 ms so far, in encode (srv/app.py:9), "
        "stopped by a debugger\n"
    ) in text
    short = dataclasses.replace(hold, hold_ns=5_000_000)
    assert "Still held" not in render_report(dataclasses.replace(report, still_held=(short,)))


def test_the_stack_that_was_seen_stands_under_its_wait(report):
    frames = tuple(Frame(f"f{n}", "/srv/app.py", n) for n in range(1, 9))
    first, *rest = report.longest_waits
    seen = dataclasses.replace(first, holder_stack=frames, holder_state="running")
    text = render_report(dataclasses.replace(report, longest_waits=(seen, *rest)))
    told = " < ".join(f"f{n} (srv/app.py:{n})" for n in range(8, 2, -1))
    assert f"  {first.holder} was seen running in {told} < ...\n" in text


def test_the_verdict_is_that_of_all_processes(report):
    """A supervisor that waits for nothing says nothing of its workers."""
    calm = dataclasses.replace(report, contended_ns=0, sites=(site(1, caused_ns=0),), blame=(), threads=())
    verdict = "the GIL hardly slows this program down"
    worker = TracedProcess("app.7.gilprobe", report, pid=7, argv=("worker.py", "--fast"))
    idle = TracedProcess("app.8.gilprobe", calm, pid=8, argv=("idle.py",))
    text = render_report(calm, children=[idle, worker])
    assert text.split("\n")[:5] == [
        "2 more processes, 1 of them contended",
        "Threads waited most in process 7: worker.py --fast:",
        *render_report(report).split("\n")[:3],
    ]
    assert "\nNo thread of this process waited while another one held the GIL\n" in text
    text = render_report(calm, children=[idle])
    assert text.startswith("1 more process, none of them contended\n\nTraced")
    assert "\nNo thread waited while another one held the GIL\n" in text
    little = dataclasses.replace(report, contended_ns=1)
    assert verdict in render_report(little, children=[idle])
    assert verdict not in render_report(little, children=[worker])
    assert verdict not in render_processes([TracedProcess("app.gilprobe", little), worker])
    text = render_report(report, children=[worker])  # which waited no longer
    assert text.startswith("1 more process, 1 of them contended\n\nTraced")


def test_of_thousands_the_top_is_shown_and_the_rest_summed_up(report, account):
    accounts = tuple(
        account(f"thread {n}", n, 0, 5000 - n, merged=1 + (n == 0), ended=False) for n in range(5000)
    )
    sites = tuple(site(n) for n in range(5000))
    blame = tuple(Blame(f"w{n}", n, "h", 1, f"f{n}", "f.py", n, None, n) for n in range(1, 5001))
    many = dataclasses.replace(report, threads=accounts, sites=sites, blame=blame)
    text = render_report(many, rows=10)
    assert len(text.split("\n")) < 100
    assert "thread 4999" in text
    assert "thread 4989 " not in text
    assert "4991 more, summed" in text
    assert f"{sum(range(4990)) / 1000:.3f} " in text
    assert "4989 more, summed" in text  # sites that made others wait: one of them did not
    assert "4990 more, summed" in text


def test_a_thread_on_another_interpreters_gil_is_named_with_it(report, account):
    assert "worker 1 (interpreter 2) " in render_report(
        dataclasses.replace(report, threads=(account(interpreter=2),))
    )


def test_an_empty_report_is_no_problem(report, account):
    empty = dataclasses.replace(
        report, elapsed_ns=0, held_ns=0, contended_ns=0, handoffs=0,
        threads=(), sites=(), stacks=(), blame=(), longest_waits=(), warnings=(),
    )  # fmt: skip
    assert render_report(empty) == (
        "Traced 0 ns: GIL held -, contended -, 0 handoffs\n0 threads waited 0 ns in all\n\n"
    )
    assert "0.000 " in render_report(dataclasses.replace(empty, threads=(account("", 0, 0, 0),)))


@pytest.mark.parametrize("width", [40, 100])
def test_a_narrow_terminal_folds_and_loses_nothing(report, width):
    texts = [render_report(report, look) for look in (Look(width=width), PLAIN)]
    kept, whole = [sorted(c for c in text if not c.isspace() and c not in "-─") for text in texts]
    assert kept == whole


def test_ascii_and_colour_are_as_the_look_has_them(report):
    assert render_report(report, Look(unicode=False)).isascii()
    assert "\x1b[" in render_report(report, Look(width=100, color=True))
    assert "\x1b" not in render_report(report, Look(width=100))


@pytest.mark.parametrize("look", [PLAIN, Look(width=80, color=True)], ids=["plain", "colour"])
@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_hostile_names_are_shown_and_not_obeyed(report, account, look, name):
    nasty = dataclasses.replace(
        report,
        threads=(account(name),),
        sites=(Site(name, name, -7, 1, 2**62, 0, 2**62),),
        blame=(Blame(name, 1, name, 2, name, name, 2**62, 99, 5),),
        longest_waits=(Stall(name, name, name, 1, name, name, name, 1, 2**62, 2**62, 1),),
        warnings=(name,),
    )
    text = render_process(TracedProcess(name, nasty, pid=1, argv=(name,)), look, heading=True)
    text.encode("utf-8")
    for bad in ("\x1b[2J", "\x1b]", "\x07", "\x9b", "\u202e", "\u2028", "\r", "\0", "\x85"):
        assert bad not in text
    assert len(text) < 40_000


def test_paths_are_short_and_told_apart():
    paths = {"/usr/lib/json/encoder.py", "a/x/y.py", "b/x/y.py", "app.py", "<string>", "", "/y.py"}
    assert short_paths(paths) == {
        "/usr/lib/json/encoder.py": "json/encoder.py",
        "a/x/y.py": "a/x/y.py",
        "b/x/y.py": "b/x/y.py",
        "app.py": "app.py",
        "<string>": "<string>",
        "": "",
        "/y.py": "/y.py",
    }
    deep = {f"/{first}" + "/same" * 20 for first in "ab"}
    assert short_paths(deep) == {path: path for path in deep}


def test_long_names_lose_their_middle():
    assert clipped("x" * 160) == "x" * 160
    long = clipped("a" * 500 + "b" * 500)
    assert len(long) <= 160
    assert long.startswith("aaa")
    assert long.endswith("bbb")
    assert (place("f", "", 0), place("f", "x.py", 0), place("f", "x.py", 3)) == (
        "f",
        "f (x.py)",
        "f (x.py:3)",
    )


def collection(**changes):
    made = Collection(
        "worker 1",
        4711,
        0,
        2,
        "load",
        "/srv/app.py",
        7,
        3,
        130_000_000,
        60_000_000,
        130_000_000,
        90_000_000,
        5,
        0,
    )
    return dataclasses.replace(made, **changes)


def test_collections_of_garbage_are_a_table(report):
    young = collection(generation=0, count=900, pause_ns=9_000_000, longest_ns=20_000, caused_ns=1_000_000)
    text = render_report(dataclasses.replace(report, collections=(young, collection())), rows=2)
    rows = lines_after(text, "Garbage collection")[2:]
    assert [row.split() for row in rows] == [
        ["3", "60", "ms", "130", "ms", "90", "ms", "10%", "2", "worker", "1", "load", "(srv/app.py:7)"],
        ["900", "20", "us", "9", "ms", "1", "ms", "0%", "1", "more,", "summed"],
    ]


@pytest.mark.parametrize("collections", [None, (), (collection(pause_ns=900_000, caused_ns=800_000),)])
def test_collections_that_hardly_matter_are_not_told(report, collections):
    assert "Garbage" not in render_report(dataclasses.replace(report, collections=collections))


def test_a_long_wait_says_that_it_was_for_a_collection(report):
    (stall,) = report.longest_waits
    stall = dataclasses.replace(stall, pause_ns=130_000_000, pause_generation=2)
    text = render_report(dataclasses.replace(report, longest_waits=(stall,)))
    assert "(lib/encoder.py:250), 130 ms in a garbage collection of generation 2\n" in text


def labelled(report, *names):
    """Return the report with a row for each label, each of which waited mostly behind the first."""
    totals = [LabelTotals(name, 10**8, number * 10**8, 5, 7, 3) for number, name in enumerate(names)]
    blame = [
        LabelBlame(name, holder, wait_ns)
        for number, name in enumerate(names)
        for holder, wait_ns in (("", number * 10**7), (names[0], number * 9 * 10**7))
        if wait_ns
    ]
    return dataclasses.replace(report, labels=tuple(totals), label_blame=tuple(blame))


def test_labels_are_told_with_those_that_they_waited_behind(report):
    text = render_report(labelled(report, "GET /search", "GET /hello", NO_LABEL))
    assert "\nGET /hello waited 100 ms, 90% behind GET /search\n" in text
    assert [line.split() for line in lines_after(text, "By label")[2:]] == [
        ["200", "ms", "22%", "100", "ms", "11%", "7", "(no", "label)", "90%", "behind", "GET", "/search"],
        ["100", "ms", "11%", "100", "ms", "11%", "7", "GET", "/hello", "90%", "behind", "GET", "/search"],
        ["0", "ns", "0%", "100", "ms", "11%", "7", "GET", "/search"],
    ]
    assert [line.split() for line in lines_after(text, "Which label waited behind which")[2:]] == [
        ["180", "ms", "20%", "(no", "label)", "GET", "/search"],
        ["90", "ms", "10%", "GET", "/hello", "GET", "/search"],
        ["20", "ms", "2%", "(no", "label)", "nobody"],
        ["10", "ms", "1%", "GET", "/hello", "nobody"],
    ]
    assert "label" not in render_report(report)


def test_of_many_labels_those_that_waited_least_are_summed_and_hostile_ones_escaped(report):
    text = render_report(labelled(report, *(f"tenant {number}" for number in range(20))), rows=5)
    assert sum(line.count("more, summed") for line in lines_after(text, "By label")) == 1
    assert len(lines_after(text, "By label")) == 2 + 6
    assert len(lines_after(text, "Which label waited behind which")) == 2 + 6
    text = render_report(labelled(report, *HOSTILE))
    assert text == "".join(letter for letter in text if letter.isprintable() or letter == "\n")
