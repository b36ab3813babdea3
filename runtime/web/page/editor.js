// Labels and what can be done with them. Nothing here knows the screen.

const SHORTEST_S = 0.02;
const MOST_STEPS = 500;

const round = (seconds) => Math.round(seconds * 1000) / 1000;

/** Labels as [start_s, end_s, activity], oldest first, none of which overlap; with undo and redo. */
export class Labels {
  constructor(duration_s, changed) {
    this.duration_s = duration_s;
    this.rows = [];
    this.selected = -1;
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

  /** The number of the label at a moment, or -1. */
  at(seconds) {
    return this.rows.findIndex(([start, end]) => start <= seconds && seconds < end);
  }

  /** Sets one label; it cuts those that it overlaps. */
  set(start, end, activity) {
    this.setAll([[start, end, activity]]);
  }

  /** Sets several labels in one step. */
  setAll(labels) {
    let rows = this.rows;
    let last = null;
    for (const [from, to, activity] of labels) {
      const start = round(Math.max(0, Math.min(from, to)));
      const end = round(Math.min(this.duration_s, Math.max(from, to)));
      if (end - start < SHORTEST_S) continue;
      last = [start, end, activity];
      rows = cutBy(rows, start, end);
      rows.push(last);
    }
    if (last) this.apply(rows, last);
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
      if (start - from >= SHORTEST_S) kept.push([from, start, activity]);
      if (to - end >= SHORTEST_S) kept.push([end, to, activity]);
    }
  }
  return kept;
}
