from __future__ import annotations

import errno
import hashlib
import os
import stat
import tracemalloc
from pathlib import Path
from typing import List

import pytest

from cosmo_runtime.models.files import sha256_of, write_whole


def test_it_writes_and_replaces(tmp_path: Path) -> None:
    for content in b"before", b"after":
        write_whole(tmp_path / "file", content)
        assert (tmp_path / "file").read_bytes() == content
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_a_pipe_is_written_to_and_stays_one(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_whole(pipe, b"content")
    assert os.read(reader, 100) == b"content"
    os.close(reader)
    assert pipe.is_fifo() and [file.name for file in tmp_path.iterdir()] == ["pipe"]


@pytest.mark.parametrize("fails", ["fsync", "replace"])
def test_what_fails_leaves_the_file_as_it_was_and_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    def full(*_: object) -> None:
        assert (tmp_path / "file").read_bytes() == b"before"  # and not yet half of what comes after
        raise OSError(28, "No space left on device")

    write_whole(tmp_path / "file", b"before")
    monkeypatch.setattr(*((os, "fsync") if fails == "fsync" else (Path, "replace")), full)
    with pytest.raises(OSError, match="No space"):
        write_whole(tmp_path / "file", b"after")
    assert (tmp_path / "file").read_bytes() == b"before"
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_the_digest_of_a_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(b"x" * 3_000_000)
    assert sha256_of(file) == hashlib.sha256(b"x" * 3_000_000).hexdigest()


def test_a_file_that_is_too_large_is_given_up_before_it_fills_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cosmo_runtime.models.files._LARGEST_BYTES", 5_000_000)
    file = tmp_path / "model.onnx"
    with file.open("wb") as stream:
        stream.truncate(40 << 30)  # takes no room on the disk
    tracemalloc.start()
    with pytest.raises(OSError, match="larger than"):
        sha256_of(file)
    assert tracemalloc.get_traced_memory()[1] < 4_000_000
    tracemalloc.stop()


def test_the_file_is_on_the_disk_before_its_name_and_then_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: List[str] = []
    sync, replace = os.fsync, Path.replace

    def synced(number: int) -> None:
        done.append("folder synced" if stat.S_ISDIR(os.fstat(number).st_mode) else "file synced")
        sync(number)

    def replaced(path: Path, target: Path) -> Path:
        done.append("renamed")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", replaced)
    write_whole(tmp_path / "file", b"content")
    assert done == ["file synced", "renamed", "folder synced"]


def test_a_file_system_that_cannot_sync_folders_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(number: int) -> None:
        if stat.S_ISDIR(os.fstat(number).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fsync", fails)
    write_whole(tmp_path / "file", b"content")
    assert (tmp_path / "file").read_bytes() == b"content"
