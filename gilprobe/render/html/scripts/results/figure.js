// A picture of results with its legend, and the same as a table.
import { lineCharts } from "./lines.js";
import { numberText } from "./numbers.js";
import { lookOf, seriesSwatch } from "./plot.js";
import { rangeMarks, rowChart } from "./rows.js";
import { details, plainTable } from "./table.js";
import { color } from "../shared/colors.js";
import { element, muted, name, svg } from "../shared/element.js";
import { page } from "../shared/page.js";

const MOST_ROWS = 24;

const markSwatch = (symbol, paint) => {
  const filled = symbol.startsWith("empty") ? color("background") : paint;
  const look = { fill: filled, stroke: paint, "stroke-width": 1.8 };
  const shape = { circle: ["circle", { cx: 7, cy: 7, r: 4.5 }], diamond: ["path", { d: "M7 1.500L12.500 7L7 12.500L1.500 7Z" }] };
  const [tag, where] = shape[symbol.replace("empty", "").toLowerCase()] || ["path", { d: "M7 2L12 11H2Z" }];
  return svg("svg", { width: 14, height: 14, "aria-hidden": "true", class: "swatch" }, svg(tag, { ...where, ...look }));
};

const shareSwatch = (mark) => element("span", { class: `swatch share ${mark}`, "aria-hidden": "true" });

const entries = (picture) => {
  const found = new Map();
  picture.panels.forEach((panel) => panel.series.forEach((series) => found.set(series.name, series)));
  const named = [...found.values()].filter((series) => series.name);
  const sides = named.length > 1 || (picture.form === "lines" && named.length && picture.panels[0].title);
  const made = sides ? named.map((series) => [seriesSwatch(series.look, picture.form === "lines"), series.name]) : [];
  if (picture.form === "shares") return picture.marks.map((mark) => [shareSwatch(mark), mark]);
  if (picture.form === "ranges") {
    const paint = sides ? color("muted") : lookOf(0).color;
    picture.marks.forEach((mark, index) => made.push([markSwatch(rangeMarks[index % 4], paint), mark]));
  }
  const bands = picture.panels.some((panel) => panel.series.some((series) => (series.bands || []).length));
  if (bands) made.push([element("span", { class: "swatch band", "aria-hidden": "true" }), "what the law expects"]);
  return made;
};

const legend = (picture) => {
  const node = element("ul", { class: "legend" });
  const fill = () =>
    node.replaceChildren(...entries(picture).map(([swatch, text]) => element("li", null, swatch, name(text))));
  fill();
  page.onScheme(fill);
  return node;
};

const cellsOf = (picture) =>
  picture.panels.flatMap((panel) =>
    panel.series.flatMap((series) =>
      series.points.map((point) => {
        const band = (series.bands || []).find((one) => one.at === point.at);
        const say = (value) => (value === null ? "any" : numberText(value, picture));
        const names = [panel.title, series.name].filter(Boolean).join(", ");
        const shown = picture.marks.length
          ? point.marks.map(say)
          : [say(point.value), `${say(point.low)} to ${say(point.high)}`, band ? `${say(band.low)} to ${say(band.high)}` : ""];
        return [picture.labels[point.at], names, ...shown];
      }),
    ),
  );

const asTable = (picture) => {
  const columns = picture.marks.length ? picture.marks.map((mark) => `>${mark}`) : [">number", ">95 % interval", ">law expects"];
  const rows = cellsOf(picture);
  const used = [0, 1, ...columns.map((_, index) => index + 2)].filter((index) => rows.some((row) => row[index] !== ""));
  const heads = [picture.axis || "row", "of", ...columns];
  return details("As a table", () =>
    plainTable(picture.title, used.map((index) => heads[index]), rows.map((row) => used.map((index) => row[index]))),
  );
};

// Of very many rows the first, until asked for the others.
const shortened = (picture) => {
  if (picture.form === "lines" || picture.labels.length <= MOST_ROWS + 6) return null;
  const keep = (series) => ({ ...series, points: series.points.filter((point) => point.at < MOST_ROWS) });
  const panels = picture.panels.map((panel) => ({ ...panel, series: panel.series.map(keep) }));
  return { ...picture, labels: picture.labels.slice(0, MOST_ROWS), panels };
};

const charts = (picture) => {
  if (picture.form === "lines") {
    return lineCharts(picture).map(([title, chart]) =>
      element("div", { class: "panel" }, title ? element("h5", null, name(title)) : null, chart),
    );
  }
  return [rowChart(picture)];
};

/** A figure: title, legend, charts, note, table. */
export const pictureFigure = (picture) => {
  const short = shortened(picture);
  const body = element("div", { class: picture.panels.length > 1 ? "panels" : "charts" }, charts(short || picture));
  const whole = () => {
    body.replaceChildren(...charts(picture));
    more.remove();
  };
  const more = short && element("button", { type: "button", class: "more", onclick: whole }, `Show all ${picture.labels.length} rows`);
  return element(
    "figure",
    { class: `picture ${picture.form}${picture.panels.length > 1 ? " wide" : ""}` },
    element("figcaption", null, element("h4", null, name(picture.title)), picture.note ? muted(picture.note) : null),
    legend(picture),
    body,
    more,
    asTable(picture),
  );
};
