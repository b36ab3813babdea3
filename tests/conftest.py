"""Fixtures that every room's tests share."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from types import ModuleType
from typing import Any, Callable

import pytest
from hypothesis import settings

from models.spec import ModalitySpec, ModelSpec

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # as runtime does, for tests that import ONNX Runtime first

settings.register_profile("busy", deadline=None)  # a machine that does other things as well proves nothing
settings.load_profile("busy")


@pytest.fixture(autouse=True)
def no_bundles_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user who has only the shipped bundle."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real recordings, or a skip with the reason."""
    folder = Path(os.environ.get("COSMO_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real recordings not found in {folder}; set COSMO_DATA to their folder")
    return folder


@pytest.fixture(scope="session")
def tiny_spec() -> ModelSpec:
    """What ``tests/runtime/tiny.onnx`` takes and answers."""
    return ModelSpec(
        modalities=(
            ModalitySpec(sensor="imu", rate_hz=20, shape=(6,)),
            ModalitySpec(sensor="depth", rate_hz=5, shape=(4, 6)),
            ModalitySpec(sensor="radar", rate_hz=10, shape=(8, 5)),
        ),
        window_s=1,
        hop_s=0.5,
        classes=("walk", "wave", "none"),
        quality=(0.4, 0.3, 0.3),
    )


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


fake_gpu = _load("fake_gpu")


@pytest.fixture(params=fake_gpu.VERSIONS)
def gpu(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A machine with a GPU, pycuda and each generation of TensorRT: see ``fake_gpu.py``."""
    return fake_gpu.install(monkeypatch, request.param)


@pytest.fixture
def install_gpu(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Gives the machine a GPU and TensorRT of a version, the TX2's when none is named."""
    return lambda version=fake_gpu.VERSIONS[0]: fake_gpu.install(monkeypatch, version)
