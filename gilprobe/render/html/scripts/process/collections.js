// Garbage collection: who made the collector run, for how long, and whom that made wait.
import { placeNode, placeText } from "./places.js";
import { muted, name } from "../shared/element.js";
import { numbers, sortableTable, timeOf } from "../shared/table.js";
import { count, duration, plural } from "../shared/words.js";

const columnsOf = (data) => [
  {
    title: "Made to run by",
    value: (row) => placeText(data, row.place),
    show: (row) => (row.place < 0 ? "\u2013" : placeNode(data, row.place)),
  },
  { title: "Thread", value: (row) => row.thread, show: (row) => name(row.thread) },
  numbers("Generation", (row) => row.generation, String),
  numbers("Pauses", (row) => row.count, count),
  numbers("Longest", (row) => row.longest_ns, duration),
  numbers("Together", (row) => row.pause_ns, (ns) => timeOf(ns, data.elapsed_ns)),
  numbers("Waits caused", (row) => row.caused_ns, (ns) => timeOf(ns, data.waited_ns)),
  numbers("Freed objects", (row) => row.collected, count),
];

export const collectionsSection = {
  id: "collections",
  title: "Garbage collection",
  build(container, data) {
    const { rows, more } = data.collections;
    if (!rows.length) return false;
    const table = sortableTable(columnsOf(data), rows, {
      caption: "Collections of garbage by line, thread and generation",
      sort: 6,
      head: 0,
      most: 8,
    });
    container.append(table.node);
    if (more) container.append(muted(`${plural(more, "more row")} of shorter pauses ${more > 1 ? "are" : "is"} not listed.`));
  },
};
