"""One small encoder a sensor, from a window of features to one embedding of a common dimension.

Sizes are chosen for a TX2 and for training on two cores: strides come early, and the operators are those of
TensorRT 8.2 (convolutions, batch normalisation, ReLU, reductions). Inputs are normalised inside the graph by buffers
that ``fit`` takes from training data, so that a bundle needs no preprocessing of its own.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.spec import ModalitySpec


def encoder_for(modality: ModalitySpec, dim: int) -> nn.Module:
    """The encoder of a modality: its features (N, steps, *shape) -> embedding (N, dim)."""
    if modality.sensor == "imu":
        return ImuEncoder(modality.shape[0], dim)
    if modality.sensor == "depth":
        return DepthEncoder(modality.shape[0], modality.shape[1], dim)
    return RadarEncoder(dim)


class ImuEncoder(nn.Module):
    """Two strided convolutions over time before the temporal tail."""

    mean: Tensor
    std: Tensor

    def __init__(self, channels: int, dim: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("std", torch.ones(channels))
        self.layers = nn.Sequential(*_conv1d(channels, 32, kernel=5, stride=2), *_conv1d(32, 64, kernel=5, stride=2))
        self.temporal = _TemporalTail(64, dim)

    def fit(self, x: Tensor) -> None:
        """Take the normalisation from windows (N, steps, channels)."""
        self.mean.copy_(x.mean((0, 1)))
        self.std.copy_(x.std((0, 1)).clamp(min=1e-3))

    def forward(self, x: Tensor) -> Tensor:
        """Windows (N, steps, channels) in m/s², rad/s, µT -> embeddings (N, dim)."""
        x = (x - self.mean) / self.std
        return self.temporal(self.layers(x.transpose(1, 2)))


class DepthEncoder(nn.Module):
    """Three strided 2-D convolutions a frame, then the temporal tail over the frames.

    A frame is seen as closeness, in units of the depth's spread: 0 where it is far or nothing was measured, larger
    the nearer; its second channel is the change since the frame before, which the room behind a person has none of.
    """

    far: Tensor
    std: Tensor

    def __init__(self, rows: int, columns: int, dim: int):
        super().__init__()
        self.register_buffer("far", torch.ones(()))
        self.register_buffer("std", torch.ones(()))
        layers: list[nn.Module] = []
        inputs = 2
        for outputs, kernel, stride in ((16, 5, 3), (32, 3, 2), (48, 3, 2)):
            layers += [
                nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False),
                nn.BatchNorm2d(outputs),
                nn.ReLU(),
            ]
            inputs = outputs
            rows, columns = -(-rows // stride), -(-columns // stride)
        self.frame = nn.Sequential(*layers, nn.Flatten(), nn.Linear(inputs * rows * columns, 64))
        self.frame.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a third faster on a CPU
        self.temporal = _TemporalTail(64, dim)

    def fit(self, x: Tensor) -> None:
        """Take the normalisation from windows (N, steps, rows, columns): far is two deviations beyond the mean."""
        measured = x[x > 0]
        if len(measured) > 1:
            self.std.copy_(measured.std().clamp(min=0.05))
            self.far.copy_(measured.mean() + 2 * self.std)

    def forward(self, x: Tensor) -> Tensor:
        """Windows (N, steps, rows, columns) in metres, 0 where nothing was measured -> embeddings (N, dim)."""
        _, steps, rows, columns = x.shape
        closeness = torch.relu(self.far - x) / self.std * (x > 0).to(x.dtype)
        change = torch.cat([torch.zeros_like(closeness[:, :1]), closeness[:, 1:] - closeness[:, :-1]], dim=1)
        frames = torch.stack([closeness, change], dim=2).reshape(-1, 2, rows, columns)  # (N * steps, 2, rows, columns)
        frames = self.frame(frames)  # (N * steps, 64)
        return self.temporal(frames.reshape(-1, steps, 64).transpose(1, 2))


class RadarEncoder(nn.Module):
    """A perceptron shared by all points, the maximum over a frame's points, then the temporal tail (PointNet, 2017)."""

    mean: Tensor
    std: Tensor

    def __init__(self, dim: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(5))
        self.register_buffer("std", torch.ones(5))
        self.point = nn.Sequential(nn.Linear(5, 32), nn.ReLU(), nn.Linear(32, 48), nn.ReLU())
        self.temporal = _TemporalTail(48, dim)

    def fit(self, x: Tensor) -> None:
        """Take the normalisation from the points there are in windows (N, steps, points, 5)."""
        points = x[x.abs().sum(-1) > 0]
        if len(points) > 1:
            self.mean.copy_(points.mean(0))
            self.std.copy_(points.std(0).clamp(min=1e-3))

    def forward(self, x: Tensor) -> Tensor:
        """Windows (N, steps, points, 5) -> embeddings (N, dim).

        A point is x, y, z in m, radial speed in m/s, SNR in dB; all zero where there is none.
        """
        is_point = (x.abs().sum(-1, keepdim=True) > 0).to(x.dtype)
        # ReLU ends the perceptron, so a missing point, masked to 0, never wins the maximum.
        frames = (self.point((x - self.mean) / self.std) * is_point).amax(2)  # (N, steps, 48)
        return self.temporal(frames.transpose(1, 2))


class _TemporalTail(nn.Module):
    """Two convolutions over time, mean and maximum over time, a linear map.

    Pooling over time makes the embedding indifferent to when in the window an action happens.
    """

    def __init__(self, channels: int, dim: int):
        super().__init__()
        self.layers = nn.Sequential(
            nn.BatchNorm1d(channels), *_conv1d(channels, 64, kernel=5), *_conv1d(64, 64, kernel=5)
        )
        self.embed = nn.Sequential(nn.Linear(128, dim), nn.BatchNorm1d(dim))

    def forward(self, x: Tensor) -> Tensor:
        """Feature maps (N, channels, steps) -> embeddings (N, dim)."""
        x = self.layers(x)
        return self.embed(torch.cat([x.mean(2), x.amax(2)], dim=1))


def _conv1d(inputs: int, outputs: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    return [
        nn.Conv1d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False),
        nn.BatchNorm1d(outputs),
        nn.ReLU(),
    ]
