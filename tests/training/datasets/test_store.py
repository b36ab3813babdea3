from __future__ import annotations

import json
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

pytest.importorskip("torch")

from training.datasets.store import DataSetError, decoded_once, forget, load, save
from training.windows import Windows


def equal(one: Windows, other: Windows) -> None:
    for sensor, array in one.features.items():
        assert array.dtype == other.features[sensor].dtype
        np.testing.assert_array_equal(array, other.features[sensor])
    for column in ("presence", "labels", "groups", "recordings"):
        np.testing.assert_array_equal(getattr(one, column), getattr(other, column))


def test_what_was_saved_is_loaded_memory_mapped_and_in_order(windows: Windows, tmp_path: Path) -> None:
    save(windows, tmp_path / "kept")
    loaded = load(tmp_path / "kept")
    equal(windows, loaded)
    assert list(loaded.features) == list(windows.features)
    assert all(isinstance(array, np.memmap) for array in loaded.features.values())
    features, _, _ = loaded.tensors(np.arange(3))
    np.testing.assert_array_equal(features["imu"].numpy(), windows.features["imu"][:3])


def test_windows_are_made_once_for_each_key(windows: Windows, tmp_path: Path) -> None:
    made = []

    def make() -> Windows:
        made.append(1)
        return windows

    for key in (("folder", 1), ("folder", 1), ("folder", 2)):
        equal(decoded_once(tmp_path, "people", key, make), windows)
    assert len(made) == 2
    assert {path.name.split("-")[0] for path in tmp_path.iterdir()} == {"people"}


def test_nothing_is_left_of_windows_that_were_not_made_or_written(windows: Windows, tmp_path: Path) -> None:
    def fail() -> Windows:
        raise DataSetError("a broken file")

    with pytest.raises(DataSetError, match="a broken file"):
        decoded_once(tmp_path, "people", 1, fail)
    objects = Windows(
        windows.features, windows.presence, windows.labels, windows.groups.astype(object), windows.recordings
    )
    with pytest.raises(ValueError, match="allow_pickle"):
        save(objects, tmp_path / "objects")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_stands_there_already_is_left_alone(windows: Windows, tmp_path: Path) -> None:
    save(windows, tmp_path / "kept")
    save(windows.where(windows.labels == 1), tmp_path / "kept")
    equal(load(tmp_path / "kept"), windows)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_a_recording_is_forgotten_whatever_its_name_and_whoever_was_killed(windows: Windows, tmp_path: Path) -> None:
    recordings = [tmp_path / name for name in ("Küche's.mcap", "monday.mcap")]
    for recording in recordings:
        decoded_once(tmp_path, "recording", (str(recording), 1, "spec"), lambda: windows)
    killed = mock.patch("numpy.save", side_effect=KeyboardInterrupt), mock.patch("shutil.rmtree")  # leaves all as it is
    with killed[0], killed[1], pytest.raises(KeyboardInterrupt):
        decoded_once(tmp_path, "recording", (str(recordings[0]), 2, "spec"), lambda: windows)
    assert len(list(tmp_path.iterdir())) == 3
    forget(tmp_path, recordings[0])
    (left,) = tmp_path.iterdir()
    assert str(recordings[1]) in (left / "windows.json").read_text()


def test_a_recording_that_was_moved_is_forgotten(windows: Windows, tmp_path: Path) -> None:
    archive, cache = tmp_path / "archive.mcap", tmp_path / "cache"
    for name in ("monday.mcap", "tuesday.mcap"):
        path = tmp_path / name
        path.write_bytes(name.encode())
        state = path.stat()
        decoded_once(cache, "recording", (str(path), state.st_size, state.st_mtime_ns, "spec"), lambda: windows)
    (tmp_path / "monday.mcap").rename(archive)
    forget(cache, archive)
    (left,) = cache.iterdir()
    assert "tuesday" in (left / "windows.json").read_text()


@pytest.mark.parametrize("content", ["", "[]", '{"format": 1}'])
def test_windows_of_nobody_knows_which_recording_are_forgotten_with_the_next(
    windows: Windows, tmp_path: Path, content: str
) -> None:
    for name in ("cut", "monday"):
        decoded_once(tmp_path, "recording", (str(tmp_path / name), 1, "spec"), lambda: windows)
    cut = next(path for path in tmp_path.glob("*/windows.json") if "cut" in path.read_text())
    cut.write_text(content)  # as a power cut leaves it
    forget(tmp_path, tmp_path / "tuesday")
    (left,) = tmp_path.iterdir()
    assert "monday" in (left / "windows.json").read_text()


def test_a_damaged_folder_is_named(windows: Windows, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    with pytest.raises(DataSetError, match=r"kept: no whole folder of windows"):
        load(kept)
    save(windows, kept)
    radar = kept / "features-radar.npy"
    radar.write_bytes(radar.read_bytes()[:-100])
    with pytest.raises(DataSetError, match=r"kept: no whole folder of windows .*Delete it"):
        load(kept)
    manifest = kept / "windows.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "format": 0}))
    with pytest.raises(DataSetError, match="format 0"):
        load(kept)
