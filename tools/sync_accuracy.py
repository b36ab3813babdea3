"""Measures the cost of sensors that are out of step.

    python tools/sync_accuracy.py --data PATH/utd-mhad --bundle PATH/everyday-0

The windows are those of the live streams of UTD-MHAD, subjects 7 and 8, whom the bundle has never seen: what ships
learned from all, so a twin is made by `tools/train_everyday.py --train 1-6`. One sensor after the other gets late
stamps: a window then shows what that sensor saw that much earlier. Then the delays that `cosmo-runtime sync` finds in
the stream are corrected, including those that UTD-MHAD has by itself. Windows hold images and radar frames ten times
a second, so delays of these are rounded to 100 ms, and of the IMU to 20.

Accuracy is that of windows with an action at their middle, by the bundle's own names of activities.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Dict, Mapping

import numpy as np

from cosmo_runtime.models.bundle import load_bundle
from cosmo_runtime.models.shelf import Shelf
from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.places import cache_folder
from cosmo_runtime.runtime.cli.values import numbers
from cosmo_runtime.runtime.engines.onnxruntime import OnnxRuntimeEngine
from cosmo_runtime.runtime.sync.estimate import estimate
from cosmo_runtime.tools.sync_check import shifted, stream_of_subject
from cosmo_runtime.training.benchmark.everyday import require_strangers
from cosmo_runtime.training.datasets.everyday import LIKE_NAMED, real_people
from cosmo_runtime.training.windows import Windows

_GRID_MS = {"imu": 20, "depth": 100, "radar": 100}  # the grid of each sensor in the windows, two a second

Late = Mapping[int, Mapping[str, float]]
"""Milliseconds by subject and sensor."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of UTD-MHAD")
    parser.add_argument("--subjects", type=numbers, default=(7, 8))
    parser.add_argument("--late", type=float, default=300.0, metavar="MS")
    parser.add_argument("--bundle", type=Shelf().find, required=True)
    parser.add_argument("--cache", type=Path, default=cache_folder(), help="cache of windows and streams")
    options = parser.parse_args()
    bundle = load_bundle(options.bundle)
    require_strangers(bundle, options.subjects)
    engine = OnnxRuntimeEngine(bundle.onnx)
    windows = real_people(options.data, options.subjects, options.cache)
    print("| late | windows right | of actions that it has names for |\n|---|---|---|")
    print(f"| none | {_accuracy(bundle.spec, engine, windows)} |", flush=True)
    for sensor in _GRID_MS:
        late: Late = {who: {sensor: options.late} for who in options.subjects}
        print(f"| {sensor}, {options.late:g} ms | {_accuracy(bundle.spec, engine, _late(windows, late))} |", flush=True)
        left = {who: _left(options, who, late[who]) for who in options.subjects}
        print(
            f"| {sensor}, {options.late:g} ms, put in step | {_accuracy(bundle.spec, engine, _late(windows, left))} |",
            flush=True,
        )


def _left(options: argparse.Namespace, who: int, late_ms: Mapping[str, float]) -> Dict[str, float]:
    """What remains of the delays after those found in the stream are corrected."""
    stream = stream_of_subject(who, options.data, options.cache / "sync")
    steps = estimate([{name: shifted(of, late_ms.get(name, 0.0) * 1e-3) for name, of in stream.items()}])
    return {name: late_ms.get(name, 0.0) - 1e3 * step.delay_s for name, step in steps.items() if not step.refusal}


def _late(windows: Windows, late: Late) -> Windows:
    """Windows of the same streams with stamps that are late, or early if the delay is negative."""
    features = {}
    for sensor, array in windows.features.items():
        grid = _GRID_MS[sensor]
        pieces = [
            _shown_late(array[windows.groups == who], sensor, round(of.get(sensor, 0.0) / grid))
            for who, of in late.items()
        ]
        features[sensor] = np.concatenate(pieces)
    return replace(windows, features=features)


def _shown_late(array: np.ndarray, sensor: str, by: int) -> np.ndarray:
    """One stream, where each time now shows what the sensor saw ``by`` steps of the grid before."""
    count, steps = array.shape[:2]
    hop, step = 500 // _GRID_MS[sensor], 2000 // steps // _GRID_MS[sensor]
    at = hop * np.arange(count)[:, None] + step * np.arange(-steps + 1, 1)  # on the grid, by window and step
    at -= at.min()
    stream, known = np.zeros((int(at.max()) + 1, *array.shape[2:]), array.dtype), np.zeros(int(at.max()) + 1, int)
    stream[at], known[at] = array, at
    stream = stream[np.maximum.accumulate(known)]  # the first and the last window only have every second step
    return stream[(at - by).clip(0, len(stream) - 1)]


def _accuracy(spec: ModelSpec, engine: OnnxRuntimeEngine, windows: Windows) -> str:
    labelled = np.flatnonzero(windows.labels >= 0)
    predicted = np.array([_answer(spec, engine, windows, int(number)) for number in labelled])
    right = predicted == windows.labels[labelled]
    named = np.isin(windows.recordings[labelled], list(LIKE_NAMED))
    return f"{right.mean():.1%} of {len(right)} | {right[named].mean():.1%} of {named.sum()}"


def _answer(spec: ModelSpec, engine: OnnxRuntimeEngine, windows: Windows, number: int) -> int:
    inputs: Dict[str, np.ndarray] = {
        name: np.asarray(array[number], np.float32) * windows.presence[number, column]
        for column, (name, array) in enumerate(windows.features.items())
    }
    inputs["presence"] = windows.presence[number].astype(np.float32)
    reading = spec.reading(windows.presence[number])
    return int(reading.of(engine.infer(inputs)[0], spec.classes).argmax())


if __name__ == "__main__":
    main()
