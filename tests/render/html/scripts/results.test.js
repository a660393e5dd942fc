// What pictures of results say, and how far their axes reach.
import assert from "node:assert/strict";
import { test } from "node:test";
import { extent, numberText, plain, runs, told } from "#scripts/results/numbers.js";

const say = (value, kind, unit = "", onAxis = false) => numberText(value, { kind, unit }, onAxis);

test("a number is written by what it is", () => {
  assert.equal(say(1.5, "ratio"), "1.50x");
  assert.equal(say(0.0015, "seconds"), "1.5 ms");
  assert.equal(say(0, "seconds"), "0");
  assert.equal(say(0.333, "share"), "33.3%");
  assert.equal(say(3 * 2 ** 20, "bytes"), "3 MiB");
  assert.equal(say(1_234_567, "rate", "iterations/s"), "1.235 M iterations/s");
  assert.equal(say(12, "number", "turns"), "12 turns");
  assert.equal(say(2_000_000, "number"), "2 M");
  assert.equal(say(0.0000025, "number"), "2.5 \u00b5");
});

test("an axis does not repeat the unit", () => {
  assert.equal(say(1_234_567, "rate", "iterations/s", true), "1.23 M");
  assert.equal(say(1.5, "ratio", "", true), "1.5x");
});

test("a brace of a foreign name has no meaning for the tooltip", () => {
  assert.equal(plain("{a|b}"), "{\u2060a|b}");
});

test("an axis begins at zero and leaves some room; a logarithmic one stays above zero", () => {
  assert.deepEqual(extent({ logarithmic: false }, [10, 5, null]), [0, 10.8]);
  assert.deepEqual(extent({ logarithmic: true }, [0, 1.4, 14, null]), [1, 14 * 1.4]);
  const [least, most] = extent({ logarithmic: false }, [-10, 10]);
  assert.ok(least < -10 && most > 10);
});

test("a point says its interval, and what the law expects there", () => {
  const point = { at: 1, value: 2, low: 1.5, high: 2.5 };
  const law = (low, high) => told({ kind: "ratio" }, { bands: [{ at: 1, low, high }] }, point).at(-1);
  assert.deepEqual(told({ kind: "ratio" }, { bands: [] }, point), ["2.00x", "95 % interval 1.50x to 2.50x"]);
  assert.deepEqual([law(1, 3), law(1, null), law(null, 3)], ["law: 1.00x to 3.00x", "law: at least 1.00x", "law: at most 3.00x"]);
});

test("a band ends where the law is silent, or open at another side", () => {
  const at = (...places) => places.map((place) => ({ at: place, low: 1, high: 2 }));
  const lengths = (bands) => runs(bands).map((run) => run.length);
  assert.deepEqual(lengths(at(0, 1, 2)), [3]);
  assert.deepEqual(lengths(at(0, 1, 3)), [2, 1]);
  assert.deepEqual(lengths([...at(0), { at: 1, low: null, high: 2 }]), [1, 1]);
});
