"""The network that the runtime runs: encoders, fusion, classifier."""

from __future__ import annotations

from typing import Mapping, Union

import torch
from safetensors.torch import load
from torch import Tensor, nn

from models.bundle import Bundle, BundleError
from models.encoders import encoder_for
from models.fusion import ConcatAttn, QualityGuidedAttention, SumAttn
from models.spec import ModelSpec

EMBEDDING = 64
FUSIONS: dict[str, Union[type[ConcatAttn], type[SumAttn]]] = {"concat": ConcatAttn, "sum": SumAttn}


class Encoders(nn.Module):
    """One encoder for each modality of a spec; stage 1 trains these."""

    def __init__(self, spec: ModelSpec, dim: int = EMBEDDING):
        super().__init__()
        self.dim = dim
        self.by_sensor = nn.ModuleDict({m.sensor: encoder_for(m, dim) for m in spec.modalities})

    def fit(self, features: Mapping[str, Tensor], presence: Tensor) -> None:
        """Take each input's normalisation from windows (N, steps, ...) where presence (N, M) has the sensor."""
        for j, (sensor, encoder) in enumerate(self.by_sensor.items()):
            there = presence[:, j] > 0
            if there.any():
                encoder.fit(features[sensor][there].float())  # type: ignore[operator]

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        """Features (N, steps, ...) by sensor -> embeddings z (N, M, D)."""
        return torch.stack([encoder(features[sensor]) for sensor, encoder in self.by_sensor.items()], dim=1)

    def projection_heads(self) -> ProjectionHeads:
        """New heads for stage 1."""
        return ProjectionHeads(len(self.by_sensor), self.dim)


class FusionClassifier(nn.Module):
    """Quality-guided attention over embeddings, fusion, and a classifier of one hidden layer."""

    def __init__(self, spec: ModelSpec, fusion: str = "concat", dim: int = EMBEDDING):
        super().__init__()
        self.attention = QualityGuidedAttention(dim, spec.quality, spec.quality_share)
        self.fuse: Union[ConcatAttn, SumAttn] = FUSIONS[fusion](len(spec.modalities), dim)
        self.scale = dim**0.5
        self.classify = nn.Sequential(
            nn.Linear(self.fuse.dim, 128), nn.ReLU(), nn.Dropout(0.3), nn.Linear(128, len(spec.classes))
        )

    def forward(self, z: Tensor, presence: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings (N, M, D) and presence (N, M) -> logits (N, classes) and fusion weights (N, M)."""
        weights = self.attention(z, presence)
        fused = self.fuse(z, weights) * self.scale  # as large as a linear layer's first weights are made for
        return self.classify(fused), weights


class CosmoNetwork(nn.Module):
    """Encoders and fusion classifier as one network, in the form that is exported."""

    def __init__(self, spec: ModelSpec, fusion: str = "concat", dim: int = EMBEDDING):
        super().__init__()
        self.encoders = Encoders(spec, dim)
        self.classifier = FusionClassifier(spec, fusion, dim)
        self.sensors, self.fusion = spec.sensors, fusion

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Features (N, steps, ...) of each modality in the spec's order, then presence (N, M).

        Returns:
            probabilities (N, classes) and fusion weights (N, M).
        """
        *features, presence = inputs
        z = self.encoders(dict(zip(self.sensors, features)))
        logits, weights = self.classifier(z, presence)
        return torch.softmax(logits, dim=1), weights


def load_network(bundle: Bundle) -> CosmoNetwork:
    """A bundle's network with its weights, in eval mode.

    Raises:
        BundleError: its weights are of other networks than this version's.
    """
    weights = load(bundle.weights.read_bytes())
    try:
        width = weights["classifier.classify.0.weight"].shape[1]
        network = CosmoNetwork(bundle.spec, "sum" if width == EMBEDDING else "concat")
        network.load_state_dict(weights)
    except (KeyError, RuntimeError) as error:
        raise BundleError(f"{bundle.weights} does not fit this version's networks; train the bundle anew") from error
    return network.eval()


class ProjectionHeads(nn.Module):
    """r_j = Norm(h_j(z_j)): one perceptron a modality into the space where stage 1 contrasts; dropped afterwards."""

    def __init__(self, modalities: int, dim: int = EMBEDDING, output: int = 128):
        super().__init__()
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Linear(dim, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Linear(128, output))
            for _ in range(modalities)
        )

    def forward(self, z: Tensor) -> Tensor:
        """Embeddings (N, M, D) -> unit vectors r (N, M, output)."""
        r = torch.stack([head(z[:, j]) for j, head in enumerate(self.heads)], dim=1)
        return nn.functional.normalize(r, dim=2)
