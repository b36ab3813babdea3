from __future__ import annotations

import time
from itertools import cycle

import numpy as np
import pytest

pytest.importorskip("torch")

from rich.progress import Progress

from cosmo_runtime.models.spec import ModalitySpec, ModelSpec
from cosmo_runtime.tools.measure import energy, overhead
from cosmo_runtime.tools.measure.energy import Source
from cosmo_runtime.training.windows import Windows


@pytest.fixture
def spec() -> ModelSpec:
    modalities = (
        ModalitySpec(sensor="imu", rate_hz=20, shape=(6,)),
        ModalitySpec(sensor="skeleton", rate_hz=10, shape=(20, 3)),
    )
    return ModelSpec(modalities=modalities, window_s=2, hop_s=2, classes=("a", "b"), quality=(0.5, 0.5))


def _windows(spec: ModelSpec, number: int) -> Windows:
    random = np.random.default_rng(0)
    features = [{m.sensor: random.normal(size=(spec.steps(m), *m.shape)) for m in spec.modalities}] * number
    return Windows.stack(spec, features, np.ones((number, 2)), [0, 1] * (number // 2), [0] * number, ["r"] * number)


def test_all_methods_learn_from_the_same_labels_in_turns(spec, monkeypatch):
    calls = []
    for name, method in overhead.METHODS.items():

        def watched(lesson, name=name, method=method):
            calls.append((name, len(lesson.windows), lesson.budget.epochs, lesson.seed))
            return method(lesson)

        monkeypatch.setitem(overhead.METHODS, name, watched)
    labelled = [_windows(spec, 4), _windows(spec, 8)]
    rows = overhead.overhead(spec, labelled, Progress(disable=True), epochs=5, runs=2, sources=[])
    warmed_up = [(name, 4, 1, 0) for name in overhead.METHODS]
    assert calls == warmed_up + [
        (name, labels, 5, seed) for labels in (4, 8) for seed in (0, 1) for name in overhead.METHODS
    ]
    assert [row["labels"] for row in rows] == [4, 8]
    for row in rows:
        assert list(row["methods"]) == ["Cosmo stage 2", "DeepSense", "AttnSense"]
        for method in row["methods"].values():
            assert method["seconds"] == pytest.approx(np.mean([run["seconds"] for run in method["runs"]]))
            assert method["seconds"] > 0 and method["cpu_seconds"] > 0
            assert method["energy_j"] is None


def test_the_encoders_of_stage_2_learn_for_as_many_epochs_as_the_others(spec, monkeypatch):
    asked = {}
    monkeypatch.setattr(overhead, "METHODS", {"Cosmo stage 2": overhead.METHODS["Cosmo stage 2"]})
    monkeypatch.setattr(overhead, "finetune", lambda network, windows, **named: asked.update(named))
    overhead.overhead(spec, [_windows(spec, 4)], Progress(disable=True), epochs=20, runs=1, sources=[])
    assert asked["rounds"] * asked["turn"] == 20


def test_energy_is_the_median_of_the_runs_above_idle(spec, monkeypatch):
    monkeypatch.setattr(energy, "SETTLING_S", 0.0)
    monkeypatch.setattr(energy, "IDLE_S", 0.2)
    working, took_s, jitter = [], [], cycle([0.0, 10.0])

    def method(*arguments):
        working.append(time.monotonic())
        time.sleep(0.2)
        took_s.append(time.monotonic() - working.pop())

    monkeypatch.setattr(overhead, "METHODS", {"ours": method})
    source = Source("rail", "", lambda: (7000.0 if working else 4000.0) + next(jitter), counts=False)
    rows = overhead.overhead(spec, [_windows(spec, 4)], Progress(disable=True), epochs=1, runs=3, sources=[source])
    ours = rows[0]["methods"]["ours"]
    assert len(ours["runs"]) == 3
    assert ours["energy_j"] == pytest.approx(np.median(took_s) * 3.0, rel=0.5)

    silent = Source("rail", "", lambda: 4000.0, counts=False)
    rows = overhead.overhead(spec, [_windows(spec, 4)], Progress(disable=True), epochs=1, runs=1, sources=[silent])
    assert rows[0]["methods"]["ours"]["energy_j"] is None
