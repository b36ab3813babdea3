// One time axis: pictures, traces, predictions, proposals and labels, drawn on one canvas.

import { clock, colour, sharp } from "./dom.js";
import { activityColour, drawDepth, drawTraces, inkOn, reachOf } from "./draw.js";

const RULER = 24;
const GAP = 6;
const EDGE = 7; // pixels beside an edge that still grasp it
const NEAR_S = 90; // up to here traces are drawn sample by sample, beyond it from the survey
const SHORTEST_VIEW_S = 1;
const HOP_S = 0.5; // a prediction is drawn over the time before its end
const STEPS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400];

export class Timeline {
  constructor(canvas, { film, labels, sensors, duration_s, seek, grasped }) {
    Object.assign(this, { canvas, film, labels, duration_s, seek, grasped });
    this.begin = 0;
    this.end = duration_s;
    this.at_s = 0;
    this.mark = null;
    this.open = null;
    this.proposals = [];
    this.thumb = document.createElement("canvas");
    this.lanes = [];
    const kinds = Object.entries(sensors);
    const camera = kinds.find(([, { kind }]) => kind === "depth");
    if (camera) this.lanes.push({ what: "strip", name: camera[0], height: 54 });
    for (const [name, { kind }] of kinds) {
      if (kind === "imu") this.lanes.push({ what: "imu", name, height: 76 });
      else if (kind !== "depth") this.lanes.push({ what: "signal", name, height: 38 });
    }
    this.lanes.push({ what: "predictions", name: "predictions", height: 26 });
    this.lanes.push({ what: "proposals", name: "proposals", height: 0 });
    this.lanes.push({ what: "labels", name: "labels", height: 52 });
    this.listen();
  }

  get height() {
    return RULER + this.lanes.reduce((sum, { height }) => sum + (height ? height + GAP : 0), 0);
  }

  x(seconds) {
    return ((seconds - this.begin) / (this.end - this.begin)) * this.width;
  }

  seconds(x) {
    return this.begin + (x / this.width) * (this.end - this.begin);
  }

  show(begin, end) {
    const span = Math.min(this.duration_s, Math.max(SHORTEST_VIEW_S, end - begin));
    this.begin = Math.max(0, Math.min(begin, this.duration_s - span));
    this.end = this.begin + span;
    this.canvas.dataset.span = String(span);
    this.ask();
  }

  zoom(factor, around = this.at_s) {
    const span = (this.end - this.begin) * factor;
    const share = (around - this.begin) / (this.end - this.begin);
    this.show(around - span * share, around + span * (1 - share));
  }

  /** Keeps a moment in view. */
  follow(seconds) {
    const span = this.end - this.begin;
    if (seconds < this.begin || seconds > this.end) this.show(seconds - span * 0.1, seconds + span * 0.9);
  }

  propose(proposals) {
    this.proposals = proposals;
    this.lanes.find(({ what }) => what === "proposals").height = proposals.length ? 30 : 0;
    this.ask();
  }

  ask() {
    if (this.asked) return;
    this.asked = true;
    requestAnimationFrame(() => {
      this.asked = false;
      if (this.canvas.isConnected) this.draw();
    });
  }

  draw() {
    const { context, width } = sharp(this.canvas, this.height);
    this.width = width;
    context.clearRect(0, 0, width, this.height);
    context.font = "11px system-ui, sans-serif";
    context.textBaseline = "middle";
    this.drawRuler(context);
    let top = RULER;
    for (const lane of this.lanes) {
      if (!lane.height) continue;
      lane.top = top;
      context.fillStyle = colour(["labels", "predictions", "proposals"].includes(lane.what) ? "faint" : "screen");
      context.beginPath();
      context.roundRect(0, top, width, lane.height, 8);
      context.fill();
      this[`draw_${lane.what}`](context, lane);
      if (lane.what !== "labels" && lane.what !== "predictions" && lane.what !== "proposals") this.caption(context, lane.name, 8, top + 10);
      top += lane.height + GAP;
    }
    if (this.mark !== null) this.stretch(context, Math.min(this.mark, this.at_s), Math.max(this.mark, this.at_s));
    const x = this.x(this.at_s);
    context.fillStyle = colour("accent");
    context.fillRect(x - 1, 4, 2, this.height - 4);
    context.beginPath();
    context.arc(x, 8, 6, 0, 2 * Math.PI);
    context.fill();
  }

