from __future__ import annotations

import pytest

from tests.realsense import librealsense

librealsense()
pytest.importorskip("scipy")

from cosmo_runtime.tools.measure import loads


@pytest.mark.slow
def test_two_imus_that_a_host_keeps_up_with_break_nothing_that_is_not_said() -> None:
    row = loads.measure(loads.Load("two IMUs", imus=2), 3.0)
    assert set(row["sent_hz"]) == set(row["received_hz"]) == {"imu", "imu2", "depth", "radar"}
    assert row["windows"] > 4
    assert 0 < row["cpu_share_of_one_core"] < 2
    kept_up = all(hz >= 0.98 * row["sent_hz"][name] for name, hz in row["received_hz"].items())
    assert kept_up or row["broke"] != "nothing"


def test_what_broke_is_named() -> None:
    load = loads.Load("IMU at 1000 Hz", imu_hz=1000)
    well = {"imu": 1000.0, "depth": 15.0, "radar": 20.0}
    figures = {"sent_hz": well, "received_hz": well}
    assert loads._broke(load, figures, 0, 0.0) == "nothing"
    assert loads._broke(load, figures, 3, 0.5) == "3 samples were lost; 50% of the windows closed late"
    slow = {"sent_hz": {**well, "imu": 700.0}, "received_hz": {**well, "imu": 700.0}}
    assert loads._broke(load, slow, 0, 0.0) == "the rig: imu sent 700 a second"
    behind = {"sent_hz": well, "received_hz": {**well, "depth": 10.0}}
    assert loads._broke(load, behind, 0, 0.0) == "the recogniser: of depth 10 a second came"
