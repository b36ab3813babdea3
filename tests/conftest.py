"""Fixtures that the tests of all packages share."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest
from hypothesis import settings

from cosmo_runtime.models.spec import ModalitySpec, ModelSpec
from tests import fake_gpu

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # as runtime does, for tests that import ONNX Runtime first

settings.register_profile("busy", deadline=None)  # a machine that does other things as well proves nothing
settings.load_profile("busy")


@pytest.fixture(scope="session", autouse=True)
def no_waiting_for_the_disk() -> Iterator[None]:
    """Nobody cuts the power: thousands of files need not wait for the disk. Tests of what is synced watch the calls."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", os.fstat)
        yield


@pytest.fixture(scope="session")
def tried_bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where it is kept which bundles were tried: all tests share it, because a trial takes a second."""
    return tmp_path_factory.mktemp("tried")


@pytest.fixture(scope="session")
def shares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds a folder of user data for each test. ``mktemp`` would look through all earlier ones each time."""
    return tmp_path_factory.mktemp("shares")


@pytest.fixture(autouse=True)
def no_bundles_of_this_machine(shares: Path, tried_bundles: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user who has only the shipped bundle."""
    share = Path(tempfile.mkdtemp(dir=shares))
    (share / "cosmo-runtime").mkdir()
    (share / "cosmo-runtime" / "tried").symlink_to(tried_bundles)
    monkeypatch.setenv("XDG_DATA_HOME", str(share))


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


@pytest.fixture(params=fake_gpu.VERSIONS)
def gpu(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A machine with a GPU, pycuda and each generation of TensorRT: see ``fake_gpu.py``."""
    return fake_gpu.install(monkeypatch, request.param)


@pytest.fixture
def install_gpu(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Gives the machine a GPU and TensorRT of a version, the TX2's when none is named."""
    return lambda version=fake_gpu.VERSIONS[0]: fake_gpu.install(monkeypatch, version)
