"""Engines on the GPU that this machine has; what its libraries cannot do is skipped, with the reason. No torch here."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Dict, List

import numpy as np
import pytest
from rich.progress import Progress

from cosmo_runtime.models.bundle import Bundle, load_bundle
from cosmo_runtime.models.shelf import SIMULATED_BUNDLE
from cosmo_runtime.runtime.engines import tensorrt as tensorrt_module
from cosmo_runtime.runtime.engines.build import TOLERANCE, build_engine, simulated_windows
from cosmo_runtime.runtime.engines.choose import ENGINES, key_here, open_engine, records
from cosmo_runtime.runtime.engines.gpu import find_gpu
from cosmo_runtime.runtime.engines.onnxruntime import Engine, EngineError

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(find_gpu() is None, reason="no NVIDIA GPU, or no driver for it"),
    pytest.mark.timeout(600),
]

QUIET = Progress(disable=True)

Inputs = Dict[str, np.ndarray]


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    shutil.copytree(SIMULATED_BUNDLE, tmp_path / "person")
    return load_bundle(tmp_path / "person")


@pytest.fixture(scope="module")
def windows() -> List[Inputs]:
    return simulated_windows(load_bundle(SIMULATED_BUNDLE).spec)[::3]


def build(bundle: Bundle, engine: str, precision: str, windows: List[Inputs]) -> Engine:
    try:
        key_here(engine, precision)
    except EngineError as error:
        pytest.skip(str(error))
    try:
        assert build_engine(bundle, engine, precision, windows, QUIET).verification.passed
    except EngineError as error:
        if "its libraries do not load here" in str(error):  # which ONNX Runtime tells no earlier
            pytest.skip(str(error))
        raise
    return open_engine(bundle, engine)


def expect_equal(engine: Engine, other: Engine, windows: List[Inputs]) -> None:
    for window in windows:
        for answer, expected in zip(engine.infer(window), other.infer(window)):
            np.testing.assert_allclose(answer, expected, rtol=0, atol=TOLERANCE[engine.precision])


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("engine", ENGINES[1:])
def test_an_engine_built_here_answers_as_the_cpu_does(
    bundle: Bundle, windows: List[Inputs], engine: str, precision: str
) -> None:
    built = build(bundle, engine, precision, windows)
    assert (built.name, built.precision) == (engine, precision)
    expect_equal(built, open_engine(bundle, "onnxruntime"), windows)
    [record] = records(bundle)
    assert record.gpu == str(find_gpu())


@pytest.mark.parametrize("engine", ENGINES[1:])
def test_two_engines_run_in_turns_and_from_any_thread(bundle: Bundle, windows: List[Inputs], engine: str) -> None:
    """As while one bundle takes the place of another."""
    one = build(bundle, engine, "fp32", windows)
    other = open_engine(bundle, engine)
    expect_equal(one, other, windows)
    with ThreadPoolExecutor(1) as elsewhere:
        elsewhere.submit(expect_equal, other, one, windows).result()
    del other
    expect_equal(one, open_engine(bundle, "onnxruntime"), windows)


def test_the_bindings_of_older_tensorrt_answer_alike(
    bundle: Bundle, windows: List[Inputs], monkeypatch: pytest.MonkeyPatch
) -> None:
    """From 8.5 to 9 TensorRT has both interfaces; a Jetson TX2's 8.2 has this one alone."""
    named = build(bundle, "tensorrt", "fp32", windows)
    if not hasattr(named._engine, "num_bindings"):  # type: ignore[attr-defined]
        pytest.skip("this TensorRT has no bindings any more")

    def older(trt: Any, engine: Any) -> Any:
        return tensorrt_module.BindingsContext(trt, engine)

    monkeypatch.setattr(tensorrt_module, "NamedContext", older)
    bound = open_engine(bundle, "tensorrt")
    assert isinstance(bound._context, tensorrt_module.BindingsContext)  # type: ignore[attr-defined]
    expect_equal(bound, named, windows)
