"""TensorRT without a GPU: what each generation offers, and the rules that a real one enforces."""

from __future__ import annotations

import json
import types
from typing import Any, Dict, List, Optional

import numpy as np
import onnxruntime

from tests.fake_pycuda import FakeGpu


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
