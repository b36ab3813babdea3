from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from rich.progress import Progress

from cosmo_runtime.models.networks import CosmoNetwork
from cosmo_runtime.training.cosmo.stage2 import embed, finetune, finetune_classifier, freeze, unfreeze
from cosmo_runtime.training.evaluate import evaluate


@pytest.fixture
def network(spec, windows):
    torch.manual_seed(0)
    network = CosmoNetwork(spec)
    features, presence, _ = windows.tensors(np.arange(len(windows)))
    network.encoders.fit(features, presence)
    return network


def run(network, windows, **settings):
    return finetune(network, windows, **{"rounds": 1, "seed": 0, "progress": Progress(disable=True), **settings})


def same(before: dict, part) -> bool:
    return all(torch.equal(before[name], value) for name, value in part.state_dict().items())


def test_frozen_encoders_keep_parameters_and_batch_statistics(network, windows):
    features, presence, _ = windows.tensors(np.arange(16))
    freeze(network.encoders)
    before = copy.deepcopy(network.encoders.state_dict())
    network.classifier(network.encoders(features), presence)[0].sum().backward()
    assert same(before, network.encoders)
    assert all(p.grad is None for p in network.encoders.parameters())


def test_a_frozen_classifier_lets_gradients_through(network, windows):
    features, presence, _ = windows.tensors(np.arange(16))
    freeze(network.classifier)
    network.classifier(network.encoders(features), presence)[0].sum().backward()
    assert all(p.grad is None for p in network.classifier.parameters())
    assert any(p.grad.abs().sum() > 0 for p in network.encoders.parameters())


def test_one_part_learns_while_the_other_is_frozen(network, windows):
    """While the encoders learn, the classifier waits without dropout; while it learns, the encoders run just once."""
    seen = {"encoders": [], "classifier": []}
    for name, part in (("encoders", network.encoders), ("classifier", network.classifier)):
        part.register_forward_hook(
            lambda part, _, __, name=name: seen[name].append(
                (part.training, all(p.requires_grad for p in part.parameters()))
            )
        )
    run(network, windows, turn=2, batch=36)
    learning, waiting = (True, True), (False, False)
    assert seen["classifier"] == [waiting] * 4 + [learning] * 4
    assert seen["encoders"] == [learning] * 4 + [waiting]


def test_labels_that_are_not_trusted_teach_nothing(network, windows, other_people):
    """Two thirds of the labels are wrong, and nobody trusts them."""
    wrong = np.arange(len(windows)) % 3 > 0
    labels = np.where(wrong, (windows.labels + 1) % 3, windows.labels)
    settings = {"rounds": 6, "batch": 24, "confidence": np.where(wrong, 1e-6, 1.0)}
    run(network, replace(windows, labels=labels), **settings)
    assert evaluate(network, other_people)["accuracy"] > 0.9


def test_embedding_leaves_the_encoders_as_they_are(network, windows):
    network.encoders.train()
    before = copy.deepcopy(network.encoders.state_dict())
    whole, _, _ = embed(network.encoders, windows)
    parts, _, _ = embed(network.encoders, windows, batch=5)
    assert same(before, network.encoders)
    torch.testing.assert_close(whole, parts)


def test_each_turn_moves_only_its_own_part(network, windows, monkeypatch):
    """Snapshots when the embeddings are computed, between the two turns of the only round."""
    between = {}

    def embed_and_look(encoders, *rest):
        between["encoders"] = copy.deepcopy(encoders.state_dict())
        between["classifier"] = copy.deepcopy(network.classifier.state_dict())
        return embed(encoders, *rest)

    monkeypatch.setattr("cosmo_runtime.training.cosmo.stage2.embed", embed_and_look)
    start = copy.deepcopy(network.state_dict())
    run(network, windows, turn=2)

    for name, value in between["classifier"].items():
        assert torch.equal(value, start[f"classifier.{name}"]), f"{name} moved in the encoders' turn"
    assert same(between["encoders"], network.encoders), (
        "the encoders or their batch statistics moved in the other's turn"
    )
    assert not torch.equal(
        between["encoders"]["by_sensor.imu.layers.0.weight"], start["encoders.by_sensor.imu.layers.0.weight"]
    )
    assert not torch.equal(
        between["encoders"]["by_sensor.imu.layers.0.running_mean"],
        start["encoders.by_sensor.imu.layers.0.running_mean"],
    )
    assert not same(between["classifier"], network.classifier)


def test_learns_and_survives_missing_sensors(network, windows, other_people):
    losses = run(network, windows, rounds=2, turn=4, batch=16)
    assert len(losses) == 16
    assert losses[-1] < 0.7 * losses[0]
    assert evaluate(network, other_people)["accuracy"] > 0.9


def test_unfreezing_lets_batch_statistics_move_again(network, windows):
    freeze(network.encoders)
    unfreeze(network.encoders)
    before = copy.deepcopy(network.encoders.state_dict())
    network.encoders(windows.tensors(np.arange(16))[0])
    assert not same(before, network.encoders)


def test_modalities_are_dropped_in_both_turns(network, windows):
    seen = []
    network.classifier.register_forward_hook(lambda part, inputs, _: seen.append(inputs[1].sum().item()))
    run(network, windows, turn=2, batch=36)
    there = 2 * windows.presence.sum()
    assert 0.7 * there < sum(seen[:4]) < 0.97 * there, "in the encoders' turn"
    assert 0.7 * there < sum(seen[4:]) < 0.97 * there, "in the classifier's"


def test_modalities_are_dropped_while_the_classifier_learns_alone(network, windows):
    z, presence, labels = embed(network.encoders, windows)
    seen = []
    network.classifier.register_forward_hook(lambda part, inputs, _: seen.append(inputs[1]))
    share = torch.ones(len(labels))
    finetune_classifier(network.classifier, z, torch.ones_like(presence), labels, share, steps=4, seed=0)
    assert 0.7 < torch.cat(seen).mean() < 0.97
