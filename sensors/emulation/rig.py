"""An emulated rig: a motion served as an IMU on a pseudo-terminal, a radar on two, and a software camera.

The devices run in their own process, as real ones run outside the host, so that their cost is not counted as the
recogniser's. Only librealsense's software device must be in the process that reads it. Its frames are rendered in the
devices' process and come through a pipe.
"""

from __future__ import annotations

import contextlib
import fcntl
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from functools import partial
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence

import numpy as np

from cosmo_runtime.sensors.config import RigConfig, RigSensor
from cosmo_runtime.sensors.discovery import NO_OTHERS
from cosmo_runtime.sensors.emulation.motions import open_motion
from cosmo_runtime.sensors.emulation.pty import PtyPort
from cosmo_runtime.sensors.events import Truth
from cosmo_runtime.sensors.kinds import SENSORS
from cosmo_runtime.sensors.sensor import Sensor, SensorError
from cosmo_runtime.sensors.simulation.motion import Camera, Motion

if TYPE_CHECKING:
    from cosmo_runtime.sensors.emulation.camera_device import EmulatedCamera

_TRUTH_AHEAD_S = 2.0
_STUCK_S = 0.5  # a host that takes no frame for longer has stopped
_IMU_BAUD = 115200
_RADAR_CLI_BAUD = 115200
_RADAR_DATA_BAUD = 921600
_FOLDER_PREFIX = "cosmo-rig-"
_STARTING_S = 60.0  # the rig of a folder this young may not have locked it yet
_EMULATED_KINDS = ("imu", "depth", "radar")
_SHORT_FORM = RigConfig()

# The path is set before anything is imported. ``multiprocessing`` would run the caller's script once more.
_PROGRAM = "import sys; sys.path[:] = {path!r}; from cosmo_runtime.sensors.emulation.rig import serve; serve({pipes})"


class _Opened(NamedTuple):
    """The first message from the devices' process."""

    camera: Camera
    imu_rate_hz: float


class _Emulated(NamedTuple):
    """What the devices' process must know about one sensor."""

    kind: str
    protocol: str


