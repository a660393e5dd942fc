"""The timeline in a real browser: it zooms and pans, and what one points at is told as it was recorded."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import pytest
from hostile_names import HOSTILE
from made_up_timeline import MadeUpTimeline, simulated

from gilprobe.model.timeline import HOLD, NOWHERE, WAIT, TimelineThread
from gilprobe.model.traced_process import TracedProcess
from gilprobe.render.html import export_processes
from gilprobe.render.html.process import timeline_data
from gilprobe.report import Frame
from gilprobe.tracing import loading

pytestmark = pytest.mark.browser

AXE = Path(__file__).parent.parent / "axe" / "axe.min.js"
MS = 1_000_000
THREADS = tuple(TimelineThread(11 + n, name, 0) for n, name in enumerate(("encoder", "worker", "logger")))
PLACES = tuple(
    (Frame(name, f"/srv/app/{file}", line),)
    for name, file, line in (
        ("iterencode", "encoder.py", 258),
        ("handle", "views.py", 42),
        ("emit", "log.py", 7),
    )
)
EVENTS = (
    (HOLD, 2, 2, 0, 10 * MS),
    (WAIT, 0, 0, 5 * MS, 5 * MS),
    (HOLD, 0, 0, 10 * MS, 590 * MS),
    (WAIT, 1, 1, 100 * MS, 500 * MS),
    (HOLD, 1, 1, 600 * MS, 100 * MS),
    (WAIT, 2, NOWHERE, 5 * MS, 695 * MS),
    (HOLD, 2, 2, 700 * MS, 2_000),
)
ELAPSED = 1000 * MS
FIELD, ROWS = ".timeline-field", ".timeline-rows"


@pytest.fixture
def show(browser, report):
    """Return a function that shows a timeline; its threads are those of the report, too."""

    def show(timeline, elapsed_ns=ELAPSED, **others):
        threads = tuple(
            dataclasses.replace(report.threads[0], native_id=thread.native_id, name=thread.name)
            for thread in timeline.threads[:20]
        )
        changed = dataclasses.replace(report, elapsed_ns=elapsed_ns, threads=threads)
        browser.open(export_processes([TracedProcess("x", changed, timeline=timeline, **others)]))
        return browser

    return show


@pytest.fixture
def page(show):
    return show(MadeUpTimeline(THREADS, PLACES, EVENTS))


@pytest.fixture
def as_pyramid(monkeypatch):
    monkeypatch.setattr(timeline_data, "MOST_EXACT", 0)


def window(page):
    """Return the begin and the end of what is shown, nanoseconds."""
    return page.run("const { view } = gilprobe.timeline; return [view.from, view.to];")


def point(page, row, ns, *, waits):
    """Return where on the screen a thread's hold or wait is at a time."""
    return page.run(
        """
        const { view, model } = gilprobe.timeline;
        document.querySelector(".timeline-field").scrollIntoView({ block: "center" });
        const number = model.rows.findIndex((one) => one.name === arguments[0]);
        const box = view.rows.getBoundingClientRect();
        const y = view.base(number) - view.scrolled + (arguments[2] ? 6 : -8);
        return [box.left + view.x(arguments[1]), box.top + y];
        """,
        row,
        ns,
        waits,
    )


def mouse(page, kind, at, **others):
    event = {"type": kind, "x": at[0], "y": at[1], "button": "none", **others}
    page.driver.execute_cdp_cmd("Input.dispatchMouseEvent", event)


def click(page, at):
    mouse(page, "mouseMoved", at)
    for kind in ("mousePressed", "mouseReleased"):
        mouse(page, kind, at, button="left", clickCount=1)


def drag(page, start, end):
    mouse(page, "mouseMoved", start)
    mouse(page, "mousePressed", start, button="left", clickCount=1)
    for step in (0.3, 0.7, 1):
        at = [a + (b - a) * step for a, b in zip(start, end, strict=True)]
        mouse(page, "mouseMoved", at, button="left", buttons=1)
    mouse(page, "mouseReleased", end, button="left", clickCount=1)


