from __future__ import annotations

import os
from pathlib import Path

import pytest

from cosmo_runtime.runtime.state import acknowledge, deaf_to_acknowledgements, take_acknowledgements

_OTHER = 12345  # a user without a name


def test_an_acknowledgement_is_taken_once(tmp_path: Path) -> None:
    acknowledge(tmp_path, "no data", 1)
    for seen in (2, 10, 3):
        acknowledge(tmp_path, "fall", seen)
    (tmp_path / "acknowledged" / "fall@no number").touch()
    assert take_acknowledgements(tmp_path) == {"fall": 10, "no data": 1}
    assert take_acknowledgements(tmp_path) == {}
    assert deaf_to_acknowledgements(tmp_path) == ""


@pytest.mark.parametrize("name", ["Sturz in der Küche", "転" * 32, "../x@3%2E", "@", "..", "a/b"])
def test_an_alarm_of_any_name_is_acknowledged_in_its_folder(tmp_path: Path, name: str) -> None:
    acknowledge(tmp_path, name, 3)
    assert len(list((tmp_path / "acknowledged").iterdir())) == 1
    assert take_acknowledgements(tmp_path) == {name: 3}


def test_an_acknowledgement_of_an_earlier_version_holds_for_what_that_raised(tmp_path: Path) -> None:
    (tmp_path / "acknowledged").mkdir()
    (tmp_path / "acknowledged" / "no data").touch()
    assert take_acknowledgements(tmp_path) == {"no data": 1}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root acts for another user")
def test_root_acknowledges_for_the_user_whose_run_it_is(tmp_path: Path) -> None:
    os.chown(tmp_path, _OTHER, _OTHER)
    acknowledge(tmp_path, "fall", 1)
    made = [tmp_path / "acknowledged", tmp_path / "acknowledged" / "fall@1"]
    assert [path.stat().st_uid for path in made] == [_OTHER, _OTHER]


def test_what_cannot_be_read_stops_nothing_and_is_told(tmp_path: Path) -> None:
    (tmp_path / "acknowledged").write_text("a file where the folder was")
    assert take_acknowledgements(tmp_path) == {}
    assert "no alarm can be acknowledged" in deaf_to_acknowledgements(tmp_path)
