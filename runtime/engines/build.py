"""Builds engines for this machine's GPU, and rejects any whose answers differ from ONNX Runtime on the CPU.

It needs neither torch nor onnx, because engines are built where they run.
"""

from __future__ import annotations

import hashlib
import itertools
import shutil
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple

import numpy as np
from rich.markup import escape
from rich.progress import Progress

from cosmo_runtime.models.bundle import Bundle
from cosmo_runtime.models.features import features
from cosmo_runtime.models.files import write_whole
from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.runtime.engines.choose import (
    BuiltEngine,
    EngineKey,
    Verification,
    explain,
    key_here,
    model_of,
    onnxruntime_engine,
)
from cosmo_runtime.runtime.engines.onnxruntime import Engine, EngineError, OnnxRuntimeEngine
from cosmo_runtime.runtime.engines.tensorrt import TensorRtEngine, load_tensorrt, logger_of
from cosmo_runtime.runtime.sources.replay import replay
from cosmo_runtime.runtime.windows.aligner import Aligner
from cosmo_runtime.sensors.config import DepthConfig
from cosmo_runtime.sensors.events import Event
from cosmo_runtime.sensors.recording import Recording
from cosmo_runtime.sensors.sensor import SensorError, SensorInfo

TOLERANCE = {"fp32": 1e-3, "fp16": 2e-2}
"""How far probabilities and fusion weights may differ from those of ONNX Runtime on the CPU."""

_WORKSPACE_BYTES = 256 << 20  # workspace for the tactics that TensorRT tries; these models need little
_WINDOWS = 64
_WINDOWS_READ = 600
_SIMULATED_S = 30.0
_WARM_UP = 10


class EngineRefused(EngineError):
    """An engine was built, but its answers differ. The message says by how much."""


def build_engine(
    bundle: Bundle, engine: str, precision: str, windows: Sequence[Mapping[str, np.ndarray]], progress: Progress
) -> BuiltEngine:
    """Builds an engine in the bundle's ``engines/``, and replaces an earlier one of its kind.

    Args:
        bundle: holds the model.
        engine: ``tensorrt``, ``onnxruntime-tensorrt`` or ``onnxruntime-cuda``.
        precision: ``fp32`` or ``fp16``.
        windows: real windows for the verification, from ``recorded_windows`` or ``simulated_windows``.
        progress: shows the progress.

    Returns:
        The record of the engine, which runs may now use.

    Raises:
        EngineRefused: its answers differ. The record of that is stored, but not the engine.
        EngineError: this machine cannot build it, or nothing can be written into the bundle.
    """
    key = key_here(engine, precision)
    with _writing_into(bundle.engines):
        opened, plan = _build(bundle, key, progress)
        verification = verify(bundle, opened, windows, progress)
        _remove_earlier(bundle, key)
        if not verification.passed:
            plan = None
            shutil.rmtree(bundle.engines / key.stem, ignore_errors=True)
        if plan:
            write_whole(bundle.engines / f"{key.stem}.plan", plan)
        record = BuiltEngine(
            engine=engine,
            precision=precision,
            version=key.version,
            gpu=str(key.gpu),
            model=bundle.sha256[model_of(bundle, key).name],
            plan=hashlib.sha256(plan).hexdigest() if plan else None,
            verification=verification,
        )
        write_whole(bundle.engines / f"{key.stem}.json", record.model_dump_json(indent=2).encode() + b"\n")
    if not verification.passed:
        instead = "; try --precision fp32" if precision == "fp16" else ""
        raise EngineRefused(
            f"{bundle.path}: {engine} in {precision} was built and refused: {explain(verification)}. "
            f"Recognition goes on with ONNX Runtime on the CPU{instead}"
        )
    return record


def _build(bundle: Bundle, key: EngineKey, progress: Progress) -> Tuple[Engine, Optional[bytes]]:
    """Builds and opens an engine. The plan is None if ONNX Runtime stores it itself."""
    if key.engine != "tensorrt":
        if key.engine == "onnxruntime-tensorrt":  # else it would use what it built from another model of this name
            shutil.rmtree(bundle.engines / key.stem, ignore_errors=True)
            (bundle.engines / key.stem).mkdir()
        with _working(progress, f"{key.engine} prepares the model"):
            return onnxruntime_engine(bundle, key), None
    timings = bundle.engines / f"tensorrt-{key.version}_{key.gpu.slug}.timing"
    known = timings.read_bytes() if timings.is_file() else b""
    model = model_of(bundle, key).read_bytes()
    plan, known = build_plan(load_tensorrt(), model, key.precision, known, progress)
    write_whole(timings, known)
    return TensorRtEngine(plan, key.precision), plan


