from __future__ import annotations

import time
from typing import Callable, Dict, List, Mapping, Tuple

import numpy as np
import pytest

from models.bundle import Bundle
from models.features import features
from models.spec import ModelSpec
from runtime.aligner import Aligner, Window
from runtime.engine import OnnxRuntimeEngine
from runtime.recognizer import Recognizer
from sensors.events import Event, Sample, StateChange

Samples = Callable[..., List[Sample]]

_HOP_NS = 500_000_000


class _Scripted(OnnxRuntimeEngine):
    """An engine that answers what it was told to, and remembers what it was asked."""

    def __init__(self, *answers: Tuple[float, float, float], takes_s: float = 0.0) -> None:
        self._answers = list(answers)
        self._takes_s = takes_s
        self.asked: List[Mapping[str, np.ndarray]] = []

    def infer(self, inputs: Mapping[str, np.ndarray]) -> Tuple[np.ndarray, np.ndarray]:
        time.sleep(self._takes_s)
        self.asked.append(inputs)
        present = inputs["presence"]
        return np.array(self._answers.pop(0), np.float32), present / present.sum()


def _window(number: int, present: Tuple[bool, bool, bool] = (True, False, False)) -> Window:
    names = ("imu", "depth", "radar")
    arrays = {"imu": np.ones((20, 6), np.float32)} if present[0] else {}
    return Window(number * _HOP_NS, arrays, dict(zip(names, present)), number * _HOP_NS)


def _probabilities(recognizer: Recognizer, *numbers: int) -> List[List[float]]:
    return [list(recognizer.predict(_window(number), 0.001).probabilities.values()) for number in numbers]


def test_smoothing_leaves_a_share_of_the_window_before(tiny_bundle: Bundle) -> None:
    recognizer = Recognizer(tiny_bundle, _Scripted((0.8, 0.2, 0), (0.1, 0.9, 0), (0, 0, 1)), smoothing=0.3)
    first, second, third = _probabilities(recognizer, 2, 3, 4)
    assert first == pytest.approx([0.8, 0.2, 0])
    assert second == pytest.approx([0.7 * 0.1 + 0.3 * 0.8, 0.7 * 0.9 + 0.3 * 0.2, 0])
    assert third == pytest.approx([0.3 * second[0], 0.3 * second[1], 0.7])


def test_smoothing_starts_anew_after_a_gap(tiny_bundle: Bundle) -> None:
    recognizer = Recognizer(tiny_bundle, _Scripted((1, 0, 0), (0, 1, 0), (0, 0, 1)), smoothing=0.3)
    _, after_gap, next_one = _probabilities(recognizer, 2, 4, 5)
    assert after_gap == pytest.approx([0, 1, 0])
    assert next_one == pytest.approx([0, 0.3, 0.7])


def test_an_answer_that_is_no_number_is_not_carried_on(tiny_bundle: Bundle) -> None:
    recognizer = Recognizer(tiny_bundle, _Scripted((1, 0, 0), (np.nan, 0, 0), (0, 1, 0), (0, 0, 1)), smoothing=0.3)
    *_, after, next_one = _probabilities(recognizer, 2, 3, 4, 5)
    assert after == pytest.approx([0, 1, 0])
    assert next_one == pytest.approx([0, 0.3, 0.7])


def test_smoothing_can_be_switched_off(tiny_bundle: Bundle) -> None:
    recognizer = Recognizer(tiny_bundle, _Scripted((1, 0, 0), (0, 1, 0)), smoothing=0)
    assert _probabilities(recognizer, 2, 3)[1] == pytest.approx([0, 1, 0])


def test_below_the_threshold_the_activity_is_uncertain(tiny_bundle: Bundle) -> None:
    recognizer = Recognizer(
        tiny_bundle, _Scripted((0.3, 0.45, 0.25), (0.25, 0.5, 0.25)), min_confidence=0.5, smoothing=0
    )
    doubtful, certain = recognizer.predict(_window(2), 0.001), recognizer.predict(_window(3), 0.001)
    assert doubtful.bundle == "tiny"
    assert (doubtful.activity, doubtful.confidence) == ("uncertain", pytest.approx(0.45))
    assert (certain.activity, certain.confidence) == ("wave", 0.5)


def test_the_engine_is_told_which_sensors_are_present_and_sees_zeros_for_the_others(tiny_bundle: Bundle) -> None:
    engine = _Scripted((1, 0, 0))
    prediction = Recognizer(tiny_bundle, engine).predict(_window(2, (True, False, False)), 0.001)
    (asked,) = engine.asked
    assert asked["presence"].tolist() == [1, 0, 0]
    assert (asked["imu"] == 1).all()
    assert asked["depth"].shape == (5, 4, 6)
    assert not asked["depth"].any()
    assert not asked["radar"].any()
    assert prediction.weights == {"imu": 1, "depth": 0, "radar": 0}
    assert prediction.present == {"imu": True, "depth": False, "radar": False}


def test_latency_is_the_wait_and_the_work_of_which_the_engine_is_a_part(tiny_bundle: Bundle) -> None:
    recognizer = Recognizer(tiny_bundle, _Scripted((1, 0, 0), takes_s=0.03))
    prediction = recognizer.predict(_window(2), 0.001, waited_ns=7_000_000)
    assert prediction.engine_ms >= 29
    assert prediction.latency_ms >= prediction.engine_ms + 7


def test_windows_of_real_streams_are_answered_by_the_real_engine(
    spec: ModelSpec, tiny_bundle: Bundle, samples: Samples
) -> None:
    aligner = Aligner(spec, {"imu": 100, "depth": 15, "radar": 20})
    events: List[Event] = [StateChange(name, 0, "ok") for name in spec.sensors]
    events += [sample for name in spec.sensors for sample in samples(name, 0, 1.2)]
    (window,) = [window for event in events for window in aligner.feed(event)]
    prediction = Recognizer(tiny_bundle, OnnxRuntimeEngine(tiny_bundle.onnx)).predict(window, depth_scale_m=0.001)

    inputs: Dict[str, np.ndarray] = features(spec, window.arrays, 0.001)
    scores = np.exp([inputs[name].mean() for name in spec.sensors])
    assert list(prediction.probabilities) == ["walk", "wave", "none"]
    np.testing.assert_allclose(list(prediction.probabilities.values()), scores / scores.sum(), rtol=1e-4)
    assert prediction.weights == pytest.approx(dict.fromkeys(spec.sensors, 1 / 3))
    assert prediction.activity == "wave"  # the depth is in metres, the noise of the others has mean 0
    assert 0 < prediction.engine_ms <= prediction.latency_ms
