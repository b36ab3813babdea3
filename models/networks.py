"""The network that the runtime runs: encoders, fusion, classifier."""

from __future__ import annotations

from typing import Mapping, Union

import torch
from torch import Tensor, nn

from cosmo_runtime.models.bundle import Bundle, BundleError
from cosmo_runtime.models.fusion import ConcatAttn, QualityGuidedAttention, SumAttn
from cosmo_runtime.models.mixture import Mixture, Readings
from cosmo_runtime.models.nearest import NearestExamples
from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.models.tensors import TensorsError, read_tensors

EMBEDDING = 64
FUSIONS: dict[str, Union[type[ConcatAttn], type[SumAttn]]] = {"concat": ConcatAttn, "sum": SumAttn}


class Encoders(nn.Module):
    """One encoder for each modality of a spec. Stage 1 trains these."""

    def __init__(self, spec: ModelSpec, dim: int = EMBEDDING):
        super().__init__()
        self.dim = dim
        self.by_sensor = nn.ModuleDict({m.sensor: m.kind_row.make_encoder(m.shape, dim) for m in spec.modalities})

    def fit(self, features: Mapping[str, Tensor], presence: Tensor) -> None:
        """Computes each input's normalisation from windows (N, steps, ...) in which presence (N, M) has the sensor."""
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
        fused = self.fuse(z, weights) * self.scale  # the input size that a linear layer's initial weights are made for
        return self.classify(fused), weights


class CosmoNetwork(nn.Module):
    """Encoders and classifier as one network, in the form that is exported.

    The classifier is trained, or it compares with so many ``examples``. After fine-tuning it may be a ``Mixture``.
    """

    classifier: Union[FusionClassifier, NearestExamples, Mixture]

    def __init__(self, spec: ModelSpec, fusion: str = "concat", dim: int = EMBEDDING, examples: int = 0):
        super().__init__()
        self.encoders = Encoders(spec, dim)
        if examples:
            self.classifier = NearestExamples(len(spec.classes), len(spec.modalities), dim, examples)
        else:
            self.classifier = FusionClassifier(spec, fusion, dim)
        self.sensors, self.fusion = spec.sensors, fusion

    @property
    def latest(self) -> Union[FusionClassifier, NearestExamples]:
        """The classifier that learned last, without the one beside it."""
        latest: Union[FusionClassifier, NearestExamples]
        latest = self.classifier.new if isinstance(self.classifier, Mixture) else self.classifier  # type: ignore[assignment]
        return latest

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
    """Returns a bundle's network with its weights, in eval mode.

    Raises:
        BundleError: its weights are damaged, or do not fit this version's networks.
    """
    try:
        weights = read_tensors(bundle.weights.read_bytes())
        network = _network_for(bundle.spec, weights)
        network.load_state_dict(weights)
    except (KeyError, IndexError, RuntimeError) as error:
        raise BundleError(f"{bundle.weights} does not fit this version's networks; train the bundle again") from error
    except TensorsError as error:
        raise BundleError(f"{bundle.weights} is damaged ({error}); copy or train the bundle again") from error
    return network.eval()


def _network_for(spec: ModelSpec, weights: Mapping[str, Tensor]) -> CosmoNetwork:
    if "classifier.shown" not in weights:
        return _classified_by(spec, weights, "classifier.")
    network = _classified_by(spec, weights, "classifier.new.")
    names = weights["classifier.names"]
    known = spec.model_copy(update={"classes": tuple(map(str, range(len(names))))})
    before = _classified_by(known, weights, "classifier.before.").classifier
    read = [
        Readings(len(weights[f"classifier.{whose}.sets"]), len(spec.sensors), classes)
        for whose, classes in (("new_read", names.shape[1]), ("before_read", len(names)))
    ]
    network.classifier = Mixture(network.classifier, before, *read)
    return network


def _classified_by(spec: ModelSpec, weights: Mapping[str, Tensor], prefix: str) -> CosmoNetwork:
    """A network with a classifier of the kind and size that these weights belong to."""
    if f"{prefix}shares" in weights:
        return CosmoNetwork(spec, examples=len(weights[f"{prefix}shares"]))
    width = weights[f"{prefix}classify.0.weight"].shape[1]
    return CosmoNetwork(spec, "sum" if width == EMBEDDING else "concat")


class ProjectionHeads(nn.Module):
    """r_j = Norm(h_j(z_j)): one perceptron per modality, into the space of stage 1. Not needed afterwards."""

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
