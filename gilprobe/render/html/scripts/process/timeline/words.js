// The timeline in words.
import { pausedText } from "./pauses.js";
import { duration, share } from "../../shared/words.js";

const TEN_MINUTES = 6e11; // nanoseconds

/** A moment, with the digits that lines at this distance need. */
export const moment = (ns, step, extent) => {
  const [unit, name] = extent >= 1e9 ? [1e9, "s"] : extent >= 1e6 ? [1e6, "ms"] : [1e3, "\u00b5s"];
  const digits = Math.min(9, Math.max(0, Math.ceil(-Math.log10(step / unit) - 1e-9)));
  if (extent < TEN_MINUTES) return `${(ns / unit).toFixed(digits)} ${name}`;
  const whole = Number((ns / unit).toFixed(digits));
  const minutes = Math.floor(whole / 60);
  return `${minutes}:${(whole - 60 * minutes).toFixed(digits).padStart(digits ? digits + 3 : 2, "0")}`;
};

/** A place as text: function, the end of the file's path, line. */
export const describePlace = (place) => {
  if (!place) return "an unknown place";
  const [name, file, line] = place;
  const short = file.split("/").slice(-2).join("/");
  return file ? `${name} (${short}${line > 0 ? `:${line}` : ""})` : name;
};

/** What is under the pointer, in one line, for its tip. */
export const summary = (model, found) => {
  if (found.kind === "lock") return `${found.row.name} waits ${duration(found.end - found.start)} for ${found.lock}`;
  const verb = found.kind === "waits" ? "waits" : "holds the GIL";
  const who = found.row.isGil ? model.threadName(found.who) : found.row.name;
  if (found.share !== undefined) {
    const part = share(found.share, 1);
    const led =
      found.kind === "holds" ? (found.row.isGil ? `, mostly ${who}` : `, mostly in ${describePlace(model.place(found.place))}`) : "";
    const what = found.row.isGil ? `The GIL is held ${part}` : `${who} ${verb} ${part}`;
    return `${what} of these ${duration(found.end - found.start)}${led}`;
  }
  const where = found.kind === "waits" ? `, after ${describePlace(model.place(found.place))}` : ` in ${describePlace(model.place(found.place))}`;
  return `${who} ${verb} for ${duration(found.end - found.start)}${where}${pausedText(model, found)}`;
};
