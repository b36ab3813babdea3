// The alarms that nobody has acknowledged, on whichever day they were raised.

import { attempt, dateText, h, notice } from "./dom.js";
import { on, post } from "./server.js";

/** A card with the alarms that stand, hidden while none does. Returns it, and how to stop. */
export function standingAlarms() {
  const rows = new Map(); // a row stays where it is while its alarm stands, so that nobody misses its button
  const list = h("div", { class: "stack", role: "alert" });
  const element = h("section", { class: "card stack alarms", "aria-label": "Standing alarms", hidden: true }, h("h2", {}, "Alarms"), list);
  const leave = on("alarms", ({ standing }) => {
    const told = new Map(standing.map((alarm) => [`${alarm.name} ${alarm.number - alarm.times}`, alarm]));
    for (const [key, { element: old }] of rows) {
      if (told.has(key)) continue;
      old.remove();
      rows.delete(key);
    }
    for (const [key, alarm] of told) {
      if (!rows.has(key)) {
        rows.set(key, row(alarm));
        list.append(rows.get(key).element);
      }
      rows.get(key).setState(alarm);
    }
    element.hidden = !standing.length;
  });
  return { element, leave };
}

function row({ name, activity }) {
  const began = h("span", { class: "number" });
  const often = h("strong", { class: "number" });
  const hush = h("span", { class: "chip plain" }, "quiet");
  const state = h("span", {});
  let shown = 0;
  const acknowledge = h("button", { class: "push", "aria-label": `Acknowledge ${name}`, onclick: async () => {
    acknowledge.disabled = true;
    if (await attempt(() => post("/api/alarms/acknowledge", { name, number: shown }))) notice("The run is told that somebody has seen to it.");
    else acknowledge.disabled = false;
  } }, "Acknowledge");
  return {
    element: h("div", { class: "row", "data-alarm": name }, h("strong", {}, name), activity === name ? null : h("span", {}, activity), began, often, hush, state, acknowledge),
    setState: ({ since, latest, times, number, lasts, quiet }) => {
      if (number > shown) acknowledge.disabled = false; // it was raised again, which nobody has seen to
      shown = number;
      hush.hidden = !quiet;
      setText(began, `began ${momentText(since)}`);
      often.hidden = times < 2;
      setText(often, times > 1 ? `${times} times, last ${momentText(latest)}` : "");
      const [shade, text] = lasts === null ? ["plain", "no run watches now"] : lasts ? ["bad", "goes on"] : ["warn", "over"];
      state.className = `chip ${shade}`;
      setText(state, text);
    },
  };
}

const momentText = (since) => `${dateText(since.slice(0, 10), { day: "numeric", month: "short" })}, ${since.slice(11, 16)}`;

/** Screen readers speak what changes, so nothing is written that stands there already. */
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
