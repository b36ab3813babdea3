"""A bundle's engines: which were built and verified for this machine, and which one a run uses.

ONNX Runtime on the CPU runs every bundle. Any other engine is used only after `cosmo-runtime build` has compared it
with that one on real windows, and stored it in the bundle's ``engines/``:

    tensorrt-8.2.1.8_nvidia-tegra-x2-sm62_fp16.json   what was built from which model, how far its answers differ
    tensorrt-8.2.1.8_nvidia-tegra-x2-sm62_fp16.plan   the engine itself (a folder for ONNX Runtime's TensorRT provider)

A rejected engine leaves its record, so that a run can say why it is not used, but no plan.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Literal, Optional, Tuple, get_args

import onnxruntime
from pydantic import BaseModel, ConfigDict, ValidationError

from cosmo_runtime.models.bundle import Bundle
from cosmo_runtime.models.files import sha256_of
from cosmo_runtime.runtime.engines.answers import check_engine
from cosmo_runtime.runtime.engines.gpu import Gpu, find_gpu
from cosmo_runtime.runtime.engines.onnxruntime import PROVIDERS, Engine, EngineError, OnnxRuntimeEngine
from cosmo_runtime.runtime.engines.tensorrt import TensorRtEngine, load_pycuda, load_tensorrt
from cosmo_runtime.runtime.engines.trial import ensure_tried

Choice = Literal["auto", "onnxruntime", "onnxruntime-cuda", "onnxruntime-tensorrt", "tensorrt"]
CHOICES = get_args(Choice)
ENGINES = CHOICES[1:]

_log = logging.getLogger(__name__)


class Verification(BaseModel):
    """How an engine compares with ONNX Runtime on the CPU, in the same windows.

    Attributes:
        windows: how many were compared, with all their sensors and with each of them absent.
        max_error: the largest difference of a probability or a fusion weight; None if an answer was NaN.
        tolerance: the largest allowed difference.
        top1_differs: windows whose most probable activity differs, except those in which the two most probable
            activities lie within the tolerance.
        latency_ms: the engine's median time for one window.
        cpu_latency_ms: the median time of ONNX Runtime on one core of this machine.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    windows: int
    max_error: Optional[float]
    tolerance: float
    top1_differs: int
    latency_ms: float
    cpu_latency_ms: float

    @property
    def passed(self) -> bool:
        """Whether the engine may be used. One that answers NaN may not."""
        return self.max_error is not None and self.max_error <= self.tolerance and not self.top1_differs


