"""What a chirp configuration (.cfg) means: what the radar can see, how often, and whether its UART can carry it.

Followed: TI mmWave SDK 3.5 user guide, section 3.4 (configuration file format); V. Dham, "Programming Chirp Parameters
in TI Radar Devices", TI SWRA553A, 2020.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Sequence

from sensors.sensor import SensorError

_LIGHT_MPS = 299_792_458.0
_BITS_PER_BYTE = 10  # start, eight data, stop
_BUSY_FRAME_POINTS = 200  # several people close by; the firmware would send up to 500
_OUTPUTS = (  # arguments of guiMonitor, in its order, after the subframe that SDK 1 did not have
    "detectedObjects",
    "logMagRange",
    "noiseProfile",
    "rangeAzimuthHeatMap",
    "rangeDopplerHeatMap",
    "statsInfo",
)


@dataclass(frozen=True)
class Chirp:
    """What a radar was told to do.

    Attributes:
        frame_period_s: from one frame's start to the next one's.
        range_resolution_m: c / 2B, with B the bandwidth that is sampled.
        max_range_m: where the beat frequency reaches the (complex) sampling rate: fs c / 2S, with S the slope.
        max_velocity_mps: wavelength / 4 T, with T the duration of one loop; faster ones are aliased.
        virtual_antennas: transmitters that take part x receivers.
        range_bins: of a range profile, and rows of a range-Doppler map.
        doppler_bins: columns of a range-Doppler map.
        outputs: what ``guiMonitor`` asks the firmware to send, by the name of the argument; 0 is off, as are all of the
            firmware for people counting, which is not asked.
    """

    frame_period_s: float
    range_resolution_m: float
    max_range_m: float
    max_velocity_mps: float
    virtual_antennas: int
    range_bins: int
    doppler_bins: int
    outputs: dict[str, int]

    @property
    def velocity_bin_mps(self) -> float:
        """Radial speed from one Doppler bin to the next."""
        return 2 * self.max_velocity_mps / self.doppler_bins

    @property
    def busy_frame_bytes(self) -> int:
        """Size of a frame with all that ``guiMonitor`` asks for and 200 points."""
        detected = self.outputs["detectedObjects"]  # 2: points without their SNR
        tlvs = {
            "detectedObjects": [16 * _BUSY_FRAME_POINTS] + [4 * _BUSY_FRAME_POINTS] * (detected == 1),
            "logMagRange": [2 * self.range_bins],
            "noiseProfile": [2 * self.range_bins],
            "rangeAzimuthHeatMap": [4 * self.range_bins * self.virtual_antennas],
            "rangeDopplerHeatMap": [2 * self.range_bins * self.doppler_bins],
            "statsInfo": [24, 28],  # times and loads, temperatures
        }
        sizes = [size for name, sizes in tlvs.items() if self.outputs[name] for size in sizes]
        return math.ceil((40 + sum(8 + size for size in sizes)) / 32) * 32

    def uart_warning(self, data_baud: int) -> str | None:
        """Says that the data port is too slow for the configuration, and what to change; None if it is not."""
        busy_ms = self.busy_frame_bytes * _BITS_PER_BYTE / data_baud * 1e3
        period_ms = self.frame_period_s * 1e3
        if busy_ms <= period_ms:
            return None
        asked = ", ".join(name for name, value in self.outputs.items() if value)
        return (
            f"a frame with {_BUSY_FRAME_POINTS} points and {asked} takes {self.busy_frame_bytes} bytes,"
            f" {busy_ms:.0f} ms at {data_baud} baud, but frames are {period_ms:.0f} ms apart: some will be lost. Switch"
            " outputs off in guiMonitor or lengthen the period in frameCfg."
        )


def parse_chirp(lines: Sequence[str], source: str) -> Chirp:
    """Reads the lines of a .cfg.

    Args:
        lines: as they stand in the file.
        source: the file's name, for messages.

    Raises:
        SensorError: a command is missing or malformed, or nothing would start the radar.
    """
    if not any(line.split()[:1] == ["sensorStart"] for line in lines):
        raise SensorError(f"{source}: no sensorStart; without it the radar sends nothing.")
    first_chirp, last_chirp, loops, _, period_ms = _arguments(lines, source, "frameCfg", 5)[0][:5]
    chirps = [
        values
        for values in _arguments(lines, source, "chirpCfg", 8)
        if values[0] <= last_chirp and values[1] >= first_chirp
    ]
    profiles = [
        values for values in _arguments(lines, source, "profileCfg", 14) if chirps and values[0] == chirps[0][2]
    ]
    if not profiles:
        raise SensorError(f"{source}: frameCfg uses a chirpCfg or a profileCfg that is not there.")
    receivers, transmitters = (int(mask) for mask in _arguments(lines, source, "channelCfg", 2)[0][:2])
    _, start_ghz, idle_us, adc_start_us, ramp_end_us, _, _, slope, _, samples, rate_ksps, *_ = profiles[0]
    sampled_us = samples / rate_ksps * 1e3 if rate_ksps > 0 else 0
    loop_s = (last_chirp - first_chirp + 1) * (idle_us + ramp_end_us) * 1e-6
    if min(loops, period_ms, slope, sampled_us, loop_s) <= 0:
        raise SensorError(
            f"{source}: loops, period, slope, samples and times of profileCfg and frameCfg must be positive."
        )

    wavelength_m = _LIGHT_MPS / (start_ghz * 1e9 + slope * 1e6 * (adc_start_us + sampled_us / 2))
    sending = 0
    for chirp in chirps:
        sending |= int(chirp[7])
    monitored = any(line.split()[:1] == ["guiMonitor"] for line in lines)  # people counting has no such command
    monitor = _arguments(lines, source, "guiMonitor", 6)[0] if monitored else [0.0] * len(_OUTPUTS)
    return Chirp(
        frame_period_s=period_ms * 1e-3,
        range_resolution_m=_LIGHT_MPS / (2 * slope * 1e6 * sampled_us),
        max_range_m=rate_ksps * 1e3 * _LIGHT_MPS / (2 * slope * 1e12),
        max_velocity_mps=wavelength_m / (4 * loop_s),
        virtual_antennas=bin(sending & transmitters).count("1") * bin(receivers).count("1"),
        range_bins=_next_power_of_two(samples),
        doppler_bins=_next_power_of_two(loops),
        outputs=dict(zip(_OUTPUTS, map(int, monitor[-6:]))),
    )


def _arguments(lines: Sequence[str], source: str, name: str, count: int) -> list[list[float]]:
    """Returns the arguments of each command of that name."""
    found = []
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if words[:1] != [name]:
            continue
        try:
            found.append([float(word) for word in words[1:]])
        except ValueError as error:
            raise SensorError(f"{source}, line {number}: {error} in `{line.strip()}`.") from error
        if len(found[-1]) < count:
            raise SensorError(f"{source}, line {number}: `{line.strip()}` needs {count} numbers or more.")
    if not found:
        raise SensorError(f"{source}: no {name}; a whole configuration of TI's mmw demo is needed.")
    return found


def _next_power_of_two(value: float) -> int:
    return 1 << (int(value) - 1).bit_length()
