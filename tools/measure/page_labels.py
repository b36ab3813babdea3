"""Measures the time and the keystrokes to label a session by keys, compared with typing the table."""

from __future__ import annotations

import math
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, List, Tuple

import numpy as np

from cosmo_runtime.runtime.labels.table import labels_beside, read_labels
from cosmo_runtime.runtime.labels.truth import TruthLine
from cosmo_runtime.sensors.events import Truth
from cosmo_runtime.sensors.recording import Recording
from cosmo_runtime.sensors.simulation.utd import UtdMotion
from cosmo_runtime.tools.measure.page_browser import browser, served
from cosmo_runtime.tools.measure.page_long import record_offline

Row = Tuple[float, float, str]

_SPEED = 2.0  # playback speed


def measure_labelling(data: Path, subject: int) -> Dict[str, Any]:
    """Labels the first two repeats of each action: names it, plays, and holds its key while the action lasts."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "session.mcap"
        record_offline(path, UtdMotion(data, [subject], repeats=(1, 2)), math.inf, decimation=2)
        recording = Recording(path)
        rows = _actions(recording)
        with served("web", "--recordings", folder) as (_, url), browser() as chromium:
            page = chromium.new_page(viewport={"width": 1300, "height": 900})
            page.goto(f"{url}#/label/session")
            page.wait_for_selector(".stage canvas[data-at]")
            began, keystrokes = time.monotonic(), 0
            for name in dict.fromkeys(activity for _, _, activity in rows):
                keystrokes += _name(page, name)
            keys = dict(page.evaluate(_KEYS))
            for _ in range(round(math.log2(_SPEED))):
                page.keyboard.press("]")
            keystrokes += page.evaluate(_HOLD, [[start, end, keys[activity]] for start, end, activity in rows])
            page.wait_for_selector("#saved:text-is('saved')")
            seconds = time.monotonic() - began
        (found,) = read_labels(labels_beside(path), examples=1).values()
        table = "start,end,activity\n" + "".join(f"{a:.1f},{b:.1f},{activity}\n" for a, b, activity in rows)
    start_ns = recording.start_ns
    edges = [
        abs((at_ns - start_ns) / 1e9 - wanted_s)
        for label, row in zip(found, rows)
        for at_ns, wanted_s in zip((label.start_ns, label.end_ns), row[:2])
    ]
    return {
        "actions": len(rows),
        "labels": len(found),
        "labelled_right": sum(label.activity == row[2] for label, row in zip(found, rows)),
        "session_s": round(recording.duration_s, 1),
        "speed": _SPEED,
        "seconds": round(seconds, 1),
        "keystrokes": keystrokes,
        "characters_of_the_table": len(table),
        "edge_error_ms_p50": round(1e3 * float(np.median(edges))),
        "edge_error_ms_max": round(1e3 * max(edges)),
    }


def _actions(recording: Recording) -> List[Row]:
    truths = TruthLine()
    for event in recording.events():
        if isinstance(event, Truth):
            truths.add(event)
    start_ns = recording.start_ns
    spans = [(s.start_ns - start_ns, s.end_ns - start_ns, s.activity) for s in truths.segments()]
    return [(begin_ns / 1e9, end_ns / 1e9, activity) for begin_ns, end_ns, activity in spans if activity != "none"]


def _name(page: Any, activity: str) -> int:
    """Types the name of an activity that the page does not know. Returns the number of keystrokes."""
    if page.query_selector(f"[data-activity='{activity}']"):
        return 0
    page.keyboard.press("/")
    page.keyboard.type(activity)
    page.keyboard.press("Enter")
    return len(activity) + 2


_KEYS = """() => [...document.querySelectorAll('[data-activity]')]
  .map((button) => [button.dataset.activity, button.querySelector('kbd')?.textContent])"""
_HOLD = """async (rows) => {
  const canvas = document.getElementById('timeline');
  const until = async (seconds) => {
    while (Number(canvas.dataset.at) < seconds) await new Promise((done) => setTimeout(done, 4));
  };
  const shifted = (key) => key !== key.toLowerCase();
  const press = (type, key) =>
    canvas.dispatchEvent(new KeyboardEvent(type, {key, shiftKey: shifted(key), bubbles: true}));
  press('keydown', ' ');
  let count = 2;
  for (const [start, end, key] of rows) {
    await until(start);
    press('keydown', key);
    await until(end);
    press('keyup', key);
    count += shifted(key) ? 2 : 1;
  }
  press('keydown', ' ');
  return count;
}"""
