"""pycuda without a GPU: memory, copies and streams, and the rules that a real one enforces."""

from __future__ import annotations

import itertools
import types
from typing import Any, Callable, Dict, List, Tuple

import numpy as np


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
