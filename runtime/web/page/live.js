// What is live: the activity, how sure it is, what was done in the last minutes, and each sensor.

import { standingAlarms } from "./alarms.js";
import { h, percent, sharp, colour } from "./dom.js";
import { activityColour, AXES, drawDepth, drawRadar, drawTraces, reachOf } from "./draw.js";
import { floats, on } from "./server.js";

export const title = "Live";

const BAND_S = 300;
const TRACE_S = 8;
const GRAVITY = 9.81;

let past = []; // predictions of the last minutes, kept while other pages are shown

on("history", ({ predictions }) => (past = predictions));
on("prediction", ({ end_ms, activity, confidence }) => {
  past.push({ end_ms, activity, confidence });
  while (past[0].end_ms < end_ms - BAND_S * 1000) past.shift();
});

export function show(main) {
  const name = h("div", { class: "activity silent", id: "activity", "aria-live": "polite" }, "waiting for the run …");
  const sure = h("span", {});
  const share = h("strong", { class: "number" });
  const truth = h("span", { class: "soft small push" });
  const band = h("canvas", { "aria-label": "What was done in the last five minutes", role: "img" });
  const bundle = h("span", { id: "bundle" });
  const source = h("span", {});
  const latency = h("span", { class: "number", id: "latency" });
  const bars = h("div", { class: "bars" });
  const grid = h("div", { class: "sensors" });
  const legend = h("div", { class: "legend" });
  const now = h(
    "section",
    { class: "card now", "aria-label": "Activity" },
    h("div", { class: "row small soft" }, source, h("span", { class: "push" }, "model ", bundle)),
    name,
    h("div", { class: "row" }, share, truth),
    h("div", { class: "meter", role: "presentation" }, sure),
    h("div", {}, h("div", { class: "band" }, band), h("div", { class: "scale" }, h("span", {}, "5 min ago"), h("span", {}, "now")), legend),
  );
  const probabilities = h("section", { class: "card", "aria-label": "Probabilities" }, h("h2", {}, "Probabilities"), bars);
  const pictures = h("div", { class: "stack" });
  const seen = h("section", { class: "stack", "aria-label": "Sensors" }, pictures, grid);
  const layout = h("div", { class: "live" }, h("div", { class: "stack" }, now, probabilities), seen);
  const alarms = standingAlarms();
  const unread = h("p", { class: "chip bad plain wrap", id: "unread", role: "alert", hidden: true });
  const trouble = h("p", { class: "chip bad plain wrap", id: "trouble", role: "alert", hidden: true });
  const nothing = h(
    "div",
    { class: "card empty", hidden: true },
    h("h1", {}, "No sensors are running"),
    h("p", {}, "This server shows recordings only. To see a rig live, start it with its sensors:"),
    h("code", {}, "cosmo-runtime web --sensors imu,depth,radar"),
    h("p", {}, "Without hardware, add --emulate person."),
  );
  main.append(h("h1", { class: "skip" }, "Live"), h("div", { class: "stack" }, alarms.element, unread, trouble, layout, nothing));

  let cards = {};
  let barOf = {};
  let told = null;
  let stopped = false;

  const setRun = (run) => {
    nothing.hidden = true;
    layout.hidden = false;
    source.textContent = run.title;
    cards = {};
    pictures.replaceChildren();
    grid.replaceChildren();
    for (const [sensor, { kind, device }] of Object.entries(run.sensors)) {
      cards[sensor] = card(sensor, kind, device);
      (kind === "depth" ? pictures : grid).append(cards[sensor].element);
    }
    barOf = {};
    bars.replaceChildren();
    for (const activity of run.activities) addBar(activity);
  };

  const addBar = (activity) => {
    const fill = h("span", {});
    fill.style.background = activityColour(activity);
    const label = h("span", {}, activity);
    const value = h("span", { class: "share" });
    barOf[activity] = { fill, label, value };
    bars.append(label, h("div", { class: "meter" }, fill), value);
  };

  const setPrediction = (prediction) => {
    told = prediction;
    const uncertain = prediction.activity === "uncertain";
    name.className = uncertain ? "activity uncertain" : "activity";
    if (name.textContent !== prediction.activity) name.textContent = prediction.activity;
    const guess = Object.entries(prediction.probabilities).sort((a, b) => b[1] - a[1])[0][0];
    share.textContent = `${percent(prediction.confidence)} sure`;
    if (uncertain) share.textContent = `perhaps ${guess}, ${percent(prediction.confidence)}`;
    truth.textContent = prediction.truth ? `truth: ${prediction.truth}` : "";
    sure.style.width = `${prediction.confidence * 100}%`;
    sure.style.background = uncertain ? colour("warn") : activityColour(prediction.activity);
    bundle.textContent = prediction.bundle;
    latency.textContent = `${prediction.latency_ms.toFixed(1)} ms`;
    for (const [activity, value] of Object.entries(prediction.probabilities)) {
      if (!barOf[activity]) addBar(activity);
      barOf[activity].fill.style.width = `${value * 100}%`;
      barOf[activity].value.textContent = percent(value);
      barOf[activity].label.className = activity === prediction.activity ? "top" : "";
    }
    for (const [sensor, weight] of Object.entries(prediction.weights)) cards[sensor]?.setTrust(weight);
    drawBand();
    requestAnimationFrame(() => {
      document.documentElement.dataset.shown = String(Date.now() - prediction.end_ms);
    });
  };

  const drawBand = () => {
    const { context, width, height } = sharp(band);
    context.clearRect(0, 0, width, height);
    const end = Math.max(Date.now(), past.length ? past[past.length - 1].end_ms : 0);
    const x = (ms) => width - ((end - ms) / (BAND_S * 1000)) * width;
    const names = new Set();
    for (const [at, { end_ms, activity, confidence }] of past.entries()) {
      const begin = at && end_ms - past[at - 1].end_ms < 3000 ? past[at - 1].end_ms : end_ms - 500;
      context.globalAlpha = 0.35 + 0.65 * confidence;
      context.fillStyle = activityColour(activity);
      context.fillRect(x(begin), 0, Math.max(1, x(end_ms) - x(begin)) + 0.5, height);
      names.add(activity);
    }
    context.globalAlpha = 1;
    const shown = [...names].join("\n");
    if (legend.dataset.names !== shown) {
      legend.dataset.names = shown;
      legend.replaceChildren(
        ...[...names].map((activity) => {
          const dot = h("i", { class: "dot" });
          dot.style.background = activityColour(activity);
          return h("span", {}, dot, activity);
        }),
      );
    }
  };

  const offs = [
    alarms.leave,
    on("alarms", ({ problem }) => {
      unread.hidden = !problem;
      unread.textContent = `Nobody can tell here which alarms stand: ${problem}`;
    }),
    on("run", setRun),
    on("history", () => drawBand()),
    on("prediction", setPrediction),
    on("silence", ({ reason }) => {
      if (told && Date.now() - told.end_ms < 2000) return;
      name.className = "activity silent";
      name.textContent = reason;
      share.textContent = "nothing is recognised";
      sure.style.width = "0";
    }),
    on("sensors", ({ sensors, troubles }) => {
      trouble.hidden = troubles.length === 0;
      if (trouble.textContent !== troubles.join("; ")) trouble.textContent = troubles.join("; ");
      for (const [sensor, state] of Object.entries(sensors)) cards[sensor]?.setState(state);
    }),
    on("imu", (message) => cards[message.sensor]?.add(message)),
    on("depth", (message) => cards[message.sensor]?.add(message)),
    on("radar", (message) => cards[message.sensor]?.add(message)),
    on("connection", ({ open }) => {
      layout.classList.toggle("stale", !open);
      if (open) return;
      name.className = "activity silent";
      name.textContent = "The server does not answer.";
    }),
  ];
  const waiting = setTimeout(() => {
    if (Object.keys(cards).length === 0) {
      nothing.hidden = false;
      layout.hidden = true;
    }
  }, 800);
  now.querySelector(".row.small").append(h("span", {}, "latency ", latency));
  window.addEventListener("resize", drawBand);
  const frame = () => {
    if (stopped) return;
    for (const one of Object.values(cards)) one.draw();
    setTimeout(() => requestAnimationFrame(frame), 60);
  };
  frame();
  return () => {
    stopped = true;
    clearTimeout(waiting);
    window.removeEventListener("resize", drawBand);
    for (const off of offs) off();
  };
}

