"""Loads librealsense. Its wheel lacks libusb, and with an old one it can crash the process, which is prevented here."""

from __future__ import annotations

import ctypes
import functools
import importlib
from typing import Any

from cosmo_runtime.sensors.sensor import SensorError


@functools.lru_cache(maxsize=None)
def load() -> Any:
    """Returns the module ``pyrealsense2``. Where the system has no libusb, that of ``libusb_package`` is loaded.

    Raises:
        SensorError: it is not installed or cannot work here. The message says what to install.
    """
    try:
        rs = importlib.import_module("pyrealsense2")
    except ModuleNotFoundError as error:
        raise SensorError(
            "the depth camera needs pyrealsense2, which is not installed: `pip install 'cosmo-runtime[depth]'`"
        ) from error
    except ImportError as error:
        if "libusb" not in str(error):
            raise SensorError(f"pyrealsense2 is installed but cannot be loaded: {error}") from error
        _preload_libusb()
        rs = importlib.import_module("pyrealsense2")
    if not hasattr(rs, "__version__"):  # before 2.58
        _require_usable_libusb()
    return rs


def _preload_libusb() -> None:
    """Makes the symbols of libusb-1.0 visible to libraries that are loaded later."""
    try:
        import libusb_package
    except ImportError as error:
        raise SensorError(
            "the depth camera needs libusb-1.0, which is not installed: `sudo apt install libusb-1.0-0`, or without"
            " root `pip install libusb-package`"
        ) from error
    ctypes.CDLL(str(libusb_package.get_library_path()), mode=ctypes.RTLD_GLOBAL)


def _require_usable_libusb() -> None:
    """Raises if ``libusb_init`` fails, because older librealsense then crashes, even with emulated cameras.

    libusb 1.0.26 of ``libusb_package`` fails on machines without a USB bus. Its 1.0.30 does not.
    """
    try:
        libusb = ctypes.CDLL("libusb-1.0.so.0")  # the one that librealsense has loaded
    except OSError:
        return
    code = libusb.libusb_init(None)
    if code < 0:
        raise SensorError(
            f"this machine or container has no USB bus, which makes pyrealsense2 before 2.58 crash with this libusb"
            f" (libusb_init: {code}). Install another one: `sudo apt install libusb-1.0-0`, or without root"
            " `pip install --ignore-requires-python 'libusb-package>=1.0.30' 'importlib_resources<6.5'`"
        )
    libusb.libusb_exit(None)
