"""Purging as people meet it, on recordings of the emulated rig."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Callable, Dict, Iterator

import pytest

from cosmo_runtime.models.bundle import WEIGHTS, write_bundle
from cosmo_runtime.models.shelf import Shelf
from cosmo_runtime.runtime.retention.cached_windows import RecordingFile, note
from cosmo_runtime.sensors.recording import Recording, RecordingWriter

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


@pytest.mark.parametrize("command", ["purge", "finetune"])
def test_a_home_with_a_percent_sign_does_not_end_the_help(
    cosmo: Run, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/100%")
    done = cosmo(command, "--help")
    assert (done.code, "/home/100%/.cache" in "".join(done.out.split())) == (0, True)


def test_labels_of_a_spreadsheet_go_with_their_recording(cosmo: Run, expired: Path, tmp_path: Path) -> None:
    expired.with_suffix(".csv").write_bytes("sep=;\r\nStart;End;Activity\r\n1,5;2;wave\r\n".encode("utf-16"))
    assert cosmo("purge", expired, "--cache", tmp_path / "none").code == 0
    assert not expired.exists() and not expired.with_suffix(".csv").exists()


def test_what_was_recorded_with_a_lifetime_says_when_it_expires(cosmo: Run, tmp_path: Path, tiny_bundle: Any) -> None:
    rig = ["--sensors", "imu", "--emulate", "person", "--duration", "2"]
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
        ("record --sensors imu --expires 7d monday.avi", "'monday.avi': a recording is a file that ends in .mcap"),
        ("--sensors imu --record monday.MCAP --expires 7d", "'monday.MCAP': a recording is a file that ends in .mcap"),
        ("--sensors imu --expires 7d --bundle {bundle}", "--expires needs --record"),
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
    assert f"would delete {expired} and {expired.with_suffix('.csv')}: expired 2" in dry.out
    assert "1 recording would be deleted" in dry.out
    done = cosmo("purge", tmp_path, "--cache", tmp_path / "none")
    assert (done.code, dry.code) == (0, 0)
    assert f"deleted {expired} and {expired.with_suffix('.csv')}: expired 2" in done.out
    assert f"kept     {tmp_path}/kept.mcap: has no expiry" in done.out
    assert "1 recording deleted (0.0 MB), 1 kept" in done.out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept.csv", "kept.mcap"]


def test_windows_that_training_kept_of_a_recording_go_too(cosmo: Run, expired: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    import numpy as np

    from cosmo_runtime.training.datasets.store import decoded_once
    from cosmo_runtime.training.windows import Windows

    none = Windows({"imu": np.zeros((0, 1))}, np.zeros((0, 1)), *np.zeros((3, 0)))
    cache, elsewhere = tmp_path / "cache", tmp_path / "another cache"
    other = tmp_path / "kept.mcap"

    def key(path: Path, what: str = "spec") -> Any:
        return (str(path), path.stat().st_size, path.stat().st_mtime_ns, what)

    for path in (expired, other):
        of = RecordingFile.of(path)
        decoded_once(cache, "recording", key(path), lambda: none, of)
        decoded_once(elsewhere, "recording", key(path, "another spec"), lambda: none, of)
    decoded_once(cache, "person-1", key(expired), lambda: none)
    assert cosmo("purge", tmp_path, "--cache", cache).code == 0
    left = [m.read_text() for folder in (cache, elsewhere) for m in folder.glob("*/windows.json")]
    assert sum(str(other) in text for text in left) == 2
    assert sum(str(expired) in text for text in left) == 1


@pytest.fixture
def bound(tmp_path: Path) -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    """Purges the test's folder as somebody to whom the modes of files apply, which they do not to root."""
    bind = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "cosmo_runtime.runtime.cli", "purge", ".", *words, "--cache", "none"]
        return subprocess.run([*bind, *command], cwd=tmp_path, capture_output=True, text=True, timeout=100)

    yield run
    for folder in tmp_path.iterdir():
        if folder.is_dir():
            folder.chmod(0o700)  # else pytest cannot delete it


