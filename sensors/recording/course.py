"""Checks that a recorded event can follow the previous ones, whatever the file claims.

Readers size their buffers and loops by times and shapes, so one wrong number could cost hours or all memory.
"""

from __future__ import annotations

from typing import Dict, Mapping, Optional, Tuple

from cosmo_runtime.sensors.events import Event, Sample, Truth, host_ns
from cosmo_runtime.sensors.sensor import SensorInfo

_SECOND_NS = 10**9
_MOST_NS = 2**62
_PAUSE_NS = 24 * 3600 * _SECOND_NS  # between two events; a rig may be unplugged for a night
_BACK_NS = 3600 * _SECOND_NS  # sensors are read in turn, and a process that was stopped reads a backlog
_AHEAD_NS = 60 * _SECOND_NS  # how far a stamp may lie after its arrival
_MOST_PIXELS_HZ = 40e6  # a RealSense delivers at most 848 x 480 at 90 Hz


class Course:
    """Follows the events of a recording in order.

    Args:
        infos: the known sensors. Others must not deliver samples.
    """

    def __init__(self, infos: Mapping[str, SensorInfo]) -> None:
        self._infos = infos
        self._latest_ns: Optional[int] = None
        self._images: Dict[str, Tuple[int, ...]] = {}

    def check(self, event: Event) -> None:
        """Checks the next event.

        Raises:
            ValueError: it cannot follow the previous ones; says why.
        """
        at_ns = event.stamp_ns if isinstance(event, Truth) else host_ns(event)
        if not 0 <= at_ns <= _MOST_NS:
            raise ValueError(f"its time of {at_ns / 1e9:.0f} s is impossible for a running machine")
        latest_ns = at_ns if self._latest_ns is None else self._latest_ns
        if not -_BACK_NS <= at_ns - latest_ns <= _PAUSE_NS:
            raise ValueError(f"it comes {_apart(at_ns - latest_ns)} what came before")
        if not isinstance(event, Truth):  # it may come at any time
            self._latest_ns = max(latest_ns, at_ns)
        if isinstance(event, Sample):
            if not -_BACK_NS <= event.stamp_ns - at_ns <= _AHEAD_NS or event.stamp_ns < 0:
                raise ValueError(f"it was measured {_apart(event.stamp_ns - at_ns)} its arrival")
            self._check_sensor(event)

    def _check_sensor(self, sample: Sample) -> None:
        info = self._infos.get(sample.sensor)
        if info is None:
            raise ValueError(f"the sensor {sample.sensor} is unknown")
        shape, before = sample.data.shape, self._images.get(sample.sensor)
        if info.kind == "depth" and shape != before:
            if before is not None:
                raise ValueError(f"its image is {_size(shape)}, but earlier ones are {_size(before)}")
            self._images[sample.sensor] = shape
            if sample.data.size * max(info.rate_hz, 1.0) > _MOST_PIXELS_HZ:
                raise ValueError(f"images of {_size(shape)} at {info.rate_hz:g} Hz are more than a camera delivers")


def _apart(difference_ns: int) -> str:
    return f"{abs(difference_ns) / 1e9:.0f} s {'after' if difference_ns > 0 else 'before'}"


def _size(shape: Tuple[int, ...]) -> str:
    return f"{shape[1]} x {shape[0]}"
