"""The engine against a fake GPU of each generation (``tests/fake_gpu.py``); no number here comes from TensorRT."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import Any, Callable, Dict, List, Sequence

import numpy as np
import pytest

from cosmo_runtime.runtime.engines.onnxruntime import EngineError, OnnxRuntimeEngine
from cosmo_runtime.runtime.engines.tensorrt import TensorRtEngine, load_pycuda, load_tensorrt, logger_of


@pytest.fixture
def plan(tiny_onnx: Path) -> Callable[[Any], bytes]:
    """What a builder of the GPU's TensorRT would make of ``tiny.onnx``."""
    return lambda gpu: json.dumps({"version": gpu.version, "flags": []}).encode() + b"\n" + tiny_onnx.read_bytes()


def inputs(seed: int, presence: Sequence[int] = (1, 1, 1)) -> Dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    shapes = {"imu": (20, 6), "depth": (5, 4, 6), "radar": (10, 8, 5)}
    arrays = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    return {**arrays, "presence": np.array(presence, np.float32)}


def test_answers_are_those_of_the_model_in_every_generation(gpu: Any, plan: Any, tiny_onnx: Path) -> None:
    engine, reference = TensorRtEngine(plan(gpu)), OnnxRuntimeEngine(tiny_onnx)
    answers = [engine.infer(inputs(seed, presence=(1, 0, 1))) for seed in range(3)]
    for seed, answer in enumerate(answers):  # an earlier answer must not change with a later one
        for array, expected in zip(answer, reference.infer(inputs(seed, presence=(1, 0, 1)))):
            np.testing.assert_array_equal(array, expected)


def test_an_inference_copies_and_computes_and_allocates_nothing(gpu: Any, plan: Any) -> None:
    engine = TensorRtEngine(plan(gpu))
    assert gpu.calls.count("mem_alloc") == gpu.calls.count("pagelocked_empty") == 6
    assert gpu.calls.count("Stream") == 1
    gpu.calls.clear()
    engine.infer(inputs(0))
    assert gpu.calls == [*["memcpy_htod_async"] * 4, "enqueue", *["memcpy_dtoh_async"] * 2, "synchronize"]


def test_the_thread_gets_its_context_back_and_any_thread_may_infer(gpu: Any, plan: Any) -> None:
    engine = TensorRtEngine(plan(gpu))
    assert gpu.contexts == []
    answers: List[Any] = []
    thread = threading.Thread(target=lambda: answers.append(engine.infer(inputs(0))))
    thread.start()
    thread.join()
    assert len(answers) == 1
    assert gpu.contexts == []


def test_a_plan_of_another_version_is_refused_with_what_to_do(install_gpu: Any, plan: Any) -> None:
    old = plan(install_gpu("8.6.1"))
    gpu = install_gpu("10.3.0")
    with pytest.raises(EngineError, match=r"TensorRT 10\.3\.0 cannot load .*another version .*cosmo-runtime build"):
        TensorRtEngine(old)
    assert gpu.contexts == []


def test_a_model_with_other_outputs_is_refused(gpu: Any, plan: Any) -> None:
    with pytest.raises(EngineError, match=r"answers .*probabilitoes"):
        TensorRtEngine(plan(gpu).replace(b"probabilities", b"probabilitoes"))


def test_a_model_of_another_type_is_refused(gpu: Any, plan: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    built = plan(gpu)
    monkeypatch.setattr(sys.modules["tensorrt"].DataType, "FLOAT", "DataType.OTHER")
    engine = sys.modules["tensorrt"].ICudaEngine
    for name in ("get_tensor_dtype", "get_binding_dtype"):
        if hasattr(engine, name):
            monkeypatch.setattr(engine, name, lambda self, which: "DataType.HALF")
    with pytest.raises(EngineError, match=r"is DataType\.HALF; bundles have float32 only"):
        TensorRtEngine(built)


def test_an_inference_that_tensorrt_refuses_is_an_error_and_no_old_answer(gpu: Any, plan: Any) -> None:
    engine = TensorRtEngine(plan(gpu))
    engine.infer(inputs(0))
    gpu.faults["enqueue"] = True
    with pytest.raises(EngineError, match="could not run"):
        engine.infer(inputs(1))
    assert gpu.contexts == []


def test_what_the_driver_reports_becomes_an_error_that_commands_know(
    gpu: Any, plan: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = TensorRtEngine(plan(gpu))
    cuda = load_pycuda()

    def fail(self: Any) -> None:
        raise cuda.Error("cuStreamSynchronize failed: an illegal memory access was encountered")

    monkeypatch.setattr(cuda.Stream, "synchronize", fail)
    with pytest.raises(EngineError, match=r"the GPU failed: .*illegal memory access"):
        engine.infer(inputs(0))
    assert gpu.contexts == []


def test_tensorrt_speaks_through_pythons_logging(gpu: Any, caplog: pytest.LogCaptureFixture) -> None:
    trt = load_tensorrt()
    log = logger_of(trt)
    assert logger_of(trt) is log  # TensorRT knows one a process
    log.log(trt.ILogger.ERROR, "out of workspace")
    log.log(trt.ILogger.WARNING, "weights are cast down")
    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("ERROR", "TensorRT: out of workspace")
    ]


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("tensorrt", "pycuda", "pycuda.driver"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(EngineError, match="TensorRT cannot be imported"):
        load_tensorrt()
    with pytest.raises(EngineError, match=r"pycuda cannot be imported .*cosmo-runtime\[gpu\]"):
        load_pycuda()


def test_pycuda_without_a_gpu_is_told_apart_from_no_pycuda(monkeypatch: pytest.MonkeyPatch) -> None:
    def init() -> None:
        raise RuntimeError("cuInit failed: no CUDA-capable device is detected")

    driver = ModuleType("pycuda.driver")
    driver.init = init  # type: ignore[attr-defined]
    package = ModuleType("pycuda")
    package.driver = driver  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pycuda", package)
    monkeypatch.setitem(sys.modules, "pycuda.driver", driver)
    with pytest.raises(EngineError, match=r"no GPU that it can use: .*no CUDA-capable device"):
        load_pycuda()
