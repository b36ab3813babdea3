"""The devices of an emulated rig, in a process of their own.

An IMU is a pseudo-terminal, a radar two of them. A camera's frames go through a pipe.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Callable, Dict, List, Mapping, NamedTuple

import numpy as np

from cosmo_runtime.sensors.emulation.motions import open_motion
from cosmo_runtime.sensors.emulation.pty import PtyPort
from cosmo_runtime.sensors.events import Truth
from cosmo_runtime.sensors.sensor import SensorError
from cosmo_runtime.sensors.simulation.motion import Camera, Motion

IMU_BAUD = 115200
RADAR_CLI_BAUD = 115200
RADAR_DATA_BAUD = 921600
_TRUTH_AHEAD_S = 2.0
_STUCK_S = 0.5  # a host that takes no frame for longer has stopped


class Opened(NamedTuple):
    """The first message from the devices' process."""

    camera: Camera
    imu_rate_hz: float


class Emulated(NamedTuple):
    """What the devices' process must know about one sensor."""

    kind: str
    protocol: str


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
    sensors: Mapping[str, Emulated]
    description, sensors, folder = control.recv()
    try:
        motion = open_motion(description)
        _refuse_what_the_motion_lacks(motion, sensors)
    except SensorError as error:
        control.send(error)
        return
    except ImportError as error:
        control.send(SensorError(f"the emulated rig needs {error.name}: pip install 'cosmo-runtime[emulation]'"))
        return
    stop = threading.Event()
    ports: Dict[str, List[PtyPort]] = {}
    devices: List[Callable[[], None]] = []
    if any(sensor.kind == "imu" for sensor in sensors.values()):
        motion.imu(np.zeros(1), motion.imu_places[0])  # the first time takes long, and a device is not silent at first
    start_ns = time.monotonic_ns()
    for name, sensor in sensors.items():
        if sensor.kind == "imu":
            from cosmo_runtime.sensors.emulation.imu_device import EmulatedImu

            cable = PtyPort(Path(folder, name), IMU_BAUD)
            ports[name] = [cable]
            imu = EmulatedImu(cable, motion, _place(motion, name), spoken_by(sensor.protocol))
            devices.append(partial(imu.run, stop, start_ns))
        elif sensor.kind == "radar":
            from cosmo_runtime.sensors.emulation.radar_device import EmulatedRadar

            cli = PtyPort(Path(folder, f"{name}-cli"), RADAR_CLI_BAUD)
            data = PtyPort(Path(folder, f"{name}-data"), RADAR_DATA_BAUD)
            ports[name] = [cli, data]
            devices.append(partial(EmulatedRadar(cli, data, motion).run, stop, start_ns))
        else:
            devices.append(partial(_send_frames, motion, frames, stop, start_ns))
    for device in devices:
        threading.Thread(target=device, daemon=True).start()
    control.send(Opened(motion.camera, motion.imu_rate_hz))
    with contextlib.suppress(EOFError, OSError):
        _steer(motion, ports, control, start_ns)
    stop.set()
    os._exit(0)  # its threads may be inside a library, which can abort the process when Python ends


def spoken_by(protocol: str) -> str:
    """The protocol of an emulated IMU."""
    return "xsens" if protocol == "xsens" else "witmotion"


def _place(motion: Motion, name: str) -> str:
    """Where the person of a motion wears the IMU with this name."""
    return name if name in motion.imu_places else motion.imu_places[0]


def _refuse_what_the_motion_lacks(motion: Motion, sensors: Mapping[str, Emulated]) -> None:
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
