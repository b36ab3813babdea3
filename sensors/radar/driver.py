"""The driver of TI mmWave radars: a command line starts the radar, a data port delivers its frames."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from cosmo_runtime.sensors.clock import DeviceClock
from cosmo_runtime.sensors.config import RadarConfig
from cosmo_runtime.sensors.discovery import NO_OTHERS, Others, radar_ports
from cosmo_runtime.sensors.events import Sample
from cosmo_runtime.sensors.radar import cli
from cosmo_runtime.sensors.radar.cfg import read_cfg
from cosmo_runtime.sensors.radar.chirp import parse_chirp
from cosmo_runtime.sensors.radar.diagnosis import diagnose, pointless
from cosmo_runtime.sensors.radar.frames import Frame, FrameParser
from cosmo_runtime.sensors.radar.packets import MAGIC
from cosmo_runtime.sensors.sensor import Sensor, SensorError, SensorInfo, SensorLost
from cosmo_runtime.sensors.serial_port import SerialPort

DEFAULT_CFG = Path(__file__).with_name("iwr6843_people_20hz.cfg")

_FIRST_FRAME_S = 3.0
_LAST_FRAME_S = 1.0  # a port that is not quiet this long after sensorStop is not this radar's
_QUIET_S = 0.05
_MAX_RAW_BYTES = 1 << 20  # bytes of noise without a frame

_log = logging.getLogger(__name__)


class Radar(Sensor):
    """A TI mmWave radar with the firmware of the SDK's demo or of a people-counting lab.

    A frame's stamp is its number times the frame period, mapped to the host's clock. A frame with missing bytes is
    dropped and counted, because half a point cloud would show half a person.

    Args:
        config: ports, chirp configuration and dialect.
        name: the sensor's name in the rig.
        others: the rig's other sensors, whose devices are left alone.

    Raises:
        SensorError: the chirp configuration cannot be read, or is meant for another kind of radar.
    """

    def __init__(self, config: RadarConfig, name: str = "radar", others: Others = NO_OTHERS) -> None:
        self._config = config
        self._others = others
        self._cfg = config.cfg or DEFAULT_CFG
        self._lines = read_cfg(self._cfg)
        self.chirp = parse_chirp(self._lines, self._cfg.name)
        for warning in self.chirp.warnings(config.data_baud):
            _log.warning("radar: %s: %s", self._cfg.name, warning)
        rate_hz = 1 / self.chirp.frame_period_s
        self.info = SensorInfo(name, "TI mmWave radar", rate_hz, kind="radar", latency_ms=config.latency_ms)
        self._cli: SerialPort | None = None
        self._data: SerialPort | None = None
        self._samples: list[Sample] = []  # frames that are ready to be read
        self._raw = bytearray()  # bytes since the last sample
        self._warned_pointless = False

    def connect(self) -> None:
        """Opens both ports, sends the chirp configuration and waits for the first whole frame.

        All waits together take at most half a minute.

        Raises:
            SensorNotFound: the ports or the board were not found.
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
        remaining_s = timeout_s
        while not self._samples:
            data = self._data.read(max(0.0, remaining_s))
            self._take(data)
            if not data or remaining_s <= 0:  # bytes without a frame may come forever
                break
            remaining_s = deadline - time.monotonic()
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
            section = self._config.section
            raise SensorError(
                f"radar: set both cli_port and data_port in {section}, or neither, so that both are found"
            )
        return radar_ports(self._config.serial_number, self._others, self._config.section)

    def _start(self, cli_port: SerialPort, data_port: SerialPort) -> None:
        try:
            cli.greet(cli_port)
        except cli.NoAnswer:
            self._blame_swapped_ports(cli_port, data_port)
            raise
        cli.stop(cli_port)  # it may still run for a session that was killed
        deadline = time.monotonic() + _LAST_FRAME_S
        while data_port.read(_QUIET_S) and time.monotonic() < deadline:
            pass

        self._parser = FrameParser(self._config.dialect, self.chirp, self.info.counts)
        self._clock = DeviceClock(self.info, self.chirp.frame_period_s * 1e9)
        self._samples, self._raw = [], bytearray()
        answer = cli.configure(cli_port, self._lines, self._cfg.name)
        if not self._first_frame_came(data_port):
            raise SensorError(self._without_frames(cli_port, data_port, answer))

    def _blame_swapped_ports(self, cli_port: SerialPort, data_port: SerialPort) -> None:
        """Raises a clearer error if a command line listens on the data port."""
        try:
            data_port.set_baud(self._config.cli_baud)
            cli.greet(data_port)
        except SensorError:
            return
        raise SensorError(
            f"radar: the CLI and data ports are swapped: {data_port.path} answers commands. In"
            f' {self._config.section} set cli_port = "{data_port.path}" and data_port = "{cli_port.path}".'
        )

    def _first_frame_came(self, port: SerialPort) -> bool:
        """Reads until a whole frame has come; False if none comes in time."""
        deadline = time.monotonic() + _FIRST_FRAME_S + 2 * self.chirp.frame_period_s
        while not self._samples and time.monotonic() < deadline:
            self._take(port.read(0.1))
        return bool(self._samples)

    def _without_frames(self, cli_port: SerialPort, data_port: SerialPort, answer: str) -> str:
        """Explains what came instead of frames, and what to try.

        Args:
            cli_port: the command line, which may have written more by now.
            data_port: the port that should have delivered the frames.
            answer: the radar's answer when it was started.
        """
        raw = bytes(self._raw)
        said = diagnose(raw, self._config.dialect, self.chirp, self._config.section)
        words = [
            f"radar data on {data_port.path}: the radar accepted {self._cfg.name}, but no frame came within"
            f" {_FIRST_FRAME_S:.0f} s that can be read. {said}",
            f"The radar answered {answer}." if answer else "",
        ]
        unasked = cli.unsolicited(cli_port)
        words.append(f"Then it wrote {unasked} on {cli_port.path}." if unasked else "")
        waits = self.chirp.trigger_warning()
        if not raw and waits:
            words.append(f"{self._cfg.name}: {waits}")
        elif MAGIC not in raw:
            words.append(
                f"Is this its data port, at {self._config.data_baud} baud? Was the .cfg made for its firmware? Press"
                " the board's reset button and try again."
            )
        return " ".join(filter(None, words))

    def _take(self, data: bytes) -> None:
        """Turns new bytes into samples."""
        arrival_ns = time.monotonic_ns()
        self._raw += data
        del self._raw[:-_MAX_RAW_BYTES]
        for frame in self._parser.feed(data, arrival_ns):
            if frame.complete:
                self._samples.append(self._sample(frame))
            else:
                self.info.counts["lost_samples"] += 1
        types = self._parser.pointless_types
        if types is not None and not self._warned_pointless:
            self._warned_pointless = True
            _log.warning("radar: a frame was dropped, and more will follow if this continues. %s", pointless(types))

    def _sample(self, frame: Frame) -> Sample:
        stamp_ns = self._clock.to_host(frame.frame_number, frame.arrival_ns) - round(self._config.latency_ms * 1e6)
        self.info.counts["samples"] += 1
        raw, self._raw = bytes(self._raw), bytearray()
        return Sample(self.info.name, stamp_ns, frame.arrival_ns, frame.points, raw)
