// Pauses of the garbage collector in the timeline: a bar along the top of their holds.
import { duration } from "../../shared/words.js";

const THICK = 3;

/** Mark the pauses of a row: those of its thread, or all of a GIL's. */
export const drawPauses = (view, row, base, area) => {
  const { ratio, raster, colors, model } = view;
  for (const { thread, start, end } of model.pauses) {
    if (end < view.from || start > view.to || (row.isGil ? model.threads[thread].gil !== row.gil : thread !== row.row)) continue;
    const [left, right] = [view.x(start) * ratio, view.x(end) * ratio];
    raster.rectangle(left, base - area, Math.max(ratio, right - left), THICK * ratio, colors.text);
  }
};

/** How long garbage was collected in a hold, for its tip; nothing if it was not. */
export const pausedText = (model, found) => {
  if (found.kind !== "holds" || found.share !== undefined) return "";
  const thread = found.row.isGil ? found.who : found.row.row;
  const within = model.pauses.filter((pause) => pause.thread === thread && pause.start < found.end && pause.end > found.start);
  if (!within.length) return "";
  const ns = within.reduce((sum, pause) => sum + Math.min(pause.end, found.end) - Math.max(pause.start, found.start), 0);
  const generations = [...new Set(within.map((pause) => pause.generation))].sort().join(", ");
  return `, ${duration(ns)} of it garbage collection (generation ${generations})`;
};
