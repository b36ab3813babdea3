"""A depth image as coloured half blocks of a terminal."""

from __future__ import annotations

from itertools import groupby

import numpy as np
from rich.text import Text

_NEAR_M, _FAR_M = 0.5, 5.0
_DEPTH_COLOURS = np.array([[255, 245, 200], [255, 170, 60], [220, 60, 80], [110, 30, 130], [30, 20, 70], [8, 8, 20]])


def depth_picture(image: np.ndarray, scale_m: float, most_columns: int, rows: int) -> Text:
    """Draws a depth image in half blocks: two rows of pixels per line, near is bright.

    Args:
        image: (height, width), in units of ``scale_m``; 0 where nothing was measured.
        scale_m: metres per unit.
        most_columns: the widest the picture may be; its proportions are kept.
        rows: lines of the terminal.
    """
    height, width = image.shape
    pixel_rows = 2 * rows
    pixel_columns = min(most_columns, pixel_rows * width // height)
    down = np.arange(pixel_rows) * height // pixel_rows
    across = np.arange(pixel_columns) * width // pixel_columns
    colours = _colours(image[np.ix_(down, across)] * scale_m).tolist()
    picture = Text(no_wrap=True, justify="center")
    for above, below in zip(colours[::2], colours[1::2]):
        for (top, bottom), run in groupby(zip(above, below)):
            style = "rgb({},{},{}) on rgb({},{},{})".format(*top, *bottom)
            picture.append("▀" * len(list(run)), style)
        picture.append("\n")
    picture.right_crop(1)
    return picture


def _colours(metres: np.ndarray) -> np.ndarray:
    """Returns red, green and blue of each pixel: (height, width, 3) int. Pixels without a measurement are black."""
    place = np.clip((metres - _NEAR_M) / (_FAR_M - _NEAR_M), 0, 1) * (len(_DEPTH_COLOURS) - 1)
    lower = np.minimum(place.astype(int), len(_DEPTH_COLOURS) - 2)
    part = (place - lower)[..., np.newaxis]
    colours = (_DEPTH_COLOURS[lower] * (1 - part) + _DEPTH_COLOURS[lower + 1] * part) // 16 * 16
    colours[metres == 0] = 0
    return colours.astype(int)
