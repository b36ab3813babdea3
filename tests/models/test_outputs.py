from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from cosmo_runtime.models.outputs import refuse_other_content, try_file, try_folder


@pytest.mark.parametrize("attempt", [try_file, try_folder])
def test_a_place_that_can_be_written_is_left_as_it_is(attempt, tmp_path: Path) -> None:
    attempt(tmp_path / "new")
    attempt(tmp_path / "deep" / "er" / "new")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("content", "refused"),
    [
        (b"", False),
        (b'\n{"a": 1}\n', False),
        (b"[recognition]\nhop_s = 0.5\n", True),
        (b"\x89MCAP0\r\n", True),
        (b"start,end,activity\n", True),
    ],
)
def test_json_never_takes_the_place_of_something_else(tmp_path: Path, content: bytes, refused: bool) -> None:
    refuse_other_content(tmp_path / "new")
    refuse_other_content(tmp_path)
    refuse_other_content(Path(os.devnull))
    (tmp_path / "file").write_bytes(content)
    if not refused:
        refuse_other_content(tmp_path / "file")
        return
    with pytest.raises(FileExistsError, match="something else than JSON"):
        refuse_other_content(tmp_path / "file")


def test_what_stands_there_stays(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    (tmp_path / "folder").mkdir()
    try_file(tmp_path / "file")
    try_folder(tmp_path / "folder")
    assert (tmp_path / "file").read_text() == "kept"
    assert not list((tmp_path / "folder").iterdir())


@pytest.mark.parametrize("attempt", [try_file, try_folder])
@pytest.mark.parametrize(
    ("place", "number"),
    [("file/out", errno.ENOTDIR), ("x" * 300, errno.ENAMETOOLONG), ("/proc/nobody/out", errno.ENOENT)],
)
def test_a_place_that_cannot_be_written_is_told(attempt, tmp_path: Path, place: str, number: int) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError) as error:
        attempt(tmp_path / place)
    assert error.value.errno == number


@pytest.mark.parametrize("attempt", [try_file, try_folder])
def test_a_full_disk_is_told_and_nothing_is_left(attempt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        attempt(tmp_path / "new")
    assert not list(tmp_path.iterdir())


def test_a_folder_is_no_place_for_a_file_nor_a_file_for_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(IsADirectoryError):
        try_file(tmp_path)
    with pytest.raises(NotADirectoryError):
        try_folder(tmp_path / "file")
