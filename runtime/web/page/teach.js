// Teaching a model from labelled sessions, seeing what was gained, and putting it in use or not.

import { attempt, clock, counted, h, notice, percent } from "./dom.js";
import { activityColour } from "./draw.js";
import { get, on, post } from "./server.js";

export const title = "Teach";

const ENOUGH = 4; // examples of an activity: a third of them measures what was gained
const LEAST = 2;

export async function show(main) {
  const [{ recordings, left_out }, models] = await Promise.all([get("/api/recordings"), get("/api/models")]);
  const labelled = recordings.filter(({ labels }) => Object.keys(labels).length);
  const chosen = new Set();
  let known = models;
  let running = models.teaching;
  let seen = null; // the model that the live run answers with

  const counts = h("div", { id: "counts" });
  const begin = h("button", { class: "main", id: "teach", onclick: () => start() }, "Teach");
  const base = h("select", { id: "base", onchange: () => refresh() });
  const keep = h("input", { type: "checkbox", checked: true });
  const keepRow = h("label", { class: "row" }, keep, "keep the activities that it knows already");
  const shelf = h("div", { class: "stack", id: "models" });
  const job = h("section", { class: "card", hidden: true, "aria-label": "Progress", "aria-live": "polite" });
  const result = h("section", { class: "stack", id: "result" });

  const sessionRows = labelled.map((entry) => {
    const box = h("input", { type: "checkbox", value: entry.name, onchange: () => {
      if (box.checked) chosen.add(entry.name);
      else chosen.delete(entry.name);
      refresh();
    } });
    const sum = Object.values(entry.labels).reduce((all, [times]) => all + times, 0);
    return h("label", { class: "row", "data-session": entry.name }, box, h("strong", {}, entry.name), h("span", { class: "soft small" }, `${clock(entry.seconds)}, ${counted(sum, "label")} of ${counted(Object.keys(entry.labels).length, "activity", "activities")}${entry.uncertain ? `; ${entry.uncertain} uncertain, left out` : ""}`));
  });
  const bad = [...recordings.filter(({ problem }) => problem).map(({ name, problem }) => [name, problem]), ...Object.entries(left_out)];
  const badRows = bad.map(([name, why]) => h("p", { class: "chip bad plain wrap", "data-bad": name }, `${name} is not offered. ${why}`));

  const fillBases = () => {
    const before = base.value;
    base.replaceChildren(
      ...known.models.filter(({ damage }) => !damage).map(({ name, in_use }) => h("option", { value: name }, in_use ? `${name} (in use)` : name)),
      ...known.encoders.map((name) => h("option", { value: name }, `${name} (encoders from real people, no activities yet)`)),
    );
    base.value = before || known.models.find(({ in_use }) => in_use)?.name || known.encoders[0];
  };

  const refresh = () => {
    const sums = new Map();
    for (const { name, labels } of labelled) {
      if (!chosen.has(name)) continue;
      for (const [activity, [times, seconds]] of Object.entries(labels)) {
        const [t, s] = sums.get(activity) ?? [0, 0];
        sums.set(activity, [t + times, s + seconds]);
      }
    }
    const few = [...sums].filter(([, [times]]) => times < LEAST).map(([activity]) => activity);
    const isEncoder = known.encoders.includes(base.value);
    keepRow.hidden = isEncoder;
    begin.disabled = running || !known.can_teach || !sums.size || few.length > 0;
    const rows = [...sums].map(([activity, [times, seconds]]) => {
      const dot = h("i", { class: "dot" });
      dot.style.background = activityColour(activity);
      const [word, shade] = times < LEAST ? ["too few: two are needed", "bad"] : times < ENOUGH ? ["works; more are better", "warn"] : ["good", "good"];
      return h("tr", {}, h("td", {}, dot, activity), h("td", { class: "number" }, `${times}`), h("td", { class: "number" }, `${seconds.toFixed(1)} s`), h("td", {}, h("span", { class: `chip ${shade}` }, word)));
    });
    counts.replaceChildren(
      rows.length
        ? h("table", {}, h("thead", {}, h("tr", {}, h("th", {}, "activity"), h("th", { class: "number" }, "examples"), h("th", { class: "number" }, "in all"), h("th", {}, ""))), h("tbody", {}, ...rows))
        : h("p", { class: "soft" }, "Choose sessions to see what there is to learn."),
      sums.size && !sums.has("none") ? h("p", { class: "soft small" }, "No rests are labelled as none: the model will give every rest the name of an activity.") : "",
      known.can_teach ? "" : h("p", { class: "chip bad plain wrap" }, "Teaching needs the extra [train]: pip install 'cosmo-runtime[train]'"),
    );
  };

  const start = async () => {
    result.replaceChildren();
    await attempt(() => post("/api/teach", { sessions: [...chosen], base: base.value, keep: keep.checked }));
  };

  const use = async (name) => {
    if (await attempt(() => post("/api/models/use", { name }))) notice(`${name} is in use.`);
  };

  const fillShelf = () => {
    shelf.replaceChildren(
      ...known.models.map((model) =>
        h(
          "article",
          { class: "row shelved", "data-model": model.name },
          h("strong", {}, model.name),
          model.in_use ? h("span", { class: "chip good" }, "in use") : model.name === seen ? h("span", { class: "chip warn", title: "The live run answers with this one." }, "running now") : null,
          model.damage ? h("span", { class: "chip bad" }, "damaged") : h("span", { class: "soft small grow" }, `${model.activities.length} activities${model.base ? `, made of ${model.base}` : ""}`),
          model.in_use || model.damage ? null : h("button", { class: "push", onclick: () => use(model.name) }, "Use"),
        ),
      ),
      h("div", { class: "row" }, h("button", { id: "rollback", onclick: async () => {
        const back = await attempt(() => post("/api/models/rollback"));
        if (back) notice(`${back.name} is in use again.`);
      } }, "Back to the one before")),
    );
  };

  main.append(
    h("div", { class: "stack" },
      h("h1", {}, "Teach"),
      h("div", { class: "teach" },
        h("section", { class: "card stack", "aria-label": "Sessions" }, h("h2", {}, "1 · Sessions"), ...(sessionRows.length ? sessionRows : [h("p", { class: "soft" }, "No session has labels yet. Record one with prompts, or label one.")]), ...badRows, counts),
        h("div", { class: "stack" },
          h("section", { class: "card stack", "aria-label": "Start from" }, h("h2", {}, "2 · Start from"), base, keepRow, h("div", { class: "row" }, begin)),
          job,
          h("section", { class: "card stack", "aria-label": "Models" }, h("h2", {}, "Models on this machine"), shelf),
        ),
      ),
      result,
    ),
  );
  fillBases();
  fillShelf();
  for (const row of sessionRows.slice(0, 1)) row.querySelector("input").click();
  refresh();

  const offs = [
    on("teaching", (told) => {
      running = told.running;
      job.hidden = !told.running && !told.error;
      if (told.running) {
        const fill = h("span", {});
        fill.style.width = `${Math.round(told.share * 100)}%`;
        job.replaceChildren(
          h("div", { class: "row" }, h("strong", {}, told.step), h("span", { class: "number push" }, percent(told.share)), h("button", { onclick: () => attempt(() => post("/api/teach/stop")) }, "Stop")),
          h("div", { class: "meter", role: "progressbar", "aria-valuenow": Math.round(told.share * 100), "aria-valuemin": 0, "aria-valuemax": 100 }, fill),
        );
      } else if (told.error) job.replaceChildren(h("p", { class: "chip bad plain wrap" }, told.error));
      if (told.figures) result.replaceChildren(gain(told.figures, use));
      refresh();
    }),
    on("prediction", ({ bundle }) => {
      if (!bundle || bundle === seen) return;
      seen = bundle;
      fillShelf();
    }),
    on("models", async () => {
      known = await get("/api/models");
      fillBases();
      fillShelf();
      refresh();
    }),
  ];
  return () => offs.forEach((off) => off());
}

