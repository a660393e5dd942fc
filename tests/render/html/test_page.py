"""The page of a recording, in a real browser."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hostile_names import HOSTILE
from made_up_timeline import MadeUpTimeline

from gilprobe.model.timeline import TimelineLockWait
from gilprobe.model.traced_process import TracedProcess
from gilprobe.render.html import export_processes
from gilprobe.render.shared.wait_summary import Question
from gilprobe.render.shared.words import clipped, visible
from gilprobe.report import Frame

pytestmark = pytest.mark.browser

AXE = Path(__file__).parent / "axe" / "axe.min.js"
SECTIONS = ["culprits", "threads", "blame", "sites", "flame", "distributions", "stalls", "environment"]


@pytest.fixture
def page(browser, process):
    browser.open(export_processes([process]))
    yield browser
    assert browser.console() == []
    assert browser.requests() == []


def column(browser, section, number):
    return browser.run(
        "return [...document.querySelectorAll(`#${arguments[0]} tbody tr`)]"
        ".map((row) => row.cells[arguments[1]].textContent)",
        section,
        number,
    )


def test_locks_stand_beside_the_gil(browser, with_locks):
    browser.open(export_processes([TracedProcess("app.gilprobe", with_locks)]))
    assert column(browser, "locks", 0)[:2] == ["Lock `self._lock` of Cache", "stop the world"]
    assert column(browser, "off", 0) == ["worker 1", "worker 2", "MainThread"]
    assert browser.run("return document.querySelectorAll('#locks h3').length") == 3
    assert browser.console() == []


def test_without_a_gil_the_page_is_about_locks(browser, without_gil):
    waits = (TimelineLockWait(11, "MainThread", "lock", "Lock `a`", 10, 700, 0, False, (), 0, "", None, 0),)
    timeline = MadeUpTimeline((), (), (), waits=waits)
    browser.open(export_processes([TracedProcess("app.gilprobe", without_gil, timeline)]))
    assert "for locks" in browser.run("return document.querySelector('h1').textContent")
    found = browser.run("return [...document.querySelectorAll('section')].map((section) => section.id)")
    assert found == ["timeline", "off", "locks", "flame", "environment"]
    browser.run("document.querySelector('.timeline-field').focus()")
    press(browser, "n")
    assert "MainThread waits 700 ns for Lock `a`" in browser.run(
        "return document.querySelector('.timeline-panel').textContent"
    )
    assert browser.console() == []


def press(browser, *keys):
    from selenium.webdriver.common.action_chains import ActionChains

    chain = ActionChains(browser.driver)
    for key in keys:
        chain.send_keys(key)
    chain.perform()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_opens_from_disk_without_a_complaint_and_without_network(browser, process, scheme):
    browser.prefer(scheme)
    browser.open(export_processes([process]))
    found = browser.run("return [...document.querySelectorAll('section')].map((section) => section.id)")
    assert [section for section in found if section in SECTIONS] == SECTIONS
    assert browser.console() == []
    assert browser.requests() == []
    assert browser.run("return getComputedStyle(document.body).backgroundColor") == (
        "rgb(255, 255, 255)" if scheme == "light" else "rgb(20, 23, 27)"
    )
    browser.screenshot(f"recording-{scheme}")


def test_the_headline_names_the_culprit_within_the_first_screen(page):
    assert page.text("h1 .culprit") == "encode"
    assert "76\u202f% of that behind encode (app/encode.py:250)" in page.text("h1")
    assert page.one("h1").rect["y"] + page.one("h1").rect["height"] < 450
    assert page.text(".doubts li") == "a doubt about the trace"


def test_the_bars_under_the_headline_add_up(page):
    for bar in page.all(".bar"):
        widths = [part.rect["width"] for part in bar.find_elements("css selector", ".part")]
        assert sum(widths) == pytest.approx(bar.rect["width"], abs=1)


def test_a_table_is_sorted_by_a_click_on_a_head(page):
    assert column(page, "sites", 0)[0].startswith("encode")
    head = page.all("#sites thead button")[3]
    assert head.text == "Own waits"
    head.click()
    assert [name.split()[0] for name in column(page, "sites", 0)] == ["compress", "parse", "encode"]
    head.click()
    assert [name.split()[0] for name in column(page, "sites", 0)] == ["encode", "parse", "compress"]
    sorted_by = page.run(
        "return [...document.querySelectorAll('#sites th')].map((head) => head.getAttribute('aria-sort'))"
    )
    assert [order for order in sorted_by if order] == ["ascending"]


def test_the_verdict_is_a_table_by_call_and_one_by_function(page):
    rows = [
        [" ".join(cell.text.split()) for cell in row.find_elements("css selector", "th, td")]
        for row in page.all("#culprits tbody tr")
    ]
    assert rows[0] == ["encode app/encode.py:250", "", "exporter", "680 ms 76 %", "680 ms 76 %"]
    assert ["compress app/compress.py", "185 ms 21 %", "185 ms 21 %"] in rows[3:]
    shown = page.all(".lead .shares")[-1].text.split("\n")
    assert "encode (app/encode.py:250) 76" in " ".join(" ".join(shown).split())


def test_sites_are_found_by_function_and_by_file(page):
    search = page.one("#site-search")
    search.send_keys("APP press")
    assert [name.split()[0] for name in column(page, "sites", 0)] == ["compress"]
    assert page.text("#sites .tools [role=status]") == "1 of 3 sites"
    search.send_keys(" nowhere")
    assert column(page, "sites", 0) == []


def test_a_cell_of_blame_filters_sites_and_stalls_until_it_is_let_go(page):
    from selenium.webdriver.common.keys import Keys

    label = "packer waited 390 ms while exporter held the GIL"
    cell = page.one(f"#blame button[aria-label='{label}']")
    cell.send_keys(Keys.ENTER)
    assert cell.get_attribute("aria-pressed") == "true"
    assert [name.split()[0] for name in column(page, "sites", 0)] == ["encode", "parse"]
    assert [waits.split(" 3")[0] for waits in column(page, "sites", 1)] == ["380 ms 42 %", "10 ms 1 %"]
    assert len(column(page, "stalls", 0)) == 1
    assert page.one(".chosen-bar").is_displayed()
    assert page.text(".chosen-bar .words") == "Waiter packer behind exporter "
    press(page, Keys.ESCAPE)
    assert len(column(page, "sites", 0)) == 3
    assert not page.one(".chosen-bar").is_displayed()


def test_what_is_chosen_in_one_part_is_marked_in_the_others(page):
    page.all("#sites tbody button")[1].click()
    assert (
        page.run("return gilprobe.data.processes[0].places[gilprobe.selection.site].function") == "compress"
    )
    assert [made.text for made in page.all("#flame .frame.chosen")] == ["compress"]
    page.all("#threads tbody button")[0].click()
    assert page.all("#flame .frame.chosen") == []
    assert len(page.all("#threads tr.chosen")) == len(page.all("#distributions tr.chosen")) == 1


def test_lines_of_source_are_shown_and_do_not_choose_their_site(browser, process, tmp_path):
    (tmp_path / "encode.py").write_text("".join(f"line {n} = '<b>'  # \u202e\n" for n in range(1, 300)))
    (site, *others) = process.report.sites
    sites = (dataclasses.replace(site, filename="encode.py"), *others)
    shown = dataclasses.replace(process, report=dataclasses.replace(process.report, sites=sites))
    browser.open(export_processes([shown], source=tmp_path))
    browser.one("#sites summary").click()
    assert browser.text("#sites summary") == r"line 250 = '<b>'  # \u202e"
    assert browser.one("#sites pre").text.splitlines()[0] == r"247line 247 = '<b>'  # \u202e"
    assert len(browser.all("#sites pre .line")) == 7
    assert browser.text("#sites pre .at code").startswith("line 250")
    assert browser.run("return gilprobe.selection.site") is None
    assert browser.console() == []


def test_the_flame_graph_is_as_wide_as_what_was_held(page):
    whole = page.one("#flame .frame.whole").rect["width"]
    widths = {made.text: made.rect["width"] / whole for made in page.all("#flame .frame:not(.whole)")}
    assert widths["main"] == pytest.approx(690 / 705, abs=0.01)
    assert widths["encode"] == pytest.approx(600 / 705, abs=0.01)
    page.all("#flame .group button")[1].click()
    widths = {made.text: made.rect["width"] / whole for made in page.all("#flame .frame:not(.whole)")}
    assert widths["parse"] == pytest.approx(390 / 890, abs=0.01)


def test_frames_that_are_too_small_to_be_drawn_are_drawn_together(browser, process):
    stacks = tuple(
        dataclasses.replace(
            process.report.stacks[0], frames=(Frame("main", "a.py", 1), Frame(f"f{n}", "a.py", n))
        )
        for n in range(1, 501)
    )
    browser.open(
        export_processes(
            [dataclasses.replace(process, report=dataclasses.replace(process.report, stacks=stacks))]
        )
    )
    assert [made.text for made in browser.all("#flame button.frame")] == ["all", "main"]
    assert browser.one("#flame .rest").rect["width"] == browser.one("#flame .whole").rect["width"]
    browser.all("#flame summary")[0].click()
    assert browser.text("#flame details .more") == "Show all 501"


def test_the_flame_graph_goes_by_keys_and_widens_a_frame(page):
    from selenium.webdriver.common.keys import Keys

    page.run("document.querySelector('#flame .frame[tabindex=\"0\"]').focus()")
    press(page, Keys.ARROW_DOWN, Keys.ARROW_DOWN, Keys.ARROW_RIGHT)
    focused = "return document.activeElement.getAttribute('aria-label')"
    assert page.run(focused).startswith("pack (app/pack.py:2): 90 ms, 13 %")
    press(page, Keys.ENTER)
    assert page.run(focused).startswith("pack ")
    assert page.run("return document.activeElement.style.width") == "100%"
    press(page, Keys.ESCAPE)
    assert page.run("return document.querySelectorAll('#flame .frame').length") == 6
    assert len(page.all("#flame .frame[tabindex='0']")) == 1


def test_the_flame_graph_says_how_much_matches(page):
    page.one("#flame-search").send_keys("pres")
    assert [made.text for made in page.all("#flame .frame.match")] == ["compress"]
    assert page.text("#flame .tools [role=status]") == "13 % matches"


def test_the_flame_graph_is_a_table_too(page):
    page.one("#flame summary").click()
    rows = dict(zip(column(page, "flame", 0), column(page, "flame", 2), strict=True))
    assert rows["main app/main.py:9"] == "690 ms 98 %"


def test_a_stall_is_shown_in_the_timeline(page):
    page.run("gilprobe.show = (span) => (window.shown = span)")
    page.all("#stalls tbody button")[1].click()
    assert page.run("return shown") == {"start_ns": 400_000_000, "end_ns": 450_000_000, "thread": 2}


def test_distributions_show_waits_or_holds_and_the_curve_of_one_thread(page):
    assert column(page, "distributions", 5)[0] == "200 ms"
    page.all("#distributions .group button")[1].click()
    assert sorted(column(page, "distributions", 6)) == ["0", "0", "6"]
    page.all("#distributions tbody button")[0].click()
    assert page.text("#distributions figcaption").startswith("How many were longer, exporter")
    assert len(page.all("#distributions path.curve")) == 2


def test_processes_are_chosen_from_a_list_or_a_table(browser, process, report):
    calm = dataclasses.replace(report, contended_ns=0, warnings=())
    others = [TracedProcess(f"c{n}", calm, pid=100 + n, argv=("child.py",)) for n in range(30)]
    others = [dataclasses.replace(one, report=dataclasses.replace(calm, threads=())) for one in others]
    others[-1] = dataclasses.replace(others[-1], complete=False)
    browser.open(export_processes([others[0], process, *others[1:]]))
    assert browser.text("h1 .culprit") == "encode"  # that which waited most, though it is not the first
    assert browser.run("return document.getElementById('process').selectedIndex") == 1
    assert "7 processes with the shortest waits" in browser.text("#processes")
    assert "was not ended" in browser.text("#processes ul")
    browser.all("#processes tbody button")[0].click()
    assert browser.text("h1").startswith("The GIL hardly slows this process down.")
    assert browser.all("#threads") == []  # it had none
    assert browser.run("return document.activeElement.id") == "process"
    assert browser.console() == []


def test_a_report_without_sites_stacks_or_stalls_shows_what_there_is(browser, report):
    bare = dataclasses.replace(report, sites=(), stacks=(), blame=(), longest_waits=(), warnings=())
    browser.open(export_processes([TracedProcess("bare.json", bare)]))
    shown = [link.get_attribute("href").split("#")[1] for link in browser.all("nav a")]
    assert shown == ["threads", "environment"]
    assert browser.console() == []


@pytest.mark.parametrize("width", [360, 768])
def test_nothing_is_wider_than_a_small_screen(browser, process, width):
    browser.resize(width, 740)
    browser.open(export_processes([process]))
    assert browser.run("return document.documentElement.scrollWidth") == width
    browser.screenshot(f"recording-{width}")


def test_the_printed_page_has_no_controls(page):
    page.print_media()
    for selector in (".tools", ".top", ".more"):
        assert not any(found.is_displayed() for found in page.all(selector))
    assert page.one("h1").is_displayed()


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 1280), ("dark", 360)])
def test_axe_finds_no_serious_barrier(browser, process, scheme, width):
    browser.prefer(scheme)
    browser.resize(width, 800)
    browser.open(export_processes([process, dataclasses.replace(process, pid=78)]))
    browser.run("document.querySelectorAll('details').forEach((one) => (one.open = true))")
    browser.run("gilprobe.select({ thread: 1, holder: 0 })")
    browser.run(AXE.read_text(encoding="utf-8"))
    found = browser.driver.execute_async_script("axe.run(document).then(arguments[0])")
    assert found["passes"]
    serious = [one for one in found["violations"] if one["impact"] in ("serious", "critical")]
    assert [(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in serious] == []


def with_name(process, name):
    """Return the process with a foreign name wherever a name can stand."""
    report = process.report
    threads = tuple(dataclasses.replace(thread, name=name) for thread in report.threads)
    changed = {
        "threads": threads,
        "sites": tuple(dataclasses.replace(site, function=name, filename=name) for site in report.sites),
        "stacks": tuple(
            dataclasses.replace(stack, frames=tuple(Frame(name, name, frame.line) for frame in stack.frames))
            for stack in report.stacks
        ),
        "blame": tuple(
            dataclasses.replace(row, waiter=name, holder=name, function=name, filename=name)
            for row in report.blame
        ),
        "longest_waits": tuple(
            dataclasses.replace(
                stall,
                waiter=name,
                waiter_function=name,
                waiter_filename=name,
                holder=name,
                holder_function=name,
                holder_filename=name,
            )
            for stall in report.longest_waits
        ),
        "warnings": (name,),
    }
    return TracedProcess(name, dataclasses.replace(report, **changed), pid=7, argv=(name, name))


MARKUP = {
    "element": "<b id=planted>bold</b><img src=x onerror=alert(1)>",
    "comment": "<!--<script>",
    "entity": "&lt;i&gt;&#x202e;",
    "url": "javascript:alert(1)",
    "style": "red;background:url(https://example.invalid/x)",
    "template": "${gilprobe.data} {{ 7 * 7 }} {% raw %}",
    "prototype": "__proto__",
    "arabic": "\u0627\u0644\u0639\u0631\u0628\u064a\u0629 \U0001f468\u200d\U0001f469\u200d\U0001f467",
}


def elements_of(browser):
    return browser.run(
        "const tags = {}; for (const { tagName } of document.querySelectorAll('*'))"
        " if (tagName !== 'WBR') tags[tagName] = (tags[tagName] || 0) + 1; return tags;"
    )


def test_names_stay_text(browser, process):
    """Whatever a name is, the page has the same elements, and shows the name with its escapes."""
    question = Question("call", ("/nowhere",))  # no name is that of own code
    browser.open(export_processes([with_name(process, "plain")], question=question))
    expected = elements_of(browser)
    for name in [*(HOSTILE | MARKUP).values()]:
        browser.open(export_processes([with_name(process, name)], question=question))
        shown = visible(clipped(name))
        if name:
            assert elements_of(browser) == expected, name
            assert browser.text("h1 .culprit") == shown
        assert browser.run("return document.querySelector('#threads tbody th bdi').textContent") == (
            shown or "?"
        )
        assert browser.text(".doubts li") == visible(name)
        assert browser.console() == []
        assert browser.requests() == []
        assert browser.run("return document.documentElement.scrollWidth <= innerWidth"), name
