// Blame: who waited for whom, as a table; longer waits have darker cells.
import { element, muted, name, scrolled } from "../shared/element.js";
import { page } from "../shared/page.js";
import { duration, share } from "../shared/words.js";

const MOST = [14, 8]; // waiters and holders with their own row or column
const NOBODY = -1;
const OTHERS = -2;

const total = (blame, column) => {
  const sums = new Map();
  for (const row of blame) sums.set(row[column], (sums.get(row[column]) || 0) + row[3]);
  return sums;
};

/** The threads of a column of blame with their own row, most first; the others are one. */
export const ranked = (blame, column) => {
  const sums = total(blame, column);
  const order = [...sums.keys()].filter((thread) => thread >= 0).sort((a, b) => sums.get(b) - sums.get(a));
  const kept = order.slice(0, MOST[column]);
  const rest = order.length > MOST[column] || sums.has(OTHERS);
  return { kept, sums, last: [...(rest ? [OTHERS] : []), ...(sums.has(NOBODY) ? [NOBODY] : [])] };
};

const called = (data, thread) =>
  thread === NOBODY ? "nobody" : thread === OTHERS ? "others" : data.threads[thread].name;

export const cellsOf = (blame, waiters, holders) => {
  const own = (kept, thread) => (thread === NOBODY || kept.includes(thread) ? thread : OTHERS);
  const cells = new Map();
  for (const [waiter, holder, , ns] of blame) {
    const key = `${own(waiters, waiter)} ${own(holders, holder)}`;
    cells.set(key, (cells.get(key) || 0) + ns);
  }
  return cells;
};

const matrix = (data) => {
  const waiters = ranked(data.blame, 0);
  const holders = ranked(data.blame, 1);
  const cells = cellsOf(data.blame, waiters.kept, holders.kept);
  const most = Math.max(...cells.values(), 1);
  const made = [];
  const columns = [...holders.kept, ...holders.last];

  const cell = (waiter, holder) => {
    const ns = cells.get(`${waiter} ${holder}`) || 0;
    if (!ns) return element("td", { class: "heat" });
    const heat = { "--heat": `${Math.round(100 * Math.sqrt(ns / most))}%` };
    const size = duration(ns);
    if (waiter < 0 || holder < 0) return element("td", { class: "heat", style: heat }, size);
    const label = `${called(data, waiter)} waited ${size} while ${called(data, holder)} held the GIL`;
    const choose = () => page.toggle({ thread: waiter, holder });
    const button = element("button", { type: "button", title: label, "aria-label": label, onclick: choose }, size);
    made.push([button, waiter, holder]);
    return element("td", { class: "heat", style: heat }, button);
  };

  const head = (holder) =>
    element("th", { scope: "col" }, name(called(data, holder), { title: called(data, holder) }));
  const line = (waiter) =>
    element(
      "tr",
      null,
      element("th", { scope: "row" }, name(called(data, waiter))),
      columns.map((holder) => cell(waiter, holder)),
      element("td", { class: "number" }, duration(waiter === OTHERS ? restOf(waiters) : waiters.sums.get(waiter))),
    );
  const restOf = ({ kept, sums }) =>
    [...sums].reduce(
      (sum, [thread, ns]) => sum + (thread === OTHERS || (thread >= 0 && !kept.includes(thread)) ? ns : 0),
      0,
    );

  const table = element(
    "table",
    { class: "matrix" },
    element("caption", { class: "hidden" }, "How long each thread waited while another held the GIL"),
    element(
      "thead",
      null,
      element(
        "tr",
        null,
        element("td", { class: "corner" }, "waited \u2193 \u00a0 held \u2192"),
        columns.map(head),
        element("th", { scope: "col", class: "number" }, "all"),
      ),
    ),
    element("tbody", null, [...waiters.kept, ...waiters.last].map(line)),
  );
  return { table, made };
};

export const blameSection = {
  id: "blame",
  title: "Who waited for whom",
  short: "Blame",
  build(container, data) {
    if (!data.blame.length) return false;
    const { table, made } = matrix(data);
    container.append(
      muted("The row's thread waited while the column's held the GIL. A chosen cell filters the sites and the longest waits below."),
      scrolled("Waits by waiter and holder", table),
    );
    const mark = ({ thread, holder }) =>
      made.forEach(([button, waiter, held]) =>
        button.setAttribute("aria-pressed", String(thread === waiter && holder === held)),
      );
    page.onSelect(mark);
    mark(page.selection);
    if (data.nobody_ns > 0) {
      const part = share(data.nobody_ns, data.waited_ns);
      container.append(muted(`nobody: ${part} of all waiting passed from a release until the waiter ran.`));
    }
  },
};
