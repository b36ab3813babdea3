"""Learning: data sets, losses, both stages of Cosmo, quality of modality, export to ONNX."""

import os

# ONNX Runtime from 1.29 on reports to its maker, unless it is told not to before it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
