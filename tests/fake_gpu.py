"""TensorRT and pycuda without a GPU: what they offer in each generation, and the rules that they punish on a real one.

A built engine here is the ONNX file with a label, and runs it in ONNX Runtime: what it answers has passed through the
buffers, copies and streams of the code under test. ``tests/runtime/test_tensorrt_names.py`` holds the names and
parameters below against NVIDIA's own modules.
"""

from __future__ import annotations

import itertools
import json
import sys
import types
from typing import Any, Callable, Dict, List, Optional, Tuple

import numpy as np
import onnxruntime
import pytest

from runtime.gpu import Gpu

TX2 = Gpu("NVIDIA Tegra X2", (6, 2))
VERSIONS = ("8.2.1.8", "8.6.1", "10.3.0", "11.4.0.106")


class FakeGpu:
    """A GPU's memory and streams, and what was done with them.

    Attributes:
        calls: names of what was called, in order.
        version: of TensorRT.
        faults: what to get wrong: ``answers`` (a function of the probabilities), ``enqueue`` (refuses), ``build``.
    """

    def __init__(self, version: str) -> None:
        self.version = version
        self.calls: List[str] = []
        self.faults: Dict[str, Any] = {}
        self.memory: Dict[int, np.ndarray] = {}
        self.pinned: List[np.ndarray] = []
        self.contexts: List[str] = []
        self.pending: List[Callable[[], None]] = []
        self._addresses = itertools.count(0x7000_0000, 0x1000_0000)

    def called(self, name: str) -> None:
        self.calls.append(name)

    def need_context(self) -> None:
        assert self.contexts, "no CUDA context is current in this thread"

    def allocate(self, size: int) -> int:
        self.need_context()
        address = next(self._addresses)
        self.memory[address] = np.full(size, 0xAB, np.uint8)
        return address

    def run_pending(self) -> None:
        for work in self.pending:
            work()
        self.pending.clear()


def pycuda_of(gpu: FakeGpu) -> types.ModuleType:
    """``pycuda.driver``: copies are not done before the stream is waited for, and only from and to pinned memory."""
    driver = types.ModuleType("pycuda.driver")

    class Error(Exception):
        pass

    class Context:
        def push(self) -> None:
            gpu.contexts.append("primary")

        @staticmethod
        def pop() -> None:
            gpu.contexts.pop()

    class Device:
        def __init__(self, number: int) -> None:
            assert number == 0

        def retain_primary_context(self) -> Context:
            return Context()

    class DeviceAllocation:
        def __init__(self, size: int) -> None:
            self.address = gpu.allocate(size)

        def __int__(self) -> int:
            return self.address

    class Stream:
        handle = 77

        def __init__(self) -> None:
            gpu.need_context()
            gpu.called("Stream")

        def synchronize(self) -> None:
            gpu.need_context()
            gpu.called("synchronize")
            gpu.run_pending()

    def mem_alloc(size: int) -> DeviceAllocation:
        gpu.called("mem_alloc")
        return DeviceAllocation(int(size))

    def pagelocked_empty(shape: Tuple[int, ...], dtype: Any) -> np.ndarray:
        gpu.need_context()
        gpu.called("pagelocked_empty")
        array = np.full(shape, -1, dtype)
        gpu.pinned.append(array)
        return array

    def check(host: np.ndarray, stream: Stream) -> None:
        gpu.need_context()
        assert isinstance(stream, Stream), "a copy on the default stream waits for everything"
        assert any(host is array for array in gpu.pinned), "an asynchronous copy needs pinned memory"

    def memcpy_htod_async(dest: DeviceAllocation, src: np.ndarray, stream: Stream) -> None:
        check(src, stream)
        gpu.called("memcpy_htod_async")

        def copy() -> None:
            gpu.memory[int(dest)][:] = src.reshape(-1).view(np.uint8)

        gpu.pending.append(copy)

    def memcpy_dtoh_async(dest: np.ndarray, src: DeviceAllocation, stream: Stream) -> None:
        check(dest, stream)
        gpu.called("memcpy_dtoh_async")

        def copy() -> None:
            dest.reshape(-1).view(np.uint8)[:] = gpu.memory[int(src)]

        gpu.pending.append(copy)

    def init() -> None:
        gpu.called("init")

    for item in (
        Error, Context, Device, Stream, init, mem_alloc, pagelocked_empty, memcpy_htod_async, memcpy_dtoh_async,
    ):  # fmt: skip
        setattr(driver, item.__name__, item)
    return driver