  drawRuler(context) {
    const span = this.end - this.begin;
    const step = STEPS.find((seconds) => (seconds / span) * this.width > 64) ?? STEPS[STEPS.length - 1];
    context.fillStyle = colour("soft");
    for (let at = Math.ceil(this.begin / step) * step; at <= this.end; at += step) {
      const x = this.x(at);
      context.fillRect(x, RULER - 5, 1, 5);
      context.fillText(clock(at, step < 1 ? 1 : 0), x + 4, RULER - 10);
    }
  }

  caption(context, text, x, y) {
    context.fillStyle = "rgb(0 0 0 / .45)";
    context.fillRect(x - 4, y - 8, context.measureText(text).width + 8, 16);
    context.fillStyle = "#dfe3f5";
    context.fillText(text, x, y);
  }

  draw_strip(context, lane) {
    const wide = Math.round((lane.height * 16) / 9);
    const step = STEPS.find((seconds) => this.x(seconds) - this.x(0) >= wide) ?? 28800;
    for (let at = Math.floor(this.begin / step) * step; at < this.end; at += step) {
      const picture = this.film.thumb(Math.min(Math.max(at, 0.05), this.duration_s));
      if (!picture) continue;
      drawDepth(this.thumb, picture);
      context.drawImage(this.thumb, this.x(at), lane.top, (lane.height * picture.columns) / picture.rows, lane.height);
    }
  }

  draw_imu(context, lane) {
    if (this.end - this.begin > NEAR_S) return this.draw_signal(context, lane);
    const tiles = this.film.traces(this.begin, this.end).filter(({ imu }) => imu[lane.name]);
    const all = tiles.map(({ imu, start_s }) => [imu[lane.name], { begin: this.begin - start_s, end: this.end - start_s }]);
    for (const [half, first, usual] of [[0, 1, 30], [1, 4, 8]]) {
      const reach = Math.max(...all.map(([rows, seen]) => reachOf(rows, { ...seen, first, usual })));
      const place = { left: 0, width: this.width, top: lane.top + 1 + (half * lane.height) / 2, height: lane.height / 2 - 2 };
      for (const [rows, seen] of all) drawTraces(context, rows, { ...seen, ...place, first, reach });
    }
    return undefined;
  }

  draw_signal(context, lane) {
    const seen = this.film.survey?.lanes[lane.name];
    if (!seen) return;
    const columns = seen.low.length;
    const most = Math.max(1e-6, ...seen.high.filter((value) => value !== null));
    const least = Math.min(...seen.low.filter((value) => value !== null), most);
    const y = (value) => lane.top + lane.height - 3 - ((value - least) / (most - least || 1)) * (lane.height - 6);
    context.fillStyle = "#8b9bff";
    const wide = Math.max(1, this.x(this.duration_s / columns) - this.x(0));
    for (let column = 0; column < columns; column += 1) {
      if (seen.high[column] === null) continue;
      const x = this.x((column / columns) * this.duration_s);
      if (x < -wide || x > this.width) continue;
      context.fillRect(x, y(seen.high[column]), wide, Math.max(1.5, y(seen.low[column]) - y(seen.high[column])));
    }
  }

  draw_predictions(context, lane) {
    let any = false;
    if (this.end - this.begin > NEAR_S) {
      const seen = this.film.survey?.predictions ?? [];
      const wide = this.duration_s / Math.max(1, seen.length);
      for (const [column, prediction] of seen.entries()) {
        if (!prediction) continue;
        any = true;
        const end = (column + 1) * wide;
        this.block(context, lane, end - Math.max(wide, HOP_S), end, prediction[0], 0.3 + 0.6 * prediction[1], false);
      }
    } else {
      for (const { predictions } of this.film.traces(this.begin, this.end)) {
        for (const [end_s, activity, confidence] of predictions) {
          any = true;
          this.block(context, lane, end_s - HOP_S, end_s, activity, 0.3 + 0.6 * confidence, false);
        }
      }
    }
    this.caption(context, any ? "predictions" : "no predictions in this recording", 8, lane.top + lane.height / 2);
  }

  draw_proposals(context, lane) {
    for (const [start, end, activity] of this.proposals) this.block(context, lane, start, end, activity, 0.45, true, true);
    this.caption(context, "proposed", 8, lane.top + lane.height - 8);
  }

  draw_labels(context, lane) {
    for (const [number, [start, end, activity]] of this.labels.rows.entries()) {
      const unsure = activity === "uncertain";
      this.block(context, lane, start, end, activity, unsure ? 0.45 : 1, true, unsure);
      if (number === this.labels.selected) {
        context.strokeStyle = colour("ink");
        context.lineWidth = 2.5;
        context.strokeRect(this.x(start), lane.top + 1.5, this.x(end) - this.x(start), lane.height - 3);
      }
    }
    if (this.open) this.block(context, lane, Math.min(this.open.start, this.at_s), Math.max(this.open.start, this.at_s), this.open.activity, 0.6, true, true);
  }

