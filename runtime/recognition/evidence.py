"""What each kind of sensor shows of a person: how much in a window moves as people move.

The evidence starts at 0 (only the sensor's own noise). From 1 on it shows a person. It is computed from what
the model sees of the window, so that it is the same live and in replay. The thresholds were chosen on the training
people of UTD-MHAD, on simulated people, on emulated empty rooms and on real captures at rest; see docs/nobody.md.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Callable, Tuple

import numpy as np

from cosmo_runtime.kinds import Kinds

_PIECES = 4  # of a window of pictures
_IMU_PIECES = 6  # of a window of an IMU; one knock, or two, do not move five of them

_MOVING_RATE = 0.03  # rad/s: standard deviation within a piece, of all three axes together
_MOVING_FORCE = 0.15  # m/s²

_CHANGE_M, _CHANGE_PER_M2 = 0.2, 0.02  # of a block's depth from piece to piece; noise grows with the square of it
_SEEN, _UNSEEN = 0.8, 0.2  # shares of a piece's frames in which a block is there, or is not
_CHANGED_BLOCKS = 3  # side by side: more than an edge that flickers

_CELL_M = 0.5  # of the floor
_POINTS = 8  # of a window, in two cells by two; false alarms are spread over the room


def motion_of_imu(window: np.ndarray) -> float:
    """Motion of an IMU, (steps, channels) in m/s², rad/s, µT: that of the piece which moves second least.

    A knock on the table moves one piece or two, an arm that hangs down all of them.
    """
    values = window.astype(np.float64)
    sums, lengths = _by_piece(values, _IMU_PIECES)
    variances = np.maximum(_by_piece(values * values, _IMU_PIECES)[0] / lengths - (sums / lengths) ** 2, 0)
    force = np.sort(variances[:, :3].sum(axis=1))[1] / _MOVING_FORCE**2
    if window.shape[1] < 6:
        return float(np.sqrt(force))
    return float(np.sqrt(max(force, np.sort(variances[:, 3:6].sum(axis=1))[1] / _MOVING_RATE**2)))


def motion_of_depth(window: np.ndarray) -> float:
    """Blocks of a depth image, (steps, rows, columns) in metres, that change side by side from piece to piece."""
    measured, lengths = _by_piece((window > 0).astype(window.dtype), _PIECES)
    share = measured / lengths
    mean_m = _by_piece(window, _PIECES)[0] / np.maximum(measured, 1)
    seen, unseen = share >= _SEEN, share <= _UNSEEN
    far_m = np.maximum(mean_m[:-1], mean_m[1:])
    moved = seen[:-1] & seen[1:] & (np.abs(np.diff(mean_m, axis=0)) > _CHANGE_M + _CHANGE_PER_M2 * far_m * far_m)
    came, went = unseen[:-1] & seen[1:], seen[:-1] & unseen[1:]
    return _most_in((moved | came | went).view(np.uint8), 3) / _CHANGED_BLOCKS


def motion_of_radar(window: np.ndarray) -> float:
    """Points of a radar, (steps, points, 5), that move, close together on the floor; missing ones are all zero.

    A radar that is configured to keep static echoes sends hundreds from walls and furniture, all without any speed.
    """
    points = window.reshape(-1, window.shape[-1])
    points = points[points[:, 3] != 0]
    if not len(points):
        return 0.0
    cells = np.floor(points[:, :2] / _CELL_M).astype(int)
    cells -= cells.min(axis=0)
    rows, columns = np.minimum(cells.max(axis=0) + 1, 200).tolist()
    across, along = np.minimum(cells, 199).T
    floor = np.bincount(across * columns + along, minlength=rows * columns).reshape(rows, columns)
    return _most_in(floor, 2) / _POINTS


def lack_speeds(points: np.ndarray) -> bool:
    """Whether points of a radar, (n, 5), have no radial speeds. They never show a person then, whoever is there."""
    return bool(len(points)) and bool(np.isnan(points[:, 3]).all())


EVIDENCE: Kinds[Callable[[np.ndarray], float]] = Kinds("what it shows of somebody")
"""By kind of sensor; a kind that is not here tells nothing of who is there."""
EVIDENCE.register("imu", motion_of_imu)
EVIDENCE.register("depth", motion_of_depth)
EVIDENCE.register("radar", motion_of_radar)


def _by_piece(window: np.ndarray, pieces: int) -> Tuple[np.ndarray, np.ndarray]:
    """Sums over the steps of each piece, and the lengths of the pieces, both with the pieces first."""
    belongs = _belonging(len(window), pieces).astype(window.dtype)
    sums = belongs @ window.reshape(len(window), -1)  # by far the fastest way
    lengths = belongs.sum(axis=1).reshape(-1, *[1] * (window.ndim - 1))
    return sums.reshape(pieces, *window.shape[1:]), lengths


@lru_cache(maxsize=16)
def _belonging(steps: int, pieces: int) -> np.ndarray:
    """1 where a step belongs to a piece: (pieces, steps)."""
    belongs = np.zeros((pieces, steps), np.uint8)
    for piece, within in enumerate(np.array_split(np.arange(steps), pieces)):
        belongs[piece, within] = 1
    return belongs


def _most_in(grids: np.ndarray, size: int) -> int:
    """The largest sum over a square of cells of any grid, (..., rows, columns)."""
    rows, columns = grids.shape[-2:]
    height, width = (length - min(size, length) + 1 for length in (rows, columns))
    in_rows = grids[..., :width]
    for start in range(1, min(size, columns)):
        in_rows = in_rows + grids[..., start : start + width]
    squares = in_rows[..., :height, :]
    for start in range(1, min(size, rows)):
        squares = squares + in_rows[..., start : start + height, :]
    return int(squares.max())
