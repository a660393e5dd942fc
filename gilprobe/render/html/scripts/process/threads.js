// Threads: a row each with how its life was spent.
import { lifeBar } from "./overview.js";
import { element, muted, name } from "../shared/element.js";
import { page } from "../shared/page.js";
import { numbers, sortableTable, timeOf } from "../shared/table.js";
import { count, duration } from "../shared/words.js";

const time = (title, key) => ({
  title,
  number: true,
  value: (thread) => thread[key],
  show: (thread) => timeOf(thread[key], thread.lifetime_ns),
});

const columns = [
  { title: "Thread", value: (thread) => thread.name, show: (thread) => name(thread.name) },
  { title: "Its life", value: (thread) => thread.wait_ns / (thread.lifetime_ns || 1), show: lifeBar },
  time("Hold", "hold_ns"),
  time("Wait", "wait_ns"),
  time("Off", "off_ns"),
  numbers("Longest wait", (thread) => thread.wait.max_ns, duration),
  numbers("Acquired", (thread) => thread.acquisitions, count),
  numbers("Forced releases", (thread) => thread.forced_releases, count),
];

const key = () =>
  element(
    "ul",
    { class: "legend" },
    [
      ["hold", "hold: has the GIL"],
      ["wait", "wait: wants it and does not have it"],
      ["off", "off: runs or sleeps without it"],
    ].map(([kind, text]) =>
      element("li", null, element("span", { class: `swatch ${kind}`, "aria-hidden": "true" }), text),
    ),
  );

export const threadsSection = {
  id: "threads",
  title: "Threads",
  build(container, data) {
    if (!data.threads.length || !data.traces_gil) return false; // without a GIL all of it is off time
    const rows = data.threads.map((thread, index) => ({ ...thread, index }));
    const table = sortableTable(columns, rows, {
      caption: "Threads: time with the GIL, waiting for it and without it",
      sort: 3,
      head: 0,
      most: 16,
      choose: (thread) => page.toggle({ thread: thread.index }),
      chosen: (thread) => page.selection.thread === thread.index,
    });
    container.append(key(), table.node);
    if (data.folded_threads) {
      const note = `The ${count(data.folded_threads)} least active threads are one row; so are ended threads whose names differ only in numbers.`;
      container.append(muted(note));
    }
    page.onSelect(table.mark);
  },
};
