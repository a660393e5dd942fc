// The longest waits, with both sides; the timeline shows a chosen one.
import { placeNode, placeText } from "./places.js";
import { element, muted, name } from "../shared/element.js";
import { page } from "../shared/page.js";
import { numbers, sortableTable, timeOf } from "../shared/table.js";
import { duration } from "../shared/words.js";

const who = (data, called, place) => [name(called), place >= 0 ? [" in ", placeNode(data, place)] : null];

const seen = (data, stall) => {
  if (!stall.holder_stack.length) return null;
  const levels = stall.holder_stack.map((place) => placeText(data, place)).reverse();
  const state = stall.holder_state ? `${stall.holder_state} ` : "";
  return element("div", { class: "muted" }, `seen ${state}in `, name(levels.join(" < ")));
};

const paused = (stall) => {
  if (stall.pause_generation === null) return null;
  return `, ${duration(stall.pause_ns)} of it in a garbage collection of generation ${stall.pause_generation}`;
};

const because = (data, stall) =>
  stall.holder
    ? [who(data, stall.holder, stall.holder_place), paused(stall), seen(data, stall)]
    : element("span", { class: "muted" }, "nobody held the GIL");

const choose = (data, stall) => {
  if (stall.waiter_thread >= 0)
    page.select({
      thread: stall.waiter_thread,
      holder: null,
      site: stall.holder_place >= 0 ? stall.holder_place : null,
    });
  if (!page.show) return;
  page.show({
    start_ns: stall.start_ns,
    end_ns: stall.start_ns + stall.wait_ns,
    thread: stall.waiter_thread >= 0 ? stall.waiter_thread : null,
  });
};

export const stallsSection = {
  id: "stalls",
  title: "Longest waits",
  build(container, data) {
    if (!data.stalls.length) return false;
    const columns = [
      numbers("Waited", (stall) => stall.wait_ns, duration),
      numbers("At", (stall) => stall.start_ns, (ns) => `${(ns / 1e9).toFixed(3)} s`),
      { title: "Who", value: (stall) => stall.waiter, show: (stall) => who(data, stall.waiter, stall.waiter_place) },
      { title: "Longest hold meanwhile", value: (stall) => stall.holder, show: (stall) => because(data, stall) },
      {
        title: "Its part",
        number: true,
        value: (stall) => stall.holder_ns,
        show: (stall) => timeOf(stall.holder_ns, stall.wait_ns),
      },
    ];
    const note = muted();
    const table = sortableTable(columns, data.stalls, {
      caption: "The longest waits",
      sort: 0,
      head: 2,
      most: 10,
      choose: (stall) => choose(data, stall),
    });
    const draw = () => {
      const { thread, holder } = page.selection;
      const kept = data.stalls.filter(
        (stall) => holder === null || (stall.waiter_thread === thread && stall.holder_thread === holder),
      );
      note.textContent =
        holder === null
          ? `The ${data.stalls.length} longest are listed.`
          : `${kept.length} of the ${data.stalls.length} longest are between the two chosen threads.`;
      table.update(kept);
    };
    container.append(table.node, note);
    page.onSelect(draw);
    draw();
  },
};
