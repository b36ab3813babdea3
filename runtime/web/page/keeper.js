// Saves labels with every change, and hears what other tabs have done to them.

import { notice } from "./dom.js";
import { get, on, post } from "./server.js";

const AGAIN_MS = 2000;

/**
 * Keeps the labels of a recording. `state` shows whether all is saved, `rows` gives the labels, `replace` takes those
 * that another tab has made, and `locked` is told when they can no longer be changed here.
 */
export class Keeper {
  constructor(name, version, { state, rows, replace, locked }) {
    Object.assign(this, { version, state, rows, replace, locked });
    this.path = `/api/recordings/${encodeURIComponent(name)}/labels`;
    this.tab = Math.random().toString(36).slice(2);
    this.saving = false;
    this.stale = false;
    this.unsaved = false;
    this.warn = (event) => this.unsaved && event.preventDefault();
    window.addEventListener("beforeunload", this.warn);
    this.off = on("labels", (told) => told.name === name && this.hear(told));
  }

  close() {
    this.off();
    if (!this.unsaved) window.removeEventListener("beforeunload", this.warn);
  }

  async save() {
    this.stale = this.unsaved = true;
    this.show("warn", "saving");
    if (this.saving) return;
    this.saving = true;
    while (this.stale) {
      this.stale = false;
      try {
        ({ version: this.version } = await post(this.path, { version: this.version, labels: this.rows(), tab: this.tab }));
      } catch (error) {
        if (error.status !== 409 || !error.content?.labels) {
          this.saving = false;
          this.show("bad", `not saved: ${error.message}`);
          if (!error.status) setTimeout(() => this.save(), AGAIN_MS); // even when another page is shown meanwhile
          return;
        }
        if (error.content.problem) {
          this.saving = this.unsaved = false;
          notice("These labels can no longer be changed here. Your last change was not saved.", true);
          this.locked();
          return;
        }
        this.version = error.content.version;
        this.replace(error.content.labels);
        notice("Another tab has changed these labels. They are shown now; your last change was not saved.", true);
      }
    }
    this.saving = this.unsaved = false;
    this.show("good", "saved");
  }

  async hear({ tab, version }) {
    if (tab === this.tab || version === this.version || this.saving) return;
    const fresh = await get(this.path);
    if (this.saving || fresh.version === this.version) return;
    this.version = fresh.version;
    this.replace(fresh.labels);
    notice("Another tab has changed these labels; they are shown now.");
  }

  show(shade, text) {
    this.state.className = `chip ${shade}`;
    this.state.textContent = text;
  }
}
