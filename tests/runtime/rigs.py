"""What aligners are told of the sensors of a made-up rig."""

from __future__ import annotations

from cosmo_runtime.sensors.sensor import SensorInfo


def infos(**rates_hz: float) -> dict[str, SensorInfo]:
    """Sensors by name, at these rates; a camera's depth is in millimetres."""
    return {
        name: SensorInfo(name, "made up", rate_hz, depth_scale_m=0.001 if name == "depth" else 0.0)
        for name, rate_hz in rates_hz.items()
    }
