// Elements of the page. Foreign text becomes text nodes, attributes or canvas text; nothing is ever parsed as
// HTML.

const SVG = "http://www.w3.org/2000/svg";

// Through the object model: the page's policy forbids style attributes.
const setStyle = (node, properties) => {
  for (const [property, value] of Object.entries(properties)) node.style.setProperty(property, value);
};

const fill = (node, attributes, children) => {
  for (const [key, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (key === "style") setStyle(node, value);
    else if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value === true ? "" : String(value));
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return node;
};

/**
 * Create an element; strings among the children become text. `onclick` and the like become listeners; `style` is an
 * object of properties. Attributes that are null or false are left out.
 */
export const element = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);

/** The same for SVG. */
export const svg = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

/** A foreign name: text with isolated direction. */
export const name = (text, attributes) => element("bdi", { class: "name", dir: "auto", ...attributes }, text);

/** A remark beside what matters. */
export const muted = (...children) => element("p", { class: "muted" }, ...children);

/** Something that may be wider than the page, in a box that keys can scroll. */
export const scrolled = (label, child, kind = "scroll") =>
  element("div", { class: kind, tabindex: "0", role: "region", "aria-label": label }, child);
