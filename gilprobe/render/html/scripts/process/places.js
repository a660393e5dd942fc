// Places in source, by their numbers in a process's data.
import { element, name } from "../shared/element.js";

const where = (place) => (place.short ? `${place.short}${place.line ? `:${place.line}` : ""}` : "");

const called = (place) => (place.callee ? ` in ${place.callee}` : "");

/** "function (file:line) in callee" of a place. */
export const placeText = (data, number) => {
  const place = data.places[number];
  if (!place) return "";
  return (place.short ? `${place.function} (${where(place)})` : place.function) + called(place);
};

/** The same as elements: the function, with its location. */
export const placeNode = (data, number) => {
  const place = data.places[number];
  if (!place) return null;
  const file = place.short ? name(where(place), { class: "name where", title: place.file }) : null;
  const callee = place.callee ? [" in ", name(place.callee)] : null;
  return element("span", { class: "place" }, name(place.function), file ? " " : null, file, callee);
};
