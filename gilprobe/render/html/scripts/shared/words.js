// Numbers in words.

const UNITS = [
  [1e9, "s"],
  [1e6, "ms"],
  [1e3, "\u00b5s"],
];

/** Nanoseconds with three digits and a fitting unit. */
export const duration = (ns) => {
  const size = Math.abs(ns);
  if (size >= 1e12) return `${Math.round(ns / 1e9)} s`;
  for (const [factor, unit] of UNITS) {
    if (size >= factor * 0.9995) {
      const value = ns / factor;
      const digits = Math.abs(value) >= 99.95 ? 0 : Math.abs(value) >= 9.995 ? 1 : 2;
      return `${value.toFixed(digits).replace(/\.0+$|(\.\d*[1-9])0+$/, "$1")} ${unit}`;
    }
  }
  return `${Math.round(ns)} ns`;
};

/** A share in per cent; "< 1 %" tells it from nothing. */
export const share = (part, whole) => {
  if (!whole) return "-";
  const percent = (100 * part) / whole;
  return percent > 0 && percent < 0.5 ? "< 1 %" : `${Math.round(percent)} %`;
};

export const count = (n) => n.toLocaleString("en").replaceAll(",", "\u202f");

export const plural = (n, noun, ending = "s") => `${count(n)} ${noun}${n === 1 ? "" : ending}`;
