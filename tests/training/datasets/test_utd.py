from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import scipy.io

pytest.importorskip("torch")

from cosmo_runtime.sensors.simulation.utd import trial_names, trial_numbers
from cosmo_runtime.training.datasets import utd
from cosmo_runtime.training.datasets.store import DataSetError

NAME = "a7_s3_t2"


@pytest.fixture(scope="module")
def folder(data_dir: Path) -> Path:
    return data_dir / "utd-mhad"


def test_every_trial_is_one_window(folder: Path, cache: Path) -> None:
    windows = utd.trials(folder, utd.utd_a_spec(), cache)
    assert windows.features["imu"].shape == (861, 120, 6)
    assert windows.features["skeleton"].shape == (861, 40, 20, 3)
    assert all(isinstance(array, np.memmap) for array in windows.features.values())
    assert windows.presence.all()
    assert len(set(windows.recordings)) == 861
    assert not {"a8_s1_t4", "a23_s6_t4", "a27_s8_t4"} & set(windows.recordings)
    missing = np.zeros(27, int)
    missing[[7, 22, 26]] = 1
    np.testing.assert_array_equal(np.bincount(windows.labels), 32 - missing)
    np.testing.assert_array_equal(np.bincount(windows.groups)[[1, 2, 6, 8]], [107, 108, 107, 107])
    for recording, label, group in zip(windows.recordings, windows.labels, windows.groups):
        assert recording.startswith(f"a{label + 1}_s{group}_t")


def test_imu_and_skeleton_are_those_of_the_file_stretched_evenly(folder: Path, cache: Path) -> None:
    windows = utd.trials(folder, utd.utd_a_spec(), cache)
    (row,) = np.flatnonzero(windows.recordings == NAME)
    inertial = scipy.io.loadmat(folder / "Inertial" / f"{NAME}_inertial.mat")["d_iner"]
    skeleton = scipy.io.loadmat(folder / "Skeleton" / f"{NAME}_skeleton.mat")["d_skel"]
    at = 60.5 / 120 * len(inertial) - 0.5  # the middle of step 60, in samples
    left = int(at)
    between = inertial[left] + (at - left) * (inertial[left + 1] - inertial[left])
    expected = [*(between[:3] * 9.80665), *(between[3:] * np.pi / 180)]
    np.testing.assert_allclose(windows.features["imu"][row, 60], expected, rtol=1e-5)
    assert 8 < np.linalg.norm(windows.features["imu"][row, :, :3], axis=1).mean() < 15
    at = 20.5 / 40 * skeleton.shape[2] - 0.5
    left = int(at)
    between = skeleton[..., left] + (at - left) * (skeleton[..., left + 1] - skeleton[..., left])
    np.testing.assert_allclose(windows.features["skeleton"][row, 20], between, rtol=1e-5)


def test_depth_is_real_and_radar_the_same_each_time(folder: Path, tmp_path: Path) -> None:
    spec = utd.utd_b_spec(radar=True)
    windows = utd.trials(folder, spec, tmp_path / "one", [NAME])
    assert windows.features["depth"].shape == (1, 30, 30, 40)
    images = scipy.io.loadmat(folder / "Depth" / f"{NAME}_depth.mat")["d_depth"]
    frame = images[..., int(12.5 / 30 * images.shape[2])]
    blocks = frame.reshape(30, 8, 40, 8).astype(float)
    measured = (blocks > 0).sum((1, 3))
    mean = blocks.sum((1, 3)) / np.maximum(measured, 1) / 1000
    assert (measured > 0).sum() > 50
    np.testing.assert_allclose(windows.features["depth"][0, 12], mean, atol=2e-3)

    radar = windows.features["radar"]
    assert radar.shape == (1, 60, 32, 5)
    points = radar[radar[..., 4] > 25]
    assert len(points) > 50
    person = scipy.io.loadmat(folder / "Skeleton" / f"{NAME}_skeleton.mat")["d_skel"].mean((0, 2))
    np.testing.assert_allclose(np.median(points[:, :3], axis=0), person[[0, 2, 1]], atol=0.5)
    again = utd.trials(folder, spec, tmp_path / "two", [NAME])
    np.testing.assert_array_equal(radar, again.features["radar"])
    other = utd.trials(folder, spec, tmp_path / "two", ["a7_s3_t3"])
    assert not np.array_equal(radar, other.features["radar"])


