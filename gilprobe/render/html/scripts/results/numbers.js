// The numbers of a picture of results: in words, on its axis, and with the laws' ranges.
import { duration } from "../shared/words.js";

const PREFIXES = [
  [1e12, "T"],
  [1e9, "G"],
  [1e6, "M"],
  [1e3, "k"],
  [1, ""],
  [1e-3, "m"],
  [1e-6, "\u00b5"],
  [1e-9, "n"],
];

const significant = (value, digits) => String(Number(value.toPrecision(digits)));

const scaled = (value, digits) => {
  const [factor, prefix] = PREFIXES.find(([size]) => Math.abs(value) >= size * 0.9995) || [1, ""];
  return value === 0 ? "0" : `${significant(value / factor, digits)}${prefix && ` ${prefix}`}`;
};

const bytes = (value) => {
  const power = Math.min(3, Math.max(0, Math.floor(Math.log2(Math.max(1, Math.abs(value))) / 10)));
  return `${significant(value / 1024 ** power, 3)} ${["B", "KiB", "MiB", "GiB"][power]}`;
};

/** A number of a picture in words; on an axis without its unit. */
export const numberText = (value, picture, onAxis = false) => {
  const unit = onAxis || !picture.unit ? "" : ` ${picture.unit}`;
  switch (picture.kind) {
    case "ratio":
      return onAxis ? `${significant(value, 3)}x` : `${value.toFixed(2)}x`;
    case "seconds":
      return value === 0 ? "0" : duration(value * 1e9);
    case "share":
      return `${significant(value * 100, 3)}%`;
    case "bytes":
      return bytes(value);
    case "rate":
      return scaled(value, onAxis ? 3 : 4) + unit;
    default: {
      const plain = value === 0 || (Math.abs(value) >= 1e-3 && Math.abs(value) < 1e5);
      return (plain ? significant(value, 4) : scaled(value, 4)) + unit;
    }
  }
};

// ECharts' rich text interprets {style|text}; a word joiner after the brace prevents that.
export const plain = (text) => text.replaceAll("{", "{\u2060");

/** The ends of the panels' common axis. */
export const extent = (picture, values) => {
  const known = values.filter((value) => value !== null && Number.isFinite(value));
  if (picture.logarithmic) {
    const positive = known.filter((value) => value > 0);
    return [Math.min(...positive) / 1.4, Math.max(...positive) * 1.4];
  }
  const [least, most] = [Math.min(0, ...known), Math.max(0, ...known)];
  const spread = most - least || 1;
  return [least < 0 ? least - 0.06 * spread : 0, most + 0.08 * spread];
};

/** Bands of neighbouring positions as one; it ends where the law has no range. */
export const runs = (bands) => {
  const found = [];
  for (const band of bands) {
    const run = found.at(-1);
    const open = [band.low === null, band.high === null].join();
    if (run && run.open === open && run.bands.at(-1).at === band.at - 1) run.bands.push(band);
    else found.push({ open, bands: [band] });
  }
  return found.map((run) => run.bands);
};

/** A point in words: number, interval, and the law's range. */
export const told = (picture, series, point) => {
  const say = (value) => numberText(value, picture);
  const lines = [`${say(point.value)}`];
  if (point.low !== point.high) lines.push(`95 % interval ${say(point.low)} to ${say(point.high)}`);
  const band = series.bands.find((one) => one.at === point.at);
  if (band && band.low === null) lines.push(`law: at most ${say(band.high)}`);
  else if (band && band.high === null) lines.push(`law: at least ${say(band.low)}`);
  else if (band) lines.push(`law: ${say(band.low)} to ${say(band.high)}`);
  return lines;
};
