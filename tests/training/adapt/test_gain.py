"""A model pays if it recognises something, no less than the one before, and of no activity much less."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np

from cosmo_runtime.models.spec import ModalitySpec, ModelSpec
from cosmo_runtime.training.adapt import gain
from cosmo_runtime.training.adapt.gain import Comparison, _confusion, compare


def activity(before, after):
    return {"windows": 20, "before": before, "after": after}


@pytest.mark.parametrize(
    ("before", "after", "accepted"),
    [(0.5, 0.6, True), (1.0, 1.0, True), (0.6, 0.5, False), (0.0, 0.0, False), (None, 0.1, True), (None, 0.0, False)],
)
def test_a_model_is_accepted_if_it_recognises_something_and_no_less(before, after, accepted):
    known = None if before is None else {"accuracy": before}
    assert Comparison(known, {"accuracy": after}, {}).accepted == accepted


def test_an_activity_that_loses_much_is_named_though_the_total_rose():
    activities = {"sit": activity(0.95, 1.0), "walk": activity(0.5, 0.0), "wave": activity(0.8, 0.6)}
    comparison = Comparison({"accuracy": 0.933}, {"accuracy": 0.942}, activities)
    assert not comparison.accepted
    assert comparison.regressions == ["recognises 0.0% of 'walk' instead of 50.0%, more than 20 percentage points less"]


def test_a_model_that_only_guesses_is_not_put_in_use():
    shares = {"wave": 0.25, "sit down": 0.25, "walk": 0.0, "none": 0.4}
    guesses = Comparison(None, {"accuracy": 0.222}, {name: activity(None, share) for name, share in shares.items()})
    assert guesses.regressions == ["recognises no more than guessing among 4 activities would"]
    always_none = {"wave": activity(None, 0.0), "none": activity(None, 1.0)}
    assert not Comparison(None, {"accuracy": 0.95}, always_none).accepted
    shares["none"] = 0.8
    better = {name: activity(None, share) for name, share in shares.items()}
    assert Comparison(None, {"accuracy": 0.3}, better).accepted


@pytest.mark.parametrize("before", [None, 0.0, 0.2, 0.7])
def test_what_was_not_recognised_or_falls_a_little_may_do_so(before):
    after = max(0.0, (before or 0.0) - 0.2)
    assert Comparison({"accuracy": 0.9}, {"accuracy": 0.9}, {"walk": activity(before, after)}).accepted


def test_it_is_told_what_was_taken_for_what():
    labels = np.array([0, 0, 2])
    said = {"after": np.array([0, 1, 2]), "before": np.array([3, 0, 4])}  # 3 is another activity, 4 is uncertain
    told = _confusion(labels, said, ["walk", "wave", "sit"])
    assert told["activities"] == ["walk", "wave", "sit", "other", "uncertain"]
    assert told["after"] == [[1, 1, 0, 0, 0], [0, 0, 0, 0, 0], [0, 0, 1, 0, 0], [0] * 5, [0] * 5]
    assert told["before"] == [[1, 0, 0, 1, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 1], [0] * 5, [0] * 5]


@pytest.mark.parametrize(
    ("called", "accepted"),
    [
        ({"before": 0, "after": 1}, False),
        ({"before": 2, "after": 2}, True),
        ({"after": 1}, False),
        ({"after": 0}, True),
    ],
)
def test_a_model_that_calls_more_falls_where_nobody_falls_is_not_put_in_use(called, accepted):
    comparison = Comparison({"accuracy": 0.5}, {"accuracy": 0.9}, {}, falls_called=called)
    assert comparison.accepted == accepted
    words = "calls a fall in 1 windows of the recording in which nobody fell, instead of 0"
    assert accepted or comparison.regressions == [words]


class Says:
    """A network that gives window i the i-th probabilities."""

    def __init__(self, monkeypatch, *probabilities):
        self.probabilities = np.array(probabilities, np.float32)
        monkeypatch.setattr(
            gain, "predict", lambda network, windows: network.probabilities[windows.features["imu"][:, 0]]
        )


@dataclass
class Few:
    """Windows numbered from 0."""

    labels: np.ndarray

    def __post_init__(self):
        self.features = {"imu": np.arange(len(self.labels))[:, None]}
        self.presence = np.ones((len(self.labels), 1))

    def __len__(self):
        return len(self.labels)


def test_an_answer_counts_as_a_run_would_give_it(monkeypatch):
    modality = ModalitySpec(sensor="imu", rate_hz=1, shape=(3,))
    spec = ModelSpec(modalities=(modality,), window_s=1, hop_s=1, classes=("sit", "fall"), quality=(1.0,))
    sure = spec.model_copy(update={"min_confidence": 0.7})
    before = spec.model_copy(update={"classes": ("sit", "hop", "skip", "fall"), "min_confidence": 0.3})
    new = Says(monkeypatch, [0.9, 0.1], [0.6, 0.4], [0.2, 0.8])
    # the base's two activities that the new model lacks are both less likely than sitting, which it therefore says
    base = Says(monkeypatch, [0.4, 0.3, 0.3, 0.0], [0.2, 0.5, 0.3, 0.0], [0.25, 0.25, 0.25, 0.25])
    windows = Few(np.array([0, 0, 0]))
    told = compare(SimpleNamespace(network=base, spec=before), sure, new, windows, windows)
    assert told.after["accuracy"] == pytest.approx(1 / 3), "what is less likely than 0.7 is uncertain"
    assert told.before["accuracy"] == pytest.approx(1 / 3)
    assert told.confusion["activities"] == ["sit", "fall", "other", "uncertain"]
    assert (told.confusion["after"][0], told.confusion["before"][0]) == ([1, 1, 0, 1], [1, 0, 1, 1])
    assert told.falls_called == {"after": 1, "before": 0}
