from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from rich.progress import Progress

from cosmo_runtime.models.spec import ModalitySpec, ModelSpec
from cosmo_runtime.training.baselines.limu_bert import LimuBert, WindowEmbedder, hidden_loss, hidden_spans, limu_bert
from cosmo_runtime.training.methods import Budget, Lesson, learn


@pytest.mark.slow
def test_it_learns_postures(spec, windows, other_people):
    """Which axis points down; in a few hundred steps its pretext learns no more from signals that are mostly noise."""

    def turned(them):
        imu = them.features["imu"].copy()
        for label in range(3):
            ours = them.labels == label
            imu[ours, :, :3] = np.roll(imu[ours, :, :3], label, axis=2)
        return replace(them, features={**them.features, "imu": imu})

    few = turned(windows).labelled_only_where(np.arange(len(windows)) % 3 > 0)
    predict = learn(limu_bert, Lesson(spec, few, Budget(10, 60, pretrain_batch=24), 0, Progress(disable=True)))
    asked = turned(other_people)
    assert (predict(asked).argmax(1) == asked.labels).mean() > 0.9


@pytest.mark.slow
def test_it_answers_alike_from_one_seed_and_never_looks_at_what_is_absent(check):
    check(limu_bert, pretrain_epochs=1, epochs=1, expected=0)


def test_it_is_as_large_as_published_but_for_a_layer_that_is_never_used():
    assert sum(parameter.numel() for parameter in LimuBert().parameters()) == 62_646 - (72 * 72 + 72)


def test_spans_hide_as_many_steps_of_each_sequence():
    hidden = hidden_spans(200, 60, np.random.default_rng(0))
    assert (hidden.sum(1) == 9).all()
    starts = (hidden[:, 1:] & ~hidden[:, :-1]).sum() + hidden[:, 0].sum()
    assert 2 < 9 * 200 / starts < 4  # steps of a span that nothing cuts or joins: 3.8 on average, here at most 9
    assert hidden.any(0).all()


def test_loss_is_the_error_of_hidden_steps_only():
    """By hand: of two sequences, one has its hidden steps set to zero, the other shows them."""

    class Doubles(torch.nn.Module):
        def forward(self, x):
            return x + 1

        def say(self, h):
            return 2 * h

    x = torch.arange(24.0).reshape(2, 2, 6)
    hidden = torch.tensor([[False, True], [True, False]])
    shown = [(2 * (0 + 1) - value) ** 2 for value in range(6, 12)]
    seen = [(2 * (value + 1) - value) ** 2 for value in range(12, 18)]
    loss = hidden_loss(Doubles(), x, hidden, torch.tensor([True, False]))
    assert loss.item() == pytest.approx(sum(shown + seen) / 12)


def test_one_block_is_used_four_times():
    """By hand, with one head at a time, as the published code has it: what is added up is what attention says."""
    torch.manual_seed(0)
    bert = LimuBert().eval()
    x = torch.randn(1, 7, 6)

    def norm(layer, h):
        centred = h - h.mean(-1, keepdim=True)
        return layer.weight * centred / centred.pow(2).mean(-1, keepdim=True).sqrt() + layer.bias

    def linear(layer, h):
        return h @ layer.weight.T + layer.bias

    h = norm(bert.norm_embedded, norm(bert.norm_embedded, linear(bert.embed, x[0])) + bert.place[:7])
    for _ in range(4):
        q, k, v = (linear(part, h) for part in (bert.query, bert.key, bert.value))
        heads = [slice(18 * head, 18 * head + 18) for head in range(4)]
        h = torch.cat([torch.softmax(q[:, a] @ k[:, a].T / 18**0.5, 1) @ v[:, a] for a in heads], dim=1)
        h = norm(bert.norm_attended, h + linear(bert.project, h))
        h = norm(bert.norm_fed, h + linear(bert.feed[2], torch.nn.functional.gelu(linear(bert.feed[0], h))))
    torch.testing.assert_close(bert(x)[0], h, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("longest", "sequences", "steps"), [(120, 3, 60), (20, 9, 20), (25, 9, 20)])
def test_a_window_is_cut_into_few_sequences(longest, sequences, steps):
    imu = ModalitySpec(sensor="imu", rate_hz=40, shape=(6,))
    spec = ModelSpec(modalities=(imu,), window_s=3, hop_s=3, classes=("one", "other"), quality=(1,))
    embedder = WindowEmbedder(spec, longest)
    features, presence = {"imu": torch.randn(3, 120, 6)}, torch.ones(3, 1)
    assert embedder.sequences(features, presence).shape == (sequences, steps, 6)
    assert embedder(features, presence).shape == (3, 60, 72)
