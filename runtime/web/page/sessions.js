// The recordings of the folder, and making new ones.

import { ask, attempt, bytes, clock, counted, h, notice } from "./dom.js";
import { activityColour } from "./draw.js";
import { get, on, post } from "./server.js";
import { recordForm, recordingPanel } from "./record.js";

export const title = "Sessions";

export async function show(main) {
  const list = h("div", { class: "stack", id: "recordings" });
  const where = h("div", { class: "soft small" });
  const begin = h("button", { class: "main", id: "new-recording", onclick: () => recordForm() }, "New recording");
  const panel = recordingPanel();
  main.append(
    h("div", { class: "stack" }, h("div", { class: "row" }, h("h1", {}, "Sessions"), h("span", { class: "push" }, begin)), panel.element, list, where),
  );
  const refresh = async () => {
    const { recordings, left_out, folder, can_record } = await get("/api/recordings");
    begin.hidden = !can_record;
    where.replaceChildren(`in ${folder}`, ...Object.entries(left_out).map(([file, why]) =>
      h("p", { class: "chip warn plain wrap", "data-left-out": file }, `${file} is not shown. ${why}`)));
    list.replaceChildren(...recordings.map(card));
    if (!recordings.length) {
      list.append(
        h(
          "div",
          { class: "card empty" },
          h("h3", {}, "No recordings yet"),
          h("p", {}, can_record ? "Record one: free, or prompted from a list of activities." : "Start cosmo-runtime web with --sensors to record, or put recordings into the folder."),
        ),
      );
    }
  };
  const offs = [
    on("recordings", () => attempt(refresh)),
    on("connection", ({ open, again }) => open && again && attempt(refresh)),
    on("recording", ({ name }) => (begin.disabled = Boolean(name))),
  ];
  await refresh();
  return () => {
    panel.leave();
    for (const off of offs) off();
  };
}

function card(entry) {
  const { name } = entry;
  const labels = Object.entries(entry.labels);
  const count = labels.reduce((sum, [, [times]]) => sum + times, 0);
  const path = `/api/recordings/${encodeURIComponent(name)}`;
  const rename = async () => {
    const values = await ask({
      title: `Rename ${name}`,
      body: [h("label", { class: "field" }, "new name", h("input", { type: "text", name: "to", value: name, required: true }))],
      action: "Rename",
    });
    if (values) await attempt(() => post(`${path}/rename`, { to: values.to.trim() }));
  };
  const remove = async () => {
    const body = [h("p", {}, "The recording, its labels, and the windows that training kept of it are deleted for good. Models that learned from it stay.")];
    if (await ask({ title: `Delete ${name}?`, body, action: "Delete", danger: true })) await attempt(() => post(`${path}/delete`));
  };
  const cut = async () => {
    const field = (label, key, value) => h("label", { class: "field" }, label, h("input", { type: "number", name: key, step: "any", min: 0, value, required: true }));
    const values = await ask({
      title: `Cut a piece out of ${name}`,
      body: [
        h("p", { class: "soft" }, "The piece becomes a recording of its own, with the labels in it. This one stays as it is."),
        h("div", { class: "row" }, field("from, in seconds", "start_s", 0), field("to", "end_s", entry.seconds)),
        h("label", { class: "field" }, "name", h("input", { type: "text", name: "to", value: `${name} piece`, required: true })),
      ],
      action: "Cut",
    });
    if (!values) return;
    const done = await attempt(() => post(`${path}/cut`, { to: values.to.trim(), start_s: Number(values.start_s), end_s: Number(values.end_s) }));
    if (done) notice(`${done.name} is there.`);
  };
  const chips = labels.map(([activity, [times, seconds]]) => {
    const dot = h("i", { class: "dot" });
    dot.style.background = activityColour(activity);
    return h("span", { title: `${seconds} s` }, dot, `${activity} ${times}×`);
  });
  const facts = [
    entry.participant && `of ${entry.participant}`,
    entry.began && new Date(entry.began).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" }),
    entry.seconds !== undefined && `${clock(entry.seconds)} long`,
    bytes(entry.size) + (entry.segments ? ` in ${entry.segments} segments` : ""),
    entry.sensors && Object.keys(entry.sensors).join(", "),
  ].filter(Boolean);
  return h(
    "article",
    { class: "card", "aria-label": `Recording ${name}`, "data-recording": name },
    h(
      "div",
      { class: "row" },
      h("h3", {}, name),
      entry.growing ? h("span", { class: "chip warn", title: "A run writes it at present. Reload to see what has come since." }, "being recorded") : entry.cut ? h("span", { class: "chip warn", title: "The run was killed, or the disk was full. What came before is there." }, "cut short") : null,
      entry.damaged?.length ? h("span", { class: "chip bad", title: `${entry.damaged.join(", ")}; nothing behind that is read` }, "damaged") : null,
      entry.expires ? h("span", { class: "chip plain" }, `expires ${new Date(entry.expires).toLocaleDateString()}`) : null,
      h("span", { class: "chip plain" }, count ? counted(count, "label") : "no labels"),
      entry.uncertain ? h("span", { class: "chip warn" }, `${entry.uncertain} uncertain`) : null,
      h(
        "span",
        { class: "row push" },
        entry.sensors ? h("a", { class: "button", href: `#/label/${encodeURIComponent(name)}` }, "Open and label") : null,
        h("button", { class: "quiet", onclick: rename }, "Rename"),
        entry.sensors ? h("button", { class: "quiet", onclick: cut }, "Cut") : null,
        h("button", { class: "quiet danger", onclick: remove }, "Delete"),
      ),
    ),
    h("p", { class: "soft small" }, facts.join(" · ")),
    chips.length ? h("div", { class: "legend" }, ...chips) : null,
    entry.problem ? h("p", { class: "chip bad plain wrap" }, entry.problem) : null,
  );
}
