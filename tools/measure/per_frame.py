"""Measures how much of an answer's time the engine spends on single frames, which overlapping windows share.

    python tools/measure/per_frame.py --bundle models/bundles/person

It takes the part of the graph from each picture-like input up to where frames meet in time, and runs it alone: on all
frames of a window, and on a single one. It also runs the rest of the graph. CPU time is compared with that of the whole
graph. All take turns.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Dict, List

import numpy as np
import onnx
from onnx.utils import extract_model

from cosmo_runtime.models.bundle import load_bundle
from cosmo_runtime.models.shelf import SIMULATED_BUNDLE
from cosmo_runtime.training.benchmark.one_thread import one_thread_session


def parts(path: Path, folder: Path) -> Dict[str, Path]:
    """Writes the parts of a graph, by what they are.

    They are the frames of each depth camera and radar, by the input's name, ``one frame of`` it, and ``the rest``.
    """
    model = onnx.load(str(path))
    whole = folder / "whole.onnx"
    onnx.save(onnx.shape_inference.infer_shapes(model), str(whole))
    written: Dict[str, Path] = {}
    inputs = [item.name for item in model.graph.input]
    seen = list(inputs)  # what the rest takes in their place

    def write(name: str, starts: List[str], ends: List[str]) -> None:
        written[name] = folder / f"{len(written)}.onnx"
        extract_model(str(whole), str(written[name]), starts, ends)

    for name in inputs:
        nodes = [node for node in model.graph.node if f"/encoders/{name}/" in node.name]
        pictures = [node for node in nodes if "/frame/" in node.name]
        ends = pictures or [node for node in nodes if node.op_type == "ReduceMax"][:1]
        if ends and any(mark in node.name for node in nodes for mark in ("/frame/", "/point/")):
            end = ends[-1].output[0]
            write(name, [name], [end])
            write(f"one frame of {name}", [pictures[0].input[0] if pictures else name], [end])
            _let_through_one_frame(written[f"one frame of {name}"], of_a_window=not pictures)
            seen[seen.index(name)] = end
    write("the rest", seen, [item.name for item in model.graph.output])
    return written


def _let_through_one_frame(path: Path, of_a_window: bool) -> None:
    """Changes the frames that a part takes to one. They are its second axis if they are still those of a window."""
    model = onnx.load(str(path))
    model.graph.input[0].type.tensor_type.shape.dim[int(of_a_window)].dim_value = 1
    model.graph.output[0].type.tensor_type.ClearField("shape")
    del model.graph.value_info[:]
    onnx.save(model, str(path))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, default=SIMULATED_BUNDLE, help="folder of the model")
    parser.add_argument("--times", type=int, default=500, help="runs of each graph (default: 500)")
    options = parser.parse_args()
    random = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        onnx_path = load_bundle(options.bundle).onnx
        paths = {"whole": onnx_path, **parts(onnx_path, Path(folder))}
        sessions = {name: one_thread_session(str(path)) for name, path in paths.items()}
    feeds = {
        name: {item.name: random.uniform(0.5, 3, item.shape).astype(np.float32) for item in session.get_inputs()}
        for name, session in sessions.items()
    }
    for name in "whole", "the rest":
        feeds[name]["presence"][:] = 1
    took_us: Dict[str, List[float]] = {name: [] for name in sessions}
    for _ in range(options.times):
        for name, session in sessions.items():
            began_s = time.thread_time()
            session.run(None, feeds[name])
            took_us[name].append(1e6 * (time.thread_time() - began_s))
    medians = {name: float(np.median(values)) for name, values in took_us.items()}
    print(json.dumps({"cpu_us_p50": {name: round(value) for name, value in medians.items()}}))
    print(json.dumps({"share": {name: round(value / medians["whole"], 2) for name, value in medians.items()}}))


if __name__ == "__main__":
    main()
