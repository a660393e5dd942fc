// The parts around the timeline's picture: labels of rows, legend, notes, tables.
import { describePlace, moment } from "./words.js";
import { element, name } from "../../shared/element.js";
import { page } from "../../shared/page.js";
import { count, duration, plural, share } from "../../shared/words.js";

const TABLE_ROWS = 10;

/** The label of a row; a thread's can be chosen. */
export const label = (view, row, extent) => {
  const called = name(row.name, { class: "name timeline-name", title: row.name });
  if (!view.model.hasGil) return threadLabel(view, row, called, [element("span", { class: "figure" }, `waits ${share(row.lock_ns, extent)}`)]);
  const figures = [
    element(
      "span",
      { class: row.isGil || (row.row === 0 && row.hold_ns > extent / 5) ? "figure much" : "figure" },
      `held ${share(row.hold_ns, extent)}`,
    ),
  ];
  if (row.isGil) return element("div", { class: "timeline-label gil" }, called, element("span", { class: "figures" }, figures));
  const waits = element("span", { class: row.wait_ns > row.hold_ns ? "figure waits" : "figure" }, `waits ${share(row.wait_ns, extent)}`);
  figures.push(waits);
  figures[row.wait_ns > row.hold_ns ? 0 : 1].classList.add("lesser");
  return threadLabel(view, row, called, figures);
};

const threadLabel = (view, row, called, figures) => {
  const swatch = element("span", { class: "swatch", "aria-hidden": "true" });
  swatch.style.background = view.threadColor(row.row);
  return element(
    "button",
    { class: "timeline-label", type: "button", "aria-pressed": "false", onclick: () => pick(view, row) },
    swatch,
    called,
    element("span", { class: "figures" }, figures),
  );
};

/** Choose a thread for the whole page, or clear the choice. */
const pick = (view, row) => {
  const chosen = view.thread === row.row;
  if (row.thread >= 0) page.select({ thread: chosen ? null : row.thread });
  else view.pickThread(chosen ? null : row.row);
};

const key = (kind, text) => {
  const canvas = element("span", { class: `timeline-mark ${kind}`, "aria-hidden": "true" });
  return element("span", { class: "timeline-key" }, canvas, text);
};

export const legend = (model) =>
  element(
    "div",
    { class: "timeline-legend muted" },
    ...(model.hasGil
      ? [
          key("hold", "holds the GIL, in the thread's colour"),
          key("wait", "waits for it"),
          key("off", "neither"),
          key("pause", "collects garbage, as it holds"),
          ...(model.lockWaits.length ? [key("lock", "waits for a lock")] : []),
        ]
      : [key("lock first", "waits for a lock"), key("lock", "waits for work"), key("off", "neither: it runs, or the system blocks it")]),
  );

export const button = (text, title, act) => element("button", { type: "button", title, "aria-label": title, onclick: act }, text);

/** Notes: what is summed up, missing or left out. */
export const notes = (data) => {
  const told = [];
  if (!data.exact)
    told.push(
      `${count(data.events)} events are summed up in steps of ${duration(data.cell_ns)} or more: a bar's height is its share of the time. ` +
        "The longest holds and waits are exact.",
    );
  if (data.dropped) told.push(`Missing: ${plural(data.dropped, "event")}, which came faster than they were written.`);
  const { gils, threads, hold_ns: held, wait_ns: waited } = data.folded;
  if (threads && !data.gils.length) told.push(`${plural(threads, "more thread")} have no row.`);
  else if (threads)
    told.push(
      `${plural(threads, "more thread")} without a row held the GIL for ${duration(held)} and waited ${duration(waited)} in all.`,
    );
  if (gils) told.push(`Without a row for its GIL: ${plural(gils, "more interpreter")}.`);
  return element(
    "div",
    { class: "muted timeline-notes" },
    told.map((note) => element("p", {}, note)),
  );
};

/** The longest waits or holds of the window; `go` shows one. */
export const longestTable = (view, kind, title, go) => {
  const { model } = view;
  const heads = ["Thread", "Time", "At", kind === "waits" ? "Who held the GIL most" : "Where"];
  const held = (one) => {
    const [holder] = model.holdersOf(one);
    return holder ? `${model.threadName(holder.row)}: ${share(holder.ns, one.end - one.start)}` : "not known";
  };
  const cells = (one) => [
    button(one.row.name, `Show this ${kind.slice(0, -1)} of ${one.row.name}`, () => go(one)),
    duration(one.end - one.start),
    moment(one.start, Math.max(1, (one.end - one.start) / 10), model.extent),
    name(kind === "waits" ? held(one) : describePlace(model.place(one.place))),
  ];
  const row = (tag, attributes, list) => {
    const made = list.map((cell) => element(tag, attributes, cell));
    return element("tr", {}, made);
  };
  const list = model.longestIn(kind, view.from, view.to, TABLE_ROWS);
  const rows = list.map((one) => row("td", {}, cells(one)));
  const table = element("table", {}, element("caption", {}, title));
  table.append(element("thead", {}, row("th", { scope: "col" }, heads)), element("tbody", {}, rows));
  return element("div", { class: "scroll" }, table);
};
