// Plays a recording: the playhead, and what the sensors saw there.

import { h } from "./dom.js";
import { drawDepth, drawRadar } from "./draw.js";
import { floats } from "./server.js";

const SPEEDS = [0.25, 0.5, 1, 2, 4, 8];

export class Player {
  /** `moved` is told whenever the playhead has moved, and whether the view is to follow it. */
  constructor(film, { sensors, duration_s, moved }) {
    Object.assign(this, { film, duration_s, moved });
    this.at_s = 0;
    this.playing = false;
    this.speed = SPEEDS.indexOf(1);
    this.closed = false;
    const named = (kind) => Object.keys(sensors).find((sensor) => sensors[sensor].kind === kind);
    this.camera = named("depth");
    this.radar = named("radar");
    this.depth = h("canvas", { role: "img", "aria-label": "Depth picture" });
    this.above = h("canvas", { role: "img", "aria-label": "Radar points from above" });
    this.side = h("canvas", { role: "img", "aria-label": "Radar points from the side" });
    this.playButton = h("button", { class: "main", id: "play", onclick: () => this.toggle() }, "Play ", h("kbd", {}, "space"));
    this.speedButton = h("button", { title: "faster: ], slower: [", onclick: () => this.setSpeed((this.speed + 1) % SPEEDS.length) });
    this.setSpeed(this.speed);
  }

  /** The pictures, side by side. */
  stage() {
    const view = (canvas, caption) => h("figure", {}, h("div", { class: "screen" }, canvas), h("figcaption", {}, caption));
    return h(
      "div",
      { class: "stage" },
      this.camera ? h("div", { class: "screen" }, this.depth) : null,
      this.radar ? h("div", { class: "stack" }, view(this.above, "radar from above"), view(this.side, "from the side")) : null,
    );
  }

  seek(seconds, follow = false) {
    this.at_s = Math.max(0, Math.min(this.duration_s, seconds));
    this.moved(follow);
    const moment = this.film.moment(this.at_s);
    if (moment) this.draw(moment);
    else if (!this.playing) this.film.seek(this.at_s, (seen) => this.draw(seen));
  }

  toggle() {
    this.playing = !this.playing;
    if (this.playing && this.at_s >= this.duration_s - 0.05) this.seek(0, true);
    this.playButton.firstChild.textContent = this.playing ? "Pause " : "Play ";
    if (!this.playing) return;
    let before = performance.now();
    const step = (now) => {
      if (!this.playing || this.closed) return;
      if (this.fetchAhead()) this.seek(this.at_s + ((now - before) / 1000) * SPEEDS[this.speed], true);
      before = now;
      if (this.at_s >= this.duration_s) this.toggle();
      else requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
  }

  /** Fetches what is played next. Returns whether the present second is there, for which it waits. */
  fetchAhead() {
    const second = Math.floor(this.at_s);
    for (let ahead = 0; ahead <= Math.ceil(2 * Math.max(1, SPEEDS[this.speed])); ahead += 1) {
      if (second + ahead < this.duration_s) this.film.fetchBlock(second + ahead);
    }
    return this.film.blocks.get(second) != null || second >= this.duration_s - 1;
  }

  setSpeed(next) {
    this.speed = Math.max(0, Math.min(SPEEDS.length - 1, next));
    this.speedButton.textContent = `${SPEEDS[this.speed]}×`;
  }

  draw(moment) {
    const picture = moment[this.camera];
    if (picture && picture.at_s !== Number(this.depth.dataset.at)) {
      this.depth.dataset.at = String(picture.at_s);
      this.depth.style.aspectRatio = `${picture.columns} / ${picture.rows}`;
      drawDepth(this.depth, picture);
    }
    const points = moment[this.radar];
    if (points && points.at_s !== Number(this.above.dataset.at)) {
      this.above.dataset.at = String(points.at_s);
      drawRadar(this.above, floats(points.bytes), "above", 170);
      drawRadar(this.side, floats(points.bytes), "side", 110);
    }
  }

  close() {
    this.closed = true;
    this.film.closed = true;
  }
}
