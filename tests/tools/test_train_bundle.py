"""The models that bundles are trained for, against what their motions do."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from cosmo_runtime.models.bundle import load_bundle
from cosmo_runtime.models.shelf import SIMULATED_BUNDLE
from cosmo_runtime.sensors.sensor import SensorError
from cosmo_runtime.sensors.simulation.person import SimulatedPerson
from cosmo_runtime.sensors.simulation.utd import ACTIVITIES
from cosmo_runtime.tools import train_bundle
from cosmo_runtime.training.datasets.motion import person_spec, utd_stream_spec
from cosmo_runtime.training.windows import Windows


def test_the_models_know_all_that_their_motions_do() -> None:
    done = {start.activity for seed in (0, 1) for start in SimulatedPerson(seed).activities(300.0)}
    assert done == set(person_spec().classes)
    assert set(utd_stream_spec().classes) == {*ACTIVITIES.values(), "none"}


def test_a_bundle_is_run_over_a_motion_as_the_runtime_would() -> None:
    try:
        figures = train_bundle.summary_of(load_bundle(SIMULATED_BUNDLE), SimulatedPerson(1000), 20.0).as_dict()
    except SensorError as error:
        pytest.skip(str(error))
    assert figures["windows"] == 37  # the first of 2 s, then one every 0.5 s
    assert figures["inside"]["right"] >= 0.9 * figures["inside"]["windows"] > 0


def test_activities_can_be_left_out_of_what_is_seen() -> None:
    windows = Windows({"imu": np.zeros((5, 1))}, np.ones((5, 1), bool), np.array([0, 1, -1, 2, 1]), *[np.arange(5)] * 2)
    known = train_bundle._of_alone(windows, ("walk", "squat", "jump"), ["walk", "jump"])
    assert known.labels.tolist() == [0, 1]
    assert known.groups.tolist() == [0, 3]


@pytest.mark.parametrize(
    "kind, words, told",
    [
        ("person", ["--without", "swim"], "nobody does swim; give any of stand still"),
        ("person", ["--start", "nowhere"], "nowhere/pretraining.json cannot be read"),
        ("person", ["--out", "."], "exists and is not a bundle"),
        ("person", ["--out", "mine/new"], "--out mine/new cannot be written: Not a directory"),
        ("utd", ["--without", "clap"], "--without goes with person only"),
        ("utd", ["--train", "a"], "'a': expected numbers such as 7, 1-6 or 1-3,7"),
        ("utd", ["--data", "nowhere"], "nowhere"),
    ],
)
def test_what_cannot_be_is_told_before_anything_is_decoded(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    kind: str,
    words: list[str],
    told: str,
) -> None:
    (tmp_path / "mine").touch()
    monkeypatch.chdir(tmp_path)
    script = str(train_bundle.__file__)
    monkeypatch.setattr(sys, "argv", [script, kind, "--out", "new", "--cache", "cache", *words])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(script, run_name="__main__")
    assert told in f"{capsys.readouterr().err}{ended.value.code}"
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.slow
def test_one_command_makes_a_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_bundle, "PERSON_TRAIN", range(2))
    monkeypatch.setattr(train_bundle, "PERSON_TEST", range(900, 901))
    monkeypatch.setattr(train_bundle, "PERSON_MINUTES", 0.5)
    out = tmp_path / "bundle"
    arguments = ["train_bundle.py", "person", "--out", str(out), "--cache", str(tmp_path / "cache")]
    monkeypatch.setattr(sys, "argv", arguments)
    try:
        train_bundle.main()
    except SensorError as error:
        pytest.skip(str(error))
    metrics = json.loads((out / "model.json").read_text())["metrics"]
    assert min(metrics[part]["windows"] for part in ("train", "test people")) > 0
    assert len(list((tmp_path / "cache").iterdir())) == 3
