// Unpacks the timeline's numbers (gilprobe/render/html/process/timeline_data.py,
// csrc/picture/gp_picture_exact.h, csrc/picture/gp_picture_pyramid.h): rows of holds and waits in order, or
// rows of cells at many levels of detail.

const SHARES = 63;

/** Reads unsigned LEB128 varints from base64. */
class Numbers {
  constructor(base64) {
    const text = atob(base64);
    this.bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) this.bytes[i] = text.charCodeAt(i);
    this.at = 0;
  }

  get left() {
    return this.at < this.bytes.length;
  }

  next() {
    const first = this.bytes[this.at++];
    if (first < 128) return first;
    let value = first & 127;
    let factor = 128;
    for (;;) {
      const byte = this.bytes[this.at++];
      value += (byte & 127) * factor;
      if (!(byte & 128)) return value;
      factor *= 128; // no shift: numbers have up to 53 bits
    }
  }
}

/** Intervals in columns, by their starts: `who` is the row of the thread, `holders` are those of waits. */
class Intervals {
  constructor(room) {
    this.count = 0;
    this.starts = new Float64Array(room);
    this.ends = new Float64Array(room);
    this.places = new Uint32Array(room);
    this.who = new Uint32Array(room);
    this.holders = null;
  }

  add(start, end, place, who) {
    const i = this.count++;
    this.starts[i] = start;
    this.ends[i] = end;
    this.places[i] = place;
    this.who[i] = who;
  }

  addFrom(other, i) {
    this.add(other.starts[i], other.ends[i], other.places[i], other.who[i]);
  }

  /** Free the unused room, and sort: a crafted file may be out of order. */
  done() {
    const { count } = this;
    for (let i = 1; i < count; i++) if (this.starts[i] < this.starts[i - 1]) return this.sorted();
    for (const name of ["starts", "ends", "places", "who"]) this[name] = this[name].slice(0, count);
    return this;
  }

  sorted() {
    const order = Array.from({ length: this.count }, (_, i) => i).sort((a, b) => this.starts[a] - this.starts[b]);
    const made = new Intervals(this.count);
    for (const i of order) made.addFrom(this, i);
    return made;
  }

  /** Merge two sorted ones. */
  static merged(left, right) {
    const made = new Intervals(left.count + right.count);
    let [i, j] = [0, 0];
    while (i < left.count || j < right.count) {
      if (j >= right.count || (i < left.count && left.starts[i] <= right.starts[j])) made.addFrom(left, i++);
      else made.addFrom(right, j++);
    }
    return made;
  }

  static mergedAll(lists) {
    if (lists.length < 2) return lists[0] || new Intervals(0);
    const middle = lists.length >> 1;
    return Intervals.merged(Intervals.mergedAll(lists.slice(0, middle)), Intervals.mergedAll(lists.slice(middle)));
  }

  static of(list) {
    list.sort((a, b) => a.start - b.start);
    const made = new Intervals(list.length);
    for (const one of list) made.add(one.start, one.end, one.place, one.row);
    made.holders = list.map((one) => one.holders);
    return made;
  }
}

/** A row of csrc/picture/gp_picture_exact.h: the holds and the waits of one thread. */
const exactRow = (base64, row) => {
  const numbers = new Numbers(base64);
  const room = Math.ceil(numbers.bytes.length / 3); // three numbers each
  const [holds, waits] = [new Intervals(room), new Intervals(room)];
  let end = 0;
  while (numbers.left) {
    const head = numbers.next();
    const folded = Math.floor(head / 2);
    const start = end + (folded % 2 ? -(folded + 1) / 2 : folded / 2);
    end = start + numbers.next();
    (head % 2 ? waits : holds).add(start, end, numbers.next(), row);
  }
  return { holds: holds.done(), waits: waits.done() };
};

