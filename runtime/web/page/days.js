// What was done on a day, and how long on the days before.

import { standingAlarms } from "./alarms.js";
import { attempt, dateText, h, sharp } from "./dom.js";
import { activityColour } from "./draw.js";
import { get, on } from "./server.js";

export const title = "Days";

const IDLE = "not running";
const AGAIN_MS = 30_000;
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

/** How far the machine's clock is ahead of UTC at a moment of a day. The browser may be in another zone. */
function aheadOf(ahead_ms, ms) {
  const [, ahead] = ahead_ms.filter(([from]) => from <= ms).pop() ?? ahead_ms[0];
  return ahead;
}

/** A moment's time of day on the machine. */
export function timeOf({ ahead_ms }, ms) {
  return new Date(ms + aheadOf(ahead_ms, ms)).toLocaleTimeString(undefined, { timeZone: "UTC" });
}

/** The full hours that the machine's clock shows on a day, as [moment, hour]: 23 or 25 where it is set meanwhile. */
export function hoursOf({ ahead_ms, end_ms }) {
  return ahead_ms.flatMap(([from, ahead], number) => {
    const until = ahead_ms[number + 1]?.[0] ?? end_ms;
    const hours = [];
    for (let at = Math.ceil((from + ahead) / HOUR_MS) * HOUR_MS - ahead; at < until; at += HOUR_MS) hours.push([at, new Date(at + ahead).getUTCHours()]);
    return hours;
  });
}

/** The day so many days after one, as 2026-11-28. */
const dayAfter = (day, by) => new Date(Date.parse(day) + by * DAY_MS).toISOString().slice(0, 10);