def test_skeleton_and_depth_are_as_they_are_with_the_imu_alone(folder: Path, tmp_path: Path) -> None:
    together = utd.trials(folder, utd.utd_c_spec(), tmp_path, [NAME])
    assert list(together.features) == ["imu", "skeleton", "depth"]
    for spec in (utd.utd_a_spec(), utd.utd_b_spec()):
        for sensor, features in utd.trials(folder, spec, tmp_path, [NAME]).features.items():
            np.testing.assert_array_equal(features, together.features[sensor])


def test_the_published_split_names_trials_that_are_there(folder: Path) -> None:
    split = utd.published_split(folder)
    assert split.train_subjects == (1, 2, 3, 4, 5, 6)
    assert split.test_subjects == (7, 8)
    training = set(trial_names(folder, split.train_subjects))
    for rate, times in {5: 1, 10: 2, 15: 3, 20: 4, 30: 6, 40: 8}.items():
        names = split.labelled[rate]
        assert set(names) <= training
        actions = [trial_numbers(name)[0] for name in names]
        np.testing.assert_array_equal(np.bincount(actions)[1:], times)


def test_a_second_call_does_not_read_the_data(folder: Path, tmp_path: Path) -> None:
    data = tmp_path / "utd"
    for kind in ("Inertial", "Skeleton"):
        (data / kind).mkdir(parents=True)
        file = f"{NAME}_{kind.lower()}.mat"
        shutil.copyfile(folder / kind / file, data / kind / file)
    first = utd.trials(data, utd.utd_a_spec(), tmp_path / "cache")
    assert first.recordings.tolist() == [NAME]
    shutil.rmtree(data)
    again = utd.trials(data, utd.utd_a_spec(), tmp_path / "cache")
    np.testing.assert_array_equal(first.features["skeleton"], again.features["skeleton"])
    with pytest.raises(DataSetError):
        utd.trials(data, utd.utd_b_spec(), tmp_path / "cache")


def test_what_is_missing_or_broken_is_named(folder: Path, tmp_path: Path) -> None:
    spec, cache = utd.utd_a_spec(), tmp_path / "cache"
    with pytest.raises(DataSetError, match=r"nowhere/Inertial: no such folder. Name the folder of UTD-MHAD"):
        utd.trials(tmp_path / "nowhere", spec, cache)
    with pytest.raises(DataSetError, match=r"label_splits.json cannot be read"):
        utd.published_split(tmp_path)
    (tmp_path / "label_splits.json").write_text('{"train_subjects": 5}')
    with pytest.raises(DataSetError, match=r"label_splits.json is not a list of labelled trials"):
        utd.published_split(tmp_path)
    for split in (
        {"train_subjects": ["1"], "test_subjects": [7], "labelled_trials_by_rate_percent": {}},
        {"train_subjects": [1], "test_subjects": [7], "labelled_trials_by_rate_percent": {"5": "a1_s1_t1"}},
    ):
        (tmp_path / "label_splits.json").write_text(json.dumps(split))
        with pytest.raises(DataSetError, match=r"label_splits.json is not a list .*no trial or subject of UTD-MHAD: "):
            utd.published_split(tmp_path)
    inertial = tmp_path / "Inertial" / f"{NAME}_inertial.mat"
    inertial.parent.mkdir()
    whole = (folder / "Inertial" / inertial.name).read_bytes()
    inertial.write_bytes(whole)
    with pytest.raises(DataSetError, match=rf"{NAME}_skeleton.mat: no such file"):
        utd.trials(tmp_path, spec, cache)
    inertial.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataSetError, match=rf"{NAME}_inertial.mat: not a file of UTD-MHAD"):
        utd.trials(tmp_path, spec, cache)
    scipy.io.savemat(inertial, {"d_iner": np.zeros((100, 5))})
    with pytest.raises(DataSetError, match=rf"{NAME}_inertial.mat: d_iner has the shape \(100, 5\), not \(n, 6\)"):
        utd.trials(tmp_path, spec, cache)
