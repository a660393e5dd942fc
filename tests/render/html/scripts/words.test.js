// Numbers in words: what a reader of a page sees of nanoseconds, shares and counts.
import assert from "node:assert/strict";
import { test } from "node:test";
import { count, duration, plural, share } from "#scripts/shared/words.js";

test("a duration has three digits and the unit that fits", () => {
  const told = [
    [0, "0 ns"],
    [7, "7 ns"],
    [999, "999 ns"],
    [1000, "1 \u00b5s"],
    [1234, "1.23 \u00b5s"],
    [12_340, "12.3 \u00b5s"],
    [123_400, "123 \u00b5s"],
    [5_000_000, "5 ms"],
    [2_500_000_000, "2.5 s"],
    [150_000_000_000, "150 s"],
    [3_600_000_000_000, "3600 s"],
  ];
  told.forEach(([ns, text]) => assert.equal(duration(ns), text));
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
