// Lines over threads or a quantity, each point with its interval, and a law's range as a band behind them.
import { extent, numberText, plain, runs, told } from "./numbers.js";
import { axisLook, lookOf, plot, plotBase } from "./plot.js";
import { color } from "../shared/colors.js";

const CAP = 4;
const BAND_END = 18; // pixels that a band reaches beyond its last place
const OPEN = 9; // pixels of a band that is open at one side

const numbers = (picture) =>
  picture.panels.flatMap((panel) =>
    panel.series.flatMap((series) => [
      ...series.points.flatMap((point) => [point.value, point.low, point.high]),
      ...series.bands.flatMap((band) => [band.low, band.high]),
    ]),
  );

const shifted = (at, index, count) => at + (index - (count - 1) / 2) * Math.min(0.05, 0.3 / count);

const outline = (bands, api) => {
  const edge = (side) =>
    bands.map((band) => {
      const known = band[side] ?? band[side === "low" ? "high" : "low"];
      const [x, y] = api.coord([band.at, known]);
      return [x, band[side] === null ? y + (side === "low" ? OPEN : -OPEN) : y];
    });
  const wide = (points) => {
    const [first, last] = [points[0], points.at(-1)];
    return [[first[0] - BAND_END, first[1]], ...points, [last[0] + BAND_END, last[1]]];
  };
  return [...wide(edge("high")), ...wide(edge("low")).reverse()];
};

const bandSeries = (series, look) => ({
  type: "custom",
  silent: true,
  z: 1,
  clip: true,
  data: runs(series.bands).map((run, index) => [run[0].at, run[0].high ?? run[0].low, index]),
  renderItem: (params, api) => ({
    type: "polygon",
    shape: { points: outline(runs(series.bands)[params.dataIndex], api) },
    style: { fill: look.color, opacity: 0.17 },
  }),
});

// A band of several series is drawn once, in a neutral colour.
const bandOf = (panel, index, look) => {
  const same = panel.series.filter((one) => sameBands(one, panel.series[index]));
  if (same.length === 1) return [panel.series[index], look];
  const first = same[0] === panel.series[index];
  return [first ? same[0] : { bands: [] }, { ...look, color: color("muted") }];
};

const sameBands = (one, other) => JSON.stringify(one.bands) === JSON.stringify(other.bands);

const intervalSeries = (series, look, place) => ({
  type: "custom",
  silent: true,
  z: 2,
  data: series.points.map((point) => [place(point), point.low, point.high]),
  renderItem: (params, api) => {
    const [x, low] = api.coord([api.value(0), api.value(1)]);
    const [, high] = api.coord([api.value(0), api.value(2)]);
    const style = { stroke: look.color, lineWidth: 1.5 };
    const line = (x1, y1, x2, y2) => ({ type: "line", shape: { x1, y1, x2, y2 }, style });
    return {
      type: "group",
      children: [line(x, low, x, high), line(x - CAP, low, x + CAP, low), line(x - CAP, high, x + CAP, high)],
    };
  },
});

const lineSeries = (series, look, place) => ({
  type: "line",
  name: series.name,
  z: 3,
  data: series.points.map((point) => [place(point), point.value]),
  symbol: look.symbol,
  symbolSize: 9,
  lineStyle: { width: 2, type: look.dash, color: look.color },
  itemStyle: { color: look.color },
  emphasis: { scale: 1.3 },
});

const place = (picture, point) => {
  const label = picture.labels[point.at];
  return picture.axis === "threads" ? `${label} thread${label === "1" ? "" : "s"}` : label;
};

const option = (picture, panel, width) => {
  const [least, most] = extent(picture, numbers(picture));
  const count = panel.series.length;
  const looks = panel.series.map((series) => lookOf(series.look));
  const at = (index) => (point) => shifted(point.at, index, count);
  const places = picture.labels.map((_, index) => index);
  const labels = axisLook(false);
  const drawn = panel.series.flatMap((series, index) => [
    lineSeries(series, looks[index], at(index)),
    intervalSeries(series, looks[index], at(index)),
    bandSeries(...bandOf(panel, index, looks[index])),
  ]);
  if (picture.kind === "ratio") {
    drawn[0].markLine = {
      silent: true,
      symbol: "none",
      label: { show: false },
      lineStyle: { color: color("muted"), type: "solid", width: 1, opacity: 0.55 },
      data: [{ yAxis: 1 }],
    };
  }
  return {
    ...plotBase(),
    grid: { left: 8, right: 16, top: 12, bottom: 24, containLabel: true },
    xAxis: {
      ...labels,
      type: "value",
      min: -0.45,
      max: picture.labels.length - 0.55,
      name: picture.axis,
      nameLocation: "middle",
      nameGap: 26,
      axisTick: { show: true, customValues: places, lineStyle: { color: color("muted") } },
      axisLine: { ...labels.axisLine, onZero: !picture.logarithmic }, // a log axis has no zero
      splitLine: { show: false },
      axisLabel: { ...labels.axisLabel, customValues: places, formatter: (value) => picture.labels[value] ?? "" },
    },
    yAxis: {
      ...axisLook(true),
      type: picture.logarithmic ? "log" : "value",
      min: least,
      max: most,
      splitNumber: width < 420 ? 4 : 5,
      axisLabel: {
        ...labels.axisLabel,
        showMinLabel: picture.logarithmic ? false : null,
        showMaxLabel: false,
        formatter: (value) => numberText(value, picture, true),
      },
    },
    series: drawn,
    tooltip: {
      ...plotBase().tooltip,
      trigger: "item",
      formatter: ({ seriesIndex, dataIndex }) => {
        const series = panel.series[Math.floor(seriesIndex / 3)];
        const point = series.points[dataIndex];
        const head = [series.name, place(picture, point)].filter(Boolean).join(", ");
        return plain([head, ...told(picture, series, point)].join("\n"));
      },
    },
  };
};

/** The charts of a picture with lines, one for each of its panels. */
export const lineCharts = (picture) =>
  picture.panels.map((panel) => {
    const stops = panel.series.flatMap((series, index) => series.points.map((_, item) => [index * 3, item]));
    return [
      panel.title,
      plot({
        label: [picture.title, panel.title, "lines"].filter(Boolean).join(", "),
        height: (width) => (width < 420 ? 230 : 270),
        option: (width) => option(picture, panel, width),
        stops,
        said: (series, item) => {
          const found = panel.series[series / 3];
          const point = found.points[item];
          return [found.name, place(picture, point), ...told(picture, found, point)].join(", ");
        },
      }),
    ];
  });
