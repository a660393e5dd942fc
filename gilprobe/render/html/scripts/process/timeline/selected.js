// The timeline's selection: marks it on the canvas, with lines to the holders of the GIL meanwhile, and
// describes it in words.
import { GIL_AREA, HOLD_AREA, WAIT_AREA } from "./sizes.js";
import { moment, describePlace, summary } from "./words.js";
import { element, muted, name } from "../../shared/element.js";
import { duration, plural, share } from "../../shared/words.js";

const MOST_LINKS = 3;
const HINT =
  "Click a wait to see who held the GIL meanwhile. Drag to move, Ctrl and wheel to zoom, or the wheel alone after a click. " +
  "Keys: arrows, +, \u2212, Home, Enter, and n for the longest wait.";
const HINT_OF_LOCKS = HINT.replace("Click a wait to see who held the GIL meanwhile. ", "");

/** Mark the span of the selection, with lines from a wait to its holders. */
export const drawSelected = (view, context) => {
  const { selected, colors } = view;
  const left = view.x(selected.start);
  const right = Math.max(view.x(selected.end), left + 1.5);
  context.save();
  context.beginPath();
  context.rect(0, 0, view.width, view.height);
  context.clip();
  context.globalAlpha = 0.1;
  context.fillStyle = colors.text;
  context.fillRect(left, 0, right - left, view.height);
  context.globalAlpha = 1;
  context.strokeStyle = colors.text;
  context.lineWidth = 2;
  const number = selected.row.index;
  outline(view, context, number, selected.kind, left, right);
  if (selected.kind === "waits") {
    selected.holdersShown.slice(0, MOST_LINKS).forEach((holder) => link(view, context, number, holder, left, right));
  }
  context.restore();
};

const outline = (view, context, number, kind, left, right) => {
  const base = view.base(number) - view.scrolled;
  const area = view.model.rows[number].isGil ? GIL_AREA : HOLD_AREA;
  if (kind !== "holds") context.strokeRect(left, base + 1, right - left, WAIT_AREA + 2);
  else context.strokeRect(left, base - area - 1, right - left, area + 2);
};

/** A line from a wait to a holder's row, where it held within the wait. */
const link = (view, context, number, holder, left, right) => {
  if (holder.row === null || holder.row < 0 || holder.row >= view.model.threads.length) return;
  const target = view.model.threads[holder.row].index;
  const middle = (Math.max(0, left) + Math.min(view.width, right)) / 2;
  const from = view.base(number) - view.scrolled + 8;
  const to = view.base(target) - view.scrolled - 8;
  const bend = Math.min(40, 12 + Math.abs(to - from) / 4);
  context.beginPath();
  context.moveTo(middle, from);
  context.bezierCurveTo(middle + bend, from, middle + bend, to, middle, to);
  context.lineWidth = 4;
  context.strokeStyle = view.colors.background;
  context.stroke();
  context.lineWidth = 2;
  context.strokeStyle = view.colors.text;
  context.stroke();
  context.beginPath();
  context.arc(middle, to, 4, 0, 2 * Math.PI);
  context.fillStyle = view.colors.text;
  context.fill();
};

const holderLine = (view, holder, whole) => {
  const { model } = view;
  const known = holder.row !== null && holder.row >= 0 && holder.row < model.threads.length;
  const swatch = element("span", { class: "swatch", "aria-hidden": "true" });
  swatch.style.background = known ? view.threadColor(holder.row) : view.colors.muted;
  const place = model.place(holder.place);
  return element(
    "li",
    {},
    swatch,
    element("strong", {}, share(Math.min(holder.ns, whole), whole)),
    " ",
    name(model.threadName(holder.row)),
    place ? [" in ", name(describePlace(place))] : null,
    element("span", { class: "muted" }, ` ${duration(holder.ns)}`),
  );
};

/** Describe the selection, in the panel below the picture. */
export const describe = (view, panel) => {
  const { selected, model } = view;
  if (!selected) {
    panel.replaceChildren(muted(model.hasGil ? HINT : HINT_OF_LOCKS));
    return;
  }
  const whole = selected.end - selected.start;
  const step = Math.max(1, whole / 100);
  const parts = [
    element(
      "p",
      { class: "timeline-chosen" },
      name(summary(model, selected)),
      element("span", { class: "muted" }, `, at ${moment(selected.start, step, model.extent)}`),
    ),
  ];
  if (selected.kind === "waits") {
    const { holdersShown } = selected;
    parts.push(
      element(
        "p",
        {},
        holdersShown.length
          ? `Who held the GIL meanwhile${holdersShown.about ? " (approximate: events were summed up here)" : ""}:`
          : "No holder of the GIL is known for that time.",
      ),
    );
    const shown = holdersShown.slice(0, 8);
    parts.push(
      element(
        "ol",
        { class: "timeline-holders" },
        shown.map((holder) => holderLine(view, holder, whole)),
      ),
    );
    if (holdersShown.length > shown.length)
      parts.push(muted(`and ${plural(holdersShown.length - shown.length, "place")} more`));
  }
  panel.replaceChildren(...parts);
};
