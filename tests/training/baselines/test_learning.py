from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from cosmo_runtime.models.networks import EMBEDDING, FusionClassifier
from cosmo_runtime.training.baselines.learning import EmbeddingClassifier


def test_embeddings_are_enlarged_as_in_our_own_classifier(spec):
    classifier = EmbeddingClassifier(3, 5).eval()
    z = torch.nn.functional.normalize(torch.randn(2, 3, EMBEDDING, generator=torch.Generator().manual_seed(0)), dim=2)
    presence = torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, 1.0]])
    scale = FusionClassifier(spec).scale
    assert scale > 1
    by_hand = classifier.classify(scale * torch.cat([z[:, j] * presence[:, j, None] for j in range(3)], dim=1))
    torch.testing.assert_close(classifier(z, presence), by_hand)
