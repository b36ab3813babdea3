// Labels and what can be done with them. Nothing here knows the screen.

export const SHORTEST_S = 0.02;
const MOST_STEPS = 500;

const round = (seconds) => Math.round(seconds * 1000) / 1000;

/** Whether a label may be that short. Its times are in whole milliseconds, but their difference is not. */
const isLongEnough = (start, end) => round(end - start) >= SHORTEST_S;

/** Labels as [start_s, end_s, activity], oldest first, none of which overlap; with undo and redo. */
export class Labels {
  constructor(duration_s, changed) {
    this.duration_s = duration_s;
    this.rows = [];
    this.selected = -1;
    this.locked = false; // nothing changes them while they are
    this.changed = changed;
    this.past = [];
    this.future = [];
  }

  /** Takes what the server has; it cannot be undone. */
  adopt(rows) {
    this.rows = rows.map((row) => [...row]).sort((a, b) => a[0] - b[0]);
    this.selected = -1;
    this.past = [];
    this.future = [];
  }

  get current() {
    return this.rows[this.selected] ?? null;
  }

  /** The number of the label at a moment, or -1. Its end is no longer part of it. */
  at(seconds) {
    const moment = round(seconds); // as labels are: a playhead at 0.7999999999 s is at the end of one that ends at 0.8
    return this.rows.findIndex(([start, end]) => start <= moment && moment < end);
  }

  /** Sets one label; it cuts those that it overlaps. Returns whether it is long enough to be one. */
  set(start, end, activity) {
    return this.setAll([[start, end, activity]]) === 1;
  }

  /** Sets several labels in one step. Returns how many; those that are too short are left out. */
  setAll(labels) {
    let rows = this.rows;
    let last = null;
    let count = 0;
    for (const [from, to, activity] of labels) {
      const start = round(Math.max(0, Math.min(from, to)));
      const end = round(Math.min(this.duration_s, Math.max(from, to)));
      if (!isLongEnough(start, end)) continue;
      count += 1;
      last = [start, end, activity];
      rows = cutBy(rows, start, end);
      rows.push(last);
    }
    if (last) this.apply(rows, last);
    return count;
  }

  /** Moves an edge of a label; it cuts its neighbours, and never passes its own other edge. */
  move(number, edge, seconds) {
    const [start, end, activity] = this.rows[number];
    const moved = edge === "start" ? [Math.min(seconds, end - SHORTEST_S), end] : [start, Math.max(seconds, start + SHORTEST_S)];
    const label = [round(Math.max(0, moved[0])), round(Math.min(this.duration_s, moved[1])), activity];
    const others = this.rows.filter((_, other) => other !== number);
    this.apply([...cutBy(others, label[0], label[1]), label], label);
  }

  rename(number, activity) {
    const label = [this.rows[number][0], this.rows[number][1], activity];
    this.apply([...this.rows.filter((_, other) => other !== number), label], label);
  }

  remove(number) {
    this.apply(this.rows.filter((_, other) => other !== number), null);
  }

  apply(rows, selected) {
    if (this.locked) return;
    this.past.push(this.rows);
    if (this.past.length > MOST_STEPS) this.past.shift();
    this.future = [];
    this.put(rows, selected);
  }

  undo() {
    if (!this.past.length) return false;
    this.future.push(this.rows);
    this.put(this.past.pop(), null);
    return true;
  }

  redo() {
    if (!this.future.length) return false;
    this.past.push(this.rows);
    this.put(this.future.pop(), null);
    return true;
  }

  put(rows, selected) {
    this.rows = [...rows].sort((a, b) => a[0] - b[0]);
    this.selected = selected ? this.rows.indexOf(selected) : -1;
    this.changed();
  }
}

/** The parts of labels outside a stretch. */
function cutBy(rows, start, end) {
  const kept = [];
  for (const [from, to, activity] of rows) {
    if (to <= start || from >= end) kept.push([from, to, activity]);
    else {
      if (isLongEnough(from, start)) kept.push([from, start, activity]);
      if (isLongEnough(end, to)) kept.push([end, to, activity]);
    }
  }
  return kept;
}
