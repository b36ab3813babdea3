"""ONNX Runtime on one thread of the CPU, for every comparison of costs."""

from __future__ import annotations

from typing import Union

import onnxruntime


def one_thread_session(model: Union[bytes, str]) -> onnxruntime.InferenceSession:
    """Opens a model, given as bytes or as a file's path."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
