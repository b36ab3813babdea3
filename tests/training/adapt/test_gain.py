"""A model pays if it recognises something, no less than the one before, and of no activity much less."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

import numpy as np

from cosmo_runtime.training.adapt.gain import Comparison, _confusion


def activity(before, after):
    return {"windows": 20, "before": before, "after": after}


@pytest.mark.parametrize(
    ("before", "after", "accepted"),
    [(0.5, 0.6, True), (1.0, 1.0, True), (0.6, 0.5, False), (0.0, 0.0, False), (None, 0.1, True), (None, 0.0, False)],
)
def test_a_model_is_accepted_if_it_recognises_something_and_no_less(before, after, accepted):
    known = None if before is None else {"accuracy": before}
    assert Comparison(known, {"accuracy": after}, {}).accepted == accepted


def test_an_activity_that_falls_far_is_named_though_the_total_rose():
    activities = {"sit": activity(0.95, 1.0), "walk": activity(0.5, 0.0), "wave": activity(0.8, 0.6)}
    comparison = Comparison({"accuracy": 0.933}, {"accuracy": 0.942}, activities)
    assert not comparison.accepted
    assert comparison.regressions == [
        "recognises 0.0% of 'walk' instead of 50.0%, a fall of more than 20 percentage points"
    ]


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
    class Three:
        labels = np.array([0, 0, 2])

    after = np.array([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0], [0.0, 0.1, 0.9]])
    before = np.array([[0.1, 0.0, 0.0, 0.9], [0.9, 0.0, 0.0, 0.1], [0.0, 0.0, 1.0, 0.0]])  # the last is all others
    told = _confusion(Three, {"after": after, "before": before}, ["walk", "wave", "sit"])
    assert told["activities"] == ["walk", "wave", "sit", "other"]
    assert told["after"] == [[1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    assert told["before"] == [[1, 0, 0, 1], [0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
