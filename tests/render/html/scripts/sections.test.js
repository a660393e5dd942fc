// What sections make of a process's data before they draw it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { cellsOf, ranked } from "#scripts/process/blame.js";
import { culpritText, intervalText } from "#scripts/process/culprits.js";
import { axisAround, axisOf, curve, lowOf, ticks } from "#scripts/process/distributions.js";
import { arranged, childrenOf, matched, totals } from "#scripts/process/flame.js";
import { behindText } from "#scripts/process/labels.js";
import { notesOf, waitersText, whoText } from "#scripts/process/locks.js";
import { offRows, partsOf } from "#scripts/process/off.js";
import { placeText } from "#scripts/process/places.js";
import { compare } from "#scripts/shared/table.js";

// main -> encode (60) -> main again (20); main -> pack (1); by number: 0 the root.
const FLAME = { parent: [-1, 0, 1, 2, 1], place: [-1, 0, 1, 0, 2], hold_ns: [1000, 1000, 600, 200, 1] };
const CHILDREN = childrenOf(FLAME, "hold_ns");

test("children stand by their weights, the heaviest first", () => {
  assert.deepEqual(CHILDREN, [[1], [2, 4], [3], [], []]);
});

test("frames stand inside what called them; what is too small to be seen is left out", () => {
  const { boxes, rests } = arranged(FLAME, "hold_ns", CHILDREN, 0);
  assert.deepEqual(
    boxes.map(({ node, depth, x, width }) => [node, depth, x, width]),
    [[0, 0, 0, 1], [1, 1, 0, 1], [2, 2, 0, 0.6], [3, 3, 0, 0.2]],
  );
  assert.deepEqual(rests, []);
});

test("a frame that is widened takes the whole width, and so do those above it", () => {
  const { boxes } = arranged(FLAME, "hold_ns", CHILDREN, 2);
  assert.deepEqual(boxes.map(({ node, width }) => [node, Math.round(100 * width)]), [[0, 100], [1, 100], [2, 100], [3, 33]]);
});

test("many small frames are one rest", () => {
  const few = { parent: [-1, ...Array(100).fill(0)], hold_ns: [1000, ...Array(100).fill(3), 0] };
  const { boxes, rests } = arranged(few, "hold_ns", childrenOf(few, "hold_ns"), 0);
  assert.equal(boxes.length, 1);
  assert.deepEqual(rests.map(({ depth, x }) => [depth, x]), [[1, 0]]);
  assert.ok(Math.abs(rests[0].width - 0.3) < 1e-9);
});

test("recursion counts once, and a stack that matches twice too", () => {
  const rows = Object.fromEntries(totals(FLAME, "hold_ns", CHILDREN).map(({ place, own, whole }) => [place, [own, whole]]));
  assert.deepEqual(rows, { 0: [399 + 200, 1000], 1: [400, 600], 2: [1, 1] });
  assert.equal(matched(FLAME, "hold_ns", CHILDREN, new Set([1, 3])), 1000);
  assert.equal(matched(FLAME, "hold_ns", CHILDREN, new Set([3, 4])), 201);
});

test("bins of a distribution follow one another without a gap", () => {
  assert.deepEqual([lowOf(0), lowOf(1), lowOf(4), lowOf(6), lowOf(40)], [1, 1.25, 2, 3, 1024]);
  for (let bin = 0; bin < 100; bin++) assert.ok(lowOf(bin) < lowOf(bin + 1));
});

test("a curve falls from the share that is longer than nothing to the longest", () => {
  const part = { count: 10, zero: 2, counts: [5, 0, 3], first: 40, max_ns: 1500 };
  assert.deepEqual(curve(part), [[1024, 0.8], [1536, 0.3], [1500, 0.1]]);
  assert.deepEqual(curve({ count: 0, zero: 0, counts: [], first: 0, max_ns: 0 }), []);
});

test("an axis has whole powers of ten around all that is drawn", () => {
  const part = { counts: [1], first: 40, max_ns: 5e6 };
  const axis = axisOf({ all_threads: { hold: part, wait: { counts: [] } } });
  assert.deepEqual([axis.from, axis.to, axis.at(1e3), axis.at(1e7), axis.at(1e99)], [3, 7, 0, 1, 1]);
  assert.deepEqual([ticks(axis, 1), ticks(axis, 3)], [[3, 4, 5, 6, 7], [3, 6]]);
});

test("beyond the first fourteen waiters all others are one row, and nobody is the last", () => {
  const blame = Array.from({ length: 20 }, (_, thread) => [thread, -1, 0, 100 - thread]);
  const { kept, last } = ranked(blame, 0);
  assert.deepEqual(kept, Array.from({ length: 14 }, (_, thread) => thread));
  assert.deepEqual(last, [-2]);
  assert.deepEqual(ranked(blame, 1).last, [-1]);
  const cells = cellsOf(blame, kept, []);
  assert.equal(cells.get("0 -1"), 100);
  assert.equal(cells.get("-2 -1"), 86 + 85 + 84 + 83 + 82 + 81);
});

