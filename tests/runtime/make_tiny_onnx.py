"""Writes tiny.onnx, the model of the runtime's tests: arithmetic that a test can redo, with the names and the static
shapes of a real bundle, so that engine and loop are tested where neither torch nor onnx is installed.

    scores = mean of each sensor's input; probabilities = softmax(scores x presence); weights = presence / sum(presence)
"""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import TensorProto, helper

SHAPES = {"imu": (1, 20, 6), "depth": (1, 5, 4, 6), "radar": (1, 10, 8, 5), "presence": (1, 3)}


def make_tiny() -> onnx.ModelProto:
    nodes = []
    for name in ("imu", "depth", "radar"):
        nodes.append(helper.make_node("Flatten", [name], [f"{name}_flat"], axis=1))
        nodes.append(helper.make_node("ReduceMean", [f"{name}_flat"], [f"{name}_mean"], axes=[1], keepdims=1))
    nodes += [
        helper.make_node("Concat", ["imu_mean", "depth_mean", "radar_mean"], ["scores"], axis=1),
        helper.make_node("Mul", ["scores", "presence"], ["heard"]),
        helper.make_node("Softmax", ["heard"], ["probabilities"], axis=1),
        helper.make_node("ReduceSum", ["presence"], ["sensors"], keepdims=1),
        helper.make_node("Div", ["presence", "sensors"], ["weights"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in SHAPES.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, 3)) for name in ("probabilities", "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)
    onnx.checker.check_model(model, full_check=True)
    return model


if __name__ == "__main__":
    onnx.save(make_tiny(), str(Path(__file__).with_name("tiny.onnx")))
