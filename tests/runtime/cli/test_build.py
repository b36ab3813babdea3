from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, List

import numpy as np
import pytest

from cosmo_runtime.models.bundle import Bundle
from cosmo_runtime.runtime.cli import main
from cosmo_runtime.sensors.events import Sample
from cosmo_runtime.sensors.recording import RecordingWriter
from cosmo_runtime.sensors.sensor import SensorInfo


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "monday.mcap"
    with RecordingWriter(path, {"imu": SensorInfo("imu", "an IMU of numbers", 20)}, {}) as writer:
        for step in range(80):
            stamp_ns = 10**12 + step * 5 * 10**7
            writer.write(Sample("imu", stamp_ns, stamp_ns + 10**6, np.full(9, step / 10, np.float32), b"raw"))
    return path


@pytest.fixture
def words(tiny_bundle: Bundle, recording: Path, tmp_path: Path) -> List[str]:
    """Builds for a copy of the small bundle."""
    copy = tmp_path / "bundle"
    copy.mkdir()
    for file in tiny_bundle.path.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    return ["build", str(copy), "--recording", str(recording)]


def test_an_engine_is_built_verified_and_then_left_as_it_is(
    gpu: Any, words: List[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 0
    told = capsys.readouterr().err.replace("\n", " ")
    assert "bundle: tensorrt in fp32 for NVIDIA Tegra X2 (sm_62) may be used: in 6 windows its answers differ" in told
    assert "by up to 0 (allowed: 0.001), the activity in 0 of them. One window in " in told
    [record] = (tmp_path / "bundle" / "engines").glob("*.json")
    assert json.loads(record.read_text())["verification"]["windows"] == 6
    gpu.calls.clear()
    assert main(words) == 0
    assert "is up to date" in capsys.readouterr().err
    assert "build_serialized_network" not in gpu.calls


def test_an_engine_that_is_refused_is_a_failure_with_its_figures(
    install_gpu: Any, words: List[str], capsys: pytest.CaptureFixture[str]
) -> None:
    install_gpu().faults["answers"] = lambda probabilities: probabilities[:, ::-1]
    assert main(words) == 1
    told = capsys.readouterr().err.replace("\n", " ")
    assert "cosmo-runtime: " in told
    assert "was built and refused: in 6 windows its answers differ from ONNX Runtime's by up to 0." in told


def test_a_machine_without_tensorrt_says_so_before_any_work(
    words: List[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    assert main(words) == 1
    assert "TensorRT cannot be imported" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [["--engine", "onnxruntime"], ["--precision", "int8"], []])
def test_wrong_usage_is_told_apart(wrong: List[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["build", *(["somewhere", *wrong] if wrong else [])])
    assert ended.value.code == 2
