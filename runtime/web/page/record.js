// Making a recording, free or prompted. What to do is shown so large that it can be read from three metres, and spoken.

import { attempt, bytes, clock, counted, h, notice } from "./dom.js";
import { activityColour, inkOn } from "./draw.js";
import { on, post } from "./server.js";

const EXAMPLE = "wave, 5, 4\nsit down, 5, 4\nwalk, 8, 4\nnone, 10, 4\n";
const KEYS = { r: "repeat", s: "skip", p: "pause", e: "end" };

/** Asks what is to be recorded, and begins. */
export function recordForm() {
  const stamp = new Date();
  const two = (value) => String(value).padStart(2, "0");
  const name = `session ${stamp.getFullYear()}-${two(stamp.getMonth() + 1)}-${two(stamp.getDate())} ${two(stamp.getHours())}.${two(stamp.getMinutes())}`;
  const list = h("textarea", { name: "prompt", "aria-label": "activities", spellcheck: "false" });
  list.value = localStorage.getItem("prompt") ?? EXAMPLE;
  const prompted = h("input", { type: "checkbox", name: "prompted", checked: true, onchange: () => (more.hidden = !prompted.checked) });
  const more = h(
    "div",
    { class: "stack" },
    h("label", { class: "field" }, "An activity a line: name, seconds, times. `none` means doing nothing in particular.", list),
    h("label", { class: "field" }, "rest before each, in seconds", h("input", { type: "number", name: "rest_s", min: 1, max: 600, value: 5 })),
  );
  const form = h(
    "form",
    { method: "dialog", class: "stack" },
    h("h3", {}, "New recording"),
    h("label", { class: "field" }, "name", h("input", { type: "text", name: "name", value: name, required: true })),
    h("label", { class: "field" }, "who is recorded (optional)", h("input", { type: "text", name: "participant", autocomplete: "off" })),
    h("label", { class: "field" }, "keep it for", h("select", { name: "expires" }, ...[["30d", "30 days"], ["7d", "a week"], ["1d", "a day"], ["", "as long as I want"]].map(([value, text]) => h("option", { value }, text)))),
    h("label", { class: "row" }, prompted, "prompt me through activities, and label them"),
    more,
    h("div", { class: "row" }, h("button", { type: "button", class: "push", onclick: () => dialog.close() }, "Cancel"), h("button", { class: "main", value: "ok" }, "Begin")),
  );
  const dialog = h("dialog", { "aria-label": "New recording" }, form);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const values = Object.fromEntries(new FormData(form));
    const asked = { name: values.name.trim(), participant: values.participant.trim(), expires: values.expires };
    if (prompted.checked) {
      localStorage.setItem("prompt", list.value);
      Object.assign(asked, { prompt: list.value, rest_s: Number(values.rest_s) });
    }
    if (await attempt(() => post("/api/record", asked))) dialog.close();
  });
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

/** What is being recorded at present, and what a person is to do. */
export function recordingPanel() {
  const what = h("strong", {});
  const length = h("span", { class: "number" });
  const stop = h("button", { class: "main", id: "stop-recording", onclick: () => attempt(() => post("/api/record/stop")) }, "End the recording");
  const activity = h("div", { class: "cue-name", "aria-live": "assertive" });
  const seconds = h("div", { class: "cue-seconds number" });
  const place = h("span", {});
  const next = h("span", {});
  const keys = h(
    "div",
    { class: "row" },
    ...Object.entries(KEYS).map(([key, word]) => h("button", { onclick: () => say(word), "data-word": word }, word, " ", h("kbd", {}, key))),
    h("label", { class: "row push" }, h("input", { type: "checkbox", checked: true, id: "speak" }), "speak"),
  );
  const cueBox = h("div", { class: "cue", hidden: true }, h("div", { class: "row" }, place, h("span", { class: "push" }, next)), activity, seconds);
  const element = h("section", { class: "card recording", hidden: true, "aria-label": "Recording" }, h("div", { class: "row" }, h("span", { class: "chip bad" }, "recording"), what, length, h("span", { class: "push" }, stop)), cueBox, keys);
  let last = null;
  let running = null;

  const say = (word) => attempt(() => post("/api/record/cue", { word }));
  const pressed = (event) => {
    if (element.hidden || keys.hidden || event.ctrlKey || event.metaKey || event.target.closest("input, textarea, select, dialog")) return;
    const word = KEYS[event.key] ?? (event.key === " " && event.target === document.body ? "pause" : undefined);
    if (!word) return;
    event.preventDefault();
    say(word);
  };
  document.addEventListener("keydown", pressed);

  const showCue = (cue) => {
    cueBox.hidden = !cue;
    if (!cue) return;
    cueBox.className = `cue ${cue.paused ? "paused" : cue.doing ? "doing" : ""}`;
    cueBox.style.setProperty("--cue", activityColour(cue.activity));
    cueBox.style.setProperty("--cue-ink", inkOn(activityColour(cue.activity)));
    activity.textContent = cue.activity;
    seconds.textContent = cue.paused ? "pause" : String(Math.ceil(cue.left_s));
    place.textContent = `${cue.number} of ${cue.total}${cue.paused ? "" : cue.doing ? ", now" : ", get ready"}`;
    next.textContent = cue.after ? `then ${cue.after}` : "the last one";
    if (!last || last.number !== cue.number || (last.doing && !cue.doing)) speak(`Next: ${cue.activity}`);
    else if (cue.doing && !last.doing) speak(`${cue.activity}, now`);
    last = cue;
  };
  const off = on("recording", (told) => {
    if (told.error) notice(told.error, true);
    if (running && !told.name && told.kept) {
      const labels = told.labels ? `, with ${counted(told.labels, "label")}` : "";
      notice(told.prompted && !labels ? `${told.kept} is kept. No activity was completed, so it has no labels.` : `${told.kept} is kept${labels}.`);
      if (last) speak("That was all. Thank you.");
      last = null;
    }
    running = told.name;
    element.hidden = !told.name;
    if (!told.name) return;
    what.textContent = told.name;
    length.textContent = `${clock(told.seconds)} · ${bytes(told.size)}`;
    keys.hidden = !told.prompted;
    showCue(told.cue);
  });
  return {
    element,
    leave: () => {
      off();
      document.removeEventListener("keydown", pressed);
    },
  };
}

/** Speaks with a voice of this computer, so that no words go to another host. */
function speak(text) {
  if (!window.speechSynthesis || !document.getElementById("speak")?.checked) return;
  const voice = speechSynthesis.getVoices().find(({ localService, lang }) => localService && lang.startsWith("en"));
  if (!voice) return;
  const words = new SpeechSynthesisUtterance(text);
  words.voice = voice;
  speechSynthesis.cancel();
  speechSynthesis.speak(words);
}
