from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load, save

from cosmo_runtime.models.bundle import BundleError, load_bundle, write_bundle
from cosmo_runtime.training.adapt.memory import EXAMPLES, Memory, build_memory, load_memory
from cosmo_runtime.training.cosmo.stage2 import embed
from cosmo_runtime.training.windows import UNLABELLED
from tests.training.pretraining import new_encoders


@pytest.fixture(scope="module")
def encoders(spec, windows):
    return new_encoders(spec, windows)


def test_a_few_embeddings_of_each_activity_are_remembered(encoders, windows):
    many = windows.where(np.tile(np.arange(len(windows)), 3))
    unlabelled = replace(many, labels=np.where(np.arange(len(many)) % 2, many.labels, UNLABELLED))
    memory = build_memory(encoders, unlabelled, seed=0)
    assert torch.bincount(memory.labels).tolist() == [36] * 3, "all there are"
    assert torch.bincount(build_memory(encoders, many, seed=0).labels).tolist() == [EXAMPLES] * 3, (
        "no more than so many"
    )
    z, _, labels = embed(encoders, windows)
    for remembered, label in zip(memory.z, memory.labels):
        nearest = (z - remembered).abs().sum((1, 2)).argmin()
        assert labels[nearest] == label
        torch.testing.assert_close(z[nearest], remembered)


def test_a_bundle_keeps_what_it_remembers(encoders, windows, spec, tmp_path):
    memory = build_memory(encoders, windows, seed=0)
    parts = {"onnx": b"\x08\x07", "weights": b"w", "provenance": {}, "metrics": {}}
    write_bundle(tmp_path / "with", spec, **parts, memory=memory.as_bytes())
    kept = load_memory(load_bundle(tmp_path / "with"))
    torch.testing.assert_close(kept.z, memory.z, atol=1e-3, rtol=1e-3)
    assert torch.equal(kept.presence, memory.presence)
    assert torch.equal(kept.labels, memory.labels)
    assert load_memory(write_bundle(tmp_path / "without", spec, **parts)) is None


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda kept: b"\xff" * 50, "memory.safetensors is damaged"),
        (lambda kept: save({"z": kept["z"]}), "memory.safetensors is damaged"),
        (lambda kept: save({**kept, "z": kept["z"] * torch.nan}), "memory.safetensors is damaged"),
        (lambda kept: save({**kept, "labels": kept["labels"] + 3}), "memory.safetensors does not fit"),
        (lambda kept: save({**kept, "z": kept["z"][:, :2].contiguous()}), "memory.safetensors does not fit"),
    ],
)
def test_a_memory_that_is_none_is_told_even_where_its_digest_is_right(harm, message, encoders, windows, spec, tmp_path):
    kept = load(build_memory(encoders, windows, seed=0).as_bytes())
    parts = {"onnx": b"\x08\x07", "weights": b"w", "provenance": {}, "metrics": {}}
    bundle = write_bundle(tmp_path / "bundle", spec, **parts, memory=harm(kept))
    with pytest.raises(BundleError, match=message):
        load_memory(bundle)


def test_activities_get_the_numbers_of_another_model_or_go():
    memory = Memory(torch.arange(4.0).reshape(4, 1, 1), torch.ones(4, 1), torch.tensor([0, 1, 2, 1]))
    other = memory.relabelled(["still", "slow", "fast"], ["shake", "fast", "slow"])
    assert other.labels.tolist() == [2, 1, 2]
    assert other.z.flatten().tolist() == [1, 2, 3]
    assert memory.concatenate(other).labels.tolist() == [0, 1, 2, 1, 2, 1, 2]
