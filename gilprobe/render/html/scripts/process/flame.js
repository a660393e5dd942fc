// Flame graphs: stacks from the outermost function down, as wide as their holds, waits, caused waits or waits for locks.
import { placeNode, placeText } from "./places.js";
import { element, muted, name } from "../shared/element.js";
import { page } from "../shared/page.js";
import { numbers, sortableTable, timeOf } from "../shared/table.js";
import { count, duration, share } from "../shared/words.js";

const SMALL = 0.004; // share of the width below which a frame is not drawn
const ROW = 1.5; // rem, as in pictures.css
const WEIGHTS = [
  ["hold_ns", "hold", "GIL held"],
  ["wait_ns", "wait", "Waiting for it"],
  ["caused_ns", "caused", "Waits caused in others"],
  ["lock_ns", "wait", "Waiting for locks"],
];

/** Children of each node by number, the heaviest first. */
export const childrenOf = (flame, weight) => {
  const children = flame.parent.map(() => []);
  flame.parent.forEach((parent, node) => parent >= 0 && children[parent].push(node));
  children.forEach((below) => below.sort((a, b) => flame[weight][b] - flame[weight][a]));
  return children;
};

/**
 * Positions of nodes if `top` takes the whole width: [{node, depth, x, width}], first those above it, at full width;
 * and `rests`, positions of the nodes too small to be drawn.
 */
export const arranged = (flame, weight, children, top) => {
  const above = [];
  for (let node = top; node >= 0; node = flame.parent[node]) above.unshift(node);
  const boxes = above.map((node, depth) => ({ node, depth, x: 0, width: 1 }));
  const whole = flame[weight][top] || 1;
  const rests = [];
  const open = [boxes.at(-1)];
  while (open.length) {
    const { node, depth, x } = open.pop();
    const all = children[node].reduce((sum, child) => sum + flame[weight][child], 0) / whole;
    let start = x;
    for (const child of children[node]) {
      const width = flame[weight][child] / whole;
      if (width < SMALL) break; // the others are smaller still
      const box = { node: child, depth: depth + 1, x: start, width };
      boxes.push(box);
      open.push(box);
      start += width;
    }
    if (x + all - start >= SMALL) rests.push({ depth: depth + 1, x: start, width: x + all - start });
  }
  return { boxes: boxes.sort((a, b) => a.depth - b.depth || a.x - b.x), rests };
};

const label = (data, node) => {
  const place = data.flame.place[node];
  if (place >= 0) return placeText(data, place);
  return node === 0 ? "all" : "(smaller ones, folded)";
};

/** Most neighbours get different shades of their weight's colour. */
const shade = (place) => {
  let hash = 0;
  for (const character of place ? `${place.function} ${place.file || ""}` : "")
    hash = (hash * 31 + character.codePointAt(0)) % 9973;
  return hash % 4;
};

const described = (data, weight, node) => {
  const ns = data.flame[weight][node];
  return `${label(data, node)}: ${duration(ns)}, ${share(ns, data.flame[weight][0])}`;
};

/** Weight of frames that match, each stack counted once. */
export const matched = (flame, weight, children, hits) => {
  let sum = 0;
  const open = [0];
  while (open.length) {
    const node = open.pop();
    if (hits.has(node)) sum += flame[weight][node];
    else open.push(...children[node]);
  }
  return sum;
};

/** Functions by their own weight, and with those they called; recursion counts once. */
export const totals = (flame, weight, children) => {
  const rows = new Map();
  const open = [[0, new Set()]];
  while (open.length) {
    const [node, outer] = open.pop();
    const place = flame.place[node];
    const below = children[node].reduce((sum, child) => sum + flame[weight][child], 0);
    let inner = outer;
    if (place >= 0) {
      const row = rows.get(place) || { place, own: 0, whole: 0 };
      row.own += flame[weight][node] - below;
      if (!outer.has(place)) row.whole += flame[weight][node];
      rows.set(place, row);
      inner = new Set(outer).add(place);
    }
    children[node].forEach((child) => open.push([child, inner]));
  }
  return [...rows.values()].filter((row) => row.whole > 0);
};

