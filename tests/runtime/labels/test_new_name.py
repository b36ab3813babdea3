from __future__ import annotations

from pathlib import Path

import pytest

from cosmo_runtime.runtime.labels.new_name import free_path, taken_by


@pytest.mark.parametrize("there", ["a.mcap", "a.csv", "a/000001-20261128T120000Z.mcap"])
@pytest.mark.parametrize("new", ["a.mcap", "a"])
def test_a_recording_or_a_table_takes_a_name_from_files_and_folders(tmp_path: Path, there: str, new: str) -> None:
    (tmp_path / there).parent.mkdir(exist_ok=True)
    (tmp_path / there).touch()
    (tmp_path / "a-2.csv").touch()
    assert taken_by(tmp_path / new) == (tmp_path / there if there.count("/") == 0 else tmp_path / "a")
    assert free_path(tmp_path / new) == tmp_path / new.replace("a", "a-3", 1)


def test_similar_names_are_free(tmp_path: Path) -> None:
    for name in "a.mcap", "a.csv", "b":
        (tmp_path / name).mkdir()
    for name in "a.b.mcap", "b.mcap", "aa":  # a folder that holds no recording takes no name from a file
        assert free_path(tmp_path / name) == tmp_path / name
