"""Each corruption against what one would compute by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")

from cosmo_runtime.models.spec import ModalitySpec, ModelSpec
from cosmo_runtime.training.benchmark.corruptions import CORRUPTIONS, corrupted, suite
from cosmo_runtime.training.windows import Windows

SHAPES = {"imu": (6,), "accelerometer": (3,), "gyroscope": (3,), "skeleton": (20, 3), "depth": (8, 10), "radar": (4, 5)}


def spec_of(*sensors: str) -> ModelSpec:
    """10 steps a second for 2 seconds."""
    modalities = tuple(ModalitySpec(sensor=sensor, rate_hz=10, shape=SHAPES[sensor]) for sensor in sensors)
    share = (1 / len(sensors),) * len(sensors)
    return ModelSpec(modalities=modalities, window_s=2, hop_s=2, classes=("a", "b"), quality=share)


def moving(spec: ModelSpec, count: int = 40) -> Windows:
    """Every number of a step is 1 and that step's number, so that one sees where each came from."""
    steps = np.arange(1, 21)
    features = [{m.sensor: steps.reshape(-1, *[1] * len(m.shape)) for m in spec.modalities}] * count
    presence = np.ones((count, len(spec.modalities)))
    return Windows.stack(spec, features, presence, [0] * count, [1] * count, ["r"] * count)


def with_feature(windows: Windows, sensor: str, x: np.ndarray) -> Windows:
    return replace(windows, features={**windows.features, sensor: x.astype(np.float32)})


@pytest.fixture
def spec() -> ModelSpec:
    return spec_of("imu", "skeleton", "depth", "radar")


@pytest.fixture
def windows(spec) -> Windows:
    return moving(spec)


def test_the_same_windows_are_corrupted_in_the_same_way_and_left_alone(spec, windows):
    before = {sensor: x.copy() for sensor, x in windows.features.items()}
    first, again = (list(suite(spec, windows)) for _ in range(2))
    assert [name for name, _, _ in first] == [name for name in CORRUPTIONS for _ in range(3)]
    for (name, strength, one), (_, _, other) in zip(first, again):
        assert any((one.features[sensor] != before[sensor]).any() for sensor in before), (name, strength)
        for sensor, x in one.features.items():
            np.testing.assert_array_equal(x, other.features[sensor])
            assert x.dtype == before[sensor].dtype and x.shape == before[sensor].shape and np.isfinite(x).all()
        np.testing.assert_array_equal(one.labels, windows.labels)
        np.testing.assert_array_equal(one.presence, windows.presence)
    for sensor, x in windows.features.items():
        np.testing.assert_array_equal(x, before[sensor])


def test_a_suite_has_what_can_befall_the_sensors():
    def names(*sensors: str) -> set:
        return {name for name, _, _ in suite(spec_of(*sensors), moving(spec_of(*sensors)))}

    assert set(CORRUPTIONS) - names("imu", "skeleton") == {"empty"}
    assert set(CORRUPTIONS) - names("accelerometer", "gyroscope") == {"empty", "occluded"}
    assert names("radar") == {"noise", "dead", "stuck", "dropped", "empty"}


@pytest.mark.parametrize(("sensor", "spread"), [("imu", [1, 1, 1, 0.2, 0.2, 0.2]), ("skeleton", [0.04] * 3)])
def test_noise_is_as_strong_as_it_says(spec, windows, sensor, spread):
    noise = corrupted(spec, windows, "noise", 2).features[sensor] - windows.features[sensor]
    np.testing.assert_allclose(noise.reshape(-1, len(spread)).std(0), spread, rtol=0.15)
    np.testing.assert_allclose(noise.reshape(-1, len(spread)).mean(0), 0, atol=0.1)


