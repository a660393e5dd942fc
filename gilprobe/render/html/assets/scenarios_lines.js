"use strict";
// Lines against threads or a quantity, each point with its interval, and what a law expects as a band behind them.
(() => {
  const { figure, plain } = gilprobe;

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

  /** The ends of the axis that all panels share. */
  gilprobe.extent = (picture, values) => {
    const known = values.filter((value) => value !== null && Number.isFinite(value));
    if (picture.logarithmic) {
      const positive = known.filter((value) => value > 0);
      return [Math.min(...positive) / 1.4, Math.max(...positive) * 1.4];
    }
    const [least, most] = [Math.min(0, ...known), Math.max(0, ...known)];
    const spread = most - least || 1;
    return [least < 0 ? least - 0.06 * spread : 0, most + 0.08 * spread];
  };

  const shifted = (at, index, count) => at + (index - (count - 1) / 2) * Math.min(0.05, 0.3 / count);

  // Neighbouring places make one band; a law that is silent about a place between them ends it there.
  const runs = (bands) => {
    const found = [];
    for (const band of bands) {
      const run = found.at(-1);
      const open = [band.low === null, band.high === null].join();
      if (run && run.open === open && run.bands.at(-1).at === band.at - 1) run.bands.push(band);
      else found.push({ open, bands: [band] });
    }
    return found.map((run) => run.bands);
  };

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

  // A band that several series have is drawn once, in nobody's colour; the others draw nothing in its place.
  const bandOf = (panel, index, look) => {
    const same = panel.series.filter((one) => sameBands(one, panel.series[index]));
    if (same.length === 1) return [panel.series[index], look];
    const first = same[0] === panel.series[index];
    return [first ? same[0] : { bands: [] }, { ...look, color: gilprobe.color("muted") }];
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

  /** What a point says: number, interval, and what the law expects there. */
  gilprobe.told = (picture, series, point) => {
    const say = (value) => figure(value, picture);
    const lines = [`${say(point.value)}`];
    if (point.low !== point.high) lines.push(`95 % interval ${say(point.low)} to ${say(point.high)}`);
    const band = series.bands.find((one) => one.at === point.at);
    if (band && band.low === null) lines.push(`law: at most ${say(band.high)}`);
    else if (band && band.high === null) lines.push(`law: at least ${say(band.low)}`);
    else if (band) lines.push(`law: ${say(band.low)} to ${say(band.high)}`);
    return lines;
  };

  const option = (picture, panel, width) => {
    const [least, most] = gilprobe.extent(picture, numbers(picture));
    const count = panel.series.length;
    const looks = panel.series.map((series) => gilprobe.look(series.look));
    const at = (index) => (point) => shifted(point.at, index, count);
    const places = picture.labels.map((_, index) => index);
    const labels = gilprobe.axisLook(false);
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
        lineStyle: { color: gilprobe.color("muted"), type: "solid", width: 1, opacity: 0.55 },
        data: [{ yAxis: 1 }],
      };
    }
    return {
      ...gilprobe.plotBase(),
      grid: { left: 8, right: 16, top: 12, bottom: 24, containLabel: true },
      xAxis: {
        ...labels,
        type: "value",
        min: -0.45,
        max: picture.labels.length - 0.55,
        name: picture.axis,
        nameLocation: "middle",
        nameGap: 26,
        axisTick: { show: true, customValues: places, lineStyle: { color: gilprobe.color("muted") } },
        axisLine: { ...labels.axisLine, onZero: !picture.logarithmic }, // where there is no zero
        splitLine: { show: false },
        axisLabel: { ...labels.axisLabel, customValues: places, formatter: (value) => picture.labels[value] ?? "" },
      },
      yAxis: {
        ...gilprobe.axisLook(true),
        type: picture.logarithmic ? "log" : "value",
        min: least,
        max: most,
        splitNumber: width < 420 ? 4 : 5,
        axisLabel: {
          ...labels.axisLabel,
          showMinLabel: picture.logarithmic ? false : null,
          showMaxLabel: false,
          formatter: (value) => figure(value, picture, true),
        },
      },
      series: drawn,
      tooltip: {
        ...gilprobe.plotBase().tooltip,
        trigger: "item",
        formatter: ({ seriesIndex, dataIndex }) => {
          const series = panel.series[Math.floor(seriesIndex / 3)];
          const point = series.points[dataIndex];
          const head = [series.name, place(picture, point)].filter(Boolean).join(", ");
          return plain([head, ...gilprobe.told(picture, series, point)].join("\n"));
        },
      },
    };
  };

  /** The charts of a picture with lines, one for each of its panels. */
  gilprobe.lineCharts = (picture) =>
    picture.panels.map((panel) => {
      const stops = panel.series.flatMap((series, index) => series.points.map((_, item) => [index * 3, item]));
      return [
        panel.title,
        gilprobe.chart({
          label: [picture.title, panel.title, "lines"].filter(Boolean).join(", "),
          height: (width) => (width < 420 ? 230 : 270),
          option: (width) => option(picture, panel, width),
          stops,
          said: (series, item) => {
            const found = panel.series[series / 3];
            const point = found.points[item];
            return [found.name, place(picture, point), ...gilprobe.told(picture, found, point)].join(", ");
          },
        }),
      ];
    });
})();
