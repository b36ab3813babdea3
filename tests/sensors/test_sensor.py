from __future__ import annotations

from collections import Counter

from cosmo_runtime.sensors.sensor import SensorInfo


def test_samples_and_what_never_happened_are_no_losses() -> None:
    info = SensorInfo("imu", "an IMU", 100, Counter(samples=7, lost_samples=2, skipped_bytes=0))
    losses = info.losses
    assert losses == {"lost_samples": 2}
    losses.clear()
    assert info.counts["lost_samples"] == 2