def test_noise_measures_nothing_new(spec, windows):
    depth, radar = windows.features["depth"].copy(), windows.features["radar"].copy()
    depth[:, :, 0], radar[:, :, 2:] = 0, 0
    noisy = corrupted(spec, with_feature(with_feature(windows, "depth", depth), "radar", radar), "noise", 4).features
    assert (noisy["depth"][:, :, 0] == 0).all() and (noisy["depth"] >= 0).all()
    assert (noisy["radar"][:, :, 2:] == 0).all() and (noisy["radar"][:, :, :2] != radar[:, :, :2]).all()


@pytest.mark.parametrize(("name", "reads"), [("dead", 0), ("stuck", 10)])
def test_one_sensor_of_a_window_reads_nothing_or_the_same_in_its_last_half(spec, windows, name, reads):
    faulty = corrupted(spec, windows, name, 0.5)
    hit = np.array([(faulty.features[s] != windows.features[s]).reshape(40, -1).any(1) for s in spec.sensors])
    assert (hit.sum(0) == 1).all() and (hit.sum(1) > 0).all()
    for sensor, of_sensor in zip(spec.sensors, hit):
        x = faulty.features[sensor][of_sensor]
        assert (x[:, 10:] == reads).all()
        np.testing.assert_array_equal(x[:, :10], windows.features[sensor][of_sensor, :10])


def test_a_sensor_that_is_stuck_from_the_start_shows_its_first_step(spec, windows):
    faulty = corrupted(spec, windows, "stuck", 1.0).features
    assert {tuple(np.unique(window)) for window in faulty["imu"]} == {(1.0,), tuple(range(1, 21))}


def test_gaps_are_bridged_as_the_aligner_does(spec):
    ramp = moving(spec, count=200)
    bridged = corrupted(spec, ramp, "dropped", 0.4).features
    # A straight line is its own bridge, but for what is lost at the ends, which repeat.
    for x in bridged["imu"][:, :, 0]:
        inside = (x > x.min()) & (x < x.max())
        np.testing.assert_allclose(x[inside], np.arange(1, 21)[inside], atol=1e-4)
    # Frames are real ones, 0.25 s or a few of them away.
    shift = bridged["depth"][:, :, 0, 0] - np.arange(1, 21)
    assert set(np.unique(shift % 1)) == {0.0}
    lost = (shift != 0).mean()
    assert 0.2 < lost < 0.4  # a few frames at the edge of no gap fall on themselves


def test_a_window_of_which_all_is_lost_keeps_one_sample(spec, windows):
    lost = corrupted(spec, windows, "dropped", 1.0).features
    assert all((x == 1).all() for x in lost.values())


def test_one_sensor_is_early_or_late(spec, windows):
    shifted = corrupted(spec, windows, "offset", 0.3).features
    early, late = np.arange(1, 21).clip(min=0) + 3, np.arange(1, 21) - 3
    expected = {tuple(np.arange(1.0, 21.0)), tuple(early.clip(max=20.0)), tuple(late.clip(min=1.0))}
    for sensor in spec.sensors:
        x = shifted[sensor].reshape(40, 20, -1)[:, :, 0].astype(np.float32).round(4)
        assert {tuple(window) for window in x} == expected
    changed = sum((shifted[s] != windows.features[s]).reshape(40, -1).any(1) for s in spec.sensors)
    assert (changed == 1).all()


def test_an_offset_between_two_steps_lies_between_them_or_is_the_nearer(spec, windows):
    shifted = corrupted(spec, windows, "offset", 0.16).features
    early = {round(float(window[5, 0]), 3) for window in shifted["imu"]}
    assert early == {6.0, 7.6, 4.4}
    assert {float(window[5, 0, 0]) for window in shifted["depth"]} == {6.0, 8.0, 4.0}


def test_accelerometer_and_gyroscope_turn_as_one_by_the_angle():
    spec = spec_of("accelerometer", "gyroscope")
    windows = moving(spec)
    random = np.random.default_rng(0).normal(size=(40, 20, 3))
    windows = with_feature(with_feature(windows, "accelerometer", random), "gyroscope", 2 * random)
    turned = corrupted(spec, windows, "turned", 45).features
    np.testing.assert_allclose(turned["gyroscope"], 2 * turned["accelerometer"], atol=1e-4)
    for x, y in zip(windows.features["accelerometer"], turned["accelerometer"]):
        turn = np.linalg.lstsq(x, y, rcond=None)[0]
        np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-4)
        assert np.degrees(np.arccos((np.trace(turn) - 1) / 2)) == pytest.approx(45, abs=0.01)


