"""What a configuration means, against figures that TI publishes for its own."""

from __future__ import annotations

import re

import pytest

from cosmo_runtime.sensors.radar.chirp import parse_chirp
from cosmo_runtime.sensors.radar.driver import DEFAULT_CFG
from cosmo_runtime.sensors.sensor import SensorError

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


def edited(old: str, new: str) -> list[str]:
    text = "\n".join(TI_2D)
    assert old in text
    return text.replace(old, new).splitlines()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("sensorStart", "", "mine.cfg: no sensorStart"),
        ("sensorStart", "sensorStart\nsensorStop", "mine.cfg: no sensorStart"),
        ("sensorStart", "sensorStart\nflushCfg", "mine.cfg: no sensorStart"),
        ("frameCfg 0 1 32 0 100 1 0", "", "mine.cfg: no frameCfg"),
        ("frameCfg 0 1 32 0 100 1 0", "frameCfg 0 1 32", "line 5: `frameCfg 0 1 32` needs at least 5 numbers"),
        ("frameCfg 0 1 32 0 100 1 0", "frameCfg 0 1 32 0 soon 1 0", "line 5: .*'soon'"),
        ("frameCfg 0 1 32 0 100 1 0", "frameCfg 1 0 32 0 100 1 0", "last chirp of frameCfg comes before"),
        ("profileCfg 0", "profileCfg 3", "profileCfg that is missing"),
        ("frameCfg 0 1", "frameCfg 7 8", "chirpCfg or a profileCfg that is missing"),
        ("frameCfg", "advFrameCfg", r"line 5: `advFrameCfg` splits frames into subframes.*dfeDataOutputMode 1"),
        ("frameCfg", "dfeDataOutputMode 3\nframeCfg", "`dfeDataOutputMode` must be 1"),
        ("profileCfg", "chirpComnCfg 20 0 0 128 4 30 0\nprofileCfg", "line 2: .*low-power radars .*xWRL6432"),
    ],
)
def test_what_cannot_work_is_said_with_its_line(old: str, new: str, message: str) -> None:
    with pytest.raises(SensorError, match=message):
        parse_chirp(edited(old, new), "mine.cfg")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "sensorStart",
            "SENSORSTART",
            r"mine\.cfg, line 7: `SENSORSTART`: a radar tells capitals .*Write `sensorStart`",
        ),
        ("frameCfg", "framecfg", r"line 5: `framecfg`: .*Write `frameCfg`"),
        ("channelCfg", "SensorStop\nflushCfg\nchannelCfg", r"line 1: `SensorStop`: .*Write `sensorStop`"),
    ],
)
def test_a_command_in_other_letters_than_the_firmware_knows_is_said(old: str, new: str, message: str) -> None:
    with pytest.raises(SensorError, match=message):
        parse_chirp(edited(old, new), "mine.cfg")


@pytest.mark.parametrize("text", ["inf", "-inf", "nan", "1e999", "1e30", "-1", "1_0", "0x10", "\uff11", "1e-320", ""])
@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("channelCfg 15 5 0", [1, 2]),
        ("profileCfg 0 60 7 3 24 0 0 166 1 256 12500 0 0 30", [1, 2, 3, 4, 5, 8, 10, 11]),
        ("chirpCfg 1 1 0 0 0 0 0 4", [1, 2, 3, 8]),
        ("frameCfg 0 1 32 0 100 1 0", [1, 2, 3, 4, 5]),
        ("guiMonitor -1 1 1 0 0 0 1", [2, 3, 4, 5, 6, 7]),
    ],
)
def test_no_number_is_beyond_an_error_that_names_its_line(command: str, arguments: list[int], text: str) -> None:
    for argument in arguments:
        words = command.split()
        words[argument] = text
        try:
            chirp = parse_chirp(edited(command, " ".join(words)), "mine.cfg")
        except SensorError as error:
            assert "mine.cfg, line" in str(error) or "chirp" in str(error)
            continue
        assert text in ("-1", "1e-320", "")  # those may mean something, or move what follows to where it can stand
        figures = (chirp.max_range_m, chirp.max_velocity_mps, chirp.range_resolution_m, chirp.frame_period_s)
        assert all(0 < figure < 1e6 for figure in figures)
        assert 0 < chirp.busy_frame_bytes < 1e12
        chirp.warnings(921600)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("32 0 100", "32 0 0", "line 5: .*the period in ms must be a number from 0.1 to 10000, not 0"),
        ("32 0 100", "16.5 0 100", "line 5: .*number of loops must be a whole number from 1 to 65535, not 16.5"),
        ("256 12500", "256 0", "line 2: .*sampling rate in ksps must be"),
        ("24 0 0 166", "24 0 0 -166", "line 2: .*slope in MHz/us must be"),
        ("256 12500", "1e300 12500", "line 2: .*number of samples must be"),
    ],
)
def test_a_number_out_of_bounds_is_named_with_what_it_may_be(old: str, new: str, message: str) -> None:
    with pytest.raises(SensorError, match=message):
        parse_chirp(edited(old, new), "mine.cfg")


SHIPPED = DEFAULT_CFG.read_text()


