// Draws rows of holds and waits as pixels. Intervals narrower than a pixel are added up, so a frame's cost
// does not depend on the number of events. Holds rise from a row's line; waits hang from it, hatched.
import { firstAfter } from "./model.js";

/** "#rrggbb" as a pixel of ImageData, on a little-endian machine, as all with browsers are. */
export const pixel = (hex) => {
  const value = parseInt(hex.slice(1), 16);
  return (0xff000000 | ((value & 255) << 16) | (value & 0xff00) | (value >> 16)) >>> 0;
};

/** A colour between two, `share` of the first. */
export const mix = (first, second, share) => {
  const part = (text, at) => parseInt(text.slice(at, at + 2), 16);
  const channel = (at) => Math.round(part(first, at) * share + part(second, at) * (1 - share));
  return `#${[1, 3, 5].map((at) => channel(at).toString(16).padStart(2, "0")).join("")}`;
};

/** A row in columns of one pixel: shares held and waited, and who held most. */
export class Columns {
  constructor(width) {
    this.width = width;
    this.held = new Float32Array(width);
    this.waited = new Float32Array(width);
    this.leader = new Int32Array(width);
    this.largest = new Float32Array(width);
  }

  /** Sample a row between two times. */
  sample(model, row, from, to) {
    this.held.fill(0);
    this.waited.fill(0);
    this.leader.fill(0);
    this.largest.fill(0);
    this.from = from;
    this.scale = this.width / (to - from);
    if (row.levels) this.addCells(model, row, from, to);
    this.addIntervals(row.holds, row.isGil ? "who" : "places", this.held, to, Boolean(row.levels));
    this.addIntervals(row.waits, null, this.waited, to, Boolean(row.levels));
  }

  addCells(model, row, from, to) {
    const level = model.levelFor(row, 1 / this.scale);
    model.cells(level, from, to, (cell, begin, end) => {
      if (level.held[cell]) this.spread(this.held, begin, end, level.held[cell], level.leader[cell]);
      if (level.waited[cell]) this.spread(this.waited, begin, end, level.waited[cell], -1);
    });
  }

  spread(into, begin, end, share, leader) {
    const left = (begin - this.from) * this.scale;
    const right = (end - this.from) * this.scale;
    const last = Math.min(this.width - 1, Math.ceil(right) - 1);
    for (let x = Math.max(0, Math.floor(left)); x <= last; x++) {
      const part = (Math.min(right, x + 1) - Math.max(left, x)) * share;
      into[x] += part;
      if (leader >= 0 && part > this.largest[x]) {
        this.largest[x] = part;
        this.leader[x] = leader;
      }
    }
  }

  /** Add intervals; over cells only visible ones, which replace the cells. */
  addIntervals(list, leaders, into, to, overCells) {
    const { starts, ends } = list;
    const { from, scale, width } = this;
    for (let i = firstAfter(list, from); i < list.count && starts[i] < to; i++) {
      const left = (starts[i] - from) * scale;
      const right = (ends[i] - from) * scale;
      if (overCells && right - left < 1) continue;
      const leader = leaders === null ? -1 : leaders === "who" ? list.who[i] + 1 : list.places[i];
      const last = Math.min(width - 1, Math.floor(right));
      for (let x = Math.max(0, Math.floor(left)); x <= last; x++) {
        const part = Math.min(right, x + 1) - Math.max(left, x);
        into[x] = overCells ? Math.max(into[x], part) : into[x] + part;
        if (leader >= 0 && part >= this.largest[x]) {
          this.largest[x] = part;
          this.leader[x] = leader;
        }
      }
    }
  }
}

/** Pixels of a canvas, kept from frame to frame. */
export class Raster {
  constructor(context, width, height) {
    this.context = context;
    this.image = context.createImageData(width, height);
    this.pixels = new Uint32Array(this.image.data.buffer);
    this.width = width;
    this.height = height;
  }

  clear(color) {
    this.pixels.fill(pixel(color));
  }

  rectangle(x, y, width, height, color) {
    const value = pixel(color);
    const left = Math.max(0, Math.round(x));
    const right = Math.min(this.width, Math.round(x + width));
    const bottom = Math.min(this.height, Math.round(y + height));
    for (let at = Math.max(0, Math.round(y)); at < bottom; at++)
      if (right > left) this.pixels.fill(value, at * this.width + left, at * this.width + right);
  }

  /** Holds as bars that stand on `base`, as high as their share of `area`; `colors` by leader. */
  holds(columns, base, area, least, colors) {
    const { pixels, width, height } = this;
    let leader = -1;
    let value = 0;
    for (let x = 0; x < columns.width; x++) {
      const share = columns.held[x];
      if (share <= 0) continue;
      if (columns.leader[x] !== leader) {
        leader = columns.leader[x];
        value = colors(leader);
      }
      const high = Math.min(area, Math.max(least, Math.round(area * share)));
      const bottom = Math.min(height, base);
      for (let y = Math.max(0, base - high); y < bottom; y++) pixels[y * width + x] = value;
    }
  }

  /** Waits as hatched bars that hang from `top`. */
  waits(columns, top, area, least, stripe, dark, light) {
    const { pixels, width, height } = this;
    for (let x = 0; x < columns.width; x++) {
      const share = columns.waited[x];
      if (share <= 0) continue;
      const high = Math.min(area, Math.max(least, Math.round(area * share)));
      const bottom = Math.min(height, top + high);
      for (let y = Math.max(0, top); y < bottom; y++) pixels[y * width + x] = (x + y) % stripe < stripe / 2 ? dark : light;
    }
  }

  show() {
    this.context.putImageData(this.image, 0, 0);
  }
}
