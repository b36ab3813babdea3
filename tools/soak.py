"""Measures live recognition on an emulated rig: losses, latency, CPU, memory, and what faults do.

    python tools/soak.py --minutes 10 --json FILE.json     the steady run
    python tools/soak.py --faults --json FILE.json         cables pulled and put back, bytes corrupted
    python tools/soak.py --changes --json FILE.json        another bundle put in use every three seconds

The devices run in a process of their own; CPU and memory are those of the recogniser's process alone.
"""

from __future__ import annotations

import argparse
import itertools
import json
import platform
import shutil
import tempfile
import threading
import time
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Dict, Iterator, List, Optional

import numpy as np
import psutil
from rich.console import Console

from models.bundle import Bundle, BundleError, load_bundle
from models.shelf import SHIPPED_BUNDLE, Shelf
from runtime.aligner import Aligner
from runtime.config import Config
from runtime.engine import OnnxRuntimeEngine
from runtime.follow import Follower
from runtime.live import LiveSource, connect_all
from runtime.loop import Outcome, Sink, recognise
from runtime.recognizer import Recognizer
from runtime.summary import Summary
from sensors.emulation.rig import EmulatedRig
from sensors.events import Event, Sample, StateChange
from sensors.rig import SENSOR_NAMES
from sensors.sensor import SensorError

_SETTLED_S = 60.0
_PULLED_S = 4.0
_BETWEEN_CHANGES_S = 3.0
_CORRUPT_SHARE = 0.01


class Rates(Sink):
    """Counts samples between the first and the last stamp of each sensor."""

    def __init__(self) -> None:
        self._spans: Dict[str, List[int]] = {}

    def event(self, event: Event) -> None:
        if isinstance(event, Sample):
            span = self._spans.setdefault(event.sensor, [event.stamp_ns, event.stamp_ns, -1])
            span[1] = event.stamp_ns
            span[2] += 1

    def hz(self) -> Dict[str, float]:
        return {name: round(count * 1e9 / (last - first), 3) for name, (first, last, count) in self._spans.items()}


class Watch(Sink):
    """Notes changes of state, when each prediction came, and on which sensors it stood."""

    def __init__(self) -> None:
        self.changes: List[StateChange] = []
        self.predictions: List[tuple[int, Dict[str, str]]] = []

    def event(self, event: Event) -> None:
        if isinstance(event, StateChange):
            self.changes.append(event)

    def outcome(self, outcome: Outcome) -> None:
        self.predictions.append((time.monotonic_ns(), dict(outcome.sensors)))


