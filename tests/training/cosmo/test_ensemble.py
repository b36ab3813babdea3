from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from rich.progress import Progress

torch = pytest.importorskip("torch")

from cosmo_runtime.training.cosmo import method
from cosmo_runtime.training.cosmo.ensemble import CosmoEnsemble
from cosmo_runtime.training.cosmo.method import Cosmo
from cosmo_runtime.training.cosmo.neighbours import mutual_neighbours, spread_over
from cosmo_runtime.training.cosmo.stage2 import embed
from cosmo_runtime.training.methods import Budget, Epoch

BUDGET = Budget(pretrain_epochs=6, epochs=30, batch=16)


@pytest.fixture(scope="module")
def few_labels(windows):
    first_two = np.concatenate([np.flatnonzero(windows.labels == k)[:2] for k in range(3)])
    persons = np.arange(len(windows)) % 4
    return replace(windows.labelled_only_where(np.isin(np.arange(len(windows)), first_two)), groups=persons)


@pytest.fixture(scope="module")
def given(spec, few_labels):
    return spec, few_labels, BUDGET, 0, Progress(disable=True)


def test_it_learns_from_few_labels_and_counts_its_epochs(given, other_people):
    ended: list[Epoch] = []
    learner = CosmoEnsemble(members=2)
    network = learner.pretrain(*given, ended.append)
    assert [epoch.number for epoch in ended] == list(range(1, 13))
    ended.clear()
    result = learner.tune(network, *given, ended.append)
    assert [epoch.number for epoch in ended] == list(range(1, len(ended) + 1))
    assert (result.predict(other_people).argmax(1) == other_people.labels).mean() > 0.7
    assert set(result.figures["quality"]) == set(given[0].sensors)


def test_the_first_member_is_what_cosmo_alone_learns(given, few_labels):
    alone = Cosmo().pretrain(*given)
    first, second = CosmoEnsemble(members=2).pretrain(*given)
    assert torch.equal(embed(alone, few_labels)[0], embed(first, few_labels)[0])
    assert not torch.equal(embed(first, few_labels)[0], embed(second, few_labels)[0])


def test_labels_are_spread_by_the_mean_distance_and_then_also_by_what_stage_2_found(given, few_labels, monkeypatch):
    learner = CosmoEnsemble(members=2)
    members = learner.pretrain(*given)
    graphs, networks = [], []

    def spread(windows, neighbours):
        graphs.append(neighbours)
        return spread_over(windows, neighbours)

    def finetune(network, *positional, finetune=method.finetune, **named):
        networks.append(network)
        return finetune(network, *positional, **named)

    monkeypatch.setattr(method, "spread_over", spread)
    monkeypatch.setattr(method, "finetune", finetune)
    learner.tune(members, *given)
    z = [embed(member, few_labels)[0] for member in members]
    presence = torch.from_numpy(few_labels.presence).float()
    both = mutual_neighbours(torch.cat(z, dim=1), torch.cat([presence] * 2, dim=1), few_labels.groups)
    assert np.abs(graphs[0] - both).max() == 0
    learned = mutual_neighbours(embed(networks[0].encoders, few_labels)[0], presence, few_labels.groups)
    assert np.abs(graphs[1] - (both + learned)).max() == 0
    assert networks[0] is not networks[1], "the last stage 2 starts at stage 1 again"
