from __future__ import annotations

import time
from typing import Any, Callable, Dict, List, Tuple

import numpy as np
import pytest

from cosmo_runtime.models.bundle import Bundle
from cosmo_runtime.runtime.engines.onnxruntime import OnnxRuntimeEngine
from cosmo_runtime.runtime.recognition.loop import Outcome, Sink, recognise
from cosmo_runtime.sensors.events import Sample
from cosmo_runtime.sensors.sensor import Sensor, SensorInfo
from cosmo_runtime.tools.measure.stages import STAGES, Stages
from tests.runtime.rigs import infos

# Each part is made slow, by an amount that no other part has.
_DRIVER_S, _ALIGN_S, _FEATURES_S, _ENGINE_S, _SINK_S = 0.06, 0.05, 0.04, 0.03, 0.02


class _SlowImu(Sensor):
    """50 samples a second, each read whole some time after its first byte."""

    def __init__(self) -> None:
        self.info = SensorInfo("imu", "a slow IMU", 50)

    def connect(self) -> None: ...

    def read(self, timeout_s: float) -> List[Sample]:
        time.sleep(0.02)
        now_ns = time.monotonic_ns()
        arrival_ns = now_ns - round(_DRIVER_S * 1e9)
        return [Sample("imu", arrival_ns, arrival_ns, np.ones(9, np.float32))]

    def disconnect(self) -> None: ...


class _SlowEngine(OnnxRuntimeEngine):
    def infer(self, inputs: Any) -> Tuple[np.ndarray, np.ndarray]:
        time.sleep(_ENGINE_S)
        return super().infer(inputs)


class _SlowSink(Sink):
    def outcome(self, outcome: Outcome) -> None:
        time.sleep(_SINK_S)


def _run(
    stages: Stages, bundle: Bundle, monkeypatch: pytest.MonkeyPatch, until: Callable[[], bool], most_s: float = 60
) -> None:
    from cosmo_runtime.runtime.recognition import recognizer
    from cosmo_runtime.runtime.windows import aligner

    cut, features = aligner.Aligner._cut, recognizer.features

    def slow_cut(*arguments: Any, **named: Any) -> Any:
        time.sleep(_ALIGN_S)
        return cut(*arguments, **named)

    def slow_features(*arguments: Any) -> Dict[str, np.ndarray]:
        time.sleep(_FEATURES_S)
        return features(*arguments)

    monkeypatch.setattr(aligner.Aligner, "_cut", slow_cut)
    monkeypatch.setattr(recognizer, "features", slow_features)
    with stages.source([_SlowImu()]) as source:
        end_s = time.monotonic() + most_s

        def events() -> Any:
            for event in source.events():
                if until() or time.monotonic() > end_s:
                    return
                yield event

        recognise(
            events(),
            stages.aligner(bundle.spec, infos(imu=50)),
            stages.recognizer(bundle, _SlowEngine(bundle.onnx)),
            {"imu": SensorInfo("imu", "", 50)},
            [_SlowSink(), stages],
            live=True,
        )


def test_the_time_of_each_part_is_told_apart(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    stages = Stages()
    made = {"driver": _DRIVER_S, "align": _ALIGN_S, "features": _FEATURES_S, "engine": _ENGINE_S, "sink": _SINK_S}

    def least_ms() -> Dict[str, float]:
        return dict(zip(STAGES, np.min(stages.times_ms, axis=0)))

    def is_told() -> bool:  # sooner or later, however busy the machine is
        if len(stages.times_ms) < 3:
            return False
        least = least_ms()
        return least["wait"] <= 25 and all(least[stage] < 1e3 * seconds + 10 for stage, seconds in made.items())

    _run(stages, tiny_bundle, monkeypatch, is_told)
    assert is_told(), least_ms()
    least = least_ms()
    for stage, seconds in made.items():
        assert 1e3 * seconds <= least[stage], stage
    assert least["wait"] >= 0  # up to the next sample after the window's end
    assert least["buffer"] > 0


def test_windows_that_no_sample_closed_are_left_out(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    stages = Stages()
    source = stages.source([])
    stages.aligner(tiny_bundle.spec, {})
    stages.recognizer(tiny_bundle, OnnxRuntimeEngine(tiny_bundle.onnx))
    source.handed_ns = 0  # as after a tick
    stages.outcome(None)  # type: ignore[arg-type]
    assert (stages.times_ms, stages.left_out) == ([], 1)
