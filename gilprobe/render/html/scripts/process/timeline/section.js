// The section "Timeline": assembles the picture, keeps its window and selection, and describes both in words.
import { button, label, legend, longestTable, notes } from "./around.js";
import { ZOOM, attach } from "./input.js";
import { TimelineModel, firstAfter } from "./model.js";
import { describe } from "./selected.js";
import { PAPER, TimelineView } from "./view.js";
import { moment, summary } from "./words.js";
import { element, name } from "../../shared/element.js";
import { page } from "../../shared/page.js";
import { duration, share } from "../../shared/words.js";

const LEAST_SPAN = 50; // nanoseconds
const MOST_WAITS = 500; // that n and p step through
const HELP =
  "Arrow keys left and right move the window, plus and minus zoom, Home shows the whole time, up and down choose a row, " +
  "Enter shows its longest wait in the window, n and p step through the longest waits of all.";

const later = (ms, act) => {
  let timer = 0;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(act, ms);
  };
};

class Timeline {
  constructor(container, data) {
    this.data = data;
    this.model = new TimelineModel(data.timeline);
    this.build(container);
    this.wait = -1;
    this.tellSoon = later(250, () => this.tell());
    attach(this.view, this, this.field);
    new ResizeObserver(() => this.app.isConnected && this.view.fit()).observe(this.app);
    this.scroller.addEventListener("scroll", () => this.view.request());
    page.onScheme(() => this.recolor());
    page.onSelect((selection) => this.follow(selection));
    page.show = (span) => this.jump(span);
    addEventListener("beforeprint", () => this.print(true));
    addEventListener("afterprint", () => this.print(false));
    this.view.fit();
    describe(this.view, this.panel);
    this.tellSoon(); // the picture comes first
  }

  build(container) {
    const canvas = (part) => element("canvas", { class: `timeline-${part}`, "aria-hidden": "true" });
    const [rows, axis, overview] = ["rows", "axis", "overview"].map(canvas);
    rows.removeAttribute("aria-hidden");
    rows.setAttribute("role", "img");
    this.rows = rows;
    this.stage = element("div", { class: "timeline-stage" }, rows);
    this.labels = element("div", { class: "timeline-labels" });
    this.scroller = element("div", { class: "timeline-scroller" }, this.labels, this.stage);
    this.window = element("span", { class: "timeline-window" });
    this.tools = element(
      "div",
      { class: "tools timeline-tools" },
      button("\u2212", "Zoom out", () => this.zoom(ZOOM, this.middle)),
      button("+", "Zoom in", () => this.zoom(1 / ZOOM, this.middle)),
      button("Whole", "Show the whole time", () => this.show(0, this.model.extent)),
      element(
        "span",
        { class: "timeline-steps" },
        button("\u2039", "Previous longest wait", () => this.stepWait(-1)),
        "longest waits",
        button("\u203a", "Next longest wait", () => this.stepWait(1)),
      ),
      this.window,
    );
    const help = element("p", { class: "hidden", id: "timeline-help" }, HELP);
    const top = element("div", { class: "timeline-top" }, element("div", { class: "timeline-corner" }), axis);
    const field = {
      class: "timeline-field",
      tabindex: "0",
      role: "application",
      "aria-label": "Timeline of holds and waits",
      "aria-describedby": help.id,
    };
    this.field = element("div", field, element("div", { class: "timeline-strip" }, overview), top, this.scroller);
    this.panel = element("div", { class: "timeline-panel", "aria-live": "polite" });
    this.tables = element("div", {});
    this.more = element(
      "details",
      { class: "timeline-tables", hidden: !this.model.hasGil, ontoggle: () => this.tell() },
      element("summary", {}, "The longest waits and holds of the window, as tables"),
      this.tables,
    );
    this.pointed = element("div", { class: "timeline-tip", role: "presentation", hidden: true });
    this.app = element(
      "div",
      { class: "timeline" },
      help,
      legend(this.model),
      this.tools,
      this.field,
      this.pointed,
      this.panel,
      notes(this.model.data),
      this.more,
    );
    container.append(this.app);
    this.view = new TimelineView(this.model, { rows, axis, overview, stage: this.stage, scroller: this.scroller });
    this.view.pickThread = (row) => this.highlight(row, this.view.place);
    this.labels.append(...this.model.rows.map((row) => label(this.view, row, this.model.extent)));
    this.stage.style.height = `${this.view.total}px`;
  }

