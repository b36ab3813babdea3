from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from rich.progress import Progress

from cosmo_runtime.training.baselines import selfhar as module
from cosmo_runtime.training.baselines.selfhar import CHANGES, changed, selfhar, student_loss
from cosmo_runtime.training.methods import Budget, Lesson, OneStage


@pytest.mark.slow
def test_it_learns(check):
    check(OneStage(selfhar), pretrain_epochs=60, epochs=60)


def test_loss_asks_for_each_change_and_for_what_the_teacher_said():
    """By hand: three windows, of which one is as it was, and two changes instead of eight."""
    changes = torch.tensor([[0.5, -1.0], [2.0, 0.0], [-0.5, 1.5]])
    classes = torch.tensor([[1.0, 0.0], [0.0, 2.0], [0.5, 0.5]])
    answers = torch.tensor([[0.9, 0.1], [0.4, 0.6], [0.0, 1.0]])
    made = [(0, 0), (1, 0), (0, 1)]

    def likely(logit: float) -> float:
        return 1 / (1 + math.exp(-logit))

    total = 0.0
    for i in range(3):
        for j in range(2):
            share = likely(float(changes[i, j]))
            total -= math.log(share if made[i][j] else 1 - share) / 3
        shares = [math.exp(float(v)) for v in classes[i]]
        total -= sum(float(answers[i, c]) * math.log(shares[c] / sum(shares)) for c in range(2)) / 3
    assert student_loss(changes, classes, torch.tensor([0, 1, 2]), answers).item() == pytest.approx(total, rel=1e-5)


@pytest.fixture
def signal():
    return torch.randn(6, 40, 6, generator=torch.Generator().manual_seed(1))


def test_each_change_is_what_it_says(signal):
    generator = torch.Generator().manual_seed(0)
    every = [changed(signal, torch.full((6,), version), generator) for version in range(len(CHANGES) + 1)]
    same, noisy, scaled, turned, negated, back, permuted, bent, shuffled = every
    torch.testing.assert_close(same, signal)
    assert 0.04 < (noisy - signal).std() < 0.06
    factor = scaled / signal
    assert 0.05 < factor[:, 0].std() < 0.15
    torch.testing.assert_close(factor, factor[:, :1].expand(6, 40, 6), rtol=1e-3, atol=1e-3)
    for triple in (slice(0, 3), slice(3, 6)):
        torch.testing.assert_close(turned[..., triple].norm(dim=2), signal[..., triple].norm(dim=2))
    torch.testing.assert_close(negated, -signal)
    torch.testing.assert_close(back[:, 0], signal[:, -1])
    torch.testing.assert_close(permuted.sum(1), signal.sum(1), atol=1e-4, rtol=0)
    inner = permuted[:, 1:10] - permuted[:, :9]  # a piece of ten stays as it is
    assert all(
        any(torch.equal(inner[i], (signal[i, s + 1 : s + 10] - signal[i, s : s + 9])) for s in (0, 10, 20, 30))
        for i in range(6)
    )
    torch.testing.assert_close(shuffled.sort(2)[0], signal.sort(2)[0])
    for one in (turned, permuted, bent, shuffled):
        assert not torch.equal(one, signal)


def test_only_the_windows_that_are_to_be_changed_are(signal):
    version = torch.tensor([0, 4, 0, 5, 0, 4])
    found = changed(signal, version, torch.Generator().manual_seed(0))
    torch.testing.assert_close(found[[0, 2, 4]], signal[[0, 2, 4]])
    torch.testing.assert_close(found[[1, 5]], -signal[[1, 5]])
    torch.testing.assert_close(found[3], signal[3].flip(0))


def test_the_student_learns_from_unlabelled_windows_of_which_the_teacher_is_sure(spec, windows, monkeypatch):
    labelled = np.arange(len(windows)) % 3 > 0
    networks, given = [], []

    def learn_labels(network, *_):
        networks.append(network)
        answers = np.full((len(windows), 3), 0.2)
        answers[:, 1] = np.where(np.arange(len(windows)) % 2, 0.6, 0.49)
        return lambda query: answers

    def learn_from_teacher(student, lesson, answers):
        given.append((student, lesson.windows, answers))

    monkeypatch.setattr(module, "learn_labels", learn_labels)
    monkeypatch.setattr(module, "_learn_from_teacher", learn_from_teacher)
    selfhar(Lesson(spec, windows.labelled_only_where(labelled), Budget(1, 1), 0, Progress(disable=True)))

    teacher, student = networks
    ((learner, kept, answers),) = given
    assert learner is student and teacher is not student
    chosen = ~labelled & (np.arange(len(windows)) % 2 == 1)
    np.testing.assert_array_equal(kept.features["imu"], windows.features["imu"][chosen])
    assert (answers[:, 1] == 0.6).all()
    learns = {name.split(".")[0] for name, value in student.named_parameters() if value.requires_grad}
    assert learns == {"last", "tell_changes", "classify"}
