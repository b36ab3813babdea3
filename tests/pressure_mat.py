"""A kind of sensor that the project does not know: a pressure mat, rows x columns at 10 Hz. All of it is in this file.

A package of somebody else would name ``register`` as an entry point of the group ``cosmo_runtime.kinds``.
"""

from __future__ import annotations

import time
from typing import Any, List, Mapping

import numpy as np
from foxglove_schemas_protobuf.Grid_pb2 import Grid
from foxglove_schemas_protobuf.PackedElementField_pb2 import PackedElementField

from cosmo_runtime.models.kinds import KINDS, Kind
from cosmo_runtime.runtime.sinks.view import SIGNALS
from cosmo_runtime.sensors.config import SensorConfig
from cosmo_runtime.sensors.discovery import Others
from cosmo_runtime.sensors.events import Sample
from cosmo_runtime.sensors.kinds import SENSORS, SensorKind
from cosmo_runtime.sensors.recording.messages import Message
from cosmo_runtime.sensors.recording.samples import CODECS, Codec
from cosmo_runtime.sensors.sensor import Sensor, SensorInfo

RATE_HZ = 10.0


class MatConfig(SensorConfig):
    """``[sensors.NAME]`` with ``kind = "mat"``."""

    rows: int = 4
    columns: int = 6


class PressureMat(Sensor):
    """Somebody shifts their weight once a second."""

    def __init__(self, name: str, config: MatConfig) -> None:
        self._shape = (config.rows, config.columns)
        self.info = SensorInfo(name, "a pressure mat", RATE_HZ, kind="mat")
        self._next_s = 0.0

    def connect(self) -> None:
        self._next_s = time.monotonic()

    def read(self, timeout_s: float) -> List[Sample]:
        wait_s = self._next_s - time.monotonic()
        time.sleep(max(0.0, min(wait_s, timeout_s)))
        if wait_s > timeout_s:
            return []
        now_ns = time.monotonic_ns()
        self._next_s += 1 / RATE_HZ
        left = 0.5 + 0.5 * np.sin(2 * np.pi * now_ns * 1e-9)
        pressure = np.zeros(self._shape, np.float32)
        pressure[:, : self._shape[1] // 2], pressure[:, self._shape[1] // 2 :] = left, 1 - left
        self.info.counts["samples"] += 1
        return [Sample(self.info.name, now_ns, now_ns, pressure)]

    def disconnect(self) -> None:
        pass


def encoder(shape: Any, dim: int) -> Any:
    """The networks' first part: steps of (rows, columns) -> an embedding of length 1."""
    import torch
    from torch import nn

    class MatEncoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Linear(2 * shape[0] * shape[1], dim)

        def fit(self, x: Any) -> None:
            """Pressure is from 0 to 1 as it is."""

        def forward(self, x: Any) -> Any:
            x = x.flatten(2)
            z = self.embed(torch.cat([x.mean(1), (x - x.mean(1, keepdim=True)).abs().mean(1)], dim=1))
            return z / (z * z).sum(1, keepdim=True).sqrt().clamp(1e-6, 1e4)

    return MatEncoder()


def _encode(sample: Sample, wall_ns: int) -> List[Message]:
    columns = sample.data.shape[1]
    grid = Grid(
        frame_id=sample.sensor,
        column_count=columns,
        row_stride=4 * columns,
        cell_stride=4,
        fields=[PackedElementField(name="pressure", offset=0, type=PackedElementField.FLOAT32)],
        data=sample.data.tobytes(),
    )
    topic = f"/{sample.sensor}/grid"
    return [Message(topic, sample.arrival_ns, sample.stamp_ns, grid.SerializeToString(), "")]


def _decode(data: bytes, _: Mapping[str, Any]) -> np.ndarray:
    grid = Grid.FromString(data)
    return np.frombuffer(grid.data, np.float32).reshape(-1, grid.column_count)


def _open(name: str, config: MatConfig, others: Others) -> Sensor:
    return PressureMat(name, config)


def register() -> None:
    SENSORS.register("mat", SensorKind(MatConfig, _open))
    CODECS.register("mat", Codec("/grid", {}, _encode, _decode))
    SIGNALS.register("mat", lambda sample: float(sample.data[:, 0].sum()))
    KINDS.register(
        "mat",
        Kind(
            shapes="(rows, columns)",
            fits=lambda shape: len(shape) == 2,
            cut="nearest",
            features=lambda raw, shape, scale_m: np.asarray(raw, np.float32),
            encoder="tests.pressure_mat:encoder",
        ),
    )
    try:
        from cosmo_runtime.training.augment import CHANGES
    except ImportError:  # a live run needs no training
        return
    CHANGES.register("mat", lambda x, turn, generator: x)
