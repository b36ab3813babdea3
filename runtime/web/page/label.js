// One recording: play it, and say what was done when.

import { attempt, clock, counted, h, notice } from "./dom.js";
import { activityColour, drawDepth, drawRadar } from "./draw.js";
import { Labels } from "./editor.js";
import { Film } from "./film.js";
import { floats, get } from "./server.js";
import { Keeper } from "./keeper.js";
import { fileTools, keyHelp } from "./label_tools.js";
import { Timeline } from "./timeline.js";

export const title = "Label";

const KEYS = "1234567890qwertyuiopzxcvbnmQWERTYUIOPZXCVBNM"; // the last ones with shift
const SPEEDS = [0.25, 0.5, 1, 2, 4, 8];
const HELD_MS = 250; // a key that is down for longer while it plays is held: the label ends when it is let go
const NUDGE_S = 0.05;

export async function show(main, [name]) {
  const path = `/api/recordings/${encodeURIComponent(name)}`;
  const [about, saved] = await Promise.all([get(path), get(`${path}/labels`)]);
  const duration_s = about.seconds;
  const locked = Boolean(saved.problem);
  let at_s = 0;
  let playing = false;
  let speed = 2;
  let gone = false;
  let held = null;

  const state = h("span", { class: "chip good", id: "saved", role: "status" }, "saved");
  const time = h("strong", { class: "number", id: "time" });
  const doing = h("span", { class: "chip plain", id: "doing" });
  const depth = h("canvas", { role: "img", "aria-label": "Depth picture" });
  const above = h("canvas", { role: "img", "aria-label": "Radar points from above" });
  const side = h("canvas", { role: "img", "aria-label": "Radar points from the side" });
  const canvas = h("canvas", { id: "timeline", tabindex: "0", role: "application", "aria-label": "Time line with the labels. Keys: see the list below." });
  const palette = h("div", { class: "palette", role: "group", "aria-label": "Activities" });
  const playButton = h("button", { class: "main", id: "play", onclick: () => toggle() }, "Play ", h("kbd", {}, "space"));
  const speedButton = h("button", { title: "faster: ], slower: [", onclick: () => setSpeed((speed + 1) % SPEEDS.length) });
  const kinds = Object.entries(about.sensors).map(([sensor, { kind }]) => [sensor, kind]);
  const camera = kinds.find(([, kind]) => kind === "depth")?.[0];
  const radar = kinds.find(([, kind]) => kind === "radar")?.[0];

  const damage = h("p", { class: "chip bad plain wrap", id: "damage", hidden: true });
  const showDamage = (moments) => {
    const said = [
      ...about.damaged.map((where) => `${where}, and nothing behind that is shown`),
      ...(moments.length ? [`at ${moments.slice(0, 5).map((moment) => clock(moment)).join(", ")}${moments.length > 5 ? " …" : ""}, where a moment is missing`] : []),
    ];
    damage.hidden = !said.length;
    damage.textContent = `This recording is damaged: ${said.join("; ")}.`;
  };
  showDamage([]);
  const film = new Film(name, () => {
    showDamage(film.survey?.damaged_s ?? []);
    timeline.ask();
  });
  const labels = new Labels(duration_s, () => {
    timeline.ask();
    showDoing();
    if (!locked) keeper.save();
  });
  labels.adopt(saved.labels);
  const keeper = new Keeper(name, saved.version, { state, rows: () => labels.rows, replace: (rows) => {
    labels.adopt(rows);
    timeline.ask();
    showDoing();
  } });
  const timeline = new Timeline(canvas, { film, labels, sensors: about.sensors, duration_s, seek: (seconds) => seek(seconds), grasped: (number) => accept([number]) });

  // What is shown at a moment

  const draw = (moment) => {
    const picture = moment[camera];
    if (picture && picture.at_s !== Number(depth.dataset.at)) {
      depth.dataset.at = String(picture.at_s);
      depth.style.aspectRatio = `${picture.columns} / ${picture.rows}`;
      drawDepth(depth, picture);
    }
    const points = moment[radar];
    if (points && points.at_s !== Number(above.dataset.at)) {
      above.dataset.at = String(points.at_s);
      drawRadar(above, floats(points.bytes), "above", 170);
      drawRadar(side, floats(points.bytes), "side", 110);
    }
  };

  const showDoing = () => {
    time.textContent = `${clock(at_s, 2)} / ${clock(duration_s)}`;
    const label = labels.rows[labels.at(at_s)];
    doing.textContent = timeline.open ? `${timeline.open.activity} …` : label ? label[2] : "no label";
    doing.style.background = label || timeline.open ? activityColour(timeline.open?.activity ?? label[2]) : "";
    doing.style.color = label || timeline.open ? "#fff" : "";
  };

  const seek = (seconds, follow = false) => {
    at_s = Math.max(0, Math.min(duration_s, seconds));
    timeline.at_s = at_s;
    canvas.dataset.at = at_s.toFixed(3);
    if (follow) timeline.follow(at_s);
    timeline.ask();
    showDoing();
    const moment = film.moment(at_s);
    if (moment) draw(moment);
    else if (!playing) film.seek(at_s, draw);
  };

  const toggle = () => {
    playing = !playing;
    if (playing && at_s >= duration_s - 0.05) seek(0, true);
    playButton.firstChild.textContent = playing ? "Pause " : "Play ";
    if (!playing) return;
    let before = performance.now();
    const step = (now) => {
      if (!playing || gone) return;
      const second = Math.floor(at_s);
      for (let ahead = 0; ahead <= Math.ceil(2 * Math.max(1, SPEEDS[speed])); ahead += 1) {
        if (second + ahead < duration_s) film.fetchBlock(second + ahead);
      }
      const waits = film.blocks.get(second) == null && second < duration_s - 1;
      if (!waits) seek(at_s + ((now - before) / 1000) * SPEEDS[speed], true);
      before = now;
      if (at_s >= duration_s) toggle();
      else requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
  };

  const setSpeed = (next) => {
    speed = Math.max(0, Math.min(SPEEDS.length - 1, next));
    speedButton.textContent = `${SPEEDS[speed]}×`;
  };

  // Labelling

  const activities = [];
  const addActivity = (activity) => {
    if (activity === "uncertain" || activities.includes(activity)) return;
    activities.push(activity);
    const key = KEYS[activities.length - 1];
    const dot = h("i", { class: "dot" });
    dot.style.background = activityColour(activity);
    palette.insertBefore(
      h("button", { "data-activity": activity, onclick: () => use(activity) }, dot, activity, key ? h("kbd", {}, key) : null),
      palette.lastChild,
    );
  };
  const other = h("input", { type: "text", placeholder: "another activity", "aria-label": "Name of another activity", size: 14, id: "new-activity" });
  palette.append(
    h(
      "form",
      {
        class: "row",
        onsubmit: (event) => {
          event.preventDefault();
          const activity = other.value.normalize("NFC").trim().replace(/\s+/g, " ");
          if (!activity || activity.toLowerCase() === "uncertain") return;
          addActivity(activity);
          other.value = "";
          canvas.focus();
        },
      },
      other,
      h("button", {}, "Add"),
    ),
  );
  const unsure = saved.labels.filter(([, , activity]) => activity === "uncertain").length;
  for (const [, , activity] of saved.labels) addActivity(activity);
  for (const activity of about.activities) addActivity(activity);
  addActivity("none");

  /** An activity's key or button: labels the marked stretch, renames the chosen label, or begins and ends a label. */
  const use = (activity) => {
    if (locked) return;
    if (timeline.mark !== null) {
      const from = timeline.mark;
      timeline.mark = null;
      labels.set(from, at_s, activity);
    } else if (timeline.open) {
      const { start, activity: begun } = timeline.open;
      timeline.open = null;
      labels.set(start, at_s, begun);
      if (activity !== begun) timeline.open = { start: at_s, activity };
    } else if (!playing && labels.current && labels.current[0] <= at_s && at_s <= labels.current[1]) labels.rename(labels.selected, activity);
    else timeline.open = { start: at_s, activity };
    timeline.ask();
    showDoing();
  };

  const accept = (numbers) => {
    const taken = numbers.map((number) => timeline.proposals[number]);
    const known = taken.filter(([, , activity]) => activity !== "uncertain");
    const left = timeline.proposals.filter((proposal) => !taken.includes(proposal));
    for (const [start, end, activity] of taken) {
      if (activity !== "uncertain") continue;
      timeline.mark = start;
      seek(end, true);
      notice("The model does not know this one: press the key of what it is.");
    }
    for (const [, , activity] of known) addActivity(activity);
    if (known.length) labels.setAll(known);
    timeline.propose(left);
  };

  const nudge = (edge, by) => {
    const label = labels.current;
    if (!label) return;
    labels.move(labels.selected, edge, (edge === "start" ? label[0] : label[1]) + by);
    seek(edge === "start" ? labels.current[0] : labels.current[1], true);
  };

  const choose = (by) => {
    if (!labels.rows.length) return;
    const after = labels.rows.findIndex(([start]) => start > at_s + 1e-6);
    const next = labels.selected >= 0 ? labels.selected + by : by > 0 ? after : (after < 0 ? labels.rows.length : after) - 1;
    labels.selected = Math.max(0, Math.min(labels.rows.length - 1, next < 0 && by > 0 ? labels.rows.length - 1 : next));
    seek(labels.current[0], true);
  };

  const again = (what) => {
    if (!what()) notice("There is nothing to undo or to do again.");
  };

  const ACTIONS = {
    " ": () => toggle(),
    ",": () => seek(at_s - 1 / 15, true),
    ".": () => seek(at_s + 1 / 15, true),
    "+": () => timeline.zoom(0.6),
    "=": () => timeline.zoom(0.6),
    "-": () => timeline.zoom(1 / 0.6),
    "/": () => other.focus(),
    "[": () => setSpeed(speed - 1),
    "]": () => setSpeed(speed + 1),
    Home: () => seek(0, true),
    End: () => seek(duration_s, true),
    Delete: () => labels.current && labels.remove(labels.selected),
    Backspace: () => labels.current && labels.remove(labels.selected),
    a: () => nudge("start", -NUDGE_S),
    s: () => nudge("start", NUDGE_S),
    d: () => nudge("end", -NUDGE_S),
    f: () => nudge("end", NUDGE_S),
    g: () => timeline.show(0, duration_s),
    j: () => choose(-1),
    l: () => choose(1),
    k: () => {
      timeline.mark = timeline.mark === null ? at_s : null;
      labels.selected = -1;
      timeline.ask();
    },
    Enter: () => {
      const number = timeline.proposals.findIndex(([start, end]) => start <= at_s && at_s < end);
      if (number >= 0) accept([number]);
    },
    Escape: () => {
      timeline.mark = null;
      timeline.open = null;
      labels.selected = -1;
      timeline.ask();
      showDoing();
    },
  };

  const keyDown = (event) => {
    if (event.target.closest("input, textarea, select, dialog")) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const pressed = event.key.length === 1 && event.shiftKey ? event.key.toUpperCase() : key;
    if (event.ctrlKey || event.metaKey) {
      if (key === "z") again(() => (event.shiftKey ? labels.redo() : labels.undo()));
      else if (key === "y") again(() => labels.redo());
      else return;
      event.preventDefault();
      return;
    }
    if (event.altKey) return;
    const arrow = { ArrowLeft: -1, ArrowRight: 1 }[key];
    const activity = key.length === 1 ? activities[KEYS.indexOf(pressed)] : undefined;
    if (arrow) seek(at_s + arrow * (event.shiftKey ? 1 : 0.1), true);
    else if (activity) {
      if (event.repeat) return;
      use(activity);
      held = playing ? { key, since: performance.now(), activity } : null;
    } else if (ACTIONS[key] && !((key === " " || key === "Enter") && event.target.closest("button, a"))) ACTIONS[key]();
    else return;
    event.preventDefault();
  };
  const keyUp = (event) => {
    if (!held || event.key.toLowerCase() !== held.key) return;
    const { since, activity } = held;
    held = null;
    if (performance.now() - since > HELD_MS && timeline.open?.activity === activity) use(activity);
  };
  document.addEventListener("keydown", keyDown);
  document.addEventListener("keyup", keyUp);

  // The rest of the page

  const tools = fileTools(path, {
    taken: (rows) => {
      for (const [, , activity] of rows) addActivity(activity);
      labels.setAll(rows);
    },
    proposed: (rows) => !gone && timeline.propose(rows),
    acceptKnown: () => accept([...timeline.proposals.keys()].filter((number) => timeline.proposals[number][2] !== "uncertain")),
  });

  main.append(
    h(
      "div",
      { class: "stack" },
      h("div", { class: "row" }, h("a", { href: "#/sessions" }, "Sessions"), h("h1", {}, name), state, h("span", { class: "row push" }, ...tools)),
      unsure ? h("p", { class: "chip warn plain wrap", id: "unsure" }, `${counted(unsure, "stretch", "stretches")} ${unsure === 1 ? "is" : "are"} uncertain. Click each, and press the key of what it is, or Delete. Nothing learns from them until then.`) : null,
      damage,
      saved.problem ? h("p", { class: "chip bad plain wrap" }, `These labels are not changed here. ${saved.problem}`) : null,
      h(
        "div",
        { class: "stage" },
        camera ? h("div", { class: "screen" }, depth) : null,
        radar ? h("div", { class: "stack" }, h("figure", {}, h("div", { class: "screen" }, above), h("figcaption", {}, "radar from above")), h("figure", {}, h("div", { class: "screen" }, side), h("figcaption", {}, "from the side"))) : null,
      ),
      h(
        "div",
        { class: "row" },
        playButton,
        speedButton,
        time,
        doing,
        h("span", { class: "row push" }, h("button", { "aria-label": "Zoom out", onclick: () => timeline.zoom(1 / 0.6) }, "−"), h("button", { "aria-label": "Zoom in", onclick: () => timeline.zoom(0.6) }, "+"), h("button", { onclick: () => timeline.show(0, duration_s) }, "All"), h("button", { id: "undo", onclick: () => again(() => labels.undo()) }, "Undo"), h("button", { onclick: () => again(() => labels.redo()) }, "Redo")),
      ),
      h("div", { class: "card line" }, canvas),
      palette,
      keyHelp(),
    ),
  );
  setSpeed(2);
  timeline.show(0, duration_s);
  seek(0);
  film.watch();
  canvas.focus({ preventScroll: true });
  const resized = () => timeline.ask();
  window.addEventListener("resize", resized);
  return () => {
    gone = true;
    playing = false;
    film.closed = true;
    keeper.close();
    window.removeEventListener("resize", resized);
    document.removeEventListener("keydown", keyDown);
    document.removeEventListener("keyup", keyUp);
  };
}