/** A card for one sensor: its state, its picture, its figures. */
function card(sensor, kind, device) {
  const state = h("span", { class: "chip warn" }, "waiting");
  const [rate, lost, trust] = [h("dd", {}, "–"), h("dd", {}, "0"), h("dd", {}, "–")];
  const step = h("span", { class: "step chip plain" });
  const views = { imu: imuView, depth: depthView, radar: radarView }[kind]?.() ?? plainView();
  const element = h(
    "article",
    { class: "card sensor", "aria-label": `Sensor ${sensor}`, "data-sensor": sensor },
    h("div", { class: "row" }, h("h3", {}, sensor), state, step, h("span", { class: "soft small push", title: device }, kind === sensor ? "" : kind)),
    h("div", { class: "body" }, views.element),
    h("dl", { class: "facts" }, h("dt", {}, "rate"), rate, h("dt", {}, "lost"), lost, h("dt", {}, "trust"), trust),
  );
  element.querySelector(".body").style.margin = "10px 0 0";
  return {
    element,
    add: views.add,
    draw: views.draw,
    setTrust: (weight) => (trust.textContent = percent(weight)),
    setState: ({ state: now, rate_hz, losses, behind_ms, corrected_ms }) => {
      const shown = { ok: "good", asleep: "plain", lost: "bad" }[now] ?? "warn";
      state.className = `chip ${shown}`;
      state.textContent = now;
      step.className = `step chip ${behind_ms ? "warn" : "plain"}`;
      step.textContent = stepWords(behind_ms, corrected_ms);
      step.title = "Sensors in step: docs/sync.md";
      element.classList.toggle("lost", now === "lost");
      rate.textContent = `${Math.round(now === "lost" ? 0 : rate_hz)} Hz`;
      lost.textContent = String(losses.lost_samples ?? 0);
      lost.title = Object.entries(losses).map(([what, count]) => `${what.replaceAll("_", " ")}: ${count}`).join("\n");
      if (now === "lost") trust.textContent = percent(0);
    },
  };
}

