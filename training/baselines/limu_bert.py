"""LIMU-BERT (Xu et al., SenSys 2021): a small transformer learns to fill in hidden parts of an inertial signal.

As published: 20 steps a second, acceleration in g, and one block of 72 numbers a step that is applied four times.
Pretraining hides 15 % of the steps, in spans, and the network reconstructs them. Then the network is frozen, and a
recurrent classifier learns on its embeddings.

What had to change: a window shorter than 120 steps is one sequence. The label belongs to the whole window, so the
classifier reads all of it instead of one second, and normalises its input. Batches, the number of steps and the
augmentation of labelled windows are those of the comparison, with far fewer steps than published. As in the published
pretraining, unlabelled windows are not augmented.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.training.augment import Features
from cosmo_runtime.training.baselines.inertial import CHANNELS, Inertial
from cosmo_runtime.training.baselines.learning import learn_labels, learn_unlabelled
from cosmo_runtime.training.methods import Lesson, Stage2Result, TwoStages

RATE_HZ = 20
LONGEST = 120  # steps in a sequence
HIDDEN, FED, HEADS, BLOCKS = 72, 144, 4, 4
HIDDEN_SHARE, BLANK = 0.15, 0.8
_SPANS = np.arange(1, 11)
_SPAN_SHARES = 0.8 ** (_SPANS - 1) / (0.8 ** (_SPANS - 1)).sum()


class LimuBert(nn.Module):
    """The transformer, and the head that reconstructs hidden steps."""

    def __init__(self, longest: int = LONGEST):
        super().__init__()
        self.embed, self.norm_embedded = nn.Linear(CHANNELS, HIDDEN), _norm()
        self.place = nn.Parameter(torch.randn(longest, HIDDEN))
        self.query, self.key, self.value, self.project = (nn.Linear(HIDDEN, HIDDEN) for _ in range(4))
        self.feed = nn.Sequential(nn.Linear(HIDDEN, FED), nn.GELU(), nn.Linear(FED, HIDDEN))
        self.norm_attended, self.norm_fed = _norm(), _norm()
        self.say = nn.Sequential(nn.Linear(HIDDEN, HIDDEN), nn.GELU(), _norm(), nn.Linear(HIDDEN, CHANNELS))

    def forward(self, x: Tensor) -> Tensor:
        """Sequences (N, steps, 6) -> embeddings (N, steps, 72)."""
        h = self.norm_embedded(self.norm_embedded(self.embed(x)) + self.place[: x.shape[1]])
        for _ in range(BLOCKS):
            h = self._attend(h)
            h = self.norm_attended(h + self.project(h))
            h = self.norm_fed(h + self.feed(h))
        return h

    def _attend(self, h: Tensor) -> Tensor:
        q, k, v = (part(h).unflatten(2, (HEADS, -1)).transpose(1, 2) for part in (self.query, self.key, self.value))
        weights = torch.softmax(q @ k.transpose(2, 3) / math.sqrt(HIDDEN / HEADS), dim=3)
        return (weights @ v).transpose(1, 2).flatten(2)


def _norm() -> nn.LayerNorm:
    return nn.LayerNorm(HIDDEN, eps=1e-12)


class WindowEmbedder(nn.Module):
    """Resamples a window to 20 steps a second, cuts it into as few sequences as possible, and embeds each."""

    def __init__(self, spec: ModelSpec, longest: int = LONGEST):
        super().__init__()
        steps = max(1, round(spec.window_s * RATE_HZ))
        self.pieces = -(-steps // longest)
        self.inertial = Inertial(spec, self.pieces * -(-steps // self.pieces))
        self.bert = LimuBert(longest)

    def sequences(self, features: Features, presence: Tensor) -> Tensor:
        """Features by sensor, presence (N, M) -> (N * pieces, steps, 6)."""
        x = self.inertial(features, presence)
        return x.reshape(len(x) * self.pieces, -1, CHANNELS)

    def forward(self, features: Features, presence: Tensor) -> Tensor:
        """Features by sensor, presence (N, M) -> embeddings (N, steps, 72)."""
        return self.bert(self.sequences(features, presence)).reshape(len(presence), -1, HIDDEN)


def hidden_spans(n: int, steps: int, random: np.random.Generator) -> Tensor:
    """A mask (N, steps) of 15 % of the steps, in spans of geometric length, at most ten steps long."""
    count = max(1, round(HIDDEN_SHARE * steps))
    hidden = np.zeros((n, steps), bool)
    for row in hidden:
        while row.sum() < count:
            start, length = random.integers(steps), random.choice(_SPANS, p=_SPAN_SHARES)
            row[start : start + min(length, count - row.sum())] = True
    return torch.from_numpy(hidden)


def hidden_loss(bert: LimuBert, x: Tensor, hidden: Tensor, blank: Tensor) -> Tensor:
    """Mean squared error of the reconstructed steps.

    Args:
        bert: the network.
        x: (N, steps, 6) sequences.
        hidden: (N, steps) bool.
        blank: (N,) bool, the sequences whose hidden steps are set to zero; other sequences are unchanged.

    Returns:
        A scalar.
    """
    given = x.masked_fill((hidden & blank[:, None]).unsqueeze(2), 0)
    return nn.functional.mse_loss(bert.say(bert(given)[hidden]), x[hidden])


class EmbeddingReader(nn.Module):
    """The published classifier after a normalisation: recurrent networks, whose last state gives the answer.

    Embeddings that were learned without labels are small, and would hardly train the classifier in so few steps.
    """

    def __init__(self, embedder: WindowEmbedder, spec: ModelSpec):
        super().__init__()
        self.embedder = embedder
        self.normalise = nn.BatchNorm1d(embedder.inertial.steps * HIDDEN, affine=False)
        self.first = nn.GRU(HIDDEN, 20, num_layers=2, batch_first=True)
        self.second = nn.GRU(20, 10, batch_first=True)
        self.classify = nn.Sequential(nn.Dropout(0.5), nn.Linear(10, len(spec.classes)))

    def forward(self, features: Features, presence: Tensor) -> Tensor:
        """Features by sensor and presence (N, M) -> logits (N, classes)."""
        z = self.embedder(features, presence)
        z = self.normalise(z.flatten(1)).reshape(z.shape)  # per step, because most of the variation lies between steps
        states, _ = self.second(self.first(z)[0])
        return self.classify(states[:, -1])


def _pretrain(lesson: Lesson) -> WindowEmbedder:
    torch.manual_seed(lesson.seed)
    embedder = WindowEmbedder(lesson.spec)
    random = np.random.default_rng(lesson.seed)

    def loss(features: Features, presence: Tensor) -> Tensor:
        x = embedder.sequences(features, presence)
        hidden, blank = hidden_spans(len(x), x.shape[1], random), torch.from_numpy(random.random(len(x)) < BLANK)
        return hidden_loss(embedder.bert, x, hidden, blank)

    learn_unlabelled(embedder, loss, lesson, "LIMU-BERT", learning_rate=1e-3)
    return embedder


def _tune(embedder: WindowEmbedder, lesson: Lesson) -> Stage2Result:
    torch.manual_seed(lesson.seed)
    network = EmbeddingReader(embedder.requires_grad_(False), lesson.spec)
    return Stage2Result(learn_labels(network, lesson, "LIMU-BERT"))


limu_bert = TwoStages("limu-bert", WindowEmbedder, _pretrain, _tune)
"""The transformer learns on all windows, then a classifier learns on its embeddings."""
