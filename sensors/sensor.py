"""The life cycle that all sensors share, and its errors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass, field
from types import TracebackType

from cosmo_runtime.sensors.events import Sample


class SensorError(Exception):
    """A problem that a person can fix. The message names the device, what was wrong and what to do."""


class SensorNotFound(SensorError):
    """The device is not attached, or not where the configuration says."""


class SensorLost(SensorError):
    """A connected device stopped answering: unplugged, reset or silent. Connecting again may help."""


class SensorEnded(SensorLost):
    """A recorded device has played to its end and will not come back."""


@dataclass
class SensorInfo:
    """Facts about a sensor, readable at any time, connected or not.

    Attributes:
        name: the sensor's name in the rig, as in ``Sample.sensor``.
        kind: the kind of sensor; the name is the default.
        device: describes the device by make, port and serial number, in more detail once connected.
        rate_hz: nominal samples (or frames) a second.
        counts: samples and losses since the first ``connect``: ``samples``, ``lost_samples`` (gaps in
            the device's own numbering or clock), ``skipped_bytes``, ``bad_checksums`` and anything else the
            driver counts. Names are plural nouns.
        depth_scale_m: metres per step of a depth image; 0 for other sensors.
        intrinsics: width, height (pixels) and fx, fy, cx, cy (pixels) of a depth image; empty for other sensors.
        latency_ms: what the driver takes off every stamp, as the configuration says.
    """

    name: str
    device: str
    rate_hz: float
    counts: Counter[str] = field(default_factory=Counter)
    depth_scale_m: float = 0.0
    intrinsics: dict[str, float] = field(default_factory=dict)
    kind: str = ""
    latency_ms: float = 0.0

    def __post_init__(self) -> None:
        self.kind = self.kind or self.name

    @property
    def losses(self) -> dict[str, int]:
        """What the driver counted, without the samples and without what is 0."""
        return {reason: count for reason, count in dict(self.counts).items() if reason != "samples" and count}


class Sensor(ABC):
    """A device that yields samples. Use it as a context manager, or call ``connect`` and ``disconnect``.

    ``connect`` may be called again after ``disconnect``, or after ``read`` raised ``SensorLost``. If it fails, it
    closes everything that it had opened.
    """

    info: SensorInfo

    @abstractmethod
    def connect(self) -> None:
        """Opens and configures the device. Returns when it is ready to be read.

        Raises:
            SensorNotFound: the device is not there. This takes up to 3 s; for an IMU, which may have any of the usual
                speeds, up to 5 s for each port that it may be on.
            SensorError: the device is there but cannot be used.
        """

    @abstractmethod
    def read(self, timeout_s: float) -> list[Sample]:
        """Returns the samples since the last call, oldest first. Waits up to ``timeout_s`` for the first one.

        The list is empty if none came in time. Stamps strictly increase from sample to sample.

        Raises:
            SensorLost: the device went away; ``disconnect`` and ``connect`` may bring it back.
        """

    @abstractmethod
    def disconnect(self) -> None:
        """Releases the device. Never raises, and does nothing if not connected."""

    def __enter__(self) -> Sensor:
        self.connect()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.disconnect()
