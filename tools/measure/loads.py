"""Measures live recognition under higher loads than usual, until something breaks.

    python tools/measure/loads.py --seconds 20 --json loads.json

The drivers, queue, aligner and recogniser are those of every run. The devices are emulated, faster than `--emulate`
can: they play ten seconds of a simulated person again and again, computed beforehand. IMUs and radar are in a process
of their own. The camera must be in the recogniser's; its CPU time is taken off.

A row names what broke: the rig, if the devices sent less than they should have, or the recogniser, if samples were
lost, a queue was full, or windows closed late. The shipped model knows one IMU. More are read, aligned and put into
windows, but their encoders do not run.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import tempfile
import threading
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Dict, List, Mapping, NamedTuple, Tuple

import numpy as np

from cosmo_runtime.models.bundle import load_bundle
from cosmo_runtime.models.shelf import SIMULATED_BUNDLE
from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.runtime.engines.onnxruntime import OnnxRuntimeEngine
from cosmo_runtime.runtime.recognition.loop import Sink, recognise
from cosmo_runtime.runtime.recognition.recognizer import Recognizer
from cosmo_runtime.runtime.sinks.summary import Summary
from cosmo_runtime.runtime.sources.live import LiveSource, connect_all, disconnect_all
from cosmo_runtime.runtime.windows.aligner import Aligner
from cosmo_runtime.sensors.config import DepthConfig, ImuConfig, RadarConfig
from cosmo_runtime.sensors.depth.driver import DepthCamera
from cosmo_runtime.sensors.emulation.camera_device import EmulatedCamera
from cosmo_runtime.sensors.emulation.imu_device import EmulatedImu
from cosmo_runtime.sensors.emulation.pty import PtyPort
from cosmo_runtime.sensors.emulation.radar_device import EmulatedRadar
from cosmo_runtime.sensors.events import Event, Sample
from cosmo_runtime.sensors.imu.driver import Imu
from cosmo_runtime.sensors.radar.driver import DEFAULT_CFG, Radar
from cosmo_runtime.sensors.sensor import Sensor
from cosmo_runtime.sensors.simulation.motion import ActivityStart, Camera
from cosmo_runtime.sensors.simulation.person import CAMERA, SimulatedPerson

_SEED = 1000
_LOOP_S = 10.0
_IMAGES = 16  # of depth, shown in turns
_BAUD = 921600  # of the IMUs
_RADAR_BAUD = 3_000_000  # 300 points 30 times a second do not fit into a radar's own 921600
_LATE_S = 0.5  # a camera that is later than this leaves images out
_SENT, _RECEIVED, _LATE = 0.98, 0.995, 0.01  # shares below or above which something has broken


class Load(NamedTuple):
    """What the devices of one run send."""

    name: str
    imus: int = 1
    imu_hz: int = 100
    size: Tuple[int, int] = (CAMERA.width, CAMERA.height)
    depth_hz: int = 15
    radar_hz: int = 20
    points: int = 20


LOADS = (
    Load("as usual"),
    Load("IMU at 200 Hz", imu_hz=200),
    Load("IMU at 1000 Hz", imu_hz=1000),
    Load("depth 848x480 at 30 Hz", size=(848, 480), depth_hz=30),
    Load("depth 848x480 at 90 Hz", size=(848, 480), depth_hz=90),
    Load("radar at 30 Hz, 300 points", radar_hz=30, points=300),
    Load("two IMUs", imus=2),
    Load("four IMUs", imus=4),
    Load(
        "four IMUs at 200 Hz, depth 848x480 at 30 Hz, radar at 30 Hz with 300 points", 4, 200, (848, 480), 30, 30, 300
    ),
)


class _Loop:
    """A motion whose measurements are computed beforehand, see ``sensors.simulation.motion``."""

    duration_s = float("inf")
    camera = CAMERA
    imu_places: Tuple[str, ...] = ("wrist",)

    def __init__(self, load: Load) -> None:
        self.imu_rate_hz, self.radar_rate_hz = float(load.imu_hz), float(load.radar_hz)
        self._imu = SimulatedPerson(_SEED).imu(np.arange(round(_LOOP_S * load.imu_hz)) / load.imu_hz)
        random = np.random.default_rng(_SEED)
        low, high = (-1.5, 1.0, -1.0, -2.0, 13.0), (1.5, 4.0, 1.0, 2.0, 30.0)
        self._points = random.uniform(low, high, (round(_LOOP_S * load.radar_hz), load.points, 5)).astype(np.float32)

    def imu(self, times_s: np.ndarray, place: str) -> np.ndarray:
        return self._imu[np.round(times_s * self.imu_rate_hz).astype(int) % len(self._imu)]

    def radar(self, time_s: float) -> np.ndarray:
        return self._points[round(time_s * self.radar_rate_hz) % len(self._points)]

    def depth(self, time_s: float) -> np.ndarray:
        raise NotImplementedError("the camera is in the other process")

    def activities(self, until_s: float) -> List[ActivityStart]:
        return []


class _Cable(PtyPort):
    """A serial cable that counts what was sent."""

    def __init__(self, link: Path, baud: int) -> None:
        super().__init__(link, baud)
        self.sent = 0

    def write(self, data: bytes) -> None:
        super().write(data)
        self.sent += 1


def _serve(load: Load, folder: str, control: Connection) -> None:
    """Plays IMUs and radar until it is killed, and answers with what each has sent."""
    motion, stop = _Loop(load), threading.Event()
    cables = {name: _Cable(Path(folder, name), _BAUD) for name in _imus(load)}
    cables["radar"] = _Cable(Path(folder, "radar-data"), _RADAR_BAUD)
    radar = EmulatedRadar(PtyPort(Path(folder, "radar-cli"), 115200), cables["radar"], motion)
    start_ns = time.monotonic_ns()
    devices = [EmulatedImu(cables[name], motion, "wrist", "xsens").run for name in _imus(load)]
    for run in [*devices, radar.run]:
        threading.Thread(target=run, args=(stop, start_ns), daemon=True).start()
    control.send("open")
    while control.recv():
        control.send({name: (cable.sent, cable.overrun_bytes) for name, cable in cables.items()})


def _imus(load: Load) -> List[str]:
    return ["imu", *(f"imu{number}" for number in range(2, load.imus + 1))]


class _Show:
    """Shows images to the recogniser's own process, and measures what that costs."""

    def __init__(self, load: Load) -> None:
        width, height = load.size
        scale = width / CAMERA.width
        lens = {"fx": CAMERA.fx * scale, "fy": CAMERA.fy * scale, "cx": (width - 1) / 2, "cy": (height - 1) / 2}
        lens_of = Camera(width, height, **lens, rate_hz=float(load.depth_hz), depth_scale_m=CAMERA.depth_scale_m)
        person = SimulatedPerson(_SEED, lens_of)
        self._images = list(person.depths(np.arange(_IMAGES) / load.depth_hz))
        self._rate_hz = load.depth_hz
        self.camera = EmulatedCamera(lens_of)
        self.stop = threading.Event()
        self.sent, self.cpu_s = 0, 0.0

    def run(self) -> None:
        began_s = time.monotonic()
        for number in count():
            ahead_s = number / self._rate_hz - (time.monotonic() - began_s)
            if self.stop.wait(max(0.0, ahead_s)):
                return
            if ahead_s > -_LATE_S:
                self.camera.push(self._images[number % _IMAGES], number / self._rate_hz)
                self.sent += 1
                self.cpu_s = time.thread_time()


