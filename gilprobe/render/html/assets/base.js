"use strict";
// What all parts of the page share: its data, elements, numbers, colours, the sections and the selection.
// Everything foreign becomes text nodes, attributes or canvas text; nothing is ever parsed as HTML.
(() => {
  const gilprobe = (globalThis.gilprobe = {});
  gilprobe.data = JSON.parse(document.getElementById("gilprobe-data").textContent);
  // {id, title, short (for the navigation), order, kind ("processes" unless said), build(container, data)}; a section of which
  // `build` returns false has nothing to show and is left out.
  gilprobe.sections = [];

  const SVG = "http://www.w3.org/2000/svg";

  // Through the object model: the page's policy forbids style attributes.
  const setStyle = (node, properties) => {
    for (const [name, value] of Object.entries(properties)) node.style.setProperty(name, value);
  };

  const fill = (node, attributes, children) => {
    for (const [name, value] of Object.entries(attributes || {})) {
      if (value === null || value === undefined || value === false) continue;
      if (name === "style") setStyle(node, value);
      else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else node.setAttribute(name, value === true ? "" : String(value));
    }
    node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
    return node;
  };

  /**
   * Create an element; strings among the children become text. `onclick` and the like become listeners; `style` is an
   * object of properties. Attributes that are null or false are left out.
   */
  gilprobe.element = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);

  /** The same for SVG. */
  gilprobe.svg = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

  /** A foreign name: text that keeps its direction to itself. */
  gilprobe.name = (text, attributes) => gilprobe.element("bdi", { class: "name", dir: "auto", ...attributes }, text);

  /** "function (file:line)" of a place by its number in the process's data. */
  gilprobe.placeText = (data, number) => {
    const place = data.places[number];
    if (!place) return "";
    return place.short ? `${place.function} (${place.short}${place.line ? `:${place.line}` : ""})` : place.function;
  };

  /** The same as elements: the function, and under or beside it where it is. */
  gilprobe.place = (data, number) => {
    const place = data.places[number];
    if (!place) return null;
    const where = place.short ? `${place.short}${place.line ? `:${place.line}` : ""}` : "";
    const file = where ? gilprobe.name(where, { class: "name where", title: place.file }) : null;
    return gilprobe.element("span", { class: "place" }, gilprobe.name(place.function), file ? " " : null, file);
  };

  const UNITS = [
    [1e9, "s"],
    [1e6, "ms"],
    [1e3, "\u00b5s"],
  ];

  /** Nanoseconds with three digits and a fitting unit. */
  gilprobe.duration = (ns) => {
    const size = Math.abs(ns);
    if (size >= 1e12) return `${Math.round(ns / 1e9)} s`;
    for (const [factor, unit] of UNITS) {
      if (size >= factor * 0.9995) {
        const value = ns / factor;
        const digits = Math.abs(value) >= 99.95 ? 0 : Math.abs(value) >= 9.995 ? 1 : 2;
        return `${value.toFixed(digits).replace(/\.0+$|(\.\d*[1-9])0+$/, "$1")} ${unit}`;
      }
    }
    return `${Math.round(ns)} ns`;
  };

  /** A share in per cent; "< 1 %" tells it from nothing. */
  gilprobe.share = (part, whole) => {
    if (!whole) return "-";
    const percent = (100 * part) / whole;
    return percent > 0 && percent < 0.5 ? "< 1 %" : `${Math.round(percent)} %`;
  };

  gilprobe.count = (n) => n.toLocaleString("en").replaceAll(",", "\u202f");

  gilprobe.plural = (n, noun, ending = "s") => `${gilprobe.count(n)} ${noun}${n === 1 ? "" : ending}`;

  /** What a custom property of page.css is now: "hold", "wait", "off", "text", "muted", "line", "panel", ... */
  gilprobe.color = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

  const HOLDERS = 7;

  /** Colour of the i-th holder: Okabe and Ito's, in a cycle; never the only sign of who it is. */
  gilprobe.holderColor = (i) => gilprobe.color(`holder-${i % HOLDERS}`);

  // Listeners of the process that is shown; another one's sections are built anew, with listeners of their own.
  let listeners = { scheme: [], select: [] };
  gilprobe.onScheme = (listener) => listeners.scheme.push(listener);
  gilprobe.onSelect = (listener) => listeners.select.push(listener);

  const dark = matchMedia("(prefers-color-scheme: dark)");
  dark.addEventListener("change", () => listeners.scheme.forEach((listener) => listener()));

  const NOTHING = { thread: null, holder: null, site: null };

  /** The page-wide selection, numbers in the process's data or null: a thread (with a holder: as its waiter), a place. */
  gilprobe.selection = NOTHING;

  /** Choose what `change` names, and nothing else. */
  gilprobe.select = (change) => {
    gilprobe.selection = { ...NOTHING, ...change };
    listeners.select.forEach((listener) => listener(gilprobe.selection));
  };

  /** Choose it, or let go of it if it is what is chosen. */
  gilprobe.toggle = (change) => {
    const wanted = { ...NOTHING, ...change };
    const same = Object.keys(NOTHING).every((key) => wanted[key] === gilprobe.selection[key]);
    gilprobe.select(same ? {} : wanted);
  };

  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !event.defaultPrevented) gilprobe.select({});
  });

  /** Bring a span of time into view: the timeline sets it, if there is one. ({start_ns, end_ns, thread}) => void */
  gilprobe.show = null;

  /** Say something to screen readers without moving the focus. */
  gilprobe.announce = (text) => {
    document.getElementById("announcer").textContent = text;
  };

  const build = (main, nav, section, data) => {
    const heading = gilprobe.element("h2", { id: `${section.id}-title` }, section.title);
    const container = gilprobe.element("div", { class: "body" });
    const whole = gilprobe.element("section", { id: section.id, "aria-labelledby": heading.id }, heading, container);
    main.append(whole); // before it is built: what measures itself needs a place
    if (section.build(container, data) === false) {
      whole.remove();
      return;
    }
    nav.append(gilprobe.element("a", { href: `#${section.id}` }, section.short || section.title));
  };

  /** Build all sections for a part of the page's data: a process, or the results. */
  gilprobe.present = (data) => {
    listeners = { scheme: [], select: [] };
    gilprobe.selection = NOTHING;
    gilprobe.show = null;
    const main = document.getElementById("main");
    const nav = document.getElementById("sections");
    main.replaceChildren(gilprobe.element("p", { id: "announcer", class: "hidden", role: "status" }));
    nav.replaceChildren();
    if (gilprobe.lead) gilprobe.lead(main, data);
    const wanted = gilprobe.sections.filter((section) => (section.kind || "processes") === gilprobe.data.kind);
    wanted.sort((a, b) => a.order - b.order);
    wanted.forEach((section) => build(main, nav, section, data));
    if (gilprobe.tail) gilprobe.tail(main, data);
  };

  document.addEventListener("DOMContentLoaded", () => {
    const { kind, processes, results } = gilprobe.data;
    // Of several processes that whose threads waited most: it is the one that there is something to see in.
    const worst = (a, b) => (b.waited_ns > a.waited_ns ? b : a);
    gilprobe.present(kind === "processes" ? processes.reduce(worst) : results);
  });
})();
