// Several processes: the one shown, and all in a table.
import { element, muted, name } from "../shared/element.js";
import { page } from "../shared/page.js";
import { numbers, sortableTable } from "../shared/table.js";
import { duration, plural, share } from "../shared/words.js";

const several = () => page.data.processes.length + (page.data.others ? page.data.others.count : 0) > 1;

const present = (index) => {
  page.present(page.data.processes[index]);
  document.getElementById("process").focus();
  page.announce(`Now about ${page.data.processes[index].title}`);
};

/** The title of the process shown; with several, a list to choose from. */
export const chooser = (data) => {
  if (!several()) return element("p", { class: "title" }, name(data.title));
  const options = page.data.processes.map((process) => element("option", { selected: process === data }, process.title));
  const select = element("select", { id: "process" }, options);
  select.addEventListener("change", () => present(select.selectedIndex));
  return element("p", { class: "title chooser" }, element("label", { for: select.id }, "Process"), select);
};

export const processesSection = {
  id: "processes",
  title: "Processes",
  build(container, data) {
    if (!several()) return false;
    const part = (title, key) => ({
      title,
      number: true,
      value: (process) => process[key] / (process.elapsed_ns || 1),
      show: (process) => share(process[key], process.elapsed_ns),
    });
    const time = (title, key) => numbers(title, (process) => process[key], duration);
    const columns = [
      { title: "Process", value: (process) => process.title, show: (process) => name(process.title) },
      time("Traced", "elapsed_ns"),
      part("Held", "held_ns"),
      part("Contended", "contended_ns"),
      time("Waited", "waited_ns"),
    ];
    const table = sortableTable(columns, page.data.processes, {
      caption: "Recorded processes",
      head: 0,
      most: 8,
      choose: (process) => present(page.data.processes.indexOf(process)),
      chosen: (process) => process === data,
    });
    container.append(table.node);
    const { others } = page.data;
    if (!others) return;
    const sums = `${duration(others.elapsed_ns)} traced, ${share(others.held_ns, others.elapsed_ns)} held, ${duration(others.waited_ns)} waited`;
    const hint = "For one of them: gilprobe report FILE --html F";
    container.append(muted(`${plural(others.count, "process", "es")} with the shortest waits are not in this file: ${sums}. ${hint}`));
    const doubts = others.doubts.map((doubt) => element("li", null, name(doubt)));
    container.append(element("ul", { class: "muted" }, doubts));
  },
};