class Changes(Sink):
    """Notes which bundle made each prediction, and how long that took."""

    def __init__(self, hop_ns: int) -> None:
        self._hop_ns = hop_ns
        self._bundles: List[str] = []
        self._ends_ns: List[int] = []
        self._latency_ms: List[float] = []

    def outcome(self, outcome: Outcome) -> None:
        self._bundles.append(outcome.prediction.bundle)
        self._ends_ns.append(outcome.prediction.window_end_ns)
        self._latency_ms.append(outcome.prediction.latency_ms)

    def figures(self) -> Dict[str, object]:
        """Windows that are missing, and the latency of the first window after a change beside that of the others."""
        first = np.array([before != after for before, after in zip(self._bundles, self._bundles[1:])])
        latency_ms = np.array(self._latency_ms[1:])
        return {
            "changes": int(first.sum()),
            "windows_missing": int((np.diff(self._ends_ns) // self._hop_ns - 1).sum()),
            "latency_ms": {"first after a change": _spread(latency_ms[first]), "others": _spread(latency_ms[~first])},
        }


def _spread(values: np.ndarray) -> Dict[str, float]:
    shares = {"p50": 50, "p90": 90, "max": 100}
    return {name: round(float(np.percentile(values, share)), 1) for name, share in shares.items()}


def put_copies(shelf: Shelf, bundle: Bundle) -> Bundle:
    """Puts two copies of a bundle on a shelf and returns the one that is in use."""
    for name in "one", "two":
        shutil.copytree(bundle.path, shelf.folder / name)
    return shelf.use("one")


def change_bundles(stop: threading.Event, shelf: Shelf) -> None:
    """Puts one copy in use after the other, over and over."""
    for name in itertools.cycle(["two", "one"]):
        if stop.wait(_BETWEEN_CHANGES_S):
            return
        shelf.use(name)


def steady(stop: threading.Event, minutes: float) -> Iterator[Dict[str, float]]:
    """Waits, and yields the process's memory and CPU time every ten seconds."""
    process, began = psutil.Process(), time.monotonic()
    while not stop.wait(10.0) and time.monotonic() - began < 60 * minutes:
        times = process.cpu_times()
        yield {
            "s": round(time.monotonic() - began, 1),
            "rss_mb": process.memory_info().rss / 1e6,
            "cpu_s": times.user + times.system,
        }


def faults(rig: EmulatedRig, watch: Watch) -> Dict[str, dict]:
    """Pulls each cable and puts it back, then corrupts the serial ones."""
    time.sleep(8)
    figures: Dict[str, dict] = {}
    for name in SENSOR_NAMES:
        pulled_ns = time.monotonic_ns()
        rig.unplug(name)
        time.sleep(_PULLED_S)
        plugged_ns = time.monotonic_ns()
        rig.plug(name)
        time.sleep(8)
        at = [when for when, _ in watch.predictions if when > pulled_ns - 10**9]
        figures[name] = {
            "longest_time_between_predictions_s": round(max(np.diff(at)) / 1e9, 3),
            "samples_again_after_s": _since(
                plugged_ns, (c.at_ns for c in watch.changes if c.sensor == name and c.state == "ok")
            ),
            "in_windows_again_after_s": _since(
                plugged_ns, (when for when, sensors in watch.predictions if sensors[name] == "ok")
            ),
        }
    for name in "imu", "radar":
        rig.corrupt(name, _CORRUPT_SHARE)
    before = len(watch.predictions)
    time.sleep(20)
    figures["1 % of bytes corrupted, 20 s"] = {"predictions": len(watch.predictions) - before}
    for name in "imu", "radar":
        rig.corrupt(name, 0.0)
    return figures


def _since(start_ns: int, times_ns: Iterator[int]) -> Optional[float]:
    after = [at for at in times_ns if at > start_ns]
    return round((min(after) - start_ns) / 1e9, 2) if after else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--faults", action="store_true")
    parser.add_argument("--changes", action="store_true")
    parser.add_argument("--emulate", default="person")
    parser.add_argument("--bundle", type=Path, default=SHIPPED_BUNDLE)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    bundle = load_bundle(options.bundle)

    def recognizer_of(bundle: Bundle) -> Recognizer:
        return Recognizer(bundle, OnnxRuntimeEngine(bundle.onnx))

    console = Console(stderr=True)
    memory: List[Dict[str, float]] = []
    found: Dict[str, dict] = {}
    watch, rates, stop = Watch(), Rates(), threading.Event()
    changes = Changes(bundle.spec.hop_ns)
    with ExitStack() as stack:
        shelf = Shelf(Path(stack.enter_context(tempfile.TemporaryDirectory())))
        if options.changes:
            bundle = put_copies(shelf, bundle)
        follower = Follower(shelf, bundle, SENSOR_NAMES, recognizer_of)
        rig = stack.enter_context(EmulatedRig(options.emulate, SENSOR_NAMES))
        sensors = rig.sensors(Config())
        errors = connect_all(sensors)
        if errors:
            raise SystemExit(errors)
        infos = {sensor.info.name: sensor.info for sensor in sensors}
        aligner = Aligner(bundle.spec, {name: info.rate_hz for name, info in infos.items()})
        summary = Summary(infos)
        source = stack.enter_context(LiveSource(sensors))
        rig.listen(source.put, source.stop)

        def conduct() -> None:
            try:
                if options.faults:
                    found.update(faults(rig, watch))
                else:
                    for reading in steady(stop, options.minutes):
                        memory.append(reading)
                        console.print("{s:.0f} s: {rss_mb:.1f} MB, {cpu_s:.1f} s of CPU".format(**reading))
            finally:
                source.stop()

        threading.Thread(target=conduct, daemon=True).start()
        if options.changes:
            stack.enter_context(follower)
            threading.Thread(target=change_bundles, args=(stop, shelf), daemon=True).start()
        sinks = [summary, changes, watch if options.faults else rates]
        recognise(source.events(), aligner, recognizer_of(bundle), infos, sinks, True, follower.take)
        stop.set()
    report = {
        "machine": {"cores": psutil.cpu_count(), "processor": platform.processor() or platform.machine()},
        "versions": {"python": platform.python_version(), "onnxruntime": version("onnxruntime")},
        "options": {
            "emulate": options.emulate,
            "minutes": options.minutes,
            "faults": options.faults,
            "changes": options.changes,
        },
        **summary.as_dict(),
        "out_of_order": {name: ring.out_of_order for name, ring in aligner.rings.items()},
    }
    if options.changes:
        report["changes"] = changes.figures()
    if options.faults:
        report["faults"] = found
    else:
        report["rates_hz"] = rates.hz()
    settled = [reading for reading in memory if reading["s"] >= _SETTLED_S]
    if len(settled) > 1:
        first, last = settled[0], settled[-1]
        report["memory_growth_mb"] = round(last["rss_mb"] - first["rss_mb"], 2)
        report["cpu_share_of_one_core"] = round((last["cpu_s"] - first["cpu_s"]) / (last["s"] - first["s"]), 3)
    console.print(summary.render())
    text = json.dumps(report, indent=2)
    print(text)
    if options.json:
        options.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    try:
        main()
    except (BundleError, SensorError) as error:
        raise SystemExit(str(error)) from error
