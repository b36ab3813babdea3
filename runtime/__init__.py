"""The live run: ring buffers, windows, engines, the recognition loop, its sinks and the command line."""

import os
from pathlib import Path

# From 1.29 on, ONNX Runtime sends telemetry unless this is set before it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

# A user whom the system does not know, as in many a container, has no home folder, and libraries fail over that. This
# is what Debian calls the home of users who have none.
try:
    Path.home()
except (RuntimeError, KeyError):  # KeyError: Python 3.8 and 3.9
    os.environ["HOME"] = "/nonexistent"
