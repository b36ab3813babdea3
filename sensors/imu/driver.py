"""The driver of inertial sensors: finds the device and its speed, and stamps its measurements."""

from __future__ import annotations

import time

from cosmo_runtime.sensors.clock import DeviceClock
from cosmo_runtime.sensors.config import ImuConfig
from cosmo_runtime.sensors.discovery import NO_OTHERS, Others, imu_ports
from cosmo_runtime.sensors.events import Sample
from cosmo_runtime.sensors.imu.stream import Measurements, Reading
from cosmo_runtime.sensors.imu.tuning import PARSERS, Heard, Parser, listen
from cosmo_runtime.sensors.imu.xsens import GO_TO_MEASUREMENT, encode_message
from cosmo_runtime.sensors.sensor import Sensor, SensorError, SensorInfo, SensorLost, SensorNotFound
from cosmo_runtime.sensors.serial_port import SerialPort

_BAUDS = (115200, 9600, 230400, 921600, 460800)  # the likeliest first: 9600 is WitMotion's default, 115200 is Xsens'
_COMMAND_PAUSE_S = 0.1  # WitMotion devices miss commands that come faster


class Imu(Sensor):
    """A WitMotion or Xsens IMU on a serial port.

    Args:
        config: where it is and how to set it up. The driver finds out what is not given.
        name: the sensor's name in the rig.
        others: the rig's other sensors, whose devices are left alone.
    """

    def __init__(self, config: ImuConfig, name: str = "imu", others: Others = NO_OTHERS) -> None:
        self._config = config
        self._others = others
        where = config.port or f"the serial port {config.serial_number or 'where one is heard'}"
        self.info = SensorInfo(name, f"IMU on {where}", config.rate_hz, kind="imu", latency_ms=config.latency_ms)
        self._port: SerialPort | None = None
        self._baud: int | None = None  # of the latest connection; the next one tries it first
        self._parser: Parser
        self._clock: DeviceClock
        self._unread: list[Reading] = []
        self._measurements = Measurements()
        self._stamp_ns = 0

    def connect(self) -> None:
        """Finds the device, configures it if the configuration says so, and waits for its first measurement.

        Raises:
            SensorNotFound: there is no port, or no IMU on it.
            SensorError: the port cannot be used, or the device ignores its configuration.
        """
        self.disconnect()
        port, serial_number = self._config.port, self._config.serial_number
        self._open_any([port] if port else imu_ports(serial_number, self._others, self._config.section))

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
        """Opens the first port with an IMU on it."""
        failures = []
        for path in paths:
            try:
                return self._open(path)
            except SensorError as error:
                self.disconnect()
                failures.append(error)
        raise failures[0] if len(failures) == 1 else SensorNotFound(" ".join(map(str, failures)))

    def _open(self, path: str) -> None:
        """Opens a port, tries speeds until an IMU is heard, then configures it if the configuration says so."""
        # A device that was configured before may still have the higher speed that it was set to.
        usual = _BAUDS if self._config.configure or not self._config.baud else ()
        bauds = [baud for baud in dict.fromkeys((self._baud, self._config.baud, *usual)) if baud]
        port = self._port = SerialPort(path, bauds[0], "IMU")
        heard = self._tuned(port, bauds)
        if self._config.configure:
            heard = self._configured(port, heard)
        self._baud, self._parser, self._unread = heard.baud, heard.parser, heard.readings
        self._parser.counts = self.info.counts  # bytes skipped while tuning in are no losses
        rates_hz = [] if self._config.configure else heard.rates_hz()
        self.info.rate_hz = next(iter(rates_hz), self._config.rate_hz)
        self.info.device = f"IMU on {path}, {self._parser.name}, {self._baud} baud"
        self._clock = DeviceClock(self.info, self._parser.tick_ns, self._parser.wrap_ticks)
        self._measurements = Measurements()

    def _tuned(self, port: SerialPort, bauds: list[int]) -> Heard:
        """Tries speeds until an IMU is heard.

        Raises:
            SensorNotFound: no IMU is heard. The message names what is heard instead.
        """
        attempts: list[Heard] = []
        for baud in bauds:
            attempts.append(listen(port, baud))
            if self._is_usable(attempts[-1]):
                return attempts[-1]
            if not any(heard.byte_count for heard in attempts):  # not even noise, as at a wrong speed
                break
        if self._config.configure and self._config.protocol == "xsens" and not attempts[-1].byte_count:
            for baud in bauds:  # it may be in its configuration mode, where it is silent
                port.set_baud(baud)
                port.write(encode_message(GO_TO_MEASUREMENT))
                heard = listen(port, baud)
                if self._is_usable(heard):
                    return heard
        raise SensorNotFound(f"IMU on {port.path}: {self._what_is_wrong(attempts)}")

    def _is_usable(self, heard: Heard) -> bool:
        """Whether a device of the right protocol was heard that measures, or can be set to measure."""
        can_be_configured = self._config.configure and heard.parser.unusable()
        return self._config.protocol in ("auto", heard.protocol) and bool(heard.measures or can_be_configured)

    def _what_is_wrong(self, attempts: list[Heard]) -> str:
        section = self._config.section
        if not any(heard.byte_count for heard in attempts):
            return "nothing is heard. Is it powered, and is it measuring?"
        for heard in attempts:
            if heard.measures:
                return (
                    f"bytes come, but they are those of a {heard.parser.name} IMU at {heard.baud} baud, and"
                    f' {section} has protocol = "{self._config.protocol}". Set it to "{heard.protocol}" or "auto".'
                )
            if heard.parser.unusable():
                return f"bytes come, but {heard.parser.unusable()}, or set configure = true in {section}."
        protocols = " or ".join(PARSERS if self._config.protocol == "auto" else [self._config.protocol])
        bauds = ", ".join(str(heard.baud) for heard in attempts)
        only = self._config.baud and not self._config.configure
        remedy = f"Remove baud from {section}, so that the usual speeds are tried." if only else "Is it another device?"
        return f"bytes arrive, but no {protocols} measurements at {bauds} baud. {remedy}"

    def _configured(self, port: SerialPort, heard: Heard) -> Heard:
        """Configures the device and returns what is heard after that.

        Raises:
            SensorError: the device ignores its configuration.
        """
        commands, baud = heard.parser.configuration(self._config.rate_hz, heard.baud)
        for command in commands:
            port.write(command)
            time.sleep(_COMMAND_PAUSE_S)
        heard = listen(port, baud)
        if not heard.measures:
            raise SensorError(f"IMU on {port.path}: no measurements after it was set to {self._config.rate_hz} Hz.")
        rates_hz = heard.rates_hz()
        if rates_hz and self._config.rate_hz not in rates_hz:
            raise SensorError(
                f"IMU on {port.path}: was set to {self._config.rate_hz} Hz but measures at {rates_hz[0]} Hz. Set"
                f" rate_hz in {self._config.section} to one that it can do, or configure = false to use it as it is."
            )
        if heard.parser.has_clock and all(reading.ticks is None for reading in heard.readings):
            raise SensorError(
                f"IMU on {port.path}: was set to send its time but sends none. Set configure = false in"
                f" {self._config.section} to use it without."
            )
        return heard

    def _sample(self, reading: Reading) -> Sample:
        if self._measurements.begins(reading):
            stamp_ns = reading.arrival_ns
            if reading.ticks is not None:
                stamp_ns = self._clock.to_host(reading.ticks, reading.arrival_ns)
            self._stamp_ns = max(stamp_ns - round(self._config.latency_ms * 1e6), self._stamp_ns + 1)
        else:
            self._stamp_ns += 1  # measured at the same time, but stamps must strictly increase
        self.info.counts["samples"] += 1
        return Sample(self.info.name, self._stamp_ns, reading.arrival_ns, reading.values, reading.raw)
