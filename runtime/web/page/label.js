// One recording: play it, and say what was done when.

import { clock, counted, h, notice } from "./dom.js";
import { activityColour, inkOn } from "./draw.js";
import { Labels, SHORTEST_S } from "./editor.js";
import { Film } from "./film.js";
import { get, on } from "./server.js";
import { Keeper } from "./keeper.js";
import { fileTools, keyHelp } from "./label_tools.js";
import { Palette } from "./palette.js";
import { Player } from "./player.js";
import { Timeline } from "./timeline.js";

export const title = "Label";

const HELD_MS = 250; // a key that is down for longer while it plays is held: the label ends when it is let go
const NUDGE_S = 0.05;
const ZOOM = 0.6;

export async function show(main, [name]) {
  const path = `/api/recordings/${encodeURIComponent(name)}`;
  const [about, saved] = await Promise.all([get(path), get(`${path}/labels`)]);
  const desk = new Desk(name, about, saved);
  main.append(layout(desk, name, path, saved));
  desk.timeline.show(0, about.seconds);
  desk.seek(0);
  desk.film.watch();
  desk.canvas.focus({ preventScroll: true });
  const deaf = listenToKeys(desk);
  const resized = () => desk.timeline.ask();
  window.addEventListener("resize", resized);
  const stopWaiting = saved.problem ? waitForUnlocking(`${path}/labels`) : () => {};
  return () => {
    stopWaiting();
    desk.player.close();
    desk.keeper.close();
    window.removeEventListener("resize", resized);
    deaf();
  };
}

/** Shows this part again, with what the server has now. */
const openAgain = () => window.dispatchEvent(new Event("hashchange"));

/** Opens a recording again as soon as its labels can be changed: another writer has ended. Returns how to stop. */
function waitForUnlocking(path) {
  let stopped = false;
  const look = async () => {
    const { problem } = await get(path).catch(() => ({ problem: "the server does not answer" }));
    if (!problem && !stopped) openAgain();
  };
  const off = on("recordings", look);
  window.addEventListener("focus", look); // somebody may have mended the table elsewhere
  return () => {
    stopped = true;
    off();
    window.removeEventListener("focus", look);
  };
}

/** What a person labels with: the player, the time line, the palette, and the labels themselves. */
class Desk {
  constructor(name, about, saved) {
    const duration_s = about.seconds;
    this.about = about;
    this.state = h("span", { class: `chip ${saved.problem ? "plain" : "good"}`, id: "saved", role: "status" }, saved.problem ? "read only" : "saved");
    this.time = h("strong", { class: "number", id: "time" });
    this.doing = h("span", { class: "chip plain", id: "doing" });
    this.damage = h("p", { class: "chip bad plain wrap", id: "damage", hidden: true });
    this.canvas = h("canvas", { id: "timeline", tabindex: "0", role: "application", "aria-label": "Time line with the labels. Keys: see the list below." });
    this.film = new Film(name, () => {
      this.showDamage(this.film.survey?.damaged_s ?? []);
      this.timeline.ask();
    });
    this.labels = new Labels(duration_s, () => {
      this.showLabels();
      this.keeper.save();
    });
    this.labels.adopt(saved.labels);
    this.labels.locked = Boolean(saved.problem);
    this.keeper = new Keeper(name, saved.version, { state: this.state, rows: () => this.labels.rows, locked: openAgain, replace: (rows) => {
      this.labels.adopt(rows);
      this.showLabels();
    } });
    this.timeline = new Timeline(this.canvas, {
      film: this.film, labels: this.labels, sensors: about.sensors, duration_s,
      seek: (seconds) => this.seek(seconds),
      grasped: (number) => this.accept([number]),
    });
    this.player = new Player(this.film, { sensors: about.sensors, duration_s, moved: (follow) => this.moved(follow) });
    const known = [...saved.labels.map(([, , activity]) => activity), ...about.activities, "none"];
    this.palette = new Palette(known, { chosen: (activity) => this.use(activity), named: () => this.canvas.focus() });
    this.showDamage([]);
  }

  // What is shown

  showLabels() {
    this.timeline.ask();
    this.showDoing();
  }

  showDoing() {
    const { labels, timeline, doing } = this;
    const { at_s, duration_s } = this.player;
    this.time.textContent = `${clock(at_s, 2)} / ${clock(duration_s)}`;
    const label = labels.rows[labels.at(at_s)];
    doing.textContent = timeline.open ? `${timeline.open.activity} …` : label ? label[2] : "no label";
    const ground = label || timeline.open ? activityColour(timeline.open?.activity ?? label[2]) : "";
    doing.style.background = ground;
    doing.style.color = ground && inkOn(ground);
  }

