"""A TI mmWave radar: a command line that starts it, a data port that brings its frames."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from sensors.clock import DeviceClock
from sensors.config import RadarConfig
from sensors.discovery import radar_ports
from sensors.events import Sample
from sensors.radar import cli
from sensors.radar.chirp import parse_chirp
from sensors.radar.frames import MAGIC, Frame, FrameParser
from sensors.sensor import Sensor, SensorError, SensorInfo, SensorLost
from sensors.serial_port import SerialPort

DEFAULT_CFG = Path(__file__).with_name("iwr6843_people_20hz.cfg")

_FIRST_FRAME_S = 3.0
_LAST_FRAME_S = 1.0  # a port that is not quiet so long after sensorStop is not this radar's
_QUIET_S = 0.05
_MAX_RAW_BYTES = 1 << 20  # of noise without a frame in it

_log = logging.getLogger(__name__)


class Radar(Sensor):
    """A TI mmWave radar with the firmware of the SDK's demo or of a people-counting lab.

    Frames are stamped by their number times the frame period, mapped to the host's clock. A frame that came with
    bytes missing is dropped and counted: half a point cloud says that half a person is there.

    Args:
        config: ports, chirp configuration and dialect.
        name: the sensor's name in the rig.

    Raises:
        SensorError: the chirp configuration cannot be read.
    """

    def __init__(self, config: RadarConfig, name: str = "radar") -> None:
        self._config = config
        self._cfg = config.cfg or DEFAULT_CFG
        try:
            self._lines = self._cfg.read_text().splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise SensorError(f"radar: cannot read the chirp configuration {self._cfg}: {error}") from error
        self.chirp = parse_chirp(self._lines, self._cfg.name)
        self.info = SensorInfo(name, "TI mmWave radar", 1 / self.chirp.frame_period_s)
        self._cli: SerialPort | None = None
        self._data: SerialPort | None = None
        self._samples: list[Sample] = []  # ready to be read
        self._raw = bytearray()  # came since the last sample
        self._told_pointless = False

    def connect(self) -> None:
        """Opens both ports, sends the chirp configuration and waits for the first frame to begin.

        Raises:
            SensorNotFound: no such ports, or no board.
            SensorError: the board does not answer, refuses the configuration or sends no frames.
        """
        self.disconnect()
        try:
            cli_path, data_path = self._ports()
            self.info.device = f"TI mmWave radar on {cli_path} (CLI) and {data_path} (data)"
            self._cli = SerialPort(cli_path, self._config.cli_baud, "radar CLI")
            self._data = SerialPort(data_path, self._config.data_baud, "radar data")
            self._start(self._cli, self._data)
        except SensorError:
            self._close()
            raise

    def read(self, timeout_s: float) -> list[Sample]:
        """Returns the frames that have arrived; see ``Sensor.read``."""
        if self._data is None:
            raise SensorLost(f"{self.info.device}: not connected")
        deadline = time.monotonic() + timeout_s
        while not self._samples:
            data = self._data.read(max(0.0, deadline - time.monotonic()))
            if not data:
                break
            self._take(data)
        samples, self._samples = self._samples, []
        return samples

    def disconnect(self) -> None:
        """Stops the radar, if it can still be reached, and closes both ports."""
        if self._cli and self._data:
            try:
                cli.stop(self._cli)
            except SensorError as error:
                _log.debug("%s", error)
        self._close()

    def _close(self) -> None:
        for port in (self._cli, self._data):
            if port:
                port.close()
        self._cli = self._data = None

    def _ports(self) -> tuple[str, str]:
        if self._config.cli_port and self._config.data_port:
            return self._config.cli_port, self._config.data_port
        if self._config.cli_port or self._config.data_port:
            raise SensorError("radar: set both cli_port and data_port, or neither to have them found")
        return radar_ports(self._config.serial_number)

    def _start(self, cli_port: SerialPort, data_port: SerialPort) -> None:
        warning = self.chirp.uart_warning(self._config.data_baud)
        if warning:
            _log.warning("radar: %s: %s", self._cfg.name, warning)
        try:
            cli.greet(cli_port)
        except cli.NoAnswer:
            self._blame_swapped_ports(cli_port, data_port)
            raise
        cli.stop(cli_port)  # it may still run from a session that was killed
        deadline = time.monotonic() + _LAST_FRAME_S
        while data_port.read(_QUIET_S) and time.monotonic() < deadline:
            pass

        self._parser = FrameParser(self._config.dialect, self.chirp, self.info.counts)
        self._clock = DeviceClock(self.chirp.frame_period_s * 1e9)
        self._samples, self._raw = [], bytearray()
        cli.configure(cli_port, self._lines, self._cfg.name)
        self._await_first_frame(data_port)

    def _blame_swapped_ports(self, cli_port: SerialPort, data_port: SerialPort) -> None:
        """Raises a better error if a command line listens on the data port."""
        try:
            data_port.set_baud(self._config.cli_baud)
            cli.greet(data_port)
        except SensorError:
            return
        raise SensorError(
            f"radar: CLI and data port are swapped: {data_port.path} answers commands. In [radar] set"
            f' cli_port = "{data_port.path}" and data_port = "{cli_port.path}".'
        )

    def _await_first_frame(self, port: SerialPort) -> None:
        """Keeps what comes until the first magic word is in it."""
        deadline = time.monotonic() + _FIRST_FRAME_S
        heard = 0
        while time.monotonic() < deadline:
            data = port.read(0.1)
            heard += len(data)
            if data:
                self._take(data)
            if self._samples or MAGIC in self._raw:
                return
        found = f"{heard} bytes came, none of them the start of a frame" if heard else "no byte came"
        raise SensorError(
            f"radar data on {port.path}: the radar took {self._cfg.name} but {found} within {_FIRST_FRAME_S:.0f} s. Is"
            f" this its data port, at {self._config.data_baud} baud, and the .cfg made for its firmware? Press the"
            " board's reset button and try again."
        )

    def _take(self, data: bytes) -> None:
        """Turns bytes that have just come into samples."""
        arrival_ns = time.monotonic_ns()
        self._raw += data
        del self._raw[:-_MAX_RAW_BYTES]
        for frame in self._parser.feed(data, arrival_ns):
            if frame.complete:
                self._samples.append(self._sample(frame))
            else:
                self.info.counts["lost_samples"] += 1
        types = self._parser.pointless_types
        if types is not None and not self._told_pointless:
            self._told_pointless = True
            _log.warning(
                "radar: a frame was dropped that counts objects but has no points in a known form; its TLVs are of"
                " types: %s. If this goes on, switch detectedObjects on in guiMonitor of %s, or use firmware of TI's"
                " mmw demo or people counting.",
                ", ".join(map(str, types)) or "none",
                self._cfg.name,
            )

    def _sample(self, frame: Frame) -> Sample:
        stamp_ns = self._clock.to_host(frame.frame_number, frame.arrival_ns) - round(self._config.latency_ms * 1e6)
        self.info.counts["samples"] += 1
        raw, self._raw = bytes(self._raw), bytearray()
        return Sample(self.info.name, stamp_ns, frame.arrival_ns, frame.points, raw)
