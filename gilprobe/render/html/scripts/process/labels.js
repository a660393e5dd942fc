// Labels: what the code under each held and waited, and behind which label.
import { element, muted, name } from "../shared/element.js";
import { numbers, sortableTable, timeOf } from "../shared/table.js";
import { count, duration, plural, share } from "../shared/words.js";

/** Behind which label the code of a row waited longest, in words. */
export const behindText = (row) =>
  row.behind_ns ? `${share(row.behind_ns, row.wait_ns)} behind ${row.behind || "nobody"}` : "";

const columnsOf = (data) => [
  { title: "Label", value: (row) => row.label, show: (row) => name(row.label) },
  numbers("Waited", (row) => row.wait_ns, (ns) => timeOf(ns, data.waited_ns)),
  numbers("Waits", (row) => row.waits, count),
  { title: "Mostly", value: behindText, show: (row) => name(behindText(row)) },
  numbers("Held", (row) => row.hold_ns, (ns) => timeOf(ns, data.all_held_ns)),
  numbers("Holds", (row) => row.holds, count),
  numbers("Neither", (row) => row.off_ns, duration),
];

const blameColumns = (data) => [
  { title: "Waiter", value: (row) => row.waiter, show: (row) => name(row.waiter) },
  { title: "Holder", value: (row) => row.holder, show: (row) => (row.holder ? name(row.holder) : "nobody") },
  numbers("Waited", (row) => row.wait_ns, (ns) => timeOf(ns, data.waited_ns)),
];

const rest = (container, more) => {
  if (more) container.append(muted(`${plural(more, "more row")} with shorter waits ${more > 1 ? "are" : "is"} not listed.`));
};

export const labelsSection = {
  id: "labels",
  title: "By label",
  short: "Labels",
  build(container, data) {
    const { rows, more, blame, more_blame: moreBlame } = data.labels;
    if (!rows.length) return false;
    container.append(muted("What code held the GIL and waited for it, by gilprobe.label."));
    const caption = "Holds and waits of the code under each label";
    container.append(sortableTable(columnsOf(data), rows, { caption, sort: 1, head: 0, most: 12 }).node);
    rest(container, more);
    if (blame.length) {
      const pairs = "Which label waited behind which";
      container.append(element("h3", null, pairs));
      container.append(sortableTable(blameColumns(data), blame, { caption: pairs, sort: 2, head: 0, most: 12 }).node);
      rest(container, moreBlame);
    }
  },
};
