"""Measures live recognition on an emulated rig: losses, latency, CPU, memory, and the effect of faults.

    python tools/soak.py --minutes 10 --json FILE.json     a steady run
    python tools/soak.py --faults --json FILE.json         unplugs each cable, then corrupts bytes
    python tools/soak.py --changes --json FILE.json        puts another bundle in use every three seconds

The devices run in their own process. CPU and memory are those of the recogniser's process alone. The emulated camera
must be in that process, so the part of the thread that feeds it is given, too.
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
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence

import numpy as np
import psutil
from rich.console import Console

from cosmo_runtime.models.bundle import Bundle, BundleError, load_bundle
from cosmo_runtime.models.outputs import try_file
from cosmo_runtime.models.shelf import SIMULATED_BUNDLE, Shelf
from cosmo_runtime.runtime.engines.onnxruntime import OnnxRuntimeEngine
from cosmo_runtime.runtime.recognition.follow import Follower
from cosmo_runtime.runtime.recognition.loop import Outcome, Sink, recognise
from cosmo_runtime.runtime.recognition.recognizer import Recognizer
from cosmo_runtime.runtime.sinks.summary import Summary
from cosmo_runtime.runtime.sources.live import LiveSource, connect_all
from cosmo_runtime.runtime.windows.aligner import Aligner
from cosmo_runtime.sensors.config import SHORT_FORM
from cosmo_runtime.sensors.emulation.rig import FEEDING, EmulatedRig
from cosmo_runtime.sensors.events import Event, Sample, StateChange
from cosmo_runtime.sensors.sensor import SensorError

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
    """Notes changes of state, the time of each prediction, and the sensors that it was based on."""

    def __init__(self) -> None:
        self.changes: List[StateChange] = []
        self.predictions: List[tuple[int, Dict[str, str]]] = []

    def event(self, event: Event) -> None:
        if isinstance(event, StateChange):
            self.changes.append(event)

    def outcome(self, outcome: Outcome) -> None:
        self.predictions.append((time.monotonic_ns(), dict(outcome.sensors)))


class Changes(Sink):
    """Notes which bundle made each prediction, and its latency."""

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
        """The number of missing windows, and the latency of the first window after a change and of the others."""
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
    """Puts the copies in use in turns, again and again."""
    for name in itertools.cycle(["two", "one"]):
        if stop.wait(_BETWEEN_CHANGES_S):
            return
        shelf.use(name)


def steady(stop: threading.Event, minutes: float) -> Iterator[Dict[str, float]]:
    """Waits, and yields the process's memory and CPU time every ten seconds; the emulated camera's time, too."""
    process, began = psutil.Process(), time.monotonic()
    feeding = next(thread for thread in threading.enumerate() if thread.name == FEEDING)
    while not stop.wait(10.0) and time.monotonic() - began < 60 * minutes:
        times = process.cpu_times()
        yield {
            "s": round(time.monotonic() - began, 1),
            "rss_mb": process.memory_info().rss / 1e6,
            "cpu_s": times.user + times.system,
            "camera_cpu_s": time.clock_gettime(time.pthread_getcpuclockid(feeding.ident or 0)),
        }


def faults(rig: EmulatedRig, watch: Watch) -> Dict[str, dict]:
    """Pulls each cable and puts it back, then corrupts the serial ones."""
    time.sleep(8)
    figures: Dict[str, dict] = {}
    for name in SHORT_FORM:
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
    parser = _parser()
    options = parser.parse_args()
    try:
        if options.json:
            try_file(options.json)
    except OSError as error:
        parser.error(f"--json {options.json} cannot be written: {error.strerror}")
    console = Console(stderr=True)
    text = json.dumps(soak(options, console), indent=2)
    print(text)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(text + "\n", encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0, help="how long to run (default: 10)")
    parser.add_argument("--faults", action="store_true", help="unplug each cable, then corrupt bytes")
    parser.add_argument("--changes", action="store_true", help="change the bundle every three seconds")
    parser.add_argument("--emulate", default="person", help="what the rig plays (default: person)")
    parser.add_argument(
        "--bundle",
        type=Path,
        default=SIMULATED_BUNDLE,
        help="folder of the model (default: the one that knows the simulated person)",
    )
    parser.add_argument("--hop", type=float, metavar="S", help="seconds from answer to answer (default: the model's)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to a file")
    return parser


def soak(options: argparse.Namespace, console: Console) -> Dict[str, Any]:
    """Runs the rig and the recogniser, shows how it goes, and returns the figures."""
    bundle = load_bundle(options.bundle).at_hop(options.hop)

    def recognizer_of(bundle: Bundle) -> Recognizer:
        return Recognizer(bundle, OnnxRuntimeEngine(bundle.onnx))

    memory: List[Dict[str, float]] = []
    effects: Dict[str, dict] = {}
    watch, rates, stop = Watch(), Rates(), threading.Event()
    changes = Changes(bundle.spec.hop_ns)
    with ExitStack() as stack:
        shelf = Shelf(Path(stack.enter_context(tempfile.TemporaryDirectory())))
        if options.changes:
            bundle = put_copies(shelf, bundle).at_hop(options.hop)
        follower = Follower(shelf, bundle, SHORT_FORM, recognizer_of, hop_s=options.hop)
        rig = stack.enter_context(EmulatedRig(options.emulate, SHORT_FORM))
        sensors = rig.sensors()
        errors = connect_all(sensors)
        if errors:
            raise SystemExit(errors)
        infos = {sensor.info.name: sensor.info for sensor in sensors}
        aligner = Aligner(bundle.spec, infos)
        summary = Summary(infos)
        source = stack.enter_context(LiveSource(sensors))
        rig.listen(source.put, source.stop)

        def conduct() -> None:
            try:
                if options.faults:
                    effects.update(faults(rig, watch))
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
    console.print(summary.render())
    return {
        **_described(options, bundle),
        **summary.as_dict(),
        "out_of_order": {name: ring.out_of_order for name, ring in aligner.rings.items()},
        **({"changes": changes.figures()} if options.changes else {}),
        **({"faults": effects} if options.faults else {"rates_hz": rates.hz()}),
        **_used(memory),
    }


def _described(options: argparse.Namespace, bundle: Bundle) -> Dict[str, Any]:
    """The machine, the versions and the options."""
    return {
        "machine": {"cores": psutil.cpu_count(), "processor": platform.processor() or platform.machine()},
        "versions": {"python": platform.python_version(), "onnxruntime": version("onnxruntime")},
        "options": {
            "emulate": options.emulate,
            "minutes": options.minutes,
            "hop_s": bundle.spec.hop_s,
            "faults": options.faults,
            "changes": options.changes,
        },
    }


def _used(readings: Sequence[Mapping[str, float]]) -> Dict[str, float]:
    """Memory at the end, its growth and the CPU, after the first minute; nothing for a shorter run."""
    settled = [reading for reading in readings if reading["s"] >= _SETTLED_S]
    if len(settled) < 2:
        return {}
    first, last = settled[0], settled[-1]

    def share(of: str) -> float:
        return round((last[of] - first[of]) / (last["s"] - first["s"]), 3)

    return {
        "memory_mb": round(last["rss_mb"], 1),
        "memory_growth_mb": round(last["rss_mb"] - first["rss_mb"], 2),
        "cpu_share_of_one_core": share("cpu_s"),
        "of_which_emulated_camera": share("camera_cpu_s"),
    }


if __name__ == "__main__":
    try:
        main()
    except (BundleError, SensorError) as error:
        raise SystemExit(str(error)) from error
