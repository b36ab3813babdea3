"""Depth images for the page: small, one byte per pixel."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

NEAR_M, FAR_M = 0.4, 6.0
_MOST_COLUMNS = 240


def small_picture(image: np.ndarray, scale_m: float) -> np.ndarray:
    """A depth image for the page.

    Args:
        image: (height, width) uint16.
        scale_m: metres per step of the image's values.

    Returns:
        (rows, columns) uint8, at most 240 columns: 0 where nothing was measured, 1 at ``NEAR_M`` or nearer to 255 at
        ``FAR_M`` or farther.
    """
    step = -(-image.shape[1] // _MOST_COLUMNS)
    return _levels(scale_m)[image[::step, ::step]]


@lru_cache(maxsize=8)
def _levels(scale_m: float) -> np.ndarray:
    """The byte for each of the 65536 values of a pixel."""
    metres = np.arange(1 << 16) * scale_m
    levels = 1 + np.round(np.clip((metres - NEAR_M) / (FAR_M - NEAR_M), 0, 1) * 254)
    levels[0] = 0
    return levels.astype(np.uint8)
