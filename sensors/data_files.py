"""Reads files of public data sets and checks everything that has been wrong in one: type, shape, numbers, units."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

import numpy as np
import scipy.io
from scipy.constants import g as GRAVITY

from cosmo_runtime.sensors.sensor import SensorNotFound

TO_SI = np.repeat([GRAVITY, np.pi / 180], 3)
"""Factors that turn the columns of ``read_inertial`` into m/s² and rad/s."""

_LEAST = 2  # samples or frames; interpolation needs two
_LFS = b"version https://git-lfs.github.com/spec/"


def is_lfs_pointer(content: bytes) -> bool:
    """Whether a file is a Git LFS pointer instead of the content."""
    return content.startswith(_LFS)


def read_matrix(path: Path, key: str, shape: tuple[Optional[int], ...], data_set: str) -> np.ndarray:
    """Reads a matrix of finite numbers from a MATLAB file.

    Args:
        path: the file.
        key: the matrix's name in the file.
        shape: the shape it must have; None for an axis of any length from 2.
        data_set: the data set's name, for messages.

    Raises:
        SensorNotFound: the file is missing, broken, or holds something else.
    """
    try:
        with path.open("rb") as file:
            pointer = is_lfs_pointer(file.read(len(_LFS)))
        matrix = None if pointer else scipy.io.loadmat(str(path), variable_names=[key])[key]
    except FileNotFoundError:
        raise SensorNotFound(f"{path}: no such file. Fetch all of {data_set}.") from None
    except KeyError:
        raise SensorNotFound(f"{path}: not a file of {data_set}: it holds no {key}. Fetch it again.") from None
    except Exception as error:  # a damaged file makes scipy raise many kinds of errors
        raise SensorNotFound(f"{path}: not a file of {data_set} ({error}). Fetch the data set again.") from error
    if matrix is None:
        raise SensorNotFound(f"{path}: a pointer of Git LFS, not the file itself. Run `git lfs pull` in its folder.")
    if not isinstance(matrix, np.ndarray) or matrix.dtype.kind not in "iuf":
        raise SensorNotFound(f"{path}: {key} does not hold plain numbers. Fetch the data set again.")
    if len(matrix.shape) != len(shape) or any(want not in (None, have) for want, have in zip(shape, matrix.shape)):
        wanted = ", ".join("n" if size is None else str(size) for size in shape)
        raise SensorNotFound(f"{path}: {key} has the shape {matrix.shape}, not ({wanted}). Fetch the data set again.")
    if min(matrix.shape) < _LEAST:
        raise SensorNotFound(f"{path}: {key} is too short: it has the shape {matrix.shape}. Fetch the data set again.")
    if not np.isfinite(matrix).all():
        bad = int((~np.isfinite(matrix)).sum())
        raise SensorNotFound(f"{path}: {bad} values of {key} are not finite. Fetch the data set again.")
    return matrix


def read_inertial(path: Path, key: str, data_set: str) -> np.ndarray:
    """Reads acceleration in g and angular rate in degrees a second, (n, 6), from a MATLAB file.

    Raises:
        SensorNotFound: the file is missing, broken, holds something else, or is in other units.
    """
    readings = read_matrix(path, key, (None, 6), data_set)
    gravity = float(np.median(np.linalg.norm(readings[:, :3], axis=1)))
    refuse_implausible(path, "the median of its accelerations", gravity, 0.2, 3, "g, and not m/s²")
    refuse_implausible(path, "its accelerations", readings[:, :3], -50, 50, "g")
    refuse_implausible(path, "its angular rates", readings[:, 3:], -5000, 5000, "degrees a second")
    return readings


def refuse_implausible(source: object, what: str, values: object, low: float, high: float, unit: str) -> None:
    """Refuses values that are impossible, or in another unit.

    Raises:
        SensorNotFound: some are not between ``low`` and ``high``.
    """
    least, most = float(np.min(values)), float(np.max(values))  # type: ignore[call-overload]
    if not low <= least <= most <= high:
        actual = f"{least:g}" if least == most else f"{least:g} to {most:g}"
        raise SensorNotFound(
            f"{source}: {what}, {actual}, cannot be right: expected {low:g} to {high:g}, in {unit}. "
            "Fetch the data set again, or convert it."
        )
