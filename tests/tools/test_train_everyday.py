"""The model that ships for real people: what its card says, and what it says of some of them."""

from __future__ import annotations

import runpy
import sys
from dataclasses import replace
from pathlib import Path
from typing import Optional

import numpy as np
import pytest

pytest.importorskip("torch")

from cosmo_runtime.models.bundle import Bundle, BundleError, load_bundle
from cosmo_runtime.models.shelf import SHIPPED, SHIPPED_BUNDLE, SHIPPED_ENCODERS
from cosmo_runtime.runtime.engines.onnxruntime import OnnxRuntimeEngine
from cosmo_runtime.sensors.sensor import SensorError
from cosmo_runtime.sensors.simulation.utd import UtdMotion
from cosmo_runtime.tools import train_everyday
from cosmo_runtime.training.benchmark.everyday import require_strangers
from cosmo_runtime.training.datasets import everyday
from cosmo_runtime.training.datasets.everyday import CLASSES, everyday_spec
from cosmo_runtime.training.windows import Windows


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return load_bundle(SHIPPED_BUNDLE)


def test_the_shipped_model_knows_everyday_activities_by_the_sensors_of_the_usual_rig(bundle: Bundle) -> None:
    assert bundle.spec.classes == CLASSES
    assert bundle.spec.modalities == everyday_spec().modalities
    assert bundle.spec.sensors == ["imu", "depth", "radar"]


def test_the_cards_figures_are_those_that_were_measured(bundle: Bundle) -> None:
    card = (SHIPPED_BUNDLE / "README.md").read_text(encoding="utf-8")
    found = train_everyday.findings(bundle.metrics)
    assert bundle.provenance["found"] == found
    for sentence in (*found, train_everyday.LIMITS, bundle.provenance["command"]):
        assert sentence in card
    assert card.startswith(f"# {SHIPPED_BUNDLE.name}\n")
    every = bundle.metrics[train_everyday.STRANGERS]
    assert f"| {train_everyday.STRANGERS} | {every['windows']} | {every['accuracy']:.1%} |" in card


def test_who_taught_a_model_cannot_test_it(bundle: Bundle) -> None:
    taught = replace(bundle, provenance={**bundle.provenance, "subjects": [1, 7]})
    require_strangers(taught, [2, 8])
    with pytest.raises(BundleError, match="learned from subjects 7, so they cannot test it"):
        require_strangers(taught, [7, 8])


