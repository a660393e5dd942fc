// A table: sorted by a click on a head, folded if long, scrolled in its own box if wide.
import { element, scrolled } from "./element.js";
import { count, duration, share } from "./words.js";

export const compare = (a, b) =>
  typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));

/** A column of numbers: how to find a row's, and how to show it. */
export const numbers = (title, value, show) => ({ title, number: true, value, show: (row) => show(value(row)) });

/** A time, and beside it its share of a whole. */
export const timeOf = (ns, whole) => [duration(ns), " ", element("span", { class: "share" }, share(ns, whole))];

/**
 * Create a table.
 *
 * columns: [{title, number (right-aligned), value(row) -> what it is sorted by, show(row) -> text or nodes,
 *     under (a node under the title), below(row) -> a node below what names the row}]
 * options: caption (for screen readers), sort (index of the column first sorted by, largest first),
 *     head (index of the column that names a row), most (rows shown until asked for more), choose(row) (on a click on a row),
 *     chosen(row) -> whether it is part of the selection, key(row) -> what a row is the same by (default: itself)
 * Returns {node, update(rows), mark()}.
 */
export const sortableTable = (columns, rows, options) => {
  const most = options.most || 20;
  const key = options.key || ((row) => row);
  let [sorted, ascending, whole] = [options.sort ?? null, false, false];
  const body = element("tbody");
  const more = element("button", { type: "button", class: "more", onclick: () => ((whole = !whole), draw()) });

  const heads = columns.map((column, index) => {
    const sort = () => {
      ascending = sorted === index ? !ascending : !column.number;
      sorted = index;
      draw();
    };
    const button = element("button", { type: "button", onclick: sort }, column.title);
    return element("th", { scope: "col", class: column.number ? "number" : null }, button, column.under || null);
  });

  // A row is chosen by a click anywhere; the button in its head does the same for keys and screen readers.
  const headOf = (column, row) => {
    const shown = options.choose
      ? element("button", { type: "button", class: "name-of-row" }, column.show(row))
      : column.show(row);
    return element(
      "th",
      { scope: "row", class: column.number ? "number" : null },
      shown,
      column.below ? column.below(row) : null,
    );
  };

  const line = (row) => {
    const cells = columns.map((column, index) =>
      index === options.head
        ? headOf(column, row)
        : element("td", { class: column.number ? "number" : null }, column.show(row)),
    );
    const choose = options.choose ? () => options.choose(row) : null;
    return element("tr", { class: choose ? "choice" : null, onclick: choose }, cells);
  };

  let shown = [];
  const mark = () => {
    if (!options.chosen) return;
    shown.forEach(([row, made]) => {
      const chosen = options.chosen(row);
      made.classList.toggle("chosen", chosen);
      made.querySelector(".name-of-row").setAttribute("aria-pressed", String(chosen));
    });
  };

  const draw = () => {
    heads.forEach((head, index) => {
      if (index === sorted) head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      else head.removeAttribute("aria-sort");
    });
    const ordered = [...rows];
    if (sorted !== null) {
      const { value } = columns[sorted];
      ordered.sort((a, b) => (ascending ? 1 : -1) * compare(value(a), value(b)));
    }
    const held = shown.find(([, made]) => made.contains(document.activeElement))?.[0];
    shown = (whole ? ordered : ordered.slice(0, most)).map((row) => [row, line(row)]);
    body.replaceChildren(...shown.map(([, made]) => made));
    more.hidden = rows.length <= most;
    more.textContent = whole ? `Show the first ${most}` : `Show all ${count(rows.length)}`;
    mark();
    // Keyboard users stay at their row.
    if (held)
      shown
        .find(([row]) => key(row) === key(held))?.[1]
        .querySelector("button")
        ?.focus({ preventScroll: true });
  };

  const table = element(
    "table",
    null,
    element("caption", { class: "hidden" }, options.caption),
    element("thead", null, element("tr", null, heads)),
    body,
  );
  draw();
  return {
    node: element("div", { class: "table" }, scrolled(options.caption, table), more),
    update: (changed) => ((rows = changed), draw()),
    mark,
  };
};
