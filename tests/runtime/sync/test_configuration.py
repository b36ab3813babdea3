from __future__ import annotations

from pathlib import Path

import pytest

from cosmo_runtime.runtime.config import ConfigError, load_config
from cosmo_runtime.runtime.sync.configuration import write_latencies

WRITTEN = """\
# the living room
[imu]
port = "/dev/ttyUSB0"   # left
latency_ms = 12.5       # measured

[recognition]
smoothing = 0.2
"""


def test_latencies_take_their_place_and_all_else_stays(tmp_path: Path) -> None:
    path = tmp_path / "cosmo.toml"
    path.write_text(WRITTEN)
    write_latencies(path, {"imu": 40, "depth": 130})
    expected = WRITTEN.replace("latency_ms = 12.5  ", "latency_ms = 40  ") + "\n[depth]\nlatency_ms = 130\n"
    assert path.read_text() == expected
    config = load_config(path)
    assert (config.imu.latency_ms, config.depth.latency_ms, config.imu.port) == (40, 130, "/dev/ttyUSB0")


def test_a_file_that_begins_with_a_byte_order_mark_is_edited(tmp_path: Path) -> None:
    path = tmp_path / "cosmo.toml"
    path.write_text("[imu]\nlatency_ms = 12.5\n", encoding="utf-8-sig")
    write_latencies(path, {"imu": 40})
    assert load_config(path).imu.latency_ms == 40


def test_a_configuration_is_made_where_there_is_none(tmp_path: Path) -> None:
    write_latencies(tmp_path / "new.toml", {"radar": 55})
    assert load_config(tmp_path / "new.toml").radar.latency_ms == 55


def test_sensors_with_names_have_sections_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "cosmo.toml"
    path.write_text(
        '[ sensors.wrist ]  # right\nkind = "imu"\nport = "/dev/a"\n[sensors.thigh]\nkind = "imu"\nport = "/dev/b"\n'
    )
    write_latencies(path, {"thigh": 20, "wrist": 10})
    config = load_config(path)
    assert [config.sensors[name].config.latency_ms for name in ("wrist", "thigh")] == [10, 20]


def test_what_cannot_be_edited_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "cosmo.toml"
    path.write_text("imu = {latency_ms = 5.0}\n")
    with pytest.raises(ConfigError, match=r"Write by hand imu: latency_ms = 40"):
        write_latencies(path, {"imu": 40})
    assert path.read_text() == "imu = {latency_ms = 5.0}\n"
