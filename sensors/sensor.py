"""The life cycle that every sensor shares, and what can go wrong in it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass, field
from types import TracebackType

from sensors.events import Sample


class SensorError(Exception):
    """Something a person can mend: the message names the device, what was wrong and what to do."""


class SensorNotFound(SensorError):
    """The device is not attached, or not where the configuration says."""


class SensorLost(SensorError):
    """A connected device stopped answering: unplugged, reset or silent. Connecting again may help."""


class SensorEnded(SensorLost):
    """A recorded device has played to its end; there is nothing to come back."""


@dataclass
class SensorInfo:
    """What is known of a sensor, readable at any time, connected or not.

    Attributes:
        name: the sensor's name in the rig, as in ``Sample.sensor``.
        device: the device in words: make, port, serial number. Grows more precise once connected.
        rate_hz: nominal samples (or frames) a second.
        counts: what passed and what was lost since the first ``connect``: ``samples``, ``lost_samples`` (gaps in
            the device's own numbering or clock), ``skipped_bytes``, ``bad_checksums`` and whatever else the
            driver counts. Names are plural nouns.
        depth_scale_m: metres per step of a depth image; 0 for other sensors.
        intrinsics: width, height (pixels) and fx, fy, cx, cy (pixels) of a depth image; empty for other sensors.
    """

    name: str
    device: str
    rate_hz: float
    counts: Counter[str] = field(default_factory=Counter)
    depth_scale_m: float = 0.0
    intrinsics: dict[str, float] = field(default_factory=dict)


class Sensor(ABC):
    """A device that yields samples. Use as a context manager, or call ``connect`` and ``disconnect``.

    ``connect`` may be called again after ``disconnect`` or after ``read`` raised ``SensorLost``; it cleans up
    whatever it had opened when it fails.
    """

    info: SensorInfo

    @abstractmethod
    def connect(self) -> None:
        """Opens and configures the device; returns when it is ready to be read.

        Raises:
            SensorNotFound: it is not there; within 3 s, but for an IMU, which may be listened for at every usual speed:
                within 5 s for each port that it may be on.
            SensorError: it is there and cannot be used.
        """

    @abstractmethod
    def read(self, timeout_s: float) -> list[Sample]:
        """Returns what has arrived since the last call, oldest first; waits up to ``timeout_s`` for the first.

        An empty list means that nothing came in time. Stamps strictly increase from sample to sample.

        Raises:
            SensorLost: the device went away; ``disconnect`` and ``connect`` may bring it back.
        """

    @abstractmethod
    def disconnect(self) -> None:
        """Releases the device. Never raises; harmless when not connected."""

    def __enter__(self) -> Sensor:
        self.connect()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.disconnect()
