// Waits for locks and for work: which, how long, by whom, behind whom, where; and the longest ones.
import { axisAround, scale, strip } from "./distributions.js";
import { placeNode, placeText } from "./places.js";
import { element, muted, name } from "../shared/element.js";
import { numbers, sortableTable, timeOf } from "../shared/table.js";
import { count, duration, plural, share } from "../shared/words.js";

/** A thread with a place, as text; nobody with the reason, which stands in the place. */
export const whoText = (data, thread, place) => {
  const where = placeText(data, place);
  if (!thread) return `nobody ${where}`.trim();
  return where ? `${thread} in ${where}` : thread;
};

const who = (data, thread, place) =>
  thread
    ? [name(thread), place >= 0 ? [" in ", placeNode(data, place)] : null]
    : element("span", { class: "muted" }, whoText(data, thread, place));

/** Who waited for a lock: the thread, or the one that waited most and how many there are. */
export const waitersText = ({ waiter, waiters }) =>
  waiters > 1 ? `${waiter} and ${plural(waiters - 1, "more", "")}` : waiter;

const sides = (data, title, thread, place) => ({
  title,
  value: (row) => whoText(data, row[thread], row[place]),
  show: (row) => who(data, row[thread], row[place]),
});

const lockName = { title: "Lock", value: (row) => row.lock, show: (row) => name(row.lock) };

const columnsOf = (data, whole, axis, work) => [
  { ...lockName, title: work ? "Work" : "Lock" },
  ...(work ? [] : [{ title: "Kind", value: (row) => row.kind, show: (row) => row.kind }]),
  numbers("Waited", (row) => row.wait.total_ns, (ns) => timeOf(ns, whole)),
  numbers("Waits", (row) => row.wait.count, count),
  {
    title: "How long, how many",
    value: (row) => row.wait.quantiles_ns[0],
    show: (row) => strip(row.wait, "wait", axis),
    under: scale(axis),
  },
  numbers("99 %", (row) => row.wait.quantiles_ns[2], duration),
  numbers("Longest", (row) => row.wait.max_ns, duration),
  { title: "By", value: waitersText, show: (row) => name(waitersText(row)) },
  { title: "Mostly in", value: (row) => placeText(data, row.place), show: (row) => placeNode(data, row.place) ?? "\u2013" },
  ...(work ? [] : [sides(data, "Mostly behind", "holder", "holder_place")]),
];

const behindColumns = (data) => [
  { title: "Waiter", value: (row) => row.waiter, show: (row) => name(row.waiter) },
  lockName,
  sides(data, "Behind", "holder", "place"),
  numbers("Waited", (row) => row.wait_ns, (ns) => timeOf(ns, data.locks.waited_ns)),
];

const longestColumns = (data) => [
  numbers("Longest wait", (row) => row.longest_ns, duration),
  sides(data, "Who", "waiter", "place"),
  lockName,
  sides(data, "Mostly behind", "holder", "holder_place"),
  numbers("Waits there", (row) => row.waits, count),
  numbers("Together", (row) => row.wait_ns, duration),
];

const shown = (container, caption, columns, rows, options) => {
  if (!rows.length) return;
  if (options.title !== false) container.append(element("h3", null, caption));
  container.append(sortableTable(columns, rows, { caption, ...options }).node);
};

/** What stands below the tables. */
export const notesOf = ({ waited_ns, spun_ns, more, more_ns, more_behind }) => {
  const notes = [];
  if (spun_ns > 0) notes.push(`For ${share(spun_ns, waited_ns)} of the waits for locks threads did not sleep: they tried again and again.`);
  if (more) notes.push(`${plural(more, "more lock")} with ${duration(more_ns)} of waits ${more > 1 ? "are" : "is"} not listed.`);
  if (more_behind) notes.push(`${plural(more_behind, "more row")} of who waited behind whom ${more_behind > 1 ? "are" : "is"} not listed.`);
  return notes;
};

export const locksSection = {
  id: "locks",
  title: "Locks",
  build(container, data) {
    const { locks } = data;
    if (!locks || (!locks.rows.length && !locks.work.length)) return false;
    const axis = axisAround([...locks.rows, ...locks.work].map((row) => row.wait));
    const table = (rows, whole, work) => columnsOf(data, whole, axis, work);
    const caption = "Locks that threads waited for";
    shown(container, caption, table(locks.rows, locks.waited_ns, false), locks.rows, { title: false, sort: 2, head: 0, most: 12 });
    shown(container, "Who waited for which lock behind whom", behindColumns(data), locks.behind, { sort: 3, head: 0, most: 12 });
    shown(container, "The longest waits for locks", longestColumns(data), locks.longest, { sort: 0, head: 1, most: 10 });
    shown(container, "Waits for work", table(locks.work, locks.work_ns, true), locks.work, { sort: 1, head: 0, most: 8 });
    notesOf(locks).forEach((note) => container.append(muted(note)));
  },
};
