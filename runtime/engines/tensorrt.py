"""Runs a TensorRT plan through pycuda. Memory is allocated once, so an inference only copies and computes.

TensorRT's Python interface has changed twice since the TX2's 8.2. Up to 8.4 inputs and outputs are *bindings*,
identified by their place in a list. From 8.5 on they are tensors, identified by name, and 10 removed the bindings.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Dict, Iterator, Mapping, NamedTuple, Tuple

import numpy as np

from cosmo_runtime.runtime.engines.onnxruntime import EngineError

_log = logging.getLogger(__name__)


def load_tensorrt() -> Any:
    """Returns TensorRT's Python module.

    Raises:
        EngineError: it is not installed, or its libraries do not load.
    """
    try:
        import tensorrt
    except ImportError as error:
        raise EngineError(f"TensorRT cannot be imported ({error}): install it for this Python") from error
    except Exception as error:  # its libraries fail in many ways without a GPU
        raise EngineError(f"TensorRT is installed but cannot be loaded: {error}") from error
    return tensorrt


def load_pycuda() -> Any:
    """Returns pycuda's driver module, initialised.

    Raises:
        EngineError: it is not installed, or there is no GPU.
    """
    try:
        import pycuda.driver as cuda

        cuda.init()
    except ImportError as error:
        raise EngineError(f"pycuda cannot be imported ({error}): pip install 'cosmo-runtime[gpu]'") from error
    except Exception as error:  # pycuda raises several types of its own without a GPU
        raise EngineError(f"pycuda finds no GPU that it can use: {error}") from error
    return cuda


@lru_cache(maxsize=None)  # TensorRT accepts one logger in a process
def logger_of(trt: Any) -> Any:
    """Returns a logger for TensorRT that passes its messages to Python's logging."""
    levels = {
        trt.ILogger.INTERNAL_ERROR: logging.ERROR,
        trt.ILogger.ERROR: logging.ERROR,
        trt.ILogger.WARNING: logging.INFO,  # such as: weights of 64 bits are cast to 32, with every model
        trt.ILogger.INFO: logging.DEBUG,
        trt.ILogger.VERBOSE: logging.NOTSET,
    }

    class Logger(trt.ILogger):
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            _log.log(levels[severity], "TensorRT: %s", message)

    return Logger()


class Tensor(NamedTuple):
    """An input or output of an engine: its static shape with the batch axis, and TensorRT's name for its type."""

    name: str
    is_input: bool
    shape: Tuple[int, ...]
    dtype: Any


class BindingsContext:
    """Inputs and outputs before TensorRT 8.5: places in a list of addresses."""

    def __init__(self, trt: Any, engine: Any) -> None:
        self.tensors = [
            Tensor(
                engine.get_binding_name(index),
                engine.binding_is_input(index),
                tuple(engine.get_binding_shape(index)),
                engine.get_binding_dtype(index),
            )
            for index in range(engine.num_bindings)
        ]
        self._context = engine.create_execution_context()
        self._addresses = [0] * len(self.tensors)

    def bind(self, name: str, address: int) -> None:
        """Says where a tensor lies in the GPU's memory."""
        self._addresses[[tensor.name for tensor in self.tensors].index(name)] = address

    def enqueue(self, stream: int) -> bool:
        """Queues one inference; False when TensorRT refuses."""
        return bool(self._context.execute_async_v2(self._addresses, stream))


class NamedContext:
    """Inputs and outputs from TensorRT 8.5 on: tensors with names."""

    def __init__(self, trt: Any, engine: Any) -> None:
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        self.tensors = [
            Tensor(
                name,
                engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT,
                tuple(engine.get_tensor_shape(name)),
                engine.get_tensor_dtype(name),
            )
            for name in names
        ]
        self._context = engine.create_execution_context()

    def bind(self, name: str, address: int) -> None:
        """Says where a tensor lies in the GPU's memory."""
        if not self._context.set_tensor_address(name, address):
            raise EngineError(f"TensorRT refuses the memory for {name}")

    def enqueue(self, stream: int) -> bool:
        """Queues one inference; False when TensorRT refuses."""
        return bool(self._context.execute_async_v3(stream))


class TensorRtEngine:
    """Runs a plan that was built for this GPU and this TensorRT.

    Everything is allocated here: one stream, and for each tensor a buffer on the GPU and one of pinned memory on the
    host. The GPU's primary context is shared with everything else in the process, and is current only during a call, so
    any thread may use the engine, one at a time.

    Args:
        plan: the serialised engine.
        precision: the precision it was built with.

    Raises:
        EngineError: TensorRT or pycuda is missing, there is no GPU, or the plan is for another GPU or TensorRT.
    """

    name = "tensorrt"

    def __init__(self, plan: bytes, precision: str = "fp32") -> None:
        self.precision = precision
        trt, self._cuda = load_tensorrt(), load_pycuda()
        self._primary = self._cuda.Device(0).retain_primary_context()
        self._host: Dict[str, np.ndarray] = {}
        self._device: Dict[str, Any] = {}
        with self._current():
            self._runtime = trt.Runtime(logger_of(trt))  # must live as long as its engine
            self._engine = self._runtime.deserialize_cuda_engine(plan)
            if self._engine is None:
                raise EngineError(
                    f"TensorRT {trt.__version__} cannot load the engine: it is of another version or for another GPU; "
                    "run `cosmo-runtime build` on this machine"
                )
            named = hasattr(self._engine, "num_io_tensors")
            self._context = NamedContext(trt, self._engine) if named else BindingsContext(trt, self._engine)
            self._stream = self._cuda.Stream()
            for tensor in self._context.tensors:
                # trt.nptype would translate any type, but before TensorRT 8.6 it fails with NumPy 1.24
                if tensor.dtype != trt.DataType.FLOAT:
                    raise EngineError(f"the engine's {tensor.name} is {tensor.dtype}; bundles have float32 only")
                self._host[tensor.name] = self._cuda.pagelocked_empty(tensor.shape, np.float32)
                self._device[tensor.name] = self._cuda.mem_alloc(self._host[tensor.name].nbytes)
                self._context.bind(tensor.name, int(self._device[tensor.name]))
        self._inputs = [tensor.name for tensor in self._context.tensors if tensor.is_input]
        self._outputs = [tensor.name for tensor in self._context.tensors if not tensor.is_input]
        if sorted(self._outputs) != ["probabilities", "weights"]:
            raise EngineError(f"the engine answers {', '.join(self._outputs)}, not probabilities and weights")

    def infer(self, inputs: Mapping[str, np.ndarray]) -> Tuple[np.ndarray, np.ndarray]:
        """Recognises one window, see ``Engine``."""
        for name in self._inputs:
            self._host[name][0] = inputs[name]
        with self._current():
            for name in self._inputs:
                self._cuda.memcpy_htod_async(self._device[name], self._host[name], self._stream)
            if not self._context.enqueue(self._stream.handle):
                raise EngineError("TensorRT could not run the engine; its log has the reason")
            for name in self._outputs:
                self._cuda.memcpy_dtoh_async(self._host[name], self._device[name], self._stream)
            self._stream.synchronize()
        return self._host["probabilities"][0].copy(), self._host["weights"][0].copy()

    @contextmanager
    def _current(self) -> Iterator[None]:
        """Makes the GPU's context current in this thread, and restores the thread afterwards."""
        self._primary.push()
        try:
            yield
        except self._cuda.Error as error:
            raise EngineError(f"the GPU failed: {error}") from error
        finally:
            self._cuda.Context.pop()
