"""One small encoder per modality. It maps a window of features to an embedding of a common dimension.

The sizes suit a TX2 and training on two cores. Strides come early, and all operators exist in TensorRT 8.2
(convolutions, batch normalisation, ReLU, reductions). The graph normalises its inputs with buffers that ``fit``
computes from training data, so a bundle needs no other preprocessing. Embeddings have length 1, because the fusion's
attention scores are products of them and would otherwise grow without bound.

Every clamp in the graph has two bounds, because torch 1.11 exports a single bound without shapes, and onnxruntime 1.19
treats a missing upper bound as 0 in half precision.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

SHOULDER_CENTRE, HIP_CENTRE = 1, 3  # joints of the Kinect v1 skeleton, counted from 0


def inertial_encoder(shape: tuple[int, ...], dim: int) -> nn.Module:
    """An encoder for an IMU, or an accelerometer or gyroscope alone: steps of (channels,)."""
    return InertialEncoder(shape[0], dim)


def skeleton_encoder(shape: tuple[int, ...], dim: int) -> nn.Module:
    """An encoder for steps of (joints, 3)."""
    return SkeletonEncoder(shape[0], dim)


def depth_encoder(shape: tuple[int, ...], dim: int) -> nn.Module:
    """An encoder for steps of (rows, columns)."""
    return DepthEncoder(shape[0], shape[1], dim)


def radar_encoder(shape: tuple[int, ...], dim: int) -> nn.Module:
    """An encoder for steps of (points, 5), with any number of points."""
    return RadarEncoder(dim)


class InertialEncoder(nn.Module):
    """For an IMU, or an accelerometer or gyroscope alone: two strided convolutions over time, the temporal tail."""

    mean: Tensor
    std: Tensor

    def __init__(self, channels: int, dim: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("std", torch.ones(channels))
        self.layers = nn.Sequential(
            nn.BatchNorm1d(channels), _conv1d(channels, 32, kernel=5, stride=2), _conv1d(32, 64, kernel=5, stride=2)
        )
        self.temporal = _TemporalTail(64, dim)

    def fit(self, x: Tensor) -> None:
        """Computes the normalisation from windows (N, steps, channels)."""
        self.mean.copy_(x.mean((0, 1)))
        self.std.copy_(x.std((0, 1)).clamp(min=1e-3))

    def forward(self, x: Tensor) -> Tensor:
        """Windows (N, steps, channels) in m/s², rad/s, µT -> embeddings (N, dim)."""
        x = (x - self.mean) / self.std
        return self.temporal(self.layers(x.transpose(1, 2)))


class SkeletonEncoder(nn.Module):
    """Body-normalised joints and their velocities, two convolutions over time, the temporal tail.

    Joints are relative to the frame's hip centre, in units of the torso's length, so that neither the place nor the
    height of a person matters. The motion of the hip itself is added as one more joint.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, joints: int, dim: int):
        super().__init__()
        channels = 2 * 3 * (joints + 1)  # positions and velocities
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("std", torch.ones(channels))
        self.layers = nn.Sequential(
            nn.BatchNorm1d(channels), _conv1d(channels, 96, kernel=3), _conv1d(96, 96, kernel=5, stride=2)
        )
        self.temporal = _TemporalTail(96, dim)

    def fit(self, x: Tensor) -> None:
        """Computes the normalisation from windows (N, steps, joints, 3)."""
        motion = self.body_motion(x)
        self.mean.copy_(motion.mean((0, 1)))
        self.std.copy_(motion.std((0, 1)).clamp(min=1e-2))

    def forward(self, x: Tensor) -> Tensor:
        """Windows (N, steps, joints, 3) in metres -> embeddings (N, dim)."""
        x = (self.body_motion(x) - self.mean) / self.std
        return self.temporal(self.layers(x.transpose(1, 2)))

    @staticmethod
    def body_motion(x: Tensor) -> Tensor:
        """(N, steps, joints, 3) in metres -> (N, steps, 2 * 3 * (joints + 1)) in torsos, and torsos a step."""
        hip = x[:, :, HIP_CENTRE : HIP_CENTRE + 1]
        bone = x[:, :, SHOULDER_CENTRE] - x[:, :, HIP_CENTRE]
        torso = (bone * bone).sum(2).sqrt().mean(1).clamp(1e-3, 1e4).reshape(-1, 1, 1, 1)
        place = (hip - hip.mean(1, keepdim=True)) / torso
        position = torch.cat([(x - hip) / torso, place], dim=2).flatten(2)
        velocity = torch.cat([torch.zeros_like(position[:, :1]), position[:, 1:] - position[:, :-1]], dim=1)
        return torch.cat([position, velocity], dim=2)


