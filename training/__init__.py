"""Learning: data sets, losses, both stages of Cosmo, quality of modality, export to ONNX."""

import os

# From 1.29 on, ONNX Runtime sends telemetry unless this is set before it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
