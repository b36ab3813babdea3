"""Learns from labelled windows of several origins, with any subset of the sensors, all parts at once.

The network answers each window of a minibatch with all its sensors and with several subsets of them, so that any subset
serves later. The encoders, where the work is, run once for all of these. Windows are drawn by origin and activity, so
that the many windows of one do not drown the others.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Sequence, Tuple

import numpy as np
import torch
from torch import Tensor, nn

from cosmo_runtime.models.networks import CosmoNetwork
from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.training.augment import OF_A_MOMENT, Features, augment, random_rotations
from cosmo_runtime.training.windows import UNLABELLED, Windows

MIX: Tuple[Tuple[Tuple[bool, bool, bool], float], ...] = (
    ((True, True, True), 0.25),
    ((False, True, True), 0.15),
    ((False, True, False), 0.25),
    ((True, False, False), 0.2),
    ((False, False, True), 0.15),
)
"""The sets of IMU, depth and radar with which each window is answered, and the weight of each answer in the loss. A
further set is drawn at random for each minibatch."""


_FUSED = tuple(map(int, torch.__version__.split(".")[:2])) >= (2, 4)  # on a CPU


class Origin(NamedTuple):
    """Windows of one origin.

    Attributes:
        windows: those without a label are not drawn.
        share: its share of all drawn windows.
        turned: the share whose inertial sensor is turned in any direction; the others only a little.
        mirrored: the share of pictures and points that are mirrored; 0 where left and right differ.
    """

    windows: Windows
    share: float
    turned: float = 0.0
    mirrored: float = 0.5


def learn(
    spec: ModelSpec,
    origins: Sequence[Origin],
    *,
    steps: int,
    seed: int,
    batch: int = 64,
    learning_rate: float = 4e-3,
    smoothing: float = 0.05,
    start: Mapping[str, nn.Module] = MappingProxyType({}),
    on_step: Callable[[int, float], None] = lambda step, loss: None,
) -> CosmoNetwork:
    """Trains a network.

    Args:
        spec: with the sensors of ``MIX``, in their order.
        origins: what is learned from.
        steps: minibatches.
        seed: the seed of everything random.
        batch: windows in a minibatch.
        learning_rate: at the start; it falls as a cosine.
        smoothing: the label smoothing.
        start: encoders after stage 1 to begin with, by sensor; the others begin at random.
        on_step: called with each minibatch's number and loss.
    """
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    order = np.random.default_rng(seed)
    labelled = [origin._replace(windows=origin.windows.labelled) for origin in origins]
    network = CosmoNetwork(spec)
    for sensor, encoder in start.items():
        network.encoders.by_sensor[sensor].load_state_dict(encoder.state_dict())
    _normalise(network, [origin.windows for origin in labelled], order)
    faster: Dict[str, Any] = {"fused": True} if _FUSED else {}
    optimiser = torch.optim.AdamW(network.parameters(), lr=learning_rate, weight_decay=1e-2, **faster)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    chances = [_even_chances(origin.windows) for origin in labelled]
    network.train()
    for step in range(steps):
        parts = []
        for origin, chance in zip(labelled, chances):
            count = max(1, round(batch * origin.share))
            features, presence, labels = origin.windows.tensors(order.choice(len(chance), count, p=chance))
            parts.append((_vary(features, origin, generator), presence, labels))
        features = {name: torch.cat([part[0][name] for part in parts]) for name in spec.sensors}
        presence, labels = torch.cat([part[1] for part in parts]), torch.cat([part[2] for part in parts])
        subsets = [*MIX, (tuple(order.random(3) < 0.5), 0.1)]
        loss = _loss(network, features, presence, labels, subsets, smoothing)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        on_step(step, loss.item())
    return network.eval()


def _loss(
    network: CosmoNetwork,
    features: Features,
    presence: Tensor,
    labels: Tensor,
    subsets: Sequence[Tuple[Tuple[bool, ...], float]],
    smoothing: float,
) -> Tensor:
    """The weighted loss of the windows, each answered with every subset of which it has a sensor."""
    there = torch.cat([presence * torch.tensor(subset) for subset, _ in subsets])
    weight = torch.cat([torch.full((len(labels),), weight) for _, weight in subsets]) * (there.sum(1) > 0)
    logits, _ = network.classifier(network.encoders(features).repeat(len(subsets), 1, 1), there)
    surprise = nn.functional.cross_entropy(
        logits, labels.repeat(len(subsets)), label_smoothing=smoothing, reduction="none"
    )
    return (surprise * weight).sum() / len(labels)


def _vary(features: Features, origin: Origin, generator: torch.Generator) -> Features:
    """Augments windows as everywhere, and beyond: turned sensors, mirrored rooms, radars of other sensitivity."""
    features = augment(features, origin.windows.kinds, generator, OF_A_MOMENT)
    n = len(features["imu"])

    def chance(share: float, *shape: int) -> Tensor:
        return torch.rand((n, *shape), generator=generator) < share

    turn = random_rotations(n, 3.0, generator)
    imu = features["imu"]
    turned = (imu.reshape(n, -1, 2, 3) @ turn.reshape(n, 1, 3, 3)).reshape(imu.shape)
    features["imu"] = torch.where(chance(origin.turned, 1, 1), turned, imu)

    mirrored = chance(origin.mirrored)
    features["depth"] = torch.where(mirrored[:, None, None, None], features["depth"].flip(3), features["depth"])
    radar = features["radar"]
    is_point = radar.abs().sum(3, keepdim=True) > 0
    is_point &= torch.rand(is_point.shape, generator=generator) > 0.6 * torch.rand((n, 1, 1, 1), generator=generator)
    sign = torch.ones(n, 5)
    sign[mirrored, 0] = -1
    louder = torch.zeros(n, 5)
    louder[:, 4] = 12 * torch.rand(n, generator=generator) - 6
    features["radar"] = (radar * sign[:, None, None] + louder[:, None, None]) * is_point
    return features


def _even_chances(windows: Windows) -> np.ndarray:
    """How likely each window is drawn: activities with many windows are drawn more often, but by the root only."""
    counts = np.bincount(windows.labels[windows.labels != UNLABELLED])
    chance = 1 / np.sqrt(counts[windows.labels])
    return np.asarray(chance / chance.sum())


def _normalise(network: CosmoNetwork, parts: List[Windows], order: np.random.Generator, most: int = 400) -> None:
    some = Windows.concatenate([part.where(order.permutation(len(part))[:most]) for part in parts])
    features, presence, _ = some.tensors(np.arange(len(some)))
    network.encoders.fit(features, presence)