def press(page, *keys):
    page.run("document.querySelector('.timeline-field').focus()")
    for key in keys:
        page.one(FIELD).send_keys(key)


def eventually(page, script, wanted):
    """Wait for what a script returns: some words come a little later than the picture."""
    deadline = time.monotonic() + 120
    while not wanted(found := page.run(script)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert wanted(found), found


# ---- looking ----


def test_the_rows_are_the_gil_and_the_threads_that_had_to_do_with_it(page):
    names = [element.get_property("textContent") for element in page.all(".timeline-name")]
    assert names == ["GIL", "encoder", "worker", "logger"]
    assert "held 70 %" in page.text(".timeline-label.gil")
    assert page.console() == []
    assert page.requests() == []


@pytest.mark.parametrize("pyramid", [False, True])
def test_holds_and_waits_are_told_apart_without_colour(page, show, monkeypatch, pyramid):
    if pyramid:
        monkeypatch.setattr(timeline_data, "MOST_EXACT", 0)
        page = show(MadeUpTimeline(THREADS, PLACES, EVENTS))
    shares = """
        const { view, model } = gilprobe.timeline;
        const row = model.rows.find((one) => one.name === "worker");
        const columns = new view.columns.constructor(1000);
        columns.sample(model, row, 0, model.extent);
        const round = (share) => Math.round(share * 100) / 100;
        return [50, 300, 650, 900].map((x) => [round(columns.held[x]), round(columns.waited[x])]);
    """
    assert page.run(shares) == [[0, 0], [0, 1], [1, 0], [0, 0]]
    colors = """
        const { view, model } = gilprobe.timeline;
        view.draw();
        const number = model.rows.findIndex((one) => one.name === "worker");
        const context = view.rows.getContext("2d");
        const kinds = (ns, y) => {
            const x = Math.round(view.x(ns)) - 10;
            const { data } = context.getImageData(x, view.base(number) + y, 20, 1);
            return new Set(new Uint32Array(data.buffer)).size;
        };
        return [kinds(650e6, -14), kinds(300e6, 6), kinds(900e6, 6)];
    """
    assert page.run(colors) == [1, 2, 1]  # a hold is solid, a wait is hatched, off is blank


def test_what_the_pointer_is_on_is_told(page):
    mouse(page, "mouseMoved", point(page, "encoder", 300 * MS, waits=False))
    tip = page.text(".timeline-tip")
    assert "encoder holds the GIL for 590 ms in iterencode (app/encoder.py:258)" in tip
    assert "at 0.010 s" in tip
    mouse(page, "mouseMoved", point(page, "worker", 300 * MS, waits=True))
    assert "worker waits for 500 ms, after handle (app/views.py:42)" in page.text(".timeline-tip")
    mouse(page, "mouseMoved", point(page, "worker", 900 * MS, waits=True))
    assert page.run("return document.querySelector('.timeline-tip').hidden") is True


def test_a_chosen_wait_tells_who_held_the_gil(page):
    click(page, point(page, "worker", 300 * MS, waits=True))
    panel = page.text(".timeline-panel")
    assert "worker waits for 500 ms" in panel
    (holder,) = page.all(".timeline-holders li")
    told = holder.get_property("textContent")
    assert told.startswith("100 % encoder in iterencode (app/encoder.py:258)")
    click(page, point(page, "logger", 300 * MS, waits=True))
    told = [holder.get_property("textContent") for holder in page.all(".timeline-holders li")]
    assert [text.split(" in ")[0] for text in told] == ["85 % encoder", "14 % worker", "1 % logger"]


def test_long_waits_of_a_pyramid_know_their_holders_exactly(as_pyramid, show):
    page = show(MadeUpTimeline(THREADS, PLACES, EVENTS))
    click(page, point(page, "worker", 300 * MS, waits=True))
    assert page.text(".timeline-holders li").startswith("100 % encoder in iterencode (app/encoder.py:258)")
    assert "summed up" in page.text(".timeline-notes")


# ---- moving ----


def test_the_wheel_zooms_about_the_pointer_and_leaves_scrolling_to_the_page(page):
    at = point(page, "worker", 400 * MS, waits=True)
    scrolled = page.run("return scrollY")
    mouse(page, "mouseWheel", at, deltaX=0, deltaY=200)
    eventually(page, "return scrollY", lambda found: found > scrolled)
    assert window(page) == [0, ELAPSED]  # without Ctrl and without the focus the wheel is the page's
    at = point(page, "worker", 400 * MS, waits=True)
    mouse(page, "mouseWheel", at, deltaX=0, deltaY=-200, modifiers=2)
    state = "const { view } = gilprobe.timeline; return [view.from, view.to];"
    eventually(page, state, lambda found: found[1] - found[0] < 0.8 * ELAPSED)
    start, end = window(page)
    assert (400 * MS - start) / (end - start) == pytest.approx(0.4, abs=0.01)
    click(page, point(page, "worker", 400 * MS, waits=True))
    mouse(page, "mouseWheel", point(page, "worker", 400 * MS, waits=True), deltaX=0, deltaY=-200)
    eventually(page, state, lambda found: found[1] - found[0] < 0.8 * (end - start))


def test_dragging_moves_the_window_and_keeps_its_length(page):
    press(page, "+", "+")
    before = window(page)
    start = point(page, "worker", sum(before) / 2, waits=True)
    drag(page, start, [start[0] - 100, start[1]])
    after = window(page)
    width = page.run("return gilprobe.timeline.view.width")
    assert after[0] - before[0] == pytest.approx(100 / width * (before[1] - before[0]), rel=0.02)
    assert after[1] - after[0] == pytest.approx(before[1] - before[0])
    assert page.all(".timeline-holders") == []  # a drag is no click


def test_shift_and_wheel_move_the_window(page):
    press(page, "+", "+")
    start, end = window(page)
    at = point(page, "worker", (start + end) / 2, waits=True)
    mouse(page, "mouseWheel", at, deltaX=0, deltaY=100, modifiers=8)
    eventually(page, "return gilprobe.timeline.view.from", lambda found: found > start)
    assert window(page)[1] - window(page)[0] == pytest.approx(end - start)


def test_two_fingers_zoom_and_one_moves(page):
    middle = point(page, "worker", 500 * MS, waits=True)

    def touch(kind, *offsets):
        points = [{"x": middle[0] + x, "y": middle[1], "id": n} for n, x in enumerate(offsets)]
        page.driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", -50, 50)
    touch("touchMove", -75, 75)
    touch("touchMove", -100, 100)
    touch("touchEnd")
    start, end = window(page)
    assert end - start == pytest.approx(ELAPSED / 2, rel=0.05)
    assert (start + end) / 2 == pytest.approx(500 * MS, rel=0.05)
    touch("touchStart", 0)
    touch("touchMove", 40)
    touch("touchMove", 80)
    touch("touchEnd")
    width = page.run("return gilprobe.timeline.view.width")
    assert start - window(page)[0] == pytest.approx(80 / width * (end - start), rel=0.25)
    assert page.all(".timeline-holders") == []


def test_the_overviews_window_can_be_moved(page):
    press(page, "+", "+", "+", "+")
    span = window(page)[1] - window(page)[0]
    box = page.run(
        "const box = document.querySelector('.timeline-overview').getBoundingClientRect();"
        "return [box.left, box.top, box.width];"
    )
    click(page, [box[0] + 0.8 * box[2], box[1] + 10])
    start, end = window(page)
    assert (start + end) / 2 == pytest.approx(0.8 * ELAPSED, rel=0.01)
    assert end - start == pytest.approx(span)


def test_the_keyboard_does_all_of_it(page):
    press(page, "+", "+")
    start, end = window(page)
    assert end - start == pytest.approx(ELAPSED / 1.6**2)
    press(page, "\ue014")  # right
    assert window(page)[0] > start
    press(page, "\ue012", "-")  # left
    press(page, "\ue011")  # home
    assert window(page) == [0, ELAPSED]
    press(page, "n")
    assert "logger waits for 695 ms" in page.text(".timeline-panel")
    press(page, "n")
    assert "worker waits for 500 ms" in page.text(".timeline-panel")
    press(page, "p")
    assert "logger waits for 695 ms" in page.text(".timeline-panel")
    press(page, "\ue00c")  # escape
    assert page.all(".timeline-holders") == []
    press(page, *["\ue015"] * 3, "\ue007")  # down to the third row, enter
    assert "worker waits for 500 ms" in page.text(".timeline-panel")


def test_one_can_zoom_down_to_nanoseconds_and_no_further(page):
    press(page, "+" * 60)
    start, end = window(page)
    assert end - start == 50
    press(page, "-" * 60)
    assert window(page) == [0, ELAPSED]


# ---- telling ----


def test_the_window_is_told_in_words_and_in_tables(page):
    eventually(
        page,
        "return document.querySelector('.timeline-rows').getAttribute('aria-label')",
        lambda text: "the GIL was held 70 %, most of it by encoder: 59 %" in (text or ""),
    )
    page.one(".timeline-tables summary").click()
    eventually(
        page, "return document.querySelectorAll('.timeline-tables tbody tr').length", lambda rows: rows > 5
    )
    waits, holds = page.all(".timeline-tables table")
    first = waits.find_elements("css selector", "tbody tr")[0].get_property("textContent")
    assert "logger" in first
    assert "695 ms" in first
    assert "encoder: 85 %" in first
    assert "iterencode (app/encoder.py:258)" in holds.get_property("textContent")


def test_a_span_that_another_part_asks_for_is_shown(page):
    page.run(f"gilprobe.show({{ start_ns: {100 * MS}, end_ns: {600 * MS}, thread: 1 }})")
    assert "worker waits for 500 ms" in page.text(".timeline-panel")
    start, end = window(page)
    assert start < 100 * MS < 600 * MS < end


def test_a_thread_that_is_chosen_in_the_page_is_marked(page):
    page.run("gilprobe.select({ thread: 1 })")
    pressed = page.all(".timeline-label[aria-pressed=true]")
    assert [element.get_property("title") or element.text.split("\n")[0] for element in pressed] == ["worker"]


def test_what_is_missing_is_said(show):
    timeline = dataclasses.replace(MadeUpTimeline(THREADS, PLACES, EVENTS), dropped=7)
    assert "Missing: 7 events" in show(timeline).text(".timeline-notes")


def test_threads_without_a_row_are_said(show, monkeypatch):
    monkeypatch.setattr(timeline_data, "MOST_ROWS", 3)
    page = show(simulated(threads=9, holds=300), 0)
    assert len(page.all(".timeline-label")) == 4
    assert "6 more threads" in page.text(".timeline-notes")
    assert page.console() == []


def test_many_threads_scroll(show):
    page = show(simulated(threads=150, holds=3000), 0)
    assert len(page.all(".timeline-label")) == 151
    press(page, *["\ue013"])  # up from nowhere: the last row
    top = page.run("return document.querySelector('.timeline-scroller').scrollTop")
    assert top > 1000
    assert page.run("return gilprobe.timeline.view.rows.height") < 2000
    assert page.console() == []


def test_a_recording_without_a_timeline_has_no_such_section(browser, report):
    browser.open(export_processes([TracedProcess("x", report)]))
    assert browser.all("#timeline") == []


@pytest.mark.parametrize("kind", ["exact", "pyramid"])
def test_foreign_names_stay_text(show, monkeypatch, kind):
    if kind == "pyramid":
        monkeypatch.setattr(timeline_data, "MOST_EXACT", 0)
    names = list(HOSTILE.values())
    threads = tuple(TimelineThread(100 + n, name, 0) for n, name in enumerate(names))
    places = tuple((Frame(name, f"/srv/{name}", 3),) for name in names)
    events = tuple((HOLD, n, n, 10 * MS * n, 10 * MS) for n in range(len(names)))
    waits = tuple((WAIT, n, n, 10 * MS * (n - 1), 10 * MS) for n in range(1, len(names)))
    page = show(
        MadeUpTimeline(threads, places, tuple(sorted(events + waits, key=lambda one: one[3] + one[4])))
    )
    press(page, "n" * len(names))
    page.run("gilprobe.timeline.more.open = true")
    assert page.run("return document.querySelectorAll('#timeline script, #timeline img').length") == 0
    assert page.console() == []


# ---- sizes, colours, paper ----


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_barrier(show, scheme):
    page = show(MadeUpTimeline(THREADS, PLACES, EVENTS))
    page.prefer(scheme)
    press(page, "n")
    page.run("gilprobe.timeline.more.open = true; gilprobe.timeline.fillTables()")
    page.run(AXE.read_text(encoding="utf-8"))
    found = page.driver.execute_async_script("axe.run('#timeline').then(arguments[0])")
    serious = [one for one in found["violations"] if one["impact"] in ("serious", "critical")]
    assert [(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in serious] == []


@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (1280, "light"), (1280, "dark")])
def test_it_fits_and_is_drawn(show, width, scheme):
    timeline = MadeUpTimeline(THREADS, PLACES, EVENTS)
    page = show(timeline)
    page.resize(width, 900)
    page.prefer(scheme)
    page = show(timeline)
    assert page.run("return document.documentElement.scrollWidth") <= width
    background = page.run(
        """
        const { view } = gilprobe.timeline;
        view.draw();
        const [r, g, b] = view.rows.getContext("2d").getImageData(view.rows.width - 3, 3, 1, 1).data;
        return [r, g, b];
        """
    )
    assert (sum(background) > 600) == (scheme == "light")
    page.run("gilprobe.timeline.stepWait(1); document.getElementById('timeline').scrollIntoView()")
    page.screenshot(f"timeline-{scheme}-{width}", full=False)


