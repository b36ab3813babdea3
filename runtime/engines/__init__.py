"""Engines run a model: ONNX Runtime or TensorRT."""