  // ---- the window ----

  get middle() {
    return (this.view.from + this.view.to) / 2;
  }

  show(from, to) {
    const { extent } = this.model;
    const span = Math.min(extent, Math.max(Math.min(LEAST_SPAN, extent), to - from));
    const start = Math.max(0, Math.min(extent - span, from + (to - from - span) / 2));
    this.view.from = start;
    this.view.to = start + span;
    this.tip(null);
    this.view.request();
    this.tellSoon();
  }

  zoom(factor, at) {
    const { view, model } = this;
    const span = Math.min(model.extent, Math.max(LEAST_SPAN, view.span * factor));
    const left = ((at - view.from) / view.span) * span;
    this.show(at - left, at - left + span);
  }

  pan(ns) {
    const { view, model } = this;
    const by = Math.max(-view.from, Math.min(model.extent - view.to, ns));
    this.show(view.from + by, view.to + by);
  }

  // ---- what is chosen ----

  choose(found) {
    this.view.selected = found && { ...found, holdersShown: this.holders(found) };
    describe(this.view, this.panel);
    this.view.request();
  }

  holders(found) {
    return found.kind === "waits" ? this.model.holdersOf(found) : [];
  }

  /** Choose an interval and bring it into view with some time around it. */
  goTo(found) {
    const margin = Math.max(found.end - found.start, LEAST_SPAN);
    this.show(found.start - margin, found.end + margin);
    this.reveal(found.row.index);
    this.choose(found);
  }

  reveal(number) {
    const top = this.view.tops[number];
    if (top < this.scroller.scrollTop) this.scroller.scrollTop = top;
    else if (top + 50 > this.scroller.scrollTop + this.scroller.clientHeight)
      this.scroller.scrollTop = top + 50 - this.scroller.clientHeight;
  }

  stepWait(by) {
    this.waits = this.waits || this.longestWaits(0, this.model.extent, MOST_WAITS);
    if (!this.waits.length) return;
    this.wait = Math.max(0, Math.min(this.waits.length - 1, this.wait + by));
    this.goTo(this.waits[this.wait]);
  }

  longestWaits(from, to, most) {
    return this.model.hasGil ? this.model.longestIn("waits", from, to, most) : this.model.longestLockWaits(from, to, most);
  }

  moveRow(by) {
    const { rows } = this.model;
    const at = this.view.row ? this.view.row.index + by : by > 0 ? 0 : rows.length - 1;
    const number = Math.max(0, Math.min(rows.length - 1, at));
    this.view.row = rows[number];
    this.reveal(number);
    const [verb, ns] = this.model.hasGil ? ["held", rows[number].hold_ns] : ["waits", rows[number].lock_ns];
    page.announce(`${rows[number].name}: ${verb} ${share(ns, this.model.extent)}`);
    this.view.request();
  }

  enter() {
    const { view, model } = this;
    const row = view.row || model.threads[0];
    if (!row) return;
    const lock = model.hasGil ? null : model.longestLockWaits(view.from, view.to, Infinity).find((wait) => wait.row === row);
    if (lock) return this.choose(lock);
    for (const kind of row.isGil ? ["holds"] : ["waits", "holds"]) {
      const list = row[kind];
      let best = -1;
      for (let i = firstAfter(list, view.from); i < list.count && list.starts[i] < view.to; i++)
        if (best < 0 || list.ends[i] - list.starts[i] > list.ends[best] - list.starts[best]) best = i;
      if (best >= 0) return this.choose(model.interval(row, kind, best));
    }
    page.announce(`${row.name}: nothing long in this window`);
  }

