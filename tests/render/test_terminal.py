"""What a reader sees: all of the data, none of the escape sequences that came with it."""

from __future__ import annotations

import dataclasses

import pytest

from gilprobe.durations import duration
from gilprobe.model.diagnosis import Diagnosis
from gilprobe.model.machine import Capabilities
from gilprobe.render.shared.page import PLAIN, Look
from gilprobe.render.shared.words import plural, scaled, share, visible
from gilprobe.render.terminal import render_catalogue, render_diagnosis, render_environment, render_result

pytestmark = pytest.mark.plain_python

NASTY = "evil\x1b[2J\x07[red]x[/red] :bomb: \u202egnp\r\n\ud800"


def test_a_result_shows_arms_trace_facts_laws_and_doubts(result):
    text = render_result(result)
    for part in (
        "held-vs-released: The same loop twice",
        "490.0 M",
        "480.0 to 500.0 M",
        "operations/s",
        "0.98x",
        "49%",
        "held x 2",
        "worker 2",
        "0.600  60%",
        "handoffs_2",
        "0.90x to 1.05x",
        "does not hold",
        "not testable here",
        "unstable: it spreads",
    ):
        assert part in text
    assert "\x1b" not in text


def test_a_main_thread_that_only_waits_for_the_others_is_left_out_and_this_is_said(result):
    text = render_result(result)
    assert not [line for line in text.splitlines() if line.strip().startswith("MainThread ")]
    assert "MainThread, off nearly all the time" in text


def test_without_a_terminal_no_line_is_wrapped_or_cut(result):
    long = dataclasses.replace(result, warnings=("w" * 5000,), title="t" * 300)
    text = render_result(long, PLAIN)
    assert "w" * 5000 in text
    assert "t" * 300 in text
    assert not [line for line in text.splitlines() if line != line.rstrip()]


@pytest.mark.parametrize("width", [20, 40, 80, 120])
def test_a_narrow_terminal_folds_and_loses_nothing(result, width):
    texts = [render_result(result, look) for look in (Look(width=width), PLAIN)]
    kept, whole = [sorted(c for c in text if not c.isspace() and c not in "-─") for text in texts]
    assert kept == whole
    if width >= 80:
        assert max(map(len, texts[0].splitlines())) <= width


def test_colour_only_where_it_is_wanted(result):
    assert "\x1b[" in render_result(result, Look(width=100, color=True))
    assert "\x1b" not in render_result(result, Look(width=100, color=False))


def test_the_environment_does_not_decide(result, monkeypatch):
    plain = render_result(result)
    for name, value in (("FORCE_COLOR", "1"), ("COLUMNS", "20"), ("TERM", "dumb"), ("JUPYTER_COLUMNS", "9")):
        monkeypatch.setenv(name, value)
    assert render_result(result) == plain


def test_ascii_is_enough_when_it_has_to_be(result):
    assert render_result(result, Look(unicode=False)).isascii()


@pytest.mark.parametrize("look", [PLAIN, Look(width=80, color=True)])
def test_foreign_names_are_shown_and_not_obeyed(result, report, account, look):
    nasty = dataclasses.replace(report, threads=(account(NASTY),), warnings=(NASTY,))
    texts = [
        render_result(
            dataclasses.replace(
                result,
                id=NASTY,
                title=NASTY,
                warnings=(NASTY,),
                traces=(dataclasses.replace(result.traces[0], report=nasty),),
                laws=(dataclasses.replace(result.laws[0], text=NASTY),),
            ),
            look,
        ),
        render_catalogue([(NASTY, NASTY, NASTY, NASTY)], look),
    ]
    for text in texts:
        text.encode("utf-8")
        for bad in ("\x1b[2J", "\x07", "\u202e", "\r"):
            assert bad not in text
        whole = "".join(text.split())
        assert "[red]x[/red]" in whole
        assert ":bomb:" in whole
        assert "\\x1b[2J" in whole


def test_of_many_threads_the_busiest_are_shown_and_the_others_summed_up(result, report, account):
    accounts = tuple(account(f"thread {n}", hold_ms=n, wait_ms=0, off_ms=100 - n) for n in range(40))
    traced = dataclasses.replace(result.traces[0], report=dataclasses.replace(report, threads=accounts))
    text = render_result(dataclasses.replace(result, traces=(traced,)))
    assert "thread 39" in text
    assert "thread 23 " not in text
    assert "24 more, summed" in text
    assert f"{sum(range(24)) / 1000:.3f} " in text


def test_the_diagnosis_says_why_there_is_no_tracer(environment):
    able = Capabilities("3.13.0", "free-threaded", False, "none", "no GIL to trace", "tsc", 2)
    text = render_diagnosis(Diagnosis(able, environment, 12.34, 4, 2.5, None))
    for part in (
        "none: no GIL to trace",
        "tsc, 12.3 ns a reading",
        "free-threaded, GIL off",
        "4 of 4",
        "2.5",
        "5 ms",
        "0.25",
    ):
        assert part in text


def test_the_environment_is_named(environment):
    text = render_environment(environment)
    assert "CPython 3.13.0 (GIL on, switch interval 5 ms), gilprobe 0.1.0" in text
    assert "A processor, 2 usable cores, Linux" in text


def test_numbers_have_four_digits_and_share_a_prefix():
    assert scaled(412.34e6, 410e6, 1.2e9) == ("412.3 M", "410.0 M", "1200.0 M")
    assert scaled(0.0) == ("0.000",)
    assert scaled(1.0) == ("1.000",)
    assert scaled(0.5) == ("0.5000",)
    assert scaled(-2000.0) == ("-2.000 k",)
    assert scaled(2.5e-4) + scaled(5e-9) + scaled(0.0012) == ("250.0 u", "5.000 n", "0.001200")
    assert [duration(s) for s in (0, 5e-9, 2e-6, 0.005, 1.5, 2000)] == [
        "0 ns",
        "5 ns",
        "2 us",
        "5 ms",
        "1.5 s",
        "2000 s",
    ]
    assert (share(1, 3), share(0, 0)) == ("33%", "-")
    assert (plural(1, "core"), plural(2, "core")) == ("1 core", "2 cores")


def test_visible_leaves_words_of_any_language_alone():
    assert visible("Größe 工作 thread-1") == "Größe 工作 thread-1"
    assert visible("a\x1b\u202e\ud800\n") == "a\\x1b\\u202e\\ud800\\n"


def test_a_doubt_that_comes_often_is_told_once(result):
    text = render_result(dataclasses.replace(result, warnings=("few cores", "other load", "few cores")))
    assert text.count("few cores") == 1
    assert "- few cores (2 times)\n- other load\n" in text
