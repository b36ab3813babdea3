from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cosmo_runtime.runtime.retention.cached_windows import (
    MANIFEST,
    CachedWindows,
    RecordingFile,
    forget,
    note,
    windows_in_caches,
)


def keep(cache: Path, recording: Path, name: str = "recording-0") -> Path:
    """What ``training.datasets.store`` leaves in a cache."""
    folder = cache / name
    folder.mkdir(parents=True)
    (folder / MANIFEST).write_text(json.dumps({"recording": RecordingFile.of(recording)._asdict()}))
    (folder / "features-depth.npy").write_bytes(b"pictures")
    return folder


@pytest.fixture
def recordings(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / name for name in ('Küche\'s "best".mcap', "monday.mcap")]
    for path in paths:
        path.write_bytes(path.name.encode())
    return paths


def orphans(cache: Path) -> dict[Path, str]:
    return {windows.folder: windows.orphaned for windows in windows_in_caches(cache) if windows.orphaned}


def test_a_recording_is_forgotten_in_every_cache_whatever_its_name(tmp_path: Path, recordings: list[Path]) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    keep(one, recordings[0])
    keep(one, recordings[0], ".recording-0.killed")
    keep(other, recordings[0])
    stays = [keep(one, recordings[1], "recording-1"), keep(other, recordings[1], "recording-1")]
    note(other)
    assert not orphans(one)
    forget(one, recordings[0])
    assert [windows.folder for windows in windows_in_caches(one)] == stays
    assert {windows.recording and windows.recording.path for windows in windows_in_caches(one)} == {str(recordings[1])}


def test_a_recording_that_was_moved_is_forgotten(tmp_path: Path, recordings: list[Path]) -> None:
    kept = [keep(tmp_path / "cache", path, f"recording-{i}") for i, path in enumerate(recordings)]
    archive = recordings[0].rename(tmp_path / "archive.mcap")
    forget(tmp_path / "cache", archive)
    assert [folder.exists() for folder in kept] == [False, True]


@pytest.mark.parametrize(
    "content", [None, "", "[]", '{"format": 1}', '{"recording": null}', '{"recording": {"path": "/a"}}']
)
def test_windows_of_nobody_knows_which_recording_are_forgotten_with_the_next(
    tmp_path: Path, recordings: list[Path], content: Any
) -> None:
    """As a power cut leaves them, or a kill while they were deleted."""
    cut = keep(tmp_path / "cache", recordings[0])
    other = keep(tmp_path / "cache", recordings[1], "recording-1")
    (cut / MANIFEST).unlink() if content is None else (cut / MANIFEST).write_text(content)
    assert not orphans(tmp_path / "cache"), "somebody may just be writing them"
    os.utime(cut, (0, 0))
    assert orphans(tmp_path / "cache") == {cut: "their recording is unknown"}
    forget(tmp_path / "cache", tmp_path / "tuesday.mcap")
    assert not cut.exists() and other.exists()


def test_windows_are_orphans_when_their_recording_is_gone_or_another(tmp_path: Path, recordings: list[Path]) -> None:
    folders = [keep(tmp_path / "cache", path, f"recording-{i}") for i, path in enumerate(recordings)]
    disk = tmp_path / "disk"
    disk.mkdir()
    away = disk / "away.mcap"
    away.touch()
    folders.append(keep(tmp_path / "cache", away, "recording-2"))
    assert not orphans(tmp_path / "cache")
    recordings[0].unlink()
    recordings[1].write_bytes(b"recorded anew")
    away.unlink()
    disk.rmdir()
    gone = "the recording is gone"
    assert list(orphans(tmp_path / "cache").items()) == list(zip(folders, [gone, "the recording has changed", gone]))


def test_where_nobody_can_look_windows_stay(tmp_path: Path) -> None:
    assert not CachedWindows(tmp_path, RecordingFile("/" + "x" * 300, 0, 0)).orphaned


def test_a_cache_is_noted_once_and_a_line_that_a_kill_cut_hides_no_other(
    tmp_path: Path, recordings: list[Path]
) -> None:
    register = Path(os.environ["XDG_DATA_HOME"]) / "cosmo-runtime" / "caches.jsonl"
    for name in ("one", "two", "one"):
        note(tmp_path / name)
        keep(tmp_path / name, recordings[0], f"recording-{len(list(tmp_path.glob('*/recording-*')))}")
    assert len(register.read_text().splitlines()) == 2
    register.write_text('"/half a na\n7\n' + register.read_text())
    assert len(list(windows_in_caches(tmp_path / "none"))) == 3


def test_it_works_without_torch() -> None:
    code = "import sys; sys.modules['torch'] = None; "
    code += "import cosmo_runtime.runtime.retention.cached_windows, cosmo_runtime.runtime.cli.purge"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[4]).returncode == 0