class BuiltEngine(BaseModel):
    """The record of an engine that was built.

    Attributes:
        engine: one of ``ENGINES``.
        precision: ``fp32`` or ``fp16``.
        version: the version of TensorRT or ONNX Runtime.
        gpu: the GPU that it was built for.
        model: sha256 of the ONNX file that it was built from.
        plan: sha256 of the plan beside the record; None if the library stores its own, or the engine was rejected.
        verification: the figures of the comparison.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    engine: Literal["onnxruntime-cuda", "onnxruntime-tensorrt", "tensorrt"]
    precision: Literal["fp32", "fp16"]
    version: str
    gpu: str
    model: str
    plan: Optional[str]
    verification: Verification


@dataclass(frozen=True)
class EngineKey:
    """What an engine depends on besides the model. If any of it changes, the engine must be built again."""

    engine: str
    precision: str
    version: str
    gpu: Gpu

    @property
    def stem(self) -> str:
        """The beginning of the names of its files."""
        return f"{self.engine}-{self.version}_{self.gpu.slug}_{self.precision}"


def key_here(engine: str, precision: str) -> EngineKey:
    """Returns the key of an engine on this machine.

    Raises:
        EngineError: this machine cannot run it. The message says what is missing.
    """
    if engine == "tensorrt":
        version = load_tensorrt().__version__
        load_pycuda()
    else:
        version = onnxruntime.__version__
        if PROVIDERS[engine] not in onnxruntime.get_available_providers():
            raise EngineError(f"{engine}: needs onnxruntime-gpu instead of onnxruntime")
    gpu = find_gpu()
    if gpu is None:
        raise EngineError(f"{engine}: no NVIDIA GPU, or no driver for it (libcuda.so.1), was found")
    return EngineKey(engine, precision, version, gpu)


def model_of(bundle: Bundle, key: EngineKey) -> Path:
    """Returns the ONNX file that an engine runs or is built from.

    Up to TensorRT 10, it converts the float32 file to half precision itself, except where single precision is faster.
    TensorRT 11 and the CUDA provider compute in the file's own types.

    Raises:
        EngineError: the bundle lacks it.
    """
    older_tensorrt = key.engine == "tensorrt" and int(key.version.split(".")[0]) < 11
    if key.precision == "fp32" or older_tensorrt or key.engine == "onnxruntime-tensorrt":
        return bundle.onnx
    if bundle.onnx_fp16 is None:
        raise EngineError(f"{bundle.path} was exported without a half precision model; export it again, or use fp32")
    return bundle.onnx_fp16


def open_engine(bundle: Bundle, choice: str = "auto", threads: int = 1, skipping: bool = False) -> Engine:
    """Opens an engine for a bundle and tries it with every combination of sensors.

    Args:
        bundle: the bundle to run.
        choice: ``auto`` uses the fastest engine that was verified on this machine, or else ONNX Runtime on the CPU; the
            log says so if an engine was expected. An engine's name uses only that engine, in the faster precision.
        threads: cores that ONNX Runtime may use on the CPU.
        skipping: whether ONNX Runtime on the CPU is not to run the encoders of absent sensors. With all sensors
            present, that takes a little longer.

    Raises:
        EngineError: the chosen engine cannot be used, or the model is bad. The message says why.
    """
    if choice == "onnxruntime":
        return _open_on_cpu(bundle, threads, skipping)
    usable: List[BuiltEngine] = []
    reasons: Dict[Tuple[str, str], str] = {}  # why an engine cannot be used, by engine and precision
    for record in records(bundle):
        if choice in ("auto", record.engine):
            reason = why_unusable(bundle, record)
            if reason:
                reasons[record.engine, record.precision] = reason
            else:
                usable.append(record)
    for record in usable:  # the other of its kind was built by an older version, or elsewhere
        reasons.pop((record.engine, record.precision), None)
    for record in sorted(usable, key=lambda record: record.verification.latency_ms):
        if choice == "auto" and record.verification.latency_ms >= record.verification.cpu_latency_ms:
            break  # the following ones are not faster than the CPU either
        try:
            engine = _open(bundle, record, threads)
            check_engine(engine, bundle)
            return engine
        except EngineError as error:
            reasons[record.engine, record.precision] = str(error)
    if choice != "auto":
        key_here(choice, "fp32")
        why = "; ".join(reasons.values()) or f"build one: `cosmo-runtime build {bundle.path} --engine {choice}`"
        raise EngineError(f"{bundle.path} has no engine {choice} for this machine: {why}")
    for reason in reasons.values():
        _log.warning("%s: ONNX Runtime on the CPU runs instead", reason)
    return _open_on_cpu(bundle, threads, skipping)


def records(bundle: Bundle) -> List[BuiltEngine]:
    """Returns the engines built for a bundle on any machine. Unreadable records are logged and left out."""
    built = []
    for file in sorted(bundle.engines.glob("*.json")):
        try:
            built.append(BuiltEngine.model_validate_json(file.read_bytes()))
        except (OSError, ValidationError) as error:
            _log.warning("%s cannot be read, build the engine again: %s", file, error)
    return built


def up_to_date(bundle: Bundle, key: EngineKey) -> Optional[BuiltEngine]:
    """Returns a key's engine if it was verified and was built from the bundle's present model."""
    built = (record for record in records(bundle) if _is_of(record, key) and not why_unusable(bundle, record))
    return next(built, None)


def _is_of(record: BuiltEngine, key: EngineKey) -> bool:
    return (record.engine, record.precision, record.version, record.gpu) == (
        key.engine,
        key.precision,
        key.version,
        str(key.gpu),
    )


def why_unusable(bundle: Bundle, record: BuiltEngine) -> str:
    """Says why a built engine cannot be used here; empty if it can."""
    what = f"{record.engine} in {record.precision}"
    again = f"run `cosmo-runtime build {bundle.path} --engine {record.engine} --precision {record.precision}`"
    try:
        key = key_here(record.engine, record.precision)
        model = model_of(bundle, key)
    except EngineError as error:
        return f"{what}: {error}"
    if not _is_of(record, key):
        return f"{what} was built with {record.version} for {record.gpu}, here are {key.version} and {key.gpu}; {again}"
    if record.model != bundle.sha256[model.name]:
        return f"{what} was built from another model than {model}; {again}"
    if not record.verification.passed:
        return f"{what} was refused: {explain(record.verification)}"
    plan = bundle.engines / f"{key.stem}.plan"
    if record.engine == "tensorrt" and (not plan.is_file() or sha256_of(plan) != record.plan):
        return f"{what}: {plan} is missing or not the file that was verified; {again}"
    return ""


def explain(verification: Verification) -> str:
    """Describes how much an engine differs from ONNX Runtime on the CPU."""
    if verification.max_error is None:
        return f"in {verification.windows} windows, some of its answers were not numbers"
    return (
        f"in {verification.windows} windows its answers differ from ONNX Runtime's by up to "
        f"{verification.max_error:.2g} (allowed: {verification.tolerance:g}), the activity in "
        f"{verification.top1_differs} of them"
    )


def _open_on_cpu(bundle: Bundle, threads: int, skipping: bool) -> Engine:
    ensure_tried(bundle)
    graph = bundle.onnx_skipping if skipping else bundle.onnx
    if graph is None:
        _log.warning(
            "%s: an older version exported it, so the encoders of sleeping sensors run all the same", bundle.path
        )
    engine = OnnxRuntimeEngine(graph or bundle.onnx, threads)
    check_engine(engine, bundle)
    return engine


def _open(bundle: Bundle, record: BuiltEngine, threads: int) -> Engine:
    key = key_here(record.engine, record.precision)
    if record.engine == "tensorrt":
        return TensorRtEngine((bundle.engines / f"{key.stem}.plan").read_bytes(), record.precision)
    return onnxruntime_engine(bundle, key, threads)


def onnxruntime_engine(bundle: Bundle, key: EngineKey, threads: int = 1) -> OnnxRuntimeEngine:
    """ONNX Runtime on the GPU.

    Raises:
        EngineError: it cannot run the model there.
    """
    model = model_of(bundle, key)
    cache = bundle.engines / key.stem if key.engine == "onnxruntime-tensorrt" else None
    return OnnxRuntimeEngine(model, threads, key.engine, key.precision, cache)
