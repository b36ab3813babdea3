// The frame of the page: which part is shown, and whether the server is there.

import { h, notice } from "./dom.js";
import { connect, on } from "./server.js";
import * as live from "./live.js";
import * as days from "./days.js";
import * as label from "./label.js";
import * as sessions from "./sessions.js";
import * as teach from "./teach.js";

const PARTS = { days, label, live, sessions, teach };
const main = document.getElementById("main");
const connection = document.getElementById("connection");
let leave = null;
let failed = false;

async function show() {
  const [, name = "live", ...rest] = location.hash.split("/");
  const part = PARTS[name] ?? PARTS.live;
  if (leave) leave();
  leave = null;
  failed = false;
  main.replaceChildren();
  for (const link of document.querySelectorAll("nav a")) {
    const current = link.hash === `#/${name === "label" ? "sessions" : name || "live"}`;
    if (current) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  try {
    leave = (await part.show(main, rest.map(decodeURIComponent))) ?? null;
  } catch (error) {
    failed = true;
    main.replaceChildren(h("div", { class: "empty" }, h("p", {}, error.message)));
  }
  document.title = `${part.title} · cosmo-runtime`;
}

on("connection", ({ open, again }) => {
  connection.textContent = open ? "connected" : again ? "no connection, trying again" : "connecting";
  connection.className = `chip ${open ? "good" : again ? "bad" : "warn"}`;
  if (open && again) notice("The server is back.");
  if (open && failed) show();
});
window.addEventListener("hashchange", show);
connect();
show();
