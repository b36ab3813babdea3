"""The driver of RealSense depth cameras: decimated, range-gated depth images with stamps on the host's clock."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from cosmo_runtime.sensors.clock import DeviceClock
from cosmo_runtime.sensors.config import DepthConfig
from cosmo_runtime.sensors.depth import librealsense
from cosmo_runtime.sensors.depth.sources import CameraSource, FileSource, FrameSource
from cosmo_runtime.sensors.discovery import NO_OTHERS, Others
from cosmo_runtime.sensors.events import Sample
from cosmo_runtime.sensors.sensor import Sensor, SensorError, SensorInfo

_TICK_NS = 1000  # librealsense gives milliseconds as a float; a camera's clock counts microseconds
_HARDWARE_WRAP_TICKS = 2**32  # the D400 counts microseconds and wraps after 71.6 minutes


class DepthCamera(Sensor):
    """A RealSense camera, or anything else that delivers its frames.

    ``info.counts`` holds ``samples``; ``lost_samples``, gaps in the camera's frame numbers; ``clock_domain_changes``,
    frames stamped by another clock than the previous one; and the counts of ``DeviceClock``.

    Args:
        config: mode, decimation, range gate.
        source: delivers frames, in its own mode, instead of the camera or file that ``config`` names.
        name: the sensor's name in the rig.
        others: the rig's other sensors, whose cameras are left alone.
    """

    def __init__(
        self,
        config: DepthConfig,
        source: FrameSource | None = None,
        name: str = "depth",
        others: Others = NO_OTHERS,
    ) -> None:
        if source is None:
            if config.file:
                source = FileSource(config.file)
            else:
                mode = config.width, config.height, config.rate_hz
                source = CameraSource(config.serial_number, *mode, others, config.section)
        self.info = SensorInfo(name, source.device, config.rate_hz, kind="depth", latency_ms=config.latency_ms)
        self._config = config
        self._source = source
        self._decimate: Any = None
        self._clock_domain: Any = None
        self._frame_number: int | None = None
        self._arrival_ns = 0
        self._stamp_ns = 0

    def connect(self) -> None:
        """As in ``Sensor``."""
        self._arrival_ns = time.monotonic_ns()
        try:
            stream = self._source.start()
        except RuntimeError as error:  # from librealsense, for example when the camera is unplugged meanwhile
            self._source.stop()
            raise SensorError(f"{self.info.device}: librealsense cannot start it ({error})") from error
        self._decimate = librealsense.load().decimation_filter(self._config.decimation).process
        self._clock_domain = self._frame_number = None
        self.info.device = stream.device
        self.info.rate_hz = stream.rate_hz
        self.info.depth_scale_m = stream.depth_scale_m
        self.info.intrinsics = decimated(stream.intrinsics, self._config.decimation)
        self._nearest = round(min(self._config.min_m / stream.depth_scale_m, 0xFFFF))
        self._farthest = round(min(self._config.max_m / stream.depth_scale_m, 0xFFFF))

    def read(self, timeout_s: float) -> list[Sample]:
        """As in ``Sensor``."""
        frames = self._source.read(timeout_s)
        return [self._sample(frame, arrival_ns) for frame, arrival_ns in zip(frames, self._arrivals(frames))]

    def disconnect(self) -> None:
        """As in ``Sensor``."""
        self._source.stop()

    def _sample(self, frame: Any, arrival_ns: int) -> Sample:
        self._count(frame.frame_number)
        stamp_ns = self._to_host(frame, arrival_ns)
        return Sample(self.info.name, stamp_ns, arrival_ns, self._depth(frame))

    def _arrivals(self, frames: list[Any]) -> list[int]:
        """Assumes that the newest frame has just arrived, and spaces the queued ones before it as they were taken."""
        now_ns = time.monotonic_ns()
        arrivals_ns = []
        for frame in frames:
            age_ns = max(0, round((frames[-1].timestamp - frame.timestamp) * 1e6))
            self._arrival_ns = max(self._arrival_ns, now_ns - age_ns)
            arrivals_ns.append(self._arrival_ns)
        return arrivals_ns

    def _count(self, frame_number: int) -> None:
        self.info.counts["samples"] += 1
        if self._frame_number is not None and frame_number > self._frame_number:
            self.info.counts["lost_samples"] += frame_number - self._frame_number - 1
        self._frame_number = frame_number

    def _to_host(self, frame: Any, arrival_ns: int) -> int:
        domain = frame.frame_timestamp_domain
        if domain != self._clock_domain:
            if self._clock_domain is not None:
                self.info.counts["clock_domain_changes"] += 1
            wraps = domain == librealsense.load().timestamp_domain.hardware_clock
            self._clock = DeviceClock(self.info, _TICK_NS, _HARDWARE_WRAP_TICKS if wraps else None)
            self._clock_domain = domain
        stamp_ns = self._clock.to_host(round(frame.timestamp * 1000), arrival_ns) - round(self._config.latency_ms * 1e6)
        self._stamp_ns = max(stamp_ns, self._stamp_ns + 1)  # the new clock may start behind the old one
        return self._stamp_ns

    def _depth(self, frame: Any) -> np.ndarray:
        if self._config.decimation > 1:
            frame = self._decimate(frame)
        height, width = int(self.info.intrinsics["height"]), int(self.info.intrinsics["width"])
        depth = np.asanyarray(frame.get_data())[:height, :width]  # librealsense owns the buffer
        in_range = depth - np.uint16(self._nearest) <= np.uint16(self._farthest - self._nearest)  # nearer ones wrap
        gated: np.ndarray = depth * in_range  # a quarter of the time of setting the others to 0
        return gated


def decimated(intrinsics: dict[str, float], factor: int) -> dict[str, float]:
    """Returns the intrinsics of an image whose pixels were merged ``factor`` x ``factor``.

    librealsense pads the merged image with empty columns and rows to multiples of four; the driver cuts them off.
    """
    return {key: value // factor if key in ("width", "height") else value / factor for key, value in intrinsics.items()}