  showDamage(moments) {
    const said = [
      ...this.about.damaged.map((where) => `${where}, and nothing behind that is shown`),
      ...(moments.length ? [`at ${moments.slice(0, 5).map((moment) => clock(moment)).join(", ")}${moments.length > 5 ? " …" : ""}, where a moment is missing`] : []),
    ];
    this.damage.hidden = !said.length;
    this.damage.textContent = `This recording is damaged: ${said.join("; ")}.`;
  }

  moved(follow) {
    const { at_s } = this.player;
    this.timeline.at_s = at_s;
    this.canvas.dataset.at = at_s.toFixed(3);
    if (follow) this.timeline.follow(at_s);
    this.showLabels();
  }

  // What a person does

  seek(seconds, follow = false) {
    this.player.seek(seconds, follow);
  }

  seekBy(seconds) {
    this.seek(this.player.at_s + seconds, true);
  }

  /** An activity's key or button: labels the marked stretch, renames the chosen label, or begins and ends a label. */
  use(activity) {
    const { labels, timeline } = this;
    const { at_s, playing } = this.player;
    if (labels.locked) return;
    if (timeline.mark !== null) {
      const from = timeline.mark;
      timeline.mark = null;
      this.label(from, activity);
    } else if (timeline.open) {
      const { start, activity: begun } = timeline.open;
      timeline.open = null;
      this.label(start, begun);
      if (activity !== begun) timeline.open = { start: at_s, activity };
    } else if (!playing && labels.current && labels.at(at_s) === labels.selected) labels.rename(labels.selected, activity);
    else timeline.open = { start: at_s, activity };
    this.showLabels();
  }

  /** Labels the time between a moment and the playhead. */
  label(from, activity) {
    if (!this.labels.set(from, this.player.at_s, activity)) notice(`A label is at least ${SHORTEST_S} s long: move before you end it.`);
  }

  /** Takes over proposals. One that the model does not know is marked, so that a key names it. */
  accept(numbers) {
    const { labels, timeline } = this;
    const taken = numbers.map((number) => timeline.proposals[number]);
    const known = taken.filter(([, , activity]) => activity !== "uncertain");
    const left = timeline.proposals.filter((proposal) => !taken.includes(proposal));
    for (const [start, end, activity] of taken) {
      if (activity !== "uncertain") continue;
      timeline.mark = start;
      this.seek(end, true);
      notice("The model does not know this one: press the key of what it is.");
    }
    for (const [, , activity] of known) this.palette.add(activity);
    if (known.length) labels.setAll(known);
    timeline.propose(left);
  }

  acceptHere() {
    const { at_s } = this.player;
    const number = this.timeline.proposals.findIndex(([start, end]) => start <= at_s && at_s < end);
    if (number >= 0) this.accept([number]);
  }

  acceptKnown() {
    const { proposals } = this.timeline;
    this.accept([...proposals.keys()].filter((number) => proposals[number][2] !== "uncertain"));
  }

  mark() {
    this.timeline.mark = this.timeline.mark === null ? this.player.at_s : null;
    this.labels.selected = -1;
    this.timeline.ask();
  }

  letGo() {
    this.timeline.mark = null;
    this.timeline.open = null;
    this.labels.selected = -1;
    this.showLabels();
  }

  nudge(edge, by) {
    const { labels } = this;
    if (!labels.current) return;
    const place = edge === "start" ? 0 : 1;
    labels.move(labels.selected, edge, labels.current[place] + by);
    this.seek(labels.current[place], true);
  }

  choose(by) {
    const { labels } = this;
    const { length } = labels.rows;
    if (!length) return;
    const after = labels.rows.findIndex(([start]) => start > this.player.at_s + 1e-6);
    const next = labels.selected >= 0 ? labels.selected + by : by > 0 ? after : (after < 0 ? length : after) - 1;
    labels.selected = Math.max(0, Math.min(length - 1, next < 0 && by > 0 ? length - 1 : next));
    this.seek(labels.current[0], true);
  }

  remove() {
    if (this.labels.current) this.labels.remove(this.labels.selected);
  }

  undo() {
    if (!this.labels.undo()) notice("There is nothing to undo.");
  }

  redo() {
    if (!this.labels.redo()) notice("There is nothing to do again.");
  }
}

