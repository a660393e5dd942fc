"use strict";
// A table: sorted by a click on a head, folded where it is long, scrolled inside its own box where it is wide.
(() => {
  const { element, count } = gilprobe;

  const compare = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b)));

  /**
   * Create a table.
   *
   * columns: [{title, number (right-aligned), value(row) -> what it is sorted by, show(row) -> text or node,
   *     under (a node under the title)}]
   * options: caption (for screen readers), sort (index of the column first sorted by, largest first),
   *     head (index of the column that names a row), most (rows shown until asked for more), choose(row) (makes rows focusable; on click and Enter),
   *     chosen(row) -> whether it is part of the selection
   * Returns {node, update(rows), mark()}.
   */
  gilprobe.table = (columns, rows, options) => {
    const most = options.most || 20;
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

    const line = (row) => {
      const cells = columns.map((column, index) =>
        element(index === options.head ? "th" : "td", { scope: index === options.head ? "row" : null, class: column.number ? "number" : null }, column.show(row)),
      );
      const made = element("tr", null, cells);
      if (options.choose) {
        made.classList.add("choice");
        made.tabIndex = 0;
        made.addEventListener("click", () => options.choose(row));
        made.addEventListener("keydown", (event) => {
          if (event.target !== made || (event.key !== "Enter" && event.key !== " ")) return;
          event.preventDefault();
          options.choose(row);
        });
      }
      return made;
    };

    let shown = [];
    const mark = () => {
      if (!options.chosen) return;
      shown.forEach(([row, made]) => {
        const chosen = options.chosen(row);
        made.classList.toggle("chosen", chosen);
        made.setAttribute("aria-selected", String(chosen));
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
      shown = (whole ? ordered : ordered.slice(0, most)).map((row) => [row, line(row)]);
      body.replaceChildren(...shown.map(([, made]) => made));
      more.hidden = rows.length <= most;
      more.textContent = whole ? `Show the first ${most}` : `Show all ${count(rows.length)}`;
      mark();
    };

    const table = element(
      "table",
      null,
      element("caption", { class: "hidden" }, options.caption),
      element("thead", null, element("tr", null, heads)),
      body,
    );
    draw();
    const box = element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": options.caption }, table);
    return {
      node: element("div", { class: "table" }, box, more),
      update: (changed) => ((rows = changed), draw()),
      mark,
    };
  };
})();
