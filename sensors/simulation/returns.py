"""How a mmWave radar with three transmit and four receive antennas detects a body made of capsules.

Resolutions and limits are those of a TI IWR6843 with the shipped ``iwr6843_people_20hz.cfg`` and the processing of
TI's demo: static clutter removal, CFAR detection on the range-Doppler map, one direction of arrival for each cell.
"""

from __future__ import annotations

import numpy as np

RANGE_BIN_M = 0.05
SPEED_BIN_MPS = 0.13
SPEED_BINS = 80
MAX_RANGE_M = 6.4
MAX_POINTS = 64

_MIN_SNR_DB = 13.0
_SNR_DB = 58.0  # SNR of 1 m² at 1 m
_REFLECTIVITY = 0.9  # radar cross-section per area that faces the radar; a standing adult sums to about 0.5 m²
_CLUTTER_REMOVAL_DB = 45.0
_POINTS_PER_M = 40.0
_ANGLE_SIGMA = np.radians([1.5, 4.0])  # azimuth, elevation at 20 dB
_FIELD_OF_VIEW = np.radians([65.0, 45.0])
_FALSE_ALARMS = 0.15  # a frame


def detect(capsules: np.ndarray, velocities: np.ndarray, radii: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One frame of detections.

    Args:
        capsules: (n, 2, 3) ends relative to the radar, metres: x right, y away, z up.
        velocities: (n, 2, 3) velocities of the ends, m/s.
        radii: (n,) metres.
        rng: draws this frame's noise.

    Returns:
        (m, 5) float32, m <= 64, strongest first: x, y, z (m), radial speed (m/s, positive: receding, aliased into
        +-5.2), SNR (dB).
    """
    lengths = np.linalg.norm(capsules[:, 1] - capsules[:, 0], axis=1)
    counts = np.maximum(3, np.ceil(_POINTS_PER_M * (lengths + 2 * radii))).astype(int)
    bone = np.repeat(np.arange(len(radii)), counts)
    share = rng.random(len(bone))[:, None]
    start, end = capsules[bone, 0], capsules[bone, 1]
    points = start + share * (end - start)
    speeds = velocities[bone, 0] + share * (velocities[bone, 1] - velocities[bone, 0])

    distance = np.linalg.norm(points, axis=1)
    facing = points / distance[:, None]
    tilt = np.einsum("ij,ij->i", facing, end - start) / np.maximum(lengths[bone], 1e-6)
    area = 2 * radii[bone] * (lengths[bone] + 2 * radii[bone]) / counts[bone]
    section = _REFLECTIVITY * area * (1 - 0.8 * tilt**2) * rng.exponential(size=len(bone))  # Swerling 1
    points = points - facing * radii[bone, None]
    distance = distance - radii[bone]
    radial = np.einsum("ij,ij->i", speeds, facing)
    power = section / distance.clip(0.2) ** 4

    range_bin = np.floor(distance / RANGE_BIN_M).astype(int)
    speed_bin = np.round(radial / SPEED_BIN_MPS).astype(int)
    speed_bin = (speed_bin + SPEED_BINS // 2) % SPEED_BINS - SPEED_BINS // 2
    power *= np.where(speed_bin == 0, 10 ** (-_CLUTTER_REMOVAL_DB / 10), 1.0)

    cells, cell = np.unique(np.stack([range_bin, speed_bin]), axis=1, return_inverse=True)
    cell = cell.reshape(-1)
    total = np.bincount(cell, power)
    centre = np.stack([np.bincount(cell, power * points[:, axis]) for axis in range(3)], axis=1) / total[:, None]
    snr = _SNR_DB + 10 * np.log10(total)
    azimuth = np.arctan2(centre[:, 0], centre[:, 1])
    elevation = np.arctan2(centre[:, 2], np.hypot(centre[:, 0], centre[:, 1]))
    ranges, radials = (cells[0] + 0.5) * RANGE_BIN_M, cells[1] * SPEED_BIN_MPS

    alarms = rng.poisson(_FALSE_ALARMS)
    ranges = np.append(ranges, RANGE_BIN_M * (rng.integers(10, round(MAX_RANGE_M / RANGE_BIN_M), alarms) + 0.5))
    bins = rng.integers(1, SPEED_BINS // 2, alarms) * rng.choice([-1, 1], alarms)
    radials = np.append(radials, SPEED_BIN_MPS * bins)
    azimuth = np.append(azimuth, rng.uniform(-1, 1, alarms))
    elevation = np.append(elevation, rng.uniform(-0.5, 0.5, alarms))
    snr = np.append(snr, _MIN_SNR_DB + rng.exponential(1.5, alarms))

    spread = 10 ** ((20 - snr.clip(_MIN_SNR_DB)) / 20)
    azimuth += _ANGLE_SIGMA[0] * spread * rng.normal(size=len(snr))
    elevation += _ANGLE_SIGMA[1] * spread * rng.normal(size=len(snr))
    seen = (snr >= _MIN_SNR_DB) & (ranges < MAX_RANGE_M)
    seen &= (np.abs(azimuth) < _FIELD_OF_VIEW[0]) & (np.abs(elevation) < _FIELD_OF_VIEW[1])
    order = np.flatnonzero(seen)[np.argsort(-snr[seen], kind="stable")][:MAX_POINTS]
    flat = ranges * np.cos(elevation)
    columns = [flat * np.sin(azimuth), flat * np.cos(azimuth), ranges * np.sin(elevation), radials, snr]
    return np.stack(columns, axis=1)[order].astype(np.float32)


def false_alarms(rng: np.random.Generator) -> np.ndarray:
    """One frame in which nothing moves, in the form of ``detect``. ``rng`` draws the frame's noise."""
    return detect(np.empty((0, 2, 3)), np.empty((0, 2, 3)), np.empty(0), rng)
