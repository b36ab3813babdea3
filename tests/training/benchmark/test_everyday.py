"""The figures of a model of everyday activities, of answers that are known."""

from __future__ import annotations

from typing import Sequence, Tuple

import numpy as np
import pytest

pytest.importorskip("torch")

from cosmo_runtime.models.confidence import Reading
from cosmo_runtime.training.benchmark import everyday
from cosmo_runtime.training.datasets.everyday import CLASSES, everyday_spec
from cosmo_runtime.training.windows import UNLABELLED, Windows

SPEC = everyday_spec().model_copy(
    update={
        "readings": (
            Reading(sensors=("depth",), min_confidence=0.9),
            Reading(sensors=("radar",), expected={"fall": -5.0}),
            Reading(sensors=("depth", "radar"), expected={"wave": -5.0}),
        )
    }
)
"""Camera alone is never sure enough, radar alone expects no fall, and nobody waves without an IMU."""
SLOW = SPEC.model_copy(update={"hop_s": 300.0})
FALL, NONE, WAVE, WALK = (CLASSES.index(name) for name in ("fall", "none", "wave", "walk"))


def said(monkeypatch: pytest.MonkeyPatch, answers: Sequence[int]) -> None:
    """Makes every network answer this, with a probability of 0.8."""

    class Known:
        def __init__(self, network: object, windows: Windows) -> None:
            self._presence = windows.presence

        def __call__(self, subset: Sequence[bool]) -> Tuple[np.ndarray, np.ndarray]:
            probabilities = np.full((len(answers), len(CLASSES)), 0.2 / (len(CLASSES) - 1))
            probabilities[np.arange(len(answers)), answers] = 0.8
            return probabilities, self._presence & np.array(subset)

    monkeypatch.setattr(everyday, "Answers", Known)


def windows_of(labels: Sequence[int], imu: Sequence[bool] = ()) -> Windows:
    n = len(labels)
    presence = np.ones((n, 3), bool)
    presence[:, 0] = imu or True
    features = {name: np.zeros((n, 1), np.float32) for name in ("imu", "depth", "radar")}
    return Windows(features, presence, np.array(labels), np.zeros(n), np.full(n, "x"))


def test_real_people(monkeypatch: pytest.MonkeyPatch) -> None:
    said(monkeypatch, [WAVE, NONE, WALK, NONE, FALL])
    people = windows_of([WAVE, WAVE, WALK, NONE, NONE], imu=[True, True, False, True, True])
    figures = everyday.of_real_people(None, people, SPEC)  # type: ignore[arg-type]
    every, alone = figures["all sensors"], figures["with the IMU alone"]
    assert (every["windows"], every["like-named windows"], every["right"]) == (5, 3, pytest.approx(2 / 3))
    assert every["called ours"] == every["called ours, still apart"] == 0.5
    assert every["ECE"] == pytest.approx(abs(3 / 5 - 0.8), abs=0.005)
    assert every["by activity"] == {"walk": 1.0, "wave": 0.5, "none": 0.5}
    assert (alone["windows"], alone["right, wrist actions"]) == (4, 0.5)
    assert (every["answered"], every["right and said"]) == (1.0, pytest.approx(2 / 3))
    assert every["wrong of the answered"] == pytest.approx(2 / 5)


def test_answers_are_read_by_the_sensors_that_a_window_has(monkeypatch: pytest.MonkeyPatch) -> None:
    said(monkeypatch, [WAVE, WAVE, NONE])
    people = windows_of([WAVE, WAVE, NONE], imu=[True, False, True])
    figures = everyday.of_real_people(None, people, SPEC)  # type: ignore[arg-type]
    assert figures["all sensors"]["right"] == 0.5
    assert figures["without the IMU"]["right"] == 0.0
    camera = figures["with depth alone"]
    assert (camera["right"], camera["right and said"], camera["answered"]) == (1.0, 0.0, 0.0)
    assert camera["wrong of the answered"] == 0.0


def test_falls_are_found_by_any_of_their_windows_and_a_late_call_is_no_false_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    truth = [WALK, WALK, FALL, FALL, UNLABELLED, WALK, WALK, WALK, WALK, WALK, FALL, WALK]
    calls = [WALK, WALK, WALK, FALL, FALL, WALK, WALK, WALK, WALK, WALK, WALK, WALK]
    said(monkeypatch, calls)
    figures = everyday.of_simulated_people(None, windows_of(truth), SLOW)["all sensors"]  # type: ignore[arg-type]
    assert (figures["falls"], figures["falls found"], figures["false falls an hour"]) == (2, 0.5, 0)
    calls[7] = FALL
    said(monkeypatch, calls)
    near_the_second = everyday.of_simulated_people(None, windows_of(truth), SLOW)  # type: ignore[arg-type]
    assert near_the_second["all sensors"]["false falls an hour"] == 0
    said(monkeypatch, [FALL, *[WALK] * 11])
    far = everyday.of_simulated_people(None, windows_of([WALK] * 12), SLOW)  # type: ignore[arg-type]
    assert far["all sensors"]["false falls an hour"] == 1


def test_calls_of_falls_are_counted_where_a_sensor_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    said(monkeypatch, [FALL, FALL, WALK])
    people = windows_of([UNLABELLED, WAVE, WAVE], imu=[False, True, True])
    called = everyday.falls_called(None, people, SPEC)  # type: ignore[arg-type]
    assert (called["all sensors"], called["with the IMU alone"]) == (2, 1)
    assert (called["with depth alone"], called["with radar alone"]) == (0, 0)
