// Waits for locks in the timeline: a bar below the line of the thread that waits, where it has no GIL. In a
// timeline without a GIL these are all there is.
import { ROW_HEIGHT } from "./sizes.js";

const THICK = 3;

/** Mark the waits of a thread's row. */
export const drawLockWaits = (view, row, base) => {
  const { ratio, raster, colors, model } = view;
  if (row.isGil) return;
  for (const { thread, start, end, isWork } of model.lockWaits) {
    if (thread !== row.row || end < view.from || start > view.to) continue;
    const [left, right] = [view.x(start) * ratio, view.x(end) * ratio];
    raster.rectangle(left, base + Math.round(5 * ratio), Math.max(ratio, right - left), THICK * ratio, isWork || model.hasGil ? colors.muted : colors.wait);
  }
};

/** Add to each column how many threads wait for a lock. */
export const countLockWaits = (model, waiting) => {
  const scale = waiting.length / model.extent;
  for (const { start, end, isWork } of model.lockWaits) {
    if (isWork) continue;
    for (let x = Math.floor(start * scale); x < Math.min(waiting.length, end * scale); x++)
      waiting[x] += Math.min(x + 1, end * scale) - Math.max(x, start * scale);
  }
};

/** The wait for a lock at a point of the rows, if nothing else is there; null if there is none. */
export const lockWaitAt = (view, x, y) => {
  const at = view.rowAt(y);
  if (!at || at.row.isGil || y + view.scrolled > view.tops[at.row.index] + ROW_HEIGHT) return null;
  const ns = view.ns(x);
  const wait = view.model.lockWaits.find(({ thread, start, end }) => thread === at.row.row && start <= ns && ns < end);
  return wait ? { kind: "lock", row: at.row, ...wait } : null;
};
