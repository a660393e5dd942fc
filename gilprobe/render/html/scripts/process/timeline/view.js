// Draws the timeline: rows, axis and overview, each on its own canvas, at most once a frame.
import { Columns, Raster, mix, pixel } from "./raster.js";
import { GIL_AREA, GIL_HEIGHT, HOLD_AREA, ROW_HEIGHT, WAIT_AREA } from "./sizes.js";
import { countLockWaits, drawLockWaits } from "./locks.js";
import { drawPauses } from "./pauses.js";
import { moment } from "./words.js";
import { drawSelected } from "./selected.js";
import { color, holderColor } from "../../shared/colors.js";

const TICK_WIDTH = 110;
const LABEL_WIDTH = 44; // least width of a bar with a label
const LABEL_DISTANCE = 260; // between labels of a long bar
const FONT = '11px system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif';
// Colours of those who held longest, different from that of waits. All others are grey: a colour means one
// thread.
const SOLID = [0, 1, 2, 3, 4, 6];
// For printing, also from a dark screen.
export const PAPER = {
  background: "#ffffff",
  text: "#1b1f24",
  muted: "#57606a",
  line: "#d8dde3",
  off: "#cdd3da",
  panel: "#f6f7f9",
  chosen: "#fff1d6",
};

const nice = (least) => {
  if (least > 3e10) return [6e10, 1.2e11, 3e11, 6e11, 1.8e12, 3.6e12].find((step) => step >= least) || 3.6e12 * Math.ceil(least / 3.6e12);
  const power = 10 ** Math.floor(Math.log10(Math.max(least, 1)));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= least);
};

export class TimelineView {
  /** `parts`: the canvases `rows`, `axis` and `overview`, and `scroller`, which scrolls the rows. */
  constructor(model, parts) {
    Object.assign(this, { model, ...parts });
    this.from = 0;
    this.to = model.extent;
    this.selected = null; // what TimelineModel.at found, and its holders
    this.row = null; // that the keyboard is on
    this.thread = null; // the page's selection: a row
    this.placeNumbers = new Set();
    this.place = null; // the page's selection: a name of a place, as "function\nfile\nline"
    this.tops = [];
    let top = 0;
    for (const row of model.rows) {
      this.tops.push(top);
      top += row.isGil ? GIL_HEIGHT : ROW_HEIGHT;
    }
    this.total = top;
    this.frames = 0;
    this.paper = null;
    this.readColors();
  }

  // ---- colours ----

  readColors() {
    const names = ["background", "text", "muted", "line", "off", "wait", "chosen", "panel"];
    const colors = Object.fromEntries(names.map((name) => [name, color(name)]));
    this.colors = { ...colors, ...this.paper };
    const grey = mix(this.colors.muted, this.colors.background, 0.55);
    this.threadColors = this.model.threads.map((_, row) => (row < SOLID.length ? holderColor(SOLID[row]) : grey));
    this.threadPixels = this.threadColors.map(pixel);
    this.waitDark = pixel(this.colors.wait);
    this.waitLight = pixel(mix(this.colors.wait, this.colors.background, 0.3));
    this.offPixel = pixel(this.colors.off);
    this.otherPixel = pixel(grey);
    this.background = null;
  }

  threadColor(row) {
    return this.threadColors[row] || this.colors.muted;
  }

  /** The colour of a leader in a row. */
  painter(row) {
    if (row.isGil) {
      return (leader) =>
        leader - 1 === this.thread ? this.chosenPixel(this.thread) : (this.threadPixels[leader - 1] ?? this.otherPixel);
    }
    const own = row.row === this.thread ? this.chosenPixel(row.row) : this.threadPixels[row.row];
    if (this.place === null) return () => own;
    return (leader) => (this.isPlace(leader) ? own : this.offPixel);
  }

  /** A thread's colour while it is chosen: even a grey one stands out. */
  chosenPixel(row) {
    return row < SOLID.length ? this.threadPixels[row] : pixel(this.colors.text);
  }

  isPlace(number) {
    return this.placeNumbers.has(number);
  }

  /** Mark a thread's row and a place's holds; null for none. */
  mark(thread, place) {
    this.thread = thread;
    this.place = place;
    this.placeNumbers = new Set(place === null ? [] : this.model.placesNamed(place));
    this.background = null;
    this.request();
  }

  // ---- geometry ----

  get span() {
    return this.to - this.from;
  }

  x(ns) {
    return ((ns - this.from) / this.span) * this.width;
  }

  ns(x) {
    return this.from + (x / this.width) * this.span;
  }

