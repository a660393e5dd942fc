// The verdict: what made threads wait, by call, and by what else was asked for.
import { placeNode, placeText } from "./places.js";
import { element, muted, name } from "../shared/element.js";
import { numbers, sortableTable, timeOf } from "../shared/table.js";
import { count, duration, plural, share } from "../shared/words.js";

const HEADS = {
  call: "Line of own code",
  function: "Function",
  line: "Line",
  thread: "Thread",
  module: "Module",
  task: "Coroutine",
};

/** "33 to 39 %": the interval of an estimated share; a dash for one that no look tells. */
export const intervalText = ({ low, high }) =>
  low === null ? "\u2013" : `${(100 * low).toFixed(0)} to ${(100 * high).toFixed(0)}\u202f%`;

/** What a row is about, as text. */
export const culpritText = (data, row) => {
  const place = placeText(data, row.place);
  if (!place) return row.thread;
  const told = row.called ? `${place}${row.several ? ":" : " in"} ${row.called}` : place;
  if (!row.task) return told;
  return row.task.endsWith(" tasks") ? `${row.task} in ${told}` : `task ${row.task} in ${told}`;
};

const columnsOf = (data, by, rows) => {
  const shown = (row) => (row.place < 0 ? name(row.thread) : placeNode(data, row.place));
  const columns = [{ title: HEADS[by], value: (row) => placeText(data, row.place) || row.thread, show: shown }];
  if (by === "call" || by === "line")
    columns.push({ title: "Called", value: (row) => row.called, show: (row) => name(row.called) });
  if (rows.some((row) => row.task)) columns.push({ title: "Task", value: (row) => row.task, show: (row) => name(row.task) });
  if (by === "call" || by === "task")
    columns.push({ title: "Thread", value: (row) => row.thread, show: (row) => name(row.thread) });
  columns.push(numbers("Waits caused", (row) => row.caused_ns, (ns) => timeOf(ns, data.waited_ns)));
  if (by !== "thread" && by !== "task") columns.push(numbers("Own", (row) => row.own_ns, (ns) => timeOf(ns, data.waited_ns)));
  if (data.looks) {
    columns.push({ title: "95\u202f% interval", number: true, value: (row) => row.low ?? -1, show: intervalText });
    columns.push(numbers("Looks", (row) => row.looks, count));
  }
  return columns;
};

/** How holds and waits came to their places. */
export const looksTell = (data) => {
  if (!data.looks) return "A hold counts for the line where it ended, with all code that its thread ran since it took the GIL.";
  const told = [`${plural(data.looks, "look")} at random times share holds and waits out among the lines that ran; the sums are exact.`];
  if (data.looks_unseen) told.push(`${plural(data.looks_unseen, "more look")} could not see what ran.`);
  if (data.unshared_wait_ns)
    told.push(`${share(data.unshared_wait_ns, data.waited_ns)} of all waiting (${duration(data.unshared_wait_ns)}) is told by where holds ended.`);
  return told.join(" ");
};

export const culpritsSection = {
  id: "culprits",
  title: "What made threads wait",
  short: "Culprits",
  build(container, data) {
    const tables = data.culprits.filter(({ rows }) => rows.length);
    if (!tables.length) return false;
    for (const { by, rows, more } of tables) {
      const columns = columnsOf(data, by, rows);
      const disjoint = by === "call" || by === "thread" || by === "task";
      const ranked = columns.findIndex(({ title }) => title === (disjoint ? "Waits caused" : "Own"));
      const caption = `What made threads wait, by ${by}`;
      if (tables.length > 1) container.append(element("h3", null, `By ${by}`));
      container.append(sortableTable(columns, rows, { caption, sort: ranked, head: 0, most: 10 }).node);
      if (more) container.append(muted(`${count(more)} smaller rows are not listed.`));
    }
    if (data.looks) container.append(muted(looksTell(data)));
  },
};
