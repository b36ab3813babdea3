from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from cosmo_runtime.sensors.depth import librealsense
from cosmo_runtime.sensors.sensor import SensorError


@pytest.fixture(autouse=True)
def fresh():
    librealsense.load.cache_clear()
    yield
    librealsense.load.cache_clear()


def fake_package(folder: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    (folder / "pyrealsense2").mkdir()
    (folder / "pyrealsense2" / "__init__.py").write_text(source)
    monkeypatch.syspath_prepend(str(folder))
    for name in [name for name in sys.modules if name.split(".")[0] == "pyrealsense2"]:
        monkeypatch.delitem(sys.modules, name)


def test_says_what_to_install_without_pyrealsense2(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyrealsense2", None)
    with pytest.raises(SensorError, match=r"needs pyrealsense2.*pip install 'cosmo-runtime\[depth\]'"):
        librealsense.load()


def test_says_what_to_install_without_libusb(tmp_path, monkeypatch):
    fake_package(tmp_path, monkeypatch, "raise ImportError('libusb-1.0.so.0: cannot open shared object file')")
    monkeypatch.setitem(sys.modules, "libusb_package", None)
    with pytest.raises(SensorError, match=r"apt install libusb-1\.0-0.*pip install libusb-package"):
        librealsense.load()


def test_repeats_why_a_broken_install_does_not_load(tmp_path, monkeypatch):
    fake_package(tmp_path, monkeypatch, "raise ImportError('GLIBC_2.99 not found')")
    with pytest.raises(SensorError, match=r"GLIBC_2\.99 not found"):
        librealsense.load()


def test_loads_in_a_fresh_process_or_says_why_not_and_never_dies():
    if importlib.util.find_spec("pyrealsense2") is None:
        pytest.skip("pyrealsense2 is not installed")
    script = """
from cosmo_runtime.sensors.depth import librealsense
from cosmo_runtime.sensors.sensor import SensorError
try:
    rs = librealsense.load()
    print(len(rs.context().query_devices()))
except SensorError as error:
    print(error)
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip().isdigit() or "no USB bus" in run.stdout
