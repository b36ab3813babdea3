from __future__ import annotations

import numpy as np
import pytest

from cosmo_runtime.models.features import depth_features, features, radar_features
from cosmo_runtime.models.spec import ModalitySpec, ModelSpec

SPEC = ModelSpec(
    modalities=(
        ModalitySpec(sensor="imu", rate_hz=10, shape=(6,)),
        ModalitySpec(sensor="depth", rate_hz=5, shape=(3, 4)),
        ModalitySpec(sensor="radar", rate_hz=5, shape=(2, 5)),
    ),
    window_s=2,
    hop_s=0.5,
    classes=("sit", "walk"),
    quality=(0.3, 0.4, 0.3),
)


def test_each_modality_has_the_shape_of_its_spec():
    random = np.random.default_rng(0)
    raw = {
        "imu": random.normal(size=(20, 9)).astype(np.float32),
        "depth": random.integers(0, 5000, (10, 6, 8)).astype(np.uint16),
        "radar": [random.normal(size=(n, 5)).astype(np.float32) for n in range(10)],
    }
    inputs = features(SPEC, {m.sensor: m.kind_row.features(raw[m.sensor], m.shape, 0.001) for m in SPEC.modalities})
    assert {s: x.shape for s, x in inputs.items()} == {"imu": (20, 6), "depth": (10, 3, 4), "radar": (10, 2, 5)}
    assert all(x.dtype == np.float32 for x in inputs.values())
    np.testing.assert_array_equal(inputs["imu"], raw["imu"][:, :6])


def test_absent_modalities_are_zero():
    inputs = features(SPEC, {"imu": np.ones((20, 6), np.float32)})
    assert list(inputs) == ["imu", "depth", "radar"]
    assert inputs["depth"].shape == (10, 3, 4)
    assert not inputs["depth"].any()
    assert not inputs["radar"].any()


def test_depth_blocks_average_only_what_was_measured():
    depth = np.zeros((1, 4, 4), np.uint16)
    depth[0, :2, :2] = [[1000, 3000], [0, 2000]]
    depth[0, 2:, 2:] = 65535
    blocks = depth_features(depth, (2, 2), 0.001)
    np.testing.assert_allclose(blocks[0], [[2.0, 0.0], [0.0, 65.535]], rtol=1e-6)


@pytest.mark.parametrize(("size", "blocks"), [((135, 240), (27, 48)), ((400, 700), (1, 1)), ((8, 12), (4, 6))])
def test_depth_blocks_are_exact_means_of_any_depth(size, blocks):
    random = np.random.default_rng(0)
    depth = (random.integers(0, 65536, (2, *size)) * random.integers(0, 2, (2, *size))).astype(np.uint16)
    (rows, columns), (height, width) = blocks, size
    cut = depth.astype(np.float64).reshape(2, rows, height // rows, columns, width // columns)
    mean = cut.sum(axis=(2, 4)) / np.maximum((cut > 0).sum(axis=(2, 4)), 1)
    expected = (mean * 0.001).astype(np.float32)
    assert depth_features(depth, blocks, 0.001).tobytes() == expected.tobytes()


@pytest.mark.parametrize("size", [(135, 240), (240, 320), (131, 217), (53, 90), (20, 30)])
def test_any_image_size_keeps_the_picture(size):
    """A ramp stays a ramp, whatever the size of the image and even where blocks are smaller than a pixel."""
    height, width = size
    ramp = 1000 + np.arange(height)[:, None] * 10 + np.arange(width)[None] * 10
    blocks = depth_features(ramp[None].astype(np.uint16), (27, 48), 0.001)[0]
    rows = (np.arange(27) + 0.5) * height / 27 - 0.5
    columns = (np.arange(48) + 0.5) * width / 48 - 0.5
    np.testing.assert_allclose(blocks, 1 + (rows[:, None] + columns[None]) * 0.01, atol=0.02)


def test_radar_keeps_the_strongest_points_first_and_pads_with_zeros():
    frame = np.array([[1, 1, 1, 0, 5], [2, 2, 2, 0, 20], [3, 3, 3, 0, np.nan]], np.float32)
    kept = radar_features([frame, frame[:1], frame[:0]], points=2)
    np.testing.assert_array_equal(kept[0, :, 4], [20, 5])
    np.testing.assert_array_equal(kept[1], [[1, 1, 1, 0, 5], [0] * 5])
    assert not kept[2].any()


def test_a_point_without_snr_counts_as_weakest():
    frame = np.array([[3, 3, 3, 0, np.nan], [1, 1, 1, 0, 5]], np.float32)
    np.testing.assert_array_equal(radar_features([frame], points=3)[0], [[1, 1, 1, 0, 5], [3, 3, 3, 0, 0], [0] * 5])
