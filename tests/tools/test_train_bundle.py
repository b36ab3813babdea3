"""The windows that bundles are trained on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from sensors.sensor import SensorError
from tools.train_bundle import Job, make, motion_of, person_spec, utd_spec, windows_of

SECONDS = 14.0


def test_a_persons_windows_are_labelled_only_wholly_inside_an_activity() -> None:
    job = Job("person", 3, person_spec(), Path(), SECONDS)
    try:
        windows = windows_of(job)
    except SensorError as error:
        pytest.skip(str(error))
    spec = job.spec
    ends_s = np.arange(len(windows)) * spec.hop_s + spec.window_s
    assert ends_s[-1] == pytest.approx(SECONDS, abs=spec.hop_s)
    assert windows.presence.all()
    assert windows.features["depth"].shape[1:] == (20, 27, 48)
    starts = motion_of(job).activities(SECONDS)
    changes_s = np.array([start.start_s for start in starts])
    for end_s, label in zip(ends_s, windows.labels):
        inside = not ((changes_s > end_s - spec.window_s) & (changes_s <= end_s)).any()
        if label >= 0:
            assert inside
            assert spec.classes[label] == [start.activity for start in starts if start.start_s <= end_s][-1]
        else:
            assert not inside


def test_windows_are_made_once(tmp_path: Path) -> None:
    spec = person_spec()
    try:
        first = make("person", [5], spec, Path(), 4.0, tmp_path)
    except SensorError as error:
        pytest.skip(str(error))
    (kept,) = tmp_path.iterdir()
    written = kept.stat().st_mtime_ns
    again = make("person", [5], spec, Path(), 4.0, tmp_path)
    assert kept.stat().st_mtime_ns == written
    np.testing.assert_array_equal(first.features["imu"], again.features["imu"])
    np.testing.assert_array_equal(first.labels, again.labels)


@pytest.mark.slow
def test_windows_of_real_trials_are_labelled_by_their_middle(data_dir: Path) -> None:
    spec = utd_spec()
    windows = windows_of(Job("utd", 1, spec, data_dir / "utd-mhad", 20.0))
    names = [spec.classes[label] for label in windows.labels]
    assert names[0] == "swipe left"
    assert "rest" in names
    assert np.isfinite(windows.features["imu"]).all()