/** A row of csrc/picture/gp_picture_pyramid.h, and above it rows of half as many cells each, up to a few. */
const levelsOf = (base64, cellNs, count) => {
  const level = { cellNs, count, held: new Float32Array(count), waited: new Float32Array(count), leader: new Uint32Array(count) };
  const numbers = new Numbers(base64);
  let shares = 0;
  let leader = 0;
  for (let cell = 0; cell < count && numbers.left;) {
    const token = numbers.next();
    const value = Math.floor(token / 4);
    const repeats = token % 4 === 2 ? value : 1;
    if (token % 4 !== 2) shares = value;
    if (token % 4 === 1) leader = numbers.next();
    for (let i = 0; i < repeats && cell < count; i++, cell++) {
      level.held[cell] = (shares & SHARES) / SHARES;
      level.waited[cell] = (shares >> 6) / SHARES;
      level.leader[cell] = leader;
    }
  }
  const levels = [level];
  while (levels[levels.length - 1].count > 64) levels.push(halved(levels[levels.length - 1]));
  return levels;
};

const halved = (fine) => {
  const count = Math.ceil(fine.count / 2);
  const made = {
    cellNs: fine.cellNs * 2,
    count,
    held: new Float32Array(count),
    waited: new Float32Array(count),
    leader: new Uint32Array(count),
  };
  for (let cell = 0; cell < count; cell++) {
    const left = 2 * cell;
    const right = Math.min(left + 1, fine.count - 1);
    made.held[cell] = (fine.held[left] + fine.held[right]) / 2;
    made.waited[cell] = (fine.waited[left] + fine.waited[right]) / 2;
    made.leader[cell] = fine.leader[fine.held[left] >= fine.held[right] ? left : right];
  }
  return made;
};

/** The longest holds or waits of a pyramid. */
const longest = (base64) => {
  const numbers = new Numbers(base64);
  const list = [];
  let start = 0;
  while (numbers.left) {
    start += numbers.next();
    const one = { start, end: start + numbers.next(), row: numbers.next(), place: numbers.next(), holders: [] };
    for (let left = numbers.next(); left > 0; left--)
      one.holders.push({ row: numbers.next(), place: numbers.next(), ns: numbers.next() });
    one.othersNs = numbers.next();
    if (one.othersNs) one.holders.push({ row: null, place: 0, ns: one.othersNs });
    list.push(one);
  }
  return list;
};

/** The first interval that ends after `ns`; holds of a row, and waits, follow one another. */
export const firstAfter = (intervals, ns) => {
  let low = 0;
  let high = intervals.count;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (intervals.ends[middle] <= ns) low = middle + 1;
    else high = middle;
  }
  return low;
};

/** Rows of a timeline: each GIL, and below it the threads that want it. */
export class TimelineModel {
  constructor(data) {
    this.data = data;
    this.extent = data.extent_ns;
    this.exact = data.exact;
    this.threads = data.threads.map((thread, row) => ({ ...thread, row, gil: data.gil_of[row], isGil: false }));
    this.gils = data.gils.map((interpreter, gil) => ({
      isGil: true,
      gil,
      interpreter,
      name: data.gils.length > 1 ? `GIL of interpreter ${interpreter}` : "GIL",
      from_ns: 0,
      to_ns: data.extent_ns,
    }));
    this.pauses = data.pauses.map(([thread, start, ns, generation]) => ({ thread, start, end: start + ns, generation }));
    const work = new Set(data.work);
    this.lockWaits = data.lock_waits.map(([thread, start, ns, lock]) => ({
      thread,
      start,
      end: start + ns,
      lock: data.locks[lock],
      isWork: work.has(lock),
    }));
    this.rows = this.gils.flatMap((gil) => [gil, ...this.threads.filter((thread) => thread.gil === gil.gil)]);
    this.rows.push(...this.threads.filter((thread) => thread.gil >= this.gils.length));
    this.rows.forEach((row, index) => (row.index = index));
    if (data.exact) this.unpackExact();
    else this.unpackPyramid();
    for (const gil of this.gils) gil.hold_ns = this.heldIn(gil, 0, this.extent);
    [this.busiest] = [...this.gils].sort((a, b) => b.hold_ns - a.hold_ns);
  }

