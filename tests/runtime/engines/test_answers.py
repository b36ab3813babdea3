from __future__ import annotations

from pathlib import Path
from typing import Callable, Dict, List, Mapping, Tuple

import numpy as np
import pytest

from cosmo_runtime.models.bundle import Bundle
from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.runtime.engines.answers import BadAnswer, answer_of, check_engine
from cosmo_runtime.runtime.engines.onnxruntime import EngineError, OnnxRuntimeEngine

Answer = Tuple[np.ndarray, np.ndarray]


class _Engine:
    """Answers well, but for what a test changes."""

    name, precision = "made up", "fp32"

    def __init__(self, change: Callable[[np.ndarray, np.ndarray, np.ndarray], Answer]) -> None:
        self._change = change
        self.asked: List[Mapping[str, np.ndarray]] = []

    def infer(self, inputs: Mapping[str, np.ndarray]) -> Answer:
        self.asked.append(inputs)
        presence = inputs["presence"]
        return self._change(np.array([0.5, 0.25, 0.25], np.float32), presence / presence.sum(), presence)


def _inputs(*presence: int) -> Dict[str, np.ndarray]:
    return {"presence": np.array(presence, np.float32)}


@pytest.mark.parametrize(
    ("probabilities", "words"),
    [
        ([np.nan, 0.5, 0.5], "probabilities that are not finite"),
        ([np.inf, 0, 0], "probabilities that are not finite"),
        ([1.2, -0.2, 0], "probabilities that are negative"),
        ([0.2, 0.2, 0.2], "probabilities that are negative or do not sum to 1"),
        ([0.5, 0.5], r"answers in the shapes \[\(2,\), \(3,\)\]"),
    ],
)
def test_an_answer_that_is_no_distribution_is_refused(spec: ModelSpec, probabilities: List[float], words: str) -> None:
    engine = _Engine(lambda good, weights, _: (np.array(probabilities, np.float32), weights))
    with pytest.raises(BadAnswer, match=words):
        answer_of(engine, spec, _inputs(1, 1, 1))


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ([np.nan, 0.5, 0.5], "fusion weights that are not finite"),
        ([1, 1, 1], "fusion weights that are negative or do not sum"),
        ([0.5, 0.5, 0], "weight to a sensor that is absent"),
    ],
)
def test_weights_are_checked_as_well(spec: ModelSpec, weights: List[float], words: str) -> None:
    engine = _Engine(lambda good, *_: (good, np.array(weights, np.float32)))
    with pytest.raises(BadAnswer, match=words):
        answer_of(engine, spec, _inputs(1, 0, 1))


def test_rounding_of_half_precision_is_no_fault(spec: ModelSpec) -> None:
    engine = _Engine(lambda good, weights, _: (good * 1.003, weights * 0.998))
    probabilities, weights = answer_of(engine, spec, _inputs(0, 1, 1))
    assert probabilities.tolist() == pytest.approx([0.5015, 0.25075, 0.25075])
    assert weights.tolist() == pytest.approx([0, 0.499, 0.499])


def test_every_combination_of_sensors_is_asked_for_with_and_without_measurements(tiny_bundle: Bundle) -> None:
    engine = _Engine(lambda good, weights, _: (good, weights))
    check_engine(engine, tiny_bundle)
    presences = {tuple(inputs["presence"].astype(int)) for inputs in engine.asked}
    assert presences == {(a, b, c) for a in (0, 1) for b in (0, 1) for c in (0, 1)} - {(0, 0, 0)}
    assert len(engine.asked) == 14
    for inputs in engine.asked:
        for name, present in zip(tiny_bundle.spec.sensors, inputs["presence"]):
            assert present or not inputs[name].any()
    assert sum(bool(inputs["imu"].any()) for inputs in engine.asked) == 4


def test_what_fails_only_while_a_sensor_is_absent_is_found(tiny_bundle: Bundle) -> None:
    engine = _Engine(lambda good, weights, presence: (good if presence[1] else good * np.nan, weights))
    with pytest.raises(BadAnswer, match=r"tiny: its model, with imu, radar present, answers prob.* not finite"):
        check_engine(engine, tiny_bundle)


def test_an_exception_of_an_engine_is_an_error_with_a_name(tiny_bundle: Bundle) -> None:
    def fail(*_: np.ndarray) -> Answer:
        raise MemoryError("no memory")

    with pytest.raises(EngineError, match="tiny: its model does not run with imu, depth, radar present: no memory"):
        check_engine(_Engine(fail), tiny_bundle)


def test_a_real_model_that_divides_by_what_is_absent_is_found(
    tiny_bundle: Bundle, tiny_onnx: Path, tmp_path: Path
) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(tiny_onnx.read_bytes().replace(b"Mul", b"Div"))  # by the presence, which may be 0
    with pytest.raises(BadAnswer, match="with imu, depth present, answers probabilities that are not finite"):
        check_engine(OnnxRuntimeEngine(file), tiny_bundle)
    check_engine(OnnxRuntimeEngine(tiny_onnx), tiny_bundle)
