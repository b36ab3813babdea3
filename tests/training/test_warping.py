from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("dtaidistance")

from cosmo_runtime.models.spec import ModalitySpec, ModelSpec
from cosmo_runtime.training.warping import HIP_CENTRE, distances, warping_distances
from cosmo_runtime.training.windows import Windows


def by_hand(x: np.ndarray, y: np.ndarray, reach: int) -> float:
    """The textbook's recursion, cell by cell, in Python's floats."""
    best: dict[tuple[int, int], float] = {(-1, -1): 0.0}
    for i in range(len(x)):
        for j in range(len(y)):
            if abs(i - j) <= reach:
                before = min(best.get(cell, np.inf) for cell in ((i - 1, j), (i, j - 1), (i - 1, j - 1)))
                best[i, j] = before + sum((x[i, d] - y[j, d]) ** 2 for d in range(x.shape[1]))
    return best[len(x) - 1, len(y) - 1]


@pytest.mark.parametrize(("steps", "band", "reach"), [(8, 0.25, 2), (8, 0.0, 0), (5, 1.0, 5), (1, 0.3, 0)])
def test_distances_are_the_textbooks(steps, band, reach):
    random = np.random.default_rng(0)
    a, b = random.normal(size=(3, steps, 2)), random.normal(size=(5, steps, 2))
    expected = [[by_hand(x, y, reach) for y in b] for x in a]
    np.testing.assert_allclose(warping_distances(a, b, band), expected, rtol=1e-4)
    np.testing.assert_allclose(warping_distances(b, a, band), np.transpose(expected), rtol=1e-4)


def test_pace_does_not_matter_within_the_band():
    steps = np.linspace(0, 1, 40)
    slow, fast = (np.sin(2 * np.pi * warped)[None, :, None] for warped in (steps**1.3, steps**0.8))
    straight = ((slow - fast) ** 2).sum()
    assert warping_distances(slow, fast)[0, 0] < 0.05 * straight
    assert warping_distances(slow, fast, band=0)[0, 0] == pytest.approx(straight, rel=1e-4)


def test_a_window_is_nearest_to_itself(spec, windows):
    between = distances(spec, windows, windows, windows)
    for of_one in between.values():
        np.testing.assert_allclose(np.diag(of_one), 0, atol=1e-2)
        np.testing.assert_allclose(of_one, of_one.T, atol=1e-2)
    assert (between["imu"].argmin(1) == np.arange(len(windows))).all()


def test_units_do_not_matter(spec, windows, other_people):
    def scaled(w: Windows) -> Windows:
        return replace(w, features={**w.features, "imu": 1000 * w.features["imu"] + 5})

    straight = distances(spec, other_people, windows, windows)["imu"]
    np.testing.assert_allclose(
        distances(spec, scaled(other_people), scaled(windows), scaled(windows))["imu"], straight, rtol=1e-3
    )


def test_an_absent_modality_has_no_distance_and_is_not_looked_at(spec, windows):
    presence = windows.presence.copy()
    presence[:10, 0] = False
    imu = windows.features["imu"].copy()
    imu[:10] = 1e9
    some = replace(windows, presence=presence, features={**windows.features, "imu": imu})
    between = distances(spec, some, some, some)
    assert np.isnan(between["imu"][:10]).all()
    assert np.isnan(between["imu"][:, :10]).all()
    rest = windows.where(np.arange(10, len(windows)))
    np.testing.assert_allclose(between["imu"][10:, 10:], distances(spec, rest, rest, rest)["imu"], rtol=1e-5)
    assert np.isfinite(between["depth"]).all()


def test_the_order_of_radar_points_does_not_matter(spec, windows):
    turned = replace(windows, features={**windows.features, "radar": windows.features["radar"][:, :, ::-1]})
    between = distances(spec, turned, windows, windows)["radar"]
    np.testing.assert_allclose(between, distances(spec, windows, windows, windows)["radar"], atol=1e-2)


def test_where_a_skeleton_stands_and_how_tall_it_is_does_not_matter():
    spec = ModelSpec(
        modalities=(ModalitySpec(sensor="skeleton", rate_hz=20, shape=(20, 3)),),
        window_s=2,
        hop_s=1,
        classes=("one", "other"),
        quality=(1,),
    )
    random = np.random.default_rng(0)
    here = random.normal(size=(4, 40, 20, 3))
    there = 1.3 * here + random.normal(size=(4, 1, 1, 3))
    there[:, 5:] += 0.5  # a step aside moves the hips as well

    def of(skeletons: np.ndarray) -> Windows:
        return Windows.stack(spec, [{"skeleton": s} for s in skeletons], [[True]] * 4, [0] * 4, [0] * 4, ["x"] * 4)

    np.testing.assert_allclose(np.diag(distances(spec, of(there), of(here), of(here))["skeleton"]), 0, atol=1e-2)
    other = here.copy()
    other[:, :, HIP_CENTRE + 1] += 0.5
    assert np.diag(distances(spec, of(other), of(here), of(here))["skeleton"]).min() > 1