  /** Another part of the page asks for a span: {start_ns, end_ns, thread}. */
  jump({ start_ns: start, end_ns: end, thread }) {
    const row = this.model.threads.find((one) => one.thread === thread && thread >= 0);
    const found = row && this.model.at(row, "waits", (start + end) / 2, (end - start) / 2);
    if (found) this.goTo(found);
    else this.show(start - (end - start), end + (end - start));
    this.app.scrollIntoView({ block: "start" });
    this.field.focus({ preventScroll: true });
  }

  // ---- the page's selection, colours, paper ----

  follow({ thread, site }) {
    const row = this.model.threads.find((one) => thread >= 0 && one.thread === thread && thread !== null);
    const place = site === null || site === undefined ? null : this.data.places[site];
    this.highlight(row ? row.row : null, place ? [place.function, place.file || "", place.line].join("\n") : null);
  }

  highlight(thread, place) {
    for (const row of this.model.threads) this.labels.children[row.index].setAttribute("aria-pressed", String(row.row === thread));
    if (thread !== null) this.reveal(this.model.threads[thread].index);
    this.view.mark(thread, place);
  }

  recolor() {
    this.view.readColors();
    for (const row of this.model.threads)
      this.labels.children[row.index].querySelector(".swatch").style.background = this.view.threadColor(row.row);
    describe(this.view, this.panel);
    this.view.request();
  }

  print(begin) {
    const { view } = this;
    if (!this.app.isConnected) return; // another process is shown
    if (begin) this.kept = [view.from, view.to];
    [view.from, view.to] = begin ? [0, this.model.extent] : this.kept;
    view.paper = begin ? PAPER : null;
    this.app.classList.toggle("printed", begin);
    view.readColors();
    view.fit();
    view.draw(); // before the browser takes its picture
  }

  // ---- words ----

  tip(found, event) {
    const tip = this.pointed;
    this.rows.style.cursor = found ? "pointer" : "grab";
    tip.hidden = !found;
    if (!found) return;
    const step = Math.max(1, (found.end - found.start) / 100);
    tip.replaceChildren(
      name(summary(this.model, found)),
      element("span", { class: "muted" }, `at ${moment(found.start, step, this.model.extent)}`),
    );
    const box = this.app.getBoundingClientRect();
    const left = Math.min(event.clientX - box.left + 14, box.width - tip.offsetWidth - 4);
    tip.style.left = `${Math.max(0, left)}px`;
    tip.style.top = `${event.clientY - box.top + 18}px`;
  }

  /** Describe the window: in the tools, to screen readers, and in the tables. */
  tell() {
    const { view, model } = this;
    const step = view.span / 100;
    const [from, to] = [view.from, view.to].map((ns) => moment(ns, step, model.extent));
    this.window.textContent = `${from} to ${to} (${duration(view.span)})`;
    const gil = model.busiest;
    const holders = gil ? model.holdersIn(gil, view.from, view.to) : [];
    const sums = new Map();
    for (const holder of holders) sums.set(holder.row, (sums.get(holder.row) || 0) + holder.ns);
    const [most] = [...sums].sort((a, b) => b[1] - a[1]);
    const held = gil ? `the GIL was held ${share(model.heldIn(gil, view.from, view.to), view.span)}` : "no GIL";
    const who = most ? `, most of it by ${model.threadName(most[0])}: ${share(most[1], view.span)}` : "";
    this.rows.setAttribute("aria-label", `From ${from} to ${to} ${held}${who}`);
    if (this.told) page.announce(`From ${from} to ${to} ${held}${who}`);
    this.told = true;
    if (this.more.open) this.fillTables();
  }

  fillTables() {
    const { view } = this;
    const go = (found) => this.goTo(found);
    this.tables.replaceChildren(longestTable(view, "waits", "Longest waits", go), longestTable(view, "holds", "Longest holds", go));
  }
}

export const timelineSection = {
  id: "timeline",
  title: "Timeline",
  build: (container, data) => {
    if (!data.timeline || !(data.timeline.events || data.timeline.lock_waits.length)) return false;
    page.timeline = new Timeline(container, data);
    return true;
  },
};