/** How far a sensor is out of step, or was put in step; nothing for one that always was. */
function stepWords(behindMs, correctedMs) {
  if (behindMs) return `${Math.round(Math.abs(behindMs))} ms ${behindMs > 0 ? "behind" : "ahead"}`;
  return correctedMs ? `put in step by ${Math.round(correctedMs)} ms` : "";
}

function depthView() {
  const canvas = h("canvas", { role: "img", "aria-label": "Depth picture, near is bright" });
  canvas.style.imageRendering = "auto";
  canvas.style.aspectRatio = "16 / 9";
  canvas.style.objectFit = "contain";
  let fresh = null;
  return {
    element: h("div", { class: "screen" }, canvas),
    add: (message) => (fresh = message),
    draw: () => {
      if (!fresh) return;
      canvas.style.aspectRatio = `${fresh.columns} / ${fresh.rows}`;
      drawDepth(canvas, fresh);
      canvas.dataset.pictures = String(Number(canvas.dataset.pictures ?? 0) + 1);
      fresh = null;
    },
  };
}

function radarView() {
  const above = h("canvas", { role: "img", "aria-label": "Radar points from above" });
  const side = h("canvas", { role: "img", "aria-label": "Radar points from the side" });
  let points = new Float32Array();
  let fresh = true;
  const figure = (canvas, caption) => h("figure", {}, h("div", { class: "screen" }, canvas), h("figcaption", {}, caption));
  return {
    element: h("div", { class: "views" }, figure(above, "from above"), figure(side, "from the side")),
    add: (message) => {
      points = floats(message.bytes);
      fresh = true;
    },
    draw: () => {
      if (!fresh || !above.isConnected) return;
      drawRadar(above, points, "above");
      drawRadar(side, points, "side");
      fresh = false;
    },
  };
}

function imuView() {
  const canvas = h("canvas", { role: "img", "aria-label": "Acceleration and angular rate of the last seconds" });
  const rows = [];
  let fresh = true;
  return {
    element: h("figure", {}, h("div", { class: "screen" }, canvas), h("figcaption", {}, "acceleration, angular rate: ", ...["x ", "y ", "z"].map((axis, i) => {
      const dot = h("i", { class: "dot" });
      dot.style.background = AXES[i];
      return h("span", {}, dot, axis);
    }))),
    add: (message) => {
      rows.push(...floats(message.bytes));
      const since = rows[rows.length - 7] - TRACE_S * 1000;
      let old = 0;
      while (old < rows.length && (rows[old] < since || rows[old] > rows[rows.length - 7])) old += 7;
      rows.splice(0, old);
      fresh = true;
    },
    draw: () => {
      if (!fresh || !canvas.isConnected) return;
      fresh = false;
      const { context, width, height } = sharp(canvas, 150);
      context.fillStyle = colour("screen");
      context.fillRect(0, 0, width, height);
      if (!rows.length) return;
      const end = rows[rows.length - 7];
      const times = { begin: end - TRACE_S * 1000, end, left: 0, width };
      for (const [top, first, usual] of [[2, 1, 3 * GRAVITY], [height / 2 + 2, 4, 8]]) {
        const reach = reachOf(rows, { ...times, first, usual });
        drawTraces(context, rows, { ...times, top, height: height / 2 - 4, first, reach });
      }
    },
  };
}

function plainView() {
  return { element: h("p", { class: "soft small" }, "This kind of sensor has no picture here."), add: () => {}, draw: () => {} };
}

