"""Builds on a fake GPU of each generation (``tests/fake_gpu.py``), which answers by ONNX Runtime; needs no torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List, Tuple

import numpy as np
import pytest
from rich.progress import Progress

from cosmo_runtime import models
from cosmo_runtime.models.bundle import Bundle, load_bundle, write_bundle
from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.runtime.engines.build import (
    TOLERANCE,
    EngineRefused,
    build_engine,
    build_plan,
    recorded_windows,
    simulated_windows,
    verify,
    with_sensors_absent,
)
from cosmo_runtime.runtime.engines.choose import key_here, open_engine, records, up_to_date
from cosmo_runtime.runtime.engines.gpu import Gpu
from cosmo_runtime.runtime.engines.onnxruntime import EngineError, OnnxRuntimeEngine
from cosmo_runtime.sensors.events import Sample
from cosmo_runtime.sensors.recording import RecordingWriter
from cosmo_runtime.sensors.sensor import SensorInfo

REPOSITORY = Path(__file__).parents[3]
SHIPPED = Path(models.__file__).parent / "bundles" / "person"
TINY = (REPOSITORY / "tests" / "runtime" / "tiny.onnx").read_bytes()
HALF = TINY + b"\x32\x04half"  # an ONNX file of its own: the same graph with a description
QUIET = Progress(disable=True)

Inputs = Dict[str, np.ndarray]


@pytest.fixture(scope="module")
def spec(tiny_spec: ModelSpec) -> ModelSpec:
    return tiny_spec


@pytest.fixture
def bundle(tmp_path: Path, spec: ModelSpec) -> Bundle:
    path = tmp_path / "bundle"
    return write_bundle(path, spec, onnx=TINY, onnx_fp16=HALF, weights=b"none", provenance={}, metrics={})


@pytest.fixture(scope="module")
def windows() -> List[Inputs]:
    shapes = {"imu": (20, 6), "depth": (5, 4, 6), "radar": (10, 8, 5)}
    rng = np.random.default_rng(0)
    return [
        {**{name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}, "presence": presence}
        for presence in (np.array([1, 1, 1], np.float32), np.array([0, 1, 1], np.float32))
    ]


def label_and_model(plan: bytes) -> Tuple[Dict[str, Any], bytes]:
    label, model = plan.split(b"\n", 1)
    return json.loads(label), model


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_every_generation_builds_in_both_precisions(
    gpu: Any, bundle: Bundle, windows: List[Inputs], precision: str
) -> None:
    record = build_engine(bundle, "tensorrt", precision, windows, QUIET)
    stem = f"tensorrt-{gpu.version}_nvidia-tegra-x2-sm62_{precision}"
    assert sorted(file.name for file in bundle.engines.iterdir()) == [
        f"tensorrt-{gpu.version}_nvidia-tegra-x2-sm62.timing",
        f"{stem}.json",
        f"{stem}.plan",
    ]
    label, model = label_and_model((bundle.engines / f"{stem}.plan").read_bytes())
    by_flag = precision == "fp16" and gpu.version != "11.4.0.106"
    assert label["flags"] == (["fp16", "tf32"] if by_flag else ["tf32"] if precision == "fp16" else [])
    assert model == (HALF if precision == "fp16" and not by_flag else TINY)
    assert record.model == bundle.sha256["model.fp16.onnx" if model == HALF else "model.onnx"]
    assert record.verification.windows == 7 + 3
    assert (record.verification.max_error, record.verification.top1_differs) == (0, 0)
    assert records(bundle) == [record]
    assert up_to_date(bundle, key_here("tensorrt", precision)) == record
    assert open_engine(bundle, "tensorrt").precision == precision


def test_a_second_build_goes_on_from_the_timings_of_the_first(gpu: Any, bundle: Bundle, windows: List[Inputs]) -> None:
    build_engine(bundle, "tensorrt", "fp32", windows, QUIET)
    build_engine(bundle, "tensorrt", "fp16", windows, QUIET)
    size = len(b"timings of " + gpu.version.encode())
    assert [call for call in gpu.calls if call.startswith("create_timing_cache")] == [
        "create_timing_cache of 0 bytes",
        f"create_timing_cache of {size} bytes",
    ]


def test_an_engine_that_differs_is_refused_with_its_figures_and_not_kept(
    gpu: Any, bundle: Bundle, windows: List[Inputs]
) -> None:
    build_engine(bundle, "tensorrt", "fp32", windows, QUIET)
    gpu.faults["answers"] = lambda probabilities: probabilities[:, ::-1]
    words = (
        r"tensorrt in fp32 was built and refused: in 10 windows its answers differ from ONNX Runtime's by up to "
        r"0\.\d+ \(allowed: 0\.001\), the activity in \d+ of them\. Recognition goes on with ONNX Runtime on the CPU$"
    )
    with pytest.raises(EngineRefused, match=words):
        build_engine(bundle, "tensorrt", "fp32", windows, QUIET)
    assert not list(bundle.engines.glob("*.plan"))
    [record] = records(bundle)
    assert not record.verification.passed
    assert up_to_date(bundle, key_here("tensorrt", "fp32")) is None
    assert open_engine(bundle).name == "onnxruntime"


@pytest.mark.parametrize("answers", [lambda p: p * np.nan, lambda p: p * 0.9], ids=["NaN", "too far"])
def test_what_half_precision_may_not_do(install_gpu: Any, bundle: Bundle, windows: List[Inputs], answers: Any) -> None:
    install_gpu().faults["answers"] = answers
    with pytest.raises(EngineRefused, match="try --precision fp32"):
        build_engine(bundle, "tensorrt", "fp16", windows, QUIET)


def test_half_precision_may_err_where_single_may_not(install_gpu: Any, bundle: Bundle, windows: List[Inputs]) -> None:
    install_gpu().faults["answers"] = lambda probabilities: probabilities + np.array([0.01, 0, 0])
    record = build_engine(bundle, "tensorrt", "fp16", windows, QUIET)
    assert record.verification.max_error == pytest.approx(0.01, rel=1e-4)
    with pytest.raises(EngineRefused):
        build_engine(bundle, "tensorrt", "fp32", windows, QUIET)


class Swayed:
    """The model, with its answers moved."""

    name, precision = "tensorrt", "fp16"

    def __init__(self, bundle: Bundle, move: Tuple[float, float, float]) -> None:
        self._engine, self._move = OnnxRuntimeEngine(bundle.onnx), move

    def infer(self, inputs: Any) -> Tuple[np.ndarray, np.ndarray]:
        probabilities, weights = self._engine.infer(inputs)
        return probabilities + np.array(self._move, np.float32), weights


@pytest.mark.parametrize(("lead", "differs"), [(0.01, 0), (0.03, 1)])
def test_another_activity_counts_unless_the_two_are_as_good_as_equal(bundle: Bundle, lead: float, differs: int) -> None:
    window = {name: np.zeros(shape, np.float32) for name, shape in (("depth", (5, 4, 6)), ("radar", (10, 8, 5)))}
    window["imu"] = np.full((20, 6), np.log((1 + 2 * lead) / (1 - lead)), np.float32)
    window["presence"] = np.array([1, 0, 0], np.float32)
    first, second, _ = OnnxRuntimeEngine(bundle.onnx).infer(window)[0]
    assert first - second == pytest.approx(lead, rel=1e-3)
    figures = verify(bundle, Swayed(bundle, (-0.018, 0.018, 0)), [window], QUIET)
    assert figures.windows == 1
    assert figures.max_error == pytest.approx(0.018, rel=1e-3)
    assert (figures.top1_differs, figures.passed) == (differs, not differs)


def test_a_window_is_also_compared_with_each_of_its_sensors_absent(spec: ModelSpec, windows: List[Inputs]) -> None:
    whole, without_imu = (list(with_sensors_absent(spec, window)) for window in windows)
    assert [case["presence"].astype(int).tolist() for case in whole] == [
        [1, 1, 1], [1, 1, 0], [1, 0, 1], [0, 1, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1],
    ]  # fmt: skip
    assert [case["presence"].astype(int).tolist() for case in without_imu] == [[0, 1, 1], [0, 1, 0], [0, 0, 1]]
    assert not whole[3]["imu"].any()
    np.testing.assert_array_equal(whole[3]["radar"], windows[0]["radar"])


def test_an_update_or_another_gpu_builds_beside_and_removes_what_it_replaces(
    install_gpu: Any, bundle: Bundle, windows: List[Inputs], monkeypatch: pytest.MonkeyPatch
) -> None:
    install_gpu("8.2.1.8")
    build_engine(bundle, "tensorrt", "fp32", windows, QUIET)
    build_engine(bundle, "tensorrt", "fp16", windows, QUIET)
    install_gpu("8.6.1")
    build_engine(bundle, "tensorrt", "fp32", windows, QUIET)
    monkeypatch.setattr("cosmo_runtime.runtime.engines.choose.find_gpu", lambda: Gpu("Orin", (8, 7)))
    build_engine(bundle, "tensorrt", "fp32", windows, QUIET)
    assert sorted(file.name for file in bundle.engines.glob("*.plan")) == [
        "tensorrt-8.2.1.8_nvidia-tegra-x2-sm62_fp16.plan",
        "tensorrt-8.6.1_nvidia-tegra-x2-sm62_fp32.plan",
        "tensorrt-8.6.1_orin-sm87_fp32.plan",
    ]


def test_a_model_that_tensorrt_cannot_read_or_build_is_told(gpu: Any) -> None:
    trt = sys.modules["tensorrt"]
    with pytest.raises(EngineError, match=rf"TensorRT {gpu.version} cannot read the model: "):
        build_plan(trt, b"no model", "fp32", b"", QUIET)
    gpu.faults["build"] = True
    with pytest.raises(EngineError, match="could not build the model"):
        build_plan(trt, TINY, "fp32", b"", QUIET)


def test_a_bundle_of_before_builds_in_half_precision_where_tensorrt_makes_it(
    gpu: Any, tmp_path: Path, spec: ModelSpec, windows: List[Inputs]
) -> None:
    older = write_bundle(tmp_path / "older", spec, onnx=TINY, weights=b"none", provenance={}, metrics={})
    if gpu.version != "11.4.0.106":
        assert build_engine(older, "tensorrt", "fp16", windows, QUIET).precision == "fp16"
    else:
        with pytest.raises(EngineError, match=r"older was exported without a half precision model; .*use fp32"):
            build_engine(older, "tensorrt", "fp16", windows, QUIET)


def test_a_full_disk_leaves_no_engine_behind(
    install_gpu: Any, bundle: Bundle, windows: List[Inputs], monkeypatch: pytest.MonkeyPatch
) -> None:
    install_gpu()
    written: List[int] = []

    def full(number: int) -> None:
        written.append(number)
        if len(written) == 3:  # timings, plan, record
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("cosmo_runtime.models.files.os.fsync", full)
    with pytest.raises(EngineError, match=r"engines: cannot be written \(No space left on device\)"):
        build_engine(bundle, "tensorrt", "fp32", windows, QUIET)
    assert records(bundle) == []
    assert open_engine(bundle).name == "onnxruntime"
    assert not list(bundle.engines.glob(".*"))


def test_a_folder_that_cannot_be_written_is_told_with_a_way_out(
    install_gpu: Any, bundle: Bundle, windows: List[Inputs]
) -> None:
    install_gpu()
    bundle.engines.write_text("in the way")
    with pytest.raises(EngineError, match="Copy the bundle to a folder of your own"):
        build_engine(bundle, "tensorrt", "fp32", windows, QUIET)


def test_onnxruntime_on_a_gpu_is_verified_and_recorded_too(
    install_gpu: Any, bundle: Bundle, windows: List[Inputs], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its session runs on the CPU here, under the provider's name."""
    install_gpu()
    opened: List[Tuple[Path, Any]] = []

    class OnGpu(OnnxRuntimeEngine):
        def __init__(self, path: Path, threads: int, name: str, precision: str, cache: Any) -> None:
            opened.append((path, cache))
            if cache:
                (cache / "graph.engine").write_bytes(b"built")
            super().__init__(path, threads)
            self.name, self.precision = name, precision

    monkeypatch.setattr("cosmo_runtime.runtime.engines.choose.OnnxRuntimeEngine", OnGpu)
    monkeypatch.setattr(
        "onnxruntime.get_available_providers",
        lambda: ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"],
    )
    for engine, model in (("onnxruntime-cuda", bundle.onnx_fp16), ("onnxruntime-tensorrt", bundle.onnx)):
        key = key_here(engine, "fp16")
        if engine == "onnxruntime-tensorrt":
            (bundle.engines / key.stem).mkdir(parents=True)
            (bundle.engines / key.stem / "stale.engine").write_bytes(b"of another model")
        record = build_engine(bundle, engine, "fp16", windows, QUIET)
        assert record.plan is None
        cache = bundle.engines / key.stem if engine == "onnxruntime-tensorrt" else None
        assert opened[-1] == (model, cache)
        if cache:
            assert [file.name for file in cache.iterdir()] == ["graph.engine"]
        assert open_engine(bundle, engine).name == engine


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty seconds of an IMU and a camera that measure the time itself."""
    path = tmp_path_factory.mktemp("recorded") / "monday.mcap"
    infos = {
        "imu": SensorInfo("imu", "an IMU of numbers", 20),
        "depth": SensorInfo("depth", "a camera of numbers", 10, depth_scale_m=0.01),
    }
    with RecordingWriter(path, infos, {}) as writer:
        for step in range(0, 4001, 5):
            stamp_ns = 1000 * 10**9 + step * 10**7
            writer.write(Sample("imu", stamp_ns, stamp_ns + 10**6, np.full(9, step / 100, np.float32), b"raw"))
            if step % 10 == 0:
                writer.write(Sample("depth", stamp_ns, stamp_ns + 10**6, np.full((4, 6), step, np.uint16)))
    assert writer.dropped == 0
    return path


def test_windows_of_a_recording_are_what_a_run_sees_spread_over_it(recorded: Path, spec: ModelSpec) -> None:
    found = recorded_windows(recorded, spec)
    assert len(found) == 64
    assert all(window["presence"].tolist() == [1, 1, 0] for window in found)
    ends_s = [window["imu"][-1, 0] for window in found]
    assert (ends_s[0], ends_s[-1]) == (1.0, 40.0)
    assert np.all(np.diff(ends_s) > 0)
    np.testing.assert_allclose(found[0]["depth"][-1], 1.0)  # metres: 100 steps of 1 cm
    assert not found[0]["radar"].any()


def test_a_recording_too_short_for_a_window_is_told(tmp_path: Path, spec: ModelSpec) -> None:
    path = tmp_path / "short.mcap"
    with RecordingWriter(path, {"imu": SensorInfo("imu", "an IMU of numbers", 100)}, {}) as writer:
        writer.write(Sample("imu", 10**9, 10**9, np.zeros(9, np.float32), b"raw"))
    with pytest.raises(EngineError, match=r"short\.mcap holds no window of 1 s of imu, depth, radar"):
        recorded_windows(path, spec)


def test_without_an_emulated_rig_a_recording_is_asked_for(spec: ModelSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cosmo_runtime.sensors.simulation.person", None)
    with pytest.raises(EngineError, match=r"give --recording FILE\.mcap"):
        simulated_windows(spec)


def test_building_needs_no_torch() -> None:
    code = "import sys; sys.modules.update(torch=None, onnx=None, safetensors=None);"
    code += "import cosmo_runtime.runtime.engines.build"
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "src")}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


@pytest.mark.slow
def test_the_shipped_model_in_half_precision_passes_in_real_windows() -> None:
    """Numerics: what ONNX Runtime makes of the half precision file, as a GPU would be compared."""
    shipped = load_bundle(SHIPPED)
    windows = simulated_windows(shipped.spec)
    assert len(windows) > 50
    assert all(window["presence"].all() for window in windows)
    assert shipped.onnx_fp16
    half = OnnxRuntimeEngine(shipped.onnx_fp16, precision="fp16")
    figures = verify(shipped, half, windows, QUIET)
    assert figures.windows == 7 * len(windows)
    assert figures.passed
    assert 1e-5 < figures.max_error < TOLERANCE["fp16"] / 4  # it does compute otherwise, and has room to spare
