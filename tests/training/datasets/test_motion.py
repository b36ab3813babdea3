from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("scipy")

from cosmo_runtime.models.spec import ModalitySpec, ModelSpec
from cosmo_runtime.names import NONE
from cosmo_runtime.sensors.sensor import SensorError
from cosmo_runtime.sensors.simulation.person import SimulatedPerson
from cosmo_runtime.sensors.simulation.utd import ACTIVITIES, load
from cosmo_runtime.training.datasets.motion import simulated_people, utd_streams
from cosmo_runtime.training.datasets.store import DataSetError
from cosmo_runtime.training.windows import Windows

SECONDS = 14.0


def spec_of(classes: tuple, **depth: tuple) -> ModelSpec:
    return ModelSpec(
        modalities=(
            ModalitySpec(sensor="imu", rate_hz=50, shape=(6,)),
            ModalitySpec(sensor="depth", rate_hz=10, shape=depth["shape"]),
            ModalitySpec(sensor="radar", rate_hz=20, shape=(32, 5)),
        ),
        window_s=2.0,
        hop_s=0.5,
        classes=classes,
        quality=(0.4, 0.3, 0.3),
    )


@pytest.fixture(scope="module")
def people_spec() -> ModelSpec:
    starts = SimulatedPerson(3).activities(SECONDS)
    return spec_of(tuple(sorted({start.activity for start in starts})), shape=(27, 48))


@pytest.fixture(scope="module")
def person(people_spec: ModelSpec, cache: Path) -> Windows:
    try:
        return simulated_people([3], SECONDS, people_spec, cache)
    except SensorError as error:
        pytest.skip(str(error))


def test_a_persons_windows_are_labelled_only_wholly_inside_an_activity(person: Windows, people_spec: ModelSpec) -> None:
    ends_s = np.arange(len(person)) * people_spec.hop_s + people_spec.window_s
    assert ends_s[-1] == pytest.approx(SECONDS, abs=people_spec.hop_s)
    assert person.presence.all()
    assert person.features["depth"].shape[1:] == (20, 27, 48)
    starts = SimulatedPerson(3).activities(SECONDS)
    changes_s = np.array([start.start_s for start in starts])
    for end_s, label in zip(ends_s, person.labels):
        inside = not ((changes_s > end_s - people_spec.window_s) & (changes_s <= end_s)).any()
        if label >= 0:
            assert inside
            assert people_spec.classes[label] == [start.activity for start in starts if start.start_s <= end_s][-1]
        else:
            assert not inside


def test_each_persons_windows_are_made_once(person: Windows, people_spec: ModelSpec, cache: Path) -> None:
    kept = {path: path.stat().st_mtime_ns for path in cache.glob("*/*")}  # folders are touched when they are used
    again = simulated_people([3], SECONDS, people_spec, cache)
    assert kept and kept == {path: path.stat().st_mtime_ns for path in cache.glob("*/*")}
    np.testing.assert_array_equal(person.features["imu"], again.features["imu"])
    np.testing.assert_array_equal(person.labels, again.labels)
    assert set(person.groups) == {3}
    assert set(person.recordings) == {"person 3"}


def test_real_trials_are_a_stream_labelled_by_the_middle(data_dir: Path, tmp_path: Path) -> None:
    spec = spec_of((*ACTIVITIES.values(), NONE), shape=(30, 40))
    folder = data_dir / "utd-mhad"
    try:
        windows = utd_streams(folder, [1], spec, tmp_path, seconds=8.0)
    except SensorError as error:
        pytest.skip(str(error))
    inertial = load(folder, "inertial", "a1_s1_t1")
    end_s = 1 + len(inertial) / 50  # after a rest of one second
    names = [spec.classes[label] for label in windows.labels]
    middles_s = 1 + 0.5 * np.arange(len(windows))
    for middle_s, name in zip(middles_s, names):
        expected = "none" if end_s <= middle_s < end_s + 1 else "swipe left"
        assert name == expected
    # the first window's last step, at two seconds, is the trial's at one
    np.testing.assert_allclose(windows.features["imu"][0, -1, :3], inertial[50, :3] * 9.80665, rtol=1e-4)
    assert windows.presence.all()


def test_what_is_missing_is_named(people_spec: ModelSpec, tmp_path: Path) -> None:
    with pytest.raises(DataSetError, match=r"nowhere/Inertial: no such folder. Name the folder of UTD-MHAD"):
        utd_streams(tmp_path / "nowhere", [1], people_spec, tmp_path / "cache")