class EmulatedRig:
    """A rig without hardware. Use it as a context manager.

    Args:
        motion: what it plays, as ``motions.MOTIONS`` describes it.
        names: the sensors' names in the configuration. An IMU is worn where its name says, on a simulated person at
            the ``wrist`` or ``thigh``; one called ``imu`` is worn at the usual place. At most one camera and one radar
            are possible. A kind that is not emulated is opened as in any rig.
        config: the sensors' configuration: their kinds, and an IMU's protocol (``auto`` means ``witmotion``).

    Raises:
        SensorError: the motion cannot be played or lacks one of the sensors. ``__enter__`` raises it.
    """

    def __init__(self, motion: str, names: Sequence[str], config: RigConfig = _SHORT_FORM) -> None:
        self._motion = motion
        self._sensors = {name: config.sensor(name) for name in names}
        self._truths: List[Truth] = []
        self._on_truth: Callable[[Truth], object] = self._truths.append
        self._on_end: Callable[[], object] = lambda: None
        self._lock = threading.Lock()
        self._camera: Optional[EmulatedCamera] = None
        self._receiver = threading.Thread(target=self._receive, name="emulated rig", daemon=True)

    def __enter__(self) -> EmulatedRig:
        _sweep(Path(tempfile.gettempdir()))
        self._folder = tempfile.TemporaryDirectory(prefix=_FOLDER_PREFIX)
        self._folder_lock = _locked(self._folder.name)
        self._control, far_control = multiprocessing.Pipe()
        self._frames, far_frames = multiprocessing.Pipe(duplex=False)
        emulated = {
            name: _Emulated(sensor.kind, getattr(sensor.config, "protocol", ""))
            for name, sensor in self._sensors.items()
            if sensor.kind in _EMULATED_KINDS
        }
        pipes = far_control.fileno(), far_frames.fileno()
        program = _PROGRAM.format(path=sys.path, pipes=", ".join(map(str, pipes)))
        self._process = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.DEVNULL, pass_fds=pipes)
        self._control.send((self._motion, emulated, self._folder.name))
        far_control.close()
        far_frames.close()
        try:
            opened = self._first_word()
            if "depth" in (sensor.kind for sensor in self._sensors.values()):
                from cosmo_runtime.sensors.emulation.camera_device import EmulatedCamera

                self._camera = EmulatedCamera(opened.camera)
        except BaseException:
            self.__exit__()
            raise
        self._imu_rate_hz = opened.imu_rate_hz
        self._receiver.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._control.send(None)  # closing has no effect while the other thread waits on it
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=3)
        self._process.kill()
        self._process.wait()
        if self._receiver.ident:  # it ends with the process; before that, its pipes stay open, and so does its camera
            self._receiver.join(timeout=3)
        self._control.close()
        self._frames.close()
        self._folder.cleanup()
        os.close(self._folder_lock)

    def sensors(self) -> List[Sensor]:
        """Makes the real drivers for the emulated devices. None is connected yet."""
        return [self._driver(name, sensor) for name, sensor in self._sensors.items()]

    def _driver(self, name: str, sensor: RigSensor) -> Sensor:
        folder = self._folder.name
        if sensor.kind == "depth" and self._camera:
            from cosmo_runtime.sensors.depth.driver import DepthCamera

            return DepthCamera(sensor.config, self._camera, name)  # type: ignore[arg-type]
        here: Dict[str, Any] = {}
        if sensor.kind == "imu":
            here = {"port": f"{folder}/{name}", "baud": _IMU_BAUD, "rate_hz": round(self._imu_rate_hz)}
            here["protocol"] = _spoken(getattr(sensor.config, "protocol", ""))
        elif sensor.kind == "radar":
            here = {"cli_port": f"{folder}/{name}-cli", "data_port": f"{folder}/{name}-data"}
            here.update(cli_baud=_RADAR_CLI_BAUD, data_baud=_RADAR_DATA_BAUD)
        return SENSORS[sensor.kind].open(name, sensor.config.model_copy(update=here), NO_OTHERS)

    def listen(self, on_truth: Callable[[Truth], object], on_end: Callable[[], object]) -> None:
        """Sets who receives the true activities, starting with those so far, and the end of the motion."""
        with self._lock:
            for truth in self._truths:
                on_truth(truth)
            self._on_truth, self._on_end = on_truth, on_end

    def unplug(self, name: str) -> None:
        """Pulls a sensor's cable."""
        if self._sensors[name].kind == "depth" and self._camera:
            self._camera.unplug()
        else:
            self._control.send(("unplug", name))

    def plug(self, name: str) -> None:
        """Plugs a sensor's cable in again."""
        if self._sensors[name].kind == "depth" and self._camera:
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
            raise SensorError(f"the emulated rig died while it opened {self._motion}; see its error above") from error
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


