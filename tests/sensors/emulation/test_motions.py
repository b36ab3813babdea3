"""Motions by their description."""

from __future__ import annotations

from pathlib import Path

import pytest

from cosmo_runtime.sensors.emulation.motions import is_motion, open_motion
from cosmo_runtime.sensors.sensor import SensorError
from cosmo_runtime.sensors.simulation.mocap.motion import MocapMotion
from cosmo_runtime.sensors.simulation.nobody import EmptyRoom, Unworn
from cosmo_runtime.sensors.simulation.utd import UtdMotion


def test_people_and_rooms_have_a_seed_or_the_usual_one() -> None:
    assert open_motion("person").activities(9) != open_motion("person:7").activities(9)
    assert isinstance(open_motion("empty"), EmptyRoom)
    assert isinstance(open_motion("unworn:7"), Unworn)
    assert open_motion("unworn:7").activities(9) == open_motion("person:7").activities(9)


@pytest.mark.parametrize("text", ["dance", "utd:", "person:x", "empty:", "mocap:"])
def test_what_describes_no_motion_is_refused(text: str) -> None:
    assert not is_motion(text)
    with pytest.raises(SensorError, match=r"expected person.*utd:PATH"):
        open_motion(text)


def test_a_path_may_hold_colons(data_dir: Path, tmp_path: Path) -> None:
    folder = tmp_path / "data:of 8:00"
    folder.symlink_to(data_dir / "utd-mhad")
    for description, subjects in ((f"utd:{folder}", {"7", "8"}), (f"utd:{folder}:8", {"8"})):
        motion = open_motion(description)
        assert isinstance(motion, UtdMotion)
        assert {trial.name.split("_")[1][1:] for trial in motion.trials} == subjects


def test_motion_capture_is_played_from_a_path_with_colons(data_dir: Path, tmp_path: Path) -> None:
    folder = tmp_path / "C:mocap"
    folder.symlink_to(data_dir / "mocap" / "deepmimic" / "data" / "motions")
    motion = open_motion(f"mocap:{folder}")
    assert isinstance(motion, MocapMotion)
    assert motion.activities(1.6)[1].activity == "backflip"
