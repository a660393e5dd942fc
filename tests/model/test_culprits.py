"""What made threads wait, by what people recognise: the line of their own code, and what it called."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gilprobe.errors import InvalidTypeError, InvalidValueError
from gilprobe.model import culprits
from gilprobe.model.culprits import KINDS
from gilprobe.report import Blame, Frame, Stack

pytestmark = pytest.mark.plain_python

LIB = "/usr/lib/python3.11"
BOOT = Frame("Thread._bootstrap", f"{LIB}/threading.py", 1002)
MAIN = Frame("<module>", "/srv/app.py", 40)
EXPORT = Frame("export", "/srv/app.py", 9)
DUMPS = Frame("dumps", f"{LIB}/json/__init__.py", 231)
ENCODE, ITER = (
    Frame("encode", f"{LIB}/json/encoder.py", 200),
    Frame("iterencode", f"{LIB}/json/encoder.py", 250),
)
SEARCH = Frame("search", "/srv/app.py", 20)
FINDALL = Frame("re.Pattern.findall", "", 0)
WORK = Frame("_WorkItem.run", f"{LIB}/concurrent/futures/thread.py", 58)
SORTED = Frame("sorted", "", 0)
FREEING = Frame("freeing", "", 0)
NATIVE = Frame("(native code of thread w)", "", 0)
MADE = Frame("__init__", "<string>", 3)


def of(report, *rows, waited_ms=1000):
    """Return a report in which `w` waited behind these holders, each with its stack and milliseconds."""
    stacks = list(dict.fromkeys(stack for _, stack, *_ in rows))
    blame = []
    for holder, stack, wait_ms, *looks in rows:
        last = stack[-1]
        row = Blame(
            "w", 1, holder, sum(map(ord, holder)), last.function, last.filename, last.line,
            stacks.index(stack), wait_ms * 10**6,
        )  # fmt: skip
        blame.append(dataclasses.replace(row, looks=sum(looks)))
    waiter = dataclasses.replace(report.threads[0], wait_ns=waited_ms * 10**6)
    return dataclasses.replace(
        report,
        threads=(waiter,),
        blame=tuple(blame),
        stacks=tuple(Stack(stack, 1, 1, 1, 1) for stack in stacks),
    )


def calls(report, **options):
    return [
        (row.thread, row.function, row.line, row.called, row.caused_ns // 10**6, row.own_ns // 10**6)
        for row in report.culprits(**options)
    ]


def test_a_call_is_the_innermost_line_of_own_code_and_what_it_called(report):
    found = of(
        report,
        ("exporter", (BOOT, MAIN, EXPORT, DUMPS, ENCODE), 200),
        ("exporter", (BOOT, MAIN, EXPORT, DUMPS, ITER), 150),
        ("exporter", (BOOT, MAIN, EXPORT, DUMPS), 10),
        ("searcher", (BOOT, SEARCH, FINDALL), 330),
        ("searcher", (BOOT, SEARCH), 40),
    )
    assert calls(found) == [
        ("searcher", "search", 20, "re.Pattern.findall", 370, 370),
        ("exporter", "export", 9, "json.dumps", 360, 10),
    ]
    assert [round(row.share, 3) for row in found.culprits()] == [0.37, 0.36]


def test_a_line_comes_first_if_all_that_it_called_caused_most_together(report):
    """A copy and its freeing are one line's doing, though neither is the largest call."""
    rows = (("a", (MAIN, EXPORT, DUMPS, ITER), 100, 10), ("a", (MAIN, EXPORT, FREEING), 200, 20))
    found = of(report, *rows, ("a", (MAIN, EXPORT), 50, 5), ("b", (SEARCH, FINDALL), 250, 25))
    first, second = found.culprits()
    assert (first.function, first.called, second.called) == ("export", "freeing", FINDALL.function)
    assert (first.caused_ns, first.own_ns, first.share) == (350 * 10**6, 250 * 10**6, 0.35)
    assert first.looks == 35
    assert first.low < 0.35 < first.high
    told = [(part.called, part.caused_ns // 10**6, part.own_ns // 10**6) for part in first.callees]
    assert told == [("freeing", 200, 200), ("json.dumps", 100, 0), ("", 50, 50)]
    assert [(part.share, part.looks) for part in first.callees] == [(0.2, 20), (0.1, 10), (0.05, 5)]
    assert all(part.low < part.share < part.high for part in first.callees)
    assert second.callees == ()


def test_a_line_that_another_thread_runs_is_another_line(report):
    found = of(report, ("a", (EXPORT, DUMPS), 100), ("b", (EXPORT, FREEING), 150))
    assert [(row[0], row[3]) for row in calls(found)] == [("b", "freeing"), ("a", "json.dumps")]


def test_a_callback_of_own_code_is_its_own_line(report):
    """What a library calls back is the user's own again."""
    key = Frame("key", "/srv/app.py", 77)
    assert calls(of(report, ("t", (MAIN, DUMPS, key), 5)))[0][1:4] == ("key", 77, "")


SUM = Frame("total", "/srv/app.py", 30)
IN_C = Frame("sum", "", 0)
YIELDS = [Frame("total.<locals>.numbers", "/srv/app.py", line) for line in (26, 27)]
OTHER = Frame("other", "/srv/app.py", 60)


def test_a_generator_and_the_line_that_drives_it_are_one_row(report):
    """Neither alone is as much as an innocent line."""
    found = of(
        report,
        ("t", (BOOT, MAIN, SUM, IN_C), 280),
        ("t", (BOOT, MAIN, SUM), 20),
        ("t", (BOOT, MAIN, SUM, YIELDS[0]), 200),
        ("t", (BOOT, MAIN, SUM, YIELDS[1], FREEING), 100),
        ("t", (BOOT, MAIN, OTHER), 330),
    )
    assert calls(found) == [
        ("t", "total", 30, "total.<locals>.numbers", 600, 500),
        ("t", "other", 60, "", 330, 330),
    ]
    (row, _) = found.culprits()
    parts = [(part.called, part.caused_ns // 10**6, part.own_ns // 10**6) for part in row.callees]
    assert parts == [("total.<locals>.numbers", 300, 200), ("sum", 280, 280), ("", 20, 20)]


def test_a_key_that_is_in_another_module_has_its_name(report):
    key = Frame("by_size", "/srv/sizes.py", 3)
    found = of(report, ("t", (SEARCH, SORTED), 100), ("t", (SEARCH, key), 150))
    assert calls(found) == [("t", "search", 20, "sizes.by_size", 250, 250)]


def test_a_generator_that_another_one_drives_counts_for_the_line_that_drives_both(report):
    outer, inner = YIELDS
    inner = dataclasses.replace(inner, function="total.<locals>.more")
    found = of(
        report, ("t", (SUM, IN_C), 100), ("t", (SUM, outer), 200), ("t", (SUM, outer, inner), 200)
    )  # fmt: skip
    assert calls(found) == [("t", "total", 30, "total.<locals>.numbers", 500, 300)]


def test_a_line_that_only_calls_does_not_stand_for_what_it_called(report):
    found = of(report, ("t", (MAIN, EXPORT), 500), ("t", (MAIN, SEARCH), 400), ("t", (MAIN,), 20))
    assert [row[1] for row in calls(found)] == ["export", "search", "<module>"]


def test_a_function_that_several_lines_call_is_a_row_of_its_own(report):
    """It is what they have in common."""
    again = dataclasses.replace(SUM, line=31)
    found = of(
        report,
        *(("t", (line, YIELDS[0]), 200) for line in (SUM, again)),
        *(("t", (line, IN_C), 100) for line in (SUM, again)),
    )
    assert [row[1:3] + row[4:5] for row in calls(found)] == [
        ("total.<locals>.numbers", 26, 400), ("total", 30, 100), ("total", 31, 100)
    ]  # fmt: skip


def test_of_a_function_that_calls_itself_each_line_is_its_own(report):
    found = of(report, ("t", (SUM, SUM), 200), ("t", (SUM, dataclasses.replace(SUM, line=31)), 200))
    assert [row[1:3] + row[4:5] for row in calls(found)] == [("total", 30, 200), ("total", 31, 200)]


def test_where_no_own_code_ran_the_innermost_function_is_told(report):
    """A pool that runs functions in C has no line of the user's own."""
    other = dataclasses.replace(WORK, line=59)
    found = of(
        report,
        ("pool_0", (BOOT, WORK, SORTED), 100),
        ("pool_0", (BOOT, other, SORTED), 20),
        ("pool_0", (BOOT, WORK), 30),
        ("w", (NATIVE,), 10),
    )
    assert calls(found) == [
        ("pool_0", "_WorkItem.run", 0, "sorted", 150, 150),
        ("w", "(native code of thread w)", 0, "", 10, 10),
    ]


def test_threads_that_differ_in_numbers_are_told_as_one_where_they_did_the_same(report):
    names = [f"ThreadPoolExecutor-0_{number}" for number in range(3)]
    found = of(report, *((name, (SEARCH, FINDALL), 100) for name in names), (names[1], (EXPORT, DUMPS), 50))
    assert [row[0] for row in calls(found)] == ["ThreadPoolExecutor-N_N x 3", "ThreadPoolExecutor-0_1"]
    assert calls(found, by="thread") == [("ThreadPoolExecutor-N_N x 3", "", 0, "", 350, 350)]


def test_functions_have_inclusive_and_own_shares(report):
    found = of(
        report,
        ("a", (MAIN, EXPORT, DUMPS, ITER), 200),
        ("b", (MAIN, EXPORT, EXPORT), 30),  # recursion counts once
        ("a", (MAIN, SEARCH, FINDALL), 300),
    )
    rows = {
        row.function: (row.thread, row.caused_ns // 10**6, row.own_ns // 10**6)
        for row in found.culprits("function")
    }
    assert rows == {
        "re.Pattern.findall": ("", 300, 300),
        "iterencode": ("", 200, 200),
        "export": ("", 230, 30),
        "<module>": ("", 530, 0),
        "search": ("", 300, 0),
        "dumps": ("", 200, 0),
    }
    assert [row.function for row in found.culprits("function")] == list(rows), "by their own part, then all"


def test_lines_and_modules_have_them_too(report):
    found = of(report, ("a", (MAIN, EXPORT, DUMPS, ITER), 200), ("a", (MAIN, SEARCH, FINDALL), 300))
    assert calls(found, by="line")[:3] == [
        ("", "search", 20, "re.Pattern.findall", 300, 300),
        ("", "iterencode", 250, "", 200, 200),
        ("", "<module>", 40, "", 500, 0),
    ]
    assert calls(found, by="module") == [
        ("", "app", 0, "", 500, 300),
        ("", "json.encoder", 0, "", 200, 200),
        ("", "json", 0, "", 200, 0),
    ]


def test_without_stacks_the_site_and_its_callee_are_known(report):
    row = Blame("w", 1, "a", 2, "search", "/srv/app.py", 20, None, 10**6, callee="re.Pattern.findall")
    found = dataclasses.replace(report, stacks=(), blame=(row,))
    assert calls(found) == [("a", "search", 20, "re.Pattern.findall", 1, 1)]


def test_sites_of_many_lines_are_not_mixed_up_by_function(report):
    rows = [
        Blame("w", 1, "a", 2, f"f{n}", "/srv/app.py", n, None, 10**6 * n, callee="sorted")
        for n in range(1, 300)
    ]
    found = dataclasses.replace(report, stacks=(), blame=tuple(rows))
    told = {row.function: row.caused_ns // 10**6 for row in found.culprits("function")}
    assert told == {f"f{n}": n for n in range(1, 300)} | {"sorted": 299 * 150}


def test_of_very_many_stacks_the_smallest_count_for_their_innermost_level_only(report, monkeypatch):
    monkeypatch.setattr(culprits, "_PLACES", 1)
    found = of(report, ("a", (MAIN, SEARCH, FINDALL), 300), ("a", (MAIN, EXPORT, DUMPS), 200))
    rows = {row.function: (row.caused_ns // 10**6, row.own_ns // 10**6) for row in found.culprits("function")}
    assert rows == {
        FINDALL.function: (300, 300),
        "dumps": (200, 200),
        "<module>": (300, 0),
        "search": (300, 0),
    }


def test_code_from_a_string_counts_only_if_there_is_no_other(report):
    """Dataclasses make their methods from strings, and so does `python -c`."""
    typed = Frame("<module>", "<string>", 1)
    assert calls(of(report, ("t", (MAIN, EXPORT, MADE), 5)))[0][1:4] == ("export", 9, "<string>.__init__")
    assert calls(of(report, ("t", (typed, DUMPS), 5)))[0][1:4] == ("<module>", 1, "json.dumps")


def test_own_folders_decide(report):
    found = of(report, ("t", (MAIN, EXPORT, DUMPS, ITER), 5))
    assert calls(found, own=[f"{LIB}/json"])[0][1:4] == ("iterencode", 250, "")
    assert calls(found, own=("/elsewhere",))[0][1:4] == ("iterencode", 0, "")


def test_looks_of_several_waiters_are_the_same_looks(report):
    found = of(report, ("a", (SEARCH, FINDALL), 100, 40), ("a", (EXPORT, DUMPS), 100, 60))
    twice = (*found.blame, *(dataclasses.replace(row, waiter="v", waiter_id=9) for row in found.blame))
    both = dataclasses.replace(found, blame=twice, threads=(*found.threads, *found.threads))
    assert [row.looks for row in both.culprits()] == [row.looks for row in found.culprits()] == [60, 40]
    assert [row.caused_ns for row in both.culprits()] == [2 * row.caused_ns for row in found.culprits()]


def test_an_estimated_share_has_an_interval(report):
    found = of(
        report, ("a", (SEARCH, FINDALL), 300, 30), ("a", (EXPORT, DUMPS), 600, 60), ("b", (MAIN,), 100)
    )
    first, second, told_by_end = found.culprits()
    assert (first.looks, second.looks, told_by_end.looks) == (60, 30, 0)
    assert first.low < first.share < first.high
    assert second.high - second.low < 0.25
    assert (told_by_end.low, told_by_end.high) == (None, None)


def test_rows_that_were_summed_up_are_no_culprit(report):
    found = of(report, *((f"h{n}", (Frame(f"f{n}", "/srv/a.py", n), DUMPS), n) for n in range(8, 0, -1)))
    assert {row.function for row in found.abridged(3).culprits()} == {"f6", "f7", "f8"}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # a report is frozen
@given(data=st.data())
def test_calls_and_threads_add_up_to_all_blame(report, data):
    levels = st.sampled_from([MAIN, EXPORT, DUMPS, ENCODE, SEARCH, WORK, MADE, NATIVE, BOOT])
    stack = st.tuples(st.lists(levels, min_size=1, max_size=5), st.sampled_from([(), (FINDALL,), (SORTED,)]))
    holder = st.sampled_from(["a", "pool_0", "pool_1", "b"])
    drawn = data.draw(st.lists(st.tuples(holder, stack, st.integers(0, 99), st.integers(0, 9)), max_size=12))
    rows = [(who, (*outer, *inner), wait, looks) for who, (outer, inner), wait, looks in drawn]
    found = of(report, *rows)
    whole = sum(row.wait_ns for row in found.blame)
    for by in KINDS:
        told = found.culprits(by)
        assert sum(row.caused_ns for row in told) == whole or by in ("function", "line", "module")
        assert by in ("call",) or sum(row.own_ns for row in told) == whole
        assert all(0 <= row.own_ns <= row.caused_ns <= whole for row in told)
        for row in told:
            sums = [(part.caused_ns, part.own_ns, part.looks) for part in row.callees]
            assert not sums or [*map(sum, zip(*sums, strict=True))] == [row.caused_ns, row.own_ns, row.looks]
        assert told == dataclasses.replace(found, blame=found.blame[::-1]).culprits(by)


def test_the_arguments_are_checked(report):
    with pytest.raises(InvalidValueError, match="by must be one of call, function, line, thread, module"):
        report.culprits("file")
    for own in ("src", [1], 3, None):
        with pytest.raises(InvalidTypeError, match="own must be a sequence of folders"):
            report.culprits(own=own)


def test_a_stack_that_is_not_there_is_told_by_its_site(report):
    """Saved reports are not trusted."""
    rows = [dataclasses.replace(report.blame[0], stack=stack) for stack in (99, -1)]
    found = dataclasses.replace(report, blame=tuple(rows), stacks=(Stack((), 1, 1, 1, 1),))
    assert [row.function for row in found.culprits()] == ["JSONEncoder.iterencode"]
