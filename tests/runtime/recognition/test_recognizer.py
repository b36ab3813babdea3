from __future__ import annotations

import time
from dataclasses import replace
from typing import Callable, Dict, FrozenSet, List, Mapping, Tuple

import numpy as np
import pytest

from cosmo_runtime.models.bundle import Bundle
from cosmo_runtime.models.confidence import Reading
from cosmo_runtime.models.features import features
from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.runtime.engines.answers import BadAnswer
from cosmo_runtime.runtime.engines.onnxruntime import EngineError, OnnxRuntimeEngine
from cosmo_runtime.runtime.recognition.recognizer import MOST_REFUSED, Recognizer
from cosmo_runtime.runtime.windows.aligner import Aligner, Window
from cosmo_runtime.sensors.events import Event, Sample, StateChange
from cosmo_runtime.training.novelty import learn_novelty
from tests.runtime import rigs

Samples = Callable[..., List[Sample]]

_HOP_NS = 500_000_000
_MOVING = np.tile(np.array([[1.0], [-1.0]], np.float32), (10, 6))
_STILL = np.ones((20, 6), np.float32)


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
    arrays = {"imu": _MOVING} if present[0] else {}
    return Window(number * _HOP_NS, arrays, dict(zip(names, present)), number * _HOP_NS)


def _probabilities(recognizer: Recognizer, *numbers: int) -> List[List[float]]:
    return [list(recognizer.predict(_window(number)).probabilities.values()) for number in numbers]


def test_smoothing_leaves_a_share_of_the_window_before(tiny_bundle: Bundle) -> None:
    recognizer = Recognizer(tiny_bundle, _Scripted((0.8, 0.2, 0), (0.1, 0.9, 0), (0, 0, 1)), smoothing=0.3)
    first, second, third = _probabilities(recognizer, 2, 3, 4)
    assert first == pytest.approx([0.8, 0.2, 0])
    assert second == pytest.approx([0.7 * 0.1 + 0.3 * 0.8, 0.7 * 0.9 + 0.3 * 0.2, 0])
    assert third == pytest.approx([0.3 * second[0], 0.3 * second[1], 0.7])


