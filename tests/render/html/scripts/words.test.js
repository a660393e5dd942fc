// Numbers in words: what a reader of a page sees of nanoseconds, shares and counts.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { count, duration, plural, share } from "#scripts/shared/words.js";

const told = JSON.parse(readFileSync(new URL("../../../data/durations.json", import.meta.url)));

test("a duration has three digits and the unit that fits, as in what Python writes", () => {
  told.forEach(([ns, text]) => assert.equal(duration(ns), text.replace("us", "\u00b5s")));
});

test("a duration is never rounded up to a thousand of a unit", () => {
  for (let exponent = 1; exponent < 12; exponent++)
    for (const ns of [10 ** exponent - 1, 10 ** exponent, 10 ** exponent * 0.9996]) {
      assert.doesNotMatch(duration(ns), /^1000 (ns|\u00b5s|ms)$/);
    }
});

test("a negative duration has the words of its size", () => {
  for (const ns of [5, 1500, 20_000_000, 3e12]) assert.equal(duration(-ns), `-${duration(ns)}`);
});

test("a share tells a little from nothing, and nothing of nothing from both", () => {
  assert.deepEqual([share(0, 9), share(1, 1000), share(1, 3), share(9, 9), share(0, 0)], ["0 %", "< 1 %", "33 %", "100 %", "-"]);
});

test("digits stand in groups, and one is not many", () => {
  assert.equal(count(1234567), "1\u202f234\u202f567");
  assert.deepEqual([plural(1, "thread"), plural(0, "thread"), plural(2, "process", "es")], ["1 thread", "0 threads", "2 processes"]);
});
