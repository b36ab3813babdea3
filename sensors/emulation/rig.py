"""An emulated rig: a motion served as an IMU on a pseudo-terminal, a radar on two, and a software camera.

The devices live in a process of their own, as real ones live outside the host: what the recogniser costs is then its
own. Only librealsense's software device must be in the process that reads it; frames are rendered in the other one
and come through a pipe.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import tempfile
import threading
import time
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, List, NamedTuple, Optional, Sequence

from sensors.config import RigConfig
from sensors.emulation.motion import Camera, Motion
from sensors.emulation.pty import PtyPort
from sensors.events import Truth
from sensors.rig import open_sensors
from sensors.sensor import Sensor, SensorError

if TYPE_CHECKING:
    from sensors.emulation.camera_device import EmulatedCamera

_TRUTH_AHEAD_S = 2.0
_PERSON = 1000  # one whom the shipped model has never seen
_IMU_BAUD = 115200
_RADAR_CLI_BAUD = 115200
_RADAR_DATA_BAUD = 921600


class _Opened(NamedTuple):
    """The first word of the devices' process."""

    camera: Camera
    imu_rate_hz: float


class EmulatedRig:
    """A rig with no hardware; a context manager.

    Args:
        motion: what it plays: ``person``, ``person:SEED`` or ``utd:PATH[:SUBJECTS]``.
        names: the sensors it has.
        imu_protocol: what its IMU speaks: ``witmotion`` (also for ``auto``) or ``xsens``.

    Raises:
        SensorError: the motion cannot be played; from ``__enter__``.
    """

    def __init__(self, motion: str, names: Sequence[str], imu_protocol: str = "witmotion") -> None:
        self._motion = motion
        self._names = tuple(names)
        self._imu_protocol = "witmotion" if imu_protocol == "auto" else imu_protocol
        self._truths: List[Truth] = []
        self._on_truth: Callable[[Truth], object] = self._truths.append
        self._on_end: Callable[[], object] = lambda: None
        self._lock = threading.Lock()
        self._camera: Optional[EmulatedCamera] = None

    def __enter__(self) -> EmulatedRig:
        context = multiprocessing.get_context("spawn")
        self._folder = tempfile.TemporaryDirectory(prefix="cosmo-rig-")
        self._control, far_control = context.Pipe()
        self._frames, far_frames = context.Pipe(duplex=False)
        arguments = (self._motion, self._names, self._imu_protocol, self._folder.name, far_control, far_frames)
        self._process = context.Process(target=_serve, args=arguments, daemon=True)
        self._process.start()
        far_control.close()
        far_frames.close()
        try:
            opened = self._first_word()
            if "depth" in self._names:
                from sensors.emulation.camera_device import EmulatedCamera

                self._camera = EmulatedCamera(opened.camera)
        except BaseException:
            self.__exit__()
            raise
        self._imu_rate_hz = opened.imu_rate_hz
        threading.Thread(target=self._receive, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._control.send(None)  # closing would not do: it takes no effect while the other thread waits on it
        self._process.join(timeout=3)
        self._process.kill()
        self._control.close()
        self._frames.close()
        self._folder.cleanup()

    def sensors(self, config: RigConfig) -> list[Sensor]:
        """Builds the real drivers on the emulated devices; none is connected yet."""
        folder = self._folder.name
        imu = {
            "port": f"{folder}/imu",
            "protocol": self._imu_protocol,
            "baud": _IMU_BAUD,
            "rate_hz": round(self._imu_rate_hz),
        }
        radar = {
            "cli_port": f"{folder}/radar-cli",
            "data_port": f"{folder}/radar-data",
            "cli_baud": _RADAR_CLI_BAUD,
            "data_baud": _RADAR_DATA_BAUD,
        }
        here = {"imu": config.imu.model_copy(update=imu), "radar": config.radar.model_copy(update=radar)}
        return open_sensors(self._names, config.model_copy(update=here), self._camera)

    def listen(self, on_truth: Callable[[Truth], object], on_end: Callable[[], object]) -> None:
        """Says who hears the true activities, those up to now first, and the end of the motion."""
        with self._lock:
            for truth in self._truths:
                on_truth(truth)
            self._on_truth, self._on_end = on_truth, on_end

    def unplug(self, name: str) -> None:
        """Pulls a sensor's cable."""
        if name == "depth" and self._camera:
            self._camera.unplug()
        else:
            self._control.send(("unplug", name))

    def plug(self, name: str) -> None:
        """Plugs a sensor's cable in again."""
        if name == "depth" and self._camera:
            self._camera.plug()
        else:
            self._control.send(("plug", name))

    def corrupt(self, name: str, share: float) -> None:
        """Replaces a share of the bytes on a serial sensor's cable by random ones."""
        self._control.send(("corrupt", name, share))

    def _first_word(self) -> _Opened:
        try:
            word: Any = self._control.recv()
        except EOFError as error:
            raise SensorError(f"the emulated rig died as it opened {self._motion}; its error stands above") from error
        if isinstance(word, SensorError):
            raise word
        return word

    def _receive(self) -> None:
        sources: list[Connection] = [self._control, self._frames]
        try:
            while True:
                ready = wait(sources)
                for source in (source for source in sources if source in ready):
                    message = source.recv()
                    if source is self._frames and self._camera:
                        self._camera.push(*message)
                    elif isinstance(message, Truth):
                        with self._lock:
                            self._on_truth(message)
                    else:
                        self._on_end()
        except (EOFError, OSError):
            return


def open_motion(text: str) -> Motion:
    """Opens a motion by its description: ``person``, ``person:SEED`` or ``utd:PATH[:SUBJECTS]``.

    Raises:
        SensorError: no such motion, or its data is missing.
        ValueError: SEED is no whole number.
    """
    kind, _, rest = text.partition(":")
    if kind == "person":
        from sensors.emulation.person import SimulatedPerson

        return SimulatedPerson(int(rest or _PERSON))
    if kind == "utd" and rest:
        from sensors.emulation.utd import UtdMotion, parse_subjects

        path, _, subjects = rest.partition(":")
        return UtdMotion(Path(path), parse_subjects(subjects or "7,8"))
    raise SensorError(f"--emulate {text}: expected person, person:SEED or utd:PATH[:SUBJECTS]")


def _serve(
    description: str, names: Sequence[str], imu_protocol: str, folder: str, control: Connection, frames: Connection
) -> None:
    """Runs the devices until ``control`` brings None or its other end closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the recogniser, which then closes the pipe
    try:
        motion = open_motion(description)
    except SensorError as error:
        control.send(error)
        return
    except ImportError as error:
        control.send(SensorError(f"the emulated rig needs {error.name}: pip install 'cosmo-runtime[emulation]'"))
        return
    stop = threading.Event()
    start_ns = time.monotonic_ns()
    ports: dict[str, list[PtyPort]] = {}
    devices: list[Callable[[], None]] = []
    if "imu" in names:
        from sensors.emulation.imu_device import EmulatedImu

        cable = PtyPort(Path(folder, "imu"), _IMU_BAUD)
        ports["imu"] = [cable]
        imu = EmulatedImu(cable, motion, imu_protocol)
        devices.append(lambda: imu.run(stop, start_ns))
    if "radar" in names:
        from sensors.emulation.radar_device import EmulatedRadar

        cli = PtyPort(Path(folder, "radar-cli"), _RADAR_CLI_BAUD)
        data = PtyPort(Path(folder, "radar-data"), _RADAR_DATA_BAUD)
        ports["radar"] = [cli, data]
        radar = EmulatedRadar(cli, data, motion)
        devices.append(lambda: radar.run(stop, start_ns))
    if "depth" in names:
        devices.append(lambda: _send_frames(motion, frames, stop, start_ns))
    for device in devices:
        threading.Thread(target=device, daemon=True).start()
    control.send(_Opened(motion.camera, motion.imu_rate_hz))
    with contextlib.suppress(EOFError, OSError):
        _steer(motion, ports, control, start_ns)
    stop.set()


def _steer(motion: Motion, ports: dict[str, list[PtyPort]], control: Connection, start_ns: int) -> None:
    """Obeys commands up to a None, tells the truth a little ahead of its time, and says when the motion ends."""
    told = 0
    ended = False
    while True:
        if control.poll(0.1):
            message = control.recv()
            if message is None:
                return
            command, name, *arguments = message
            for port in ports[name]:
                if command == "corrupt":
                    port.corrupt_share = arguments[0]
                elif command == "unplug":
                    port.unplug()
                else:
                    port.plug()
        now_s = (time.monotonic_ns() - start_ns) * 1e-9
        for start in motion.activities(now_s + _TRUTH_AHEAD_S)[told:]:
            control.send(Truth(start_ns + round(start.start_s * 1e9), start.activity))
            told += 1
        if not ended and now_s > motion.duration_s:
            control.send("end")
            ended = True


def _send_frames(motion: Motion, frames: Connection, stop: threading.Event, start_ns: int) -> None:
    """Renders each frame ahead of its time and sends it when its time has come."""
    number = 0
    while not stop.is_set() and number / motion.camera.rate_hz <= motion.duration_s:
        time_s = number / motion.camera.rate_hz
        frame = motion.depth(time_s)
        stop.wait(max(0.0, time_s - (time.monotonic_ns() - start_ns) * 1e-9))
        try:
            frames.send((frame, time_s))
        except OSError:
            return
        number += 1
