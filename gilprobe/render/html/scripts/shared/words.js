// Numbers in words.

const UNITS = [
  [1e9, "s"],
  [1e6, "ms"],
  [1e3, "\u00b5s"],
  [1, "ns"],
];

/** Nanoseconds with three digits and a fitting unit, as gilprobe/durations.py writes them. */
export const duration = (ns) => {
  const size = Math.abs(ns);
  if (size >= 999.5e9) return `${Math.round(ns / 1e9)} s`;
  const [factor, unit] = UNITS.find(([least]) => size >= 0.9995 * least) || UNITS.at(-1);
  return `${Number((ns / factor).toPrecision(3))} ${unit}`;
};

/** A share in per cent; "< 1 %" if small but not 0. */
export const share = (part, whole) => {
  if (!whole) return "-";
  const percent = (100 * part) / whole;
  return percent > 0 && percent < 0.5 ? "< 1 %" : `${Math.round(percent)} %`;
};

export const count = (n) => n.toLocaleString("en").replaceAll(",", "\u202f");

export const plural = (n, noun, ending = "s") => `${count(n)} ${noun}${n === 1 ? "" : ending}`;
