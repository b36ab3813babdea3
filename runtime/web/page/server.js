// What the page says to the server, and hears from it.

const listeners = new Map();
const latest = new Map();
let socket = null;
let wait_ms = 250;
let was_open = false;

/** Calls back with every message of a kind, the last one at once. Returns how to stop. */
export function on(kind, callback) {
  if (!listeners.has(kind)) listeners.set(kind, new Set());
  listeners.get(kind).add(callback);
  if (latest.has(kind)) callback(latest.get(kind));
  return () => listeners.get(kind).delete(callback);
}

function tell(message) {
  if (!["imu", "depth", "radar", "prediction"].includes(message.kind)) latest.set(message.kind, message);
  for (const callback of listeners.get(message.kind) ?? []) callback(message);
}

/** Splits a message with numbers into its head and the bytes after it. */
export function unpack(buffer) {
  const bytes = new Uint8Array(buffer);
  const end = bytes.indexOf(10);
  const head = JSON.parse(new TextDecoder().decode(bytes.subarray(0, end)));
  head.bytes = bytes.subarray(end + 1);
  return head;
}

/** The bytes of a message as 32-bit numbers. */
export function floats(bytes) {
  return new Float32Array(bytes.slice().buffer);
}

export function connect() {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  socket = new WebSocket(`${scheme}://${location.host}/live`);
  socket.binaryType = "arraybuffer";
  socket.onopen = () => {
    wait_ms = 250;
    tell({ kind: "connection", open: true, again: was_open });
    was_open = true;
  };
  socket.onmessage = ({ data }) => tell(typeof data === "string" ? JSON.parse(data) : unpack(data));
  socket.onclose = () => {
    for (const kind of ["run", "sensors", "silence", "history"]) latest.delete(kind);
    tell({ kind: "connection", open: false, again: was_open });
    setTimeout(connect, wait_ms);
    wait_ms = Math.min(wait_ms * 2, 3000);
  };
}

async function answer(response) {
  const type = response.headers.get("Content-Type") ?? "";
  const content = type.startsWith("application/json") ? await response.json() : null;
  if (!response.ok) {
    const error = new Error(content?.error ?? `The server answered ${response.status}.`);
    error.status = response.status;
    error.content = content;
    throw error;
  }
  return content ?? response;
}

async function reach(path, options) {
  try {
    return await fetch(path, options);
  } catch {
    throw new Error("The server does not answer.");
  }
}

export async function get(path) {
  return answer(await reach(path, {}));
}

export async function getBytes(path) {
  const response = await reach(path, {});
  if (!response.ok) await answer(response);
  return response.arrayBuffer();
}

export async function post(path, content = {}) {
  const options = { method: "POST", body: JSON.stringify(content), headers: { "Content-Type": "application/json" } };
  return answer(await reach(path, options));
}

export async function postBytes(path, content) {
  const options = { method: "POST", body: content, headers: { "Content-Type": "application/octet-stream" } };
  return answer(await reach(path, options));
}
