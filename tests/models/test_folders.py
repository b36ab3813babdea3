from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Iterator

import pytest

from cosmo_runtime.models.folders import sweep, write_folder

WRITER = """
import os, sys
from pathlib import Path
import cosmo_runtime.models.folders
def hang(*_):
    print("writing", flush=True)
    os.read(0, 1)
{hook}
cosmo_runtime.models.folders.write_folder(Path(sys.argv[1]), {{"file": b"new"}})
"""
BEFORE_THE_FIRST_FILE = "cosmo_runtime.models.folders.write_whole = hang"
WHILE_THE_OLD_IS_ASIDE = """
rename = Path.rename
def rename_or_hang(source, target):
    hang() if source.suffix == ".new" else rename(source, target)
Path.rename = rename_or_hang
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_folder(tmp_path / "here" / "bundle", {"file": b"old"})
    return tmp_path / "here" / "bundle"


@pytest.fixture(params=[BEFORE_THE_FIRST_FILE, WHILE_THE_OLD_IS_ASIDE], ids=["first file", "old aside"])
def writer(folder: Path, request: pytest.FixtureRequest) -> Iterator[subprocess.Popen]:
    """A process that stands still while it replaces the folder."""
    code = WRITER.format(hook=request.param)
    process = subprocess.Popen([sys.executable, "-c", code, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout and process.stdout.readline() == b"writing\n"
    yield process
    process.kill()
    process.communicate()


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_a_killed_writer_left_is_swept_and_the_folder_is_as_it_was(folder: Path, writer: subprocess.Popen) -> None:
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    assert len(left_in(folder.parent)) == 2
    sweep(folder.parent)
    assert left_in(folder.parent) == ["bundle"]
    assert (folder / "file").read_bytes() == b"old"


def test_a_living_writer_is_left_alone(folder: Path, writer: subprocess.Popen) -> None:
    before = left_in(folder.parent)
    sweep(folder.parent)
    assert left_in(folder.parent) == before


def test_the_next_writer_of_the_same_folder_sweeps_and_of_another_does_not(
    folder: Path, writer: subprocess.Popen
) -> None:
    writer.kill()
    writer.wait()
    write_folder(folder.with_name("other"), {"file": b"other"})
    assert len(left_in(folder.parent)) == 3
    write_folder(folder, {"file": b"newer"})
    assert left_in(folder.parent) == ["bundle", "other"]
    assert (folder / "file").read_bytes() == b"newer"


def test_a_sweep_takes_nothing_else(folder: Path, tmp_path: Path) -> None:
    others = [".bundle.new", ".bundle.x.new", "bundle.3.new", ".bundle.3.other"]
    for name in others:
        (folder.parent / name).mkdir()
    (folder.parent / ".note.3.new").write_text("a file")
    (folder.parent / ".link.3.new").symlink_to(folder, target_is_directory=True)
    sweep(folder.parent)
    assert left_in(folder.parent) == sorted([*others, "bundle", ".note.3.new", ".link.3.new"])
    assert (folder / "file").exists()
    sweep(tmp_path / "nowhere")
