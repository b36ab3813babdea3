// What is seen of a recording: fetched once, kept while it is near.

import { floats, get, getBytes, unpack } from "./server.js";

const TILE_S = 10;
const MOST_TILES = 60;
const MOST_BLOCKS = 24;
const MOST_THUMBS = 240;

export class Film {
  constructor(name, changed) {
    this.path = `/api/recordings/${encodeURIComponent(name)}`;
    this.changed = changed;
    this.tiles = new Map();
    this.blocks = new Map();
    this.thumbs = new Map();
    this.survey = null;
    this.wanted = null;
    this.busy = false;
    this.closed = false;
  }

  /** Looks at the whole recording, again and again until it has been seen. */
  async watch() {
    while (!this.closed) {
      try {
        this.survey = await get(`${this.path}/survey`);
        this.changed();
        if (this.survey.share >= 1) return;
      } catch {
        // it is asked again
      }
      await new Promise((resolve) => setTimeout(resolve, this.survey && this.survey.share > 0.2 ? 1500 : 300));
    }
  }

  /** The traces of a stretch in tiles, whose times count from `start_s`, as far as they are there; fetches what is not. */
  traces(start_s, end_s) {
    const found = [];
    for (let tile = Math.max(0, Math.floor(start_s / TILE_S)); tile * TILE_S < end_s; tile += 1) {
      const there = keep(this.tiles, tile);
      if (there === undefined) this.fetchTile(tile);
      else if (there) found.push(there);
    }
    return found;
  }

  async fetchTile(tile) {
    put(this.tiles, tile, null, MOST_TILES);
    try {
      const messages = split(await getBytes(`${this.path}/traces?from_s=${tile * TILE_S}&to_s=${(tile + 1) * TILE_S}`));
      const there = { start_s: tile * TILE_S, imu: {}, predictions: messages[0].predictions };
      for (const message of messages.slice(1)) there.imu[message.sensor] = floats(message.bytes);
      put(this.tiles, tile, there, MOST_TILES);
      this.changed();
    } catch {
      this.tiles.delete(tile);
    }
  }

  /** The pictures of a moment, from the seconds that are kept; undefined where they are not there. */
  moment(at_s) {
    const found = {};
    for (const second of [Math.floor(at_s), Math.floor(at_s) - 1]) {
      const block = keep(this.blocks, second);
      if (second === Math.floor(at_s) && !block) return undefined;
      for (const frame of block ?? []) {
        if (frame.at_s <= at_s && (!found[frame.sensor] || found[frame.sensor].at_s < frame.at_s)) found[frame.sensor] = frame;
      }
    }
    return found;
  }

  /** Fetches the pictures of a second, once. */
  async fetchBlock(second) {
    if (second < 0 || this.blocks.has(second)) return;
    put(this.blocks, second, null, MOST_BLOCKS);
    try {
      put(this.blocks, second, split(await getBytes(`${this.path}/frames?from_s=${second}&to_s=${second + 1}`)), MOST_BLOCKS);
      this.changed();
    } catch {
      this.blocks.delete(second);
    }
  }

  /** Fetches the pictures of one moment; of many asked for meanwhile only the last. */
  async seek(at_s, show) {
    this.wanted = { at_s, show };
    if (this.busy) return;
    this.busy = true;
    while (this.wanted && !this.closed) {
      const { at_s: moment, show: done } = this.wanted;
      this.wanted = null;
      try {
        const frames = split(await getBytes(`${this.path}/frame?at_s=${moment.toFixed(3)}`));
        done(Object.fromEntries(frames.map((frame) => [frame.sensor, frame])));
      } catch {
        // the next one may come
      }
    }
    this.busy = false;
  }

  /** A picture for the strip; undefined as long as it is not there. */
  thumb(at_s) {
    const key = at_s.toFixed(2);
    const there = keep(this.thumbs, key);
    if (there === undefined) {
      put(this.thumbs, key, null, MOST_THUMBS);
      this.fetchThumb(key);
    }
    return there;
  }

  async fetchThumb(key) {
    this.queue = (this.queue ?? Promise.resolve()).then(async () => {
      if (this.closed || !this.thumbs.has(key)) return;
      try {
        const frames = split(await getBytes(`${this.path}/frame?at_s=${key}`));
        put(this.thumbs, key, frames.find(({ kind }) => kind === "depth") ?? null, MOST_THUMBS);
        this.changed();
      } catch {
        this.thumbs.delete(key);
      }
    });
  }
}

function split(buffer) {
  const view = new DataView(buffer);
  const messages = [];
  for (let at = 0; at < buffer.byteLength; ) {
    const length = view.getUint32(at, true);
    messages.push(unpack(buffer.slice(at + 4, at + 4 + length)));
    at += 4 + length;
  }
  return messages;
}

/** The value of a key, which is now the last to be given up. */
function keep(map, key) {
  const value = map.get(key);
  if (map.has(key)) {
    map.delete(key);
    map.set(key, value);
  }
  return value;
}

function put(map, key, value, most) {
  map.delete(key);
  map.set(key, value);
  while (map.size > most) map.delete(map.keys().next().value);
}