test("a place is told by as much as is known of it", () => {
  const places = [{ function: "f", short: "a/b.py", line: 3 }, { function: "g", short: "c.py", line: 0 }, { function: "h" }];
  const told = [0, 1, 2, 9].map((number) => placeText({ places }, number));
  assert.deepEqual(told, ["f (a/b.py:3)", "g (c.py)", "h", ""]);
});

test("numbers are sorted as numbers, all else as text", () => {
  assert.deepEqual([10, 9, 100].sort(compare), [9, 10, 100]);
  assert.deepEqual(["b", "a", "\u00e4"].sort(compare), ["a", "\u00e4", "b"]);
});

test("a culprit is told with what it called, or is a thread", () => {
  const data = { places: [{ function: "export", short: "srv/app.py", line: 9 }] };
  assert.equal(culpritText(data, { place: 0, called: "json.dumps", thread: "t" }), "export (srv/app.py:9) in json.dumps");
  assert.equal(culpritText(data, { place: 0, called: "", thread: "t" }), "export (srv/app.py:9)");
  assert.equal(culpritText(data, { place: -1, called: "", thread: "pool_N x 4" }), "pool_N x 4");
  const several = { place: 0, called: "json.dumps 30\u202f%, freeing 6\u202f%", several: true, thread: "t" };
  assert.equal(culpritText(data, several), "export (srv/app.py:9): json.dumps 30\u202f%, freeing 6\u202f%");
});

test("a share that no look tells has no interval", () => {
  assert.equal(intervalText({ low: 0.331, high: 0.388 }), "33 to 39\u202f%");
  assert.equal(intervalText({ low: null, high: null }), "\u2013");
});

test("a place has its callee, if that is known", () => {
  const data = { places: [{ function: "f", short: "a.py", line: 3, callee: "sorted" }, { function: "sorted", line: 0 }] };
  assert.deepEqual([placeText(data, 0), placeText(data, 1)], ["f (a.py:3) in sorted", "sorted"]);
});

test("who waited, or had a lock, is told with the place, or as nobody", () => {
  const data = { places: [{ function: "put", short: "app/cache.py", line: 30 }, { function: "(handoff)", line: 0 }] };
  assert.equal(whoText(data, "", 1), "nobody (handoff)");
  assert.equal(whoText(data, "writer", 0), "writer in put (app/cache.py:30)");
  assert.equal(whoText(data, "writer", -1), "writer");
  assert.equal(whoText(data, "", -1), "nobody");
  assert.equal(waitersText({ waiter: "a", waiters: 1 }), "a");
  assert.equal(waitersText({ waiter: "a", waiters: 3 }), "a and 2 more");
});

test("below the locks stands what is not listed, and what was waited without sleep", () => {
  const none = { waited_ns: 1000, spun_ns: 0, more: 0, more_ns: 0, more_behind: 0 };
  assert.deepEqual(notesOf(none), []);
  const notes = notesOf({ ...none, spun_ns: 250, more: 1, more_ns: 5, more_behind: 2 });
  assert.equal(notes.length, 3);
  assert.match(notes[0], /25 %/);
  assert.match(notes[1], /1 more lock with 5 ns of waits is not listed/);
  assert.match(notes[2], /2 more rows .* are not listed/);
});

test("off time has a row for each thread that was off, and the parts that any of them has", () => {
  const times = { off_ns: 10, lock_ns: 4, spin_ns: 0, stopped_ns: 0, work_ns: 1, rest_ns: 5 };
  const never = { off_ns: 0, lock_ns: 0, spin_ns: 0, stopped_ns: 0, work_ns: 0, rest_ns: 0 };
  const rows = offRows({ locks: { off: [never, times] }, threads: [{ name: "a" }, { name: "b" }] });
  assert.deepEqual(rows.map(({ name, index, rest_ns }) => [name, index, rest_ns]), [["b", 1, 5]]);
  assert.deepEqual(partsOf(rows).map(([kind]) => kind), ["lock", "work", "rest"]);
});

test("an axis around no distribution at all is an axis", () => {
  const { from, to } = axisAround([{ counts: [] }]);
  assert.ok(from < to);
});

test("a label says behind which it waited longest, if it waited", () => {
  assert.equal(behindText({ behind: "GET /search", behind_ns: 88, wait_ns: 100 }), "88 % behind GET /search");
  assert.equal(behindText({ behind: "", behind_ns: 1, wait_ns: 2 }), "50 % behind nobody");
  assert.equal(behindText({ behind: "", behind_ns: 0, wait_ns: 0 }), "");
});
