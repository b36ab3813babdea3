// The activities that labels may have, each with a key.

import { h } from "./dom.js";
import { activityColour } from "./draw.js";

const KEYS = "1234567890qwertyuiopzxcvbnmQWERTYUIOPZXCVBNM"; // the last ones with shift

export class Palette {
  /** `chosen` is told which activity was clicked, `named` that another one has got a name. */
  constructor(activities, { chosen, named }) {
    this.chosen = chosen;
    this.activities = [];
    this.other = h("input", { type: "text", placeholder: "another activity", "aria-label": "Name of another activity", size: 14, id: "new-activity" });
    const name = (event) => {
      event.preventDefault();
      const activity = this.other.value.normalize("NFC").trim().replace(/\s+/g, " ");
      if (!activity || activity.toLowerCase() === "uncertain") return;
      this.add(activity);
      this.other.value = "";
      named();
    };
    const form = h("form", { class: "row", onsubmit: name }, this.other, h("button", {}, "Add"));
    this.element = h("div", { class: "palette", role: "group", "aria-label": "Activities" }, form);
    for (const activity of activities) this.add(activity);
  }

  /** Adds an activity that is not there yet. `uncertain` is none: a person is to say what that was. */
  add(activity) {
    if (activity === "uncertain" || this.activities.includes(activity)) return;
    this.activities.push(activity);
    const key = KEYS[this.activities.length - 1];
    const dot = h("i", { class: "dot" });
    dot.style.background = activityColour(activity);
    const button = h("button", { "data-activity": activity, onclick: () => this.chosen(activity) }, dot, activity, key ? h("kbd", {}, key) : null);
    this.element.insertBefore(button, this.element.lastChild);
  }

  /** The activity of a key, if it has one. */
  of(key) {
    return this.activities[KEYS.indexOf(key)];
  }
}
