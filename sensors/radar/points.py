"""Reads the points in a radar's TLVs, in every form that TI's firmware sends.

Points are (n, 5) float32: x, y, z in m, radial speed in m/s (positive: receding), SNR in dB; NaN where not sent.
Each function reads the value of one TLV and returns None if it has another form.
"""

from __future__ import annotations

import struct

import numpy as np

from cosmo_runtime.sensors.radar.chirp import Chirp

_OBJECT = np.dtype([("range", "<u2"), ("doppler", "<i2"), ("peak", "<u2"), ("xyz", "<i2", 3)])  # SDK 1 and 2
_COMPRESSED = np.dtype([("elevation", "i1"), ("azimuth", "i1"), ("doppler", "<i2"), ("range", "<u2"), ("snr", "<u2")])
_UNITS_BYTES = 20


def cartesian(value: bytes, chirp: Chirp | None) -> np.ndarray | None:
    """Reads TLV 1 in the form of SDK 3, or of SDK 1 and 2, which also occurs after 40-byte headers.

    The latter begins with the number of points and a small exponent. Read as a coordinate of SDK 3, the two would be a
    denormal number.

    Args:
        value: the TLV's value.
        chirp: gives the points of SDK 1 and 2 their speeds. Without it they are NaN.
    """
    count, exponent = struct.unpack_from("<2H", value) if len(value) >= 4 else (0, 0)
    if exponent < 16 and len(value) == 4 + count * _OBJECT.itemsize:
        objects = np.frombuffer(value, _OBJECT, offset=4)
        points = np.full((count, 5), np.nan, np.float32)
        points[:, :3] = objects["xyz"] * 0.5**exponent
        if chirp:
            bins = chirp.doppler_bins
            points[:, 3] = ((objects["doppler"] + bins // 2) % bins - bins // 2) * chirp.velocity_bin_mps
        return points
    if len(value) % 16:
        return None
    points = np.full((len(value) // 16, 5), np.nan, np.float32)
    points[:, :4] = np.frombuffer(value, "<f4").reshape(-1, 4)
    return points


def spherical(value: bytes) -> np.ndarray | None:
    """Reads TLV 1000: range, azimuth, elevation and radial speed of each point."""
    if len(value) % 16:
        return None
    distance, azimuth, elevation, speed = np.frombuffer(value, "<f4").reshape(-1, 4).T
    return _points(distance, azimuth, elevation, speed)


def compressed(value: bytes) -> np.ndarray | None:
    """Reads compressed spherical points: five units, then five values for each point."""
    if not value:
        return np.empty((0, 5), np.float32)
    count, left_over = divmod(len(value) - _UNITS_BYTES, _COMPRESSED.itemsize)
    if count < 0 or left_over:
        return None
    units = np.frombuffer(value, "<f4", 5).astype(float)
    packed = np.frombuffer(value, _COMPRESSED, count, offset=_UNITS_BYTES)
    with np.errstate(all="ignore"):  # units may be anything
        elevation, azimuth, speed, distance, snr = (
            packed[name] * unit for name, unit in zip(("elevation", "azimuth", "doppler", "range", "snr"), units)
        )
        points = _points(distance, azimuth, elevation, speed)
        points[:, 4] = 10 * np.log10(np.maximum(snr, 1e-3))  # the firmware sends a ratio
    return points


def side_info_snr(value: bytes) -> np.ndarray | None:
    """Reads TLV 7: the SNR in dB of each point."""
    if len(value) % 4:
        return None
    return np.frombuffer(value, "<i2")[::2] * np.float32(0.1)


def _points(distance: np.ndarray, azimuth: np.ndarray, elevation: np.ndarray, speed: np.ndarray) -> np.ndarray:
    """Converts points without SNR from spherical coordinates: m, rad, rad, m/s."""
    points = np.full((len(distance), 5), np.nan, np.float32)
    with np.errstate(all="ignore"):  # whatever the bytes spell
        points[:, 0] = distance * np.cos(elevation) * np.sin(azimuth)
        points[:, 1] = distance * np.cos(elevation) * np.cos(azimuth)
        points[:, 2] = distance * np.sin(elevation)
    points[:, 3] = speed
    return points
