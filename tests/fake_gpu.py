"""TensorRT and pycuda without a GPU: what they offer in each generation, and the rules that they punish on a real one.

A built engine here is the ONNX file with a label, and runs it in ONNX Runtime: what it answers has passed through the
buffers, copies and streams of the code under test. ``tests/runtime/test_tensorrt_names.py`` holds the names and
parameters against NVIDIA's own modules.
"""

from __future__ import annotations

import sys
import types

import pytest

from cosmo_runtime.runtime.engines.gpu import Gpu
from tests.fake_pycuda import FakeGpu, pycuda_of
from tests.fake_tensorrt import tensorrt_of

TX2 = Gpu("NVIDIA Tegra X2", (6, 2))
VERSIONS = ("8.2.1.8", "8.6.1", "10.3.0", "11.4.0.106")


def install(monkeypatch: pytest.MonkeyPatch, version: str) -> FakeGpu:
    """Gives this process a GPU, TensorRT of a version and pycuda."""
    gpu = FakeGpu(version)
    pycuda = types.ModuleType("pycuda")
    pycuda.driver = pycuda_of(gpu)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pycuda", pycuda)
    monkeypatch.setitem(sys.modules, "pycuda.driver", pycuda.driver)
    monkeypatch.setitem(sys.modules, "tensorrt", tensorrt_of(gpu, version))
    monkeypatch.setattr("cosmo_runtime.runtime.engines.choose.find_gpu", lambda: TX2)
    return gpu
