"""Which picture shows which arms, and what is in it."""

from __future__ import annotations

import dataclasses

import pytest
from made_up_arms import arm
from made_up_results import ARMS, free_threaded, made_up

from gilprobe.render.html.results.pictures import pictures
from gilprobe.render.html.results.traced_data import traced_pictures
from gilprobe.results import Law, TracedArm
from gilprobe.scenarios.laws import SECONDS, Scale, claim, value_law

pytestmark = pytest.mark.plain_python


@pytest.fixture
def drawn(environment):
    """Return a function that draws arms of one interpreter: the only picture, or all."""

    def draw(*arms, laws=()):
        found = pictures([("3.13.0", made_up(environment, arms=arms, laws=laws))])
        assert found
        return found[0] if len(found) == 1 else found

    return draw


def points(series):
    return {point.at: point.value for point in series.points}


def test_rates_with_a_single_thread_are_speedups_against_threads(environment):
    (picture,) = pictures([("3.13.0", made_up(environment))])
    assert (picture.form, picture.kind, picture.axis) == ("lines", "ratio", "threads")
    assert picture.labels == ("1", "2", "4")
    (panel,) = picture.panels
    assert [one.name for one in panel.series] == ["held", "released"]
    assert points(panel.series[1]) == pytest.approx({0: 1.0, 1: 1.95, 2: 1.96})
    for one in panel.series:
        assert all(point.low <= point.value <= point.high for point in one.points)


def test_what_laws_expect_is_a_band_where_they_say_so(environment):
    (picture,) = pictures([("3.13.0", made_up(environment))])
    held, released = picture.panels[0].series
    assert [(band.at, band.low, band.high) for band in held.bands] == [(1, 0.9, 1.05), (2, 0.9, 1.05)]
    assert [(band.at, band.low, band.high) for band in released.bands] == [(1, 1.9, 2.1), (2, None, 1.5)]


def test_a_law_about_another_number_is_no_band(drawn):
    """One that was measured in the traced run says nothing about the timed runs."""
    one = arm(49.0, 50.0, 51.0, name="a", unit="1/s")
    elsewhere = Law("a: fast", "fast", "fast", "holds", claim(50.0, 100.0, 200.0, "1/s", about="a"))
    here = value_law("a: fast", one, 100.0, 200.0, Scale("1/s", str))
    other_team = value_law("a: fast", dataclasses.replace(one, threads=7), 1.0, 2.0, Scale("1/s", str))
    assert drawn(one, laws=(elsewhere, other_team)).panels[0].series[0].bands == ()
    (band,) = drawn(one, laws=(elsewhere, here)).panels[0].series[0].bands
    assert (band.low, band.high) == (100.0, 200.0)


def test_several_interpreters_stand_in_one_picture_with_a_panel_for_each_arm(environment):
    other = made_up(free_threaded(environment), arms=[one for one in ARMS if one.name == "released"])
    (picture,) = pictures([("3.13.0", made_up(environment)), ("3.13.5t", other)])
    assert [panel.title for panel in picture.panels] == ["held", "released"]
    assert [[one.name for one in panel.series] for panel in picture.panels] == [
        ["3.13.0"],
        ["3.13.0", "3.13.5t"],
    ]
    looks = {one.name: one.look for panel in picture.panels for one in panel.series}
    assert looks == {"3.13.0": 0, "3.13.5t": 1}


def test_a_quantity_in_the_names_is_a_scale(drawn):
    picture = drawn(*(arm(1.0, 2.0, name=f"{value} ms", unit="steps/s") for value in (10, 1, 5)))
    assert (picture.form, picture.kind, picture.labels) == ("lines", "rate", ("1 ms", "5 ms", "10 ms"))
    assert [one.name for one in picture.panels[0].series] == ["2 threads"]


def test_percentiles_are_ranges(drawn):
    picture = drawn(
        arm(0.001, 0.002, name="alone", unit="s late"),
        arm(0.003, 0.004, name="alone, p99", unit="s late"),
        arm(0.5, name="beside", unit="s late"),
        arm(0.7, name="beside, p99", unit="s late"),
    )
    assert (picture.form, picture.title, picture.marks) == ("ranges", "Time late", ("p50", "p99"))
    assert picture.labels == ("alone", "beside")
    assert [point.marks for point in picture.panels[0].series[0].points] == [(0.0015, 0.0035), (0.5, 0.7)]
    assert picture.logarithmic


def test_anything_else_is_rows_and_a_user_s_scenario_too(drawn):
    picture = drawn(arm(1.0, name="tea", unit="cups"), arm(3.0, name="coffee", unit="cups"))
    assert (picture.form, picture.title, picture.labels) == ("rows", "Cups", ("tea", "coffee"))
    assert not picture.logarithmic
    assert drawn(arm(1.0, name="x", unit="")).form == "rows"


