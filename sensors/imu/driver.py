"""The inertial sensor: finds it, tells its protocol and speed by listening, and stamps what it measures."""

from __future__ import annotations

import math
import time
from typing import Collection, Union

from sensors.clock import DeviceClock
from sensors.config import ImuConfig
from sensors.discovery import imu_ports
from sensors.events import Sample
from sensors.imu.stream import Reading
from sensors.imu.witmotion import WitMotionParser
from sensors.imu.xsens import GO_TO_MEASUREMENT, XsensParser, encode_message
from sensors.sensor import Sensor, SensorError, SensorInfo, SensorLost, SensorNotFound
from sensors.serial_port import SerialPort

_Parser = Union[WitMotionParser, XsensParser]
_PARSERS: dict[str, type[_Parser]] = {"witmotion": WitMotionParser, "xsens": XsensParser}
_BAUDS = (115200, 9600, 230400, 921600, 460800)  # the likeliest first: 9600 is WitMotion's default, 115200 Xsens'
_RATES_HZ = (10, 20, 50, 100, 200, 400)
_LISTEN_S = 0.8  # time for the five measurements at 10 Hz that it takes to be sure of protocol and rate
_SURE = 3  # readings; WitMotion's parser needs two measurements before the first
_SPREAD_NS = 100_000_000  # arrivals so far apart tell a rate, though adapters hold bytes back for up to 16 ms
_SILENCE_S = 0.5  # a device that measures is never silent for so long; at a wrong speed it is heard as noise
_NOISE_BYTES = 2000  # so many bytes hold enough measurements, if any
_COMMAND_PAUSE_S = 0.1  # WitMotion devices miss commands that follow each other faster