def test_a_card_of_a_model_that_no_real_person_taught_says_so(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["--data", "data", "--out", "new", "--only", "simulated"]
    monkeypatch.setattr(sys, "argv", ["train_everyday.py", *words])
    options = train_everyday._parser().parse_args()
    record = train_everyday._provenance(options, [1], bundle.metrics, 1)
    assert (record["people"], record["subjects"]) == ("simulated", [])
    assert "real people" not in record["about"] and "stage 1" not in record["method"]
    assert record["limits"] == train_everyday.LIMITS_ZERO_SHOT


def test_all_shipped_models_together_are_small() -> None:
    files = [path for folder in (SHIPPED, SHIPPED_ENCODERS) for path in folder.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 8e6


def _some_trials(folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Windows:
    """Two repeats of three actions of each of two subjects."""

    class Some(UtdMotion):
        def __init__(self, path: Path, subjects: list) -> None:
            super().__init__(path, subjects, actions=(4, 13, 25), repeats=(1, 2))

    for module in ("everyday", "motion"):
        monkeypatch.setattr(f"cosmo_runtime.training.datasets.{module}.UtdMotion", Some)
    monkeypatch.setattr(
        "cosmo_runtime.training.datasets.motion.in_parallel", lambda make, items, _: list(map(make, items))
    )
    try:
        return everyday.real_people(folder, [7, 8], cache)
    except SensorError as error:
        pytest.skip(str(error))


@pytest.mark.slow
def test_real_people_are_recognised_with_any_sensors_and_never_said_to_fall(
    bundle: Bundle, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    windows = _some_trials(data_dir / "utd-mhad", tmp_path, monkeypatch)
    engine = OnnxRuntimeEngine(bundle.onnx)

    def answers(subset: tuple) -> np.ndarray:
        some = replace(windows, presence=windows.presence & np.array(subset))
        said = []
        for i in range(len(some)):
            features, presence, _ = some.tensors(np.array([i]))
            inputs = {name: array.numpy()[0] for name, array in features.items()}
            said.append(engine.infer({**inputs, "presence": presence.numpy()[0]})[0].argmax())
        return np.array(said)

    known = windows.labels >= 0
    for subset, least in (((True, True, True), 0.75), ((False, True, True), 0.6)):
        said = answers(subset)
        assert (said == windows.labels)[known].mean() > least
        assert CLASSES.index("fall") not in said.tolist()


@pytest.mark.parametrize(
    "words, told",
    [
        (["--fixed", "camera,colour"], "--fixed: nothing is called colour"),
        (["--mocap", "clips"], "--mocap needs --only simulated"),
        (["--mocap", "clips", "--only", "real"], "--mocap needs --only simulated"),
        (["--out", "."], "exists and is not a bundle"),
        (["--train", "a"], "--train: 'a': expected numbers such as"),
        (["--data", "nowhere"], "nowhere"),
    ],
)
def test_what_cannot_be_is_told_before_anything_is_learned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list, told: str
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    script = str(train_everyday.__file__)
    monkeypatch.setattr(sys, "argv", [script, "--data", "data", "--out", "new", "--cache", "cache", *words])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(script, run_name="__main__")
    assert told in f"{capsys.readouterr().err}{ended.value.code}"


@pytest.mark.parametrize(
    "only, fixed, mocap, learned",
    [
        ("simulated", [], None, {"at home": 0.35, "acting": 0.6, "rooms": 0.05}),
        ("simulated", ["acting"], None, {"at home": 0.95, "rooms": 0.05}),
        ("simulated", [], "clips", {"at home": 0.35 * 3 / 4, "acting": 0.6 * 3 / 4, "clips": 0.95 / 4, "rooms": 0.05}),
        ("simulated", ["acting"], "clips", {"at home": 0.95 * 3 / 4, "clips": 0.95 / 4, "rooms": 0.05}),
        ("real", [], None, {"real": 0.9, "rooms": 0.05, "thigh": 0.05}),
        (None, [], None, {"real": 0.5, "at home": 0.4, "rooms": 0.05, "thigh": 0.05}),
    ],
)
def test_who_teaches_is_what_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, only: str, fixed: list, mocap: Optional[str], learned: dict
) -> None:
    monkeypatch.setattr(train_everyday, "CAPTURED_SHARE", 0.95 / 4)
    monkeypatch.setattr(train_everyday, "captured", lambda folder, *_: folder)
    for name, people in {
        "empty_rooms": "rooms", "real_people": "real", "simulated": "at home", "acted": "acting", "misplaced": "thigh",
    }.items():  # fmt: skip
        monkeypatch.setattr(train_everyday, name, lambda *_, people=people: people)
    for name in ("calibrated", "in_rooms"):
        monkeypatch.setattr(train_everyday, name, lambda people, *_: people)
    origins = train_everyday.lessons(tmp_path, [1], only, fixed, tmp_path, 0, mocap)
    assert {origin.windows: origin.share for origin in origins} == pytest.approx(learned)


@pytest.mark.parametrize("mocap", [[], ["--mocap", "clips"]])
def test_the_card_says_where_motion_capture_comes_from(monkeypatch: pytest.MonkeyPatch, mocap: list) -> None:
    options = train_everyday._parser().parse_args(
        ["--data", "utd", "--out", "new", "--only", "simulated", "--fixed", "acting", *mocap]
    )
    monkeypatch.setattr(train_everyday, "findings", lambda _: [])
    told = train_everyday._provenance(options, [1], {}, 2)
    assert ("motion capture" in told["data"]) == bool(mocap)
    assert ("DeepMimic's (Peng et al., SIGGRAPH 2018), MIT License" in told["licence"]) == bool(mocap)
    assert "act on request" not in told["data"]
