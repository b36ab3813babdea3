"""Purging as people meet it, on recordings of the emulated rig."""

from __future__ import annotations

import errno
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Callable, Dict

import pytest

from sensors.recording import Recording, RecordingWriter

Run = Callable[..., Any]


def make(path: Path, metadata: Dict[str, str]) -> Path:
    RecordingWriter(path, {}, metadata).close()
    return path


@pytest.fixture
def expired(tmp_path: Path) -> Path:
    past = datetime.now(timezone.utc) - timedelta(hours=1)
    path = make(tmp_path / "old.mcap", {"expires": past.isoformat()})
    path.with_suffix(".csv").write_text("start,end,activity\n1,2,wave\n")
    make(tmp_path / "kept.mcap", {})
    (tmp_path / "kept.csv").write_text("start,end,activity\n1,2,wave\n")
    return path


def test_what_was_recorded_with_a_lifetime_says_when_it_expires(cosmo: Run, tmp_path: Path, tiny_bundle: Any) -> None:
    rig = ["--sensors", "imu", "--emulate", "person", "--duration", "1"]
    for words in (
        ["record", *rig, tmp_path / "one.mcap"],
        [*rig, "--bundle", tiny_bundle.path, "--record", tmp_path / "two.mcap"],
    ):
        assert cosmo(*words, "--expires", "90m").code == 0
    for name in ("one.mcap", "two.mcap"):
        said = datetime.fromisoformat(Recording(tmp_path / name).metadata["expires"])
        left = said - datetime.now(timezone.utc)
        assert timedelta(minutes=88) < left < timedelta(minutes=90)
    done = cosmo("purge", tmp_path, "--cache", tmp_path / "none")
    assert done.code == 0
    assert "one.mcap: expires" in done.out
    assert done.out.endswith("0 recordings deleted (0.0 MB), 2 kept\n")


@pytest.mark.parametrize(
    "words, wrong",
    [
        ("record --sensors imu --expires soon x.mcap", "'soon': expected a time such as 90m, 12h, 7d or 2w"),
        ("record --sensors imu --expires 7d monday", "'monday': the name of a recording ends in .mcap"),
        ("--sensors imu --record monday.MCAP --expires 7d", "'monday.MCAP': the name of a recording ends in .mcap"),
        ("--sensors imu --expires 7d --bundle {bundle}", "--expires goes with --record only"),
    ],
)
def test_a_wrong_lifetime_is_wrong_usage(cosmo: Run, tiny_bundle: Any, words: str, wrong: str) -> None:
    done = cosmo(*words.format(bundle=tiny_bundle.path).split())
    assert done.code == 2
    assert wrong in done.err


def test_what_expired_goes_with_its_labels_and_the_rest_stays(cosmo: Run, expired: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    dry = cosmo("purge", tmp_path, "--dry-run", "--cache", tmp_path / "none")
    assert sorted(tmp_path.iterdir()) == before
    assert f"expired  {expired} and {expired.with_suffix('.csv')}: expired 2" in dry.out
    assert "1 recording would be deleted" in dry.out
    done = cosmo("purge", tmp_path, "--cache", tmp_path / "none")
    assert (done.code, dry.code) == (0, 0)
    assert f"deleted  {expired} and {expired.with_suffix('.csv')}: expired 2" in done.out
    assert f"kept     {tmp_path}/kept.mcap: has no expiry" in done.out
    assert "1 recording deleted (0.0 MB), 1 kept" in done.out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept.csv", "kept.mcap"]


def test_windows_that_training_kept_of_a_recording_go_too(cosmo: Run, expired: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    import numpy as np

    from training.datasets.store import decoded_once
    from training.windows import Windows

    none = Windows({"imu": np.zeros((0, 1))}, np.zeros((0, 1)), *np.zeros((3, 0)))
    cache = tmp_path / "cache"
    other = tmp_path / "kept.mcap"
    for path in (expired, other):
        decoded_once(cache, "recording", (str(path), 1, "spec"), lambda: none)
        decoded_once(cache, "recording", (str(path), 1, "another spec"), lambda: none)
    decoded_once(cache, "person-1", (str(expired),), lambda: none)
    assert cosmo("purge", tmp_path, "--cache", cache).code == 0
    left = [manifest.read_text() for manifest in cache.glob("*/windows.json")]
    assert sum(str(other) in text for text in left) == 2
    assert sum(str(expired) in text for text in left) == 1


def test_a_place_that_is_not_there_deletes_nothing(cosmo: Run, expired: Path, tmp_path: Path) -> None:
    done = cosmo("purge", tmp_path / "none", tmp_path)
    assert done.code == 1
    assert f"{tmp_path}/none: no such file or folder; nothing was deleted" in done.err
    assert expired.exists()


def test_what_cannot_be_deleted_is_a_failure(cosmo: Run, expired: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "unlink", refuse)
    done = cosmo("purge", expired.parent, "--cache", expired.parent / "none")
    assert done.code == 1
    assert f"{expired.with_suffix('.csv')} cannot be deleted: Permission denied" in done.err
    assert "0 recordings deleted" in done.out
