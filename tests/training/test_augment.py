from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from cosmo_runtime.training.augment import (
    OF_A_MOMENT,
    OF_A_WHOLE,
    augment,
    drop_modalities,
    random_rotations,
    warp_time,
)


def generator(seed: int = 0):
    return torch.Generator().manual_seed(seed)


def named_alike(features):
    return {sensor: sensor for sensor in features}


def test_shapes_stay_and_every_modality_changes(windows):
    features, _, _ = windows.tensors(slice(0, 16))
    changed = augment(features, windows.kinds, generator())
    for sensor, x in features.items():
        assert changed[sensor].shape == x.shape
        assert changed[sensor].dtype == torch.float32
        assert not torch.equal(changed[sensor], x)


def test_the_same_seed_gives_the_same_changes(windows):
    features, _, _ = windows.tensors(slice(0, 16))
    first, again, other = (augment(features, windows.kinds, generator(seed)) for seed in (1, 1, 2))
    assert all(torch.equal(first[sensor], again[sensor]) for sensor in features)
    assert not torch.equal(first["imu"], other["imu"])


def test_missing_radar_points_stay_missing(windows):
    features, _, _ = windows.tensors(slice(0, 16))
    changed = augment(features, windows.kinds, generator())["radar"]
    assert not changed[:, :, 2:].any()


def test_sensors_stay_synchronous_when_time_is_warped():
    """Each sensor's own clock, given as its feature, must be warped alike."""
    clocks = {sensor: (torch.arange(steps) + 0.5) / steps for sensor, steps in (("imu", 400), ("radar", 100))}
    features = {sensor: clock.reshape(1, -1, 1).repeat(8, 1, 1) for sensor, clock in clocks.items()}
    warped = warp_time(features, named_alike(features), generator())
    moved = warped["imu"][:, 2::4, 0] - clocks["imu"][2::4]
    torch.testing.assert_close(moved, warped["radar"][:, :, 0] - clocks["radar"], atol=0.015, rtol=0)
    assert 0.03 < moved.abs().max() <= 0.21
    assert len(moved[:, 50].unique()) > 4


def test_the_middle_of_a_stream_s_window_stays_nearly_where_it_is():
    clock = ((torch.arange(101) + 0.5) / 101).reshape(1, -1, 1).repeat(500, 1, 1)
    moved = {
        warp: (warp_time({"imu": clock}, {"imu": "imu"}, generator(), warp)["imu"][:, 50, 0] - 0.5)
        for warp in (OF_A_WHOLE, OF_A_MOMENT)
    }
    assert 0.04 < moved[OF_A_MOMENT].std() < 0.06
    assert moved[OF_A_WHOLE].std() > 0.1


def test_rotations_are_rotations():
    rotations = random_rotations(32, 0.25, generator())
    torch.testing.assert_close(rotations @ rotations.transpose(1, 2), torch.eye(3).expand(32, 3, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.linalg.det(rotations), torch.ones(32), atol=1e-5, rtol=0)
    angles = torch.arccos((rotations.diagonal(dim1=1, dim2=2).sum(1) - 1) / 2)
    assert 0.1 < angles.mean() < 0.4


def test_dropping_modalities_leaves_one_and_invents_none():
    presence = torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 1.0]]).repeat(200, 1)
    dropped = drop_modalities(presence, generator())
    assert (dropped <= presence).all()
    assert (dropped.sum(1) > 0).all()
    assert 0.8 < dropped.sum() / presence.sum() < 0.95


def test_accelerometer_and_gyroscope_of_one_device_turn_as_one():
    x = torch.tensor([1.0, 2.0, 3.0]).repeat(64, 10, 1)  # no noise: that is a share of the spread
    changed = augment(
        {"accelerometer": x, "gyroscope": x.clone()},
        {"accelerometer": "accelerometer", "gyroscope": "gyroscope"},
        generator(),
    )
    ratio = changed["accelerometer"] / changed["gyroscope"]
    assert ((ratio > 0.8) & (ratio < 1.25)).all(), "more than the gains of 0.9 to 1.1"
    assert (changed["accelerometer"] - x).abs().max() > 0.5


def test_the_tracker_loses_a_whole_limb_in_three_windows_of_ten():
    x = torch.randn((300, 6, 20, 3), generator=generator(1))
    changed = augment({"skeleton": x}, {"skeleton": "skeleton"}, generator())["skeleton"]
    still = (changed == changed[:, :1]).all(3).all(1)  # (windows, joints)
    assert 0.2 < still.any(1).float().mean() < 0.4
    assert set(still.sum(1).tolist()) == {0, 4}


def test_a_block_of_the_depth_view_is_hidden_throughout_a_window():
    hidden = augment({"depth": torch.full((100, 3, 30, 40), 2.0)}, {"depth": "depth"}, generator())["depth"] == 0
    share = hidden.float().mean((1, 2, 3))
    assert (share > 0).float().mean() > 0.5
    assert share.max() < 0.11
    assert torch.equal(hidden, hidden[:, :1].expand_as(hidden))


def test_a_fifth_of_the_radar_points_is_lost():
    lost = (augment({"radar": torch.ones((50, 10, 8, 5))}, {"radar": "radar"}, generator())["radar"] == 0).all(3)
    assert 0.17 < lost.float().mean() < 0.23


def test_two_imus_turn_apart():
    """They are worn in two places; only their turn, and gains of up to a tenth, change a constant signal."""
    x = torch.tensor([1.0, 2.0, 3.0]).repeat(64, 10, 1)
    changed = augment({"wrist": x, "thigh": x.clone()}, {"wrist": "imu", "thigh": "imu"}, generator())
    ratio = changed["wrist"] / changed["thigh"]
    assert ((ratio < 0.8) | (ratio > 1.25)).any(2).float().mean() > 0.5


def test_a_kind_that_nobody_can_augment_is_refused():
    with pytest.raises(ValueError, match="smell"):
        augment({"nose": torch.ones((2, 3, 1))}, {"nose": "smell"}, generator())
