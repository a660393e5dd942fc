// Results of scenarios: a summary of the laws, then each scenario with its pictures, laws, tables and doubts.
import { pictureFigure } from "./figure.js";
import { boxed, details, plainTable } from "./table.js";
import { element, muted, name, svg } from "../shared/element.js";
import { count, plural } from "../shared/words.js";

const SIGNS = { holds: "\u2713", "does not hold": "\u2717", "not testable here": "?" };
const CLASSES = { holds: "holds", "does not hold": "fails", "not testable here": "untested" };
const MOST_DOUBTS = 4;
const OPEN_ROWS = 12;
const PICTURE = "expected and measured"; // head of the column of bullets

const sign = (verdict, text) =>
  element("span", { class: `verdict ${CLASSES[verdict]}` }, element("span", { "aria-hidden": "true" }, SIGNS[verdict]), ` ${text}`);

const counted = (verdicts) =>
  Object.entries(verdicts)
    .filter(([, number]) => number)
    .map(([verdict, number]) => {
      const short = element("span", { "aria-hidden": "true" }, `${SIGNS[verdict]} ${number}`);
      const said = element("span", { class: "hidden" }, `${plural(number, "law")}: ${verdict}.`);
      return element("span", { class: `verdict ${CLASSES[verdict]}`, title: `${plural(number, "law")}: ${verdict}` }, short, said);
    });

const anchor = (index) => `scenario-${index}`;

export const lead = (main, results) => {
  const [first, ...others] = results.headline;
  main.append(
    element(
      "div",
      { class: "lead" },
      element("h1", null, name(first)),
      others.length ? element("p", null, name(others.join(" "))) : null,
      muted(results.sides.flatMap((side, index) => [index ? element("br") : null, name(side.interpreter)])),
    ),
  );
};

const summary = (container, results) => {
  if (results.sides.length > 1) {
    const names = results.sides.map((side) => side.name).join(" / ");
    container.append(muted("Numbers in a row are those of ", name(names), "."));
  }
  container.append(
    element(
      "ol",
      { class: "contents" },
      results.scenarios.map((scenario, index) =>
        element(
          "li",
          null,
          element("a", { href: `#${anchor(index)}` }, name(scenario.id)),
          element("span", { class: "about" }, name(scenario.finding)),
          element("span", { class: "verdicts" }, counted(scenario.verdicts)),
        ),
      ),
    ),
  );
};

// A law as a small picture: the expected range, the measured number, and its interval.
const bullet = (places, verdict) => {
  if (!places) return null;
  const WIDTH = 132;
  const x = (place) => 4 + place * (WIDTH - 8);
  const width = Math.max(2, x(places.to) - x(places.from));
  return svg(
    "svg",
    { class: `bullet ${CLASSES[verdict]}`, width: WIDTH, height: 18, viewBox: `0 0 ${WIDTH} 18`, "aria-hidden": "true" },
    svg("path", { class: "track", d: `M0 9H${WIDTH}` }),
    svg("rect", { class: "range", x: x(places.from), y: 3, width, height: 12, rx: 2 }),
    svg("path", { class: "interval", d: `M${x(places.low)} 9H${x(places.high)}M${x(places.low)} 6V12M${x(places.high)} 6V12` }),
    svg("circle", { class: "value", cx: x(places.value), cy: 9, r: 3.5 }),
  );
};

const laws = (scenario) => {
  if (!scenario.laws.length) return null;
  const several = scenario.sides.length > 1;
  const heads = ["law", ...(several ? ["on"] : []), PICTURE, "expected", "measured", "verdict"];
  const groups = scenario.laws.map((law) =>
    element("tbody", null, law.sides.map((side, index) =>
      element(
        "tr",
        null,
        index ? null : element("th", { scope: "rowgroup", rowspan: law.sides.length }, name(law.text)),
        several ? element("td", { class: "side" }, name(side.side)) : null,
        element("td", { class: "small" }, bullet(side.bullet, side.verdict)),
        element("td", { "data-head": "expected" }, name(side.expected)),
        element("td", { "data-head": "measured" }, name(side.measured)),
        element("td", null, sign(side.verdict, side.verdict)),
      ),
    )),
  );
  const titles = heads.map((head) =>
    head === PICTURE
      ? element("th", { scope: "col", class: "small" }, element("span", { class: "hidden" }, head))
      : element("th", { scope: "col" }, head),
  );
  return boxed(`Laws of ${scenario.id}`, titles, groups, "scroll laws");
};