def build_plan(trt: Any, model: bytes, precision: str, timings: bytes, progress: Progress) -> Tuple[bytes, bytes]:
    """Builds a TensorRT plan, with whichever generation of TensorRT this is.

    Up to 8.3 the workspace is an attribute, later it is a memory pool. Up to 10, flags ask for an explicit batch axis
    and for half precision. In 11 the batch axis is always explicit, and the ONNX file determines the precision.

    Args:
        trt: TensorRT's Python module.
        model: the ONNX file.
        precision: ``fp32`` or ``fp16``.
        timings: timing cache of an earlier build on this machine, or empty.
        progress: shows the progress, in steps if TensorRT reports them (10 and later).

    Returns:
        The plan, and the timing cache for the next build.

    Raises:
        EngineError: TensorRT cannot read or build the model. Its log has details.
    """
    log = logger_of(trt)
    builder = trt.Builder(log)
    explicit_batch = getattr(trt.NetworkDefinitionCreationFlag, "EXPLICIT_BATCH", None)
    network = builder.create_network(0 if explicit_batch is None else 1 << int(explicit_batch))
    parser = trt.OnnxParser(network, log)  # its memory holds the network's weights
    if not parser.parse(model):
        errors = "; ".join(str(parser.get_error(index)) for index in range(parser.num_errors))
        raise EngineError(f"TensorRT {trt.__version__} cannot read the model: {errors}")

    config = builder.create_builder_config()
    if hasattr(config, "set_memory_pool_limit"):
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, _WORKSPACE_BYTES)
    else:
        config.max_workspace_size = _WORKSPACE_BYTES
    if precision == "fp32":
        config.clear_flag(trt.BuilderFlag.TF32)  # 10 bits of mantissa, on GPUs from Ampere on
    elif hasattr(trt.BuilderFlag, "FP16"):
        config.set_flag(trt.BuilderFlag.FP16)
    config.set_timing_cache(config.create_timing_cache(timings), ignore_mismatch=False)
    with _working(progress, f"TensorRT {trt.__version__} builds in {precision}"):
        if hasattr(config, "progress_monitor"):
            config.progress_monitor = _monitor(trt, progress)
        plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise EngineError(f"TensorRT {trt.__version__} could not build the model; its log says why")
    return bytes(plan), bytes(config.get_timing_cache().serialize())


def verify(
    bundle: Bundle, engine: Engine, windows: Sequence[Mapping[str, np.ndarray]], progress: Progress
) -> Verification:
    """Compares an engine with ONNX Runtime on the CPU, in each window with all its sensors and with some absent."""
    cpu = OnnxRuntimeEngine(bundle.onnx)
    tolerance = TOLERANCE[engine.precision]
    cases = [case for window in windows for case in with_sensors_absent(bundle.spec, window)]
    for case in cases[:_WARM_UP]:
        cpu.infer(case)
        engine.infer(case)
    errors, differs, times_ms = [], 0, []
    for case in progress.track(cases, description="compares it with ONNX Runtime on the CPU"):
        started = time.perf_counter()
        expected, expected_weights = cpu.infer(case)
        between = time.perf_counter()
        answer, weights = engine.infer(case)
        times_ms.append(((time.perf_counter() - between) * 1e3, (between - started) * 1e3))
        errors.append(max(np.abs(answer - expected).max(), np.abs(weights - expected_weights).max()))
        best = np.sort(expected)[::-1]
        if answer.argmax() != expected.argmax() and (len(best) < 2 or best[0] - best[1] > tolerance):
            differs += 1
    latency_ms, cpu_latency_ms = np.median(times_ms, axis=0)
    max_error = float(np.max(errors))  # NaN if any is NaN
    return Verification(
        windows=len(cases),
        max_error=max_error if np.isfinite(max_error) else None,
        tolerance=tolerance,
        top1_differs=differs,
        latency_ms=float(latency_ms),
        cpu_latency_ms=float(cpu_latency_ms),
    )


