"""What the model is asked, and how its answers are told, for windows made by hand."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

from cosmo_runtime.models.bundle import load_bundle
from cosmo_runtime.models.networks import load_network
from cosmo_runtime.models.shelf import SHIPPED_BUNDLE
from cosmo_runtime.tools import radar_check
from cosmo_runtime.training.datasets import radhar
from cosmo_runtime.training.windows import Windows


def _recorded(n: int) -> Windows:
    points = np.zeros((n, 60, 32, 5), np.float32)
    points[:, :, :3] = np.arange(1, 4)[:, None]  # three points a frame, the strongest first
    points[..., 0] *= np.arange(60)[:, None]  # and the frame's number
    return Windows({"radar": points}, np.ones((n, 1), bool), np.arange(n) % 5, np.arange(n), np.full(n, "walk"))


def test_the_model_is_asked_about_the_radar_alone_at_its_own_rate() -> None:
    bundle, recorded = load_bundle(SHIPPED_BUNDLE), _recorded(2)
    windows = radar_check.as_windows(bundle.spec, recorded.features["radar"], recorded)
    assert windows.features["radar"].shape == (2, 20, 24, 5)
    assert windows.features["radar"][0, :, 0, 0].tolist() == [2.0 + 3 * step for step in range(20)]
    assert windows.presence.tolist() == [[False, False, True]] * 2
    said = radar_check.answers(load_network(bundle), bundle.spec, windows)
    assert said.shape == (2,) and set(said) <= set(bundle.spec.classes)


def test_a_point_behind_one_that_was_left_out_takes_its_place() -> None:
    bundle, recorded = load_bundle(SHIPPED_BUNDLE), _recorded(1)
    points = np.array(recorded.features["radar"])
    points[:, :, 0] = 0
    windows = radar_check.as_windows(bundle.spec, points, recorded)
    assert windows.features["radar"][0, 0, :3, 1].tolist() == [2, 3, 0]


def test_jumping_jacks_have_no_name_and_count_in_no_total() -> None:
    true = np.array(radhar.CLASSES)
    said = np.array(["punch", "none", "none", "squat", "walk"])
    *_, total = radar_check.compared(true, said).splitlines()
    assert total == "| the four that it has a name for | 4 | 75.0% |  |"
