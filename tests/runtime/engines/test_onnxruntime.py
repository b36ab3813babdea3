from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Dict, Sequence

import numpy as np
import onnxruntime
import pytest

from cosmo_runtime.runtime.engines.onnxruntime import EngineError, OnnxRuntimeEngine


def _inputs(presence: Sequence[int] = (1, 1, 1)) -> Dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    shapes = {"imu": (20, 6), "depth": (5, 4, 6), "radar": (10, 8, 5)}
    inputs = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    return {**inputs, "presence": np.array(presence, np.float32)}


@pytest.mark.parametrize("threads", [1, 2])
def test_a_window_comes_back_as_probabilities_and_weights(tiny_onnx: Path, threads: int) -> None:
    inputs = _inputs(presence=(1, 0, 1))
    probabilities, weights = OnnxRuntimeEngine(tiny_onnx, threads).infer(inputs)
    scores = np.exp([inputs["imu"].mean(), 0, inputs["radar"].mean()])
    np.testing.assert_allclose(probabilities, scores / scores.sum(), rtol=1e-5)
    np.testing.assert_allclose(weights, [0.5, 0, 0.5])


def test_an_inference_may_use_as_many_cores_as_it_is_given(tiny_onnx: Path) -> None:
    def threads() -> int:
        return len(list(Path("/proc/self/task").iterdir()))

    before = threads()
    alone = OnnxRuntimeEngine(tiny_onnx, threads=1)
    assert threads() == before
    four = OnnxRuntimeEngine(tiny_onnx, threads=4)
    assert threads() == before + 3
    del alone, four


def test_inputs_that_the_model_does_not_ask_for_are_left_out(tiny_onnx: Path) -> None:
    engine = OnnxRuntimeEngine(tiny_onnx)
    expected = engine.infer(_inputs())
    np.testing.assert_array_equal(engine.infer({**_inputs(), "sonar": np.zeros(3, np.float32)}), expected)


def test_a_file_that_is_no_model_is_named(tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    with pytest.raises(EngineError, match=r"model\.onnx: ONNX Runtime .* cannot run it"):
        OnnxRuntimeEngine(file)
    file.write_bytes(b"no model")
    with pytest.raises(EngineError, match=r"model\.onnx: ONNX Runtime .* cannot run it"):
        OnnxRuntimeEngine(file)


def test_a_model_with_other_outputs_is_refused_at_once(tmp_path: Path, tiny_onnx: Path) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(tiny_onnx.read_bytes().replace(b"probabilities", b"probabilitoes"))
    with pytest.raises(EngineError, match="probabilities"):
        OnnxRuntimeEngine(file)


def test_the_committed_model_is_the_one_that_its_script_makes(tiny_onnx: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="the model of the tests is made with onnx: pip install onnx")
    namespace: Dict[str, object] = {}
    exec(tiny_onnx.with_name("make_tiny_onnx.py").read_text(), namespace)
    assert namespace["make_tiny"]() == onnx.load(str(tiny_onnx))  # type: ignore[operator]


@pytest.mark.parametrize(
    "module",
    [
        "cosmo_runtime.runtime.engines.onnxruntime",
        "cosmo_runtime.runtime.cli",
        "cosmo_runtime.training.export",
        "cosmo_runtime.tools.soak",
    ],
)
def test_onnxruntime_reports_to_nobody(module: str, tiny_onnx: Path, tmp_path: Path) -> None:
    """Where it does, it gives the device a number and keeps what it has to tell, below the home folder."""
    if module.startswith("cosmo_runtime.training"):
        pytest.importorskip("torch")
    code = f"import {module}, onnxruntime; onnxruntime.InferenceSession({str(tiny_onnx)!r})"
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    environment.update(HOME=str(tmp_path), XDG_CACHE_HOME="", PYTHONPATH=os.pathsep.join(sys.path))
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, cwd=Path(__file__).parents[3])
    assert not [path for path in tmp_path.rglob("*") if "onnxruntime" in path.name]


def test_its_threads_do_not_spin_between_windows_and_no_other_provider_takes_over(
    tiny_onnx: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    real = onnxruntime.InferenceSession

    def session(path: str, options: onnxruntime.SessionOptions, **rest: object) -> onnxruntime.InferenceSession:
        made.append((options, real(path, options, **rest)))
        return made[-1][1]

    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    OnnxRuntimeEngine(tiny_onnx)
    ((options, opened),) = made
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    assert not opened._enable_fallback
