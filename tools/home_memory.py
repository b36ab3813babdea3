"""Shows whether the memory of a run in a home stays flat: hours of a made-up rig go through it as fast as possible.

    MALLOC_MMAP_THRESHOLD_=32768 MALLOC_ARENA_MAX=2 \\
        python tools/home_memory.py FOLDER --hours 24 --minutes 60 --json FILE.json

Loop, episodes, alarms with clips, segments with ``--keep``, JSON lines, figures and the page's feed are those of a live
run. The stream is made up: in each two minutes somebody moves for half a minute and lies still for the rest, the IMU is
lost for three seconds, and a new true activity comes every two seconds. Samples are fewer and frames smaller than those
of devices, because what only grows does so by window, episode, alarm and segment. Every ten minutes of simulated time,
when nothing waits, a line shows the process's own memory (anonymous), its mapped files and Python's objects.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import re
import sys
import threading
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Sequence

import numpy as np

from cosmo_runtime.models.bundle import Bundle, load_bundle
from cosmo_runtime.models.shelf import SIMULATED_BUNDLE
from cosmo_runtime.runtime.cli import default
from cosmo_runtime.runtime.cli.home import open_home
from cosmo_runtime.runtime.config import Config
from cosmo_runtime.runtime.engines.onnxruntime import OnnxRuntimeEngine
from cosmo_runtime.runtime.health.vitals import Vitals
from cosmo_runtime.runtime.recognition.loop import Sink, recognise
from cosmo_runtime.runtime.recognition.recognizer import Recognizer
from cosmo_runtime.runtime.retention.keeping import Keeper, parse_keep
from cosmo_runtime.runtime.run import Run
from cosmo_runtime.runtime.sinks.json_lines import JsonLines
from cosmo_runtime.runtime.sinks.line_file import LineFile
from cosmo_runtime.runtime.sinks.queued import QueuedSink
from cosmo_runtime.runtime.sinks.recording import RecordingSink
from cosmo_runtime.runtime.sinks.summary import Summary
from cosmo_runtime.runtime.web.feed import PageFeed
from cosmo_runtime.runtime.web.hub import Hub
from cosmo_runtime.runtime.windows.aligner import Aligner
from cosmo_runtime.sensors.events import Event, Sample, StateChange, Tick, Truth
from cosmo_runtime.sensors.recording import SegmentedWriter
from cosmo_runtime.sensors.sensor import SensorInfo

CYCLE_MS = 120_000
_MOVES_MS = 30_000
_STEP_MS = 200
_LOST_MS = (20_000, 23_000)
_LOOK_MS = 600_000
_WALL_NS = 1_790_000_000 * 10**9  # at the beginning of the simulated time
_MOST_WAITING = 1000  # of the 2000 that a writer's queue holds
_ALARM = {"name": "too still", "activity": "nobody", "held_s": 3, "clip": True, "until": "over"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="new or empty; everything goes there")
    parser.add_argument("--hours", type=float, default=24, help="of simulated time, most")
    parser.add_argument("--minutes", type=float, default=60, help="of real time, most")
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    options.folder.mkdir(parents=True, exist_ok=True)
    began_s = time.monotonic()
    course: List[Dict[str, float]] = []

    def look(at_ms: int) -> bool:
        """Looks every ten minutes, and says whether to go on."""
        if at_ms % _LOOK_MS == 0 and at_ms:
            course.append(seen(at_ms))
            print("{hours:7.2f} h  {anonymous_mb:7.2f} MB  files {files_mb:6.2f} MB  {objects}".format(**course[-1]))
            sys.stdout.flush()
        return at_ms < options.hours * 3.6e6 and time.monotonic() - began_s < options.minutes * 60

    home = MadeUpHome(options.folder, load_bundle(SIMULATED_BUNDLE), [_ALARM])
    home.live(look)
    figures = {**growth(course), "answered": home.vitals.windows["answered"], "course": course}
    print(json.dumps({key: value for key, value in figures.items() if key != "course"}, indent=2))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


class MadeUpHome:
    """A run in a home, without devices and broker.

    Args:
        folder: its state, recordings and lines go there.
        bundle: the model.
        alarms: the alarms, as the configuration has them.
        segment_s: the length of a segment.
    """

    def __init__(
        self, folder: Path, bundle: Bundle, alarms: Sequence[Dict[str, Any]], segment_s: float = 600.0
    ) -> None:
        self._bundle = bundle
        self._infos = {
            "imu": SensorInfo("imu", "a made-up IMU", 5.0),
            "depth": SensorInfo("depth", "a made-up camera", 2.5, depth_scale_m=0.001),
            "radar": SensorInfo("radar", "a made-up radar", 2.5),
        }
        keeper = Keeper(folder / "run", parse_keep("100MB"))
        self._writer = SegmentedWriter(folder / "run", self._infos, segment_s=segment_s, when_turned=keeper)
        recordings = [RecordingSink(self._writer)]
        run = Run(iter(()), self._infos, threading.Event(), "made up", lambda _: _WALL_NS)
        config = Config.model_validate({"alarms": list(alarms), "clips": {"before_s": 5, "after_s": 5}})
        words = ["--sensors", "imu", "--replay", "made up", "--home", str(folder / "home")]
        options = default.parser().parse_args(words)
        home = open_home(options, config, bundle, run, {})
        assert home
        feed = PageFeed(Hub().publish, bundle.spec, self._infos, run.title, run.wall_offset_ns, recordings)
        lines = JsonLines(LineFile.append(folder / "lines.jsonl"), self._infos, run.wall_offset_ns)
        self._queues = [QueuedSink(sink, name, live=False) for sink, name in ((lines, "lines"), (feed, "page"))]
        self._queues.append(home.queue)
        self.vitals = Vitals(self._infos, self._queues, recordings, home.clips, home.troubles)
        summary = Summary(self._infos, self._queues, recordings)
        self._sinks: List[Sink] = [summary, self.vitals, *recordings, *self._queues]

    def live(self, look: Callable[[int], bool]) -> None:
        """Lives, and closes everything, as soon as a look returns False.

        Args:
            look: called at every full second of simulated time, in milliseconds; when a cycle begins, nothing waits.
        """
        recognizer = Recognizer(self._bundle, OnnxRuntimeEngine(self._bundle.onnx))
        try:
            recognise(
                self._events(look), Aligner(self._bundle.spec, self._infos), recognizer, self._infos, self._sinks, False
            )
        finally:
            for sink in self._sinks:
                sink.close()

    def _events(self, look: Callable[[int], bool]) -> Iterator[Event]:
        noise = np.random.default_rng(0)
        for name in self._infos:
            yield StateChange(name, 0, "ok")
        at_ms = 0
        while at_ms % 1000 or self._goes_on(at_ms, look):
            yield from _moment(at_ms, noise)
            at_ms += _STEP_MS

    def _goes_on(self, at_ms: int, look: Callable[[int], bool]) -> bool:
        while self._writer.queued > (0 if at_ms % CYCLE_MS == 0 else _MOST_WAITING):
            time.sleep(0.01)
        while at_ms % CYCLE_MS == 0 and any(queue.waiting for queue in self._queues):
            time.sleep(0.01)
        return look(at_ms)


def _moment(at_ms: int, noise: np.random.Generator) -> Iterator[Event]:
    """What the rig brings at one time. The limb's force is high and low in turns."""
    at_ns, in_cycle_ms = at_ms * 10**6, at_ms % CYCLE_MS
    moves = in_cycle_ms < _MOVES_MS
    if in_cycle_ms in _LOST_MS:
        yield StateChange("imu", at_ns, "lost" if in_cycle_ms == _LOST_MS[0] else "ok", "unplugged")
    if not _LOST_MS[0] <= in_cycle_ms < _LOST_MS[1]:
        limb = noise.normal(5 if at_ms // 10_000 % 2 else -5, 2, 9) if moves else np.array([0, 0, 9.81] + 6 * [0])
        yield Sample("imu", at_ns, at_ns, limb.astype(np.float32), bytes(44))
    if at_ms % 400 == 0:
        yield Sample("depth", at_ns, at_ns, noise.integers(1999, 2001, (34, 60)).astype(np.uint16))
        points = noise.normal(0, 1, (6 if moves else 0, 5)).astype(np.float32)
        yield Sample("radar", at_ns, at_ns, points, bytes(200))
        yield Tick(at_ns)
    if at_ms % 2000 == 0:
        yield Truth(at_ns, "walk" if at_ms % 4000 else "wave")


def seen(at_ms: int) -> Dict[str, float]:
    """This process's memory now."""
    gc.collect()
    status = Path("/proc/self/status").read_text()
    kilobytes = {key: int(re.search(rf"{key}:\s+(\d+)", status)[1]) for key in ("RssAnon", "RssFile")}  # type: ignore[index]
    return {
        "hours": round(at_ms / 3.6e6, 3),
        "anonymous_mb": round(kilobytes["RssAnon"] * 1024 / 1e6, 2),
        "files_mb": round(kilobytes["RssFile"] * 1024 / 1e6, 2),
        "objects": sys.getallocatedblocks(),
    }


def growth(course: List[Dict[str, float]]) -> Dict[str, float]:
    """How memory rises after the first hour, by a straight line."""
    settled = [look for look in course if look["hours"] >= 1]
    if len(settled) < 3:
        return {}
    hours = [look["hours"] for look in settled]
    figures = {"hours": hours[-1], "anonymous_mb": settled[-1]["anonymous_mb"]}
    for key in "anonymous_mb", "files_mb", "objects":
        figures[f"{key}_an_hour"] = round(float(np.polyfit(hours, [look[key] for look in settled], 1)[0]), 3)
    return figures


if __name__ == "__main__":
    main()