const arms = (scenario) => {
  if (!scenario.arms.length) return null;
  const several = scenario.sides.length > 1;
  const speedups = scenario.arms.some((arm) => arm.speedup);
  const heads = ["arm", ...(several ? ["on"] : []), ">threads", ">median", ">95 % interval", "unit", ...(speedups ? [">speedup"] : []), ">samples"];
  const rows = scenario.arms.map((arm) => [
    arm.name,
    ...(several ? [arm.side] : []),
    String(arm.threads),
    arm.median,
    `${arm.low} to ${arm.high}`,
    arm.unit,
    ...(speedups ? [arm.speedup] : []),
    String(arm.samples),
  ]);
  return details(`Arms (${rows.length})`, () => plainTable(`Arms of ${scenario.id}`, heads, rows), rows.length <= OPEN_ROWS);
};

const facts = (scenario) => {
  if (!scenario.facts.length) return null;
  const heads = ["fact", "unit", ...scenario.sides.map((side) => (scenario.sides.length > 1 ? `>${side}` : ">value"))];
  return details(`Facts (${scenario.facts.length})`, () => plainTable(`Facts of ${scenario.id}`, heads, scenario.facts));
};

const accounts = (scenario) => {
  if (!scenario.accounts.length) return null;
  const heads = ["thread", ">hold", ">wait", ">off", ">longest wait", ">acquired", ">forced releases", ">voluntary releases"];
  const one = (arm) => [
    element("h5", null, name(arm.title), element("span", { class: "muted" }, `  ${arm.elapsed}; held ${arm.held}, contended ${arm.contended}; ${plural(arm.handoffs, "handoff")}`)),
    plainTable(`Threads of ${arm.title}`, heads, arm.threads.map((row) => row.map((cell) => (typeof cell === "number" ? count(cell) : cell)))),
  ];
  return details("Threads of the traced runs", () => element("div", null, scenario.accounts.map(one)));
};

const printed = (scenario) =>
  scenario.printed.map((one) =>
    details(one.side ? `Printed by ${one.side}` : "Printed", () =>
      element("pre", { class: "printed", tabindex: "0" }, one.lines.map((line) => [name(line), "\n"])),
    ),
  );

const doubts = (scenario) => {
  if (!scenario.doubts.length) return null;
  const list = (texts) => element("ul", null, texts.map((text) => element("li", null, name(text))));
  const rest = scenario.doubts.slice(MOST_DOUBTS);
  return element(
    "div",
    { class: "doubts" },
    element("h4", { class: "part" }, "Doubts"),
    list(scenario.doubts.slice(0, MOST_DOUBTS)),
    rest.length ? details(`${rest.length} more`, () => list(rest)) : null,
  );
};

const article = (scenario, index) =>
  element(
    "article",
    { class: "scenario", id: anchor(index), "aria-labelledby": `${anchor(index)}-title` },
    element("h3", { id: `${anchor(index)}-title` }, name(scenario.id), element("span", { class: "verdicts" }, counted(scenario.verdicts))),
    element("p", { class: "title" }, name(scenario.title)),
    element("div", { class: "pictures" }, [...scenario.pictures, ...scenario.traced].map(pictureFigure)),
    laws(scenario),
    accounts(scenario),
    arms(scenario),
    facts(scenario),
    printed(scenario),
    doubts(scenario),
  );

const environment = (container, results) => {
  const rows = [
    ["interpreter", "interpreter"],
    ["compiler", "compiler"],
    ["processor", "cpu"],
    ["usable cores", "cores"],
    ["platform", "platform"],
    ["load average at the start", "load"],
    ["clock", "clock"],
    ["started", "started"],
    ["gilprobe", "gilprobe"],
  ];
  const heads = ["measured on", ...results.sides.map((side) => side.name)];
  const shown = rows.map(([title, key]) => [title, ...results.sides.map((side) => side[key])]);
  container.append(plainTable("What it was measured on", heads, shown));
};

export const resultsSections = [
  { id: "summary", title: "Summary", build: summary },
  { id: "scenarios", title: "Scenarios", build: (container, data) => container.append(...data.scenarios.map(article)) },
  { id: "environment", title: "Environment", build: environment },
];
