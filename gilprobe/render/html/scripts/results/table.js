// Tables of results, and parts of the page that are made when opened.
import { element, name, scrolled } from "../shared/element.js";

/** A table in a box, under a heading for screen readers. */
export const boxed = (caption, heads, bodies, kind) => {
  const head = element("thead", null, element("tr", null, heads));
  return scrolled(caption, element("table", null, element("caption", { class: "hidden" }, caption), head, bodies), kind);
};

/** A plain table: heads beginning with ">" are of numbers. */
export const plainTable = (caption, heads, rows) => {
  const number = heads.map((head) => (head.startsWith(">") ? "number" : null));
  const cell = (content, index) => {
    const shown = typeof content === "string" && !number[index] ? name(content) : content;
    return element(index ? "td" : "th", { scope: index ? null : "row", class: number[index] }, shown);
  };
  const titles = heads.map((head, index) => element("th", { scope: "col", class: number[index] }, head.replace(/^>/, "")));
  return boxed(caption, titles, element("tbody", null, rows.map((row) => element("tr", null, row.map(cell)))));
};

/** A part of the page that is made when it is first opened, and for printing. */
export const details = (title, make, open = false) => {
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
