"""The engines of a bundle: those that were built and verified for this machine, and which one a run takes.

ONNX Runtime on the CPU runs every bundle. Any other engine is used only after `cosmo-runtime build` has compared it
with that one on real windows, and kept in the bundle's ``engines/``

    tensorrt-8.2.1.8_nvidia-tegra-x2-sm62_fp16.json   what was built from which model, how far its answers differ
    tensorrt-8.2.1.8_nvidia-tegra-x2-sm62_fp16.plan   the engine itself (a folder for ONNX Runtime's TensorRT provider)

An engine that was refused leaves its record, so that a run can say why it is not used, but no plan.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Literal, Optional, Tuple, get_args

import onnxruntime
from pydantic import BaseModel, ConfigDict, ValidationError

from models.bundle import Bundle
from runtime.engine import PROVIDERS, Engine, EngineError, OnnxRuntimeEngine
from runtime.gpu import Gpu, find_gpu
from runtime.tensorrt_engine import TensorRtEngine, load_pycuda, load_tensorrt

Choice = Literal["auto", "onnxruntime", "onnxruntime-cuda", "onnxruntime-tensorrt", "tensorrt"]
CHOICES = get_args(Choice)
ENGINES = CHOICES[1:]

_log = logging.getLogger(__name__)


class Verification(BaseModel):
    """How an engine compares with ONNX Runtime on the CPU, in the same windows.

    Attributes:
        windows: compared, with all sensors that a window has and with each of them absent.
        max_error: largest difference of a probability or a fusion weight.
        tolerance: what it may be.
        top1_differs: windows whose most probable activity is another one, leaving out those in which the two most
            probable lie within the tolerance.
        latency_ms: median time of the engine for one window.
        cpu_latency_ms: that of ONNX Runtime on one core of this machine.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="constants")

    windows: int
    max_error: float
    tolerance: float
    top1_differs: int
    latency_ms: float
    cpu_latency_ms: float

    @property
    def passed(self) -> bool:
        """Whether the engine may be used; not one that answers NaN."""
        return self.max_error <= self.tolerance and not self.top1_differs


