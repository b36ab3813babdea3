"""What models know about each kind of sensor: its shape, how a window is cut, its features, its encoder."""

from __future__ import annotations

import importlib
from typing import Any, Callable, Literal, NamedTuple, Tuple

import numpy as np

from cosmo_runtime.kinds import Kinds
from cosmo_runtime.models.features import WindowArray, depth_features, radar_features

Shape = Tuple[int, ...]


class Kind(NamedTuple):
    """How models see one kind of sensor.

    Attributes:
        shapes: describes the shapes that one step of a network's input can have.
        fits: whether a shape is one of these.
        cut: how a window is cut from the samples. ``interpolated``: each channel of a signal is interpolated to the
            window's steps. ``nearest``: each step takes the nearest picture; all have one size. ``ragged``: the same
            for arrays whose first axis varies, such as radar points.
        features: takes the raw array of some steps, the shape of one step, and the metres in one unit of the array,
            and returns the network's input (steps, *shape) float32. Each step's features depend on that step alone:
            those of a picture are computed when it arrives, those of a signal once a window is cut.
        encoder: ``module:function`` that makes the encoder from the shape of one step and the length of the embedding.
            It is a name, so that a live run does not import torch.
        precision: the type in which training stores the features.
    """

    shapes: str
    fits: Callable[[Shape], bool]
    cut: Literal["interpolated", "nearest", "ragged"]
    features: Callable[[WindowArray, Shape, float], np.ndarray]
    encoder: str
    precision: Any = np.float32

    def make_encoder(self, shape: Shape, dim: int) -> Any:
        """Makes an encoder, a torch module: features (N, steps, *shape) -> embeddings (N, dim) of length 1."""
        module, _, function = self.encoder.partition(":")
        return getattr(importlib.import_module(module), function)(shape, dim)


KINDS: Kinds[Kind] = Kinds("how a model reads it")


def _channels(raw: WindowArray, shape: Shape, _: float) -> np.ndarray:
    return np.asarray(raw, np.float32)[:, : shape[0]]


def _as_it_is(raw: WindowArray, shape: Shape, _: float) -> np.ndarray:
    return np.asarray(raw, np.float32)


KINDS.register(
    "imu",
    Kind(
        shapes="(3, 6 or 9 channels,)",
        fits=lambda shape: len(shape) == 1 and shape[0] in (3, 6, 9),
        cut="interpolated",
        features=_channels,
        encoder="cosmo_runtime.models.encoders:inertial_encoder",
    ),
)
KINDS.register(
    "depth",
    Kind(
        shapes="(rows, columns)",
        fits=lambda shape: len(shape) == 2,
        cut="nearest",
        features=lambda raw, shape, scale_m: depth_features(np.asarray(raw), (shape[0], shape[1]), scale_m),
        encoder="cosmo_runtime.models.encoders:depth_encoder",
        precision=np.float16,  # 2 mm at 2 to 4 m, and half the memory
    ),
)
KINDS.register(
    "radar",
    Kind(
        shapes="(points, 5)",
        fits=lambda shape: len(shape) == 2 and shape[1] == 5,
        cut="ragged",
        features=lambda raw, shape, _: radar_features(list(raw), shape[0]),
        encoder="cosmo_runtime.models.encoders:radar_encoder",
    ),
)

# The kinds below come from data sets only; no driver brings them.
_HALF_OF_AN_IMU = Kind(
    shapes="(3 channels,)",
    fits=lambda shape: shape == (3,),
    cut="interpolated",
    features=_as_it_is,
    encoder="cosmo_runtime.models.encoders:inertial_encoder",
)
KINDS.register("accelerometer", _HALF_OF_AN_IMU)
KINDS.register("gyroscope", _HALF_OF_AN_IMU)
KINDS.register(
    "skeleton",
    Kind(
        shapes="(joints, 3)",
        fits=lambda shape: len(shape) == 2 and shape[1] == 3,
        cut="interpolated",
        features=_as_it_is,
        encoder="cosmo_runtime.models.encoders:skeleton_encoder",
    ),
)
