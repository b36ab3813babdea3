from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from rich.progress import Progress

torch = pytest.importorskip("torch")

from cosmo_runtime.training.augment import OF_A_MOMENT
from cosmo_runtime.training.benchmark.comparison import METHODS
from cosmo_runtime.training.cosmo import method as cosmo
from cosmo_runtime.training.cosmo.method import Cosmo
from cosmo_runtime.training.cosmo.stage2 import embed
from cosmo_runtime.training.methods import Budget, Epoch, Lesson
from cosmo_runtime.training.methods import learn as learn_both

VARIATIONS = [
    Cosmo(),
    Cosmo(pretrained=False),
    Cosmo(mined=True),
    Cosmo(spread=True),
    Cosmo(spread=True, warped=True, balance="all"),
    Cosmo(spread=True, warped=True, apart=True, balance="person"),
]
BUDGET = Budget(pretrain_epochs=12, epochs=60, batch=16)


@pytest.fixture(scope="module")
def few_labels(windows):
    first_two = np.concatenate([np.flatnonzero(windows.labels == k)[:2] for k in range(3)])
    persons = np.arange(len(windows)) % 4
    return replace(windows.labelled_only_where(np.isin(np.arange(len(windows)), first_two)), groups=persons)


def learned(method: Cosmo, spec, windows, seed: int = 0):
    return learn_both(method, Lesson(spec, windows, BUDGET, seed, Progress(disable=True)))


@pytest.mark.parametrize("method", VARIATIONS, ids=str)
def test_every_variation_learns_from_few_labels(method, spec, few_labels, other_people):
    predict = learned(method, spec, few_labels)
    assert (predict(other_people).argmax(1) == other_people.labels).mean() > 0.7


def test_the_rows_of_the_comparison_are_what_their_titles_say():
    names = ("cosmo", "cosmo-spread", "cosmo-balanced", "cosmo-warped", "cosmo-apart", "cosmo-together", "cosmo-person")
    learners = {name: METHODS[name].learner for name in names}
    assert learners["cosmo"] == Cosmo()
    assert learners["cosmo-spread"] == Cosmo(spread=True)
    assert learners["cosmo-balanced"] == Cosmo(spread=True, balance="all")
    assert learners["cosmo-warped"] == Cosmo(spread=True, warped=True, balance="all")
    assert learners["cosmo-apart"] == Cosmo(spread=True, warped=True, apart=True, balance="all")
    assert learners["cosmo-together"] == Cosmo(spread=True, warped=True, balance="person")
    assert learners["cosmo-person"] == Cosmo(spread=True, warped=True, apart=True, balance="person")


@pytest.mark.slow
def test_the_same_seed_gives_the_same_answers(spec, few_labels, other_people):
    first, again, other = (learned(Cosmo(spread=True), spec, few_labels, seed)(other_people) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_epochs_are_told_as_they_end(spec, few_labels, other_people):
    first: list[Epoch] = []
    second: list[Epoch] = []
    method, lesson = Cosmo(mined=True), Lesson(spec, few_labels, BUDGET, 0, Progress(disable=True))
    encoders = method.pretrain(lesson._replace(on_epoch=first.append))
    method.tune(encoders, lesson._replace(on_epoch=second.append))
    assert [epoch.number for epoch in first] == list(range(1, 13))
    assert [epoch.number for epoch in second] == list(range(1, 121))  # 60 of each part
    assert first[0].predict is None
    assert second[-1].predict(other_people).shape == (len(other_people), 3)


def test_each_stage_is_told_what_the_method_asks_for(spec, few_labels, monkeypatch):
    """How far windows are warped, what is mined and how far spread labels are trusted, as the stages get them."""
    told: dict[str, list] = {"pretrain": [], "finetune": []}
    for stage, learn in (("pretrain", cosmo.pretrain), ("finetune", cosmo.finetune)):

        def record(*given, stage=stage, learn=learn, **settings):
            told[stage].append(settings)
            return learn(*given, **settings)

        monkeypatch.setattr(cosmo, stage, record)
    learned(Cosmo(mined=True, spread=True, warp=OF_A_MOMENT), spec, few_labels)
    assert [settings["warp"] for settings in (*told["pretrain"], *told["finetune"])] == [OF_A_MOMENT] * 3
    first, second = (settings["neighbours"] for settings in told["pretrain"])
    assert first is None
    assert second.shape[0] == len(few_labels)
    assert second.max() >= 0
    assert told["finetune"][0]["batch"] == BUDGET.pretrain_batch, "spread labels are as many as the unlabelled windows"
    confidence = told["finetune"][0]["confidence"]
    assert (confidence == 1).sum() >= 6
    assert confidence.min() < 1


@pytest.mark.parametrize("warped", [False, True])
@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("balance", ["none", "all", "person"])
def test_labels_are_spread_as_the_method_says(spec, few_labels, monkeypatch, warped, apart, balance):
    graphs = []
    spread_over = cosmo.spread_over

    def spread(windows, neighbours, balance_too):
        assert balance_too == balance
        graphs.append(neighbours)
        return spread_over(windows, neighbours, balance_too)

    monkeypatch.setattr(cosmo, "spread_over", spread)
    lesson = Lesson(spec, few_labels, replace(BUDGET, pretrain_epochs=2, epochs=2), 0, Progress(disable=True))
    encoders = Cosmo().pretrain(lesson)
    embedded = embed(encoders, few_labels)[:2]
    views = cosmo.sensor_distances(*embedded) if apart else [cosmo.cosine_distances(*embedded)]
    views += [cosmo.warped_distances(spec, few_labels)] * warped
    distances = cosmo.mean_distances(views, len(few_labels)) if apart or warped else views[0]
    Cosmo(spread=True, warped=warped, apart=apart, balance=balance).tune(encoders, lesson)
    assert np.abs(graphs[0] - cosmo.mutual_neighbours(distances, few_labels.groups)).max() == 0


def test_quality_weights_are_those_of_the_windows(spec, few_labels):
    trained = Cosmo().train(Lesson(spec, few_labels, BUDGET, 0, Progress(disable=True)))
    total = sum(quality.q for quality in trained.qualities)
    assert trained.spec.quality == pytest.approx([quality.q / total for quality in trained.qualities])
    np.testing.assert_allclose(trained.network.classifier.attention.quality.numpy(), trained.spec.quality, rtol=1e-6)


def test_who_looks_at_every_epoch_changes_nothing(spec, few_labels, other_people):
    lesson = Lesson(spec, few_labels, BUDGET, 0, Progress(disable=True))
    encoders = Cosmo().pretrain(lesson)
    watched = Cosmo().tune(encoders, lesson._replace(on_epoch=lambda epoch: epoch.predict(other_people))).predict
    np.testing.assert_array_equal(watched(other_people), learned(Cosmo(), spec, few_labels)(other_people))


@pytest.mark.parametrize("epochs, turns", [(60, [5] * 24), (13, [4] * 6), (6, [6] * 2), (3, [3] * 2)])
def test_turns_are_about_t_iter_and_fit_the_budget(spec, few_labels, monkeypatch, epochs, turns):
    told = {}
    monkeypatch.setattr(cosmo, "finetune", lambda *_, **settings: told.update(settings) or [0.0])
    Cosmo(pretrained=False).train(Lesson(spec, few_labels, replace(BUDGET, epochs=epochs), 0, Progress(disable=True)))
    assert [told["turn"]] * 2 * told["rounds"] == turns