def tensorrt_of(gpu: FakeGpu, version: str) -> types.ModuleType:
    """``tensorrt`` of a version, with the classes and names that the generation has, and no others."""
    generation = tuple(map(int, version.split(".")[:2]))
    by_binding, by_name = generation < (10, 0), generation >= (8, 5)
    trt = types.ModuleType("tensorrt")
    trt.__version__ = version  # type: ignore[attr-defined]

    class ILogger:
        INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = "internal", "error", "warning", "info", "verbose"

        def __init__(self) -> None:
            self.ready = True

        def log(self, severity: Any, msg: str) -> None:
            raise NotImplementedError

    class DataType:
        FLOAT = "float"

    class NetworkDefinitionCreationFlag:
        if generation < (11, 0):
            EXPLICIT_BATCH = 0

    class BuilderFlag:
        TF32 = "tf32"
        if generation < (11, 0):
            FP16 = "fp16"

    class MemoryPoolType:
        WORKSPACE = "workspace"

    class TensorIOMode:
        INPUT, OUTPUT = "input", "output"

    class IHostMemory:
        def __init__(self, content: bytes) -> None:
            self._content = content

        def __bytes__(self) -> bytes:
            return self._content

    class ITimingCache:
        def __init__(self, content: bytes) -> None:
            self.content = content

        def serialize(self) -> IHostMemory:
            return IHostMemory(self.content)

    class IProgressMonitor:
        def __init__(self) -> None:
            self.ready = True

        def phase_start(self, phase_name: str, parent_phase: Optional[str], num_steps: int) -> None:
            raise NotImplementedError

        def step_complete(self, phase_name: str, step: int) -> bool:
            raise NotImplementedError

        def phase_finish(self, phase_name: str) -> None:
            raise NotImplementedError

    class IBuilderConfig:
        __slots__ = ("_cache", "_flags", "_workspace", *(["progress_monitor"] if generation >= (10, 0) else []))

        def __init__(self) -> None:
            self._flags = {BuilderFlag.TF32}
            self._workspace = 0
            self._cache: Optional[ITimingCache] = None
            if generation >= (10, 0):
                self.progress_monitor: Optional[IProgressMonitor] = None

        def set_flag(self, flag: str) -> None:
            self._flags.add(flag)

        def clear_flag(self, flag: str) -> None:
            self._flags.discard(flag)

        def create_timing_cache(self, serialized_timing_cache: bytes) -> ITimingCache:
            gpu.called(f"create_timing_cache of {len(serialized_timing_cache)} bytes")
            return ITimingCache(serialized_timing_cache)

        def set_timing_cache(self, cache: ITimingCache, ignore_mismatch: bool) -> bool:
            self._cache = cache
            return True

        def get_timing_cache(self) -> ITimingCache:
            assert self._cache, "no timing cache was set"
            return self._cache

        if generation < (10, 0):

            @property
            def max_workspace_size(self) -> int:
                return self._workspace

            @max_workspace_size.setter
            def max_workspace_size(self, size: int) -> None:
                self._workspace = size

        if generation >= (8, 4):

            def set_memory_pool_limit(self, pool: str, pool_size: int) -> None:
                assert pool == MemoryPoolType.WORKSPACE
                self._workspace = pool_size

    class INetworkDefinition:
        def __init__(self, flags: int) -> None:
            self.explicit_batch = generation >= (10, 0) or flags & 1
            self.model = b""

    class OnnxParser:
        def __init__(self, network: INetworkDefinition, logger: ILogger) -> None:
            assert logger.ready, "ILogger.__init__ was not called"
            self._network = network
            self._errors: List[str] = []

        @property
        def num_errors(self) -> int:
            return len(self._errors)

        def get_error(self, index: int) -> str:
            return self._errors[index]

        def parse(self, model: bytes) -> bool:
            if not self._network.explicit_batch:
                self._errors.append("an ONNX model needs a network with EXPLICIT_BATCH")
                return False
            try:
                onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
            except Exception as error:
                self._errors.append(str(error))
                return False
            self._network.model = model
            return True

    class Builder:
        def __init__(self, logger: ILogger) -> None:
            assert isinstance(logger, ILogger)

        def create_network(self, flags: int = 0) -> INetworkDefinition:
            assert generation < (11, 0) or not flags, "TensorRT 11 has no EXPLICIT_BATCH"
            return INetworkDefinition(flags)

        def create_builder_config(self) -> IBuilderConfig:
            return IBuilderConfig()

        def build_serialized_network(
            self, network: INetworkDefinition, config: IBuilderConfig
        ) -> Optional[IHostMemory]:
            gpu.called("build_serialized_network")
            if not config._workspace or gpu.faults.get("build"):
                return None
            if generation >= (10, 0):
                monitor = config.progress_monitor
                assert isinstance(monitor, IProgressMonitor)
                assert monitor.ready, "IProgressMonitor.__init__ was not called"
                monitor.phase_start("Building engine", None, 2)
                monitor.phase_start("Timing", "Building engine", 1)
                assert monitor.step_complete("Timing", 0) is True
                monitor.phase_finish("Timing")
                assert monitor.step_complete("Building engine", 0) is True
                monitor.phase_finish("Building engine")
            config.get_timing_cache().content = b"timings of " + version.encode()
            label = json.dumps({"version": version, "flags": sorted(config._flags)})
            return IHostMemory(label.encode() + b"\n" + network.model)

    class ICudaEngine:
        def __init__(self, plan: bytes) -> None:
            label, model = plan.split(b"\n", 1)
            self._flags = json.loads(label)["flags"]
            self._session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
            # TensorRT keeps no order between inputs and outputs
            self._tensors = [*self._session.get_outputs(), *self._session.get_inputs()]
            self._by_name = {tensor.name: tensor for tensor in self._tensors}

        def create_execution_context(self) -> IExecutionContext:
            gpu.need_context()
            return IExecutionContext(self)

        def _is_input(self, name: str) -> bool:
            return name in {tensor.name for tensor in self._session.get_inputs()}

        if by_binding:

            @property
            def num_bindings(self) -> int:
                return len(self._tensors)

            def get_binding_name(self, index: int) -> str:
                return self._tensors[index].name

            def binding_is_input(self, index: int) -> bool:
                return self._is_input(self._tensors[index].name)

            def get_binding_shape(self, index: int) -> List[int]:
                return self._tensors[index].shape

            def get_binding_dtype(self, index: int) -> str:
                return DataType.FLOAT

        if by_name:

            @property
            def num_io_tensors(self) -> int:
                return len(self._tensors)

            def get_tensor_name(self, index: int) -> str:
                return self._tensors[index].name

            def get_tensor_mode(self, name: str) -> str:
                return TensorIOMode.INPUT if self._is_input(name) else TensorIOMode.OUTPUT

            def get_tensor_shape(self, name: str) -> List[int]:
                return self._by_name[name].shape

            def get_tensor_dtype(self, name: str) -> str:
                return DataType.FLOAT

    class IExecutionContext:
        def __init__(self, engine: ICudaEngine) -> None:
            self._engine = engine
            self._addresses: Dict[str, int] = {}

        def _enqueue(self, addresses: Dict[str, int], stream_handle: int) -> bool:
            gpu.need_context()
            assert stream_handle == 77, "not the handle of the stream that copies"
            gpu.called("enqueue")
            if gpu.faults.get("enqueue"):
                return False
            gpu.pending.append(lambda: self._compute(addresses))
            return True

        def _compute(self, addresses: Dict[str, int]) -> None:
            session = self._engine._session
            inputs = {
                item.name: gpu.memory[addresses[item.name]].view(np.float32).reshape(item.shape)
                for item in session.get_inputs()
            }
            for item, answer in zip(session.get_outputs(), session.run(None, inputs)):
                if item.name == "probabilities" and "answers" in gpu.faults:
                    answer = np.ascontiguousarray(gpu.faults["answers"](answer), np.float32)
                gpu.memory[addresses[item.name]][:] = answer.reshape(-1).view(np.uint8)

        if by_binding:

            def execute_async_v2(self, bindings: List[int], stream_handle: int) -> bool:
                names = [tensor.name for tensor in self._engine._tensors]
                assert len(bindings) == len(names)
                return self._enqueue(dict(zip(names, bindings)), stream_handle)

        if by_name:

            def set_tensor_address(self, name: str, memory: int) -> bool:
                self._addresses[name] = memory
                return True

            def execute_async_v3(self, stream_handle: int) -> bool:
                return self._enqueue(self._addresses, stream_handle)

    class Runtime:
        def __init__(self, logger: ILogger) -> None:
            assert isinstance(logger, ILogger)

        def deserialize_cuda_engine(self, serialized_engine: bytes) -> Optional[ICudaEngine]:
            gpu.need_context()
            try:
                label = json.loads(serialized_engine.split(b"\n", 1)[0])
            except ValueError:
                return None
            return ICudaEngine(serialized_engine) if label["version"] == version else None

    classes: List[Any] = [
        BuilderFlag, Builder, DataType, IBuilderConfig, ICudaEngine, IExecutionContext, IHostMemory, ILogger,
        INetworkDefinition, ITimingCache, NetworkDefinitionCreationFlag, OnnxParser, Runtime,
    ]  # fmt: skip
    if generation >= (8, 4):
        classes.append(MemoryPoolType)
    if by_name:
        classes.append(TensorIOMode)
    if generation >= (10, 0):
        classes.append(IProgressMonitor)
    for item in classes:
        setattr(trt, item.__name__, item)
    return trt


def install(monkeypatch: pytest.MonkeyPatch, version: str) -> FakeGpu:
    """Gives this process a GPU, TensorRT of a version and pycuda."""
    gpu = FakeGpu(version)
    pycuda = types.ModuleType("pycuda")
    pycuda.driver = pycuda_of(gpu)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pycuda", pycuda)
    monkeypatch.setitem(sys.modules, "pycuda.driver", pycuda.driver)
    monkeypatch.setitem(sys.modules, "tensorrt", tensorrt_of(gpu, version))
    monkeypatch.setattr("runtime.engines.find_gpu", lambda: TX2)
    return gpu
