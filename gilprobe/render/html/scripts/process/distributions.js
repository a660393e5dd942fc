// Lengths of waits and holds: a curve for one thread or all, and a strip per thread, on log axes.
import { element, muted, name, svg } from "../shared/element.js";
import { page } from "../shared/page.js";
import { numbers, sortableTable } from "../shared/table.js";
import { count, duration } from "../shared/words.js";

const HEIGHT = 250;
const KINDS = [
  ["wait", "Waits"],
  ["hold", "Holds"],
];
const MARKED = [
  [0.5, 0],
  [0.1, 1],
  [0.01, 2],
  [0.001, 3],
]; // share that is longer, and its index among the quantiles

export const lowOf = (bin) => 2 ** Math.floor(bin / 4) * (1 + (bin % 4) / 4);
const rounded = (number) => (number < 1e3 ? number : number < 1e6 ? `${number / 1e3} k` : `${number / 1e6} M`);
const power = (exponent) => duration(10 ** exponent);

/** Powers of ten around all that is drawn of some distributions. */
export const axisAround = (parts) => {
  const all = parts.filter((part) => part.counts.length);
  const low = Math.min(...all.map((part) => lowOf(part.first)), 1e9);
  const high = Math.max(...all.map((part) => part.max_ns), 1);
  const [from, to] = [
    Math.floor(Math.log10(low)),
    Math.max(Math.ceil(Math.log10(high)), Math.floor(Math.log10(low)) + 1),
  ];
  return { from, to, at: (ns) => Math.min(1, Math.max(0, (Math.log10(Math.max(ns, 1)) - from) / (to - from))) };
};

export const axisOf = (data) => axisAround([data.all_threads.hold, data.all_threads.wait]);

export const ticks = (axis, step) => {
  const made = [];
  for (let exponent = Math.ceil(axis.from / step) * step; exponent <= axis.to; exponent += step) made.push(exponent);
  return made;
};

/** Points (ns, share at least as long) at the lower ends of bins, and the longest. */
export const curve = (part) => {
  let longer = part.count - part.zero;
  const points = [];
  part.counts.forEach((number, index) => {
    if (!number) return;
    points.push([lowOf(part.first + index), longer / part.count]);
    longer -= number;
  });
  if (points.length) points.push([part.max_ns, 1 / part.count]);
  return points;
};

const line = (x1, y1, x2, y2, kind) => svg("line", { x1, y1, x2, y2, class: kind });
const text = (x, y, words, attributes) => svg("text", { x, y, ...attributes }, words);

class Curves {
  constructor(data, axis) {
    this.data = data;
    this.axis = axis;
    this.node = element("figure", { class: "curves" });
    new ResizeObserver(() => this.draw()).observe(this.node);
  }

  draw() {
    const width = this.node.clientWidth;
    if (!width) return;
    const { thread } = page.selection;
    const shown = thread === null ? this.data.all_threads : this.data.threads[thread];
    const who = thread === null ? "all threads" : shown.name;
    const longest = Math.max(shown.hold.count, shown.wait.count, 10);
    const decades = Math.ceil(Math.log10(longest));
    const [left, right, top, bottom] = [80, 12, 10, 28];
    const x = (ns) => left + this.axis.at(ns) * (width - left - right);
    const y = (part) => top + (Math.min(decades, -Math.log10(part)) / decades) * (HEIGHT - top - bottom);
    const label = `How many waits and holds of ${who} were longer than a time; the figures are in the table below`;
    const picture = svg("svg", {
      width,
      height: HEIGHT,
      viewBox: `0 0 ${width} ${HEIGHT}`,
      role: "img",
      "aria-label": label,
    });
    for (let decade = 0; decade <= decades; decade++) {
      const at = y(10 ** -decade);
      picture.append(
        line(left, at, width - right, at, "grid"),
        text(left - 8, at + 4, decade ? `1 in ${rounded(10 ** decade)}` : "all", {
          class: "axis",
          "text-anchor": "end",
        }),
      );
    }
    ticks(this.axis, width < 560 ? 3 : 1).forEach((exponent) => {
      const at = x(10 ** exponent);
      picture.append(
        line(at, top, at, HEIGHT - bottom, "grid"),
        text(at, HEIGHT - 8, power(exponent), { class: "axis", "text-anchor": "middle" }),
      );
    });
    KINDS.forEach(([kind]) => this.plot(picture, shown[kind], kind, x, y));
    const key = element(
      "span",
      { class: "key" },
      KINDS.map(([kind, title]) =>
        element(
          "span",
          { class: `of-${kind}` },
          svg("svg", { width: 28, height: 8, "aria-hidden": "true" }, line(0, 4, 28, 4, `curve ${kind}`)),
          ` ${title.toLowerCase()}`,
        ),
      ),
    );
    this.node.replaceChildren(element("figcaption", null, "How many were longer, ", name(who), key), picture);
  }