@pytest.mark.parametrize("mode, where", [(0, "kept     sub: "), (0o444, "kept     sub/old.mcap: ")])
def test_a_person_is_not_gone_while_a_folder_is_closed(
    bound: Callable[..., subprocess.CompletedProcess[str]], expired: Path, tmp_path: Path, mode: int, where: str
) -> None:
    make(tmp_path / "a.mcap", {"participant": "Zoe"})
    (tmp_path / "sub").mkdir()
    expired.rename(tmp_path / "sub" / "old.mcap")
    (tmp_path / "sub").chmod(mode)
    done = bound("--participant", "Zoe")
    assert done.returncode == 1
    assert f"{where}cannot be read: Permission denied" in done.stdout
    assert "1 recording, folder or log was not read and may show Zoe" in done.stderr
    assert not (tmp_path / "a.mcap").exists()
    assert where in bound().stdout


def test_a_person_is_not_gone_while_a_linked_folder_is_not_searched(cosmo: Run, tmp_path: Path) -> None:
    words = ("purge", tmp_path / "here", "--cache", tmp_path / "none", "--participant", "Zoe")
    (tmp_path / "here" / "run").mkdir(parents=True)
    (tmp_path / "here" / "latest").symlink_to("run")  # is searched by its own name
    for name in ("here/run/a.mcap", "there/b.mcap"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        make(tmp_path / name, {"participant": "Zoe"})
    assert cosmo(*words, "--dry-run").code == 0
    (tmp_path / "here" / "far").symlink_to(tmp_path / "there")
    done = cosmo(*words)
    assert done.code == 1
    assert f"kept     {tmp_path}/here/far: is a link; name its target instead" in done.out
    assert "1 recording, folder or log was not read" in done.err
    assert (tmp_path / "there" / "b.mcap").exists()
    assert cosmo("purge", tmp_path / "there", *words[1:]).code == 0
    assert not (tmp_path / "there" / "b.mcap").exists()


def test_a_person_is_not_gone_while_a_run_records_or_a_name_is_spelt_otherwise(cosmo: Run, tmp_path: Path) -> None:
    words = ("purge", tmp_path, "--cache", tmp_path / "none", "--participant", "P17")
    make(tmp_path / "a.mcap", {"participant": "P17"})
    small = make(tmp_path / "b.mcap", {"participant": "p17"})
    done = cosmo(*words)
    assert (done.code, small.exists()) == (1, True)
    assert "p17: recordings under this name were kept; is this the same person?" in done.err
    small.unlink()
    growing = make(tmp_path / "c.mcap", {"participant": "P17"})
    growing.write_bytes(growing.read_bytes()[:-400])  # a run that still writes has not ended it
    done = cosmo(*words)
    assert (done.code, growing.exists()) == (1, True)
    assert "1 recording of this person is still being written: end the run, and run this again" in done.err


def test_a_person_is_not_gone_while_a_recording_cannot_be_read(cosmo: Run, tmp_path: Path) -> None:
    words = ("purge", tmp_path, "--cache", tmp_path / "none", "--participant")
    of_zoe, other = make(tmp_path / "a.mcap", {"participant": "Zoe\u0308"}), make(tmp_path / "b.mcap", {})
    (tmp_path / "c.mcap").write_bytes(b"cut by a power failure")
    done = cosmo(*words, "Zo\u00eb ")  # looks the same
    assert done.code == 1
    assert "1 recording, folder or log was not read and may show Zo\u00eb" in done.err
    assert (of_zoe.exists(), other.exists()) == (False, True)
    (tmp_path / "c.mcap").unlink()
    assert cosmo(*words, "").code == 2  # and not all that are of nobody
    assert "nobody is called Zo\u00eb here" in cosmo(*words, "Zo\u00eb").err
    assert other.exists()


def test_a_person_is_not_gone_while_a_damaged_log_of_a_home_is_there(cosmo: Run, tmp_path: Path) -> None:
    (tmp_path / "episodes").mkdir()
    log = tmp_path / "episodes" / "2026-03-28.damaged-1774731600"
    log.touch()
    make(tmp_path / "a.mcap", {"participant": "Zoe"})
    words = ("purge", tmp_path, "--cache", tmp_path / "none")
    done = cosmo(*words)
    assert (done.code, f"kept     {log}: is the damaged log of a home" in done.out) == (0, True)
    assert "0 recordings deleted (0.0 MB), 2 kept" in done.out
    done = cosmo(*words, "--participant", "Zoe")
    assert (done.code, "1 recording, folder or log was not read and may show Zoe" in done.err) == (1, True)
    log.unlink()
    make(tmp_path / "a.mcap", {"participant": "Zoe"})
    assert cosmo(*words, "--participant", "Zoe").code == 0


def test_paths_that_overlap_count_once_and_the_log_of_a_home_is_named(
    cosmo: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("home/episodes", "home/clips"):
        Path(folder).mkdir(parents=True)
    log = tmp_path / "home" / "episodes"
    (log / "episodes.sqlite").touch()
    make(Path("home/clips/of zoe.mcap"), {"participant": "Zoe"})
    make(Path("home/clips/of max.mcap"), {"participant": "Max"})
    words = ("home/clips", "home", ".", tmp_path, "--cache", tmp_path / "none", "--participant", "Zoe")
    for done in (cosmo("purge", "--dry-run", *words), cosmo("purge", *words)):
        assert re.search(r"^1 recording (would be )?deleted \(0.0 MB\), 1 kept$", done.out, re.MULTILINE)
        assert done.out.count(f"kept     {log}: is the log of a home and names nobody") == 1
        assert done.code == 0
    assert sorted(path.name for path in Path("home/clips").iterdir()) == ["of max.mcap"]


def test_models_that_learned_from_a_person_are_named(
    cosmo: Run, tmp_path: Path, tiny_bundle: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "my data"))
    rig = ["--sensors", "imu", "--emulate", "person", "--duration", "1"]
    for who in ("P1", "P2"):
        recording = tmp_path / f"{who}.mcap"
        assert cosmo("record", *rig, recording, "--participant", who).code == 0
        write_bundle(
            Shelf().folder / f"of {who}",
            tiny_bundle.spec,
            onnx=tiny_bundle.onnx.read_bytes(),
            weights=(tiny_bundle.path / WEIGHTS).read_bytes(),
            provenance={"recordings": ["an earlier one", Recording(recording).began]},
            metrics={},
        )
    remove = f"run: rm -r '{Shelf().folder / 'of P1'}'"
    told = "the model of P1 learned from these recordings, and stays. To delete it, "
    words = ("purge", tmp_path, "--cache", tmp_path / "none")
    Shelf().use("of P2")
    dry = cosmo(*words, "--participant", "P1", "--dry-run")
    assert told + remove in dry.err, "another one is in use"
    Shelf().use("of P1")
    done = cosmo(*words, "--participant", "P1")
    assert (done.code, (tmp_path / "P1.mcap").exists()) == (0, False)
    assert f"{told}put another in use (cosmo-runtime bundle use everyday), then {remove}" in done.err
    assert "of P2" not in done.err

    (Shelf().folder / "of P1" / WEIGHTS).write_bytes(b"damaged")
    unknown = cosmo(*words, "--participant", "P2")
    assert unknown.code == 1
    assert "of P1 cannot be read, and may have learned from P2" in unknown.err
    assert "the model of P2 learned from these recordings" in unknown.err
    assert "learned" not in cosmo(*words).err, "nobody asked"


def test_windows_go_whose_recording_was_deleted_by_hand(cosmo: Run, tmp_path: Path) -> None:
    """In any cache, also that of a killed training; what was decoded of a data set stays though the disk is away."""
    folders = []
    for name in ("mine/recording-1", "other/recording-2", "mine/.recording-3.x", "mine/usc-4"):
        folders.append(tmp_path / name)
        note(folders[-1].parent)
        folders[-1].mkdir(parents=True)
        gone = RecordingFile(str(tmp_path / "gone.mcap"), 12, 34)._asdict()
        (folders[-1] / "windows.json").write_text(json.dumps({"recording": gone if "usc" not in name else None}))
    dry = cosmo("purge", tmp_path, "--dry-run", "--cache", tmp_path / "mine")
    assert all(folder.exists() for folder in folders)
    told = f"windows of {tmp_path}/gone.mcap in {tmp_path}/other/recording-2: the recording is gone"
    assert f"would delete {told}\n" in dry.out and "3 folders of windows would be deleted" in dry.out
    done = cosmo("purge", tmp_path, "--cache", tmp_path / "mine")
    assert (dry.code, done.code) == (0, 0)
    assert f"deleted {told}\n" in done.out
    assert done.out.endswith("3 folders of windows deleted\n0 recordings deleted (0.0 MB), 0 kept\n")
    assert [folder.exists() for folder in folders] == [False, False, False, True]


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