def _locked(folder: str) -> int:
    """Locks a folder until this process ends, however it ends. Returns the descriptor that holds the lock.

    Raises:
        OSError: another process holds the lock.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _sweep(temporary: Path) -> None:
    """Deletes the folders of rigs that were killed. Those of other users stay."""
    for folder in temporary.glob(f"{_FOLDER_PREFIX}*"):
        with contextlib.suppress(OSError):
            state = folder.lstat()
            if state.st_uid != os.getuid() or folder.is_symlink() or time.time() - state.st_mtime < _STARTING_S:
                continue
            lock = _locked(str(folder))
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)


def serve(control_descriptor: int, frames_descriptor: int) -> None:
    """Runs the devices, in a process of their own, until None comes from the rig or its end of the pipe closes.

    Args:
        control_descriptor: of a pipe: what to play comes first, then commands. It takes true activities and errors.
        frames_descriptor: of a pipe that takes depth frames.
    """
    for number in (signal.SIGINT, signal.SIGHUP):  # signals are for the recogniser, which then closes the pipe
        signal.signal(number, signal.SIG_IGN)
    control, frames = Connection(control_descriptor), Connection(frames_descriptor, readable=False)
    description: str
    sensors: Mapping[str, _Emulated]
    description, sensors, folder = control.recv()
    try:
        motion = open_motion(description)
    except SensorError as error:
        control.send(error)
        return
    except ImportError as error:
        control.send(SensorError(f"the emulated rig needs {error.name}: pip install 'cosmo-runtime[emulation]'"))
        return
    stop = threading.Event()
    ports: Dict[str, List[PtyPort]] = {}
    devices: List[Callable[[], None]] = []
    try:
        _refuse_what_the_motion_lacks(motion, sensors)
    except SensorError as error:
        control.send(error)
        return
    if any(sensor.kind == "imu" for sensor in sensors.values()):
        motion.imu(np.zeros(1), motion.imu_places[0])  # the first time takes long, and a device is not silent at first
    start_ns = time.monotonic_ns()
    for name, sensor in sensors.items():
        if sensor.kind == "imu":
            from cosmo_runtime.sensors.emulation.imu_device import EmulatedImu

            cable = PtyPort(Path(folder, name), _IMU_BAUD)
            ports[name] = [cable]
            imu = EmulatedImu(cable, motion, _place(motion, name), _spoken(sensor.protocol))
            devices.append(partial(imu.run, stop, start_ns))
        elif sensor.kind == "radar":
            from cosmo_runtime.sensors.emulation.radar_device import EmulatedRadar

            cli = PtyPort(Path(folder, f"{name}-cli"), _RADAR_CLI_BAUD)
            data = PtyPort(Path(folder, f"{name}-data"), _RADAR_DATA_BAUD)
            ports[name] = [cli, data]
            devices.append(partial(EmulatedRadar(cli, data, motion).run, stop, start_ns))
        else:
            devices.append(partial(_send_frames, motion, frames, stop, start_ns))
    for device in devices:
        threading.Thread(target=device, daemon=True).start()
    control.send(_Opened(motion.camera, motion.imu_rate_hz))
    with contextlib.suppress(EOFError, OSError):
        _steer(motion, ports, control, start_ns)
    stop.set()
    os._exit(0)  # its threads may be inside a library, which can abort the process when Python ends


def _spoken(protocol: str) -> str:
    """The protocol of an emulated IMU."""
    return "xsens" if protocol == "xsens" else "witmotion"


def _place(motion: Motion, name: str) -> str:
    """Where the person of a motion wears the IMU with this name."""
    return name if name in motion.imu_places else motion.imu_places[0]


def _refuse_what_the_motion_lacks(motion: Motion, sensors: Mapping[str, _Emulated]) -> None:
    imus = [name for name, sensor in sensors.items() if sensor.kind == "imu"]
    if len({_place(motion, name) for name in imus}) < len(imus):
        raise SensorError(
            f"{', '.join(imus)}: this motion has IMU places {', '.join(motion.imu_places)}; name each IMU after one"
        )
    for kind in ("depth", "radar"):
        names = [name for name, sensor in sensors.items() if sensor.kind == kind]
        if len(names) > 1:
            raise SensorError(f"{', '.join(names)}: an emulated rig has at most one sensor of kind {kind}")


def _steer(motion: Motion, ports: dict[str, list[PtyPort]], control: Connection, start_ns: int) -> None:
    """Obeys commands until None comes, sends true activities a little early, and reports the end of the motion."""
    sent = 0
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
        for start in motion.activities(now_s + _TRUTH_AHEAD_S)[sent:]:
            control.send(Truth(start_ns + round(start.start_s * 1e9), start.activity))
            sent += 1
        if not ended and now_s > motion.duration_s:
            control.send("end")
            ended = True


def _send_frames(motion: Motion, frames: Connection, stop: threading.Event, start_ns: int) -> None:
    """Renders each frame in advance and sends it at its time.

    Like a real camera, it leaves out what it would have taken while the host has stopped.
    """
    rate_hz = motion.camera.rate_hz
    number = left_out = 0
    while not stop.is_set() and number / rate_hz <= motion.duration_s:
        time_s = number / rate_hz
        frame = motion.depth(time_s)
        stop.wait(max(0.0, time_s - (time.monotonic_ns() - start_ns) * 1e-9))
        sent_at = time.monotonic()
        try:
            frames.send((frame, time_s, left_out))
        except OSError:
            return
        stuck_s = time.monotonic() - sent_at
        left_out = round(stuck_s * rate_hz) if stuck_s > _STUCK_S else 0
        number += 1 + left_out