def with_sensors_absent(spec: ModelSpec, window: Mapping[str, np.ndarray]) -> Iterator[Dict[str, np.ndarray]]:
    """The window as it is, then as it would be without one or more of its sensors."""
    present = np.flatnonzero(window["presence"])
    for count in range(len(present), 0, -1):
        for remaining in itertools.combinations(present, count):
            presence = np.zeros_like(window["presence"])
            presence[list(remaining)] = 1
            arrays = {name: window[name] * presence[index] for index, name in enumerate(spec.sensors)}
            yield {**arrays, "presence": presence}


def recorded_windows(path: Path, spec: ModelSpec) -> List[Dict[str, np.ndarray]]:
    """Windows of a recording, spread over its first minutes, as in a replay.

    Raises:
        RecordingError: the recording is missing or damaged.
        EngineError: the recording holds no window of the model's sensors.
    """
    recording = Recording(path)
    events = replay(recording, spec.sensors, own_ticks=False, paced=False)
    inputs = list(itertools.islice(_inputs(events, spec, recording.infos), _WINDOWS_READ))
    if not inputs:
        raise EngineError(
            f"{path} holds no window of {spec.window_s:g} s of {', '.join(spec.sensors)}; use a longer recording"
        )
    return [inputs[index] for index in np.linspace(0, len(inputs) - 1, min(_WINDOWS, len(inputs))).astype(int)]


def simulated_windows(spec: ModelSpec) -> List[Dict[str, np.ndarray]]:
    """Windows of a simulated person, as from an emulated rig.

    Raises:
        EngineError: this installation has no emulated rig, or it lacks the model's sensors.
    """
    try:
        from cosmo_runtime.sensors.simulation.offline import events, infos_of
        from cosmo_runtime.sensors.simulation.person import HALF_CAMERA, SimulatedPerson

        person = SimulatedPerson(0, HALF_CAMERA)
        stream = events(person, _SIMULATED_S, DepthConfig(decimation=1))
        inputs = list(_inputs(stream, spec, infos_of(person)))
    except (ImportError, SensorError) as error:
        raise EngineError(f"no simulated person to verify with ({error}): give --recording FILE.mcap") from error
    if not inputs:
        raise EngineError(f"a simulated person has none of {', '.join(spec.sensors)}: give --recording FILE.mcap")
    return inputs


def _inputs(
    events: Iterable[Event], spec: ModelSpec, infos: Mapping[str, SensorInfo]
) -> Iterator[Dict[str, np.ndarray]]:
    """The engine's inputs in a run."""
    for window in Aligner(spec, infos).windows(events):
        presence = np.array([window.present[name] for name in spec.sensors], np.float32)
        yield {**features(spec, window.arrays), "presence": presence}


@contextmanager
def _working(progress: Progress, what: str) -> Iterator[None]:
    """Shows work of unknown length."""
    task = progress.add_task(what, total=None)
    yield
    progress.update(task, total=1, completed=1)


def _monitor(trt: Any, progress: Progress) -> Any:
    """Shows TensorRT's current phases, each below the phase that contains it."""
    tasks: Dict[str, Any] = {}

    class Monitor(trt.IProgressMonitor):
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: Optional[str], num_steps: int) -> None:
            tasks[phase_name] = progress.add_task(f"  {escape(phase_name)}", total=num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            progress.update(tasks[phase_name], completed=step + 1)
            return True  # continue

        def phase_finish(self, phase_name: str) -> None:
            progress.remove_task(tasks.pop(phase_name))

    return Monitor()


def _remove_earlier(bundle: Bundle, key: EngineKey) -> None:
    """Removes the engine of this kind for this GPU, whichever version built it."""
    for path in bundle.engines.glob(f"{key.engine}-*_{key.gpu.slug}_{key.precision}*"):
        if path.is_file():
            path.unlink()
        elif path.name != key.stem:  # the folder of the new engine
            shutil.rmtree(path)


@contextmanager
def _writing_into(folder: Path) -> Iterator[None]:
    try:
        folder.mkdir(exist_ok=True)
        yield
    except OSError as error:
        raise EngineError(
            f"{folder}: cannot be written ({error.strerror}). Copy the bundle to a folder of your own and build there"
        ) from error