class BuiltEngine(BaseModel):
    """The record of an engine.

    Attributes:
        engine: one of ``ENGINES``.
        precision: ``fp32`` or ``fp16``.
        version: of TensorRT, or of ONNX Runtime.
        gpu: that it was built for.
        model: sha256 of the ONNX file that it was built from.
        plan: sha256 of the plan beside the record; None where the library keeps its own, or the engine was refused.
        verification: its figures.
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
    """What an engine depends on besides the model; another of any of these needs another engine."""

    engine: str
    precision: str
    version: str
    gpu: Gpu

    @property
    def stem(self) -> str:
        """Of the names of its files."""
        return f"{self.engine}-{self.version}_{self.gpu.slug}_{self.precision}"


def key_here(engine: str, precision: str) -> EngineKey:
    """The key of an engine on this machine.

    Raises:
        EngineError: this machine cannot run it; the message says what it lacks.
    """
    if engine == "tensorrt":
        version = load_tensorrt().__version__
        load_pycuda()
    else:
        version = onnxruntime.__version__
        if PROVIDERS[engine] not in onnxruntime.get_available_providers():
            raise EngineError(f"{engine}: needs onnxruntime-gpu in the place of onnxruntime")
    gpu = find_gpu()
    if gpu is None:
        raise EngineError(f"{engine}: no NVIDIA GPU, or no driver for it (libcuda.so.1), was found")
    return EngineKey(engine, precision, version, gpu)


def model_of(bundle: Bundle, key: EngineKey) -> Path:
    """The ONNX file that an engine runs or is built from.

    TensorRT up to 10 makes half precision of the float32 file by itself, and leaves single what is faster so.
    TensorRT 11 and the CUDA provider compute in the file's own types.

    Raises:
        EngineError: the bundle lacks it.
    """
    older_tensorrt = key.engine == "tensorrt" and int(key.version.split(".")[0]) < 11
    if key.precision == "fp32" or older_tensorrt or key.engine == "onnxruntime-tensorrt":
        return bundle.onnx
    if bundle.onnx_fp16 is None:
        raise EngineError(f"{bundle.path} was exported without a half precision model; export it anew, or take fp32")
    return bundle.onnx_fp16


def open_engine(bundle: Bundle, choice: str = "auto", threads: int = 1) -> Engine:
    """Opens an engine for a bundle.

    Args:
        bundle: what it shall run.
        choice: ``auto`` takes the fastest of those that were verified on this machine, and ONNX Runtime on the CPU
            where there is none, saying so in the log if one was meant to be there; an engine's name takes that engine
            (of both precisions the faster one), and no other.
        threads: cores that ONNX Runtime may use on the CPU.

    Raises:
        EngineError: the engine that was asked for cannot be used; the message says why and what to do.
    """
    if choice == "onnxruntime":
        return OnnxRuntimeEngine(bundle.onnx, threads)
    usable: List[BuiltEngine] = []
    reasons: Dict[Tuple[str, str], str] = {}  # why not, by engine and precision
    for record in records(bundle):
        if choice in ("auto", record.engine):
            reason = why_unusable(bundle, record)
            if reason:
                reasons[record.engine, record.precision] = reason
            else:
                usable.append(record)
    for record in usable:  # the other one of its kind was built by an older version, or elsewhere
        reasons.pop((record.engine, record.precision), None)
    for record in sorted(usable, key=lambda record: record.verification.latency_ms):
        if choice == "auto" and record.verification.latency_ms >= record.verification.cpu_latency_ms:
            break  # nor are those that follow faster than the CPU
        try:
            return _open(bundle, record, threads)
        except EngineError as error:
            reasons[record.engine, record.precision] = str(error)
    if choice != "auto":
        key_here(choice, "fp32")
        why = "; ".join(reasons.values()) or f"build one: `cosmo-runtime build {bundle.path} --engine {choice}`"
        raise EngineError(f"{bundle.path} has no engine {choice} for this machine: {why}")
    for reason in reasons.values():
        _log.warning("%s: ONNX Runtime on the CPU runs instead", reason)
    return OnnxRuntimeEngine(bundle.onnx, threads)


def records(bundle: Bundle) -> List[BuiltEngine]:
    """The engines that were built for a bundle, on whatever machine; what cannot be read is left out, and logged."""
    found = []
    for file in sorted(bundle.engines.glob("*.json")):
        try:
            found.append(BuiltEngine.model_validate_json(file.read_bytes()))
        except (OSError, ValidationError) as error:
            _log.warning("%s cannot be read, build the engine anew: %s", file, error)
    return found


def up_to_date(bundle: Bundle, key: EngineKey) -> Optional[BuiltEngine]:
    """The engine of a key, if it was built from the bundle's model as it is and verified."""
    found = (record for record in records(bundle) if _is_of(record, key) and not why_unusable(bundle, record))
    return next(found, None)


def _is_of(record: BuiltEngine, key: EngineKey) -> bool:
    return (record.engine, record.precision, record.version, record.gpu) == (
        key.engine,
        key.precision,
        key.version,
        str(key.gpu),
    )


def why_unusable(bundle: Bundle, record: BuiltEngine) -> str:
    """Says why a built engine cannot be used here; nothing when it can."""
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
    if record.plan and (not plan.is_file() or hashlib.sha256(plan.read_bytes()).hexdigest() != record.plan):
        return f"{what}: {plan} is missing or not the file that was verified; {again}"
    return ""


def explain(verification: Verification) -> str:
    """Says how far an engine differs from ONNX Runtime on the CPU."""
    return (
        f"in {verification.windows} windows its answers differ from ONNX Runtime's by up to "
        f"{verification.max_error:.2g} (allowed: {verification.tolerance:g}), the activity in "
        f"{verification.top1_differs} of them"
    )


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