  plot(picture, part, kind, x, y) {
    const points = curve(part);
    if (points.length < 2) return;
    const path = points
      .map(([ns, share], index) => `${index ? "L" : "M"}${x(ns).toFixed(1)} ${y(share).toFixed(1)}`)
      .join("");
    picture.append(svg("path", { d: path, class: `curve ${kind}` }));
    for (const [share, quantile] of MARKED) {
      if (share * part.count < 1 || share > (part.count - part.zero) / part.count) continue;
      picture.append(
        svg("circle", { cx: x(part.quantiles_ns[quantile]), cy: y(share), r: 4, class: `mark ${kind}` }),
      );
    }
  }
}

/** A distribution as bars over the shared axis; median, 99th percentile and longest are marked. */
export const strip = (part, kind, axis) => {
  const picture = svg("svg", {
    class: "strip",
    viewBox: "0 0 100 20",
    preserveAspectRatio: "none",
    "aria-hidden": "true",
  });
  ticks(axis, 1).forEach((exponent) =>
    picture.append(line(100 * axis.at(10 ** exponent), 0, 100 * axis.at(10 ** exponent), 20, "grid")),
  );
  const most = Math.log1p(Math.max(...part.counts, 1));
  part.counts.forEach((number, index) => {
    if (!number) return;
    const [from, to] = [axis.at(lowOf(part.first + index)), axis.at(lowOf(part.first + index + 1))];
    const height = 2 + (16 * Math.log1p(number)) / most;
    picture.append(
      svg("rect", { x: 100 * from, width: 100 * (to - from), y: 20 - height, height, class: `fill-${kind}` }),
    );
  });
  if (part.counts.length) {
    [
      [part.quantiles_ns[0], "median"],
      [part.quantiles_ns[2], "p99"],
      [part.max_ns, "longest"],
    ].forEach(([ns, mark]) => {
      const at = 100 * axis.at(ns);
      picture.append(line(at, mark === "longest" ? 10 : 0, at, 20, mark));
    });
  }
  return picture;
};

export const scale = (axis) =>
  element(
    "div",
    { class: "scale", "aria-hidden": "true" },
    ticks(axis, 3).map((exponent) =>
      element("span", { style: { left: `${100 * axis.at(10 ** exponent)}%` } }, power(exponent)),
    ),
  );

const columnsOf = (kind, axis) => {
  const quantile = (title, index) => ({
    title,
    number: true,
    value: (thread) => thread[kind].quantiles_ns[index],
    show: (thread) => (thread[kind].count ? duration(thread[kind].quantiles_ns[index]) : "\u2013"),
  });
  return [
    { title: "Thread", value: (thread) => thread.name, show: (thread) => name(thread.name) },
    {
      title: "How long, how many",
      value: (thread) => thread[kind].total_ns,
      show: (thread) => strip(thread[kind], kind, axis),
      under: scale(axis),
    },
    quantile("Median", 0),
    quantile("90 %", 1),
    quantile("99 %", 2),
    numbers("Longest", (thread) => thread[kind].max_ns, duration),
    numbers("Number", (thread) => thread[kind].count, count),
  ];
};

export const distributionsSection = {
  id: "distributions",
  title: "Durations",
  build(container, data) {
    if (!data.all_threads.wait.count && !data.all_threads.hold.count) return false;
    const axis = axisOf(data);
    const curves = new Curves(data, axis);
    const rows = data.threads.map((thread, index) => ({ ...thread, index }));
    const place = element("div");
    let table = null;
    const buttons = KINDS.map(([kind, title]) =>
      element("button", { type: "button", onclick: () => show(kind) }, title),
    );
    const show = (kind) => {
      buttons.forEach((button, index) => button.setAttribute("aria-pressed", String(KINDS[index][0] === kind)));
      table = sortableTable(columnsOf(kind, axis), rows, {
        caption: `${kind === "wait" ? "Waits" : "Holds"} of each thread: how long, and how many`,
        sort: 5,
        head: 0,
        most: 12,
        choose: (thread) => page.toggle({ thread: thread.index }),
        chosen: (thread) => page.selection.thread === thread.index,
      });
      place.replaceChildren(table.node);
    };
    container.append(
      curves.node,
      element(
        "div",
        { class: "tools" },
        element("div", { class: "group", role: "group", "aria-label": "What the table shows" }, buttons),
      ),
      place,
      muted("Heights and widths are logarithmic. Lines mark the median (thick), the 99th percentile and, half as high, the longest. Dots on the curves mark 50, 90, 99 and 99.9 %."),
    );
    show("wait");
    page.onSelect(() => {
      table.mark();
      curves.draw();
    });
  },
};