class _FirstImu:
    """Answers with the shipped model, which knows one IMU. Further ones get no weight."""

    name, precision = "onnxruntime", "fp32"

    def __init__(self, engine: OnnxRuntimeEngine, imus: int) -> None:
        self._engine, self._further = engine, imus - 1

    def infer(self, inputs: Mapping[str, np.ndarray]) -> Tuple[np.ndarray, np.ndarray]:
        presence = inputs["presence"]
        known = presence[: len(presence) - self._further]
        probabilities, weights = self._engine.infer({**inputs, "presence": known})
        return probabilities, np.concatenate([weights, np.zeros(self._further, np.float32)])


class _Watch(Sink):
    """Counts the samples that reach the loop, and looks how many events wait at each of them."""

    def __init__(self, source: LiveSource) -> None:
        self.samples: Counter[str] = Counter()
        self.most_waiting = 0
        self._source = source

    def event(self, event: Event) -> None:
        if isinstance(event, Sample):
            self.samples[event.sensor] += 1
            self.most_waiting = max(self.most_waiting, self._source.waiting)


def _spec(spec: ModelSpec, load: Load) -> ModelSpec:
    imu = next(modality for modality in spec.modalities if modality.sensor == "imu")
    further = [imu.model_copy(update={"sensor": name, "kind": "imu"}) for name in _imus(load)[1:]]
    return spec.model_copy(update={"modalities": (*spec.modalities, *further)})


def _sensors(load: Load, folder: Path, camera: EmulatedCamera) -> List[Sensor]:
    cfg = folder / "radar.cfg"
    lines = DEFAULT_CFG.read_text("utf-8").splitlines()
    period = f"{1000 / load.radar_hz:.3f}"
    cfg.write_text("\n".join(_with_period(line, period) for line in lines) + "\n", "utf-8")
    ports = {"cli_port": f"{folder}/radar-cli", "data_port": f"{folder}/radar-data", "data_baud": _RADAR_BAUD}
    imus = [Imu(ImuConfig(port=f"{folder}/{name}", baud=_BAUD, protocol="xsens"), name) for name in _imus(load)]
    width, height = load.size
    depth = DepthConfig(width=width, height=height, rate_hz=load.depth_hz)
    return [*imus, DepthCamera(depth, camera), Radar(RadarConfig(cfg=cfg, **ports))]


