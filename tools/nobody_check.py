"""Measures the rule that decides who is there: empty rooms, IMUs at rest, and real people who must be noticed.

    python tools/nobody_check.py rooms --minutes 120               # emulated empty rooms
    python tools/nobody_check.py unworn --minutes 20               # the same with somebody, whose IMU lies on a table
    python tools/nobody_check.py captures --data PATH              # real devices at rest
    python tools/nobody_check.py utd --data PATH/utd-mhad --subjects 7,8
    python tools/nobody_check.py utd-swapped --data PATH/utd-mhad  # the thigh's signal on the wrist's input
    python tools/nobody_check.py usc --data PATH/usc-had           # an IMU at the hip, of people who also sit and sleep

Windows are cut as in a live run but without waiting, and are cached. A recogniser of each combination of sensors
answers all of them in turn. ``rooms`` and ``unworn`` use a new room every five minutes.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections import Counter
from pathlib import Path
from typing import Callable, Dict, List, Mapping, Sequence

import numpy as np

from cosmo_runtime.models.activity_names import FALL, is_fall
from cosmo_runtime.models.bundle import Bundle, load_bundle
from cosmo_runtime.models.shelf import Shelf
from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.names import NOBODY, NONE, UNCERTAIN
from cosmo_runtime.places import cache_folder
from cosmo_runtime.runtime.engines.onnxruntime import OnnxRuntimeEngine
from cosmo_runtime.runtime.recognition.recognizer import Recognizer
from cosmo_runtime.sensors.config import DepthConfig
from cosmo_runtime.sensors.data_files import TO_SI, read_inertial
from cosmo_runtime.sensors.events import Sample
from cosmo_runtime.sensors.imu.witmotion import WitMotionParser
from cosmo_runtime.sensors.sensor import SensorInfo
from cosmo_runtime.sensors.simulation.motion import Motion
from cosmo_runtime.sensors.simulation.nobody import EmptyRoom, Unworn
from cosmo_runtime.sensors.simulation.offline import events, infos_of
from cosmo_runtime.sensors.simulation.person import HALF_CAMERA
from cosmo_runtime.sensors.simulation.utd import ACTIVITIES, ON_THE_THIGH
from cosmo_runtime.sources import parse_numbers
from cosmo_runtime.training.benchmark.everyday import taught_by
from cosmo_runtime.training.datasets.motion import utd_streams
from cosmo_runtime.training.datasets.store import decoded_once
from cosmo_runtime.training.datasets.stream import at_middle, windows_of
from cosmo_runtime.training.windows import Windows

_ROOM_S = 300.0
_COMBINATIONS = (
    *(("imu", "depth", "radar"), ("imu", "depth"), ("depth", "radar")),
    *(("imu",), ("depth",), ("radar",)),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("rooms", "unworn", "captures", "utd", "utd-swapped", "usc"))
    parser.add_argument("--bundle", type=Shelf().find, default=Shelf().find("person"), help="the model that answers")
    parser.add_argument("--minutes", type=float, default=10.0, help="minutes of emulated rooms")
    parser.add_argument("--seed", type=int, default=3000, help="seed of the first room")
    parser.add_argument("--data", type=Path, default=Path(), help="folder of the data")
    parser.add_argument("--subjects", type=parse_numbers, default=(7, 8), help="subjects of UTD-MHAD")
    parser.add_argument("--cache", type=Path, default=cache_folder(), help="cache of windows")
    options = parser.parse_args()
    bundle = load_bundle(options.bundle)
    spec = bundle.spec
    named = spec.model_copy(update={"classes": (*ACTIVITIES.values(), NONE)})
    groups: Dict[str, List[Windows]]
    if options.what in ("rooms", "unworn"):
        room: Callable[..., Motion] = EmptyRoom if options.what == "rooms" else Unworn
        seconds = min(_ROOM_S, 60 * options.minutes)
        seeds = range(options.seed, options.seed + math.ceil(60 * options.minutes / _ROOM_S))
        groups = {"": [_room(room, spec, seconds, options.cache, seed) for seed in seeds]}
    elif options.what == "captures":
        groups = {"WitMotion WT901": [_of_imu(spec, _witmotion(options.data), 100.0)]}
    elif options.what == "usc":
        groups = {}
        for path in sorted(options.data.glob("Subject*/a*t*.mat")):
            values = read_inertial(path, "sensor_readings", "USC-HAD") * TO_SI
            groups.setdefault(path.stem.split("t")[0], []).append(_of_imu(spec, values, 100.0))
    else:
        known = taught_by(bundle, options.subjects)
        if known:
            print(f"{bundle.path} learned from subjects {', '.join(map(str, known))}: no strangers", file=sys.stderr)
        groups = {"": [utd_streams(options.data, [subject], named, options.cache) for subject in options.subjects]}
        if options.what == "utd-swapped":
            swapped = [ACTIVITIES[action] for action in ON_THE_THIGH]
            groups = {"": [_labelled(windows, named, swapped) for windows in groups[""]]}
    found = {name: _measured(bundle, windows) for name, windows in groups.items()}
    print(json.dumps(found if len(found) > 1 else next(iter(found.values())), indent=2))


def _measured(bundle: Bundle, streams: Sequence[Windows]) -> Dict[str, Dict[str, int]]:
    """Counts of answers for each combination of sensors."""
    found = {}
    engine = OnnxRuntimeEngine(bundle.onnx)
    for sensors in _COMBINATIONS:
        count: Counter[str] = Counter()
        for windows in streams:
            recognizer = Recognizer(bundle, engine)
            for number in range(len(windows)):
                present = {
                    name: bool(there) and name in sensors
                    for name, there in zip(windows.features, windows.presence[number])
                }
                if any(present.values()):
                    _answered(recognizer, windows, number, present, count)
        if count:
            found[",".join(sensors)] = dict(count)
    return found


def _answered(
    recognizer: Recognizer, windows: Windows, number: int, present: Mapping[str, bool], count: Counter[str]
) -> None:
    inputs = {
        name: (1.0 if present[name] else 0.0) * np.asarray(array[number], np.float32)
        for name, array in windows.features.items()
    }
    found = recognizer.answer(inputs, present, number * recognizer.spec.hop_ns, 0)
    best = max(found.probabilities, key=found.probabilities.__getitem__)
    count["windows"] += 1
    count[NOBODY] += found.activity == NOBODY
    count[UNCERTAIN] += found.activity == UNCERTAIN
    count[FALL] += is_fall(found.activity)
    count["fall without the rule"] += is_fall(best)
    if present["imu"]:
        count["not worn"] += bool(found.unworn)


def _room(room: Callable[..., Motion], spec: ModelSpec, seconds: float, cache: Path, seed: int) -> Windows:
    def make() -> Windows:
        motion = room(seed, HALF_CAMERA)
        stream = events(motion, seconds, DepthConfig(decimation=1))
        return windows_of(stream, spec, infos_of(motion), at_middle, seed, f"room {seed}")

    return decoded_once(cache, f"{room.__name__.lower()}-{seed}", (spec, seconds), make)


def _of_imu(spec: ModelSpec, values: np.ndarray, rate_hz: float) -> Windows:
    """Windows of a real IMU's samples (n, 6 or 9), without other sensors."""
    nine = np.full((len(values), 9), np.nan, np.float32)
    nine[:, : values.shape[1]] = values
    stamps_ns = [round(number * 1e9 / rate_hz) for number in range(len(nine))]
    samples = [Sample("imu", stamp_ns, stamp_ns, row) for stamp_ns, row in zip(stamps_ns, nine)]
    return windows_of(samples, spec, {"imu": SensorInfo("imu", "a file", rate_hz)}, at_middle, 0, "a file")


def _labelled(windows: Windows, spec: ModelSpec, names: Sequence[str]) -> Windows:
    return windows.where(np.isin(windows.labels, [spec.classes.index(name) for name in names]))


def _witmotion(data: Path) -> np.ndarray:
    capture = (data / "captures" / "witmotion_wt901_first_half.bin").read_bytes()
    return np.array([reading.values for reading in WitMotionParser().feed(capture, 0)])


if __name__ == "__main__":
    main()
