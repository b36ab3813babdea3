"""Readings of answers that are known: what is expected of people who were held out."""

from __future__ import annotations

from typing import Dict, Sequence, Tuple

import numpy as np
import pytest

pytest.importorskip("torch")

from cosmo_runtime.training import readings
from cosmo_runtime.training.benchmark.everyday import FALL, NONE, said, says_fall
from cosmo_runtime.training.datasets.everyday import CLASSES, everyday_spec
from cosmo_runtime.training.windows import Windows

SPEC = everyday_spec()
WAVE = CLASSES.index("wave")
N = 400
RISK = 0.05


def windows_of(labels: np.ndarray) -> Windows:
    n = len(labels)
    features = {name: np.zeros((n, 1), np.float32) for name in SPEC.sensors}
    return Windows(features, np.ones((n, 3), bool), labels, np.zeros(n), np.full(n, "x"))


def answers(labels: np.ndarray, right: Dict[int, float], bias: Dict[int, float]) -> np.ndarray:
    """Probabilities (N, classes) in which the true activity's logit stands out, more or less, and some are biased."""
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(len(labels), len(CLASSES)))
    logits[np.arange(len(labels)), labels] += np.array([right[label] for label in labels])
    for activity, by in bias.items():
        logits[:, activity] += by
    shares: np.ndarray = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return shares


@pytest.fixture
def chosen(monkeypatch: pytest.MonkeyPatch) -> Tuple[Sequence, np.ndarray, np.ndarray, Windows, np.ndarray]:
    """Readings for a model that answers `none` and falls too often, and what it was asked."""
    real = windows_of(np.where(np.arange(N) % 3 == 0, WAVE, NONE))
    made_up = windows_of(np.where(np.arange(N) % 40 < 4, FALL, WAVE))
    right = {WAVE: 3.0, NONE: 3.0, FALL: 6.0}
    said_of = {
        "real": answers(real.labels, right, {NONE: 3.0}),
        "made up": answers(made_up.labels, right, {FALL: 4.0}),
    }

    class Known:
        def __init__(self, network: object, windows: Windows) -> None:
            self._which = "made up" if FALL in windows.labels else "real"

        def __call__(self, subset: Sequence[bool]) -> Tuple[np.ndarray, np.ndarray]:
            return said_of[self._which], np.ones(N, bool)

    monkeypatch.setattr(readings, "Answers", Known)
    held_out = [readings.HeldOut(None, real, made_up)]  # type: ignore[arg-type]
    found = readings.choose_readings(SPEC, held_out, RISK)
    return found, said_of["real"], real.labels, made_up, said_of["made up"]


def test_every_set_of_sensors_has_a_reading(chosen: tuple) -> None:
    sets = {frozenset(reading.sensors) for reading in chosen[0]}
    assert len(sets) == len(chosen[0]) == 7
    SPEC.model_validate({**SPEC.model_dump(), "readings": [reading.model_dump() for reading in chosen[0]]})


def test_none_is_expected_less_where_it_is_answered_too_often(chosen: tuple) -> None:
    reading, probabilities, labels = chosen[0][0], *chosen[1:3]

    def worth(answer: np.ndarray) -> float:
        named = labels != NONE
        return float(2 * (answer == labels)[named].mean() - (answer != NONE)[~named].mean())

    assert reading.expected["none"] < -1
    read = reading.of(probabilities, CLASSES)
    assert worth(read.argmax(1)) > worth(probabilities.argmax(1)) + 0.1
    predicted, sure = said(reading, read)
    assert 0 < (predicted != labels)[sure].mean() <= RISK < (predicted != labels).mean()


def test_a_fall_is_expected_as_far_as_false_ones_allow(chosen: tuple) -> None:
    reading, made_up, probabilities = chosen[0][0], *chosen[3:]

    def false(shift: float) -> int:
        expected = {**reading.expected, "fall": reading.expected["fall"] + shift}
        spec = SPEC.model_copy(update={"readings": (reading.model_copy(update={"expected": expected}),)})
        return readings.falls_among(made_up, says_fall(spec, (True, True, True), probabilities)).false

    allowed = readings.FALSE_FALLS_PER_HOUR * N * SPEC.hop_s / 3600
    assert false(0.0) <= allowed < false(0.25)
