"""Recordings of someone who sways, as the windows of ``conftest`` have it."""

from __future__ import annotations

from pathlib import Path
from typing import List, Sequence, Tuple
from unittest import mock

import numpy as np

from cosmo_runtime.runtime.labels.table import labels_beside, write_labels
from cosmo_runtime.runtime.labels.truth import Segment
from cosmo_runtime.sensors.events import Sample
from cosmo_runtime.sensors.recording import Recording, RecordingWriter
from cosmo_runtime.sensors.sensor import SensorInfo

HERTZ = {"still": 0.0, "slow": 0.5, "fast": 1.5}
PLAN = [("still", 4.0), ("slow", 4.0), ("fast", 4.0), ("shake", 4.0)]
_NS = 10**9


def record(path: Path, rounds: int = 3, sensors: Sequence[str] = ("imu", "depth", "radar"), seed: int = 0) -> Path:
    """Each activity in turn, with a second between; ``shake`` is one that the bundle has never seen.

    Returns:
        The table of labels beside the recording.
    """
    random, events, segments = np.random.default_rng(seed), [], []  # type: ignore[var-annotated]
    now_s = 1.0 + 1000 * seed  # no two recordings begin at the same time
    for _ in range(rounds):
        for activity, seconds in PLAN:
            segments.append(Segment(round(now_s * _NS), round((now_s + seconds) * _NS), activity))
            events += _events(activity, now_s, now_s + seconds + 1, random)
            now_s += seconds + 1
    # a writer that takes its time would note what the clock shows, which is long after these events
    infos = {"imu": SensorInfo("imu", "made up", 20), "depth": SensorInfo("depth", "made up", 5, depth_scale_m=0.001)}
    infos["radar"] = SensorInfo("radar", "made up", 5)
    rig = {name: infos[name] for name in sensors}
    with mock.patch.object(RecordingWriter, "_add_clock"), RecordingWriter(path, rig) as writer:
        for stamp_ns, sensor, data in sorted(events, key=lambda event: event[:2]):
            if sensor in sensors:
                writer.write(Sample(sensor, stamp_ns, stamp_ns, data))
    assert writer.dropped == 0
    write_labels(labels_beside(path), segments, Recording(path))
    return labels_beside(path)


def _events(
    activity: str, start_s: float, end_s: float, random: np.random.Generator
) -> List[Tuple[int, str, np.ndarray]]:
    hertz, distance, phase = HERTZ.get(activity, 0.0), random.uniform(1.5, 2.5), random.uniform(0, 2 * np.pi)
    found = []
    for sensor, rate_hz in (("imu", 20), ("depth", 5), ("radar", 5)):
        for step in range(round((end_s - start_s) * rate_hz)):
            at_s = start_s + step / rate_hz
            sway = np.sin(2 * np.pi * hertz * at_s + phase) * (hertz > 0)
            if sensor == "imu":
                data = random.normal(0, 0.3, 9)
                data[0] += 4 * sway
                data[2] += 9.8
                if activity == "shake":
                    data[1] += 6 * np.sin(2 * np.pi * 4 * at_s)
                data = data.astype(np.float32)
            elif sensor == "depth":
                data = np.full((8, 10), 4000, np.uint16)
                x = round(4 + 3 * sway)
                data[2:, x : x + 2] = round(distance * 1000)
            else:
                data = random.normal([0, distance, 1, 0, 15], [0.1, 0.1, 0.3, 0.05, 2], (2, 5))
                data[:, 3] += 2 * hertz * sway
                data = data.astype(np.float32)
            found.append((round(at_s * _NS), sensor, data))
    return found
