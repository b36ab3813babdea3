from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

import pytest

from cosmo_runtime.runtime.engines.gpu import Gpu, find_gpu

_DRIVER = """
#include <string.h>
int cuInit(unsigned flags) { return flags; }
int cuDeviceGet(int *device, int ordinal) { *device = 40 + ordinal; return FOUND; }
int cuDeviceGetName(char *name, int length, int device) {
    strncpy(name, "NVIDIA Tegra X2", length);
    return device != 40;
}
int cuDeviceGetAttribute(int *value, int attribute, int device) {
    *value = attribute == 75 ? 6 : 2;
    return device != 40;
}
"""


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """Gives the machine a driver library that answers as NVIDIA's would."""
    compiler = shutil.which("cc")
    if not compiler:
        pytest.skip("no C compiler (cc) to make a driver of")
    real = ctypes.CDLL

    def install(found: int) -> None:
        (tmp_path / "cuda.c").write_text(_DRIVER)
        library = tmp_path / f"libcuda-{found}.so"
        subprocess.run(
            [compiler, "-shared", "-fPIC", f"-DFOUND={found}", "-o", library, tmp_path / "cuda.c"], check=True
        )
        monkeypatch.setattr(ctypes, "CDLL", lambda name: real(str(library)) if name == "libcuda.so.1" else real(name))

    return install


def test_the_driver_says_which_gpu_there_is(driver) -> None:  # type: ignore[no-untyped-def]
    driver(found=0)
    gpu = find_gpu()
    assert gpu == Gpu("NVIDIA Tegra X2", (6, 2))
    assert (str(gpu), gpu.slug) == ("NVIDIA Tegra X2 (sm_62)", "nvidia-tegra-x2-sm62")


def test_a_driver_without_a_device_is_no_gpu(driver) -> None:  # type: ignore[no-untyped-def]
    driver(found=100)  # CUDA_ERROR_NO_DEVICE
    assert find_gpu() is None


def test_no_driver_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", missing)
    assert find_gpu() is None
