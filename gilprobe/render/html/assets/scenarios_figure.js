"use strict";
// A picture of results with its legend, and the same as a table.
(() => {
  const { element, svg, figure } = gilprobe;

  const MOST_ROWS = 24;

  const markSwatch = (symbol, paint) => {
    const filled = symbol.startsWith("empty") ? gilprobe.color("background") : paint;
    const look = { fill: filled, stroke: paint, "stroke-width": 1.8 };
    const shape = { circle: ["circle", { cx: 7, cy: 7, r: 4.5 }], diamond: ["path", { d: "M7 1.500L12.500 7L7 12.500L1.500 7Z" }] };
    const [tag, where] = shape[symbol.replace("empty", "").toLowerCase()] || ["path", { d: "M7 2L12 11H2Z" }];
    return svg("svg", { width: 14, height: 14, "aria-hidden": "true", class: "swatch" }, svg(tag, { ...where, ...look }));
  };

  const shareSwatch = (name) => element("span", { class: `swatch share ${name}`, "aria-hidden": "true" });

  const entries = (picture) => {
    const found = new Map();
    picture.panels.forEach((panel) => panel.series.forEach((series) => found.set(series.name, series)));
    const named = [...found.values()].filter((series) => series.name);
    const sides = named.length > 1 || (picture.form === "lines" && named.length && picture.panels[0].title);
    const made = sides ? named.map((series) => [gilprobe.swatch(series.look, picture.form === "lines"), series.name]) : [];
    if (picture.form === "shares") return picture.marks.map((mark) => [shareSwatch(mark), mark]);
    if (picture.form === "ranges") {
      const paint = sides ? gilprobe.color("muted") : gilprobe.look(0).color;
      picture.marks.forEach((mark, index) => made.push([markSwatch(gilprobe.rangeMarks[index % 4], paint), mark]));
    }
    const bands = picture.panels.some((panel) => panel.series.some((series) => (series.bands || []).length));
    if (bands) made.push([element("span", { class: "swatch band", "aria-hidden": "true" }), "what the law expects"]);
    return made;
  };

  const legend = (picture) => {
    const node = element("ul", { class: "legend" });
    const fill = () =>
      node.replaceChildren(...entries(picture).map(([swatch, name]) => element("li", null, swatch, gilprobe.name(name))));
    fill();
    gilprobe.onScheme(fill);
    return node;
  };

  const cellsOf = (picture) =>
    picture.panels.flatMap((panel) =>
      panel.series.flatMap((series) =>
        series.points.map((point) => {
          const band = (series.bands || []).find((one) => one.at === point.at);
          const say = (value) => (value === null ? "any" : figure(value, picture));
          const names = [panel.title, series.name].filter(Boolean).join(", ");
          const shown = picture.marks.length
            ? point.marks.map(say)
            : [say(point.value), `${say(point.low)} to ${say(point.high)}`, band ? `${say(band.low)} to ${say(band.high)}` : ""];
          return [picture.labels[point.at], names, ...shown];
        }),
      ),
    );

  /** A plain table: heads beginning with ">" are of numbers. */
  gilprobe.plainTable = (caption, heads, rows) =>
    element(
      "div",
      { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
      element(
        "table",
        null,
        element("caption", { class: "hidden" }, caption),
        element(
          "thead",
          null,
          element(
            "tr",
            null,
            heads.map((head) =>
              element("th", { scope: "col", class: head.startsWith(">") ? "number" : null }, head.replace(/^>/, "")),
            ),
          ),
        ),
        element(
          "tbody",
          null,
          rows.map((row) =>
            element(
              "tr",
              null,
              row.map((cell, index) => {
                const number = heads[index].startsWith(">");
                const shown = typeof cell === "string" && !number ? gilprobe.name(cell) : cell;
                return element(index ? "td" : "th", { scope: index ? null : "row", class: number ? "number" : null }, shown);
              }),
            ),
          ),
        ),
      ),
    );

  const asTable = (picture) => {
    const columns = picture.marks.length ? picture.marks.map((mark) => `>${mark}`) : [">number", ">95 % interval", ">law expects"];
    const rows = cellsOf(picture);
    const used = [0, 1, ...columns.map((_, index) => index + 2)].filter((index) => rows.some((row) => row[index] !== ""));
    const heads = [picture.axis || "row", "of", ...columns];
    return gilprobe.details("As a table", () =>
      gilprobe.plainTable(picture.title, used.map((index) => heads[index]), rows.map((row) => used.map((index) => row[index]))),
    );
  };

  /** A part of the page that is made when it is first opened, and for printing. */
  gilprobe.details = (title, make, open = false) => {
    const node = element("details", { open }, element("summary", null, title));
    let made = false;
    const fill = () => {
      if (made || !node.open) return;
      made = true;
      node.append(make());
    };
    node.addEventListener("toggle", fill);
    fill();
    return node;
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
      return gilprobe.lineCharts(picture).map(([title, chart]) =>
        element("div", { class: "panel" }, title ? element("h5", null, gilprobe.name(title)) : null, chart),
      );
    }
    return [gilprobe.rowChart(picture)];
  };

  /** A figure: title, legend, charts, note, table. */
  gilprobe.pictureFigure = (picture) => {
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
      element("figcaption", null, element("h4", null, gilprobe.name(picture.title)), picture.note ? element("p", { class: "muted" }, picture.note) : null),
      legend(picture),
      body,
      more,
      asTable(picture),
    );
  };
})();