def test_the_scheme_may_change_while_it_is_shown(page):
    page.prefer("dark")
    eventually(page, "return gilprobe.timeline.view.colors.background", lambda color: color != "#ffffff")
    page.prefer("light")
    eventually(page, "return gilprobe.timeline.view.colors.background", lambda color: color == "#ffffff")


def test_paper_shows_the_whole_time_and_all_rows(show):
    page = show(simulated(threads=60, holds=2000), 0)
    press(page, "+", "+")
    before = window(page)
    page.run("dispatchEvent(new Event('beforeprint'))")
    whole = page.run(
        "const { view, model } = gilprobe.timeline;"
        "return [view.from === 0, view.to === model.extent, view.height >= view.total];"
    )
    assert whole == [True, True, True]
    assert page.run("return document.querySelector('.timeline-field').offsetWidth") <= 660  # of a sheet
    page.run("dispatchEvent(new Event('afterprint'))")
    assert window(page) == before


# ---- long recordings ----


@pytest.mark.parametrize("events", [300_000, pytest.param(10_000_000, marks=pytest.mark.slow)])
def test_a_long_recording_opens_and_can_be_searched(browser, tmp_path, events):
    import busy_service

    path = tmp_path / "long.gilprobe"
    busy_service.write(path, events)
    file = tmp_path / "long.html"
    processes, _ = loading.load_family(path)
    with file.open("w", encoding="utf-8") as out:
        out.writelines(export_processes(processes))
    assert file.stat().st_size <= 2_000_000
    browser.open(file)
    label = "return document.querySelector('.timeline-rows').getAttribute('aria-label')"
    eventually(browser, label, lambda text: "most of it by encoder" in (text or ""))
    press(browser, "n")
    assert "JSONEncoder.iterencode (json/encoder.py:258)" in browser.text(".timeline-holders li")
    press(browser, *"++++")
    assert browser.console() == []
