"""Readings of answers that are known: what is expected of people who were held out."""

from __future__ import annotations

from typing import Dict, List, NamedTuple, Sequence, Tuple

import numpy as np
import pytest

pytest.importorskip("torch")

from cosmo_runtime.models.confidence import Reading
from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.training import readings
from cosmo_runtime.training.benchmark.everyday import FALL_LABEL, NONE_LABEL, falls_among, says_fall
from cosmo_runtime.training.datasets.everyday import CLASSES, everyday_spec
from cosmo_runtime.training.windows import Windows

SPEC = everyday_spec()
WAVE = CLASSES.index("wave")
N = 400
RISK = 0.05
EVERY, NO_IMU = (True, True, True), (False, True, True)


def windows_of(labels: np.ndarray, presence: np.ndarray) -> Windows:
    features = {name: np.zeros((len(labels), 1), np.float32) for name in SPEC.sensors}
    return Windows(features, presence, labels, np.zeros(len(labels)), np.full(len(labels), "x"))


def answers(labels: np.ndarray, bias: Dict[int, float], seed: int) -> np.ndarray:
    """Probabilities (N, classes) in which the true activity's logit stands out, and some are biased."""
    logits = np.random.default_rng(seed).normal(size=(len(labels), len(CLASSES)))
    logits[np.arange(len(labels)), labels] += np.where(labels == FALL_LABEL, 6.0, 3.0)
    for activity, by in bias.items():
        logits[:, activity] += by
    shares: np.ndarray = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return shares


class Known:
    """A network that answers `none` too often with all sensors, too seldom without the IMU, and falls too often.

    Where it lacks the IMU though it is asked for, it only says `none`: such a window must not count for this set.
    """

    def __init__(self, seed: int, windows: Windows) -> None:
        self._windows, self._seed = windows, seed

    def __call__(self, subset: Sequence[bool]) -> Tuple[np.ndarray, np.ndarray]:
        presence = self._windows.presence & np.array(subset)
        falling = FALL_LABEL in self._windows.labels
        bias = {FALL_LABEL: 4.0 if subset[0] else 2.0} if falling else {NONE_LABEL: 3.0 if subset[0] else -2.0}
        shares = answers(self._windows.labels, bias, self._seed)
        shares[~presence[:, 0] & subset[0]] = np.eye(len(CLASSES))[NONE_LABEL]
        return shares, presence


class Chosen(NamedTuple):
    spec: ModelSpec
    real: List[Tuple[Known, Windows]]
    made_up: List[Tuple[Known, Windows]]


@pytest.fixture
def chosen(monkeypatch: pytest.MonkeyPatch) -> Chosen:
    """Readings by the answers of two networks."""
    presence = np.ones((N, 3), bool)
    presence[::5, 0] = False
    real = windows_of(np.where(np.arange(N) % 3 == 0, WAVE, NONE_LABEL), presence)
    made_up = windows_of(np.where(np.arange(N) % 40 < 4, FALL_LABEL, WAVE), np.ones((N, 3), bool))
    monkeypatch.setattr(readings, "Answers", Known)
    held_out = [readings.HeldOut(seed, real, made_up) for seed in (1, 2)]  # type: ignore[arg-type]
    found = readings.choose_readings(SPEC, held_out, RISK)
    spec = ModelSpec.model_validate({**SPEC.model_dump(), "readings": [reading.model_dump() for reading in found]})
    return Chosen(spec, *([(Known(seed, of), of) for seed in (1, 2)] for of in (real, made_up)))


def test_every_set_of_sensors_has_a_reading(chosen: Chosen) -> None:
    assert len({frozenset(reading.sensors) for reading in chosen.spec.readings}) == 7


@pytest.mark.parametrize("subset", [EVERY, NO_IMU])
def test_none_is_expected_as_it_is_answered_too_often_or_too_seldom(chosen: Chosen, subset: tuple) -> None:
    reading = chosen.spec.reading(subset)
    asked = [(known(subset), windows.labels) for known, windows in chosen.real]
    exact = [(presence == subset).all(1) for (_, presence), _ in asked]
    shares = np.concatenate([shares[whole] for ((shares, _), _), whole in zip(asked, exact)])
    labels = np.concatenate([labels[whole] for (_, labels), whole in zip(asked, exact)])

    def worth(read: np.ndarray) -> float:
        named, answer = labels != NONE_LABEL, read.argmax(1)
        return float(2 * (answer == labels)[named].mean() - (answer != NONE_LABEL)[~named].mean())

    without_falls = reading.model_copy(update={"expected": {"none": reading.expected["none"]}})
    read = without_falls.of(shares, CLASSES)
    assert reading.expected["none"] * (1 if subset[0] else -1) < -1
    assert worth(read) > worth(shares) + 0.1
    for shift in (-0.25, 0.25):
        other = Reading(sensors=reading.sensors, expected={"none": reading.expected["none"] + shift})
        assert worth(read) >= worth(other.of(shares, CLASSES))
    wrong, sure = read.argmax(1) != labels, read.max(1) >= reading.threshold
    assert 0 < wrong[sure].mean() <= RISK < wrong.mean()


@pytest.mark.parametrize("subset", [EVERY, NO_IMU])
def test_a_fall_is_expected_as_far_as_false_ones_allow(chosen: Chosen, subset: tuple) -> None:
    reading = chosen.spec.reading(subset)

    def false(shift: float) -> int:
        expected = {**reading.expected, "fall": reading.expected["fall"] + shift}
        spec = SPEC.model_copy(update={"readings": (reading.model_copy(update={"expected": expected}),)})
        calls = [(people, says_fall(spec, *known(subset))) for known, people in chosen.made_up]
        return sum(falls_among(people, called).false for people, called in calls)

    allowed = readings.FALSE_FALLS_PER_HOUR * 2 * N * SPEC.hop_s / 3600
    assert false(0.0) <= allowed < false(0.25)


def test_a_model_that_calls_falls_whatever_is_expected_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    windows = windows_of(np.where(np.arange(N) % 3 == 0, WAVE, NONE_LABEL), np.ones((N, 3), bool))

    class Falls(Known):
        def __call__(self, subset: Sequence[bool]) -> Tuple[np.ndarray, np.ndarray]:
            return np.tile(np.eye(len(CLASSES))[FALL_LABEL], (N, 1)), np.ones((N, 3), bool) & np.array(subset)

    monkeypatch.setattr(readings, "Answers", Falls)
    monkeypatch.setattr(readings, "FALSE_FALLS_PER_HOUR", -1.0)
    with pytest.raises(readings.ReadingsError, match=r"imu, depth, radar: .* false falls"):
        readings.choose_readings(SPEC, [readings.HeldOut(1, windows, windows)], RISK)  # type: ignore[arg-type]
