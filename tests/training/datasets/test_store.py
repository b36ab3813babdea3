from __future__ import annotations

import os
import pkgutil
import shutil
import signal
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from typing import Callable
from unittest import mock

import numpy as np
import pytest

pytest.importorskip("torch")

from cosmo_runtime.runtime.retention.cached_windows import RecordingFile
from cosmo_runtime.training import datasets
from cosmo_runtime.training.datasets import store
from cosmo_runtime.training.datasets.store import DataSetError, decoded_once, in_parallel, load, save
from cosmo_runtime.training.windows import Windows


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


def test_a_cache_that_cannot_be_written_costs_time_alone(
    windows: Windows, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    for name in ("people", "recording"):
        equal(decoded_once(tmp_path / "file" / "cache", name, 1, lambda: windows), windows)
        assert f"The windows of {name} could not be stored and will be decoded again" in caplog.text
    with mock.patch("numpy.save", side_effect=OSError(28, "No space left on device")):
        equal(decoded_once(tmp_path / "cache", "people", 1, lambda: windows), windows)
    assert "No space left on device" in caplog.text
    assert not list((tmp_path / "cache").iterdir())


def test_windows_of_a_recording_are_kept_only_where_purge_will_look(
    windows: Windows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "share").mkdir()
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    (tmp_path / "share" / "cosmo-runtime").touch()  # where the caches are noted
    equal(decoded_once(tmp_path / "cache", "recording", 1, lambda: windows, RecordingFile("/a.mcap", 1, 2)), windows)
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("name", ["windows.json", "features-radar.npy", "labels.npy"])
@pytest.mark.parametrize("damage", [lambda c: c[: len(c) // 2], lambda c: b"", lambda c: c[:-1] + bytes([c[-1] ^ 1])])
def test_a_damaged_cache_is_made_anew(
    windows: Windows, tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, damage: Callable[[bytes], bytes]
) -> None:
    decoded_once(tmp_path, "people", 1, lambda: windows)
    (file,) = tmp_path.glob(f"*/{name}")
    file.write_bytes(damage(file.read_bytes()) if name != "windows.json" else b"[1]")
    for _ in range(2):
        equal(decoded_once(tmp_path, "people", 1, lambda: windows), windows)
    assert caplog.text.count("not a whole folder of windows") == 1


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the code that makes windows, in a folder in which it may be changed."""
    top, copy = Path(store.__file__).parents[2], tmp_path / "code"
    for part in store._CODE:
        if (top / part).is_dir():
            shutil.copytree(top / part, copy / part)
        else:
            (copy / part).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(top / part, copy / part)
    assert start_again(monkeypatch) == start_again(monkeypatch, copy)
    return copy


def start_again(monkeypatch: pytest.MonkeyPatch, top: Path = Path(store.__file__).parents[2]) -> str:
    """Does as a process that has just started. Returns the version of the code."""
    monkeypatch.setattr(store, "__file__", str(top / "training/datasets/store.py"))
    monkeypatch.setattr(store, "_code", lru_cache(store._code.__wrapped__))
    return store._code()


@pytest.mark.parametrize(
    "file",
    [
        "sensors/simulation/acting.py",
        "models/features.py",
        "models/kinds.py",
        "runtime/labels/truth.py",
        "training/datasets/utd.py",
    ],
)
def test_a_change_of_what_makes_windows_is_another_version(
    code: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    before = store._code()
    change(code / file)
    assert start_again(monkeypatch, code) != before


def test_code_that_changes_while_it_makes_windows_did_not_make_them(
    windows: Windows, tmp_path: Path, code: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []

    def make() -> Windows:
        made.append(1)
        change(code / "models/features.py")
        return windows

    for _ in range(2):
        monkeypatch.setattr(store, "_code", lru_cache(store._code.__wrapped__))
        decoded_once(tmp_path, "people", 1, make)
    assert len(made) == 2


def test_checkouts_that_share_a_cache_take_nothing_from_each_other_and_old_versions_go(
    windows: Windows, tmp_path: Path, code: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    made = []

    def use(checkout: Path) -> None:
        start_again(monkeypatch, checkout)
        for key in ("monday", "tuesday"):
            equal(decoded_once(tmp_path / "cache", "people", key, lambda: made.append(1) or windows), windows)

    other = Path(shutil.copytree(code, tmp_path / "other"))
    for _ in range(3):  # by turns, while one of them is worked on
        change(other / "models/features.py")
        use(code)
        use(other)
    assert len(made) == 2 * (1 + 3)
    assert len(list((tmp_path / "cache").iterdir())) == 2 * 3
    use(code)
    assert len(made) == 2 * (1 + 3)
    assert caplog.text == ""


def change(file: Path) -> None:
    file.write_bytes(file.read_bytes() + b"\nx = 1\n")


def test_whatever_loaders_import_is_code_that_makes_windows_or_known_not_to() -> None:
    loaders = [f"{datasets.__name__}.{module.name}" for module in pkgutil.iter_modules(datasets.__path__)]
    told = f"import sys, {', '.join(loaders)}; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", told], check=True, stdout=subprocess.PIPE).stdout.decode().split()
    top = Path(store.__file__).parents[2]
    files = {Path(*name.split(".")[1:]).with_suffix(".py") for name in modules if name.startswith("cosmo_runtime.")}
    makes = {file for file in files if any(Path(part) in (file, *file.parents) for part in store._CODE)}
    others = {str(file) for file in files - makes if (top / file).is_file()}
    harmless = (
        *("disk", "places", "runtime/engines", "runtime/recognition", "runtime/retention"),
        *("runtime/selection", "runtime/sync", "models/activity_names", "models/bundle", "models/card"),
        *("models/confidence", "models/files", "models/folders", "models/novelty", "models/onnx_file", "models/sealed"),
    )
    assert not [path for path in others if not path.startswith(harmless)]
    assert len(makes) > 50


def killed(item: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_process_that_was_killed_is_told() -> None:
    with pytest.raises(DataSetError, match=r"streams: a decoding process was killed. Was the memory full"):
        in_parallel(killed, [1], "streams")


def test_a_damaged_folder_is_named(windows: Windows, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    with pytest.raises(DataSetError, match=r"kept: not a whole folder of windows"):
        load(kept)
    save(windows, kept)
    radar = kept / "features-radar.npy"
    radar.write_bytes(radar.read_bytes()[:-100])
    with pytest.raises(DataSetError, match=r"kept: not a whole folder of windows .*Delete it"):
        load(kept)