def test_smoothing_goes_by_time_whatever_the_hop(tiny_bundle: Bundle) -> None:
    """After a change, windows of a fifth of the hop have come as far at the end of the hop as one window would."""
    walks, waves = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)
    often = Recognizer(tiny_bundle.at_hop(0.1), _Scripted(walks, *[waves] * 5), smoothing=0.3)
    for tenth in range(10, 16):
        names = {"imu": True, "depth": False, "radar": False}
        found = often.predict(Window(tenth * _HOP_NS // 5, {"imu": _MOVING}, names, 0))
    assert list(found.probabilities.values()) == pytest.approx([0.3, 0.7, 0])


def test_smoothing_starts_anew_after_a_gap(tiny_bundle: Bundle) -> None:
    recognizer = Recognizer(tiny_bundle, _Scripted((1, 0, 0), (0, 1, 0), (0, 0, 1)), smoothing=0.3)
    _, after_gap, next_one = _probabilities(recognizer, 2, 4, 5)
    assert after_gap == pytest.approx([0, 1, 0])
    assert next_one == pytest.approx([0, 0.3, 0.7])


def test_an_answer_that_is_none_is_refused_and_not_carried_on(tiny_bundle: Bundle) -> None:
    recognizer = Recognizer(tiny_bundle, _Scripted((1, 0, 0), (np.nan, 0, 0), (0, 1, 0), (0, 0, 1)), smoothing=0.3)
    recognizer.predict(_window(2), 0.001)
    with pytest.raises(BadAnswer, match="tiny: the model answers probabilities that are not finite"):
        recognizer.predict(_window(3), 0.001)
    after, next_one = _probabilities(recognizer, 4, 5)
    assert after == pytest.approx([0, 1, 0])
    assert next_one == pytest.approx([0, 0.3, 0.7])


def test_too_many_refused_answers_in_a_row_end_the_run(tiny_bundle: Bundle) -> None:
    bad = (np.nan, 0, 0)
    answers = [*[bad] * (MOST_REFUSED - 1), (1, 0, 0), *[bad] * MOST_REFUSED]
    recognizer = Recognizer(tiny_bundle, _Scripted(*answers))
    for number, answer in enumerate(answers[:-1]):
        if answer is bad:
            with pytest.raises(BadAnswer):
                recognizer.predict(_window(number), 0.001)
        else:
            recognizer.predict(_window(number), 0.001)
    with pytest.raises(EngineError, match=r"tiny: 10 windows in a row had no answer.*bundle rollback") as ended:
        recognizer.predict(_window(99), 0.001)
    assert not isinstance(ended.value, BadAnswer)


def test_answers_that_are_refused_for_a_moment_do_not_end_the_run_however_many_there_are(tiny_bundle: Bundle) -> None:
    recognizer = Recognizer(tiny_bundle.at_hop(0.05), _Scripted(*[(np.nan, 0, 0)] * 91))
    present = {"imu": True, "depth": False, "radar": False}
    for number in range(90):  # 4.45 s from the first to the last
        with pytest.raises(BadAnswer):
            recognizer.predict(Window(_HOP_NS * (10 + number) // 10, {"imu": _MOVING}, present, 0))
    with pytest.raises(EngineError, match="91 windows in a row"):
        recognizer.predict(Window(_HOP_NS * 10, {"imu": _MOVING}, present, 0))


def test_smoothing_can_be_switched_off(tiny_bundle: Bundle) -> None:
    recognizer = Recognizer(tiny_bundle, _Scripted((1, 0, 0), (0, 1, 0)), smoothing=0)
    assert _probabilities(recognizer, 2, 3)[1] == pytest.approx([0, 1, 0])


def test_below_the_threshold_the_activity_is_uncertain(tiny_bundle: Bundle) -> None:
    recognizer = Recognizer(
        tiny_bundle, _Scripted((0.3, 0.45, 0.25), (0.25, 0.5, 0.25)), min_confidence=0.5, smoothing=0
    )
    doubtful, certain = recognizer.predict(_window(2)), recognizer.predict(_window(3))
    assert doubtful.bundle == "tiny"
    assert (doubtful.activity, doubtful.confidence) == ("uncertain", pytest.approx(0.45))
    assert (certain.activity, certain.confidence) == ("wave", 0.5)


def test_a_bundle_has_its_own_threshold_and_temperature_and_the_run_may_overrule_the_threshold(
    tiny_bundle: Bundle,
) -> None:
    calibrated = replace(
        tiny_bundle, spec=tiny_bundle.spec.model_copy(update={"temperature": 2.0, "min_confidence": 0.8})
    )
    answers = (0.81, 0.09, 0.1)
    found = Recognizer(calibrated, _Scripted(answers)).predict(_window(2))
    softened = np.sqrt(answers) / np.sqrt(answers).sum()
    assert list(found.probabilities.values()) == pytest.approx(softened, rel=1e-5)
    assert found.activity == "uncertain"
    assert Recognizer(calibrated, _Scripted(answers), min_confidence=0.55).predict(_window(2)).activity == "walk"
    assert Recognizer(tiny_bundle, _Scripted(answers)).predict(_window(2)).activity == "walk"
    assert Recognizer(tiny_bundle, _Scripted((0.45, 0.3, 0.25))).predict(_window(2)).activity == "uncertain"


def test_answers_are_read_as_the_bundle_says_for_the_sensors_that_took_part(tiny_bundle: Bundle) -> None:
    alone = Reading(sensors=("imu",), expected={"walk": -2.0}, min_confidence=0.4)
    bundle = replace(
        tiny_bundle, spec=tiny_bundle.spec.model_copy(update={"min_confidence": 0.6, "readings": (alone,)})
    )
    answers = (0.7, 0.2, 0.1)
    every, imu = (
        Recognizer(bundle, _Scripted(answers)).predict(_window(2, present))
        for present in ((True, True, True), (True, False, False))
    )
    assert (every.activity, every.confidence) == ("walk", pytest.approx(0.7))
    shifted = np.array(answers) * [np.exp(-2), 1, 1]
    assert list(imu.probabilities.values()) == pytest.approx(shifted / shifted.sum(), rel=1e-5)
    assert imu.activity == "wave"
    assert (every.min_confidence, imu.min_confidence) == (0.6, 0.4)
    overruled = Recognizer(bundle, _Scripted(answers), min_confidence=0.9).predict(_window(2))
    assert (overruled.activity, overruled.min_confidence) == ("uncertain", 0.9)


def test_a_sensor_that_sleeps_or_is_not_worn_takes_no_part_in_the_reading(tiny_bundle: Bundle) -> None:
    first, second, third = tiny_bundle.spec.classes
    readings = (
        Reading(sensors=("imu",), expected={second: 9.0}),
        Reading(sensors=("depth", "radar"), expected={third: 9.0}),
    )
    bundle = replace(tiny_bundle, spec=tiny_bundle.spec.model_copy(update={"readings": readings}))

    def likeliest(imu: np.ndarray, asleep: FrozenSet[str] = frozenset(), doubt: float = 0.0) -> str:
        recognizer = Recognizer(bundle, _Scripted((0.5, 0.3, 0.2), (0.5, 0.3, 0.2)), smoothing=0)
        window = Window(2 * _HOP_NS, {"imu": imu}, dict.fromkeys(bundle.spec.sensors, True), 0)
        found = recognizer.predict(window, asleep=asleep, doubt=doubt).probabilities
        return max(found, key=lambda name: found[name])

    others = frozenset({"depth", "radar"})
    assert likeliest(_MOVING) == first
    assert likeliest(_MOVING, others) == second
    assert likeliest(_MOVING, others, doubt=1.0) == first  # then all are asked
    assert likeliest(0 * _MOVING) == third  # it lies on a table


def test_the_engine_is_told_which_sensors_are_present_and_sees_zeros_for_the_others(tiny_bundle: Bundle) -> None:
    engine = _Scripted((1, 0, 0))
    prediction = Recognizer(tiny_bundle, engine).predict(_window(2, (True, False, False)))
    (asked,) = engine.asked
    assert asked["presence"].tolist() == [1, 0, 0]
    assert (asked["imu"] == _MOVING).all()
    assert asked["depth"].shape == (5, 4, 6)
    assert not asked["depth"].any()
    assert not asked["radar"].any()
    assert prediction.weights == {"imu": 1, "depth": 0, "radar": 0}
    assert prediction.present == {"imu": True, "depth": False, "radar": False}


def _seen(number: int, imu: np.ndarray, moving: bool) -> Window:
    """A window of an IMU, and of a camera that sees something move or not."""
    depth = np.full((5, 4, 6), 3, np.float32)
    depth[3:] -= moving
    arrays = {"imu": imu, "depth": depth}
    return Window(number * _HOP_NS, arrays, {"imu": True, "depth": True, "radar": False}, 0)


def test_who_sleeps_is_asked_about_the_same_window_where_the_others_are_in_doubt(tiny_bundle: Bundle) -> None:
    engine = _Scripted((1, 0, 0), (0.6, 0.4, 0), (0, 1, 0), (0.1, 0.9, 0))
    recognizer = Recognizer(tiny_bundle, engine, smoothing=0.3)
    recognizer.predict(_window(2, (True, True, False)))
    asked_twice = recognizer.predict(_window(3, (True, True, False)), asleep=frozenset({"depth"}), doubt=0.8)
    sure = recognizer.predict(_window(4, (True, True, False)), asleep=frozenset({"depth"}), doubt=0.8)
    assert [list(asked["presence"]) for asked in engine.asked] == [[1, 1, 0], [1, 0, 0], [1, 1, 0], [1, 0, 0]]
    assert (asked_twice.asleep, sure.asleep) == (frozenset(), {"depth"})
    assert list(asked_twice.probabilities.values()) == pytest.approx([0.3, 0.7, 0])  # the first answer is forgotten


def test_where_nothing_moves_there_is_nobody_whatever_the_model_says(tiny_bundle: Bundle) -> None:
    found = Recognizer(tiny_bundle, _Scripted((0.97, 0.02, 0.01))).predict(_seen(2, _STILL, False))
    assert (found.activity, found.unworn) == ("nobody", {"imu"})
    assert "no sensor has shown anybody" in found.reason
    assert found.confidence == pytest.approx(0.97)


def test_an_imu_that_nobody_wears_leaves_the_fusion_and_comes_back_when_it_moves(tiny_bundle: Bundle) -> None:
    engine = _Scripted((1, 0, 0), (1, 0, 0), (1, 0, 0))
    recognizer = Recognizer(tiny_bundle, engine)
    lying, worn = recognizer.predict(_seen(2, _STILL, True)), recognizer.predict(_seen(3, _MOVING, True))
    assert [asked["presence"].tolist() for asked in engine.asked] == [[0, 1, 0], [1, 1, 0]]
    assert (lying.activity, lying.unworn, lying.weights["imu"]) == ("walk", {"imu"}, 0)
    assert lying.present == {"imu": True, "depth": True, "radar": False}
    assert not worn.unworn


def test_an_imu_alone_is_asked_even_if_nobody_wears_it(tiny_bundle: Bundle) -> None:
    engine = _Scripted((1, 0, 0))
    window = Window(2 * _HOP_NS, {"imu": _STILL}, {"imu": True, "depth": False, "radar": False}, 0)
    assert Recognizer(tiny_bundle, engine).predict(window).activity == "nobody"
    assert engine.asked[0]["presence"].tolist() == [1, 0, 0]


def test_a_fall_needs_somebody_who_moves_and_nothing_else_does(tiny_bundle: Bundle) -> None:
    classes = ("walk", "Fall", "none")
    bundle = replace(tiny_bundle, spec=tiny_bundle.spec.model_copy(update={"classes": classes}))
    falls, walks = (0.1, 0.8, 0.1), (0.8, 0.1, 0.1)
    recognizer = Recognizer(bundle, _Scripted(falls, falls, falls, walks, falls), smoothing=0)
    at = [recognizer.predict(_seen(number, _STILL, moving)) for number, moving in ((2, True), (22, False), (23, False))]
    assert [found.activity for found in at] == ["Fall", "Fall", "uncertain"]
    assert at[2].reason == "nothing has moved for 10 s, and nobody falls without moving"
    assert recognizer.predict(_seen(24, _STILL, False)).activity == "walk"
    assert recognizer.predict(_seen(25, _MOVING, False)).activity == "Fall"


def test_what_an_empty_room_looked_like_is_not_smoothed_into_who_enters(tiny_bundle: Bundle) -> None:
    recognizer = Recognizer(tiny_bundle, _Scripted((0, 1, 0), (1, 0, 0)), smoothing=0.3)
    assert recognizer.predict(_seen(2, _STILL, False)).activity == "nobody"
    assert recognizer.predict(_seen(3, _STILL, True)).confidence == 1


def test_what_the_model_has_never_seen_is_uncertain_and_said(tiny_bundle: Bundle) -> None:
    known = np.repeat([[0.98, 0.01, 0.01], [0.01, 0.98, 0.01]], 20, axis=0)
    known += np.random.default_rng(0).uniform(0, 0.004, known.shape)
    novelty = learn_novelty(known, np.repeat([0, 1], 20), known)
    bundle = replace(tiny_bundle, spec=tiny_bundle.spec.model_copy(update={"novelty": novelty}))
    recognizer = Recognizer(bundle, _Scripted((0.98, 0.01, 0.01), (0.6, 0.3, 0.1)), smoothing=0)
    usual, new = recognizer.predict(_window(2)), recognizer.predict(_window(3))
    assert (usual.activity, usual.reason) == ("walk", "")
    assert usual.novelty is not None
    assert usual.novelty < 1
    assert (new.activity, new.reason) == ("uncertain", "it is like nothing that the model has learned")
    assert new.novelty is not None
    assert new.novelty > 1
    assert Recognizer(tiny_bundle, _Scripted((0.98, 0.01, 0.01))).predict(_window(2)).novelty is None


def test_latency_is_the_wait_and_the_work_of_which_the_engine_is_a_part(tiny_bundle: Bundle) -> None:
    recognizer = Recognizer(tiny_bundle, _Scripted((1, 0, 0), takes_s=0.03))
    prediction = recognizer.predict(_window(2), waited_ns=7_000_000)
    assert prediction.engine_ms >= 29
    assert prediction.latency_ms >= prediction.engine_ms + 7


def test_windows_of_real_streams_are_answered_by_the_real_engine(
    spec: ModelSpec, tiny_bundle: Bundle, samples: Samples
) -> None:
    aligner = Aligner(spec, rigs.infos(imu=100, depth=15, radar=20))
    events: List[Event] = [StateChange(name, 0, "ok") for name in spec.sensors]
    events += [sample for name in spec.sensors for sample in samples(name, 0, 1.2)]
    (window,) = aligner.windows(events)
    prediction = Recognizer(tiny_bundle, OnnxRuntimeEngine(tiny_bundle.onnx)).predict(window)

    inputs: Dict[str, np.ndarray] = features(spec, window.arrays)
    scores = np.exp([inputs[name].mean() for name in spec.sensors])
    assert list(prediction.probabilities) == ["walk", "wave", "none"]
    np.testing.assert_allclose(list(prediction.probabilities.values()), scores / scores.sum(), rtol=1e-4)
    assert prediction.weights == pytest.approx(dict.fromkeys(spec.sensors, 1 / 3))
    assert prediction.activity == "wave"  # the depth is in metres, the noise of the others has mean 0
    assert 0 < prediction.engine_ms <= prediction.latency_ms
