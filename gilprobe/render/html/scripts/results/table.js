// Tables of results, and parts of the page that are made when they are opened.
import { element, name } from "../shared/element.js";

/** A plain table: heads beginning with ">" are of numbers. */
export const plainTable = (caption, heads, rows) =>
  element(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    element(
      "table",
      null,
      element("caption", { class: "hidden" }, caption),
      element(
        "thead",
        null,
        element(
          "tr",
          null,
          heads.map((head) =>
            element("th", { scope: "col", class: head.startsWith(">") ? "number" : null }, head.replace(/^>/, "")),
          ),
        ),
      ),
      element(
        "tbody",
        null,
        rows.map((row) =>
          element(
            "tr",
            null,
            row.map((cell, index) => {
              const number = heads[index].startsWith(">");
              const shown = typeof cell === "string" && !number ? name(cell) : cell;
              return element(index ? "td" : "th", { scope: index ? null : "row", class: number ? "number" : null }, shown);
            }),
          ),
        ),
      ),
    ),
  );

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
