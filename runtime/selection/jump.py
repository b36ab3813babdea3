"""Notices when an IMU suddenly moves more than before, as at the start of a fall."""

from __future__ import annotations

import numpy as np

from cosmo_runtime.runtime.sync.motion import FORCE_PER_RATE, GRAVITY

_NEWEST = 4  # the newest quarter of a window is compared with the rest
_LEAST_MOTION = 1.5  # rad/s: the arm of somebody who walks slowly
_TIMES = 2.0


def jumps(window: np.ndarray) -> bool:
    """Whether the newest quarter of a window moves twice as much as the rest.

    Args:
        window: (steps, channels) of an IMU, in m/s², rad/s, µT.
    """
    motion = np.abs(np.linalg.norm(window[:, :3], axis=1) - GRAVITY) / FORCE_PER_RATE
    if window.shape[1] >= 6:
        motion = motion + np.linalg.norm(window[:, 3:6], axis=1)
    newest = len(motion) - len(motion) // _NEWEST
    now, before = float(motion[newest:].mean()), float(motion[:newest].mean())
    return now > _LEAST_MOTION and now > _TIMES * before
