"""Sources of depth frames: a USB camera or a recorded file. Both are librealsense sensors behind a queue.

This module uses librealsense's sensor interface instead of its pipeline, because ``pipeline.start`` blocks for 15 s
without a camera. A live camera, a recording and a software device share the queue, so tests run the real code.
"""

from __future__ import annotations

import logging
import math
import threading
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from cosmo_runtime.sensors.depth import librealsense
from cosmo_runtime.sensors.discovery import NO_OTHERS, Others
from cosmo_runtime.sensors.sensor import SensorEnded, SensorError, SensorLost, SensorNotFound

_QUEUE_FRAMES = 16  # as many as librealsense keeps in flight; covers a stall of half a second at 30 Hz
_FIRST_FRAME_S = 2.0  # a D400 needs up to a second
_STOP_DEADLINE_S = 2.0
_FAILURES_BEFORE_RESET = 2

_log = logging.getLogger(__name__)


class DepthStream(NamedTuple):
    """What a source delivers once started.

    Attributes:
        device: describes the device.
        rate_hz: nominal frames a second.
        depth_scale_m: metres per step of depth.
        intrinsics: width, height, fx, fy, cx, cy of the source's frames, in pixels.
    """

    device: str
    rate_hz: float
    depth_scale_m: float
    intrinsics: dict[str, float]


class FrameSource(Protocol):
    """Delivers the depth frames of one device. It can be stopped and started again.

    Attributes:
        device: describes the device, as far as it is known before it is started.
    """

    device: str

    def start(self) -> DepthStream:
        """Opens the device. Frames queue up from now on.

        Raises:
            SensorNotFound: the device is not there.
            SensorError: the device is there but cannot be used.
        """
        ...

    def read(self, timeout_s: float) -> list[Any]:
        """Returns the ``rs.frame``s that have arrived, oldest first; waits up to ``timeout_s`` for the first.

        Raises:
            SensorLost: the device went away, or the recording ended.
        """
        ...

    def stop(self) -> None:
        """Releases the device, or gives up on it after two seconds. Never raises."""
        ...