class DepthEncoder(nn.Module):
    """Three strided 2-D convolutions per frame, then the temporal tail over the frames.

    The first channel is closeness in units of the depth's spread: larger when nearer, and 0 where it is far or nothing
    was measured. The second channel is the change since the previous frame, which is 0 for the room behind a person.
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
        self.frame = nn.Sequential(*layers, nn.Flatten(), nn.Linear(inputs * rows * columns, 64), nn.BatchNorm1d(64))
        self.frame.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a third faster on a CPU
        self.temporal = _TemporalTail(64, dim)

    def fit(self, x: Tensor) -> None:
        """Computes the normalisation from windows (N, steps, rows, columns). Far is two deviations beyond the mean."""
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
    """A perceptron for each point, the maximum over a frame's points, the temporal tail (PointNet, 2017)."""

    mean: Tensor
    std: Tensor

    def __init__(self, dim: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(5))
        self.register_buffer("std", torch.ones(5))
        self.point = nn.Sequential(nn.Linear(5, 32), nn.ReLU(), nn.Linear(32, 48), nn.ReLU())
        self.layers = nn.Sequential(nn.BatchNorm1d(48), _conv1d(48, 64, kernel=5))
        self.temporal = _TemporalTail(64, dim)

    def fit(self, x: Tensor) -> None:
        """Computes the normalisation from the points that exist in windows (N, steps, points, 5)."""
        points = x[x.abs().sum(-1) > 0]
        if len(points) > 1:
            self.mean.copy_(points.mean(0))
            self.std.copy_(points.std(0).clamp(min=1e-3))

    def forward(self, x: Tensor) -> Tensor:
        """Windows (N, steps, points, 5) -> embeddings (N, dim).

        A point is x, y, z in m, radial speed in m/s, SNR in dB. A missing point is all zero.
        """
        is_point = (x.abs().sum(-1, keepdim=True) > 0).to(x.dtype)
        # ReLU ends the perceptron, so a missing point, masked to 0, never wins the maximum.
        frames = (self.point((x - self.mean) / self.std) * is_point).amax(2)  # (N, steps, 48)
        return self.temporal(self.layers(frames.transpose(1, 2)))


class _TemporalTail(nn.Module):
    """A residual block of two convolutions over time, mean and maximum over time, a linear map, scaling to length 1.

    Pooling makes it irrelevant when in the window an action happens.
    """

    def __init__(self, channels: int, dim: int):
        super().__init__()
        self.change = nn.Sequential(
            _conv1d(channels, channels, kernel=5),
            nn.Conv1d(channels, channels, 5, padding=2, bias=False),
            nn.BatchNorm1d(channels),
        )
        self.embed = nn.Sequential(nn.Linear(2 * channels, dim), nn.BatchNorm1d(dim))

    def forward(self, x: Tensor) -> Tensor:
        """Feature maps (N, channels, steps) -> embeddings (N, dim)."""
        x = torch.relu(x + self.change(x))
        z = self.embed(torch.cat([x.mean(2), x.amax(2)], dim=1))
        return z / (z * z).sum(1, keepdim=True).sqrt().clamp(1e-6, 1e4)


def _conv1d(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Module:
    return nn.Sequential(
        nn.Conv1d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False),
        nn.BatchNorm1d(outputs),
        nn.ReLU(),
    )
