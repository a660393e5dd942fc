// Off time: what each thread waited for meanwhile.
import { partsBar } from "./overview.js";
import { element, muted, name } from "../shared/element.js";
import { page } from "../shared/page.js";
import { sortableTable, timeOf } from "../shared/table.js";

const PARTS = [
  ["lock", "For locks"],
  ["spin", "Spins"],
  ["stopped", "Stopped"],
  ["work", "For work"],
  ["cpu", "On a CPU"],
  ["rest", "The rest"],
];

/** Threads with their off time, those that were off. */
export const offRows = (data) =>
  data.locks.off
    .map((times, index) => ({ ...times, name: data.threads[index].name, index }))
    .filter((row) => row.off_ns > 0);

/** The parts that any thread has; the rest is always told. */
export const partsOf = (rows) => PARTS.filter(([kind]) => kind === "rest" || rows.some((row) => row[`${kind}_ns`] > 0));

const columnsOf = (parts) => [
  { title: "Thread", value: (row) => row.name, show: (row) => name(row.name) },
  {
    title: "Its off time",
    value: (row) => (row.lock_ns + row.spin_ns + row.stopped_ns) / row.off_ns,
    show: (row) => partsBar(row.off_ns, parts.map(([kind]) => [kind, row[`${kind}_ns`]])),
  },
  ...parts.map(([kind, title]) => ({
    title,
    number: true,
    value: (row) => row[`${kind}_ns`],
    show: (row) => timeOf(row[`${kind}_ns`], row.off_ns),
  })),
];

const key = (parts) =>
  element(
    "ul",
    { class: "legend" },
    parts.map(([kind, title]) =>
      element("li", null, element("span", { class: `swatch off-${kind}`, "aria-hidden": "true" }), title.toLowerCase()),
    ),
  );

export const offSection = {
  id: "off",
  title: "Where off time went",
  short: "Off time",
  build(container, data) {
    const rows = data.locks ? offRows(data) : [];
    if (!rows.length) return false;
    const parts = partsOf(rows);
    const table = sortableTable(columnsOf(parts), rows, {
      caption: "How threads spent their off time",
      sort: 2,
      head: 0,
      most: 12,
      choose: (row) => page.toggle({ thread: row.index }),
      chosen: (row) => page.selection.thread === row.index,
    });
    container.append(key(parts), table.node, muted(data.locks.off_words));
    page.onSelect(table.mark);
  },
};
