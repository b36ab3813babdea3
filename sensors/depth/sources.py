"""Where depth frames come from: a camera on USB, or a recorded file; both are librealsense sensors behind a queue.

The sensor interface of librealsense is used rather than its pipeline: ``pipeline.start`` without a camera blocks for
15 s, and the queue is the same for a live camera, a recording and a software device, so what is tested is what runs.
"""

from __future__ import annotations

import logging
import math
import threading
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from sensors.depth import librealsense
from sensors.sensor import SensorEnded, SensorError, SensorLost, SensorNotFound

_QUEUE_FRAMES = 16  # as many as librealsense keeps in flight; half a second of a stalled host at 30 Hz
_FIRST_FRAME_S = 2.0  # a D400 needs up to a second
_STOP_DEADLINE_S = 2.0
_FAILURES_BEFORE_RESET = 2

_log = logging.getLogger(__name__)


class DepthStream(NamedTuple):
    """What a source delivers once started.

    Attributes:
        device: the device in words.
        rate_hz: nominal frames a second.
        depth_scale_m: metres per step of depth.
        intrinsics: width, height, fx, fy, cx, cy of the frames as they come, in pixels.
    """

    device: str
    rate_hz: float
    depth_scale_m: float
    intrinsics: dict[str, float]


class FrameSource(Protocol):
    """Delivers the depth frames of one device; may be started again after it was stopped.

    Attributes:
        device: the device in words, as far as it is known before it is started.
    """

    device: str

    def start(self) -> DepthStream:
        """Opens the device; frames gather from now on.

        Raises:
            SensorNotFound: it is not there.
            SensorError: it is there and cannot be used.
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
        serial_number: of the camera; the first one with a depth sensor when None.
        width, height: pixels.
        rate_hz: frames a second.
    """

    def __init__(self, serial_number: str | None, width: int, height: int, rate_hz: int) -> None:
        self.device = f"RealSense camera {serial_number}" if serial_number else "RealSense camera"
        self._serial_number = serial_number
        self._mode = (width, height, rate_hz)
        self._camera: Any = None
        self._streaming: _Streaming | None = None
        self._failures = 0

    def start(self) -> DepthStream:
        """Finds the camera, starts its depth stream in exactly the mode asked for, and waits for the first frame.

        A camera that gave no frame twice in a row, or did not stop, is reset first, and is back seconds later.

        Raises:
            SensorNotFound: no such camera; the message lists those attached.
            SensorLost: it gives no frames, or was just reset; starting again may help.
            SensorError: it does not offer the mode (the message lists what it does), or cannot be opened.
        """
        camera, sensor = self._find()
        name = describe(camera)
        if self._failures >= _FAILURES_BEFORE_RESET:
            self._failures = 0
            try:
                camera.hardware_reset()
            except RuntimeError as error:
                raise SensorError(
                    f"{name}: stopped answering, cannot be reset ({error}). Plug it out and in"
                ) from error
            raise SensorLost(f"{name}: stopped answering and was reset; it is back in a few seconds")
        rs = librealsense.load()
        if _usb_type(camera).startswith("2"):
            _log.warning("%s: runs at USB 2 speed, with fewer modes; use a USB 3 port and a USB 3 cable", name)
        profile = self._profile(sensor, name)
        if sensor.supports(rs.option.global_time_enabled):
            # librealsense's own mapping to the host's wall clock can step by seconds; the driver maps the raw clock.
            sensor.set_option(rs.option.global_time_enabled, 0)
        self._streaming = _Streaming(sensor, profile, name)
        self._camera = camera
        if not self._streaming.wait_for_first(_FIRST_FRAME_S):
            self._failures += 1
            self.stop()
            raise SensorLost(f"{name}: started, but gave no frame in {_FIRST_FRAME_S:g} s")
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
            _log.warning("%s: did not stop within %g s; left behind", self.device, _STOP_DEADLINE_S)
            self._failures = _FAILURES_BEFORE_RESET

    def _attached(self) -> list[Any]:
        """Returns the ``rs.device``s that are there now."""
        return list(librealsense.load().context().query_devices())

    def _is_attached(self, camera: Any) -> bool:
        return camera.is_connected()

    def _find(self) -> tuple[Any, Any]:
        """Returns the camera and its depth sensor."""
        attached = self._attached()
        for camera in attached:
            sensor = _depth_sensor(camera)
            if sensor and self._serial_number in (None, _serial_number(camera)):
                return camera, sensor
        there = ", ".join(describe(camera) for camera in attached) or "none"
        raise SensorNotFound(
            f"{self.device}: not found on USB; RealSense devices attached: {there}. Is it plugged in, and are"
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
            f"{name}: has no depth mode {width}x{height} at {rate_hz} Hz. Set width, height and rate_hz of [depth] to"
            f" one of: {offered or 'none'}"
        )


class FileSource:
    """A recording of a RealSense camera, played once at its own pace: what a busy host has no time for is lost.

    Args:
        path: a ``.bag``, or from pyrealsense2 2.58 on a ``.db3``.
    """

    def __init__(self, path: Path) -> None:
        self.device = f"recording {path}"
        self._path = path
        self._playback: Any = None
        self._streaming: _Streaming | None = None

    def start(self) -> DepthStream:
        """Plays the file from its beginning.

        Raises:
            SensorNotFound: no such file.
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
            frames = self._streaming.read(0)  # what came between the time-out and the end
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
        self._early: list[Any] = []  # frames that came while the first one was waited for
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
        """Stops the sensor; tells whether it did stop, which a camera in trouble may never do."""
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
    """Returns the device's depth sensor, None without one."""
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
    """A RealSense device in words: its name, serial number and speed, as far as it tells them."""
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
