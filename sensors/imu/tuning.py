"""Finds an IMU's protocol and rate by listening at one speed of the line."""

from __future__ import annotations

import math
import time
from typing import Union

import numpy as np

from cosmo_runtime.sensors.imu.stream import Measurements, Reading
from cosmo_runtime.sensors.imu.witmotion import WitMotionParser
from cosmo_runtime.sensors.imu.witmotion_bluetooth import WitMotionBluetoothParser
from cosmo_runtime.sensors.imu.xsens import XsensParser
from cosmo_runtime.sensors.serial_port import SerialPort

Parser = Union[WitMotionParser, WitMotionBluetoothParser, XsensParser]
PARSERS: dict[str, list[type[Parser]]] = {  # by the configuration's protocol
    "witmotion": [WitMotionParser, WitMotionBluetoothParser],
    "xsens": [XsensParser],
}

_RATES_HZ = (10, 20, 50, 100, 200, 400)
_LISTEN_S = 0.8  # enough for five measurements at 10 Hz, which show protocol and rate reliably
_SURE = 3  # readings; WitMotion's parser needs two measurements before the first
_SPREAD_NS = 100_000_000  # arrivals this far apart show the rate, though adapters hold bytes back for up to 16 ms
_LONG_SPREAD_NS = 500_000_000  # readings that show it by arrivals alone: a busy host receives some late
_FIRST_S = 1.5  # for the first byte: an emulated device is a process, which a busy machine keeps waiting
_SILENCE_S = 0.5  # a measuring device is never silent this long; at a wrong speed it is heard as noise
_NOISE_BYTES = 2000  # this many bytes hold enough measurements, if any


class Heard:
    """What one parser read at one speed.

    Attributes:
        protocol: the parser's protocol, as the configuration names it.
        baud: the speed of the line.
        parser: the parser, which has read all bytes so far.
        readings: the parser's readings.
        byte_count: how many bytes came.
    """

    def __init__(self, protocol: str, baud: int, parser: Parser) -> None:
        self.protocol = protocol
        self.baud = baud
        self.parser = parser
        self.readings: list[Reading] = []
        self.byte_count = 0

    def take(self, data: bytes, arrival_ns: int) -> None:
        """Parses the bytes that came next."""
        self.byte_count += len(data)
        self.readings += self.parser.feed(data, arrival_ns)

    @property
    def measures(self) -> bool:
        """Whether the readings hold acceleration or angular rate."""
        return sum(bool(np.isfinite(reading.values[:6]).any()) for reading in self.readings) >= _SURE

    @property
    def is_enough(self) -> bool:
        """Whether listening on is useless, because the device measures and its rate is clear."""
        steps = self._steps()
        long_enough_ns = _SPREAD_NS if steps and 0 not in steps else _LONG_SPREAD_NS
        return self.measures and _spread_ns(self.readings) >= long_enough_ns

    def rates_hz(self) -> list[int]:
        """The device's rate by its clock and by the arrivals, where they show it, the likelier one first.

        A line that loses readings shows too few arrivals, so the clock comes first. A clock that stood still comes
        last, because it is coarse and its steps are too long.
        """
        steps = self._steps()
        moved = [step for step in steps if step]
        measured_hz = [1e9 / (min(moved) * self.parser.tick_ns)] if moved else []
        readings = self._measurements()
        spread_ns = _spread_ns(readings)
        if spread_ns >= _SPREAD_NS:
            later = sum(reading.arrival_ns > readings[0].arrival_ns for reading in readings)
            measured_hz.insert(0 if 0 in steps else len(measured_hz), later / spread_ns * 1e9)
        return [min(_RATES_HZ, key=lambda rate_hz: abs(math.log(rate_hz / each_hz))) for each_hz in measured_hz]

    def _measurements(self) -> list[Reading]:
        """The readings that begin a measurement."""
        measurements = Measurements()
        return [reading for reading in self.readings if measurements.begins(reading)]

    def _steps(self) -> list[int]:
        """The ticks from each measurement to the next on the device's clock, without steps back, where it was set."""
        ticks = [reading.ticks for reading in self._measurements() if reading.ticks is not None]
        return [later - earlier for earlier, later in zip(ticks, ticks[1:]) if later >= earlier]


def listen(port: SerialPort, baud: int) -> Heard:
    """Listens at one speed with every parser, and returns the result of the one that read the most.

    Raises:
        SensorLost: the device was unplugged.
    """
    port.set_baud(baud)
    listeners = [Heard(protocol, baud, parser()) for protocol, parsers in PARSERS.items() for parser in parsers]
    data = port.read(_FIRST_S)
    deadline = time.monotonic() + _LISTEN_S
    while data:
        arrival_ns = time.monotonic_ns()
        for each in listeners:
            each.take(data, arrival_ns)
        if any(each.is_enough for each in listeners):
            break
        if listeners[0].byte_count >= _NOISE_BYTES and not any(each.measures for each in listeners):
            break
        left_s = deadline - time.monotonic()
        data = port.read(min(left_s, _SILENCE_S)) if left_s > 0 else b""
    return max(listeners, key=lambda each: (each.measures, bool(each.parser.unusable()), len(each.readings)))


def _spread_ns(readings: list[Reading]) -> int:
    """Returns the time from the first arrival to the last."""
    return readings[-1].arrival_ns - readings[0].arrival_ns if readings else 0
