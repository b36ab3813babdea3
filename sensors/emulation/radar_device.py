"""An emulated TI mmWave radar: the mmw demo's command line on one cable, its frames on another."""

from __future__ import annotations

import math
import threading
import time

from cosmo_runtime.sensors.emulation.pty import PtyPort
from cosmo_runtime.sensors.radar.frames import encode_frame
from cosmo_runtime.sensors.simulation.motion import Motion

_PROMPT = b"mmwDemo:/>"
_MAX_LATE_S = 0.5  # frames later than this are dropped, like on a radar whose line is too slow
_LONGEST_LINE = 256
_HARDWARE_TRIGGER = "2"  # in frameCfg: each frame waits for a pulse, and here none comes
_ARGUMENTS = {  # the commands of SDK 3.5's mmw demo, and how many arguments each takes
    "sensorStart": (0, 1),
    "sensorStop": (0,),
    "flushCfg": (0,),
    "dfeDataOutputMode": (1,),
    "channelCfg": (3,),
    "adcCfg": (2,),
    "adcbufCfg": (5,),
    "profileCfg": (14,),
    "chirpCfg": (8,),
    "bpmCfg": (4,),
    "frameCfg": (7,),
    "lowPower": (2,),
    "guiMonitor": (7,),
    "cfarCfg": (9,),
    "multiObjBeamForming": (3,),
    "clutterRemoval": (2,),
    "calibDcRangeSig": (5,),
    "extendedMaxVelocity": (2,),
    "lvdsStreamCfg": (4,),
    "compRangeBiasAndRxChanPhase": (25,),
    "measureRangeBiasAndRxChanPhase": (3,),
    "aoaFovCfg": (5,),
    "cfarFovCfg": (4,),
    "CQRxSatMonitor": (5,),
    "CQSigImgMonitor": (3,),
    "analogMonitor": (2,),
    "calibData": (3,),
}
_NEEDED = ("channelCfg", "profileCfg", "chirpCfg", "frameCfg", "guiMonitor", "cfarCfg")


class EmulatedRadar:
    """A radar that sees a motion.

    Its command line starts and stops it, sets its frame period, and says which outputs it sends. Waiting for a hardware
    trigger, it sends nothing. Unplugging it erases its configuration. Frame k shows the motion k periods after the
    radar's start, whether or not earlier frames were sent.

    Args:
        cli: the cable of the command line.
        data: the cable of the frames.
        motion: what the radar sees.
    """

    def __init__(self, cli: PtyPort, data: PtyPort, motion: Motion) -> None:
        self._cli = cli
        self._data = data
        self._motion = motion
        self._configured: dict[str, list[str]] = {}
        self._start_ns = 0
        self._sender: threading.Thread | None = None
        self._halt = threading.Event()

    def run(self, stop: threading.Event, start_ns: int) -> None:
        """Serves both cables until ``stop``.

        Args:
            stop: ends the service.
            start_ns: when the motion starts, on the host's monotonic clock.
        """
        self._start_ns = start_ns
        line = b""
        while not stop.is_set():
            if not self._cli.plugged:
                self._configured, line = {}, b""
                self._stop()
            for byte in self._cli.read(0.05):
                if byte not in b"\r\n":
                    line = (line + bytes([byte]))[-_LONGEST_LINE:]
                    continue
                command, line = line.decode("ascii", "replace").strip(), b""
                texts = [command, *self._answer(command)]
                self._cli.write("".join(f"{text}\r\n" for text in texts).encode() + _PROMPT)
        self._stop()

    def _answer(self, command: str) -> list[str]:
        """Returns the lines of the firmware's answer."""
        if not command:
            return []
        if command.startswith("%"):
            return ["Skipped"]
        name, *arguments = command.split()
        if name not in _ARGUMENTS:
            return [f"'{name}' is not recognized as a CLI command"]
        if len(arguments) not in _ARGUMENTS[name]:
            return ["Error: Invalid usage of the CLI command", "Error -1"]
        if name == "sensorStart":
            return self._start()
        if name == "sensorStop":
            return [*([] if self._stop() else ["Ignored: Sensor is already stopped"]), "Done"]
        if self._sender:
            return ["Error: Configuration cannot be changed while the sensor runs", "Error -1"]
        if name == "flushCfg":
            self._configured = {}
        self._configured[name] = arguments
        return ["Done"]

    def _start(self) -> list[str]:
        if self._sender:
            return ["Ignored: Sensor is already started", "Done"]
        if any(name not in self._configured for name in _NEEDED):
            return [
                "Error: Full configuration must be provided before sensor can be started the first time",
                "Error -1",
            ]
        try:
            frames, period_s = int(self._configured["frameCfg"][3]), float(self._configured["frameCfg"][4]) * 1e-3
            detected_objects = int(self._configured["guiMonitor"][1])
        except ValueError:
            frames, period_s, detected_objects = 0, 0.0, 0
        if period_s <= 0:
            return ["Error: Invalid frame periodicity", "Error -1"]
        self._halt.clear()
        if self._configured["frameCfg"][5] == _HARDWARE_TRIGGER:
            self._sender = threading.Thread(target=self._halt.wait, daemon=True)
        else:
            arguments = period_s, frames, detected_objects
            self._sender = threading.Thread(target=self._send, args=arguments, daemon=True)
        self._sender.start()
        return ["Debug: Init Calibration Status = 0x1ffe", "Done"]

    def _stop(self) -> bool:
        """Lets the current frame finish. Returns whether the radar was running."""
        if not self._sender:
            return False
        self._halt.set()
        self._sender.join()
        self._sender = None
        return True

    def _send(self, period_s: float, frames: int, detected_objects: int) -> None:
        """Sends each frame at its time: ``frames`` of them, or without end if ``frames`` is 0."""
        number = math.ceil(self._now_s() / period_s)
        end = number + frames if frames else math.inf
        while number < end and number * period_s <= self._motion.duration_s:
            if self._halt.wait(max(0.0, number * period_s - self._now_s())):
                return
            self._data.write(encode_frame(number, self._motion.radar(number * period_s), detected_objects))
            number += 1
            if self._now_s() - number * period_s > _MAX_LATE_S:
                number = math.ceil(self._now_s() / period_s)

    def _now_s(self) -> float:
        return (time.monotonic_ns() - self._start_ns) * 1e-9