def test_an_imu_turns_both_of_its_vectors(spec, windows):
    turned = corrupted(spec, windows, "turned", 90).features["imu"]
    np.testing.assert_allclose(turned[..., :3], turned[..., 3:], atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(turned[..., :3], axis=2)[:, 0], np.sqrt(3), atol=1e-4)


def test_a_gain_is_wrong_by_its_share_for_all_of_a_window(spec, windows):
    gains = corrupted(spec, windows, "gain", 0.25).features["imu"] / windows.features["imu"]
    assert set(np.unique(gains.round(4))) == {0.75, 1.25}
    np.testing.assert_allclose(gains, np.broadcast_to(gains[:, :1], gains.shape), atol=1e-5)
    pixels = corrupted(spec, windows, "gain", 0.25).features["depth"] / windows.features["depth"]
    assert all(len(np.unique(window.round(4))) == 1 for window in pixels)


def test_saturation_cuts_at_the_limits_of_each_sensor(spec, windows):
    x = np.zeros((40, 20, 6))
    x[..., 0], x[..., 1], x[..., 3], x[..., 4] = 50, -50, -50, 1
    cut = corrupted(spec, with_feature(windows, "imu", x), "saturated", 2).features["imu"][0, 0]
    np.testing.assert_allclose(cut, [2 * 9.80665, -2 * 9.80665, 0, -np.radians(250), 1, 0], rtol=1e-5)


@pytest.mark.parametrize("channels", [3, 9])
def test_an_imu_with_fewer_or_more_channels_is_corrupted_as_well(channels):
    imu = ModalitySpec(sensor="wrist", kind="imu", rate_hz=10, shape=(channels,))
    spec = ModelSpec(modalities=(imu,), window_s=2, hop_s=2, classes=("a", "b"), quality=(1.0,))
    windows = moving(spec)
    shapes = {name: faulty.features["wrist"].shape for name, _, faulty in suite(spec, windows)}
    assert set(shapes.values()) == {(40, 20, channels)} and set(CORRUPTIONS) - set(shapes) == {
        "offset",
        "occluded",
        "empty",
    }
    if channels == 9:
        cut = corrupted(spec, with_feature(windows, "wrist", np.full((40, 20, 9), 60.0)), "saturated", 1).features
        np.testing.assert_allclose(cut["wrist"][0, 0, [0, 3, 6]], [9.80665, np.radians(125), 60], rtol=1e-5)


def test_occlusion_freezes_neighbouring_joints_and_hides_a_block(spec, windows):
    skeleton = windows.features["skeleton"] + np.arange(20).reshape(1, 1, 20, 1) * np.float32(100)  # joints in a row
    hidden = corrupted(spec, with_feature(windows, "skeleton", skeleton), "occluded", 0.25).features
    for x, seen in zip(hidden["skeleton"], skeleton):
        frozen = np.flatnonzero((x[1:] != seen[1:]).any((0, 2)))
        assert len(frozen) == 5 and np.ptp(frozen) == 4  # a quarter of 20, in a row
        assert (x[:, frozen] == seen[:1, frozen]).all()
    for x in hidden["depth"]:
        rows, columns = np.nonzero((x == 0).all(0))
        assert len(rows) == 20 and np.ptp(rows) == 3 and np.ptp(columns) == 4  # half of 8 by half of 10 pixels
        assert (x == 0).sum() == 20 * 20


def test_radar_frames_are_empty_as_often_as_asked(spec):
    windows = moving(spec, count=400)
    frames = (corrupted(spec, windows, "empty", 0.6).features["radar"] == 0).all((2, 3))
    assert frames.mean() == pytest.approx(0.6, abs=0.02)
