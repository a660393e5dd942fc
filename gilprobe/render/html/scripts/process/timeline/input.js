// Keyboard, wheel, drag and touch on the timeline. The page can always be scrolled: the wheel alone zooms
// only while the picture has the focus, and a finger only moves it sideways.

import { lockWaitAt } from "./locks.js";

const CLICK = 4; // pixels that a pointer may move during a click
const NEAR = 3; // pixels around the pointer that count as under it
const EDGE = 8; // pixels around an edge of the overview's window that grab it
export const ZOOM = 1.6; // a step

const offset = (event, element) => {
  const box = element.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
};

/** What is under the pointer on the rows' canvas; null for nothing. */
const under = (view, event) => {
  const [x, y] = offset(event, view.rows);
  const hit = view.rowAt(y);
  if (!hit || x < 0 || x > view.width) return null;
  const ns = view.ns(x);
  const tolerance = (NEAR * view.span) / view.width;
  const kinds = hit.row.isGil ? ["holds"] : hit.kind === "waits" ? ["waits", "holds"] : ["holds", "waits"];
  for (const kind of kinds) {
    const found = view.model.at(hit.row, kind, ns, tolerance);
    if (found) return found;
  }
  return null;
};

const onWheel = (view, control, field) => (event) => {
  const unit = event.deltaMode === 1 ? 20 : event.deltaMode === 2 ? 400 : 1;
  const sideways = event.shiftKey ? event.deltaX || event.deltaY : Math.abs(event.deltaX) > Math.abs(event.deltaY) ? event.deltaX : 0;
  if (sideways && !event.ctrlKey) {
    event.preventDefault();
    control.pan((sideways * unit * view.span) / view.width);
    return;
  }
  const whole = view.from <= 0 && view.to >= view.model.extent;
  const focused = field.contains(document.activeElement) && !(whole && event.deltaY > 0);
  if (!event.ctrlKey && !event.metaKey && !focused) return; // the page's
  event.preventDefault();
  const x = Math.max(0, Math.min(view.width, offset(event, view.rows)[0])); // the labels count as the left edge
  control.zoom(Math.exp(Math.max(-1, Math.min(1, event.deltaY * unit * 0.002 * (event.ctrlKey ? 3 : 1)))), view.ns(x));
};

/** Drag, click and pinch on the rows. */
const attachPointers = (view, control) => {
  const pointers = new Map();
  let moved = 0;
  const spread = () => {
    const [a, b] = [...pointers.values()];
    return { distance: Math.max(10, Math.hypot(a.x - b.x, a.y - b.y)), x: (a.x + b.x) / 2 };
  };
  view.rows.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    const [x, y] = offset(event, view.rows);
    pointers.set(event.pointerId, { x, y });
    if (pointers.size === 1) moved = 0;
    view.rows.setPointerCapture(event.pointerId);
    control.tip(null);
  });
  view.rows.addEventListener("pointermove", (event) => {
    const known = pointers.get(event.pointerId);
    if (!known) {
      if (event.pointerType !== "touch") control.tip(under(view, event) ?? lockWaitAt(view, ...offset(event, view.rows)), event);
      return;
    }
    const [x, y] = offset(event, view.rows);
    const before = pointers.size === 2 ? spread() : null;
    const by = x - known.x;
    moved += Math.abs(by) + Math.abs(y - known.y);
    pointers.set(event.pointerId, { x, y });
    if (before) {
      const after = spread();
      control.zoom(before.distance / after.distance, view.ns(after.x));
      control.pan(((before.x - after.x) * view.span) / view.width);
    } else if (moved >= CLICK) {
      control.pan((-by * view.span) / view.width);
    }
  });
  const end = (event) => {
    const clicked = pointers.delete(event.pointerId) && pointers.size === 0 && moved < CLICK;
    if (clicked && event.type === "pointerup") control.choose(under(view, event));
  };
  view.rows.addEventListener("pointerup", end);
  view.rows.addEventListener("pointercancel", end);
  view.rows.addEventListener("pointerleave", () => control.tip(null));
  view.rows.addEventListener("dblclick", (event) => control.zoom(1 / ZOOM ** 3, view.ns(offset(event, view.rows)[0])));
};

/** Drag the overview's window or one of its edges; a click elsewhere moves it there. */
const attachOverview = (view, control) => {
  const { overview, model } = view;
  let held = null;
  const at = (event) => (offset(event, overview)[0] / overview.clientWidth) * model.extent;
  const grip = (event) => {
    const near = (EDGE * model.extent) / overview.clientWidth;
    const ns = at(event);
    if (Math.abs(ns - view.from) < near && Math.abs(ns - view.from) <= Math.abs(ns - view.to)) return "from";
    return Math.abs(ns - view.to) < near ? "to" : "both";
  };
  overview.addEventListener("pointerdown", (event) => {
    const ns = at(event);
    held = { grip: grip(event), ns };
    overview.setPointerCapture(event.pointerId);
    if (held.grip === "both" && (ns < view.from || ns > view.to)) control.show(ns - view.span / 2, ns + view.span / 2);
  });
  overview.addEventListener("pointermove", (event) => {
    overview.style.cursor = grip(event) === "both" ? "grab" : "ew-resize";
    if (!held) return;
    const ns = at(event);
    if (held.grip === "both") control.pan(ns - held.ns);
    else if (held.grip === "from") control.show(Math.min(ns, view.to), view.to);
    else control.show(view.from, Math.max(ns, view.from));
    held.ns = ns;
  });
  for (const type of ["pointerup", "pointercancel"]) overview.addEventListener(type, () => (held = null));
};

const onKey = (view, control) => (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const middle = (view.from + view.to) / 2;
  const actions = {
    ArrowLeft: () => control.pan(-view.span / 5),
    ArrowRight: () => control.pan(view.span / 5),
    ArrowUp: () => control.moveRow(-1),
    ArrowDown: () => control.moveRow(1),
    "+": () => control.zoom(1 / ZOOM, middle),
    "=": () => control.zoom(1 / ZOOM, middle),
    "-": () => control.zoom(ZOOM, middle),
    Home: () => control.show(0, view.model.extent),
    Enter: () => control.enter(),
    n: () => control.stepWait(1),
    p: () => control.stepWait(-1),
    Escape: () => control.choose(null),
  };
  const action = actions[event.key];
  if (!action || (event.key === "Enter" && event.target.closest("button"))) return;
  event.preventDefault();
  action();
};

export const attach = (view, control, field) => {
  field.addEventListener("wheel", onWheel(view, control, field), { passive: false });
  field.addEventListener("keydown", onKey(view, control));
  attachPointers(view, control);
  attachOverview(view, control);
};
