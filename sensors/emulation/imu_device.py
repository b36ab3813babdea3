"""An emulated IMU: plays a motion through a serial cable, byte for byte like a real device."""

from __future__ import annotations

import struct
import threading
import time
from collections import Counter
from typing import Iterator

import numpy as np

from cosmo_runtime.sensors.emulation.pty import PtyPort
from cosmo_runtime.sensors.imu import witmotion, xsens
from cosmo_runtime.sensors.imu.stream import ByteStream
from cosmo_runtime.sensors.simulation.motion import Motion

_CLOCK_DRIFT = 20e-6  # the device's clock against the host's
_BLOCK_S = 0.25  # this much motion is computed at a time


class EmulatedImu:
    """A WitMotion or Xsens IMU that measures a motion.

    Args:
        port: the device's end of the cable.
        motion: what it measures, at ``motion.imu_rate_hz`` until a host asks for another rate.
        place: where the IMU is worn, one of ``motion.imu_places``.
        protocol: ``witmotion`` or ``xsens``.
    """

    def __init__(self, port: PtyPort, motion: Motion, place: str, protocol: str) -> None:
        self._port = port
        self._place = place
        self._motion = motion
        firmware = _WitMotion if protocol == "witmotion" else _Xsens
        self._firmware: _WitMotion | _Xsens = firmware(port, motion.imu_rate_hz)

    def run(self, stop: threading.Event, start_ns: int) -> None:
        """Sends each measurement at its time until the motion ends, and late ones as fast as the line allows.

        Args:
            stop: ends the motion early.
            start_ns: when the motion starts, in nanoseconds of the host's monotonic clock.
        """
        for time_s, values in self._measurements():
            while not stop.is_set():
                wait_s = time_s - (time.monotonic_ns() - start_ns) * 1e-9
                command = self._port.read(min(max(0.0, wait_s), 0.1))
                if command:
                    self._firmware.obey(command)
                elif wait_s <= 0:
                    break
            if stop.is_set():
                return
            self._port.write(self._firmware.encode(values, time_s))

    def _measurements(self) -> Iterator[tuple[float, np.ndarray]]:
        """Yields time (s) and values (9,) at the firmware's rate, which may change at any time."""
        start_s = 0.0
        while start_s <= self._motion.duration_s:
            rate_hz = self._firmware.rate_hz
            times_s = start_s + np.arange(max(1, round(_BLOCK_S * rate_hz))) / rate_hz
            times_s = times_s[times_s <= self._motion.duration_s]
            for time_s, values in zip(times_s, self._motion.imu(times_s, self._place)):
                yield time_s, values
                start_s = time_s + 1 / self._firmware.rate_hz
                if self._firmware.rate_hz != rate_hz:
                    break


class _WitMotion:
    """The protocol of a WitMotion device that is set up to send its clock."""

    def __init__(self, port: PtyPort, rate_hz: float) -> None:
        self.rate_hz = rate_hz
        self._port = port
        self._unlocked = False
        self._outputs = sum(witmotion.OUTPUT_BITS.values())

    def encode(self, values: np.ndarray, time_s: float) -> bytes:
        has_clock, *has_vectors = (self._outputs & bit for bit in witmotion.OUTPUT_BITS.values())
        sent = np.where(np.repeat(has_vectors, 3), values, np.nan)
        return witmotion.encode_sample(sent, int(time_s * (1 + _CLOCK_DRIFT) * 1e3) if has_clock else None)

    def obey(self, data: bytes) -> None:
        for register, value in witmotion.decode_commands(data):
            if register == witmotion.UNLOCK:
                self._unlocked = value == witmotion.UNLOCKED
            elif not self._unlocked:
                continue
            elif register == witmotion.OUTPUT_SET:
                self._outputs = value
            elif register == witmotion.RATE:
                self.rate_hz = {code: rate_hz for rate_hz, code in witmotion.RATES.items()}.get(value, self.rate_hz)
            elif register == witmotion.BAUD:
                self._port.baud = {code: baud for baud, code in witmotion.BAUDS.items()}.get(value, self._port.baud)


class _Xsens:
    """The protocol of an Xsens device of the 600 series."""

    def __init__(self, port: PtyPort, rate_hz: float) -> None:
        self.rate_hz = rate_hz
        self._port = port
        self._measures = True
        self._counter = 0
        self._commands = ByteStream()

    def encode(self, values: np.ndarray, time_s: float) -> bytes:
        if not self._measures:
            return b""
        self._counter += 1
        return xsens.encode_sample(values, self._counter, int(time_s * (1 + _CLOCK_DRIFT) * 1e4))

    def obey(self, data: bytes) -> None:
        self._commands.append(data, 0)
        for identifier, outputs, _ in xsens.messages(self._commands, Counter()):
            if identifier == xsens.GO_TO_CONFIG:
                self._measures = False
            elif identifier == xsens.SET_OUTPUT and not self._measures:
                rates = dict(struct.iter_unpack(">HH", outputs))
                self.rate_hz = rates.get(xsens.ACCELERATION, self.rate_hz)
            elif identifier == xsens.GO_TO_MEASUREMENT:
                self._measures = True
            else:
                continue
            answer = outputs if identifier == xsens.SET_OUTPUT else b""
            self._port.write(xsens.encode_message(identifier + 1, answer))
