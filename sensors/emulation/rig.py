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
import subprocess
import sys
import tempfile
import threading
import time
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Sequence

from cosmo_runtime.sensors.config import RigConfig, RigSensor
from cosmo_runtime.sensors.discovery import NO_OTHERS
from cosmo_runtime.sensors.emulation.devices import (
    IMU_BAUD,
    RADAR_CLI_BAUD,
    RADAR_DATA_BAUD,
    Emulated,
    Opened,
    spoken_by,
)
from cosmo_runtime.sensors.events import Truth
from cosmo_runtime.sensors.kinds import SENSORS
from cosmo_runtime.sensors.sensor import Sensor, SensorError

if TYPE_CHECKING:
    from cosmo_runtime.sensors.emulation.camera_device import EmulatedCamera

FEEDING = "emulated rig"
"""Name of the thread that hands pictures to the emulated camera."""

_FOLDER_PREFIX = "cosmo-rig-"
_STARTING_S = 60.0  # the rig of a folder this young may not have locked it yet
_EMULATED_KINDS = ("imu", "depth", "radar")
_SHORT_FORM = RigConfig()

# The path is set before anything is imported. ``multiprocessing`` would run the caller's script once more.
_PROGRAM = (
    "import sys; sys.path[:] = {path!r}; from cosmo_runtime.sensors.emulation.devices import serve; serve({pipes})"
)


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
        self._receiver = threading.Thread(target=self._receive, name=FEEDING, daemon=True)

    def __enter__(self) -> EmulatedRig:
        _sweep(Path(tempfile.gettempdir()))
        self._folder = tempfile.TemporaryDirectory(prefix=_FOLDER_PREFIX)
        self._folder_lock = _locked(self._folder.name)
        self._control, far_control = multiprocessing.Pipe()
        self._frames, far_frames = multiprocessing.Pipe(duplex=False)
        emulated = {
            name: Emulated(sensor.kind, getattr(sensor.config, "protocol", ""))
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
            here = {"port": f"{folder}/{name}", "baud": IMU_BAUD, "rate_hz": round(self._imu_rate_hz)}
            here["protocol"] = spoken_by(getattr(sensor.config, "protocol", ""))
        elif sensor.kind == "radar":
            here = {"cli_port": f"{folder}/{name}-cli", "data_port": f"{folder}/{name}-data"}
            here.update(cli_baud=RADAR_CLI_BAUD, data_baud=RADAR_DATA_BAUD)
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

    def _first_word(self) -> Opened:
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
