from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Any, Callable, Dict, List

import numpy as np
import onnxruntime
import pytest
from rich.progress import Progress

from cosmo_runtime.models.bundle import Bundle, load_bundle, write_bundle
from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.runtime.engines.build import EngineRefused, build_engine
from cosmo_runtime.runtime.engines.choose import (
    CHOICES,
    BuiltEngine,
    Verification,
    explain,
    key_here,
    open_engine,
    records,
    up_to_date,
)
from cosmo_runtime.runtime.engines.gpu import Gpu
from cosmo_runtime.runtime.engines.onnxruntime import EngineError, OnnxRuntimeEngine

Build = Callable[..., BuiltEngine]


@pytest.fixture
def bundle(tmp_path: Path, spec: ModelSpec, tiny_onnx: Path) -> Bundle:
    onnx = tiny_onnx.read_bytes()
    return write_bundle(
        tmp_path / "bundle", spec, onnx=onnx, onnx_fp16=onnx, weights=b"none", provenance={}, metrics={}
    )


@pytest.fixture
def build(bundle: Bundle, windows: List[Dict[str, np.ndarray]]) -> Build:
    """Builds an engine on this machine, and lets its record say how fast it was; a clock would prove nothing."""

    def build(precision: str = "fp32", latency_ms: float = 0.1) -> BuiltEngine:
        build_engine(bundle, "tensorrt", precision, windows, Progress(disable=True))
        file = bundle.engines / f"{key_here('tensorrt', precision).stem}.json"
        content = json.loads(file.read_text())
        content["verification"].update(latency_ms=latency_ms, cpu_latency_ms=1.0)
        file.write_text(json.dumps(content))
        return BuiltEngine(**content)

    return build


@pytest.fixture
def windows() -> List[Dict[str, np.ndarray]]:
    shapes = {"imu": (20, 6), "depth": (5, 4, 6), "radar": (10, 8, 5)}
    rng = np.random.default_rng(0)
    return [
        {**{name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}, "presence": presence}
        for presence in (np.array([1, 1, 1], np.float32), np.array([0, 1, 1], np.float32))
    ]


def test_a_bundle_for_which_nothing_was_built_runs_on_the_cpu(bundle: Bundle, caplog: pytest.LogCaptureFixture) -> None:
    for choice in ("auto", "onnxruntime"):
        assert open_engine(bundle, choice).name == "onnxruntime"
    assert not caplog.records


def test_auto_takes_the_fastest_that_was_verified(bundle: Bundle, build: Build, gpu: Any) -> None:
    build("fp32", latency_ms=0.4)
    build("fp16", latency_ms=0.2)
    for choice in ("auto", "tensorrt"):
        engine = open_engine(bundle, choice)
        assert (engine.name, engine.precision) == ("tensorrt", "fp16")
    build("fp16", latency_ms=0.6)
    assert open_engine(bundle).precision == "fp32"


def test_what_a_run_opens_answers_as_the_model(
    bundle: Bundle, build: Build, install_gpu: Any, windows: List[Dict[str, np.ndarray]]
) -> None:
    install_gpu()
    build()
    expected = OnnxRuntimeEngine(bundle.onnx).infer(windows[0])
    np.testing.assert_array_equal(open_engine(bundle).infer(windows[0]), expected)


def test_auto_stays_on_the_cpu_where_that_is_faster(
    bundle: Bundle, build: Build, install_gpu: Any, caplog: pytest.LogCaptureFixture
) -> None:
    install_gpu()
    build(latency_ms=1.5)
    assert open_engine(bundle).name == "onnxruntime"
    assert open_engine(bundle, "tensorrt").name == "tensorrt"
    assert not caplog.records


