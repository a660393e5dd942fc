// Pictures in rows: numbers with intervals, ranges of percentiles, shares of time.
import { extent, numberText, plain, told } from "./numbers.js";
import { axisLook, lookOf, plot, plotBase } from "./plot.js";
import { color } from "../shared/colors.js";

const MARK = 4.5;
const WIDE = 560; // below it a row's name takes two lines

const each = (picture) => picture.panels[0].series;

const geometry = (picture) => {
  const series = Math.max(1, each(picture).length);
  return { step: 11, row: Math.max(26, 11 * series + 13) };
};

const height = (picture, width) => {
  const { row } = geometry(picture);
  return picture.labels.length * (width < WIDE ? Math.max(row, 36) : row) + 40;
};

// The page can't know a name's width; the full name is in the tooltip and in the table.
const nameWidth = (picture, width) => {
  const longest = Math.max(...picture.labels.map((label) => label.length));
  return Math.min(longest * 6.6 + 4, width < WIDE ? 0.34 * width : 0.36 * width);
};

const shape = (symbol, x, y, paint) => {
  const hollow = symbol.startsWith("empty");
  const style = { fill: hollow ? color("background") : paint, stroke: paint, lineWidth: 1.8 };
  const kind = symbol.replace("empty", "").toLowerCase();
  if (kind === "circle") return { type: "circle", shape: { cx: x, cy: y, r: MARK }, style };
  const corners = {
    rect: [[-1, -1], [1, -1], [1, 1], [-1, 1]],
    triangle: [[0, -1.1], [1.1, 0.9], [-1.1, 0.9]],
    diamond: [[0, -1.3], [1.2, 0], [0, 1.3], [-1.2, 0]],
  }[kind];
  return { type: "polygon", shape: { points: corners.map(([dx, dy]) => [x + dx * MARK, y + dy * MARK]) }, style };
};

const line = (x1, y1, x2, y2, style) => ({ type: "line", shape: { x1, y1, x2, y2 }, style });

const whisker = (low, high, y, paint) => {
  const style = { stroke: paint, lineWidth: 1.5 };
  return [line(low, y, high, y, style), line(low, y - 4, low, y + 4, style), line(high, y - 4, high, y + 4, style)];
};

const bandShape = (band, x, y, size, params) => {
  const { coordSys } = params;
  const edge = (value, open) => (value === null ? open : x(value));
  const left = edge(band.low, Math.max(coordSys.x, x(band.high ?? 0) - 9));
  const right = edge(band.high, Math.min(coordSys.x + coordSys.width, x(band.low ?? 0) + 9));
  return { type: "rect", shape: { x: left, y: y - size / 2, width: Math.max(2, right - left), height: size } };
};

// One row's number: the law's range, a stem from zero, the interval, the mark, and the number in words.
const numberItem = (picture, series, index, count) => {
  const look = lookOf(series.look);
  const { step } = geometry(picture);
  return (params, api) => {
    const point = series.points[params.dataIndex];
    const x = (value) => api.coord([value, point.at])[0];
    const y = api.coord([point.value, point.at])[1] + (index - (count - 1) / 2) * step;
    const children = [];
    const band = series.bands.find((one) => one.at === point.at);
    if (band) {
      children.push({
        ...bandShape(band, x, y, count > 1 ? step - 1 : 18, params),
        style: { fill: look.color, opacity: 0.2 },
      });
    }
    if (!picture.logarithmic) {
      children.push(line(x(0), y, x(point.value), y, { stroke: look.color, lineWidth: count > 1 ? 2 : 3, opacity: 0.45 }));
    }
    if (point.low !== point.high) children.push(...whisker(x(point.low), x(point.high), y, look.color));
    children.push(shape(look.symbol, x(point.value), y, look.color));
    if (count === 1) {
      const style = { text: numberText(point.value, { ...picture, unit: "" }), fill: color("text"), font: `12px ${getComputedStyle(document.body).fontFamily}`, verticalAlign: "middle" };
      const ends = [point.value, point.high, picture.logarithmic ? point.value : 0, band?.high ?? point.value];
      const beyond = x(Math.max(...ends));
      children.push({ type: "text", x: beyond + 9, y, style });
    }
    return { type: "group", children };
  };
};

/** Shapes of the marks of ranges. */
export const rangeMarks = ["emptyCircle", "circle", "diamond", "triangle"];

