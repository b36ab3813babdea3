from __future__ import annotations

from pathlib import Path
from typing import Dict, List

import numpy as np
import pytest

pytest.importorskip("onnx")

import onnxruntime

from cosmo_runtime.models.bundle import load_bundle
from cosmo_runtime.models.features import random_inputs
from cosmo_runtime.models.shelf import SIMULATED_BUNDLE
from cosmo_runtime.tools.measure.per_frame import parts


def answers(graph: Path, inputs: Dict[str, np.ndarray]) -> List[np.ndarray]:
    session = onnxruntime.InferenceSession(str(graph), providers=["CPUExecutionProvider"])
    return session.run(None, {item.name: inputs[item.name] for item in session.get_inputs()})


def test_pictures_and_points_have_parts_of_their_own_and_signals_are_in_the_rest(tmp_path: Path) -> None:
    bundle = load_bundle(SIMULATED_BUNDLE)
    written = parts(bundle.onnx, tmp_path)
    assert set(written) == {"depth", "one frame of depth", "radar", "one frame of radar", "the rest"}
    inputs = random_inputs(bundle.spec, np.random.default_rng(0))
    seen = {}
    for name in "depth", "radar":
        session = onnxruntime.InferenceSession(str(written[name]), providers=["CPUExecutionProvider"])
        seen[session.get_outputs()[0].name] = session.run(None, {name: inputs[name]})[0]
    for whole, by_parts in zip(answers(bundle.onnx, inputs), answers(written["the rest"], {**inputs, **seen})):
        np.testing.assert_allclose(by_parts, whole, atol=1e-6)


def test_one_point_cloud_alone_gives_what_it_gives_among_others(tmp_path: Path) -> None:
    bundle = load_bundle(SIMULATED_BUNDLE)
    written = parts(bundle.onnx, tmp_path)
    clouds = random_inputs(bundle.spec, np.random.default_rng(0))["radar"]
    alone = answers(written["one frame of radar"], {"radar": clouds[:, 3:4]})[0]
    np.testing.assert_allclose(alone[:, 0], answers(written["radar"], {"radar": clouds})[0][:, 3], atol=1e-6)


def test_one_picture_alone_is_one_picture(tmp_path: Path) -> None:
    one = parts(load_bundle(SIMULATED_BUNDLE).onnx, tmp_path)["one frame of depth"]
    session = onnxruntime.InferenceSession(str(one), providers=["CPUExecutionProvider"])
    (picture,) = session.get_inputs()
    assert picture.shape == [1, 2, 27, 48]  # closeness and its change
    assert session.run(None, {picture.name: np.ones(picture.shape, np.float32)})[0].shape == (1, 64)