def test_a_refused_engine_is_not_used_and_a_run_says_by_how_much_it_differs(
    bundle: Bundle, build: Build, install_gpu: Any, caplog: pytest.LogCaptureFixture
) -> None:
    install_gpu().faults["answers"] = lambda probabilities: probabilities[:, ::-1]
    with pytest.raises(EngineRefused):
        build()
    assert open_engine(bundle).name == "onnxruntime"
    [line] = caplog.messages
    assert line.startswith(
        "tensorrt in fp32 was refused: in 10 windows its answers differ from ONNX Runtime's by up to 0."
    )
    assert line.endswith("ONNX Runtime on the CPU runs instead")
    with pytest.raises(EngineError, match="no engine tensorrt for this machine: tensorrt in fp32 was refused: in 10"):
        open_engine(bundle, "tensorrt")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("tensorrt", r"was built with 8\.2\.1\.8 for NVIDIA Tegra X2 \(sm_62\), here are 10\.3\.0 and NVIDIA Tegra X2"),
        ("gpu", r"here are 8\.2\.1\.8 and Orin \(sm_87\)"),
        ("model", r"was built from another model than .*model\.onnx; run `cosmo-runtime build .* --precision fp32`"),
        ("plan", r"\.plan is missing or not the file that was verified"),
        ("no plan", r"\.plan is missing or not the file that was verified"),
        ("no tensorrt", "TensorRT cannot be imported"),
        ("no gpu", "no NVIDIA GPU, or no driver"),
    ],
)
def test_an_engine_of_another_machine_or_model_is_not_used(
    change: str,
    words: str,
    bundle: Bundle,
    build: Build,
    install_gpu: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    install_gpu()
    build()
    key = key_here("tensorrt", "fp32")
    assert up_to_date(bundle, key)
    plan = bundle.engines / f"{key.stem}.plan"
    if change == "tensorrt":
        install_gpu("10.3.0")
    elif change == "gpu":
        monkeypatch.setattr("cosmo_runtime.runtime.engines.choose.find_gpu", lambda: Gpu("Orin", (8, 7)))
    elif change == "model":
        engines, onnx = list(bundle.engines.iterdir()), bundle.onnx.read_bytes() + b"\x22\x00"  # an empty doc_string
        kept = {file.name: file.read_bytes() for file in engines}
        bundle = write_bundle(bundle.path, bundle.spec, onnx=onnx, weights=b"none", provenance={}, metrics={})
        bundle.engines.mkdir()
        for name, content in kept.items():
            (bundle.engines / name).write_bytes(content)
    elif change == "plan":
        plan.write_bytes(plan.read_bytes()[:-1])
    elif change == "no plan":
        plan.unlink()
    elif change == "no tensorrt":
        monkeypatch.setitem(sys.modules, "tensorrt", None)
    else:
        monkeypatch.setattr("cosmo_runtime.runtime.engines.choose.find_gpu", lambda: None)

    assert open_engine(bundle).name == "onnxruntime"
    assert len(caplog.records) == 1
    assert caplog.records[0].levelno == logging.WARNING
    caplog.clear()
    with pytest.raises(EngineError, match=words):
        open_engine(bundle, "tensorrt")


def test_an_older_engine_beside_a_good_one_is_not_worth_a_word(
    bundle: Bundle, build: Build, install_gpu: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    install_gpu()
    monkeypatch.setattr("cosmo_runtime.runtime.engines.choose.find_gpu", lambda: Gpu("Orin", (8, 7)))
    build()
    install_gpu()
    build(latency_ms=1.5)  # so that the CPU is taken
    assert len(records(bundle)) == 2
    assert open_engine(bundle).name == "onnxruntime"
    assert not caplog.records


def test_an_engine_that_does_not_open_gives_way_to_the_next(
    bundle: Bundle, build: Build, install_gpu: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_gpu()
    build()
    runtime = sys.modules["tensorrt"].Runtime  # type: ignore[attr-defined]
    monkeypatch.setattr(runtime, "deserialize_cuda_engine", lambda self, plan: None)
    assert open_engine(bundle).name == "onnxruntime"
    assert "cannot load the engine" in caplog.text


def test_a_record_that_cannot_be_read_is_named_and_left_out(
    bundle: Bundle, build: Build, install_gpu: Any, caplog: pytest.LogCaptureFixture
) -> None:
    install_gpu()
    build()
    (bundle.engines / "broken.json").write_text('{"engine": "tensorrt"')
    assert [record.engine for record in records(bundle)] == ["tensorrt"]
    assert "broken.json cannot be read" in caplog.text


def test_an_engine_that_was_never_built_says_how_to_build_it(bundle: Bundle, install_gpu: Any) -> None:
    install_gpu()
    with pytest.raises(EngineError, match=r"build one: `cosmo-runtime build .*bundle --engine tensorrt`"):
        open_engine(bundle, "tensorrt")


@pytest.mark.parametrize("choice", ["onnxruntime-cuda", "onnxruntime-tensorrt"])
def test_a_provider_that_is_not_installed_is_told(bundle: Bundle, choice: str, install_gpu: Any) -> None:
    install_gpu()
    with pytest.raises(EngineError, match=f"{choice}: needs onnxruntime-gpu instead of onnxruntime"):
        open_engine(bundle, choice)


@pytest.mark.filterwarnings("ignore:Specified provider")
@pytest.mark.parametrize("name", ["onnxruntime-cuda", "onnxruntime-tensorrt"])
def test_onnxruntime_that_falls_back_to_the_cpu_unasked_is_found_out(
    bundle: Bundle, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it does where onnxruntime-gpu is installed and the libraries of CUDA are not."""
    providers = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: providers)
    with pytest.raises(EngineError, match=r"asked ONNX Runtime for .*, got CPUExecutionProvider"):
        OnnxRuntimeEngine(bundle.onnx, name=name)


@pytest.mark.parametrize(
    ("name", "precision", "expected"),
    [
        ("onnxruntime-cuda", "fp16", [("CUDAExecutionProvider", {"use_tf32": "0"}), ("CPUExecutionProvider", {})]),
        (
            "onnxruntime-tensorrt",
            "fp16",
            [
                (
                    "TensorrtExecutionProvider",
                    {
                        "trt_fp16_enable": "True",
                        "trt_engine_cache_enable": "True",
                        "trt_engine_cache_path": "engines/trt",
                    },
                ),
                ("CUDAExecutionProvider", {"use_tf32": "0"}),
                ("CPUExecutionProvider", {}),
            ],
        ),
        (
            "onnxruntime-tensorrt",
            "fp32",
            [
                (
                    "TensorrtExecutionProvider",
                    {
                        "trt_fp16_enable": "False",
                        "trt_engine_cache_enable": "True",
                        "trt_engine_cache_path": "engines/trt",
                    },
                ),
                ("CUDAExecutionProvider", {"use_tf32": "0"}),
                ("CPUExecutionProvider", {}),
            ],
        ),
    ],
)
def test_a_provider_is_asked_for_with_its_precision_and_those_that_take_over(
    name: str, precision: str, expected: Any, tiny_onnx: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: List[Any] = []

    class Session(onnxruntime.InferenceSession):
        """Runs on the CPU what it was asked to run on a GPU, and says that it does not."""

        def __init__(self, path: str, options: Any, providers: Any) -> None:
            asked.extend(providers)
            super().__init__(path, options, providers=["CPUExecutionProvider"])

        def get_providers(self) -> List[str]:
            return [name for name, _ in asked]

    monkeypatch.setattr(onnxruntime, "__version__", "1.18.0")
    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [name for name, _ in expected])
    engine = OnnxRuntimeEngine(tiny_onnx, name=name, precision=precision, cache=Path("engines/trt"))
    assert asked == expected
    assert (engine.name, engine.precision) == (name, precision)


def test_nan_is_no_pass() -> None:
    figures = {"windows": 1, "tolerance": 0.1, "top1_differs": 0, "latency_ms": 1.0, "cpu_latency_ms": 1.0}
    assert Verification(max_error=0.1, **figures).passed  # type: ignore[arg-type]
    none = Verification(max_error=None, **figures)  # type: ignore[arg-type]
    assert not none.passed
    assert "some of its answers were not numbers" in explain(none)
    older = '{"max_error": NaN, ' + none.model_dump_json()[1:].replace('"max_error":null,', "")
    assert not Verification.model_validate_json(older).passed


def test_a_record_that_names_no_plan_is_not_opened(
    bundle: Bundle, build: Build, install_gpu: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """As that of a refused engine would, if a bit of it changed."""
    install_gpu()
    build()
    key = key_here("tensorrt", "fp32")
    file = bundle.engines / f"{key.stem}.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "plan": None}))
    (bundle.engines / f"{key.stem}.plan").unlink()
    assert open_engine(bundle).name == "onnxruntime"
    assert "is missing or not the file that was verified" in caplog.text


def test_a_built_engine_is_asked_in_every_combination_of_sensors_before_it_is_used(
    bundle: Bundle, build: Build, install_gpu: Any, caplog: pytest.LogCaptureFixture
) -> None:
    machine = install_gpu()
    build()
    machine.faults["answers"] = lambda probabilities: probabilities * np.nan
    assert open_engine(bundle).name == "onnxruntime"
    assert "answers probabilities that are not finite" in caplog.text


def test_the_command_line_and_the_configuration_offer_the_same_engines() -> None:
    assert CHOICES == ("auto", "onnxruntime", "onnxruntime-cuda", "onnxruntime-tensorrt", "tensorrt")


def test_a_copied_bundle_brings_its_engines(bundle: Bundle, build: Build, install_gpu: Any, tmp_path: Path) -> None:
    install_gpu()
    build()
    moved = bundle.path.rename(tmp_path / "elsewhere")
    assert open_engine(load_bundle(moved)).name == "tensorrt"
