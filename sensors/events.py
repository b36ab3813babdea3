"""The events of a rig, in one order: samples, changes of a sensor's state, ticks, true activities.

A live run and its replay process the same events in the same order, so a replay sees the same windows.
All times are nanoseconds of the host's monotonic clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Union

import numpy as np


@dataclass(frozen=True)
class Sample:
    """One measurement of one sensor.

    Attributes:
        sensor: the sensor's name in the rig, such as ``wrist``.
        stamp_ns: when it was measured, by the device's clock mapped to the host's; the arrival if it has no clock.
        arrival_ns: when its first bytes (serial) or its frame (camera) reached the host.
        data: by the sensor's kind:
            ``imu``: (9,) float32: acceleration x, y, z in m/s², angular rate x, y, z in rad/s, magnetic field
            x, y, z in µT. Values that the device does not send are NaN.
            ``radar``: (n, 5) float32, n >= 0 points: x, y, z in m (y away from the radar, z up), radial speed in
            m/s (positive: receding), signal to noise ratio in dB; NaN where the device does not send the last two.
            ``depth``: (height, width) uint16 in steps of the camera's depth scale, 0 where nothing was measured.
        raw: the bytes read from the device since the previous sample, for recordings; empty for cameras.
    """

    sensor: str
    stamp_ns: int
    arrival_ns: int
    data: np.ndarray
    raw: bytes = b""


@dataclass(frozen=True)
class StateChange:
    """A sensor became ``ok`` or ``lost``; ``reason`` is for people."""

    sensor: str
    at_ns: int
    state: str
    reason: str = ""


@dataclass(frozen=True)
class Correction:
    """From here on, the run takes ``taken_off_ns`` off each stamp of a sensor, to put it in step with the others.

    It counts from the stamps of the driver, which has taken the configured latency off, and replaces what was taken off
    before. Samples that come after this event have it off already.
    """

    sensor: str
    at_ns: int
    taken_off_ns: int


@dataclass(frozen=True)
class Truth:
    """From ``stamp_ns`` on, the person does ``activity``. Only emulated rigs and labelled sessions know it."""

    stamp_ns: int
    activity: str


@dataclass(frozen=True)
class Tick:
    """The host's clock reads ``now_ns``. A window that waited too long for a sensor closes on a tick."""

    now_ns: int


Event = Union[Sample, StateChange, Correction, Truth, Tick]


def host_ns(event: Event) -> int:
    """When an event came, by the host's clock; -1 for a true activity, which may come at any time."""
    if isinstance(event, Sample):
        return event.arrival_ns
    if isinstance(event, (StateChange, Correction)):
        return event.at_ns
    return event.now_ns if isinstance(event, Tick) else -1