class CameraSource:
    """A RealSense camera on USB.

    Args:
        serial_number: the camera's; None takes the first camera with a depth sensor.
        width, height: pixels.
        rate_hz: frames a second.
        others: the rig's other sensors, whose cameras are left alone.
        section: the sensor's section of the configuration, for messages.
    """

    def __init__(
        self,
        serial_number: str | None,
        width: int,
        height: int,
        rate_hz: int,
        others: Others = NO_OTHERS,
        section: str = "[depth]",
    ) -> None:
        self.device = f"RealSense camera {serial_number}" if serial_number else "RealSense camera"
        self._serial_number = serial_number
        self._others = others
        self._section = section
        self._mode = (width, height, rate_hz)
        self._camera: Any = None
        self._streaming: _Streaming | None = None
        self._failures = 0

    def start(self) -> DepthStream:
        """Finds the camera, starts its depth stream in the requested mode, and waits for the first frame.

        A camera that twice delivered no frame, or that did not stop, is reset first. It returns seconds later.

        Raises:
            SensorNotFound: there is no such camera. The message lists the attached ones.
            SensorLost: the camera delivers no frames or was just reset. Starting again may help.
            SensorError: the camera lacks the mode (the message lists its modes), or cannot be opened.
        """
        camera, sensor = self._find()
        name = describe(camera)
        if self._failures >= _FAILURES_BEFORE_RESET:
            self._failures = 0
            try:
                camera.hardware_reset()
            except RuntimeError as error:
                raise SensorError(
                    f"{name}: stopped answering and cannot be reset ({error}). Unplug it and plug it in again"
                ) from error
            raise SensorLost(f"{name}: stopped answering and was reset; it returns in a few seconds")
        rs = librealsense.load()
        if _usb_type(camera).startswith("2"):
            _log.warning("%s: runs at USB 2 speed, with fewer modes; use a USB 3 port and cable", name)
        profile = self._profile(sensor, name)
        if sensor.supports(rs.option.global_time_enabled):
            # librealsense's own mapping to the host's clock can step by seconds, so the driver maps the raw clock.
            sensor.set_option(rs.option.global_time_enabled, 0)
        self._streaming = _Streaming(sensor, profile, name)
        self._camera = camera
        if not self._streaming.wait_for_first(_FIRST_FRAME_S):
            self._failures += 1
            self.stop()
            raise SensorLost(f"{name}: started, but delivered no frame in {_FIRST_FRAME_S:g} s")
        self._failures = 0
        return _stream(name, sensor, profile)

    def read(self, timeout_s: float) -> list[Any]:
        """As in ``FrameSource``."""
        if self._streaming is None:
            raise SensorLost(f"{self.device}: not connected")
        frames = self._streaming.read(timeout_s)
        if not frames and not self._is_attached(self._camera):
            raise SensorLost(f"{describe(self._camera)}: unplugged")
        return frames

    def stop(self) -> None:
        """As in ``FrameSource``."""
        streaming, self._streaming, self._camera = self._streaming, None, None
        if streaming is not None and not streaming.close():
            _log.warning("%s: did not stop within %g s and was abandoned", self.device, _STOP_DEADLINE_S)
            self._failures = _FAILURES_BEFORE_RESET

    def _attached(self) -> list[Any]:
        """Returns the ``rs.device``s that are attached now."""
        return list(librealsense.load().context().query_devices())

    def _is_attached(self, camera: Any) -> bool:
        return camera.is_connected()

    def _find(self) -> tuple[Any, Any]:
        """Returns the camera and its depth sensor."""
        attached = self._attached()
        for camera in attached:
            sensor = _depth_sensor(camera)
            number = _serial_number(camera)
            if sensor and self._serial_number in (None, number) and number not in self._others.serial_numbers:
                return camera, sensor
        there = ", ".join(describe(camera) for camera in attached) or "none"
        raise SensorNotFound(
            f"{self.device}: not found on USB; attached RealSense devices: {there}. Is it plugged in, and are"
            " librealsense's udev rules installed?"
        )

    def _profile(self, sensor: Any, name: str) -> Any:
        rs = librealsense.load()
        profiles = {(video.width(), video.height(), video.fps()): video for video in _depth_profiles(rs, sensor)}
        if self._mode in profiles:
            return profiles[self._mode]
        rates = defaultdict(set)
        for width, height, rate_hz in profiles:
            rates[width, height].add(rate_hz)
        offered = "; ".join(
            f"{width}x{height} at {', '.join(map(str, sorted(rates[width, height])))} Hz"
            for width, height in sorted(rates)
        )
        width, height, rate_hz = self._mode
        raise SensorError(
            f"{name}: has no depth mode {width}x{height} at {rate_hz} Hz. In {self._section} set width, height and"
            f" rate_hz to one of: {offered or 'none'}"
        )


class FileSource:
    """A recording of a RealSense camera, played once at its own pace. A host that is too busy loses frames.

    Args:
        path: a ``.bag``; or a ``.db3``, which needs pyrealsense2 2.58.
    """

    def __init__(self, path: Path) -> None:
        self.device = f"recording {path}"
        self._path = path
        self._playback: Any = None
        self._streaming: _Streaming | None = None

    def start(self) -> DepthStream:
        """Plays the file from its beginning.

        Raises:
            SensorNotFound: the file does not exist.
            SensorError: this librealsense cannot play it, or it holds no depth.
        """
        rs = librealsense.load()
        if not self._path.is_file():
            raise SensorNotFound(f"{self.device}: no such file")
        try:
            self._playback = rs.context().load_device(str(self._path))
        except RuntimeError as error:
            raise SensorError(
                f"{self.device}: this version of pyrealsense2 cannot play it ({error}); a .db3 needs 2.58 or later"
            ) from error
        sensor = _depth_sensor(self._playback)
        profiles = _depth_profiles(rs, sensor) if sensor else []
        if not profiles:
            raise SensorError(f"{self.device}: holds no depth stream")
        self._streaming = _Streaming(sensor, profiles[0], self.device)
        return _stream(self.device, sensor, profiles[0])

    def read(self, timeout_s: float) -> list[Any]:
        """As in ``FrameSource``."""
        if self._streaming is None:
            raise SensorLost(f"{self.device}: not connected")
        frames = self._streaming.read(timeout_s)
        if not frames and self._playback.current_status() == librealsense.load().playback_status.stopped:
            frames = self._streaming.read(0)  # frames that came between the time-out and the end
            if not frames:
                raise SensorEnded(f"{self.device}: has ended")
        return frames

    def stop(self) -> None:
        """As in ``FrameSource``."""
        streaming, self._streaming, self._playback = self._streaming, None, None
        if streaming is not None:
            streaming.close()


