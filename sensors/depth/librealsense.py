"""Loads librealsense, whose wheel leaves out libusb, and refuses the one setting in which it takes the process down."""

from __future__ import annotations

import ctypes
import functools
import importlib
from typing import Any

from sensors.sensor import SensorError


@functools.lru_cache(maxsize=None)
def load() -> Any:
    """Returns the module ``pyrealsense2``, loaded with the libusb of ``libusb_package`` where the system has none.

    Raises:
        SensorError: it is not installed, or cannot work here; the message says what to install.
    """
    try:
        rs = importlib.import_module("pyrealsense2")
    except ModuleNotFoundError as error:
        raise SensorError(
            "the depth camera needs pyrealsense2, which is not installed: `pip install 'cosmo-runtime[depth]'`"
        ) from error
    except ImportError as error:
        if "libusb" not in str(error):
            raise SensorError(f"pyrealsense2 is installed but does not load: {error}") from error
        _preload_libusb()
        rs = importlib.import_module("pyrealsense2")
    if not hasattr(rs, "__version__"):  # before 2.58
        _require_usable_libusb()
    return rs


def _preload_libusb() -> None:
    """Makes the symbols of libusb-1.0 visible to whatever is loaded next."""
    try:
        import libusb_package
    except ImportError as error:
        raise SensorError(
            "the depth camera needs libusb-1.0, which is not installed: `sudo apt install libusb-1.0-0`, or without"
            " root `pip install libusb-package`"
        ) from error
    ctypes.CDLL(str(libusb_package.get_library_path()), mode=ctypes.RTLD_GLOBAL)


def _require_usable_libusb() -> None:
    """Raises where ``libusb_init`` fails, after which older librealsense dereferences null, even for emulated cameras.

    It fails where there is no USB bus in the 1.0.26 of ``libusb_package``; no longer in its 1.0.30.
    """
    try:
        libusb = ctypes.CDLL("libusb-1.0.so.0")  # the one that librealsense uses, by now loaded
    except OSError:
        return
    code = libusb.libusb_init(None)
    if code < 0:
        raise SensorError(
            f"no USB bus on this machine or in this container, of which pyrealsense2 before 2.58 dies together with"
            f" this libusb (libusb_init: {code}). Install another one: `sudo apt install libusb-1.0-0`, or without root"
            " `pip install --ignore-requires-python 'libusb-package>=1.0.30' 'importlib_resources<6.5'`"
        )
    libusb.libusb_exit(None)
