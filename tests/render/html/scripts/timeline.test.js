// The timeline's numbers: what the page makes of the packed rows, and how it tells a moment.
import assert from "node:assert/strict";
import { test } from "node:test";
import { TimelineModel, firstAfter } from "#scripts/process/timeline/model.js";
import { countLockWaits, lockWaitAt } from "#scripts/process/timeline/locks.js";
import { Columns, mix, pixel } from "#scripts/process/timeline/raster.js";
import { moment, summary } from "#scripts/process/timeline/words.js";

const [HOLD, WAIT] = [0, 1];

/** Numbers as unsigned LEB128 varints in base64, as the report packs them. */
const packed = (numbers) => {
  const bytes = [];
  for (let number of numbers) {
    for (; number >= 128; number = Math.floor(number / 128)) bytes.push((number % 128) + 128);
    bytes.push(number);
  }
  return btoa(String.fromCharCode(...bytes));
};

/** A row of events [kind, start, end, place], as csrc/picture/gp_picture_exact.h describes it. */
const exactRow = (events) => {
  let before = 0;
  return packed(
    events.flatMap(([kind, start, end, place]) => {
      const gap = start - before;
      before = end;
      return [2 * (gap < 0 ? -2 * gap - 1 : 2 * gap) + kind, end - start, place];
    }),
  );
};

const described = (names, more) => ({
  extent_ns: 1000,
  gils: [0],
  gil_of: names.map(() => 0),
  threads: names.map((name) => ({ name, from_ns: 0, to_ns: 1000 })),
  places: [
    ["encode", "/srv/app/encode.py", 7],
    ["pack", "/srv/app/pack.py", 2],
  ],
  pauses: [],
  lock_waits: [],
  locks: [],
  ...more,
});

const exact = () => {
  const first = [
    [HOLD, 100, 300, 1],
    [WAIT, 400, 500, 0],
    [HOLD, 500, 600, 2],
  ];
  const second = [
    [WAIT, 150, 300, 0],
    [HOLD, 300, 500, 1],
  ];
  return new TimelineModel(described(["first", "second"], { exact: true, rows: [exactRow(first), exactRow(second), ""] }));
};

test("packed events come back, and the GIL's row has the holds of all threads in order", () => {
  const { threads, gils, rows } = exact();
  assert.deepEqual([...threads[0].holds.starts], [100, 500]);
  assert.deepEqual([...threads[0].holds.ends], [300, 600]);
  assert.deepEqual([...threads[0].waits.starts], [400]);
  assert.deepEqual([...gils[0].holds.starts], [100, 300, 500]);
  assert.deepEqual([...gils[0].holds.who], [0, 1, 0]);
  assert.deepEqual(rows.map((row) => row.name), ["GIL", "first", "second"]);
});

test("events that a made-up file has out of order are put in order", () => {
  const rows = [exactRow([[HOLD, 700, 800, 1], [HOLD, 100, 200, 2]]), ""];
  const [thread] = new TimelineModel(described(["one"], { exact: true, rows })).threads;
  assert.deepEqual([...thread.holds.starts], [100, 700]);
  assert.deepEqual([...thread.holds.places], [2, 1]);
});

test("numbers of 53 bits survive", () => {
  const end = 2 ** 50 + 12345;
  const rows = [exactRow([[HOLD, 2 ** 50, end, 1]]), ""];
  const [thread] = new TimelineModel(described(["one"], { exact: true, rows, extent_ns: 2 ** 51 })).threads;
  assert.deepEqual([thread.holds.starts[0], thread.holds.ends[0]], [2 ** 50, end]);
});

test("what was held in a window counts the parts inside it", () => {
  const model = exact();
  assert.equal(model.heldIn(model.gils[0], 0, 1000), 500);
  assert.equal(model.heldIn(model.gils[0], 200, 350), 150);
  assert.equal(model.heldIn(model.gils[0], 600, 1000), 0);
});

test("behind a wait are those who held meanwhile, the longest first", () => {
  const model = exact();
  const found = model.at(model.threads[1], "waits", 200, 1);
  assert.deepEqual([...model.holdersOf(found)], [{ row: 0, place: 1, ns: 150 }]);
  assert.deepEqual(
    model.holdersIn(model.gils[0], 0, 550).map(({ row, ns }) => [row, ns]),
    [[0, 200], [1, 200], [0, 50]],
  );
});

test("the longest of a window come first, as many as are asked for", () => {
  const model = exact();
  const lengths = (from, to, most) => model.longestIn("waits", from, to, most).map((one) => one.end - one.start);
  assert.deepEqual(lengths(0, 1000, 5), [150, 100]);
  assert.deepEqual(lengths(0, 1000, 1), [150]);
  assert.deepEqual(lengths(350, 1000, 5), [100]);
});

test("the first interval after a time is found as by looking at each", () => {
  const { holds } = exact().gils[0];
  for (let ns = 0; ns <= 700; ns += 50) {
    const slow = [...holds.ends].findIndex((end) => end > ns);
    assert.equal(firstAfter(holds, ns), slow < 0 ? holds.count : slow);
  }
});

