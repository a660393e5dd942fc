// The first section: the headline, the doubts, and where the GIL's time and all waits went.
import { culpritText } from "./culprits.js";
import { placeText } from "./places.js";
import { chooser } from "./processes.js";
import { element, name, svg } from "../shared/element.js";
import { duration, plural, share } from "../shared/words.js";

const SMALL = 0.03; // smaller shares of a bar are merged

/** A dotted name that breaks only after a dot. */
const breakable = (text) => {
  const whole = name("");
  text.split(/(?<=\.)/).forEach((part, index) => whole.append(index ? element("wbr") : "", part));
  return whole;
};

const run = ([text, kind]) => {
  if (!kind) return text;
  if (kind === "culprit") return element("strong", { class: "culprit" }, breakable(text));
  if (kind === "place" || kind === "thread") return name(text, { class: `name ${kind}` });
  return element("strong", { class: `figure ${kind}` }, text);
};

const sentence = (runs) => element("span", { class: "sentence" }, runs.map(run), " ");

/** A bar of parts [{label, ns, kind, hint}] that add up to `whole`, each named under it. */
const bar = (title, whole, parts) => {
  const shown = parts.filter((part) => part.ns > 0);
  const rects = element("div", { class: "bar", "aria-hidden": "true" });
  const legend = element("ul", { class: "legend" });
  for (const part of shown) {
    const width = `${(100 * part.ns) / whole}%`;
    rects.append(element("div", { class: `part ${part.kind}`, style: { width } }));
    const swatch = element("span", { class: `swatch ${part.kind}`, "aria-hidden": "true" });
    const size = element("span", { class: "size" }, `${share(part.ns, whole)}, ${duration(part.ns)}`);
    legend.append(element("li", null, swatch, part.name ? name(part.name) : part.label, " ", size));
  }
  const caption = element("figcaption", null, title, " ", element("span", { class: "size" }, duration(whole)));
  return element("figure", { class: "shares" }, caption, rects, legend);
};

const gil = (data) =>
  bar("The GIL", data.elapsed_ns, [
    { label: "held while others waited", ns: data.contended_ns, kind: "wait" },
    { label: "held, nobody waited", ns: data.held_ns - data.contended_ns, kind: "hold" },
    { label: "free", ns: data.elapsed_ns - data.held_ns, kind: "off" },
  ]);

/** What the bar of all waiting is made of: rows of the verdict if they don't overlap, else sites. */
const causesOf = (data) => {
  const [verdict] = data.culprits;
  if (verdict?.disjoint)
    return verdict.rows.map((row) => ({ name: culpritText(data, row), ns: row.caused_ns }));
  return data.sites
    .filter((site) => site.caused_ns > 0)
    .sort((a, b) => b.caused_ns - a.caused_ns)
    .map((site) => ({ name: placeText(data, site.place), ns: site.caused_ns }));
};

const waiting = (data) => {
  const parts = causesOf(data)
    .filter((cause, index) => index < 4 && cause.ns > SMALL * data.waited_ns)
    .map((cause, index) => ({ ...cause, kind: `cause-${index}` }));
  const known = parts.reduce((sum, cause) => sum + cause.ns, 0);
  parts.push({ label: "nobody held it", ns: data.nobody_ns, kind: "off" });
  const rest = data.waited_ns - known - data.nobody_ns;
  if (rest > 0.001 * data.waited_ns) parts.push({ label: "all else", ns: rest, kind: "rest" });
  return bar("All waiting, by what held the GIL meanwhile", data.waited_ns, parts);
};

/** The locks that were waited for most, if there was no GIL to trace. */
const lockWaits = (data) => {
  const { rows, waited_ns } = data.locks;
  const parts = rows
    .filter((row, index) => index < 4 && row.wait.total_ns > SMALL * waited_ns)
    .map((row, index) => ({ name: row.lock, ns: row.wait.total_ns, kind: `cause-${index}` }));
  const rest = waited_ns - parts.reduce((sum, part) => sum + part.ns, 0);
  if (rest > 0.001 * waited_ns) parts.push({ label: "all else", ns: rest, kind: "rest" });
  return bar("All waiting for locks", waited_ns, parts);
};

const pictures = (data) => {
  if (!data.traces_gil) return data.locks.waited_ns ? [lockWaits(data)] : [];
  return data.sites.length && data.waited_ns ? [gil(data), waiting(data)] : [gil(data)];
};

const doubts = (data) => {
  if (!data.doubts.length) return null;
  const title = element("h2", null, data.doubts.length === 1 ? "A doubt" : `${data.doubts.length} doubts`);
  const list = element(
    "ul",
    null,
    data.doubts.map((doubt) => element("li", null, name(doubt))),
  );
  return element("aside", { class: "doubts", "aria-label": "Doubts" }, title, list);
};

const facts = (data) =>
  element(
    "p",
    { class: "facts" },
    [
      data.environment.interpreter,
      `${duration(data.elapsed_ns)} traced`,
      plural(
        data.threads.reduce((sum, thread) => sum + thread.merged, 0),
        "thread",
      ),
      ...(data.traces_gil ? [plural(data.handoffs, "handoff")] : []),
      `${data.environment.cores} cores`,
    ].join(" \u00b7 "),
  );

export const lead = (main, data) => {
  main.append(
    element(
      "div",
      { class: "lead" },
      chooser(data),
      element("h1", null, data.headline.map(sentence)),
      data.more.length ? element("p", { class: "more-words" }, data.more.map(sentence)) : null,
      doubts(data),
      element("div", { class: "pictures" }, pictures(data)),
      facts(data),
    ),
  );
};

/** A stacked bar of parts [kind, ns] of a whole; the figures are beside it in its table. */
export const partsBar = (whole, parts) => {
  let x = 0;
  const part = ([kind, ns]) => {
    const width = whole ? (100 * ns) / whole : 0;
    const made = svg("rect", { x, y: 0, width, height: 12, class: `fill-${kind}` });
    x += width;
    return made;
  };
  const options = { class: "life", viewBox: "0 0 100 12", preserveAspectRatio: "none", "aria-hidden": "true" };
  return svg("svg", options, parts.map(part));
};

/** A thread's life. */
export const lifeBar = (thread) =>
  partsBar(
    thread.lifetime_ns,
    ["hold", "wait", "off"].map((kind) => [kind, thread[`${kind}_ns`]]),
  );