/** What was gained: by activity before and after, and what is taken for what. */
function gain(figures, use) {
  const { before, after, activities, confusion, losses, name } = figures;
  const share = (value) => (value === null || value === undefined ? "–" : percent(value));
  const when = { value: "after" };
  const matrix = h("div", {});
  const showMatrix = () => matrix.replaceChildren(confusionTable(confusion.activities, confusion[when.value]));
  const pick = h("select", { "aria-label": "Model", onchange: () => {
    when.value = pick.value;
    showMatrix();
  } }, h("option", { value: "after" }, "after"), confusion.before ? h("option", { value: "before" }, "before") : null);
  showMatrix();
  const bar = (value, shade) => {
    const fill = h("span", {});
    fill.style.width = `${(value ?? 0) * 100}%`;
    fill.style.background = shade;
    return h("div", { class: "meter" }, fill);
  };
  const rows = Object.entries(activities).map(([activity, figure]) => h("tr", {}, h("td", {}, activity), h("td", { class: "number" }, figure.windows), h("td", { class: "wide" }, bar(figure.before, "var(--soft)"), bar(figure.after, activityColour(activity))), h("td", { class: "number" }, share(figure.before)), h("td", { class: "number" }, h("strong", {}, share(figure.after)))));
  const verdict = losses.length
    ? h("p", { class: "chip warn plain wrap" }, losses.map((loss) => `It ${loss}.`).join(" "))
    : h("p", { class: "chip good plain wrap" }, "It does at least as well on examples that it has not learned from.");
  return h("section", { class: "card stack", "aria-label": "What was gained" },
    h("div", { class: "row" }, h("h3", {}, name), h("span", { class: "soft small" }, `${figures.seconds.toFixed(0)} s, ${figures.learned_windows} windows learned`), h("button", { class: "main push", id: "use-new", onclick: () => use(name) }, "Use this model")),
    h("div", { class: "row" }, h("div", { class: "big number" }, before ? percent(before.accuracy) : "–"), h("span", { class: "soft" }, "before"), h("div", { class: "big" }, "→"), h("div", { class: "big number", id: "after" }, percent(after.accuracy)), h("span", { class: "soft" }, `after, of ${after.windows} windows of the last examples`)),
    verdict,
    h("div", { class: "teach" },
      h("div", {}, h("table", {}, h("thead", {}, h("tr", {}, h("th", {}, "activity"), h("th", { class: "number" }, "windows"), h("th", {}, ""), h("th", { class: "number" }, "before"), h("th", { class: "number" }, "after"))), h("tbody", {}, ...rows))),
      h("div", { class: "stack" }, h("div", { class: "row" }, h("h2", {}, "What was taken for what"), pick), matrix),
    ),
  );
}

function confusionTable(names, counts) {
  const head = h("tr", {}, h("th", {}, "was \\ taken for"), ...names.map((name) => h("th", { class: "upright", scope: "col" }, h("span", {}, name))));
  const rows = counts.map((row, i) => [row.reduce((a, b) => a + b, 0), row, i]).filter(([sum]) => sum).map(([sum, row, i]) =>
    h("tr", {}, h("th", { scope: "row" }, names[i]), ...row.map((count, j) => {
      const cell = h("td", { class: "cell number", title: `${names[i]} taken for ${names[j]}: ${count} of ${sum}` }, count ? String(count) : "");
      const shade = Math.round((count / sum) * 85);
      if (count) cell.style.background = `color-mix(in srgb, ${i === j ? "var(--good)" : "var(--bad)"} ${shade}%, transparent)`;
      return cell;
    })),
  );
  return h("div", { class: "scroll" }, h("table", { class: "confusion" }, h("thead", {}, head), h("tbody", {}, ...rows)));
}

