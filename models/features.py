"""Turns what sensors measured into the network's inputs. Live runs and training share this numpy code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Dict, Mapping, Sequence, Union

import numpy as np

if TYPE_CHECKING:
    from cosmo_runtime.models.spec import ModelSpec

WindowArray = Union[np.ndarray, Sequence[np.ndarray]]


def features(spec: ModelSpec, arrays: Mapping[str, WindowArray]) -> Dict[str, np.ndarray]:
    """Returns the network's inputs for one window.

    Args:
        spec: the model's spec.
        arrays: the features of each sensor in the window. An absent sensor has no entry.

    Returns:
        For each modality of the spec, in its order, float32 (steps, *shape); zeros where the sensor is absent.
    """
    return {
        m.sensor: np.asarray(
            arrays[m.sensor] if m.sensor in arrays else np.zeros((spec.steps(m), *m.shape)), np.float32
        )
        for m in spec.modalities
    }


def random_inputs(spec: ModelSpec, random: np.random.Generator, windows: int = 1) -> Dict[str, np.ndarray]:
    """Returns windows of noise to try a model with. Every sensor is present.

    Args:
        spec: the model's spec.
        random: draws the noise, which is positive like depth.
        windows: how many windows.

    Returns:
        For each modality of the spec, in its order, float32 (windows, steps, *shape); then ``presence``.
    """
    inputs = {
        m.sensor: random.uniform(0, 3, (windows, spec.steps(m), *m.shape)).astype(np.float32) for m in spec.modalities
    }
    return {**inputs, "presence": np.ones((windows, len(spec.modalities)), np.float32)}


def depth_features(depth: np.ndarray, shape: tuple[int, int], depth_scale_m: float) -> np.ndarray:
    """Returns the mean depth of each block, over the pixels that measured something.

    If the image is not a whole number of blocks high or wide, each block uses evenly spaced pixels instead.

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
    if not depth.size:
        return np.zeros((len(depth), *shape), np.float32)
    height, width = depth.shape[1] // shape[0], depth.shape[2] // shape[1]  # of a block
    mean = _block_sum(depth, height, width) / np.maximum(_block_sum(depth != 0, height, width), 1)
    return (mean * depth_scale_m).astype(np.float32)


def _block_sum(images: np.ndarray, height: int, width: int) -> np.ndarray:
    """The sum of each block of (steps, height, width). Adding whole rows takes half as long as numpy's own sum."""
    by_row = images[:, ::height].astype(np.uint32)
    for row in range(1, height):
        by_row += images[:, row::height]
    total = by_row[:, :, ::width].astype(np.uint64)
    for column in range(1, width):
        total += by_row[:, :, column::width]
    return total


def radar_features(frames: Sequence[np.ndarray], points: int) -> np.ndarray:
    """Returns the strongest points of each frame.

    Args:
        frames: arrays (n, 5): x, y, z, radial speed, SNR; a speed or an SNR that is NaN counts as 0.
        points: how many points to return for each frame.

    Returns:
        (frames, points, 5) float32, strongest first, zeros where a frame has fewer points.
    """
    strongest = np.zeros((len(frames), points, 5), np.float32)
    for strongest_points, frame in zip(strongest, frames):
        snr = frame[:, 4]
        if not np.isfinite(snr).all():
            snr = np.nan_to_num(snr, nan=0.0)
        order = np.argsort(-snr, kind="stable")[:points]
        strongest_points[: len(order)] = frame[order]
        strongest_points[: len(order), 3][np.isnan(strongest_points[: len(order), 3])] = 0.0
        strongest_points[: len(order), 4] = snr[order]
    return strongest