  unpackExact() {
    const count = this.threads.length;
    const unpacked = this.data.rows.map((row, number) => exactRow(row, Math.min(number, count)));
    this.threads.forEach((thread, row) => Object.assign(thread, unpacked[row]));
    for (const gil of this.gils) {
      const own = unpacked.filter((_, row) => (row < count ? this.threads[row].gil === gil.gil : row - count === gil.gil));
      gil.holds = Intervals.mergedAll(own.map((row) => row.holds));
      gil.waits = new Intervals(0);
    }
  }

  unpackPyramid() {
    const { rows, levels, cell_ns: cellNs } = this.data;
    const holds = longest(this.data.holds);
    const waits = longest(this.data.waits);
    [...this.threads, ...this.gils].forEach((row, number) => {
      const size = cellNs * 2 ** levels[number];
      row.levels = levelsOf(rows[number], size, Math.ceil(this.extent / size));
      row.holds = Intervals.of(holds.filter((one) => (row.isGil ? this.threads[one.row].gil === row.gil : one.row === row.row)));
      row.waits = Intervals.of(row.isGil ? [] : waits.filter((one) => one.row === row.row));
    });
  }

  /** The name of a thread by its row; threads without a row share one. */
  threadName(row) {
    return row !== null && row < this.threads.length ? this.threads[row].name : "other threads";
  }

  /** Function, file and line; null if unknown. */
  place(number) {
    return number > 0 ? this.data.places[number - 1] : null;
  }

  /** Numbers of the places that are "function\nfile\nline". */
  placesNamed(text) {
    return this.data.places.flatMap((place, i) => (place.join("\n") === text ? [i + 1] : []));
  }

  get hasGil() {
    return this.gils.length > 0;
  }

  gilOf(row) {
    return row.isGil ? row : this.gils[row.gil];
  }

  /** The level of a row for so many nanoseconds per pixel. */
  levelFor(row, nsPerPixel) {
    let chosen = row.levels[0];
    for (const level of row.levels) if (level.cellNs <= nsPerPixel) chosen = level;
    return chosen;
  }

  /** Nanoseconds that a row held in a window. */
  heldIn(row, from, to) {
    let sum = 0;
    if (row.levels) {
      const level = this.levelFor(row, (to - from) / 256);
      this.cells(level, from, to, (cell, begin, end) => (sum += level.held[cell] * (end - begin)));
      return sum;
    }
    for (let i = firstAfter(row.holds, from); i < row.holds.count && row.holds.starts[i] < to; i++)
      sum += Math.min(row.holds.ends[i], to) - Math.max(row.holds.starts[i], from);
    return sum;
  }

  /** Visit the cells of a level in a window. */
  cells(level, from, to, visit) {
    const last = Math.min(level.count - 1, Math.floor(to / level.cellNs));
    for (let cell = Math.max(0, Math.floor(from / level.cellNs)); cell <= last; cell++) {
      const begin = Math.max(from, cell * level.cellNs);
      const end = Math.min(to, (cell + 1) * level.cellNs, this.extent);
      if (end > begin) visit(cell, begin, end);
    }
  }

  /** The intervals of a kind ("holds", "waits") in a window, the longest first. */
  longestIn(kind, from, to, most) {
    const found = [];
    let least = 0; // only longer ones are kept
    for (const row of this.threads) {
      const { starts, ends, count } = row[kind];
      for (let i = firstAfter(row[kind], from); i < count && starts[i] < to; i++) {
        const ns = ends[i] - starts[i];
        if (ns <= least) continue;
        found.push({ row, i, ns, start: starts[i] });
        if (found.length >= 2 * most) least = this.kept(found, most);
      }
    }
    this.kept(found, most);
    return found.map((one) => this.interval(one.row, kind, one.i));
  }

