"""The data of a page about results: complete, escaped, and ready for JSON."""

from __future__ import annotations

import dataclasses
import json

import pytest
from hostile_names import HOSTILE
from made_up_arms import arm
from made_up_results import LAWS, free_threaded, made_up

from gilprobe.render.html import export_results
from gilprobe.render.html.results.scenario_data import described
from gilprobe.results import Fact, Law, TracedArm

pytestmark = pytest.mark.plain_python


def test_the_headline_counts_laws_and_names_what_did_not_hold(environment):
    data = described([("3.13.0", [made_up(environment)])])
    assert data["title"] == "held-vs-released on Python 3.13.0"
    assert data["headline"] == [
        "1 scenario: 3 of 4 laws held, 1 did not.",
        "1 law could not be tested here.",
        "Look at held-vs-released first.",
    ]
    assert data["scenarios"][0]["verdicts"] == {"holds": 3, "does not hold": 1, "not testable here": 1}
    assert described([("3.13.0", [made_up(environment, laws=LAWS[:3])])])["headline"] == [
        "1 scenario: all 3 laws held."
    ]
    assert described([("3.13.0", [made_up(environment, laws=())])])["headline"] == [
        "1 scenario: no law could be tested."
    ]


def test_a_finding_tells_the_end_of_each_line(environment):
    one, other = made_up(environment), made_up(free_threaded(environment))
    (alone,) = described([("3.13.0", [one])])["scenarios"]
    assert alone["finding"] == "4 threads: held 0.98x, released 1.96x"
    (both,) = described([("3.13.0", [one]), ("3.13.5t", [other])])["scenarios"]
    assert both["finding"] == "4 threads: held 0.98x / 0.98x, released 1.96x / 1.96x"


def test_a_finding_of_rows_tells_all_or_the_ends(environment):
    def finding(*values):
        arms = [arm(value, name=f"n{at}", unit="cups") for at, value in enumerate(values)]
        arms.append(arm(5.0, name="tea", unit="cups"))
        return described([("3.13.0", [made_up(environment, arms=arms)])])["scenarios"][0]["finding"]

    assert finding(1.0) == "n0: 1 cups; tea: 5 cups"
    assert finding(1.0, 2.0, 3.0) == "1 cups (n0) to 5 cups (tea)"


def test_everything_of_a_result_is_there(environment, report):
    result = made_up(
        environment,
        facts=(Fact("speedup_held_2", 0.99, ""), Fact("handoffs_2", 200.0, "1/s")),
        traces=(TracedArm("held", 2, report),),
        printed="one\n\ttwo\n",
        warnings=("unstable: it spreads",),
    )
    (scenario,) = described([("3.13.0", [result])])["scenarios"]
    assert [(row["name"], row["threads"]) for row in scenario["arms"]] == [
        (one.name, one.threads) for one in result.arms
    ]
    assert scenario["arms"][1]["speedup"] == "0.99x"
    assert scenario["facts"] == [["handoffs_2", "1/s", "200"]]
    assert [row["text"] for row in scenario["laws"]] == [law.text for law in LAWS]
    assert scenario["printed"] == [{"side": "", "lines": ["one", "        two"]}]
    assert scenario["doubts"] == ["unstable: it spreads"]
    (account,) = scenario["accounts"]
    assert (account["title"], account["handoffs"]) == ("held x 2", 5)
    assert [row[0] for row in account["threads"]] == ["worker 1", "worker 2"]


def test_interpreters_share_a_law_and_keep_their_verdicts(environment):
    other = made_up(
        free_threaded(environment),
        laws=[dataclasses.replace(LAWS[0], verdict="does not hold")],
        printed="x",
        warnings=("y",),
    )
    (scenario,) = described([("3.13.0", [made_up(environment)]), ("3.13.5t", [other])])["scenarios"]
    first = scenario["laws"][0]
    assert [(row["side"], row["verdict"]) for row in first["sides"]] == [
        ("3.13.0", "holds"),
        ("3.13.5t", "does not hold"),
    ]
    assert scenario["printed"] == [{"side": "3.13.5t", "lines": ["x"]}]
    assert scenario["doubts"] == ["3.13.5t: y"]


def test_an_interpreter_without_results_is_left_out(environment):
    data = described([("3.11", []), ("3.13.0", [made_up(environment)])])
    assert [side["name"] for side in data["sides"]] == ["3.13.0"]


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_names_of_others_arrive_escaped_and_end_no_script(environment, report, name):
    result = made_up(
        environment,
        arms=[arm(1.0, 2.0, name=name, threads=size, unit=name) for size in (1, 2, 4)],
        laws=[Law(name, name, name, "holds")],
        facts=(Fact(name, 1.0, name),),
        title=name,
        printed=name,
        warnings=(name,),
        traces=(TracedArm(name, 2, report),),
    )
    text = "".join(export_results([(name, [result])]))
    start = text.index('id="gilprobe-data">') + len('id="gilprobe-data">')
    embedded = text[start : text.index("</script>", start)]
    assert embedded.isascii()
    assert not set(embedded) & set("<>&")
    shown = json.dumps(json.loads(embedded), ensure_ascii=False)
    assert shown.isprintable()
    assert len(shown) < 200_000
