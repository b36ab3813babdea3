from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from models.bundle import load_bundle, write_bundle
from models.networks import Encoders
from training.finetune import embed
from training.memory import EXAMPLES, Memory, recall, remember
from training.windows import UNLABELLED


@pytest.fixture(scope="module")
def encoders(spec, windows):
    torch.manual_seed(0)
    encoders = Encoders(spec)
    features, presence, _ = windows.tensors(np.arange(len(windows)))
    encoders.fit(features, presence)
    return encoders


def test_a_few_embeddings_of_each_activity_are_remembered(encoders, windows):
    many = windows.where(np.tile(np.arange(len(windows)), 3))
    unlabelled = replace(many, labels=np.where(np.arange(len(many)) % 2, many.labels, UNLABELLED))
    memory = remember(encoders, unlabelled, seed=0)
    assert torch.bincount(memory.labels).tolist() == [36] * 3, "all there are"
    assert torch.bincount(remember(encoders, many, seed=0).labels).tolist() == [EXAMPLES] * 3, "no more than so many"
    z, _, labels = embed(encoders, windows)
    for remembered, label in zip(memory.z, memory.labels):
        nearest = (z - remembered).abs().sum((1, 2)).argmin()
        assert labels[nearest] == label
        torch.testing.assert_close(z[nearest], remembered)


def test_a_bundle_keeps_what_it_remembers(encoders, windows, spec, tmp_path):
    memory = remember(encoders, windows, seed=0)
    parts = {"onnx": b"o", "weights": b"w", "provenance": {}, "metrics": {}}
    write_bundle(tmp_path / "with", spec, **parts, memory=memory.as_bytes())
    kept = recall(load_bundle(tmp_path / "with"))
    torch.testing.assert_close(kept.z, memory.z, atol=1e-3, rtol=1e-3)
    assert torch.equal(kept.presence, memory.presence)
    assert torch.equal(kept.labels, memory.labels)
    assert recall(write_bundle(tmp_path / "without", spec, **parts)) is None


def test_activities_get_the_numbers_of_another_model_or_go():
    memory = Memory(torch.arange(4.0).reshape(4, 1, 1), torch.ones(4, 1), torch.tensor([0, 1, 2, 1]))
    other = memory.relabelled(["still", "slow", "fast"], ["shake", "fast", "slow"])
    assert other.labels.tolist() == [2, 1, 2]
    assert other.z.flatten().tolist() == [1, 2, 3]
    assert memory.and_also(other).labels.tolist() == [0, 1, 2, 1, 2, 1, 2]
