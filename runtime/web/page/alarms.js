// The alarms that nobody has acknowledged, on whichever day they were raised.

import { attempt, dateText, h, notice } from "./dom.js";
import { on, post } from "./server.js";

/** A card with the alarms that stand, hidden while none does. Returns it, and how to stop. */
export function standingAlarms() {
  const rows = new Map(); // a row stays where it is while its alarm stands, so that nobody misses its button
  const list = h("div", { class: "stack", role: "alert" });
  const element = h("section", { class: "card stack alarms", "aria-label": "Standing alarms", hidden: true }, h("h2", {}, "Alarms"), list);
  const leave = on("alarms", ({ standing }) => {
    const told = new Map(standing.map((alarm) => [`${alarm.name} ${alarm.since}`, alarm]));
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

function row({ name, activity, since }) {
  const state = h("span", {});
  const acknowledge = h("button", { class: "push", "aria-label": `Acknowledge ${name}`, onclick: async () => {
    acknowledge.disabled = true;
    if (await attempt(() => post("/api/alarms/acknowledge", { name }))) notice("The run is told that somebody has seen to it.");
    else acknowledge.disabled = false;
  } }, "Acknowledge");
  const began = `began ${dateText(since.slice(0, 10), { day: "numeric", month: "short" })}, ${since.slice(11, 16)}`;
  return {
    element: h("div", { class: "row", "data-alarm": name }, h("strong", {}, name), activity === name ? null : h("span", {}, activity), h("span", { class: "number" }, began), state, acknowledge),
    setState: ({ lasts }) => {
      const [shade, text] = lasts === null ? ["plain", "no run watches now"] : lasts ? ["bad", "goes on"] : ["warn", "over"];
      state.className = `chip ${shade}`;
      if (state.textContent !== text) state.textContent = text;
    },
  };
}
