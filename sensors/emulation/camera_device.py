"""An emulated RealSense camera: librealsense's software device in place of a camera on USB."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from cosmo_runtime.sensors.depth import librealsense
from cosmo_runtime.sensors.depth.sources import CameraSource
from cosmo_runtime.sensors.simulation.motion import Camera

_SERIAL_NUMBER = "EMULATED"
_HARDWARE_WRAP_US = 2**32  # as in the D400


class EmulatedCamera(CameraSource):
    """A camera that shows the frames pushed into it. It is a ``FrameSource`` for a ``DepthCamera``, already plugged in.

    Other threads than the reading one may call ``push``, ``plug`` and ``unplug``.

    Args:
        camera: its lens, rate and depth scale.

    Attributes:
        dropped_frames: frames pushed while it was unplugged.

    Raises:
        SensorError: pyrealsense2 is missing.
    """

    def __init__(self, camera: Camera) -> None:
        super().__init__(_SERIAL_NUMBER, camera.width, camera.height, round(camera.rate_hz))
        self.device = "emulated RealSense camera"
        self.dropped_frames = 0
        self._lens = camera
        self._lock = threading.Lock()
        self._plugged: Any = None
        self.plug()

    def plug(self) -> None:
        """Plugs the cable in. The camera restarts and numbers its frames from 1."""
        with self._lock:
            if self._plugged is None:
                self._plugged, self._sensor, self._stream_profile = _software_device(self._lens)
                self._number = 0

    def unplug(self) -> None:
        """Pulls the cable. The driver loses the camera and finds none until ``plug``."""
        with self._lock:
            self._plugged = None

    def push(self, frame: np.ndarray, time_s: float, left_out: int = 0) -> None:
        """Sends a frame to the host.

        Args:
            frame: (height, width) uint16 in steps of the camera's depth scale. It is copied.
            time_s: when the frame was taken, on the camera's clock.
            left_out: frames before it that the host did not take. They count in its number.
        """
        if frame.shape != (self._lens.height, self._lens.width) or frame.dtype != np.uint16:
            raise ValueError(
                f"expected a {self._lens.height}x{self._lens.width} uint16 frame, not {frame.dtype} {frame.shape}"
            )
        with self._lock:
            if self._plugged is None:
                self.dropped_frames += 1
                return
            self._number += 1 + left_out
            self._sensor.on_video_frame(self._video_frame(frame, time_s))

    def _video_frame(self, frame: np.ndarray, time_s: float) -> Any:
        rs = librealsense.load()
        video = rs.software_video_frame()
        video.pixels = np.ascontiguousarray(frame)  # a copy, which librealsense frees with its frame
        video.stride = 2 * self._lens.width
        video.bpp = 2
        video.depth_units = self._lens.depth_scale_m
        video.timestamp = round(time_s * 1e6) % _HARDWARE_WRAP_US / 1e3
        video.domain = rs.timestamp_domain.hardware_clock
        video.frame_number = self._number
        video.profile = self._stream_profile
        return video

    def _attached(self) -> list[Any]:
        return [] if self._plugged is None else [self._plugged]

    def _is_attached(self, camera: Any) -> bool:
        return camera is self._plugged


def _software_device(camera: Camera) -> tuple[Any, Any, Any]:
    """Returns a device with one depth sensor, that sensor, and the profile of its frames."""
    rs = librealsense.load()
    device = rs.software_device()
    device.register_info(rs.camera_info.name, "Emulated RealSense")
    device.register_info(rs.camera_info.serial_number, _SERIAL_NUMBER)
    sensor = device.add_sensor("Stereo Module")
    sensor.add_read_only_option(rs.option.depth_units, camera.depth_scale_m)
    lens = rs.intrinsics()
    lens.width, lens.height = camera.width, camera.height
    lens.fx, lens.fy, lens.ppx, lens.ppy = camera.fx, camera.fy, camera.cx, camera.cy
    lens.model, lens.coeffs = rs.distortion.none, [0.0] * 5
    stream = rs.video_stream()
    stream.type, stream.fmt, stream.index, stream.uid = rs.stream.depth, rs.format.z16, 0, 1
    stream.width, stream.height, stream.fps, stream.bpp = camera.width, camera.height, round(camera.rate_hz), 2
    stream.intrinsics = lens
    return device, sensor, sensor.add_video_stream(stream).as_video_stream_profile()
