// Common to all parts of a page: its data, its sections, the selection and its listeners.
import { element } from "./element.js";

const NOTHING = { thread: null, holder: null, site: null };

const build = (main, nav, section, data) => {
  const heading = element("h2", { id: `${section.id}-title` }, section.title);
  const container = element("div", { class: "body" });
  const whole = element("section", { id: section.id, "aria-labelledby": heading.id }, heading, container);
  main.append(whole); // before it is built: some parts measure themselves
  if (section.build(container, data) === false) {
    whole.remove();
    return;
  }
  nav.append(element("a", { href: `#${section.id}` }, section.short || section.title));
};

class Page {
  /** The selection, numbers in the process's data or null: a thread (with a holder: as its waiter), a place. */
  selection = NOTHING;

  /** Show a span of time: set by the timeline, if there is one. ({start_ns, end_ns, thread}) => void */
  show = null;

  // Listeners of the process shown; another one's sections are built anew, with their own listeners.
  listeners = { scheme: [], select: [] };

  /**
   * Build a page of what stands in its file.
   *
   * sections: [{id, title, short (for the navigation), build(container, data)}] in their order; one of which `build` returns
   *     false has nothing to show and is left out
   * lead, tail (main, data): what stands before and behind them
   * first(data): the part of the page's data that is shown first
   */
  open({ sections, lead, tail, first }) {
    Object.assign(this, { sections, lead, tail });
    this.data = JSON.parse(document.getElementById("gilprobe-data").textContent);
    globalThis.gilprobe = this; // for the browser's console
    const dark = matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", () => this.listeners.scheme.forEach((listener) => listener()));
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !event.defaultPrevented) this.select({});
    });
    document.addEventListener("DOMContentLoaded", () => this.present(first(this.data)));
  }

  onScheme(listener) {
    this.listeners.scheme.push(listener);
  }

  onSelect(listener) {
    this.listeners.select.push(listener);
  }

  /** Choose only what `change` names. */
  select(change) {
    this.selection = { ...NOTHING, ...change };
    this.listeners.select.forEach((listener) => listener(this.selection));
  }

  /** Choose it, or clear it if it is chosen. */
  toggle(change) {
    const wanted = { ...NOTHING, ...change };
    const same = Object.keys(NOTHING).every((key) => wanted[key] === this.selection[key]);
    this.select(same ? {} : wanted);
  }

  /** Say something to screen readers without moving the focus. */
  announce(text) {
    document.getElementById("announcer").textContent = text;
  }

  /** Build all sections for a part of the page's data: a process, or the results. */
  present(data) {
    Object.assign(this, { listeners: { scheme: [], select: [] }, selection: NOTHING, show: null });
    const main = document.getElementById("main");
    const nav = document.getElementById("sections");
    main.replaceChildren(element("p", { id: "announcer", class: "hidden", role: "status" }));
    nav.replaceChildren();
    this.lead(main, data);
    this.sections.forEach((section) => build(main, nav, section, data));
    this.tail?.(main, data);
  }
}

export const page = new Page();
