// What was done on a day, and how long on the days before.

import { attempt, h, notice, sharp } from "./dom.js";
import { activityColour } from "./draw.js";
import { get, on, post } from "./server.js";

export const title = "Days";

const IDLE = "not running";
const AGAIN_MS = 30_000;

export async function show(main) {
  let day = null;
  let told = null;
  const heading = h("strong", { class: "number", id: "day" });
  const problem = h("div", { class: "card empty", hidden: true });
  const source = h("p", { class: "soft small", hidden: true }, "Read from predictions, since no log was kept. A run with --home keeps one, and raises alarms.");
  const canvas = h("canvas", { role: "img", "aria-label": "What was done, from midnight to midnight" });
  const under = h("p", { class: "soft small", "aria-live": "polite" }, "Point at the line to see what was done when.");
  const sums = h("div", {});
  const week = h("div", { class: "week" });
  const alarms = h("section", { class: "card", "aria-label": "Alarms" });
  const line = h("section", { class: "card", "aria-label": "Time line" }, canvas, under);

  const move = (by) => {
    const at = new Date(`${day}T12:00`);
    at.setDate(at.getDate() + by);
    day = [at.getFullYear(), at.getMonth() + 1, at.getDate()].map((part) => String(part).padStart(2, "0")).join("-");
    attempt(refresh);
  };

  const refresh = async () => {
    told = await get(`/api/days${day ? `?day=${day}` : ""}`);
    day = told.day;
    heading.textContent = new Date(`${day}T12:00`).toLocaleDateString(undefined, { weekday: "long", day: "numeric", month: "long", year: "numeric" });
    const nothing = !Object.keys(told.minutes).length;
    source.hidden = nothing || !told.predicted;
    problem.hidden = !nothing;
    problem.replaceChildren(
      h("h3", {}, told.problem ? "No log is kept yet" : "Nothing was kept on these days"),
      h("p", {}, "A run keeps what was done, from when to when, if it is started with --home:"),
      h("code", {}, "cosmo-runtime web --sensors imu,depth,radar --home"),
    );
    for (const part of [line, grid]) part.hidden = nothing;
    draw();
    fillSums();
    fillWeek();
    alarms.hidden = !told.alarms.length;
    alarms.replaceChildren(h("h2", {}, "Alarms"), ...told.alarms.map(({ at_ms, name, state }) =>
      h("div", { class: "row shelved" }, h("strong", {}, name), h("span", { class: "number" }, new Date(at_ms).toLocaleTimeString()), h("span", { class: `chip ${state === "raised" ? "bad" : "plain"}` }, state ?? ""), h("button", { class: "push", onclick: () => attempt(async () => {
        await post("/api/days/acknowledge", { name });
        notice("The run is told that you have seen it.");
      }) }, "Seen"))));
  };

  const draw = () => {
    if (!told || line.hidden) return;
    const { context, width, height } = sharp(canvas, 110);
    const css = getComputedStyle(document.documentElement);
    const x = (ms) => ((ms - told.start_ms) / (told.end_ms - told.start_ms)) * width;
    context.clearRect(0, 0, width, height);
    context.fillStyle = css.getPropertyValue("--faint");
    context.beginPath();
    context.roundRect(0, 0, width, height - 24, 8);
    context.fill();
    for (const [start, end, activity] of told.episodes) {
      context.fillStyle = activityColour(activity);
      context.fillRect(x(start), 0, Math.max(1, x(end) - x(start)), height - 24);
    }
    context.fillStyle = css.getPropertyValue("--bad");
    for (const { at_ms } of told.alarms) context.fillRect(x(at_ms) - 1, 0, 3, height - 18);
    context.fillStyle = css.getPropertyValue("--soft");
    context.font = "11px system-ui, sans-serif";
    const step = width < 500 ? 6 : width < 900 ? 3 : 1;
    for (let hour = 0; hour < 24; hour += step) {
      const at = x(told.start_ms + hour * 3600e3);
      context.fillRect(at, height - 24, 1, 5);
      context.fillText(`${hour}:00`, at + 3, height - 8);
    }
  };

  canvas.addEventListener("pointermove", (event) => {
    const box = canvas.getBoundingClientRect();
    const ms = told.start_ms + ((event.clientX - box.left) / box.width) * (told.end_ms - told.start_ms);
    const found = told.episodes.find(([start, end]) => start <= ms && ms < end);
    const time = (at) => new Date(at).toLocaleTimeString();
    under.textContent = found ? `${found[2]}, ${time(found[0])} to ${time(found[1])}` : `${time(ms)}: nothing ran`;
  });

  const duration = (minutes) => (minutes >= 60 ? `${Math.floor(minutes / 60)} h ${Math.round(minutes % 60)} min` : minutes >= 1 ? `${Math.round(minutes)} min` : `${Math.round(minutes * 60)} s`);

  const fillSums = () => {
    const found = Object.entries(told.minutes[day] ?? {}).filter(([activity]) => activity !== IDLE);
    const most = Math.max(1e-9, ...found.map(([, minutes]) => minutes));
    sums.replaceChildren(h("h2", {}, "How long"), h("div", { class: "bars" }, ...found.flatMap(([activity, minutes]) => {
      const fill = h("span", {});
      fill.style.width = `${(minutes / most) * 100}%`;
      fill.style.background = activityColour(activity);
      return [h("span", {}, activity), h("div", { class: "meter" }, fill), h("span", { class: "share" }, duration(minutes))];
    })));
  };

  const fillWeek = () => {
    const days = [];
    for (let back = 6; back >= 0; back -= 1) {
      const at = new Date(`${day}T12:00`);
      at.setDate(at.getDate() - back);
      days.push([at, [at.getFullYear(), at.getMonth() + 1, at.getDate()].map((part) => String(part).padStart(2, "0")).join("-")]);
    }
    const sum = (counts) => Object.entries(counts ?? {}).reduce((all, [activity, minutes]) => all + (activity === IDLE ? 0 : minutes), 0);
    const most = Math.max(1e-9, ...days.map(([, name]) => sum(told.minutes[name])));
    week.replaceChildren(...days.map(([at, name]) => {
      const parts = Object.entries(told.minutes[name] ?? {}).filter(([activity]) => activity !== IDLE).map(([activity, minutes]) => {
        const part = h("i", { title: `${activity}: ${duration(minutes)}` });
        part.style.height = `${(minutes / most) * 100}%`;
        part.style.background = activityColour(activity);
        return part;
      });
      return h("button", { class: "column quiet", "aria-label": `${at.toLocaleDateString()}, ${duration(sum(told.minutes[name]))}`, onclick: () => {
        day = name;
        attempt(refresh);
      } }, h("span", { class: "pile" }, ...parts), h("span", { class: "small" }, at.toLocaleDateString(undefined, { weekday: "short" })));
    }));
  };

  const grid = h("div", { class: "teach" }, h("section", { class: "card", "aria-label": "Durations" }, sums), h("section", { class: "card", "aria-label": "Week" }, h("h2", {}, "Seven days"), week));
  main.append(h("div", { class: "stack" },
    h("div", { class: "row" }, h("h1", {}, "Days"), h("span", { class: "row push nowrap" }, h("button", { "aria-label": "The day before", onclick: () => move(-1) }, "←"), heading, h("button", { "aria-label": "The day after", onclick: () => move(1) }, "→"))),
    problem, line, source, grid, alarms));
  await refresh();
  const timer = setInterval(() => refresh().catch(() => {}), AGAIN_MS);
  const off = on("connection", ({ open, again }) => open && again && attempt(refresh));
  window.addEventListener("resize", draw);
  return () => {
    clearInterval(timer);
    off();
    window.removeEventListener("resize", draw);
  };
}