def _with_period(line: str, period_ms: str) -> str:
    words = line.split()
    return " ".join([*words[:5], period_ms, *words[6:]]) if words[:1] == ["frameCfg"] else line


def measure(load: Load, seconds: float) -> Dict[str, Any]:
    """One row of the table."""
    bundle = load_bundle(SIMULATED_BUNDLE)
    spec = _spec(bundle.spec, load)
    context = multiprocessing.get_context("spawn")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        control, far = context.Pipe()
        devices = context.Process(target=_serve, args=(load, str(folder), far), daemon=True)
        devices.start()
        stack.callback(devices.kill)
        show = _Show(load)
        control.recv()
        threading.Thread(target=show.run, daemon=True).start()
        stack.callback(show.stop.set)
        sensors = _sensors(load, folder, show.camera)
        stack.callback(disconnect_all, sensors)
        errors = connect_all(sensors)
        if errors:
            return {"load": load.name, "broke": f"the rig: {'; '.join(map(str, errors.values()))}"}
        infos = {sensor.info.name: sensor.info for sensor in sensors}
        source = stack.enter_context(LiveSource(sensors))
        watch, summary = _Watch(source), Summary(infos)
        recognizer = Recognizer(replace(bundle, spec=spec), _FirstImu(OnnxRuntimeEngine(bundle.onnx), load.imus))
        figures: Dict[str, Any] = {}
        conduct = partial(_conduct, figures, seconds, source, show, control, watch)
        threading.Thread(target=conduct, daemon=True).start()
        recognise(source.events(), Aligner(spec, infos), recognizer, infos, [watch, summary], True)
    counts = {name: info.counts for name, info in infos.items()}
    overruns = sum(count["queue_overruns"] for count in counts.values())
    lost = sum(count["lost_samples"] for count in counts.values())
    windows, late = summary.windows, summary.late
    return {
        "load": load.name,
        **figures,
        "lost_samples": lost,
        "queue_overruns": overruns,
        "latency_ms": summary.as_dict().get("latency_ms"),
        "windows": windows,
        "closed_late": late,
        "broke": _broke(load, figures, lost + overruns, late / max(windows, 1)),
    }


def _broke(load: Load, figures: Mapping[str, Any], lost: int, late: float) -> str:
    """What did not keep up, in words."""
    broken = []
    wanted = {**dict.fromkeys(_imus(load), load.imu_hz), "depth": load.depth_hz, "radar": load.radar_hz}
    for name, sent_hz in figures["sent_hz"].items():
        if sent_hz < _SENT * wanted[name]:
            broken.append(f"the rig: {name} sent {sent_hz:g} a second")
        elif figures["received_hz"][name] < _RECEIVED * sent_hz:
            broken.append(f"the recogniser: of {name} {figures['received_hz'][name]:g} a second came")
    if lost:
        broken.append(f"{lost} samples were lost")
    if late > _LATE:
        broken.append(f"{late:.0%} of the windows closed late")
    return "; ".join(broken) or "nothing"


def _conduct(
    figures: Dict[str, Any], seconds: float, source: LiveSource, show: _Show, control: Connection, watch: _Watch
) -> None:
    """Lets it settle for four seconds, then measures, and ends the run."""
    time.sleep(4.0)
    before = _counted(show, control, watch)
    time.sleep(seconds)
    after = _counted(show, control, watch)
    took_s = after["at_s"] - before["at_s"]
    cpu_s = after["cpu_s"] - before["cpu_s"]
    show_s = after["show_s"] - before["show_s"]
    figures["cpu_share_of_one_core"] = round((cpu_s - show_s) / took_s, 3)
    figures["camera_share_of_one_core"] = round(show_s / took_s, 3)
    for key in "sent", "received":
        figures[f"{key}_hz"] = {name: round((after[key][name] - before[key][name]) / took_s, 1) for name in after[key]}
    figures["bytes_not_read_in_time"] = after["unread"] - before["unread"]
    figures["most_waiting"] = watch.most_waiting
    source.stop()


def _counted(show: _Show, control: Connection, watch: _Watch) -> Dict[str, Any]:
    control.send("count")
    cables = control.recv()
    return {
        "at_s": time.monotonic(),
        "cpu_s": time.process_time(),
        "show_s": show.cpu_s,
        "sent": {**{name: sent for name, (sent, _) in cables.items()}, "depth": show.sent},
        "unread": sum(unread for _, unread in cables.values()),
        "received": dict(watch.samples),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each load (default: 20)")
    parser.add_argument("--only", type=int, nargs="+", metavar="ROW", help="rows of the table, from 0 (default: all)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to a file")
    options = parser.parse_args()
    rows = []
    for number, load in enumerate(LOADS):
        if options.only is None or number in options.only:
            rows.append({**measure(load, options.seconds), "machine_load": os.getloadavg()[0]})
            print(json.dumps(rows[-1]), flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
