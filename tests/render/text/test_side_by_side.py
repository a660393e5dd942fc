"""Several interpreters, or two saved results, in one table: nothing is lost, nothing foreign obeyed."""

from __future__ import annotations

import dataclasses

import pytest

from gilprobe.measuring.comparing import compare
from gilprobe.render.shared.page import PLAIN, Look
from gilprobe.render.terminal import render_result
from gilprobe.render.text.side_by_side import ratio, render_comparison, render_pythons, render_results
from gilprobe.results import Arm, Fact, Law, ResultSet

pytestmark = pytest.mark.plain_python

NASTY = "evil\x1b[2J\x07\u202e\r\n"


@pytest.fixture
def other(result, environment):
    """Return the result of another interpreter: an arm more, an arm less, twice as fast."""
    return dataclasses.replace(
        result,
        environment=dataclasses.replace(
            environment, python="3.13.0", build="free-threaded", gil_enabled=False
        ),
        arms=(
            Arm("held", 2, "operations/s", 9.8e8, 9.7e8, 9.9e8, (9.7e8, 9.8e8, 9.9e8)),
            Arm("own", 1, "operations/s", 1e6, 1e6, 1e6, (1e6,) * 3),
        ),
        facts=(Fact("handoffs_2", 100.0, "1/s"),),
        laws=(Law("as fast as one", "1.90x", "2.00x", "holds"),),
        traces=(),
        warnings=("no GIL",),
    )


def row(text, *words):
    (line,) = [line for line in text.splitlines() if line.split()[: len(words)] == list(words)]
    return line


def test_arms_facts_laws_and_doubts_stand_side_by_side(result, other):
    text = render_results([("3.11.2", result), ("3.13.0t", other)])
    assert "490.0 M ± 2%" in row(text, "held", "2")
    assert "980.0 M ± 1%" in row(text, "held", "2")
    assert row(text, "held", "2").endswith("2.00x")
    assert row(text, "held", "1").split()[-2:] == ["-", "-"]
    assert row(text, "own", "1").split()[3] == "-"
    assert row(text, "handoffs_2").split() == ["handoffs_2", "1/s", "200", "100", "0.50x"]
    assert row(text, "held", "x", "2").split()[-5:] == ["90%", "30%", "5", "9", "18"]
    assert "3.11.2: unstable: it spreads" in text
    assert "3.13.0t: no GIL" in text
    assert row(text, "3.13.0t", "1.90x").split() == ["3.13.0t", "1.90x", "2.00x", "holds"]


def test_what_all_print_is_shown_once_and_what_differs_by_name(result, other):
    same = [dataclasses.replace(one, printed="hello\n") for one in (result, other)]
    assert render_results([("a", same[0]), ("b", same[1])]).count("  hello") == 1
    same[1] = dataclasses.replace(other, printed="bye")
    text = render_results([("a", same[0]), ("b", same[1])])
    assert "Printed by a\n  hello\n" in text
    assert "Printed by b\n  bye\n" in text


def test_a_result_with_nothing_to_measure_is_shown_too(result):
    empty = dataclasses.replace(result, arms=(), facts=(), traces=(), warnings=())
    for text in (render_result(empty), render_results([("a", empty), ("b", empty)])):
        assert "not testable here" in text
        assert "median" not in text


def test_what_was_printed_comes_first_indented_and_escaped(result):
    text = render_result(dataclasses.replace(result, printed="one\n\n\ttwo\x1b[2J\nthree"))
    assert "\nPrinted\n  one\n\n          two\\x1b[2J\n  three\n\narm " in text


def test_a_trace_of_what_is_no_arm_is_shown_last(result):
    lonely = dataclasses.replace(result.traces[0], name="lonely")
    text = render_result(dataclasses.replace(result, traces=(lonely, *result.traces)))
    assert text.index("held x 2") < text.index("lonely x 2")
    assert row(text, "held", "x", "2").split()[-1] == "5"


def test_the_interpreters_are_named_with_their_program(environment):
    text = render_pythons([("3.13.0", "/opt/python", environment)])
    assert "CPython 3.13.0 (GIL on, switch interval 5 ms)  /opt/python" in text
    assert "A processor, 2 usable cores, Linux, gilprobe 0.1.0" in text


def test_a_comparison_shows_ratio_interval_p_and_what_is_missing(result, other):
    first = ResultSet(result.environment, (result, dataclasses.replace(result, id="gone")))
    text = render_comparison(compare(first, ResultSet(other.environment, (other,)), ("a.json", "b.json")))
    for part in (
        "A  a.json",
        "B  b.json",
        "unequal: build gil and free-threaded",
        "held, 1 thread, operations/s: in A only",
        "own, 1 thread, operations/s: in B only",
        "gone is in A only",
        "B: no GIL",
        "few samples",
        "1 comparison in 1 scenario",
        "A on CPython 3.13.0 (GIL on",
    ):
        assert part in text
    assert row(text, "held", "2").endswith("2x  1.94 to 2.06  0.1  no difference shown")


def test_of_several_interpreters_each_is_named(result, environment):
    old = dataclasses.replace(result, environment=dataclasses.replace(environment, python="3.11.2"))
    both = ResultSet(environment, (result, old))
    text = render_comparison(compare(both, both))
    assert "on CPython 3.13.0 (GIL on, switch interval 5 ms)\n" in text
    assert "on CPython 3.11.2 (GIL on, switch interval 5 ms)\n" in text
    assert "\non " not in render_comparison(compare(ResultSet(environment, (result,)), both))


@pytest.mark.parametrize("look", [PLAIN, Look(width=80, color=True), Look(unicode=False)])
def test_foreign_names_are_shown_and_not_obeyed(result, look):
    bad = dataclasses.replace(
        result,
        id=NASTY,
        title=NASTY,
        printed=NASTY,
        arms=tuple(dataclasses.replace(arm, name=NASTY, unit=NASTY) for arm in result.arms),
        facts=(Fact(NASTY, 1.0, NASTY),),
        laws=(Law(NASTY, NASTY, NASTY, "holds"),),
        warnings=(NASTY,),
    )
    several = ResultSet(result.environment, (bad,))
    for text in (
        render_results([(NASTY, bad), ("b", bad)], look),
        render_pythons([(NASTY, NASTY, result.environment)], look),
        render_comparison(compare(several, several, (NASTY, NASTY)), look),
    ):
        assert look.unicode or text.isascii()
        for forbidden in ("\x1b[2J", "\x07", "\u202e", "\r"):
            assert forbidden not in text


def test_ratios_only_where_they_say_something():
    assert [ratio(2.0, 1.0), ratio(1.0, 0.0), ratio(0.0, 1.0), ratio(-1.0, 1.0), ratio(1e308, 1e-308)] == [
        "2.00x",
        "-",
        "-",
        "-",
        "-",
    ]