class Imu(Sensor):
    """A WitMotion or Xsens IMU on a serial port.

    Args:
        config: where it is and how to set it up; what is not given is found out.
        name: of the sensor in its samples.
        taken: serial ports of other sensors, where it is not looked for.
    """

    def __init__(self, config: ImuConfig, name: str = "imu", taken: Collection[str] = ()) -> None:
        self._config = config
        self._taken = taken
        where = config.port or f"the serial port {config.serial_number or 'where one is heard'}"
        self.info = SensorInfo(name, f"IMU on {where}", config.rate_hz)
        self._port: SerialPort | None = None
        self._baud: int | None = None  # of the latest connection, the first to try at the next
        self._parser: _Parser
        self._clock: DeviceClock
        self._unread: list[Reading] = []
        self._heard_bytes = 0  # while tuning in
        self._stamp_ns = 0

    def connect(self) -> None:
        """Finds the device, sets it up if asked to, and waits for its first measurement.

        Raises:
            SensorNotFound: there is no port, or no IMU is heard on it.
            SensorError: the port cannot be used, or the device does not obey its configuration.
        """
        self.disconnect()
        port, serial_number = self._config.port, self._config.serial_number
        self._open_any([port] if port else imu_ports(serial_number, self._taken))

    def read(self, timeout_s: float) -> list[Sample]:
        """Returns the samples that have arrived; see ``Sensor.read``.

        Raises:
            SensorLost: the device was unplugged, or is not connected.
        """
        if self._port is None:
            raise SensorLost(f"{self.info.device}: not connected")
        deadline = time.monotonic() + timeout_s
        readings, self._unread = self._unread, []
        while not readings:
            wait_s = deadline - time.monotonic()
            data = self._port.read(max(0.0, wait_s))
            readings = self._parser.feed(data, time.monotonic_ns())
            if wait_s <= 0:
                break
        return [self._sample(reading) for reading in readings]

    def disconnect(self) -> None:
        """Closes the port."""
        if self._port is not None:
            self._port.close()
        self._port = None

    def _open_any(self, paths: list[str]) -> None:
        """Opens the first port on which an IMU is heard."""
        failures = []
        for path in paths:
            try:
                return self._open(path)
            except SensorError as error:
                self.disconnect()
                failures.append(error)
        raise failures[0] if len(failures) == 1 else SensorNotFound(" ".join(map(str, failures)))

    def _open(self, path: str) -> None:
        """Opens a port and tries speeds until an IMU is heard, then configures it if asked to."""
        # A device that is configured may still have the speed that it was raised to.
        usual = _BAUDS if self._config.configure or not self._config.baud else ()
        bauds = [baud for baud in dict.fromkeys((self._baud, self._config.baud, *usual)) if baud]
        port = self._port = SerialPort(path, bauds[0], "IMU")
        self._heard_bytes = 0
        baud = self._tuned(port, bauds)
        if baud is None and not self._heard_bytes:
            raise SensorNotFound(f"IMU on {path}: nothing is heard. Is it powered, and does it measure?")
        if baud is None:
            protocols = " or ".join(self._protocols())
            raise SensorNotFound(
                f"IMU on {path}: bytes arrive, but no {protocols} measurements at {', '.join(map(str, bauds))} baud."
                " Is it another device?"
            )
        self._baud = self._configure(port, baud) if self._config.configure else baud
        self._parser.counts = self.info.counts  # what was skipped while tuning in was not lost
        self._clock = DeviceClock(self._parser.tick_ns, self._parser.wrap_ticks)
        rates_hz = [] if self._config.configure else self._rates_hz()
        self.info.rate_hz = next(iter(rates_hz), self._config.rate_hz)
        self.info.device = f"IMU on {path}, {self._parser.name}, {self._baud} baud"

    def _protocols(self) -> list[str]:
        return list(_PARSERS) if self._config.protocol == "auto" else [self._config.protocol]

    def _tuned(self, port: SerialPort, bauds: list[int]) -> int | None:
        """Returns the first speed at which an IMU is heard; None if it is at none."""
        for baud in bauds:
            if self._hears(port, baud):
                return baud
            if not self._heard_bytes:  # not even the noise of a wrong speed
                break
        if self._config.configure and self._config.protocol == "xsens" and not self._heard_bytes:
            for baud in bauds:  # it may have been left in its configuration mode, where it is silent
                port.set_baud(baud)
                port.write(encode_message(GO_TO_MEASUREMENT))
                if self._hears(port, baud):
                    return baud
        return None

    def _hears(self, port: SerialPort, baud: int) -> bool:
        """Listens for measurements in any protocol that may be; keeps the parser and what it read."""
        port.set_baud(baud)
        heard: list[tuple[_Parser, list[Reading]]] = [(_PARSERS[protocol](), []) for protocol in self._protocols()]
        deadline = time.monotonic() + _LISTEN_S
        heard_bytes = 0
        while heard_bytes < _NOISE_BYTES:
            left_s = deadline - time.monotonic()
            data = port.read(min(left_s, _SILENCE_S)) if left_s > 0 else b""
            if not data:
                break
            heard_bytes += len(data)
            self._heard_bytes += len(data)
            arrival_ns = time.monotonic_ns()
            for self._parser, self._unread in heard:
                self._unread += self._parser.feed(data, arrival_ns)
                if len(self._unread) >= _SURE and _spread_ns(self._unread) >= _SPREAD_NS:
                    return True
        self._parser, self._unread = max(heard, key=lambda each: len(each[1]))
        return len(self._unread) >= _SURE

    def _rates_hz(self) -> list[int]:
        """Tells the device's rate from what was heard: first by its clock, then by the arrivals, where these can tell.

        A coarse clock may show too long a step, a line that loses readings too few arrivals; hardly ever both at once.
        """
        ticks = [reading.ticks for reading in self._unread if reading.ticks is not None]
        steps = [later - earlier for earlier, later in zip(ticks, ticks[1:]) if later > earlier]
        measured_hz = [1e9 / (min(steps) * self._parser.tick_ns)] if steps else []
        spread_ns = _spread_ns(self._unread)
        if spread_ns >= _SPREAD_NS:
            later = sum(reading.arrival_ns > self._unread[0].arrival_ns for reading in self._unread)
            measured_hz.append(later / spread_ns * 1e9)
        return [min(_RATES_HZ, key=lambda rate_hz: abs(math.log(rate_hz / each_hz))) for each_hz in measured_hz]

    def _configure(self, port: SerialPort, baud: int) -> int:
        """Sets the device up and returns the speed at which it speaks from then on."""
        commands, baud = self._parser.configuration(self._config.rate_hz, baud)
        for command in commands:
            port.write(command)
            time.sleep(_COMMAND_PAUSE_S)
        if not self._hears(port, baud):
            raise SensorError(f"IMU on {port.path}: no measurements after it was set to {self._config.rate_hz} Hz.")
        rates_hz = self._rates_hz()
        if rates_hz and self._config.rate_hz not in rates_hz:
            raise SensorError(
                f"IMU on {port.path}: was set to {self._config.rate_hz} Hz but measures at {rates_hz[0]} Hz. Set"
                " rate_hz to what it can do, or configure = false to take it as it is."
            )
        if all(reading.ticks is None for reading in self._unread):
            raise SensorError(
                f"IMU on {port.path}: was set to send its time but sends none. Set configure = false to take it so."
            )
        return baud

    def _sample(self, reading: Reading) -> Sample:
        stamp_ns = reading.arrival_ns
        if reading.ticks is not None:
            resets = self._clock.resets
            stamp_ns = self._clock.to_host(reading.ticks, reading.arrival_ns)
            self.info.counts["clock_resets"] += self._clock.resets - resets
        self._stamp_ns = max(stamp_ns - round(self._config.latency_ms * 1e6), self._stamp_ns + 1)
        self.info.counts["samples"] += 1
        return Sample(self.info.name, self._stamp_ns, reading.arrival_ns, reading.values, reading.raw)


def _spread_ns(readings: list[Reading]) -> int:
    """Returns the time from the first arrival to the last."""
    return readings[-1].arrival_ns - readings[0].arrival_ns
