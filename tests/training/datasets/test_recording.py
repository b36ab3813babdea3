from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from cosmo_runtime.models.spec import ModalitySpec, ModelSpec
from cosmo_runtime.runtime.labels.truth import Segment
from cosmo_runtime.sensors.events import Sample, Truth
from cosmo_runtime.sensors.recording import RecordingWriter
from cosmo_runtime.sensors.sensor import SensorInfo
from cosmo_runtime.training.datasets import recording
from cosmo_runtime.training.datasets.store import DataSetError

START_S = 1000


@pytest.fixture(scope="module")
def spec() -> ModelSpec:
    return ModelSpec(
        modalities=(
            ModalitySpec(sensor="imu", rate_hz=20, shape=(6,)),
            ModalitySpec(sensor="depth", rate_hz=5, shape=(2, 3)),
            ModalitySpec(sensor="radar", rate_hz=10, shape=(4, 5)),
        ),
        window_s=2,
        hop_s=0.5,
        classes=("walk", "sit"),
        quality=(0.4, 0.3, 0.3),
    )


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten seconds of two sensors that measure the time itself: three of walking, then something else, then sitting."""
    path = tmp_path_factory.mktemp("recorded") / "monday.mcap"
    infos = {
        "imu": SensorInfo("imu", "an IMU of numbers", 100),
        "depth": SensorInfo("depth", "a camera of numbers", 10, depth_scale_m=0.01),
    }
    truths = {0: "walk", 300: "juggle", 500: "sit"}
    with RecordingWriter(path, infos, {}) as writer:
        for step in range(1001):
            stamp_ns = START_S * 10**9 + step * 10**7
            if step in truths:
                writer.write(Truth(stamp_ns, truths[step]))
            writer.write(Sample("imu", stamp_ns, stamp_ns + 10**6, np.full(9, step / 100, np.float32), b"raw"))
            if step % 10 == 0:
                writer.write(Sample("depth", stamp_ns, stamp_ns + 10**6, np.full((4, 6), step, np.uint16)))
    assert writer.failure is None
    assert writer.dropped == 0
    return path


def test_the_name_of_a_file_is_shown_as_it_is(
    recorded: Path, spec: ModelSpec, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "session [red].mcap"
    copy.write_bytes(recorded.read_bytes())
    recording.windows(copy, spec, None)
    assert "session [red].mcap" in capsys.readouterr().err


def test_windows_are_what_the_runtime_would_see(recorded: Path, spec: ModelSpec, tmp_path: Path) -> None:
    windows = recording.windows(recorded, spec, tmp_path)
    assert len(windows) == 17  # from 2 s to 10 s, one a hop
    np.testing.assert_array_equal(windows.presence, [[True, True, False]] * 17)  # there was no radar
    grid = 2 + 0.5 * 3 - np.arange(39, -1, -1) / 20
    np.testing.assert_allclose(windows.features["imu"][3], np.repeat(grid[:, None], 6, axis=1), atol=1e-4)
    np.testing.assert_allclose(windows.features["depth"][3, -1], np.full((2, 3), 3.5), atol=2e-3)
    assert not windows.features["radar"].any()
    assert set(windows.groups) == set(windows.recordings) == {"monday.mcap"}


def test_labels_are_those_that_were_recorded_where_they_fill_a_window(
    recorded: Path, spec: ModelSpec, tmp_path: Path
) -> None:
    labels = recording.windows(recorded, spec, tmp_path).labels.tolist()
    ends_s = 2 + 0.5 * np.arange(17)
    # at the very instant of a change the new activity is true, so the window that ends there holds both
    assert labels == [0 if end_s < 3 else 1 if end_s >= 7 else -1 for end_s in ends_s]


def test_segments_of_the_caller_are_labels_instead_where_they_hold_a_windows_middle(
    recorded: Path, spec: ModelSpec, tmp_path: Path
) -> None:
    segments = [Segment((START_S + 1) * 10**9, (START_S + 4) * 10**9, "sit")]
    windows = recording.windows(recorded, spec, tmp_path, segments, group="Ada")
    ends_s = 2 + 0.5 * np.arange(17)
    assert windows.labels.tolist() == [1 if 1 <= end_s - 1 < 4 else -1 for end_s in ends_s]
    assert set(windows.groups) == {"Ada"}
    with pytest.raises(DataSetError, match=r"monday.mcap: the activities \['juggle'\] are none of the model's"):
        recording.windows(recorded, spec, tmp_path, [Segment(0, 1, "juggle")])


def test_a_recording_is_decoded_once_until_it_changes(
    recorded: Path, spec: ModelSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, cache = tmp_path / "copy.mcap", tmp_path / "cache"
    path.write_bytes(recorded.read_bytes())
    first = recording.windows(path, spec, cache)
    assert isinstance(first.features["depth"], np.memmap)
    with monkeypatch.context() as patch:
        patch.setattr(recording, "Recording", None)  # reading it would fail
        np.testing.assert_array_equal(recording.windows(path, spec, cache).features["imu"], first.features["imu"])
    path.write_bytes(recorded.read_bytes()[: -path.stat().st_size // 2])
    assert len(recording.windows(path, spec, cache)) <= len(first)
    assert len(list(cache.iterdir())) == 2


def test_without_a_cache_nothing_is_kept(recorded: Path, spec: ModelSpec, tmp_path: Path) -> None:
    windows = recording.windows(recorded, spec, None)
    np.testing.assert_array_equal(windows.labels, recording.windows(recorded, spec, tmp_path).labels)
    assert not isinstance(windows.features["depth"], np.memmap)


def test_what_is_missing_damaged_or_too_short_is_named(recorded: Path, spec: ModelSpec, tmp_path: Path) -> None:
    with pytest.raises(DataSetError, match=r"nothing.mcap: cannot be read .*Give a recording"):
        recording.windows(tmp_path / "nothing.mcap", spec, tmp_path / "cache")
    other = tmp_path / "other.mcap"
    other.write_bytes(b"something else")
    with pytest.raises(DataSetError, match=r"other.mcap is not an MCAP file"):
        recording.windows(other, spec, tmp_path / "cache")
    radar_only = spec.model_copy(update={"modalities": spec.modalities[2:], "quality": (1.0,)})
    with pytest.raises(DataSetError, match=r"monday.mcap holds no window of 2 s of radar"):
        recording.windows(recorded, radar_only, tmp_path / "cache")


def test_a_recording_whose_windows_do_not_fit_into_memory_is_refused(
    recorded: Path, spec: ModelSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    window_bytes = 4 * (40 * 6 + 10 * 6 + 20 * 20)
    monkeypatch.setattr(os, "sysconf", {"SC_PAGE_SIZE": 2 * window_bytes, "SC_PHYS_PAGES": 25}.__getitem__)
    assert len(recording.windows(recorded, spec, None)) == 17
    monkeypatch.setattr(os, "sysconf", {"SC_PAGE_SIZE": 2 * window_bytes, "SC_PHYS_PAGES": 15}.__getitem__)
    with pytest.raises(DataSetError, match=r"monday.mcap: the windows of more than 0.0 h take more than half"):
        recording.windows(recorded, spec, None)


def test_numbers_that_no_sensor_measures_are_refused_by_file(tmp_path: Path, spec: ModelSpec) -> None:
    path = tmp_path / "run.mcap"
    with RecordingWriter(path, {"radar": SensorInfo("radar", "a radar of numbers", 20)}) as writer:
        for number in range(100):
            stamp_ns = START_S * 10**9 + number * 5 * 10**7
            writer.write(Sample("radar", stamp_ns, stamp_ns, np.full((4, 5), np.inf, np.float32)))
    with pytest.raises(DataSetError, match=r"run.mcap"):
        recording.windows(path, spec, None)


def _recorded_by(path: Path, wide: bool = True, **kinds: str) -> Path:
    infos = {name: SensorInfo(name, "made up", 20, kind=kind) for name, kind in kinds.items()}
    for name in infos:
        if kinds[name] == "depth":
            infos[name].intrinsics = {
                "width": 96 if wide else 54,
                "height": 54,
                "fx": 50.0,
                "fy": 50.0,
                "cx": 48.0,
                "cy": 27.0,
            }
    with RecordingWriter(path, infos, {}):
        return path


def test_without_a_model_that_knows_all_recorded_sensors_the_usual_windows_of_all_are_cut(
    spec: ModelSpec, tmp_path: Path
) -> None:
    known = _recorded_by(tmp_path / "known.mcap", imu="imu", radar="radar")
    assert recording.usual_spec([known], spec) == spec
    one = _recorded_by(tmp_path / "one.mcap", wrist="imu", thigh="imu", door="depth")
    two = _recorded_by(tmp_path / "two.mcap", wrist="imu", radar="radar")
    usual = recording.usual_spec([one, two], spec)
    assert usual.kinds == {"wrist": "imu", "thigh": "imu", "door": "depth", "radar": "radar"}
    assert [(m.rate_hz, m.shape) for m in usual.modalities] == [(50, (6,)), (50, (6,)), (10, (27, 48)), (20, (32, 5))]
    door = spec.model_copy(
        update={
            "modalities": tuple(m.model_copy(update={"sensor": "door"}) for m in spec.modalities if m.kind == "depth")
        }
    )
    wide, square = (
        _recorded_by(tmp_path / f"{name}.mcap", door="depth", wide=name == "wide") for name in ("wide", "square")
    )
    assert recording.usual_spec([wide, square], door) == door, "a model cuts pictures of any shape"
    other = _recorded_by(tmp_path / "other.mcap", wrist="radar")
    with pytest.raises(DataSetError, match=r"other\.mcap: wrist is another sensor than in .*one\.mcap"):
        recording.usual_spec([one, other], spec)
