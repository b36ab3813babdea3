"""From a window's raw arrays to the network's inputs, in numpy: the same code live and in training."""

from __future__ import annotations

from typing import Mapping, Sequence, Union

import numpy as np

from models.spec import ModalitySpec, ModelSpec

WindowArray = Union[np.ndarray, Sequence[np.ndarray]]


def features(spec: ModelSpec, arrays: Mapping[str, WindowArray], depth_scale_m: float) -> dict[str, np.ndarray]:
    """The network's inputs for one window.

    Args:
        spec: what the model asks for.
        arrays: the window's raw array by sensor, as ``ModalitySpec`` describes; an absent sensor has no entry.
        depth_scale_m: metres in one step of the raw depth.

    Returns:
        For each modality of the spec, in its order, float32 (steps, *shape); zeros where the sensor is absent.
    """
    return {
        m.sensor: _modality_features(m, spec.steps(m), arrays.get(m.sensor), depth_scale_m) for m in spec.modalities
    }


def depth_features(depth: np.ndarray, shape: tuple[int, int], depth_scale_m: float) -> np.ndarray:
    """Mean depth of each block over the pixels that measured something.

    Where the image is not a whole number of blocks high or wide, each block takes evenly spread pixels instead.

    Args:
        depth: (steps, height, width) uint16, 0 where nothing was measured.
        shape: (rows, columns) of blocks.
        depth_scale_m: metres in one step.

    Returns:
        (steps, rows, columns) float32 in metres, 0 where a block measured nothing.
    """
    for axis, blocks in ((1, shape[0]), (2, shape[1])):
        size = depth.shape[axis]
        if size % blocks:
            spread = blocks * max(1, size // blocks)
            depth = depth.take((2 * np.arange(spread) + 1) * size // (2 * spread), axis=axis)
    steps, height, width = depth.shape
    rows, columns = shape

    def block_sum(image: np.ndarray) -> np.ndarray:
        by_row = image.reshape(steps, rows, height // rows, width).sum(axis=2, dtype=np.uint32)
        return by_row.reshape(steps, rows, columns, width // columns).sum(axis=3)

    mean = block_sum(depth) / np.maximum(block_sum(depth != 0), 1)
    return (mean * depth_scale_m).astype(np.float32)


def radar_features(frames: Sequence[np.ndarray], points: int) -> np.ndarray:
    """The strongest points of each frame.

    Args:
        frames: arrays (n, 5): x, y, z, radial speed, SNR; a NaN SNR counts as 0 dB.
        points: how many are kept of each frame.

    Returns:
        (frames, points, 5) float32, strongest first, zeros where a frame has fewer points.
    """
    strongest = np.zeros((len(frames), points, 5), np.float32)
    for kept, frame in zip(strongest, frames):
        snr = np.nan_to_num(frame[:, 4], nan=0.0)
        order = np.argsort(-snr, kind="stable")[:points]
        kept[: len(order)] = frame[order]
        kept[: len(order), 4] = snr[order]
    return strongest


def _modality_features(
    modality: ModalitySpec, steps: int, raw: Union[WindowArray, None], depth_scale_m: float
) -> np.ndarray:
    if raw is None:
        return np.zeros((steps, *modality.shape), np.float32)
    if modality.sensor == "imu":
        return np.asarray(raw, np.float32)[:, : modality.shape[0]]
    if modality.sensor == "depth":
        rows, columns = modality.shape
        return depth_features(np.asarray(raw), (rows, columns), depth_scale_m)
    return radar_features(list(raw), modality.shape[0])
