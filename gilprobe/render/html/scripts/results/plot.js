// Common to the pictures of results: colours and shapes, the life of a chart on the page.
/* global echarts */ // vendored/echarts.min.js, a script of its own before this one
import { color, holderColor } from "../shared/colors.js";
import { element, svg } from "../shared/element.js";
import { page } from "../shared/page.js";

const SYMBOLS = ["circle", "rect", "triangle", "diamond", "emptyCircle", "emptyRect", "emptyTriangle"];
const DASHES = ["solid", [7, 4], [2, 3], [9, 3, 2, 3]];

/** Look of the i-th series: colour, shape and dash are each distinct. */
export const lookOf = (i) => ({
  color: holderColor([0, 5, 2, 3, 1, 4, 6][i % 7]),
  symbol: SYMBOLS[i % SYMBOLS.length],
  dash: DASHES[i % DASHES.length],
});

/** A series' symbol as an element, for legends that are part of the page. */
export const seriesSwatch = (i, line) => {
  const look = lookOf(i);
  const hollow = look.symbol.startsWith("empty");
  const paint = { fill: hollow ? color("background") : look.color, stroke: look.color, "stroke-width": 2 };
  const shape = look.symbol.replace("empty", "").toLowerCase();
  const dash = Array.isArray(look.dash) ? look.dash.join(" ") : null;
  const mark = {
    circle: () => svg("circle", { cx: 14, cy: 7, r: 4, ...paint }),
    rect: () => svg("rect", { x: 10, y: 3, width: 8, height: 8, ...paint }),
    triangle: () => svg("path", { d: "M14 3L18 11H10Z", ...paint }),
    diamond: () => svg("path", { d: "M14 2L18.5 7L14 12L9.500 7Z", ...paint }),
  }[shape]();
  const through = svg("path", { d: "M0 7H28", stroke: look.color, "stroke-width": 2, "stroke-dasharray": dash });
  return svg("svg", { width: 28, height: 14, "aria-hidden": "true", class: "swatch" }, line ? through : null, mark);
};

/** The parts of an option that all charts have. */
export const plotBase = () => {
  const text = color("text");
  return {
    animation: false,
    backgroundColor: "transparent",
    textStyle: { fontFamily: getComputedStyle(document.body).fontFamily, fontSize: 12, color: text },
    aria: { enabled: true, label: { enabled: false } },
    tooltip: {
      renderMode: "richText",
      confine: true,
      transitionDuration: 0,
      backgroundColor: color("background"),
      borderColor: color("muted"),
      borderWidth: 1,
      padding: [6, 9],
      textStyle: { color: text, fontSize: 12, lineHeight: 17 },
    },
  };
};

export const axisLook = (grid) => ({
  axisLine: { show: !grid, lineStyle: { color: color("muted") } },
  axisTick: { show: false },
  splitLine: { show: grid, showMaxLine: false, lineStyle: { color: color("line") } },
  minorTick: { show: false },
  axisLabel: { color: color("muted"), fontSize: 12, hideOverlap: true },
  nameTextStyle: { color: color("muted"), fontSize: 12 },
});

const waiting = new Map(); // hosts not drawn yet: they are when near the window
const watcher = new IntersectionObserver(
  (entries) => entries.forEach((entry) => entry.isIntersecting && begin(entry.target)),
  { rootMargin: "600px 0px" },
);
const begin = (host) => {
  const draw = waiting.get(host);
  waiting.delete(host);
  watcher.unobserve(host);
  if (draw) draw();
};

const PAPER = 660; // CSS pixels of a page's width
let printing = false;
addEventListener("beforeprint", () => (printing = true));
addEventListener("afterprint", () => (printing = false));

/**
 * Put a chart into an element of the page, drawn when it comes near the window.
 *
 * label: what it shows, for screen readers; height(width) in pixels; option(width) for ECharts;
 * stops: [[series, item], ...], where the arrow keys go, with said(series, item) for who does not see it.
 */
export const plot = ({ label, height, option, stops, said }) => {
  const host = element("div", { class: "chart", role: "img", tabindex: "0", "aria-label": label });
  host.style.height = `${height(640)}px`;
  let chart = null;
  const draw = (width = host.clientWidth) => {
    if (!width) return;
    host.style.height = `${height(width)}px`;
    const size = { width, height: height(width) };
    if (chart) chart.resize(size);
    else chart = echarts.init(host, null, { renderer: "svg", ...size });
    chart.setOption(option(width), true);
  };
  let last = 0;
  const resized = new ResizeObserver(() => {
    if (chart && !printing && host.clientWidth !== last) draw();
    last = host.clientWidth;
  });
  resized.observe(host);
  waiting.set(host, draw);
  watcher.observe(host);
  page.onScheme(() => chart && draw());
  addEventListener("beforeprint", () => (begin(host), draw(Math.min(PAPER, host.clientWidth || PAPER))));
  addEventListener("afterprint", () => draw());

  let stop = -1;
  host.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (event.key === "Escape" && chart) chart.dispatchAction({ type: "hideTip" });
    if (!step || !stops.length) return;
    event.preventDefault();
    begin(host);
    stop = (stop + step + stops.length) % stops.length;
    const [seriesIndex, dataIndex] = stops[stop];
    chart.dispatchAction({ type: "showTip", seriesIndex, dataIndex });
    page.announce(said(...stops[stop]));
  });
  host.addEventListener("blur", () => chart && chart.dispatchAction({ type: "hideTip" }));
  return host;
};