  /** The row at a height inside the rows' canvas, and which side of its line. */
  rowAt(y) {
    const at = y + this.scrolled;
    let number = this.tops.length - 1;
    while (number > 0 && this.tops[number] > at) number--;
    const row = this.model.rows[number];
    if (!row || at > this.total) return null;
    return { row, kind: at > this.base(number) && !row.isGil ? "waits" : "holds" };
  }

  /** Where a row's line is, from the top of all rows. */
  base(number) {
    return this.tops[number] + (this.model.rows[number].isGil ? GIL_HEIGHT - 6 : HOLD_AREA + 4);
  }

  get scrolled() {
    return this.paper ? 0 : this.scroller.scrollTop;
  }

  /** Take the available room, and draw at once: resizing empties a canvas. */
  fit() {
    const ratio = Math.min(globalThis.devicePixelRatio || 1, 3);
    const width = Math.max(60, this.stage.clientWidth);
    const height = Math.min(this.total, this.paper ? this.total : this.scroller.clientHeight);
    if (ratio === this.ratio && width === this.width && height === this.height) return;
    Object.assign(this, { ratio, width, height });
    this.size(this.rows, this.width, this.height);
    this.size(this.axis, this.width, 22);
    this.size(this.overview, Math.max(60, this.overview.parentElement.clientWidth), 46);
    this.raster = null;
    this.background = null;
    this.draw();
  }

  size(canvas, width, height) {
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
    canvas.width = Math.round(width * this.ratio);
    canvas.height = Math.round(height * this.ratio);
  }

  // ---- frames ----

  request() {
    if (this.asked) return;
    this.asked = true;
    requestAnimationFrame(() => {
      this.asked = false;
      this.draw();
    });
  }

  draw() {
    this.step = nice((this.span * TICK_WIDTH) / this.width);
    this.drawRows();
    this.drawAxis();
    this.drawOverview();
    this.frames++;
  }

  ticks() {
    const found = [];
    for (let ns = Math.ceil(this.from / this.step) * this.step; ns <= this.to; ns += this.step) found.push(ns);
    return found;
  }

  drawRows() {
    const context = this.rows.getContext("2d", { alpha: false });
    const { ratio, colors } = this;
    context.setTransform(1, 0, 0, 1, 0, 0);
    if (!this.raster) {
      this.raster = new Raster(context, this.rows.width, this.rows.height);
      this.columns = new Columns(this.rows.width);
    }
    this.raster.clear(colors.background);
    for (const ns of this.ticks())
      this.raster.rectangle(this.x(ns) * ratio, 0, Math.max(1, ratio / 2), this.rows.height, mix(colors.line, colors.background, 0.6));
    const labels = [];
    this.model.rows.forEach((row, number) => {
      const top = this.tops[number] - this.scrolled;
      if (top < this.height && top + GIL_HEIGHT > 0) this.drawRow(row, number, top, labels);
    });
    this.raster.show();
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.drawLabels(context, labels);
    if (this.selected) drawSelected(this, context);
  }

  drawRow(row, number, top, labels) {
    const { ratio, raster, columns, colors, model } = this;
    const base = Math.round((this.base(number) - this.scrolled) * ratio);
    const height = row.isGil ? GIL_HEIGHT : ROW_HEIGHT;
    if (!row.isGil && (row.row === this.thread || row === this.row))
      raster.rectangle(0, top * ratio, raster.width, (height - 1) * ratio, colors.chosen);
    const life = [this.x(row.from_ns) * ratio, this.x(row.to_ns) * ratio];
    raster.rectangle(0, (top + height) * ratio - 1, raster.width, 1, mix(colors.line, colors.background, 0.6));
    raster.rectangle(life[0], base, life[1] - life[0], Math.max(1, Math.round(ratio)), row.isGil ? colors.muted : colors.off);
    columns.sample(model, row, this.from, this.to);
    raster.holds(columns, base, Math.round((row.isGil ? GIL_AREA : HOLD_AREA) * ratio), Math.round(2 * ratio), this.painter(row));
    drawPauses(this, row, base, Math.round((row.isGil ? GIL_AREA : HOLD_AREA) * ratio));
    drawLockWaits(this, row, base);
    if (!row.isGil)
      raster.waits(
        columns,
        base + Math.round(2 * ratio),
        Math.round(WAIT_AREA * ratio),
        Math.round(2 * ratio),
        6 * Math.round(ratio),
        this.waitDark,
        this.waitLight,
      );
    this.findLabels(row, base / ratio, labels);
  }

