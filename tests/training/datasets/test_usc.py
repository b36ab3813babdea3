from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import scipy.io

pytest.importorskip("torch")

from cosmo_runtime.models.spec import ModalitySpec
from cosmo_runtime.training.datasets import usc
from cosmo_runtime.training.datasets.store import DataSetError
from cosmo_runtime.training.windows import Windows


@pytest.fixture(scope="module")
def folder(data_dir: Path) -> Path:
    return data_dir / "usc-had"


@pytest.fixture(scope="module")
def everything(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Windows:
    return usc.windows(folder, usc.usc_spec(), tmp_path_factory.mktemp("cache"))


def test_every_trial_is_read(folder: Path, everything: Windows) -> None:
    assert len(set(everything.recordings)) == 840
    for subject in range(1, 15):
        assert len(set(everything.recordings[everything.groups == subject])) == 60
    assert set(everything.labels) == set(range(12))
    assert all(isinstance(array, np.memmap) for array in everything.features.values())
    rows = [scipy.io.loadmat(path)["sensor_readings"].shape[0] for path in (folder / "Subject5").glob("*.mat")]
    assert (everything.groups == 5).sum() == sum((n - 200) // 100 + 1 for n in rows)


def test_windows_are_cuts_of_the_file_in_si_units(folder: Path, everything: Windows) -> None:
    readings = scipy.io.loadmat(folder / "Subject3" / "a2t4.mat")["sensor_readings"]
    (rows,) = np.nonzero(everything.recordings == "s3_a2_t4")
    assert len(rows) == (len(readings) - 200) // 100 + 1
    assert set(everything.labels[rows]) == {1}
    fifth = slice(500, 700)
    np.testing.assert_allclose(everything.features["accelerometer"][rows[5]], readings[fifth, :3] * 9.80665, rtol=1e-5)
    np.testing.assert_allclose(
        everything.features["gyroscope"][rows[5]], np.radians(readings[fifth, 3:]), rtol=1e-5, atol=1e-7
    )
    standing = everything.features["accelerometer"][everything.labels == usc.CLASSES.index("stand")]
    assert np.linalg.norm(standing, axis=2).mean() == pytest.approx(9.8, abs=0.5)


def test_the_activity_is_that_of_the_files_name(folder: Path, everything: Windows) -> None:
    inside = scipy.io.loadmat(folder / "Subject14" / "a3t2.mat")
    assert inside["activity_number"][0] == "2"
    assert set(everything.labels[everything.recordings == "s14_a3_t2"]) == {2}
    assert "activity_number" not in scipy.io.loadmat(folder / "Subject13" / "a11t4.mat")
    assert set(everything.labels[everything.recordings == "s13_a11_t4"]) == {10}


def test_stride_subjects_and_modalities_are_chosen(folder: Path, everything: Windows, tmp_path: Path) -> None:
    dense = usc.windows(folder, usc.usc_spec(stride_s=0.5), tmp_path, subjects=[2])
    assert set(dense.groups) == {2}
    assert len(dense) == pytest.approx(2 * (everything.groups == 2).sum(), rel=0.05)
    spec = usc.usc_spec()
    both = spec.model_copy(
        update={"modalities": (ModalitySpec(sensor="imu", rate_hz=100, shape=(6,)),), "quality": (1.0,)}
    )
    imu = usc.windows(folder, both, tmp_path, subjects=[2]).features["imu"]
    halves = [everything.features[name][everything.groups == 2] for name in ("accelerometer", "gyroscope")]
    np.testing.assert_array_equal(imu, np.concatenate(halves, axis=2))
    slow = spec.model_copy(update={"modalities": (ModalitySpec(sensor="imu", rate_hz=20, shape=(6,)),)})
    with pytest.raises(DataSetError, match="at 100 Hz"):
        usc.windows(folder, slow, tmp_path, subjects=[2])


def test_what_is_missing_or_broken_is_named_and_a_second_call_does_not_read(folder: Path, tmp_path: Path) -> None:
    data, cache, spec = tmp_path / "usc", tmp_path / "cache", usc.usc_spec()
    with pytest.raises(DataSetError, match=r"usc: no trial. Give the folder of USC-HAD"):
        usc.windows(data, spec, cache)
    (data / "Subject1").mkdir(parents=True)
    trial = data / "Subject1" / "a1t1.mat"
    trial.write_bytes((folder / "Subject1" / "a1t1.mat").read_bytes()[:5000])
    with pytest.raises(DataSetError, match=r"a1t1.mat: not a file of USC-HAD"):
        usc.windows(data, spec, cache)
    scipy.io.savemat(trial, {"sensor_readings": np.full((300, 6), np.nan)})
    with pytest.raises(DataSetError, match=r"a1t1.mat: 1800 values of sensor_readings are not finite"):
        usc.windows(data, spec, cache)
    short = np.random.default_rng(0).normal([0, 0, 1, 0, 0, 0], 0.01, (199, 6))
    scipy.io.savemat(trial, {"sensor_readings": short})
    with pytest.raises(DataSetError, match=r"usc: no trial is as long as a window of 2 s"):
        usc.windows(data, spec, cache)
    trial.unlink()
    shutil.copyfile(folder / "Subject1" / "a1t1.mat", trial)
    first = usc.windows(data, spec, cache)
    shutil.rmtree(data)
    again = usc.windows(data, spec, cache)
    np.testing.assert_array_equal(first.features["gyroscope"], again.features["gyroscope"])
