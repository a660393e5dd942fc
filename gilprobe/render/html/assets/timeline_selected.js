"use strict";
// What was chosen in the timeline: marks it on the canvas, with lines to those who held the GIL meanwhile, and
// tells it in words.
(() => {
  const gilprobe = globalThis.gilprobe;
  const { element, duration, share } = gilprobe;
  const MOST_LINKS = 3;
  const HINT =
    "Click a wait to see who held the GIL meanwhile. Drag to move, Ctrl and wheel to zoom, or the wheel alone after a click. " +
    "Keys: arrows, +, \u2212, Home, Enter, and n for the longest wait.";

  /** Mark the span of what is chosen, and lead from a wait to its holders. */
  gilprobe.timeline.drawSelected = (view, context) => {
    const { selected, model, colors } = view;
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
    const { HOLD_AREA, WAIT_AREA, GIL_AREA } = gilprobe.timeline;
    const area = view.model.rows[number].isGil ? GIL_AREA : HOLD_AREA;
    if (kind === "waits") context.strokeRect(left, base + 1, right - left, WAIT_AREA + 2);
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

  /** A place as text: function, the end of the file's path, line. */
  const placeText = (place) => {
    if (!place) return "a place that is not known";
    const [name, file, line] = place;
    const short = file.split("/").slice(-2).join("/");
    return file ? `${name} (${short}${line > 0 ? `:${line}` : ""})` : name;
  };

  /** What was found, in a line: for the tip beside the pointer. */
  const summary = (model, found) => {
    const verb = found.kind === "waits" ? "waits" : "holds the GIL";
    const who = found.row.isGil ? model.threadName(found.who) : found.row.name;
    if (found.share !== undefined) {
      const part = share(found.share, 1);
      const led =
        found.kind === "holds" ? (found.row.isGil ? `, mostly ${who}` : `, mostly in ${placeText(model.place(found.place))}`) : "";
      const what = found.row.isGil ? `The GIL is held ${part}` : `${who} ${verb} ${part}`;
      return `${what} of these ${duration(found.end - found.start)}${led}`;
    }
    const where = found.kind === "waits" ? `, after ${placeText(model.place(found.place))}` : ` in ${placeText(model.place(found.place))}`;
    return `${who} ${verb} for ${duration(found.end - found.start)}${where}`;
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
      gilprobe.name(model.threadName(holder.row)),
      place ? [" in ", gilprobe.name(placeText(place))] : null,
      element("span", { class: "muted" }, ` ${duration(holder.ns)}`),
    );
  };

  /** Tell what is chosen, in the panel below the picture. */
  const describe = (view, panel) => {
    const { selected, model } = view;
    if (!selected) {
      panel.replaceChildren(element("p", { class: "muted" }, HINT));
      return;
    }
    const whole = selected.end - selected.start;
    const step = Math.max(1, whole / 100);
    const parts = [
      element(
        "p",
        { class: "timeline-chosen" },
        gilprobe.name(summary(model, selected)),
        element("span", { class: "muted" }, `, at ${gilprobe.timeline.moment(selected.start, step, model.extent)}`),
      ),
    ];
    if (selected.kind === "waits") {
      const { holdersShown } = selected;
      parts.push(
        element(
          "p",
          {},
          holdersShown.length
            ? `Who held the GIL meanwhile${holdersShown.about ? " (about: events were summed up here)" : ""}:`
            : "Nobody is known to have held the GIL meanwhile.",
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
        parts.push(element("p", { class: "muted" }, `and ${gilprobe.plural(holdersShown.length - shown.length, "place")} more`));
    }
    panel.replaceChildren(...parts);
  };

  Object.assign(gilprobe.timeline, { placeText, summary, describe });
})();
