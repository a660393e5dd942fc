// Interpreter and machine; and at the window's foot the selection, with a button to clear it.
import { placeText } from "./places.js";
import { element, name } from "../shared/element.js";
import { page } from "../shared/page.js";

export const aboutSection = {
  id: "environment",
  title: "Measured on",
  build(container, data) {
    const rows = Object.entries({ ...data.environment, file: data.source }).filter(([, value]) => value);
    container.append(
      element(
        "dl",
        { class: "facts-list" },
        rows.map(([label, value]) => [element("dt", null, label), element("dd", null, name(value))]),
      ),
    );
  },
};

export const chosenBar = (main, data) => {
  const words = element("span", { class: "words" });
  const clear = element("button", { type: "button", onclick: () => page.select({}) }, "Clear (Esc)");
  const bar = element("div", { class: "chosen-bar", role: "status", hidden: true }, words, clear);
  page.onSelect(({ thread, holder, site }) => {
    bar.hidden = thread === null && site === null;
    words.replaceChildren(
      ...(thread === null ? [] : [holder === null ? "Thread " : "Waiter ", name(data.threads[thread].name), " "]),
      ...(holder === null ? [] : ["behind ", name(data.threads[holder].name), " "]),
      ...(site === null ? [] : ["Site ", name(placeText(data, site))]),
    );
  });
  main.append(bar);
};
