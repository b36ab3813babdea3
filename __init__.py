"""Human activity recognition on the device, from an IMU, a depth camera and a mmWave radar.

import cosmo_runtime as cosmo

for prediction in cosmo.recognise(emulate="person", seconds=10):
    print(prediction.activity, prediction.confidence)
"""

from typing import Any

__all__ = [
    "Label",
    "Model",
    "Recording",
    "SensorArrays",
    "load_model",
    "read_recording",
    "recognise",
    "write_recording",
]


def __getattr__(name: str) -> Any:  # keeps `import cosmo_runtime` cheap for those who need only one of its packages
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from cosmo_runtime.runtime import interface

    return getattr(interface, name)