export async function show(main) {
  let asked = null; // the day that is shown; none: today, whichever day that is
  let told = null;
  const heading = h("strong", { class: "number", id: "day" });
  const problem = h("div", { class: "card empty", hidden: true });
  const source = h("p", { class: "soft small", hidden: true });
  const zone = h("p", { class: "soft small", id: "zone", hidden: true });
  const canvas = h("canvas", { role: "img", "aria-label": "What was done, from midnight to midnight" });
  const under = h("p", { class: "soft small", "aria-live": "polite" }, "Point at the line to see what was done when.");
  const sums = h("div", {});
  const week = h("div", { class: "week" });
  const standing = standingAlarms();
  const alarms = h("section", { class: "card", "aria-label": "Alarms of the day" });
  const line = h("section", { class: "card", "aria-label": "Time line" }, canvas, under);

  const move = (by) => {
    asked = dayAfter(asked ?? told.day, by);
    attempt(refresh);
  };

  const refresh = async () => {
    const day = asked;
    const answer = await get(`/api/days${day ? `?day=${day}` : ""}`);
    if (day !== asked) return; // another one was asked for meanwhile
    told = answer;
    if (told.today) asked = null;
    heading.textContent = dateText(told.day, { weekday: "long", day: "numeric", month: "long", year: "numeric" });
    const nothing = !Object.keys(told.minutes).length;
    const why = told.problem ? "the log cannot be read" : "no log was kept";
    source.hidden = nothing || !told.predicted;
    source.textContent = `Read from predictions, since ${why}.${told.problem ? "" : " A run with --home keeps one, and raises alarms."}`;
    problem.hidden = !nothing && !told.problem;
    problem.replaceChildren(...(told.problem ? [h("h3", {}, "The log cannot be read"), h("p", {}, told.problem)] : [
      h("h3", {}, told.log ? "Nothing was kept on these days" : "No log is kept yet"),
      h("p", {}, "A run keeps what was done, from when to when, if it is started with --home. [episodes] of its configuration alone keeps nothing."),
      h("code", {}, "cosmo-runtime web --sensors imu,depth,radar --home"),
    ]));
    showZone();
    for (const part of [line, grid]) part.hidden = nothing;
    draw();
    fillSums();
    fillWeek();
    alarms.hidden = !told.alarms.length;
    alarms.replaceChildren(h("h2", {}, "Alarms of the day"), ...told.alarms.map(({ at_ms, name, state, quiet }) =>
      h("div", { class: "row shelved" }, h("strong", {}, name), h("span", { class: "number" }, timeOf(told, at_ms)), h("span", { class: "chip plain" }, `${state ?? ""}${quiet ? ", quiet" : ""}`))));
  };

  const showZone = () => {
    const last_ms = told.end_ms - 1;
    const ahead_min = aheadOf(told.ahead_ms, last_ms) / 60_000;
    zone.hidden = ahead_min === -new Date(last_ms).getTimezoneOffset();
    const parts = [Math.floor(Math.abs(ahead_min) / 60), Math.abs(ahead_min) % 60].map((part) => String(part).padStart(2, "0"));
    zone.textContent = `Times are those of the machine that runs this, UTC${ahead_min < 0 ? "−" : "+"}${parts.join(":")}.`;
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
    for (const [ms, hour] of hoursOf(told)) {
      if (hour % step) continue;
      const at = x(ms);
      context.fillRect(at, height - 24, 1, 5);
      context.fillText(`${hour}:00`, at + 3, height - 8);
    }
  };

  canvas.addEventListener("pointermove", (event) => {
    const box = canvas.getBoundingClientRect();
    const ms = told.start_ms + ((event.clientX - box.left) / box.width) * (told.end_ms - told.start_ms);
    const found = told.episodes.find(([start, end]) => start <= ms && ms < end);
    const time = (at) => timeOf(told, at);
    under.textContent = found ? `${found[2]}, ${time(found[0])} to ${time(found[1])}` : `${time(ms)}: nothing ran`;
  });

  const duration = (minutes) => {
    const whole = Math.round(minutes);
    return whole >= 60 ? `${Math.floor(whole / 60)} h ${whole % 60} min` : minutes >= 1 ? `${whole} min` : `${Math.round(minutes * 60)} s`;
  };

  const fillSums = () => {
    const { [IDLE]: idle = 0, ...counts } = told.minutes[told.day] ?? {};
    const found = Object.entries(counts);
    const most = Math.max(1e-9, ...found.map(([, minutes]) => minutes));
    sums.replaceChildren(h("h2", {}, "How long"), h("div", { class: "bars" }, ...found.flatMap(([activity, minutes]) => {
      const fill = h("span", {});
      fill.style.width = `${(minutes / most) * 100}%`;
      fill.style.background = activityColour(activity);
      return [h("span", {}, activity), h("div", { class: "meter" }, fill), h("span", { class: "share" }, duration(minutes))];
    })), idle ? h("p", { class: "soft small", id: "idle" }, `Nothing ran for ${duration(idle)}.`) : "");
  };

  const fillWeek = () => {
    const days = [6, 5, 4, 3, 2, 1, 0].map((back) => dayAfter(told.day, -back));
    const sum = (counts) => Object.entries(counts ?? {}).reduce((all, [activity, minutes]) => all + (activity === IDLE ? 0 : minutes), 0);
    const most = Math.max(1e-9, ...days.map((name) => sum(told.minutes[name])));
    week.replaceChildren(...days.map((name) => {
      const parts = Object.entries(told.minutes[name] ?? {}).filter(([activity]) => activity !== IDLE).map(([activity, minutes]) => {
        const part = h("i", { title: `${activity}: ${duration(minutes)}` });
        part.style.height = `${(minutes / most) * 100}%`;
        part.style.background = activityColour(activity);
        return part;
      });
      return h("button", { class: "column quiet", "aria-label": `${dateText(name)}, ${duration(sum(told.minutes[name]))}`, onclick: () => {
        asked = name;
        attempt(refresh);
      } }, h("span", { class: "pile" }, ...parts), h("span", { class: "small" }, dateText(name, { weekday: "short" })));
    }));
  };

  const grid = h("div", { class: "teach" }, h("section", { class: "card", "aria-label": "Durations" }, sums), h("section", { class: "card", "aria-label": "Week" }, h("h2", {}, "Seven days"), week));
  main.append(h("div", { class: "stack" },
    h("div", { class: "row" }, h("h1", {}, "Days"), h("span", { class: "row push nowrap" }, h("button", { "aria-label": "The day before", onclick: () => move(-1) }, "←"), heading, h("button", { "aria-label": "The day after", onclick: () => move(1) }, "→"))),
    standing.element, problem, line, zone, source, grid, alarms));
  await refresh();
  const timer = setInterval(() => refresh().catch(() => {}), AGAIN_MS);
  const off = on("connection", ({ open, again }) => open && again && attempt(refresh));
  window.addEventListener("resize", draw);
  return () => {
    clearInterval(timer);
    standing.leave();
    off();
    window.removeEventListener("resize", draw);
  };
}