def test_a_number_of_frames_is_warned_of() -> None:
    assert parse_chirp(SHIPPED.splitlines(), "shipped").warnings(921600) == []
    (warning,) = parse_chirp(SHIPPED.replace("80 0 50", "80 600 100").splitlines(), "mine").warnings(921600)
    assert "stops the radar after 600 frames, 60 s" in warning
    assert "fourth number to 0" in warning


def test_a_radar_that_waits_for_pulses_is_warned_of() -> None:
    (warning,) = parse_chirp(SHIPPED.replace("80 0 50 1 0", "80 0 50 2 0").splitlines(), "mine").warnings(921600)
    assert "SYNC_IN" in warning
    assert "sixth number to 1" in warning
    assert parse_chirp(edited("100 1 0", "100"), "short").trigger_warning() is None


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("clutterRemoval -1 1", "clutterRemoval -1 0", r"walls are among .*`clutterRemoval -1 1`"),
        ("clutterRemoval -1 1", "", "walls are among the points"),
        ("cfarFovCfg -1 1 -5.2 5.2", "cfarFovCfg -1 1 -1 1.00", r"speeds above 1 m/s are left out.*direction 1"),
        ("cfarFovCfg -1 1 -5.2 5.2", "cfarFovCfg -1 1 0 5.2", r"speeds above 0 m/s are left out"),
        (
            "profileCfg 0 60.25 27",
            "profileCfg 0 60.25 400",
            r"above 0\.89 m/s look like other speeds.*idle time",
        ),
        ("frameCfg 0 2 80", "frameCfg 0 2 16", r"steps of 0\.65 m/s, so slower movement"),
        ("guiMonitor -1 1", "guiMonitor -1 2", "without SNR"),
        ("guiMonitor -1 1 0 0 0 0 1", "guiMonitor 1 0 0 0 0 1", "SDK 1 has no SNR"),
    ],
)
def test_points_that_the_shipped_models_have_not_learned_are_warned_of(old: str, new: str, message: str) -> None:
    assert old in SHIPPED
    (warning,) = parse_chirp(SHIPPED.replace(old, new).splitlines(), "mine").warnings(921600)
    assert re.search(message, warning)
    assert "The shipped models have not learned from such points" in warning


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("guiMonitor -1 1", "guiMonitor -1 0", r"guiMonitor switches the points off\. .*detectedObjects.* to 1"),
        ("guiMonitor -1 1", "guiMonitor -1 3", "guiMonitor switches the points off"),
        ("guiMonitor -1 1 0 0 0 0 1", "guiMonitor 2 0 0 0 0 1", r"guiMonitor switches the points off.*SDK 1"),
        (
            "channelCfg 15 7 0",
            "channelCfg 15 8 0",
            "no chirp of frameCfg has a transmitter that channelCfg switches on",
        ),
        ("cfarFovCfg -1 0 0.25 6.4", "cfarFovCfg -1 0 6.4 0.25", r"only distances from 6\.4 to 0\.25 m"),
        ("cfarFovCfg -1 0 0.25 6.4", "cfarFovCfg -1 0 8 12", r"only distances from 8 to 12 m.*sees none"),
        ("frameCfg 0 2 80", "frameCfg 0 2 1", "no point has a speed, because frameCfg has one loop"),
        ("cfarFovCfg -1 1 -5.2 5.2", "cfarFovCfg -1 1 0 0", r"only speeds from 0 to 0 m/s.*slowest movement has 0\.08"),
        ("cfarFovCfg -1 1 -5.2 5.2", "cfarFovCfg -1 1 1 -1", "slowest movement"),
    ],
)
def test_a_radar_that_can_send_no_moving_point_is_warned_of(old: str, new: str, message: str) -> None:
    assert old in SHIPPED
    (warning,) = parse_chirp(SHIPPED.replace(old, new).splitlines(), "mine").warnings(921600)
    assert re.search(message, warning)
    assert "a room with people looks empty" in warning


def test_speeds_that_the_firmware_unfolds_are_not_warned_of() -> None:
    slow = SHIPPED.replace("profileCfg 0 60.25 27", "profileCfg 0 60.25 400")
    unfolded = slow.replace("extendedMaxVelocity -1 0", "extendedMaxVelocity -1 1")
    assert parse_chirp(unfolded.splitlines(), "mine").warnings(921600) == []


def test_people_counting_firmware_leaves_out_what_stands_still_by_itself() -> None:
    lines = [line for line in SHIPPED.splitlines() if not line.startswith(("guiMonitor", "clutterRemoval"))]
    assert parse_chirp(lines, "people").warnings(921600) == []


def test_a_command_that_comes_again_replaces_the_one_before() -> None:
    chirp = parse_chirp(
        edited("frameCfg 0 1 32 0 100 1 0", "frameCfg 0 1 32 0 50 1 0\nframeCfg 0 1 64 0 200 1 0"), "2d"
    )
    assert (chirp.frame_period_s, chirp.doppler_bins) == (pytest.approx(0.2), 64)


def test_what_is_flushed_does_not_count() -> None:
    lines = ["advFrameCfg 1 0", "frameCfg 0 1 7 3 999 1 0", "profileCfg soon", "sensorStop", "flushCfg", *TI_2D]
    assert parse_chirp(lines, "2d") == parse_chirp(TI_2D, "2d")