def test_a_unit_and_a_metric_make_a_picture_each(drawn):
    found = drawn(
        arm(0.25, name="fork", unit="lost/update"),
        arm(0.1, name="fork, start-up per worker", unit="s"),
        arm(0.2, name="spawn, start-up per worker", unit="s"),
        arm(0.3, name="spawn, paid once", unit="s"),
        arm(5.0, name="own, CPU time", unit="ns/update"),
        arm(6.0, name="shared, CPU time", unit="ns/update"),
    )
    assert [(one.title, one.kind, one.labels) for one in found] == [
        ("Share of updates lost", "share", ("fork",)),
        ("Start-up per worker", "seconds", ("fork", "spawn")),
        ("Paid once", "seconds", ("spawn",)),
        ("CPU time (ns/update)", "number", ("own", "shared")),
    ]


def test_an_axis_is_logarithmic_where_numbers_differ_much_and_none_is_zero(drawn):
    rows = [arm(value, name=name, unit="cups") for name, value in (("a", 1.0), ("b", 100.0))]
    assert drawn(*rows).logarithmic
    assert not drawn(*rows, arm(0.0, name="c", unit="cups")).logarithmic
    assert not drawn(
        *rows, arm(0.0, 1.0, 2.0, name="c", unit="cups")
    ).logarithmic  # no end of an interval, either


def test_a_band_is_open_where_a_logarithm_has_no_place_for_it(drawn):
    rows = [arm(value, name=name, unit="s") for name, value in (("a", 0.001), ("b", 1.0))]
    laws = [
        value_law("a: soon", rows[0], 0.0, 0.005, SECONDS),
        value_law("b: late", rows[1], -2.0, 0.0, SECONDS),
    ]
    (series,) = drawn(*rows, laws=laws).panels[0].series
    assert [(band.at, band.low, band.high) for band in series.bands] == [(0, None, 0.005)]


def test_numbers_that_are_none_are_left_out(environment):
    arms = [
        dataclasses.replace(arm(1.0, name=name, unit="cups"), median=median)
        for name, median in (("a", 1.0), ("b", float("nan")), ("c", float("inf")))
    ]
    (picture,) = pictures([("3.13.0", made_up(environment, arms=arms))])
    assert picture.labels == ("a",)
    assert pictures([("3.13.0", made_up(environment, arms=arms[1:]))]) == []


def test_laws_along_a_scale_are_a_picture_of_their_own(drawn):
    laws = [
        Law(
            f"about 1/x: {name}",
            "in words",
            "in words",
            "holds",
            claim(low + 1, low, 2 * low, "switches/s", about=name),
        )
        for name, low in (("1 ms", 100), ("10 ms", 10), ("100 ms", 1))
    ]
    _, picture = drawn(arm(1.0, name="1 ms", unit="steps/s"), laws=laws)
    assert (picture.form, picture.title) == ("lines", "about 1/x: switches/s")
    (series,) = picture.panels[0].series
    assert points(series) == {0: 101, 1: 11, 2: 2}
    assert [(band.low, band.high) for band in series.bands] == [(100, 200), (10, 20), (1, 2)]


def test_speedups_without_samples_are_rates(drawn):
    arms = [dataclasses.replace(one, samples=()) for one in ARMS]
    assert drawn(*arms).kind == "rate"


@pytest.mark.parametrize("samples", [(0.0, 0.0), (-1.0, 1.0), (1.0,)])
def test_speedups_that_say_nothing_are_rates(drawn, samples):
    picture = drawn(
        arm(*samples, name="a", threads=1, unit="calls/s"), arm(1.0, 2.0, name="a", threads=2, unit="calls/s")
    )
    assert (picture.form, picture.kind) == ("rows", "rate")


def test_the_traced_reason_is_shares_of_time_and_waits(environment, report, account):
    waiting = dataclasses.replace(report, threads=(account("MainThread", 1, 0, 999), account("worker")))
    result = made_up(environment, traces=(TracedArm("held", 2, waiting),))
    (shares,) = traced_pictures([("3.13.0", result)])
    assert (shares.form, shares.labels, shares.marks) == ("shares", ("held x 2",), ("hold", "wait", "off"))
    assert shares.panels[0].series[0].points[0].marks == pytest.approx((0.6, 0.3, 0.1))
    assert traced_pictures([("3.13.0", made_up(environment))]) == []


def test_waits_are_those_that_were_any(environment, report, account):
    from gilprobe.model.distribution import Distribution

    waits = Distribution(10, 5_000, 2_000, ((0, 8), (200, 2)))
    traced = dataclasses.replace(report, threads=(account("worker", wait=waits),))
    result = made_up(environment, traces=(TracedArm("held", 2, traced),))
    _, picture = traced_pictures([("3.13.0", result)])
    (point,) = picture.panels[0].series[0].points
    assert picture.marks == ("p50", "p99", "longest")
    assert 0 < point.marks[0] <= point.marks[1] <= point.marks[2] == 2e-6
