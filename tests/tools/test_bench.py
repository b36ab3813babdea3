from __future__ import annotations

import argparse
import importlib
import json
import sys
import time
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from typing import Any, Dict, List, Mapping, Tuple

import numpy as np
import pytest
from rich.console import Console

from cosmo_runtime.models.shelf import SIMULATED_BUNDLE
from cosmo_runtime.tools import bench
from cosmo_runtime.tools.measure import energy, engines, live, rows, training
from cosmo_runtime.tools.measure.meters import Found, Source
from cosmo_runtime.tools.measure.stages import STAGES


@pytest.fixture
def no_meter(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in bench, engines, live, training:
        monkeypatch.setattr(module, "find_sources", lambda: Found([], ["RAPL is there, but only root may read it"]))


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measures in this process, so that what a test puts in the place of a part is there."""
    monkeypatch.setattr(rows, "measure_apart", lambda measure, name, options, console: measure(name, options))


class _Engine:
    """Takes as long as it is told, and counts what it is given."""

    name, precision = "onnxruntime", "fp16"

    def __init__(self, delays_s: Any = (0.0,)) -> None:
        self._delays_s = cycle(delays_s)
        self.windows: List[Mapping[str, np.ndarray]] = []
        self.working = False

    def infer(self, inputs: Mapping[str, np.ndarray]) -> Tuple[np.ndarray, np.ndarray]:
        self.windows.append(inputs)
        self.working = True
        time.sleep(next(self._delays_s))
        return np.ones(2), np.ones(3)


def _report(arguments: List[str], tmp_path: Path, status: int = 0) -> Dict[str, Any]:
    file = tmp_path / "bench.json"
    assert bench.main(["--bundle", str(SIMULATED_BUNDLE), "--json", str(file), *arguments]) == status
    return json.loads(file.read_text())


def test_every_engine_is_a_row_and_a_missing_one_says_why(
    no_meter: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = _report(["--engines", "onnxruntime,tensorrt", "--duration", "0.3", "--threads", "2"], tmp_path)
    ran, missing = report["engines"]
    latency = ran["latency_ms"]
    assert 0 < latency["p50"] <= latency["p90"] <= latency["p99"] <= latency["max"]
    assert ran["engine"] == "onnxruntime" and ran["runs"] > 2 and ran["memory_mb"] > 30
    assert 0 < ran["cpu_ms_per_window"] <= 1e3 / ran["windows_per_s"] * 2 * 1.1  # of two threads
    assert 0 < ran["windows_per_s"] <= 1e3 / latency["p50"] * 2
    assert missing["engine"] == "tensorrt" and missing["unavailable"] and "latency_ms" not in missing
    assert report["machine"]["cores"] and report["versions"]["python"] and report["settings"]["threads"] == 2

    shown = capsys.readouterr().out
    assert "onnxruntime" in shown and f"tensorrt: {missing['unavailable']}" in shown


def test_without_a_meter_there_is_no_energy_and_it_says_so(
    no_meter: None, here: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = _report(["--engines", "onnxruntime", "--duration", "0.1"], tmp_path)
    assert report["engines"][0]["energy"] is None
    shown = capsys.readouterr().out
    assert "No energy meter was found" in shown and "only root may read it" in shown
    assert " 0 ± " not in shown and " 0 mJ" not in shown


def _metered(monkeypatch: pytest.MonkeyPatch, engine: _Engine, working_mw: float) -> None:
    def power_mw() -> float:
        working, engine.working = engine.working, False  # since the last reading
        return (working_mw if working else 4000.0) + next(jitter)

    jitter = cycle([-1.0, 0.0, 1.0])
    monkeypatch.setattr(energy, "SETTLING_S", 0.1)
    monkeypatch.setattr(energy, "IDLE_S", 0.4)
    monkeypatch.setattr(engines, "open_any_engine", lambda bundle, name, threads: engine)
    for module in bench, engines:
        monkeypatch.setattr(
            module, "find_sources", lambda: Found([Source("VDD_IN", "the whole module", power_mw, False)], [])
        )


def test_energy_is_that_of_an_inference_above_idle(
    monkeypatch: pytest.MonkeyPatch, here: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _metered(monkeypatch, _Engine([0.01]), working_mw=9000.0)
    row = _report(["--engines", "onnxruntime", "--duration", "1"], tmp_path)["engines"][0]
    used, latency_s = row["energy"], 1 / row["windows_per_s"]
    assert used["idle_power_mw"] == pytest.approx(4000.0, rel=0.05)
    assert used["energy_mj"] == pytest.approx(5000.0 * latency_s, rel=0.5)
    assert used["uncertainty_mj"] > 0 and used["idle_blocks"] == 4
    shown = capsys.readouterr().out
    assert "onnxruntime fp16" in shown and "Energy of the whole module (VDD_IN) above idle" in shown
    assert f"{used['energy_mj']:.3g} ±" in shown


def test_energy_in_the_noise_is_no_number(
    monkeypatch: pytest.MonkeyPatch, here: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _metered(monkeypatch, _Engine([0.01]), working_mw=4000.0)
    row = _report(["--engines", "onnxruntime", "--duration", "0.5"], tmp_path)["engines"][0]
    assert row["energy"]["energy_mj"] is None and row["energy"]["uncertainty_mj"] > 0
    assert "the meter's resolution" in capsys.readouterr().out


def test_an_engine_that_slows_down_is_not_steady(
    monkeypatch: pytest.MonkeyPatch, no_meter: None, here: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(engines, "open_any_engine", lambda bundle, name, threads: _Engine())
    monkeypatch.setattr(engines, "_repeat", lambda *arguments: np.array([1.0] * 50 + [1.5] * 50))
    row = _report(["--engines", "onnxruntime", "--duration", "1"], tmp_path)["engines"][0]
    assert row["drift"] == pytest.approx(0.5)
    assert "no, +50%" in capsys.readouterr().out


def test_a_batch_is_that_many_windows_one_after_another(
    monkeypatch: pytest.MonkeyPatch, no_meter: None, here: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = _Engine([0.002])
    monkeypatch.setattr(engines, "open_any_engine", lambda bundle, name, threads: engine)
    row = _report(["--engines", "onnxruntime", "--batch", "4", "--duration", "0.3"], tmp_path)["engines"][0]
    assert not row["at_once"]
    assert len(engine.windows) % 4 == 0
    assert row["latency_ms"]["p50"] >= 8.0  # of the four
    assert 4e3 / row["latency_ms"]["max"] <= row["windows_per_s"] <= 500
    assert {name: array.shape for name, array in engine.windows[0].items()} == {
        "imu": (100, 6),
        "depth": (20, 27, 48),
        "radar": (40, 32, 5),
        "presence": (3,),
    }
    assert "one after another" in capsys.readouterr().out


def test_torch_takes_a_batch_at_once(no_meter: None, here: None, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    row = _report(["--engines", "torch", "--batch", "3", "--duration", "0.2"], tmp_path)["engines"][0]
    assert row["at_once"] and row["latency_ms"]["p50"] > 0


def test_without_torch_its_row_says_what_to_install(
    no_meter: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    for module in [
        name for name in sys.modules if name.startswith(("cosmo_runtime.training", "cosmo_runtime.tools.measure.eager"))
    ]:
        monkeypatch.delitem(sys.modules, module)
    with pytest.raises(rows.EngineError, match=r"needs torch .*pip install 'cosmo-runtime\[train\]'"):
        rows.open_any_engine(bench.load_bundle(SIMULATED_BUNDLE), "torch", 1)
    assert bench.main(["--training"]) == 1
    assert "--training needs the extra [train]" in capsys.readouterr().err


def test_an_engine_that_takes_its_process_down_is_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "measuring.py").write_text(
        "import os\ndef dies(name, options): os._exit(9)\ndef raises(name, options): raise ValueError('no such op')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    measuring = importlib.import_module("measuring")
    options = argparse.Namespace(duration=1.0)
    died = rows.measure_apart(measuring.dies, "tensorrt", options, Console(quiet=True))
    raised = rows.measure_apart(measuring.raises, "tensorrt", options, Console(quiet=True))
    assert (died.figures, raised.figures) == (None, None)
    assert "process died" in died.reason and raised.reason == "ValueError: no such op"


def test_where_none_of_the_engines_runs_it_failed(no_meter: None, tmp_path: Path) -> None:
    report = _report(["--engines", "onnxruntime-cuda,tensorrt", "--duration", "0.1"], tmp_path, status=1)
    assert all("unavailable" in row for row in report["engines"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--engines", "onnxruntime,tensorflow"], "'onnxruntime,tensorflow': expected any of onnxruntime,"),
        (["--batch", "0"], "expected a whole number above 0"),
        (["--live", "--training"], "not allowed with"),
        (["--live", "--batch", "2"], "each window as it closes"),
        (["--sensors", "imu"], "need --live"),
        (["--training", "--epochs", "7"], "a multiple of 5"),
        (["--data", "."], "--data needs --training"),
        (["--json", "nowhere/at/all.json"], "there is no folder nowhere/at"),
        (["--json", "/proc/figures.json"], "/proc/figures.json cannot be written: "),
        (["--plot", "/"], "/ cannot be written: Is a directory"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_measured(
    arguments: List[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = bench.main(arguments)
    except SystemExit as stop:
        code = stop.code
    assert code == 2
    assert words in capsys.readouterr().err


def test_a_folder_that_is_no_bundle_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main(["--bundle", str(tmp_path)]) == 1
    assert f"{tmp_path} is neither a bundle" in capsys.readouterr().err.replace("\n", " ")


def test_sensors_that_the_bundle_lacks_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = bench.load_bundle(SIMULATED_BUNDLE)
    only_imu = bundle.spec.model_copy(update={"modalities": bundle.spec.modalities[:1]})
    monkeypatch.setattr(bench, "load_bundle", lambda path: replace(bundle, spec=only_imu))
    assert bench.main(["--bundle", str(SIMULATED_BUNDLE), "--live", "--sensors", "imu,radar"]) == 2
    assert "has no radar; it has imu" in capsys.readouterr().err


def test_the_picture_is_a_png(
    monkeypatch: pytest.MonkeyPatch, no_meter: None, here: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(engines, "open_any_engine", lambda bundle, name, threads: _Engine([0.001]))
    picture = tmp_path / "bench.png"
    _report(["--engines", "onnxruntime,tensorrt", "--duration", "0.2", "--plot", str(picture)], tmp_path)
    assert picture.read_bytes().startswith(b"\x89PNG") and picture.stat().st_size > 5000
    assert sorted(file.name for file in tmp_path.iterdir()) == ["bench.json", "bench.png"]


@pytest.mark.slow
def test_the_whole_chain_is_taken_apart_on_an_emulated_rig(
    no_meter: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--live", "--engines", "onnxruntime,tensorrt", "--duration", "8"]
    file = tmp_path / "bench.json"
    status = bench.main(["--bundle", str(SIMULATED_BUNDLE), "--json", str(file), *arguments])
    ran, missing = json.loads(file.read_text())["live"]
    if "emulat" in ran.get("unavailable", "") or "pyrealsense2" in ran.get("unavailable", ""):
        pytest.skip(ran["unavailable"])
    assert status == 0 and missing["unavailable"]
    assert 3 <= ran["windows"] <= 16
    stages = ran["stages_ms"]
    assert list(stages) == list(STAGES)
    assert all(0 <= stage["p50"] <= stage["p99"] for stage in stages.values())
    computer = sum(stages[stage]["p50"] for stage in STAGES[1:])
    assert ran["from_last_sample_ms"]["max"] >= stages["engine"]["p50"] and computer > 0
    assert ran["from_window_end_ms"]["p50"] >= ran["from_last_sample_ms"]["p50"]
    assert 0 < ran["cpu_of_one_core"] < 2
    assert "an emulated rig on the same machine" in capsys.readouterr().out


@pytest.mark.slow
def test_training_is_a_table_of_methods(
    monkeypatch: pytest.MonkeyPatch, no_meter: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch")
    monkeypatch.setattr(training, "PEOPLE", range(1))
    monkeypatch.setattr(training, "PEOPLE_S", 60.0)
    monkeypatch.setattr(training, "LABELS_EACH", (1, 2))
    arguments = ["--training", "--epochs", "5", "--runs", "1", "--cache", str(tmp_path / "cache")]
    arguments += ["--json", str(tmp_path / "b.json")]
    status = bench.main(arguments)
    shown = capsys.readouterr()
    if "pyrealsense2" in shown.err:
        pytest.skip(shown.err)
    assert status == 0, shown.err
    figures = json.loads((tmp_path / "b.json").read_text())["training"]
    first, second = figures["rows"]
    assert first["labels"] < second["labels"] <= 2 * first["labels"]
    assert list(first["methods"]) == ["Cosmo stage 2", "DeepSense", "AttnSense"]
    assert all(name in shown.out for name in first["methods"])


def test_a_data_set_that_is_not_there_is_named(
    no_meter: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch")
    assert bench.main(["--training", "--data", str(tmp_path)]) == 1
    assert f"{tmp_path} has no utd-mhad" in capsys.readouterr().err.replace("\n", " ")