// Four cells of 250 ns: full, full again, half and none; 63 is a whole share, the leader is place 1 or thread 0.
const pyramid = () => {
  const row = packed([4 * 63 + 1, 1, 4 * 1 + 2, 4 * 31, 4 * 0]);
  const holds = packed([0, 500, 0, 1, 0, 0]);
  const waits = packed([500, 100, 0, 0, 1, 0, 2, 60, 40]);
  return new TimelineModel(described(["one"], { exact: false, cell_ns: 250, levels: [0, 0], rows: [row, row], holds, waits }));
};

test("cells come back with their shares and leaders; above them each level has half as many", () => {
  const [level] = pyramid().threads[0].levels;
  assert.deepEqual([...level.held].map((held) => Math.round(held * 63)), [63, 63, 31, 0]);
  assert.deepEqual([...level.leader], [1, 1, 1, 1]);
  const row = packed([4 * 63 + 1, 1, 4 * 199 + 2]);
  const data = { exact: false, cell_ns: 5, levels: [0, 0], rows: [row, row], holds: "", waits: "" };
  const { levels } = new TimelineModel(described(["one"], data)).threads[0];
  assert.deepEqual(levels.map(({ count, cellNs }) => [count, cellNs]), [[200, 5], [100, 10], [50, 20]]);
  levels.forEach(({ held }) => assert.ok(held.every((part) => part === 1)));
});

test("the longest of a pyramid are exact and know their holders, those without a row together", () => {
  const [thread] = pyramid().threads;
  assert.deepEqual([thread.waits.starts[0], thread.waits.ends[0]], [500, 600]);
  assert.deepEqual(thread.waits.holders[0], [{ row: 0, place: 2, ns: 60 }, { row: null, place: 0, ns: 40 }]);
});

test("a row in columns has the shares of its time", () => {
  const model = exact();
  const columns = new Columns(10);
  columns.sample(model, model.threads[0], 0, 1000);
  assert.deepEqual([...columns.held].map((share) => Math.round(share)), [0, 1, 1, 0, 0, 1, 0, 0, 0, 0]);
  assert.deepEqual([...columns.waited].map((share) => Math.round(share)), [0, 0, 0, 0, 1, 0, 0, 0, 0, 0]);
  assert.deepEqual([columns.leader[1], columns.leader[5]], [1, 2]);
});

test("a colour between two, and as a pixel", () => {
  assert.equal(mix("#ffffff", "#000000", 1), "#ffffff");
  assert.equal(mix("#ff0000", "#0000ff", 0.5), "#800080");
  assert.equal(pixel("#123456"), 0xff563412);
});

test("a moment has the digits that its step needs, and from ten minutes on minutes", () => {
  assert.equal(moment(1_500_000_000, 1e8, 5e9), "1.5 s");
  assert.equal(moment(1_500_000_000, 1e6, 5e9), "1.500 s");
  assert.equal(moment(1_500_000, 1e5, 5e6), "1.5 ms");
  assert.equal(moment(125e9, 1e9, 7e11), "2:05");
  assert.equal(moment(125.25e9, 1e7, 7e11), "2:05.25");
});

test("what was found is told in a line", () => {
  const model = exact();
  assert.equal(
    summary(model, model.at(model.threads[0], "holds", 200, 1)),
    "first holds the GIL for 200 ns in encode (app/encode.py:7)",
  );
  assert.equal(summary(model, model.at(model.gils[0], "holds", 400, 1)), "second holds the GIL for 200 ns in encode (app/encode.py:7)");
});

test("without a GIL the longest waits are those for locks, and the overview counts them", () => {
  const waits = {
    gils: [],
    gil_of: [0, 0],
    lock_waits: [
      [0, 100, 50, 0],
      [1, 100, 900, 1],
      [1, 0, 300, 0],
    ],
    locks: ["Lock `a`", "Queue.get"],
    work: [1],
    exact: true,
    rows: ["", ""],
  };
  const model = new TimelineModel(described(["first", "second"], waits));
  assert.deepEqual(
    model.longestLockWaits(0, 1000, 9).map((wait) => [wait.row.name, wait.start, wait.end]),
    [
      ["second", 0, 300],
      ["first", 100, 150],
    ],
  );
  const columns = [0, 0, 0, 0];
  countLockWaits(model, columns);
  assert.deepEqual(
    columns.map((share) => share.toFixed(2)),
    ["1.20", "0.20", "0.00", "0.00"],
  );
});

test("a wait for a lock is found on its thread's row, and told", () => {
  const waits = { lock_waits: [[1, 600, 50, 0]], locks: ["dict `REGISTRY` (module app)"], exact: true, rows: ["", "", ""] };
  const model = new TimelineModel(described(["first", "second"], waits));
  const row = model.threads[1];
  const view = { model, tops: model.rows.map((_, index) => 40 * index), scrolled: 0, ns: (x) => x, rowAt: () => ({ row }) };
  const found = lockWaitAt(view, 620, 40 * row.index + 20);
  assert.equal(summary(model, found), "second waits 50 ns for dict `REGISTRY` (module app)");
  assert.equal(lockWaitAt(view, 650, 40 * row.index + 20), null);
  assert.equal(lockWaitAt({ ...view, rowAt: () => ({ row: model.gils[0] }) }, 620, 20), null);
});