  /** Find bars that are large enough for a label; long ones repeat it. */
  findLabels(row, base, labels) {
    const { held, leader, width } = this.columns;
    const [least, distance] = [LABEL_WIDTH * this.ratio, LABEL_DISTANCE * this.ratio];
    const area = row.isGil ? GIL_AREA : HOLD_AREA;
    let next = 0; // where the next label of the same bar may be
    for (let x = 0; x < width;) {
      const first = x;
      while (x < width && held[x] > 0.75 && leader[x] === leader[first]) x++;
      if (x - first >= least && first >= next) {
        labels.push({ row, leader: leader[first], x: first / this.ratio, width: (x - first) / this.ratio, y: base - area * 0.4 });
        next = first + distance;
      }
      if (x === first) x++;
      if (x < width && (held[x] <= 0.02 || leader[x] !== leader[first])) next = 0;
    }
  }

  drawLabels(context, labels) {
    context.font = FONT;
    context.textBaseline = "middle";
    for (const label of labels) {
      const place = label.row.isGil ? null : this.model.place(label.leader);
      const text = label.row.isGil ? this.model.threadName(label.leader - 1) : place && place[0];
      if (!text) continue;
      const row = label.row.isGil ? label.leader - 1 : label.row.row;
      const ink = row === this.thread && row >= SOLID.length ? this.colors.text : this.threadColor(row);
      const dimmed = !label.row.isGil && this.place !== null && !this.isPlace(label.leader);
      context.fillStyle = this.readable(dimmed ? this.colors.off : ink);
      const fitting = this.shortened(context, text, label.width - 10);
      if (fitting) context.fillText(fitting, label.x + 5, label.y);
    }
  }

  readable(fill) {
    const [red, green, blue] = [1, 3, 5].map((at) => parseInt(fill.slice(at, at + 2), 16));
    return 0.299 * red + 0.587 * green + 0.114 * blue > 125 ? "#000000" : "#ffffff";
  }

  /** As much of a text as fits, or nothing. */
  shortened(context, text, width) {
    if (context.measureText(text).width <= width) return text;
    const letters = [...text];
    let low = 0;
    let high = Math.min(letters.length, 80);
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (context.measureText(`${letters.slice(0, middle).join("")}\u2026`).width <= width) low = middle;
      else high = middle - 1;
    }
    return low >= 5 ? `${letters.slice(0, low).join("")}\u2026` : "";
  }

  drawAxis() {
    const context = this.axis.getContext("2d");
    context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    context.clearRect(0, 0, this.width, 22);
    context.font = FONT;
    context.textBaseline = "middle";
    context.fillStyle = this.colors.muted;
    for (const ns of this.ticks()) {
      const text = moment(ns, this.step, this.model.extent);
      const x = this.x(ns);
      const width = context.measureText(text).width;
      if (x + width > this.width && x > width) {
        context.fillText(text, this.width - width, 10);
        continue;
      }
      context.fillText(text, x, 10);
      context.fillRect(x, 17, 1, 5);
    }
  }

  // ---- the overview ----

  drawOverview() {
    const context = this.overview.getContext("2d", { alpha: false });
    const [width, height] = [this.overview.width, this.overview.height];
    if (!this.background) this.background = this.paintOverview(context, width, height);
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.putImageData(this.background, 0, 0);
    const [left, right] = [this.from, this.to].map((ns) => (ns / this.model.extent) * width);
    context.fillStyle = this.colors.background;
    context.globalAlpha = 0.65;
    context.fillRect(0, 0, left, height);
    context.fillRect(right, 0, width - right, height);
    context.globalAlpha = 1;
    context.strokeStyle = this.colors.text;
    context.lineWidth = Math.max(1, this.ratio);
    const inset = context.lineWidth / 2;
    const shown = Math.max(right - left, 3 * this.ratio);
    context.strokeRect(Math.min(left, width - shown) + inset, inset, shown - 2 * inset, height - 2 * inset);
  }

  /** Who held, over the whole time, and below it how many waited. */
  paintOverview(context, width, height) {
    const raster = new Raster(context, width, height);
    const columns = new Columns(width);
    const base = Math.round(height * 0.62);
    raster.clear(this.colors.panel);
    const waiting = new Float32Array(width);
    for (const row of this.model.threads) {
      columns.sample(this.model, row, 0, this.model.extent);
      columns.waited.forEach((share, x) => (waiting[x] += share));
    }
    if (!this.model.hasGil) countLockWaits(this.model, waiting);
    const most = Math.max(
      1,
      waiting.reduce((a, b) => Math.max(a, b), 0),
    );
    const gil = this.model.busiest;
    if (gil) {
      columns.sample(this.model, gil, 0, this.model.extent);
      raster.holds(columns, base, base - 3, 1, this.painter(gil));
    }
    columns.waited.set(waiting.map((sum) => sum / most));
    raster.rectangle(0, base, width, 1, this.colors.line);
    raster.waits(columns, base + 1, height - base - 4, 1, 6 * Math.round(this.ratio), this.waitDark, this.waitLight);
    return raster.image;
  }
}
