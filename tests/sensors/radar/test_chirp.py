"""What a configuration means, against figures that TI publishes for its own."""

from __future__ import annotations

import pytest

from sensors.radar.chirp import parse_chirp
from sensors.radar.driver import DEFAULT_CFG
from sensors.sensor import SensorError

# The "2d" profile of TI's 68xx demo, whose comments state: range resolution 0.044 m, 9.04 m at 80 % of the sampling
# rate, radial speed +-20.16 m/s in steps of 1.26 m/s (at the carrier; the sampled band's centre lies 3.7 % higher).
TI_2D = """\
channelCfg 15 5 0
profileCfg 0 60 7 3 24 0 0 166 1 256 12500 0 0 30
chirpCfg 0 0 0 0 0 0 0 1
chirpCfg 1 1 0 0 0 0 0 4
frameCfg 0 1 32 0 100 1 0
guiMonitor -1 1 1 0 0 0 1
sensorStart
""".splitlines()


def test_figures_agree_with_those_that_ti_states() -> None:
    chirp = parse_chirp(TI_2D, "2d")
    assert chirp.frame_period_s == pytest.approx(0.1)
    assert chirp.range_resolution_m == pytest.approx(0.044, abs=0.0005)
    assert 0.8 * chirp.max_range_m == pytest.approx(9.04, abs=0.02)
    assert chirp.max_velocity_mps * (60 + 0.166 * (3 + 10.24)) / 60 == pytest.approx(20.16, abs=0.02)
    assert chirp.velocity_bin_mps * (60 + 0.166 * (3 + 10.24)) / 60 == pytest.approx(1.26, abs=0.005)
    assert (chirp.virtual_antennas, chirp.range_bins, chirp.doppler_bins) == (8, 256, 32)


def test_people_counting_firmware_is_asked_for_no_outputs() -> None:
    chirp = parse_chirp([line for line in TI_2D if not line.startswith("guiMonitor")], "people")
    assert not any(chirp.outputs.values())
    assert chirp.uart_warning(921600) is None
    assert chirp.frame_period_s == pytest.approx(0.1)


def test_the_shipped_configuration_is_what_its_comments_say() -> None:
    chirp = parse_chirp(DEFAULT_CFG.read_text().splitlines(), DEFAULT_CFG.name)
    assert chirp.frame_period_s == pytest.approx(0.05)
    assert chirp.range_resolution_m == pytest.approx(0.05, abs=0.001)
    assert chirp.max_range_m == pytest.approx(6.4, abs=0.05)
    assert chirp.max_velocity_mps == pytest.approx(5.2, abs=0.05)
    assert chirp.virtual_antennas == 12
    assert chirp.doppler_bins == 128
    assert chirp.uart_warning(921600) is None


def test_the_shipped_chirp_stays_within_the_band_and_the_radars_memory() -> None:
    (profile,) = (line.split()[1:] for line in DEFAULT_CFG.read_text().splitlines() if line.startswith("profileCfg"))
    start_ghz, ramp_end_us, slope = float(profile[1]), float(profile[4]), float(profile[7])
    adc_end_us = float(profile[3]) + float(profile[9]) / float(profile[10]) * 1e3
    assert start_ghz >= 60
    assert start_ghz + slope * ramp_end_us * 1e-3 <= 64
    assert adc_end_us <= ramp_end_us
    assert 128 * 3 * 80 * 4 * 4 <= 768 * 1024  # complex 16-bit cube of all chirps and receivers


@pytest.mark.parametrize(
    ("monitor", "size"),
    [
        ("-1 1 0 0 0 0 0", 4064),  # 40 + 8 + 200 x 16 + 8 + 200 x 4, padded to 32
        ("1 0 0 0 0 0", 4064),  # SDK 1 knows no subframe
        ("-1 2 0 0 0 0 0", 3264),
        ("-1 0 1 1 0 0 0", 1088),
        ("-1 0 0 0 0 1 0", 16448),  # 256 x 32 cells
        ("-1 0 0 0 1 0 0", 8256),
        ("-1 0 0 0 0 0 1", 128),
    ],
)
def test_the_size_of_a_busy_frame_counts_what_gui_monitor_asks_for(monitor: str, size: int) -> None:
    lines = [f"guiMonitor {monitor}" if line.startswith("guiMonitor") else line for line in TI_2D]
    assert parse_chirp(lines, "2d").busy_frame_bytes == size


def test_a_data_port_that_is_too_slow_is_warned_of() -> None:
    lines = [line.replace("guiMonitor -1 1 1 0 0 0 1", "guiMonitor -1 1 0 0 0 1 0") for line in TI_2D]
    warning = parse_chirp(lines, "2d").uart_warning(921600)
    assert warning is not None
    assert "20448 bytes, 222 ms at 921600 baud, but frames are 100 ms apart" in warning
    assert "rangeDopplerHeatMap" in warning
    assert parse_chirp(lines, "2d").uart_warning(3_000_000) is None


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("sensorStart", "", "mine.cfg: no sensorStart"),
        ("frameCfg 0 1 32 0 100 1 0", "advFrameCfg 1 0 1 1 0", "mine.cfg: no frameCfg"),
        ("frameCfg 0 1 32 0 100 1 0", "frameCfg 0 1 32", "line 5: `frameCfg 0 1 32` needs 5 numbers"),
        ("frameCfg 0 1 32 0 100 1 0", "frameCfg 0 1 32 0 soon 1 0", "line 5: .*'soon'"),
        ("frameCfg 0 1 32 0 100 1 0", "frameCfg 0 1 32 0 0 1 0", "must be positive"),
        ("profileCfg 0", "profileCfg 3", "profileCfg that is not there"),
        ("frameCfg 0 1", "frameCfg 7 8", "chirpCfg or a profileCfg that is not there"),
        ("256 12500", "256 0", "must be positive"),
    ],
)
def test_what_cannot_work_is_said_with_its_line(old: str, new: str, message: str) -> None:
    with pytest.raises(SensorError, match=message):
        parse_chirp("\n".join(TI_2D).replace(old, new).splitlines(), "mine.cfg")
