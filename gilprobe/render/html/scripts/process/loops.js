// What event loops of asyncio ran: tasks with their shares, and the longest callbacks.
import { intervalText } from "./culprits.js";
import { placeNode, placeText } from "./places.js";
import { element, muted, name } from "../shared/element.js";
import { page } from "../shared/page.js";
import { numbers, sortableTable, timeOf } from "../shared/table.js";
import { count, duration, plural } from "../shared/words.js";

const taskName = ({ task }) => (task ? name(task) : element("span", { class: "muted" }, "no task"));

const taskColumns = (data) => [
  { title: "Task", value: ({ task }) => task, show: taskName },
  { title: "Coroutine", value: (row) => placeText(data, row.place), show: (row) => placeNode(data, row.place) },
  numbers("Waits caused", (row) => row.caused_ns, (ns) => timeOf(ns, data.waited_ns)),
  numbers("Hold", (row) => row.hold_ns, (ns) => timeOf(ns, data.all_held_ns)),
  { title: "95\u202f% interval", number: true, value: (row) => row.low ?? -1, show: intervalText },
  numbers("Looks", (row) => row.looks, count),
];

const seen = (data, row) => {
  if (!row.looks) return null;
  const told = ` at ${row.seen} of ${plural(row.looks, "look")}`;
  return element("div", { class: "muted" }, "in ", placeNode(data, row.seen_place), told);
};

const callbackColumns = (data) => [
  numbers("Lasted", (row) => row.duration_ns, duration),
  numbers("At", (row) => row.start_ns, (ns) => `${(ns / 1e9).toFixed(3)} s`),
  { title: "Task", value: ({ task }) => task, show: taskName },
  {
    title: "What",
    value: (row) => placeText(data, row.place),
    show: (row) => [placeNode(data, row.place), seen(data, row)],
  },
  { title: "Thread", value: (row) => row.thread, show: (row) => name(row.thread) },
  numbers("Others waited", (row) => row.waited_ns, (ns) => (ns ? duration(ns) : "\u2013")),
];

const choose = (row) => {
  if (page.show) page.show({ start_ns: row.start_ns, end_ns: row.start_ns + row.duration_ns, thread: null });
};

export const loopsSection = {
  id: "loops",
  title: "Event loops",
  short: "Loops",
  build(container, data) {
    const { tasks, callbacks } = data;
    if (!tasks.length && !callbacks.length) return false;
    if (tasks.length) {
      const caption = "What event loops ran with the GIL";
      container.append(element("h3", null, caption));
      container.append(sortableTable(taskColumns(data), tasks, { caption, sort: 2, head: 0, most: 10 }).node);
    }
    if (callbacks.length) {
      const caption = "The longest callbacks";
      container.append(element("h3", null, caption));
      const columns = callbackColumns(data);
      container.append(sortableTable(columns, callbacks, { caption, sort: 0, head: 3, most: 10, choose }).node);
      container.append(muted("An event loop does nothing else while it runs a callback: a step of a task, or a function."));
    }
  },
};