class _Streaming:
    """A librealsense sensor that streams one profile into a queue."""

    def __init__(self, sensor: Any, profile: Any, name: str) -> None:
        self._sensor = sensor
        self._early: list[Any] = []  # frames that came during the wait for the first one
        self._queue = librealsense.load().frame_queue(_QUEUE_FRAMES)
        try:
            sensor.open(profile)
            sensor.start(self._queue)
        except RuntimeError as error:
            self.close()
            raise SensorError(f"{name}: cannot be started ({error}). Does another program use it?") from error

    def wait_for_first(self, timeout_s: float) -> bool:
        self._early = self.read(timeout_s)
        return bool(self._early)

    def read(self, timeout_s: float) -> list[Any]:
        frames, self._early = self._early, []
        arrived, frame = self._queue.try_wait_for_frame(0 if frames else math.ceil(timeout_s * 1000))
        while arrived:
            frames.append(frame)
            arrived, frame = self._queue.try_wait_for_frame(0)
        return frames

    def close(self) -> bool:
        """Stops the sensor. Returns whether it stopped, because a faulty camera may never do so."""
        stopper = threading.Thread(target=self._stop, daemon=True)
        stopper.start()
        stopper.join(_STOP_DEADLINE_S)
        return not stopper.is_alive()

    def _stop(self) -> None:
        for step in (self._sensor.stop, self._sensor.close):
            try:
                step()
            except RuntimeError as error:  # unplugged, or never started
                _log.debug("%s", error)


def _depth_sensor(device: Any) -> Any:
    """Returns the device's depth sensor, or None if it has none."""
    return next((sensor.as_depth_sensor() for sensor in device.query_sensors() if sensor.is_depth_sensor()), None)


def _depth_profiles(rs: Any, sensor: Any) -> list[Any]:
    profiles = (
        profile.as_video_stream_profile()
        for profile in sensor.get_stream_profiles()
        if profile.is_video_stream_profile()
    )
    return [video for video in profiles if video.stream_type() == rs.stream.depth and video.format() == rs.format.z16]


def _stream(name: str, sensor: Any, profile: Any) -> DepthStream:
    lens = profile.intrinsics
    size = {"width": lens.width, "height": lens.height}
    intrinsics = {**size, "fx": lens.fx, "fy": lens.fy, "cx": lens.ppx, "cy": lens.ppy}
    return DepthStream(name, profile.fps(), sensor.get_depth_scale(), intrinsics)


def describe(device: Any) -> str:
    """Describes a RealSense device: its name, serial number and speed, as far as it reports them."""
    rs = librealsense.load()
    name = device.get_info(rs.camera_info.name) if device.supports(rs.camera_info.name) else "RealSense device"
    usb_type = _usb_type(device)
    return f"{name} {_serial_number(device)}" + (f" (USB {usb_type})" if usb_type else "")


def _serial_number(device: Any) -> str:
    info = librealsense.load().camera_info.serial_number
    return device.get_info(info) if device.supports(info) else "without serial number"


def _usb_type(device: Any) -> str:
    info = librealsense.load().camera_info.usb_type_descriptor
    return device.get_info(info) if device.supports(info) else ""