class Flame {
  constructor(container, data) {
    this.data = data;
    this.sites = new Set(data.sites.map((site) => site.place));
    this.weight = WEIGHTS.find(([key]) => data.flame[key][0] > 0)?.[0] || "hold_ns";
    this.top = 0;
    this.picture = element("div", {
      class: "flame",
      role: "group",
      "aria-label": "Flame graph; arrow keys go from frame to frame, Enter widens one",
    });
    this.told = element("p", { class: "told", "aria-hidden": "true" });
    this.found = element("span", { class: "muted", role: "status" });
    this.search = element("input", {
      type: "search",
      id: "flame-search",
      placeholder: "function or file",
      autocomplete: "off",
      spellcheck: "false",
    });
    this.search.addEventListener("input", () => this.draw());
    this.picture.addEventListener("keydown", (event) => this.pressed(event));
    const known = WEIGHTS.filter(([key]) => key !== "lock_ns" || data.locks);
    this.choices = known.map(([key, , title]) =>
      element("button", { type: "button", disabled: !data.flame[key][0], onclick: () => this.weigh(key) }, title),
    );
    this.back = element("button", { type: "button", onclick: () => this.zoom(0) }, "Whole picture");
    this.table = element("details", null, element("summary", null, "As a table"));
    const group = element("div", { class: "group", role: "group", "aria-label": "What widths mean" }, this.choices);
    container.append(
      element(
        "div",
        { class: "tools" },
        group,
        element("label", { for: this.search.id }, "Search"),
        this.search,
        this.back,
        this.found,
      ),
      element("div", { class: "flame-box" }, this.picture),
      this.told,
      this.table,
    );
    page.onSelect(() => this.mark());
    this.weigh(this.weight);
  }

  weigh(weight) {
    this.weight = weight;
    this.children = childrenOf(this.data.flame, weight);
    if (!this.data.flame[weight][this.top]) this.top = 0;
    this.choices.forEach((button, index) =>
      button.setAttribute("aria-pressed", String(WEIGHTS[index][0] === weight)),
    );
    this.tabulate();
    this.draw();
  }

  zoom(node) {
    this.top = node;
    this.draw();
    this.boxes.find((box) => box.node === node)?.made.focus({ preventScroll: true });
  }

  draw() {
    const { data, weight } = this;
    const kind = WEIGHTS.find(([key]) => key === weight)[1];
    const hits = this.hits();
    const held = this.boxes?.find((box) => box.made === document.activeElement)?.node;
    const { boxes, rests } = arranged(data.flame, weight, this.children, this.top);
    this.boxes = boxes;
    boxes.forEach((box) => (box.made = this.frame(box, kind, hits || new Set())));
    this.picture.replaceChildren(...boxes.map((box) => box.made), ...rests.map((rest) => this.rest(rest, kind)));
    this.picture.style.height = `${ROW * (1 + Math.max(...[...boxes, ...rests].map((box) => box.depth)))}rem`;
    const first = this.boxes.find((box) => box.node === (held ?? this.top)) || this.boxes[0];
    first.made.tabIndex = 0;
    if (held !== undefined) first.made.focus({ preventScroll: true });
    this.back.disabled = this.top === 0;
    const sum = hits ? matched(data.flame, weight, this.children, hits) : 0;
    this.found.textContent = hits ? `${share(sum, data.flame[weight][0])} matches` : "";
    this.tell(first.node);
    this.mark();
  }

  /** The nodes in which all words of the search are; null without any. */
  hits() {
    const words = this.search.value.toLowerCase().split(/\s+/).filter(Boolean);
    if (!words.length) return null;
    const texts = this.data.places.map((place) => `${place.function} ${place.file || ""}`.toLowerCase());
    const matching = texts.map((text) => words.every((word) => text.includes(word)));
    return new Set([...this.data.flame.place.keys()].filter((node) => matching[this.data.flame.place[node]]));
  }

