from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")

from cosmo_runtime.training.windows import Windows, without_absent


def test_selections_keep_windows_together(windows):
    chosen = windows.where(windows.labels == 2)
    assert len(chosen) == 24
    assert set(chosen.labels) == {2}
    np.testing.assert_array_equal(chosen.features["imu"], windows.features["imu"][48:])


def test_unlabelled_windows_are_left_out_of_the_labelled(windows):
    labels = windows.labels.copy()
    labels[:10] = -1
    assert len(Windows(windows.features, windows.presence, labels, windows.groups, windows.recordings).labelled) == 62


def test_an_epoch_sees_every_window_once(windows):
    seen = [labels for _, _, labels in windows.shuffled_batches(10, np.random.default_rng(0))]
    assert np.bincount(np.concatenate(seen)).tolist() == [24, 24, 24]
    assert sorted({len(labels) for labels in seen}) == [9], "72 windows in 8 even batches of at most 10"


def test_depth_is_kept_to_two_millimetres(windows):
    assert windows.features["depth"].dtype == np.float16
    features, presence, _ = windows.tensors(np.arange(3))
    assert str(features["depth"].dtype) == "torch.float32"
    assert presence.shape == (3, 3)


def test_numbers_that_are_not_finite_are_refused(spec):
    window = {m.sensor: np.zeros((spec.steps(m), *m.shape)) for m in spec.modalities}
    window["imu"][3, 5] = np.nan
    with pytest.raises(ValueError, match="windows of imu"):
        Windows.stack(spec, [window], [[True] * 3], [0], ["someone"], ["a recording"])


def test_windows_that_disagree_are_refused(windows):
    with pytest.raises(ValueError, match="disagree"):
        Windows(windows.features, windows.presence, windows.labels[:5], windows.groups, windows.recordings)


def test_a_sensor_that_no_two_windows_have_is_left_out(spec, windows):
    presence = windows.presence.copy()
    presence[1:, 1] = False
    presence[:-2, 2] = False
    fewer, kept = without_absent(spec, replace(windows, presence=presence))
    assert fewer.sensors == list(kept.features) == ["imu", "radar"]
    assert fewer.quality == (0.5, 0.5)
    np.testing.assert_array_equal(kept.presence, presence[:, [0, 2]])


def test_parts_come_one_after_another(windows, other_people):
    both = Windows.concatenate([windows, other_people])
    assert len(both) == len(windows) + len(other_people)
    np.testing.assert_array_equal(both.features["depth"][len(windows) :], other_people.features["depth"])
    np.testing.assert_array_equal(both.recordings, [*windows.recordings, *other_people.recordings])
