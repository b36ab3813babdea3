from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cosmo_runtime.runtime.sinks.line_file import LineFile, LinesInUse
from tests.full_disk import full_at


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lines"


@pytest.mark.parametrize(
    "before, after",
    [("", "new\n"), ("old\n", "old\nnew\n"), ("old\nkilled in the mid", "old\nkilled in the mid\nnew\n")],
)
def test_what_is_there_stays_and_a_line_begins_a_line(path: Path, before: str, after: str) -> None:
    path.write_text(before)
    lines = LineFile.append(path)
    lines.write("new")
    assert path.read_text() == after  # it is out at once
    lines.close()


def test_a_line_is_written_whole_or_not_at_all(path: Path) -> None:
    lines = LineFile.append(path)
    lines.write("first")
    with full_at(10), pytest.raises(OSError):
        lines.write("second, of which four bytes fit")
    assert path.read_text() == "first\n"
    lines.write("third")
    assert path.read_text() == "first\nthird\n"
    lines.close()


def test_another_run_is_refused_until_this_one_ends_or_is_killed(path: Path) -> None:
    lines = LineFile.append(path)
    with pytest.raises(LinesInUse, match="another run writes its lines there"):
        LineFile.append(path)
    lines.close()
    hold = "from pathlib import Path; from cosmo_runtime.runtime.sinks.line_file import LineFile;"
    hold += f"x = LineFile.append(Path({str(path)!r}));"
    hold += "print('held', flush=True); input()"
    other = subprocess.Popen([sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert other.stdout and other.stdout.readline() == b"held\n"
    with pytest.raises(LinesInUse):
        LineFile.append(path)
    other.kill()
    other.wait()
    LineFile.append(path).close()


def test_a_file_that_is_moved_or_deleted_is_made_anew(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    lines = LineFile.append(path)
    lines.write("first")
    path.rename(path.with_name("lines.1"))
    lines.write("second")
    path.unlink()
    lines.write("third")
    lines.close()
    assert (path.with_name("lines.1").read_text(), path.read_text()) == ("first\n", "third\n")
    assert caplog.text.count("was moved or deleted") == 2


def test_a_folder_that_is_gone_fails_until_it_is_back(path: Path) -> None:
    folder = path.parent / "folder"
    folder.mkdir()
    lines = LineFile.append(folder / "lines")
    folder.rename(path.parent / "away")
    with pytest.raises(FileNotFoundError):
        lines.write("lost")
    folder.mkdir()
    lines.write("back")
    assert (folder / "lines").read_text() == "back\n"
    lines.close()


def test_devices_and_pipes_are_shared_and_hold_back_nothing_that_failed() -> None:
    one, two = LineFile.append(Path(os.devnull)), LineFile.append(Path(os.devnull))
    two.write("nothing")
    one.close()
    two.close()
    full = LineFile.append(Path("/dev/full"))
    with pytest.raises(OSError, match="No space left"):
        full.write("nothing")
    full.close()
    memory = io.BytesIO()
    LineFile(memory, "memory").write("ä")
    assert memory.getvalue() == "ä\n".encode()
