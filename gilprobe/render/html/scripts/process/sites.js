// Sites: where the GIL was held, the waits caused, and source lines if --source was given.
import { looksTell } from "./culprits.js";
import { placeNode, placeText } from "./places.js";
import { element, muted, name } from "../shared/element.js";
import { page } from "../shared/page.js";
import { numbers, sortableTable, timeOf } from "../shared/table.js";
import { count, duration } from "../shared/words.js";

const time = (title, key, whole) =>
  numbers(title, (site) => site[key], (ns) => (!ns ? "\u2013" : whole ? timeOf(ns, whole) : duration(ns)));

const lines = (place) => {
  const { first, lines: text } = place.source;
  const row = (line, index) =>
    element(
      "span",
      { class: first + index === place.line ? "at line" : "line" },
      element("span", { class: "no", "aria-hidden": "true" }, String(first + index)),
      element("code", { dir: "ltr" }, line || " "),
      "\n",
    );
  return element(
    "details",
    { onclick: (event) => event.stopPropagation() },
    element(
      "summary",
      null,
      element("code", { class: "source", dir: "ltr" }, text[place.line - first].trim() || "\u2026"),
    ),
    element("pre", null, text.map(row)),
  );
};

/** The sites, with the waits caused between the chosen waiter and holder if two are chosen. */
const between = (data, { thread, holder }) => {
  if (thread === null || holder === null) return null;
  const caused = new Map();
  for (const [waiter, held, place, ns] of data.blame) {
    if (waiter === thread && held === holder) caused.set(place, (caused.get(place) || 0) + ns);
  }
  return caused;
};

const matches = (data, site, words) => {
  const place = data.places[site.place];
  const text = `${place.function} ${place.file || ""}:${place.line} ${place.callee || ""}`.toLowerCase();
  return words.every((word) => text.includes(word));
};

const columnsOf = (data) => {
  const columns = [
    {
      title: "Site",
      value: (site) => placeText(data, site.place),
      show: (site) => placeNode(data, site.place),
      below: (site) => (data.places[site.place].source ? lines(data.places[site.place]) : null),
    },
    time("Waits caused", "caused_ns", data.waited_ns),
    time("Hold", "hold_ns", data.all_held_ns),
    time("Own waits", "wait_ns", null),
    numbers("Releases", (site) => site.releases, count),
  ];
  if (data.looks) columns.push(numbers("Looks", (site) => site.looks, count));
  if (data.sites.some((site) => site.hold_cpu_ns !== null)) {
    const idle = (site) => site.hold_ns - (site.hold_cpu_ns || 0);
    columns.splice(3, 0, {
      title: "Held without CPU",
      number: true,
      value: idle,
      show: (site) => timeOf(idle(site), site.hold_ns),
    });
  }
  return columns;
};

export const sitesSection = {
  id: "sites",
  title: "Sites",
  build(container, data) {
    if (!data.sites.length) return false;
    const search = element("input", {
      type: "search",
      id: "site-search",
      placeholder: "function or file",
      autocomplete: "off",
      spellcheck: "false",
    });
    const found = element("span", { class: "muted", role: "status" });
    const table = sortableTable(columnsOf(data), data.sites, {
      caption: "Sites: where the GIL was held, and the waits that this caused",
      sort: 1,
      head: 0,
      most: 15,
      key: (site) => site.place,
      choose: (site) => page.toggle({ site: site.place }),
      chosen: (site) => page.selection.site === site.place,
    });
    const draw = () => {
      const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      const caused = between(data, page.selection);
      let rows = data.sites.filter((site) => matches(data, site, words));
      if (caused)
        rows = rows
          .filter((site) => caused.has(site.place))
          .map((site) => ({ ...site, caused_ns: caused.get(site.place) }));
      const [waiter, holder] = [page.selection.thread, page.selection.holder].map(
        (thread) => data.threads[thread]?.name,
      );
      found.replaceChildren(
        words.length || caused ? `${count(rows.length)} of ${count(data.sites.length)} sites` : "",
        ...(caused ? [": what ", name(holder), " held while ", name(waiter), " waited"] : []),
      );
      table.update(rows);
    };
    search.addEventListener("input", draw);
    page.onSelect(draw);
    container.append(
      element("div", { class: "tools" }, element("label", { for: search.id }, "Search"), search, found),
      table.node,
      muted(looksTell(data)),
    );
    const rest = data.other_sites;
    if (rest) {
      container.append(muted(`${count(rest.count)} smaller sites are not listed: ${duration(rest.hold_ns)} held, ${duration(rest.caused_ns)} of waits caused.`));
    }
  },
};
