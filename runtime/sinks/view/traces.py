"""The live view's memory of each sensor: its state, its rate, and its recent signal as a line."""

from __future__ import annotations

import math
from collections import deque
from typing import Callable, Deque, List, Sequence

import numpy as np
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from cosmo_runtime.kinds import Kinds
from cosmo_runtime.sensors.events import Sample
from cosmo_runtime.sensors.sensor import SensorInfo

_SPARKS = " ▁▂▃▄▅▆▇█"
_SPARK_LENGTH = 60
_RATE_SECONDS = 2.0


class Trace:
    """The state, recent rate and recent signal of one sensor. Rich renders it as a line."""

    def __init__(self, info: SensorInfo) -> None:
        self.info = info
        self.state = "waiting"
        self._arrivals: Deque[int] = deque(maxlen=1000)
        self._values: Deque[float] = deque(maxlen=_SPARK_LENGTH)
        self._pending: List[float] = []

    def add(self, sample: Sample) -> None:
        """Notes a sample."""
        self.state = "ok"
        self._arrivals.append(sample.arrival_ns)
        self._pending.append(SIGNALS[self.info.kind](sample))
        if len(self._pending) >= self.info.rate_hz / 10:
            self._values.append(max(self._pending))
            self._pending.clear()

    def rate_hz(self, now_ns: int) -> float:
        """Returns how many samples arrived per second over the last two seconds."""
        since_ns = now_ns - round(_RATE_SECONDS * 1e9)
        return sum(arrival_ns > since_ns for arrival_ns in self._arrivals) / _RATE_SECONDS

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> RenderResult:
        yield Text(_spark_line(list(self._values)[-options.max_width :]), style="cyan", no_wrap=True)


def _acceleration(sample: Sample) -> float:
    size = float(np.linalg.norm(sample.data[:3]))
    return size if math.isfinite(size) else 0.0


def _mean_depth(sample: Sample) -> float:
    middle = sample.data[:: max(1, len(sample.data) // 16)]
    return float(np.mean(middle[middle > 0])) if middle.any() else 0.0


SIGNALS: Kinds[Callable[[Sample], float]] = Kinds("how the live view draws it")
"""One number of a sample that moves with the person, by kind of sensor."""
SIGNALS.register("imu", _acceleration)
SIGNALS.register("depth", _mean_depth)
SIGNALS.register("radar", lambda sample: float(len(sample.data)))


def _spark_line(values: Sequence[float]) -> str:
    if not values:
        return ""
    low, high = min(values), max(values)
    span = high - low or 1.0
    return "".join(_SPARKS[1 + int((value - low) / span * (len(_SPARKS) - 2))] for value in values)