const rangeItem = (picture, series, index, count) => {
  const { step } = geometry(picture);
  const paint = () => lookOf(series.look).color;
  return (params, api) => {
    const point = series.points[params.dataIndex];
    const x = (value) => api.coord([value, point.at])[0];
    const y = api.coord([point.value, point.at])[1] + (index - (count - 1) / 2) * step;
    const ends = [x(Math.min(...point.marks)), x(Math.max(...point.marks))];
    const children = [line(ends[0], y, ends[1], y, { stroke: paint(), lineWidth: 3, opacity: 0.3 })];
    if (point.low !== point.high) children.push(...whisker(x(point.low), x(point.high), y, paint()));
    for (let mark = point.marks.length - 1; mark >= 0; mark -= 1) {
      children.push(shape(rangeMarks[mark % rangeMarks.length], x(point.marks[mark]), y, paint()));
    }
    return { type: "group", children };
  };
};

const values = (picture) =>
  each(picture).flatMap((series) => [
    ...series.points.flatMap((point) => [point.value, point.low, point.high, ...point.marks]),
    ...(series.bands || []).flatMap((band) => [band.low, band.high]),
  ]);

const say = (picture, series, point) =>
  picture.marks.length
    ? picture.marks.map((mark, index) => `${mark} ${numberText(point.marks[index], picture)}`)
    : told(picture, series, point);

const axes = (picture, width, [least, most]) => {
  const labels = axisLook(true);
  const names = nameWidth(picture, width);
  return {
    grid: { left: names + 14, right: each(picture).length === 1 && picture.form === "rows" ? 72 : 22, top: 6, bottom: 26 },
    xAxis: {
      ...labels,
      type: picture.logarithmic ? "log" : "value",
      min: least,
      max: most,
      splitNumber: width < WIDE ? 3 : 6,
      interval: picture.form === "shares" ? (width < WIDE ? 0.5 : 0.2) : null,
      axisLabel: {
        ...labels.axisLabel,
        showMinLabel: picture.logarithmic ? false : null,
        showMaxLabel: picture.form === "shares",
        formatter: (value) => numberText(value, picture, true),
      },
    },
    yAxis: {
      ...axisLook(false),
      axisLine: { onZero: !picture.logarithmic, lineStyle: { color: color("muted") } },
      type: "category",
      inverse: true,
      data: picture.labels.map((_, index) => index),
      axisLabel: {
        color: color("text"),
        fontSize: 12,
        lineHeight: 14,
        interval: 0,
        width: names,
        overflow: width < WIDE ? "break" : "truncate",
        formatter: (index) => plain(picture.labels[index]),
      },
    },
  };
};

const SHARES = ["hold", "wait", "off"];
// Wait is hatched, so that it is distinct without colours too.
const HATCH = { symbol: "rect", dashArrayX: [1, 0], dashArrayY: [2, 4], rotation: -Math.PI / 4 };

const shareSeries = (picture) =>
  SHARES.map((name, part) => ({
    type: "bar",
    name,
    stack: "time",
    barWidth: 15,
    data: each(picture)[0].points.map((point) => [point.marks[part], point.at]),
    itemStyle: {
      color: color(name),
      borderColor: color("background"),
      borderWidth: 0.5,
      decal: name === "wait" ? { ...HATCH, color: "rgba(255,255,255,0.55)" } : { symbol: "none" },
    },
  }));

const customSeries = (picture) => {
  const all = each(picture);
  const item = picture.form === "ranges" ? rangeItem : numberItem;
  return all.map((series, index) => ({
    type: "custom",
    name: series.name,
    clip: false,
    data: series.points.map((point) => [point.value, point.at]),
    encode: { x: 0, y: 1 },
    renderItem: item(picture, series, index, all.length),
  }));
};

const option = (picture, width) => {
  const shares = picture.form === "shares";
  const [least, most] = shares ? [0, 1] : extent(picture, values(picture));
  return {
    ...plotBase(),
    ...axes(picture, width, [least, most]),
    series: shares ? shareSeries(picture) : customSeries(picture),
    tooltip: {
      ...plotBase().tooltip,
      trigger: "item",
      formatter: ({ seriesIndex, dataIndex }) => {
        const series = each(picture)[shares ? 0 : seriesIndex];
        const point = series.points[dataIndex];
        const head = [picture.labels[point.at], each(picture).length > 1 ? series.name : ""].filter(Boolean);
        return plain([head.join(", "), ...say(picture, series, point)].join("\n"));
      },
    },
  };
};

/** The chart of a picture in rows. */
export const rowChart = (picture) =>
  plot({
    label: `${picture.title}, ${picture.labels.length} rows`,
    height: (width) => height(picture, width),
    option: (width) => option(picture, width),
    stops: each(picture).flatMap((series, index) => series.points.map((_, item) => [index, item])),
    said: (index, item) => {
      const series = each(picture)[index];
      const point = series.points[item];
      return [picture.labels[point.at], series.name, ...say(picture, series, point)].filter(Boolean).join(", ");
    },
  });