  /** The waits for locks in a window, the longest first, as what can be chosen. */
  longestLockWaits(from, to, most) {
    const inside = this.lockWaits.filter((wait) => !wait.isWork && wait.end > from && wait.start < to);
    inside.sort((a, b) => b.end - b.start - (a.end - a.start) || a.start - b.start);
    return inside.slice(0, most).map((wait) => ({ kind: "lock", ...wait, row: this.threads[wait.thread] }));
  }

  /** Keep the longest, in order; return the length of the last, 0 if there are fewer. */
  kept(found, most) {
    found.sort((a, b) => b.ns - a.ns || a.start - b.start);
    if (found.length > most) found.length = most;
    return found.length === most ? found[most - 1].ns : 0;
  }

  /** One interval as an object. */
  interval(row, kind, i) {
    const list = row[kind];
    return {
      row,
      kind,
      start: list.starts[i],
      end: list.ends[i],
      place: list.places[i],
      who: list.who[i],
      holders: list.holders && list.holders[i],
    };
  }

  /** A row's hold or wait at a time: the longest interval within some nanoseconds, else a cell. */
  at(row, kind, ns, tolerance) {
    const list = row[kind];
    let best = -1;
    for (let i = firstAfter(list, ns - tolerance); i < list.count && list.starts[i] <= ns + tolerance; i++)
      if (best < 0 || list.ends[i] - list.starts[i] > list.ends[best] - list.starts[best]) best = i;
    if (best < 0 && list.count) {
      const before = firstAfter(list, ns - tolerance) - 1; // an interval of length 0 ends where it begins
      if (before >= 0 && list.ends[before] >= ns - tolerance) best = before;
    }
    if (best >= 0) return this.interval(row, kind, best);
    return row.levels ? this.cellAt(row, kind, ns, tolerance) : null;
  }

  cellAt(row, kind, ns, tolerance) {
    const level = this.levelFor(row, 2 * tolerance);
    const cell = Math.floor(ns / level.cellNs);
    const share = cell >= 0 && cell < level.count ? level[kind === "holds" ? "held" : "waited"][cell] : 0;
    if (!share) return null;
    const start = cell * level.cellNs;
    const end = Math.min(start + level.cellNs, this.extent);
    const leader = kind === "holds" ? level.leader[cell] : 0;
    return { row, kind, start, end, share, place: row.isGil ? 0 : leader, who: row.isGil ? leader - 1 : row.row };
  }

  /** Who held the GIL in a span: [{row, place, ns}], the most first; `about` if cells were counted. */
  holdersIn(gil, from, to) {
    const sums = new Map();
    const add = (row, place, ns) => {
      const key = (row + 1) * 2 ** 26 + place; // there are fewer places
      const known = sums.get(key) || { row, place, ns: 0 };
      known.ns += ns;
      sums.set(key, known);
    };
    if (gil.levels) {
      const level = this.levelFor(gil, (to - from) / 64);
      this.cells(
        level,
        from,
        to,
        (cell, begin, end) => level.held[cell] && add(level.leader[cell] - 1, 0, level.held[cell] * (end - begin)),
      );
    } else {
      const { holds } = gil;
      for (let i = firstAfter(holds, from); i < holds.count && holds.starts[i] < to; i++)
        add(holds.who[i], holds.places[i], Math.min(holds.ends[i], to) - Math.max(holds.starts[i], from));
    }
    const list = [...sums.values()].filter((one) => one.ns > 0).sort((a, b) => b.ns - a.ns);
    list.about = Boolean(gil.levels);
    return list;
  }

  /** Who held the GIL during the result of `at`. */
  holdersOf(found) {
    if (found.holders && found.holders.length) return found.holders;
    const gil = this.gilOf(found.row);
    return gil ? this.holdersIn(gil, found.start, found.end) : [];
  }
}