  block(context, lane, start, end, activity, alpha, named, hollow = false) {
    const [left, right] = [Math.max(-2, this.x(start)), Math.min(this.width + 2, this.x(end))];
    if (right < 0 || left > this.width) return;
    const wide = Math.max(1.5, right - left);
    context.globalAlpha = alpha;
    context.fillStyle = activityColour(activity);
    context.fillRect(left, lane.top, named ? wide - 0.5 : wide + 0.5, lane.height);
    context.globalAlpha = 1;
    if (hollow) {
      context.setLineDash([4, 3]);
      context.strokeStyle = activityColour(activity);
      context.strokeRect(left + 0.5, lane.top + 0.5, wide - 1, lane.height - 1);
      context.setLineDash([]);
    }
    if (!named || wide < 26) return;
    context.save();
    context.beginPath();
    context.rect(left, lane.top, wide - 3, lane.height);
    context.clip();
    context.fillStyle = hollow ? colour("ink") : inkOn(activityColour(activity));
    context.font = "600 12px system-ui, sans-serif";
    context.fillText(activity, left + 7, lane.top + lane.height / 2);
    context.restore();
  }

  stretch(context, start, end) {
    context.fillStyle = "rgb(120 135 255 / .22)";
    context.fillRect(this.x(start), RULER, this.x(end) - this.x(start), this.height - RULER);
  }

  /** What stands under the pointer: an edge or a label, or nothing. */
  under(x, y) {
    const lane = this.lanes.find(({ top, height }) => height && y >= top && y < top + height);
    if (lane?.what === "proposals") {
      const number = this.proposals.findIndex(([start, end]) => start <= this.seconds(x) && this.seconds(x) < end);
      return number < 0 ? null : { proposal: number };
    }
    if (lane?.what !== "labels") return null;
    let best = null;
    for (const [number, [start, end]] of this.labels.rows.entries()) {
      for (const [edge, seconds] of [["start", start], ["end", end]]) {
        const inside = edge === "start" ? x - this.x(seconds) : this.x(seconds) - x;
        const far = Math.abs(x - this.x(seconds)) + (inside < 0 ? 1 : 0);
        if (far <= EDGE && (!best || far < best.far)) best = { number, edge, far };
      }
    }
    if (best) return best;
    const number = this.labels.at(this.seconds(x));
    return number < 0 ? null : { number };
  }

  listen() {
    const place = (event) => {
      const box = this.canvas.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    let drag = null;
    this.canvas.addEventListener("pointerdown", (event) => {
      const [x, y] = place(event);
      const under = this.under(x, y);
      this.canvas.setPointerCapture(event.pointerId);
      if (under?.edge) {
        drag = { ...under };
        this.labels.selected = under.number;
      } else if (under?.proposal !== undefined) this.grasped(under.proposal);
      else {
        this.labels.selected = under ? under.number : -1;
        drag = { seeking: true };
        this.seek(this.seconds(x));
      }
      this.ask();
    });
    this.canvas.addEventListener("pointermove", (event) => {
      const [x, y] = place(event);
      if (drag?.seeking) this.seek(this.seconds(x));
      else if (drag) {
        const label = this.labels.rows[drag.number];
        if (drag.to === undefined && Math.abs(x - this.x(drag.edge === "start" ? label[0] : label[1])) < 2) return;
        drag.to = this.seconds(x);
        this.seek(drag.to);
      } else this.canvas.style.cursor = this.under(x, y)?.edge ? "ew-resize" : "pointer";
    });
    const drop = () => {
      if (drag?.to !== undefined) this.labels.move(drag.number, drag.edge, drag.to);
      drag = null;
      this.ask();
    };
    this.canvas.addEventListener("pointerup", drop);
    this.canvas.addEventListener("pointercancel", () => (drag = null));
    this.canvas.addEventListener(
      "wheel",
      (event) => {
        event.preventDefault();
        const [x] = place(event);
        if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
          const by = ((event.deltaX || event.deltaY) / this.width) * (this.end - this.begin);
          this.show(this.begin + by, this.end + by);
        } else this.zoom(Math.exp(event.deltaY * 0.0015), this.seconds(x));
      },
      { passive: false },
    );
  }
}
