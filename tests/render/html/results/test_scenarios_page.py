"""The page of results, in a real browser."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

pytest.importorskip("selenium", reason="browser tests need selenium: pip install selenium")

from hostile_names import HOSTILE
from made_up_arms import arm
from made_up_results import LAWS, free_threaded, made_up
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from gilprobe.model.distribution import Distribution
from gilprobe.render.html import export_results
from gilprobe.render.shared.words import clipped, visible
from gilprobe.results import Fact, Law, TracedArm

pytestmark = pytest.mark.browser

AXE = Path(__file__).parent.parent / "axe" / "axe.min.js"
WAITS = Distribution(10, 5_000_000, 2_000_000, ((100, 8), (900, 2)))


@pytest.fixture
def results(environment, report, account):
    """Return results of every form of picture, as one interpreter has them."""
    traced = dataclasses.replace(
        report, threads=(account("worker 1", wait=WAITS), account("worker 2", 300, 600, wait=WAITS))
    )
    lines = made_up(
        environment,
        traces=(TracedArm("held", 2, traced), TracedArm("released", 2, traced)),
        facts=(Fact("handoffs_2", 200.0, "1/s"),),
        printed="one\ntwo\n",
        warnings=tuple(f"unstable: the interval of arm {number} spreads" for number in range(6)),
    )
    ranges = [
        arm(0.001, 0.002, name="alone", unit="s late"),
        arm(0.003, 0.004, name="alone, p99", unit="s late"),
        arm(0.5, 0.6, name="beside a spinning thread", unit="s late"),
        arm(0.7, 0.9, name="beside a spinning thread, p99", unit="s late"),
    ]
    rows = [arm(number, number + 0.5, name=f"call_{number}, small", unit="") for number in range(40)]
    scale = [arm(value, value * 1.1, name=f"{value} ms", unit="steps/s") for value in (1, 10, 100)]
    return [
        lines,
        made_up(environment, name="timer", arms=ranges, laws=()),
        made_up(environment, name="audit", arms=rows, laws=LAWS[2:3]),
        made_up(environment, name="switch-interval", arms=scale, laws=()),
    ]


@pytest.fixture
def sides(results, environment):
    return [
        ("3.13.0", results),
        ("3.13.5t", [dataclasses.replace(one, environment=free_threaded(environment)) for one in results]),
    ]


@pytest.fixture
def page(browser, results):
    """Return a browser that shows results of one interpreter, all charts drawn; it must have no complaint."""
    browser.open(export_results([("3.13.0", results)]))
    drawn(browser)
    yield browser
    assert browser.console() == []
    assert browser.requests() == []


def drawn(browser):
    """Bring every chart near the window, one after the other, until all are drawn."""
    for chart in browser.all(".chart"):
        browser.run("arguments[0].scrollIntoView()", chart)
        WebDriverWait(browser.driver, 20).until(
            lambda _driver, chart=chart: browser.run("return !!arguments[0].querySelector('svg path')", chart)
        )
    browser.run("scrollTo(0, 0)")


def texts(browser, selector):
    return browser.run(
        "return [...document.querySelectorAll(arguments[0])].map((one) => one.textContent)", selector
    )


def words_in_charts(browser):
    return [text.replace("\u2060", "") for text in texts(browser, ".chart svg text")]


def until(browser, script):
    """Wait until a script returns something true."""
    WebDriverWait(browser.driver, 20).until(lambda _driver: browser.run(script))


def until_charts_say(browser, text):
    """Wait for the frame in which a tooltip is drawn."""
    WebDriverWait(browser.driver, 20).until(
        lambda _driver: any(text in words for words in words_in_charts(browser))
    )


def press(browser, chart, *keys):
    """Press keys in a chart; the mouse stays out of it, since where it is decides what is told, too."""
    place = {"type": "mouseMoved", "x": 1, "y": 1}
    browser.driver.execute_cdp_cmd("Input.dispatchMouseEvent", place)
    browser.run("arguments[0].focus()", chart)
    chart.send_keys(*keys)


def open_all(browser):
    """Open what is folded, and wait until it is made."""
    browser.run("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    until(browser, "return [...document.querySelectorAll('details')].every((one) => one.children.length > 1)")


@pytest.mark.parametrize(("scheme", "several"), [("light", False), ("dark", True)])
def test_every_picture_appears_without_a_complaint_and_without_network(browser, sides, scheme, several):
    browser.prefer(scheme)
    browser.open(export_results(sides if several else sides[:1]))
    drawn(browser)
    assert len(browser.all(".chart")) == (7 if several else 6)
    assert browser.console() == []
    assert browser.requests() == []
    browser.screenshot(f"results-{'several-' if several else ''}{scheme}")


def test_the_summary_counts_verdicts_and_leads_to_each_scenario(page):
    assert page.text("h1") == "4 scenarios: 4 of 5 laws held, 1 did not."
    names = [link.text for link in page.all(".contents a")]
    assert names == ["held-vs-released", "timer", "audit", "switch-interval"]
    counted = texts(page, ".contents li:first-child .verdict")
    assert counted == [
        "\u2713 33 laws: holds.",
        "\u2717 11 law: does not hold.",
        "? 11 law: not testable here.",
    ]
    page.all(".contents a")[1].click()
    assert 0 <= page.run("return document.getElementById('scenario-1').getBoundingClientRect().y") < 200


def test_each_law_has_its_verdict_in_words_and_its_range_as_a_picture(page):
    rows = page.all("#scenario-0 .laws tbody tr")
    assert len(rows) == len(LAWS)
    for row, law in zip(rows, LAWS, strict=True):
        shown = row.get_property("textContent")
        assert all(part in shown for part in (law.text, law.expected, law.measured, law.verdict))
        assert len(row.find_elements("css selector", "svg.bullet")) == (law.verdict != "not testable here")


def test_every_picture_is_a_table_too(page):
    open_all(page)
    for number, figure in enumerate(page.all("figure")):
        assert figure.find_elements("css selector", "tbody tr"), number
    first = texts(page, "#scenario-0 figure:first-child tbody tr:first-child > *")
    assert first == ["1", "held", "1.00x", "1.00x to 1.00x", ""]


def test_doubts_what_was_printed_and_the_arms_are_there(page):
    assert len(page.all("#scenario-0 .doubts li")) == 4
    open_all(page)
    assert len(page.all("#scenario-0 .doubts li")) == 6
    assert page.text("#scenario-0 .printed").split() == ["one", "two"]
    assert "worker 2" in page.text("#scenario-0")


def test_many_rows_are_shown_when_asked_for(page):
    (more,) = [button for button in page.all("button.more") if button.is_displayed()]
    assert more.text == "Show all 40 rows"
    more.click()
    drawn(page)
    until_charts_say(page, "call_39")


def test_arrow_keys_walk_through_a_picture_and_tell_its_numbers(page):
    chart = page.all(".chart")[0]
    press(page, chart, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    said = "held, 2 threads, 0.99x, 95 % interval 0.99x to 0.99x, law: 0.90x to 1.05x"
    assert page.text("#announcer") == said
    until_charts_say(page, "law: 0.90x to 1.05x")
    chart.send_keys(Keys.ESCAPE)


def test_light_turns_to_dark_while_the_page_is_open(page):
    bars = ".picture.shares .chart [fill]"
    light = page.run(f"return document.querySelector('{bars}[fill=\"#0072b2\"]') !== null")
    assert light
    page.prefer("dark")
    until(page, f"return document.querySelector('{bars}[fill=\"#56b4e9\"]') !== null")
    assert page.run("return getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 27)"


@pytest.mark.parametrize("several", [False, True])
def test_a_phone_scrolls_down_and_never_sideways(browser, sides, several):
    browser.resize(360, 800)
    browser.open(export_results(sides if several else sides[:1]))
    drawn(browser)
    assert browser.run("return document.documentElement.scrollWidth") == 360
    browser.screenshot(f"results-{'several-' if several else ''}phone")


def test_printed_it_has_all_charts_in_the_paper_s_width(page):
    page.print_media()
    page.run("dispatchEvent(new Event('beforeprint'))")
    until(
        page,
        "return [...document.querySelectorAll('.chart')]"
        ".every((one) => one.querySelector('svg')?.getAttribute('width') <= 660)",
    )


def named(environment, report, account, name):
    """Return a result in which a foreign name stands wherever one can."""
    traced = dataclasses.replace(report, threads=(account(name, wait=WAITS),))
    return made_up(
        environment,
        name=name,
        title=name,
        arms=[
            *(arm(1.0, 2.0, name=one, threads=size, unit="s") for one in (name, "b") for size in (1, 2, 4)),
            *(arm(1.0, 2.0, name=one, unit=name) for one in (name, "tea")),
        ],
        laws=[Law(name, name, name, "holds")],
        facts=(Fact(name, 1.0, name),),
        printed=name,
        warnings=(name,),
        traces=(TracedArm(name, 2, traced),),
    )


def test_names_of_others_stay_text_in_headings_tables_legends_charts_and_tooltips(
    browser, environment, report, account
):
    names = [f"{{b|x}}{name}" for name in HOSTILE.values()]
    results = [named(environment, report, account, name) for name in names]
    browser.open(export_results([("3.13.0", results), (names[0], results[:1])]))
    drawn(browser)
    open_all(browser)
    escaped = [visible(clipped(name, 2000)) for name in names]
    assert texts(browser, ".scenario .title") == escaped
    assert texts(browser, ".scenario .laws th[scope=rowgroup] bdi") == escaped
    assert escaped[0] in texts(browser, ".legend bdi")
    assert browser.run("return document.querySelectorAll('main script, main img, main b').length") == 0
    for number, name in enumerate(escaped):
        press(browser, browser.one(f"#scenario-{number} .picture.shares .chart"), Keys.ARROW_RIGHT)
        if len(name) < 100:  # longer ones are clipped
            until_charts_say(browser, name)
    assert browser.console() == []
    assert browser.requests() == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_barrier(browser, sides, scheme):
    browser.prefer(scheme)
    browser.open(export_results([(name, results[:2]) for name, results in sides]))
    drawn(browser)
    open_all(browser)
    browser.run(AXE.read_text(encoding="utf-8"))
    found = browser.driver.execute_async_script("axe.run(document).then(arguments[0])")
    serious = [
        (one["id"], one["nodes"][0]["html"][:200], one["nodes"][0].get("failureSummary", "")[:200])
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
    ]
    assert serious == []
