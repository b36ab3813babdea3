// Making elements, and telling the person something.

/** Makes an element: h("p", {class: "soft", onclick}, "text", child). */
export function h(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "value") element.value = value;
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** A short message at the edge of the page. */
export function notice(text, bad = false) {
  const element = h("div", { class: bad ? "notice bad" : "notice" }, text);
  document.getElementById("notices").append(element);
  setTimeout(() => element.remove(), bad ? 9000 : 4000);
}

/** Does something that may fail, and says so where it does. */
export async function attempt(what) {
  try {
    return await what();
  } catch (error) {
    notice(error.message, true);
    return undefined;
  }
}

/** Asks in a dialog; resolves with the form's values, or null. */
export function ask({ title, body = [], action = "OK", danger = false }) {
  return new Promise((resolve) => {
    const form = h(
      "form",
      { method: "dialog", class: "stack" },
      h("h3", {}, title),
      ...body,
      h(
        "div",
        { class: "row" },
        h("button", { type: "button", class: "push", onclick: () => dialog.close() }, "Cancel"),
        h("button", { value: "ok", class: danger ? "danger" : "main" }, action),
      ),
    );
    const dialog = h("dialog", { "aria-label": title }, form);
    dialog.addEventListener("close", () => {
      resolve(dialog.returnValue === "ok" ? Object.fromEntries(new FormData(form)) : null);
      dialog.remove();
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** A canvas as sharp as the screen, of the size that it is shown in. Returns its context and size in CSS pixels. */
export function sharp(canvas, height) {
  const ratio = window.devicePixelRatio || 1;
  const width = Math.max(1, canvas.clientWidth);
  const shown = height ?? Math.max(1, canvas.clientHeight);
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(shown * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(shown * ratio);
    if (height) canvas.style.height = `${height}px`;
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  return { context, width, height: shown };
}

/** A colour of the style sheet. */
export function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

export const percent = (share) => `${Math.round(share * 100)} %`;

/** A number and what it counts: "1 label", "2 labels". */
export const counted = (count, one, many = `${one}s`) => `${count} ${count === 1 ? one : many}`;

/** A time from the start of a recording: 0:07, 12:30.25, 1:00:00. */
export function clock(seconds, digits = 0) {
  const all = Number(seconds.toFixed(digits)); // first, so that 59.9 s are a minute
  const hours = Math.floor(all / 3600);
  const minutes = Math.floor((all % 3600) / 60);
  const rest = (all % 60).toFixed(digits).padStart(digits ? 3 + digits : 2, "0");
  return `${hours ? `${hours}:${String(minutes).padStart(2, "0")}` : minutes}:${rest}`;
}

/** A day, such as 2026-11-28, in the words of the browser's language. */
export const dateText = (day, form) => new Date(day).toLocaleDateString(undefined, { timeZone: "UTC", ...form });

export function bytes(count) {
  const units = ["B", "kB", "MB", "GB"];
  let at = 0;
  while (count >= 1000 && at < units.length - 1) {
    count /= 1000;
    at += 1;
  }
  return `${count.toFixed(at > 1 && count < 100 ? 1 : 0)} ${units[at]}`;
}
