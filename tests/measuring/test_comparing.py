"""Two saved results: what belongs together is compared, what differs is named, and chance is kept in mind."""

from __future__ import annotations

import dataclasses
import json

import pytest

from gilprobe.errors import FormatError
from gilprobe.measuring.comparing import MOST_ARMS, compare
from gilprobe.model.confidence import bootstrap_interval
from gilprobe.render.shared.page import MOST_ROWS
from gilprobe.render.text.side_by_side import render_comparison
from gilprobe.results import Arm, Law, ResultSet

pytestmark = pytest.mark.plain_python


def arm(name, threads, *samples, unit="operations/s"):
    median = sorted(samples)[len(samples) // 2]
    return Arm(name, threads, unit, median, *bootstrap_interval(samples), samples)


def of(result, *arms, **changes):
    return dataclasses.replace(result, arms=arms, warnings=(), laws=(), **changes)


def results(*found):
    return ResultSet(found[0].environment, found)


FIVE = (100.0, 101.0, 99.0, 100.5, 99.5)
MORE = tuple(1.2 * sample for sample in FIVE)


def test_higher_lower_and_no_difference(result):
    before = of(result, arm("a", 1, *FIVE), arm("b", 1, *FIVE), arm("c", 2, *FIVE))
    after = of(result, arm("a", 1, *MORE), arm("b", 1, *FIVE[::-1]), arm("c", 2, *(x / 2 for x in FIVE)))
    compared = compare(results(before), results(after), ("old.json", "new.json"))
    assert (compared.before, compared.after) == ("old.json", "new.json")
    (pair,) = compared.scenarios
    assert [one.difference for one in pair.arms] == ["higher", "no difference shown", "lower"]
    assert pair.arms[0].ratio == pytest.approx(1.2)
    assert pair.arms[0].low < 1.2 < pair.arms[0].high
    assert [one.p for one in pair.arms] == [2 / 252, 1.0, 2 / 252]
    assert pair.arms[0].p_adjusted == pytest.approx(3 * 2 / 252)
    assert pair.warnings == ()
    assert json.loads(json.dumps(compared.to_dict(), allow_nan=False))["kind"] == "gilprobe.comparison"


def test_many_arms_need_more_samples_and_this_is_said(result):
    arms = [arm(f"a{n}", 1, *FIVE) for n in range(7)]
    others = [arm(f"a{n}", 1, *MORE) for n in range(7)]
    (pair,) = compare(results(of(result, *arms)), results(of(result, *others))).scenarios
    assert {one.difference for one in pair.arms} == {"no difference shown"}
    (doubt,) = pair.warnings
    assert doubt.startswith("few samples: with 7 arms no difference can be shown")
    assert "use --repeat 6" in doubt


def test_only_what_is_alike_is_compared_and_the_rest_is_listed(result):
    before = of(result, arm("a", 1, *FIVE), arm("a", 2, *FIVE), arm("x", 1, *FIVE, unit="s"))
    after = of(result, arm("a", 1, *FIVE), arm("a", 4, *FIVE), arm("x", 1, *FIVE, unit="ms"))
    gone, come = of(result, id="gone"), of(result, id="come")
    compared = compare(results(before, gone), results(come, after))
    (pair,) = compared.scenarios
    assert [(one.name, one.threads) for one in pair.arms] == [("a", 1)]
    assert pair.only_before == ("a, 2 threads, operations/s", "x, 1 thread, s")
    assert pair.only_after == ("a, 4 threads, operations/s", "x, 1 thread, ms")
    assert (compared.only_before, compared.only_after) == (("gone",), ("come",))


def test_several_interpreters_are_matched_in_their_order(result, environment):
    old = dataclasses.replace(environment, python="3.11.2")
    new = dataclasses.replace(environment, python="3.14.0")
    both = [of(result, arm("a", 1, *FIVE), environment=one) for one in (old, new)]
    compared = compare(results(*both), results(*both, both[0]))
    assert [(pair.before.python, pair.after.python) for pair in compared.scenarios] == [
        ("3.11.2", "3.11.2"),
        ("3.14.0", "3.14.0"),
    ]
    assert compared.only_after == ("held-vs-released",)
    assert compared.warnings == ()


def test_unequal_machines_are_one_warning(result, environment):
    other = dataclasses.replace(
        environment, python="3.14.0", cores=8, switch_interval_s=0.001, started="2026", load_average=9.0
    )
    compared = compare(results(of(result)), results(of(result, environment=other)))
    assert compared.warnings == (
        "unequal: usable cores 2 and 8; Python 3.13.0 and 3.14.0; switch interval 0.005 and 0.001",
    )


def test_doubts_and_verdicts_that_differ_are_kept(result):
    before = dataclasses.replace(result, laws=(Law("x", "1", "1", "holds"), Law("y", "1", "1", "holds")))
    after = dataclasses.replace(
        result, laws=(Law("y", "1", "2", "does not hold"), Law("x", "1", "1", "holds"))
    )
    (pair,) = compare(results(before), results(after)).scenarios
    assert [(law.text, law.before, law.after) for law in pair.laws] == [("y", "holds", "does not hold")]
    assert "A: unstable: it spreads" in pair.warnings
    assert "B: unstable: it spreads" in pair.warnings


@pytest.mark.parametrize("samples", [(), (1.0,) * 1001])
def test_an_arm_with_no_or_far_too_many_samples_is_refused(result, samples):
    broken = dataclasses.replace(result, arms=(Arm("a", 1, "s", 1.0, 1.0, 1.0, samples),))
    for pair, name in (((result, broken), "new"), ((broken, result), "old")):
        with pytest.raises(FormatError, match=f"'{name}': an arm must have 1 to 1000 samples, 'a' has"):
            compare(*map(results, pair), ("old", "new"))


def test_more_arms_than_any_catalogue_has_are_refused(result):
    many = of(result, *[arm("a", 1, 1.0)] * (MOST_ARMS + 1))
    with pytest.raises(
        FormatError, match=f"'x': there must be at most {MOST_ARMS} arms, got {MOST_ARMS + 1}"
    ):
        compare(results(many), results(result), ("x", "y"))


class Counted(float):
    """A number that counts how often it is compared or calculated with."""

    operations = 0


def _counting(name):
    def operation(self, other):
        Counted.operations += 1
        return getattr(float, name)(self, other)

    return operation


for _name in (
    "__lt__",
    "__gt__",
    "__le__",
    "__ge__",
    "__eq__",
    "__add__",
    "__radd__",
    "__truediv__",
    "__rtruediv__",
):
    setattr(Counted, _name, _counting(_name))
Counted.__hash__ = float.__hash__


@pytest.mark.slow
@pytest.mark.parametrize("equal", [True, False])
def test_the_work_grows_hardly_faster_than_the_number_of_samples(result, equal):
    """Neither by pairs of samples nor by arms: all that is done to the numbers is counted."""
    spent = []
    for arms, count in ((20, 500), (80, 500), (20, 1000)):
        samples = [
            tuple(Counted(1 + (n * (1 if equal else 7 + shift)) % 101) for n in range(count))
            for shift in (0, 5)
        ]
        before, after = (
            of(result, *(Arm("a" if equal else f"a{n}", 1, "s", 1.0, 1.0, 1.0, one) for n in range(arms)))
            for one in samples
        )
        Counted.operations = 0
        compare(results(before), results(after))
        spent.append(Counted.operations)
    assert spent[0] > 0
    assert spent[1] < 5 * spent[0]
    assert spent[2] < 3 * spent[0]


@pytest.mark.slow
def test_what_differs_is_shown_though_there_are_too_many_rows(result):
    same = [arm(f"same{n}", 1, *FIVE * 4) for n in range(MOST_ROWS + 10)]
    before = of(result, *same, arm("differs", 1, *FIVE * 4))
    after = of(result, *same, arm("differs", 1, *MORE * 4))
    text = render_comparison(compare(results(before), results(after)))
    assert "differs" in text
    assert "11 more rows are not shown here" in text
