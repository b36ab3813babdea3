"""Feeds events to an aligner, and names what came out."""

from __future__ import annotations

from typing import Callable, Iterable, List

from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.runtime.windows.aligner import Aligner, Window
from cosmo_runtime.sensors.events import Event, Sample, StateChange
from tests.runtime.rigs import infos

Samples = Callable[..., List[Sample]]


INFOS = infos(imu=100.0, depth=15.0, radar=20.0)


S = 10**9


def fold(spec: ModelSpec, events: Iterable[Event], aligner: Aligner | None = None) -> List[Window]:
    return list((aligner or Aligner(spec, INFOS)).windows(events))


def ends_s(windows: Iterable[Window]) -> List[float]:
    return [window.end_ns / 1e9 for window in windows]


def all_ok(at_s: float = 0) -> List[Event]:
    return [StateChange(name, round(at_s * 1e9), "ok") for name in INFOS]