/** What each key does that is no activity's. */
function actionsOf(desk) {
  const { player, timeline } = desk;
  return {
    " ": () => player.toggle(),
    ",": () => desk.seekBy(-1 / 15),
    ".": () => desk.seekBy(1 / 15),
    "+": () => timeline.zoom(ZOOM),
    "=": () => timeline.zoom(ZOOM),
    "-": () => timeline.zoom(1 / ZOOM),
    "/": () => desk.palette.other.focus(),
    "[": () => player.setSpeed(player.speed - 1),
    "]": () => player.setSpeed(player.speed + 1),
    Home: () => desk.seek(0, true),
    End: () => desk.seek(player.duration_s, true),
    Delete: () => desk.remove(),
    Backspace: () => desk.remove(),
    Enter: () => desk.acceptHere(),
    Escape: () => desk.letGo(),
    a: () => desk.nudge("start", -NUDGE_S),
    s: () => desk.nudge("start", NUDGE_S),
    d: () => desk.nudge("end", -NUDGE_S),
    f: () => desk.nudge("end", NUDGE_S),
    g: () => timeline.show(0, player.duration_s),
    j: () => desk.choose(-1),
    k: () => desk.mark(),
    l: () => desk.choose(1),
  };
}

/** Lets keys work the desk. Returns how to stop. */
function listenToKeys(desk) {
  const actions = actionsOf(desk);
  let held = null;
  const down = (event) => {
    if (event.target.closest("input, textarea, select, dialog")) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const pressed = event.key.length === 1 && event.shiftKey ? event.key.toUpperCase() : key;
    if (event.ctrlKey || event.metaKey) {
      if (key === "z" && !event.shiftKey) desk.undo();
      else if (key === "z" || key === "y") desk.redo();
      else return;
      event.preventDefault();
      return;
    }
    if (event.altKey) return;
    const arrow = { ArrowLeft: -1, ArrowRight: 1 }[key];
    const activity = key.length === 1 ? desk.palette.of(pressed) : undefined;
    if (arrow) desk.seekBy(arrow * (event.shiftKey ? 1 : 0.1));
    else if (activity) {
      if (event.repeat) return;
      desk.use(activity);
      held = desk.player.playing ? { key, since: performance.now(), activity } : null;
    } else if (actions[key] && !((key === " " || key === "Enter") && event.target.closest("button, a"))) actions[key]();
    else return;
    event.preventDefault();
  };
  const up = (event) => {
    if (!held || event.key.toLowerCase() !== held.key) return;
    const { since, activity } = held;
    held = null;
    if (performance.now() - since > HELD_MS && desk.timeline.open?.activity === activity) desk.use(activity);
  };
  document.addEventListener("keydown", down);
  document.addEventListener("keyup", up);
  return () => {
    document.removeEventListener("keydown", down);
    document.removeEventListener("keyup", up);
  };
}

function layout(desk, name, path, saved) {
  const { player, timeline } = desk;
  const tools = fileTools(path, {
    locked: Boolean(saved.problem),
    taken: (rows) => {
      for (const [, , activity] of rows) desk.palette.add(activity);
      return desk.labels.setAll(rows);
    },
    proposed: (rows) => !player.closed && timeline.propose(rows),
    acceptKnown: () => desk.acceptKnown(),
  });
  const unsure = saved.labels.filter(([, , activity]) => activity === "uncertain").length;
  const button = (text, does, attributes = {}) => h("button", { ...attributes, onclick: does }, text);
  return h(
    "div",
    { class: "stack" },
    h("div", { class: "row" }, h("a", { href: "#/sessions" }, "Sessions"), h("h1", {}, name), desk.state, h("span", { class: "row push" }, ...tools)),
    unsure ? h("p", { class: "chip warn plain wrap", id: "unsure" }, `${counted(unsure, "stretch", "stretches")} ${unsure === 1 ? "is" : "are"} uncertain. Click each, and press the key of what it is, or Delete. Nothing learns from them until then.`) : null,
    desk.damage,
    saved.problem ? h("p", { class: "chip bad plain wrap" }, `These labels are not changed here. ${saved.problem}`) : null,
    player.stage(),
    h(
      "div",
      { class: "row" },
      player.playButton,
      player.speedButton,
      desk.time,
      desk.doing,
      h(
        "span",
        { class: "row push" },
        button("−", () => timeline.zoom(1 / ZOOM), { "aria-label": "Zoom out" }),
        button("+", () => timeline.zoom(ZOOM), { "aria-label": "Zoom in" }),
        button("All", () => timeline.show(0, player.duration_s)),
        button("Undo", () => desk.undo(), { id: "undo" }),
        button("Redo", () => desk.redo()),
      ),
    ),
    h("div", { class: "card line" }, desk.canvas),
    desk.palette.element,
    keyHelp(),
  );
}
