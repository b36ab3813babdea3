"""Measures how quickly a long recording opens and scrubs, and how much memory the server needs for it."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any, Dict, List

import psutil

from cosmo_runtime.sensors.recording import Recording
from cosmo_runtime.sensors.recording.segments import segments_of
from cosmo_runtime.tools.measure.page_browser import browser, served


def measure_recording(path: Path) -> Dict[str, Any]:
    """Opens a recording on the page, scrubs through it, plays it, and watches the server's memory."""
    path = path.resolve()
    with served("web", "--recordings", str(path.parent)) as (server, url), browser() as chromium:
        page = chromium.new_page(viewport={"width": 1300, "height": 900})
        page.goto(url)
        page.wait_for_selector("#connection.good")
        process, peak = psutil.Process(server.pid), [0]
        threading.Thread(target=_watch_memory, args=(process, peak), daemon=True).start()
        before_s = sum(process.cpu_times()[:2])
        began = time.monotonic()
        page.goto(f"{url}#/label/{path.stem}")
        page.wait_for_selector(".stage canvas[data-at]", timeout=120_000)
        opened_s = time.monotonic() - began
        opened_cpu_s = sum(process.cpu_times()[:2]) - before_s
        pictures = page.evaluate(_SCRUB)
        random = page.evaluate(_RANDOM, path.stem)
        page.keyboard.press(" ")
        page.wait_for_timeout(5_000)
        page.keyboard.press(" ")
        page.wait_for_timeout(15_000)
        survey = page.evaluate("(name) => fetch(`/api/recordings/${name}/survey`).then((r) => r.json())", path.stem)
        return {
            "hours": round(Recording(path).duration_s / 3600, 2),
            "megabytes": round(sum(file.stat().st_size for file in segments_of(path) or [path]) / 1e6),
            "opened_s": round(opened_s, 2),
            "opened_server_cpu_s": round(opened_cpu_s, 2),
            "scrubbed_pictures_a_second": round(pictures, 1),
            "random_moments_a_second": round(random, 1),
            "surveyed_share_after_half_a_minute": survey["share"],
            "server_memory_mb_peak": round(peak[0] / 1e6),
            "load_average": psutil.getloadavg()[0],
        }


_SCRUB = """async () => {
  const canvas = document.getElementById('timeline');
  const picture = document.querySelector('.stage canvas');
  const box = canvas.getBoundingClientRect();
  const at = (x) => ({clientX: box.left + x, clientY: box.top + 60, pointerId: 1, bubbles: true});
  canvas.setPointerCapture = () => {};
  canvas.dispatchEvent(new PointerEvent('pointerdown', at(100)));
  let seen = 0;
  let last = picture.dataset.at;
  const began = performance.now();
  for (let x = 100; performance.now() - began < 5000; x += 2) {
    canvas.dispatchEvent(new PointerEvent('pointermove', at(100 + x % (box.width - 120))));
    await new Promise((done) => setTimeout(done, 16));
    if (picture.dataset.at !== last) { seen += 1; last = picture.dataset.at; }
  }
  canvas.dispatchEvent(new PointerEvent('pointerup', at(100)));
  return seen / ((performance.now() - began) / 1000);
}"""
_RANDOM = """async (name) => {
  const {seconds} = await (await fetch(`/api/recordings/${name}`)).json();
  const began = performance.now();
  let count = 0;
  while (performance.now() - began < 5000) {
    await (await fetch(`/api/recordings/${name}/frame?at_s=${(Math.random() * seconds).toFixed(3)}`)).arrayBuffer();
    count += 1;
  }
  return count / ((performance.now() - began) / 1000);
}"""


def _watch_memory(process: psutil.Process, peak: List[int]) -> None:
    while process.is_running():
        try:
            peak[0] = max(peak[0], process.memory_info().rss)
        except psutil.Error:
            return
        time.sleep(0.05)