  rest({ depth, x, width }, kind) {
    const style = { left: `${100 * x}%`, width: `${100 * width}%`, top: `${ROW * depth}rem` };
    return element("div", { class: `frame rest ${kind}`, title: "smaller ones", "aria-hidden": "true", style });
  }

  frame({ node, depth, x, width }, kind, hits) {
    const place = this.data.places[this.data.flame.place[node]];
    const text = described(this.data, this.weight, node);
    const classes = ["frame", kind, `shade-${shade(place)}`];
    if (!place) classes.push("whole");
    if (hits.has(node)) classes.push("match");
    const style = { left: `${100 * x}%`, width: `${100 * width}%`, top: `${ROW * depth}rem` };
    const made = element(
      "button",
      { type: "button", class: classes.join(" "), tabindex: "-1", "aria-label": text, style },
      width > 0.012 ? name(place ? place.function : label(this.data, node)) : null,
    );
    made.addEventListener("click", () => this.choose(node));
    made.addEventListener("mouseenter", () => this.tell(node));
    made.addEventListener("focus", () => this.tell(node));
    return made;
  }

  choose(node) {
    this.zoom(node);
    const place = this.data.flame.place[node];
    if (this.sites.has(place)) page.select({ site: place });
  }

  tell(node) {
    const ns = this.data.flame[this.weight][node];
    const own = ns - this.children[node].reduce((sum, child) => sum + this.data.flame[this.weight][child], 0);
    const alone = this.children[node].length && own > 0 ? `, ${duration(own)} in itself` : "";
    this.told.replaceChildren(name(described(this.data, this.weight, node)), alone);
  }

  mark() {
    const { site } = page.selection;
    this.boxes.forEach(({ node, made }) =>
      made.classList.toggle("chosen", site !== null && this.data.flame.place[node] === site),
    );
  }

  pressed(event) {
    const index = this.boxes.findIndex((box) => box.made === event.target);
    if (index < 0) return;
    const { node, depth } = this.boxes[index];
    if (event.key === "Escape" && this.top !== 0) {
      event.preventDefault();
      this.zoom(0);
      return;
    }
    const wanted = {
      ArrowUp: () => this.boxes.find((box) => box.node === this.data.flame.parent[node]),
      ArrowDown: () => this.boxes.find((box) => this.data.flame.parent[box.node] === node),
      ArrowLeft: () => this.boxes[index - 1]?.depth === depth && this.boxes[index - 1],
      ArrowRight: () => this.boxes[index + 1]?.depth === depth && this.boxes[index + 1],
    }[event.key];
    if (!wanted) return;
    event.preventDefault();
    const next = wanted();
    if (!next) return;
    event.target.tabIndex = -1;
    next.made.tabIndex = 0;
    next.made.focus();
  }

  tabulate() {
    const { data, weight } = this;
    const whole = data.flame[weight][0];
    const time = (title, key) => numbers(title, (row) => row[key], (ns) => timeOf(ns, whole));
    const columns = [
      {
        title: "Line",
        value: (row) => placeText(data, row.place),
        show: (row) => placeNode(data, row.place),
      },
      time("In itself", "own"),
      time("With what it called", "whole"),
    ];
    const rows = totals(data.flame, weight, this.children);
    const table = sortableTable(columns, rows, { caption: "Lines of the flame graph", sort: 1, head: 0, most: 20 });
    this.table.replaceChildren(this.table.firstChild, table.node);
  }
}

export const flameSection = {
  id: "flame",
  title: "Flame graph",
  build(container, data) {
    const { flame } = data;
    if (flame.parent.length < 2) return false;
    new Flame(container, data);
    const notes = [];
    if (!flame.recorded && data.traces_gil)
      notes.push("Whole stacks were not recorded: these are the sites alone. gilprobe record --stacks records them.");
    if (flame.lock_ns[0] > 0) notes.push("Of waits for locks the place is known, not the stack; below it stands the lock.");
    if (flame.folded)
      notes.push(
        `${count(flame.folded)} frames with less than ${(100 * flame.smallest).toPrecision(2)} % of the whole are folded.`,
      );
    notes.forEach((note) => container.append(muted(note)));
  },
};
