// Beside the time line: label files of other tools, proposals of the model, and what each key does.

import { attempt, counted, h, notice } from "./dom.js";
import { SHORTEST_S } from "./editor.js";
import { post, postBytes } from "./server.js";

/** Buttons that fetch proposals, take files in and give files out. `tell` is told what came of them, unless `locked`. */
export function fileTools(path, { locked, ...tell }) {
  const file = h("input", {
    type: "file",
    hidden: true,
    "aria-label": "Label file",
    onchange: async () => {
      const [chosen] = file.files;
      file.value = "";
      const taken = chosen && (await attempt(() => postBytes(`${path}/labels/import`, chosen)));
      if (!taken) return;
      const count = tell.taken(taken.labels);
      const short = taken.short + taken.labels.length - count;
      const left = [taken.outside && `${taken.outside} outside the recording`, short && `${short} shorter than ${SHORTEST_S} s`].filter(Boolean);
      notice(`${counted(count, "label")} taken over${left.length ? `, ${left.join(" and ")} left out` : ""}.`);
    },
  });
  const propose = h("button", {
    id: "propose",
    disabled: locked,
    onclick: async () => {
      propose.disabled = true;
      propose.textContent = "The model is looking …";
      const proposed = await attempt(() => post(`${path}/labels/propose`));
      propose.disabled = false;
      propose.textContent = "Propose labels";
      if (!proposed) return;
      tell.proposed(proposed.labels);
      acceptAll.hidden = !proposed.labels.length;
      notice(`${counted(proposed.labels.length, "stretch", "stretches")} proposed. Click one, or press Enter at it, to take it over.`);
    },
  }, "Propose labels");
  const acceptAll = h("button", {
    hidden: true,
    onclick: () => {
      tell.acceptKnown();
      acceptAll.hidden = true;
    },
  }, "Take all");
  const give = h("select", { "aria-label": "Export", onchange: () => {
    if (give.value) location.assign(`${path}/labels/export/${give.value}`);
    give.value = "";
  } }, h("option", { value: "" }, "Export …"), ...[["audacity", "Audacity label track"], ["elan", "ELAN (.eaf)"], ["label-studio", "Label Studio JSON"]].map(([value, text]) => h("option", { value }, text)));
  return [propose, acceptAll, file, h("button", { disabled: locked, onclick: () => file.click() }, "Import"), give];
}

/** What each key does. */
export function keyHelp() {
  return h("details", { class: "card small" }, h("summary", {}, "Keys"), h("div", { class: "keys" }, ...[
    ["space", "play, pause"], ["← →", "a tenth of a second; with shift a second"], [", .", "a picture back, on"], ["[ ]", "slower, faster"],
    ["+ − g", "zoom in, out, all of it (or the mouse wheel)"], ["1 2 … q w …", "the activity: held while it plays, or pressed at its start and its end"], ["/", "name another activity"],
    ["k", "mark from here; then move and press an activity"], ["j l", "choose the label before, after"], ["a s", "move its start back, on"], ["d f", "move its end back, on"],
    ["delete", "remove it"], ["esc", "choose nothing"], ["enter", "take over the proposal here"], ["ctrl z, ctrl y", "undo, redo"],
  ].map(([key, what]) => h("div", {}, h("kbd", {}, key), " ", what))));
}
