"""What a chirp configuration (.cfg) means: what the radar can see, how often, and whether its UART can carry it.

References: TI mmWave SDK 3.5 user guide, section 3.4 (configuration file format); V. Dham, "Programming Chirp
Parameters in TI Radar Devices", TI SWRA553A, 2020; TI SWRA574B, 2020 (triggers of frames).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import NamedTuple, Sequence

from cosmo_runtime.sensors.sensor import SensorError

_LIGHT_MPS = 299_792_458.0
_BITS_PER_BYTE = 10  # start, eight data, stop
_COARSE_BIN_MPS = 0.3  # the shipped models learned with less than half of this
_FAST_MPS = 2.0  # legs of a person who walks, and a person who falls
_HARDWARE_TRIGGER = 2  # sixth number of frameCfg; 1 is the software trigger
_BUSY_FRAME_POINTS = 200  # several people nearby; the firmware would send up to 500
_OUTPUTS = (  # arguments of guiMonitor in order, after the subframe, which SDK 1 does not have
    "detectedObjects",
    "logMagRange",
    "noiseProfile",
    "rangeAzimuthHeatMap",
    "rangeDopplerHeatMap",
    "statsInfo",
)
_LOW_POWER = (
    "is a command of low-power radars (xWRL1432, xWRL6432), which this runtime cannot drive. Use a board with the"
    " mmWave SDK's firmware, xWR14xx to xWR68xx, and its configuration"
)
_SUBFRAMES = (
    "splits frames into subframes, which this runtime cannot read. Use a configuration with `dfeDataOutputMode 1` and"
    " one frameCfg; TI's mmWave Demo Visualizer writes such files"
)
_OTHER_KINDS = {
    "chirpComnCfg": _LOW_POWER,
    "chirpTimingCfg": _LOW_POWER,
    "advFrameCfg": _SUBFRAMES,
    "subFrameCfg": _SUBFRAMES,
}
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


class _Argument(NamedTuple):
    """The range of a number in a command: wider than any TI radar accepts, but without meaningless values."""

    name: str
    least: float
    most: float
    whole: bool = True


_ANY = _Argument("argument", -1e9, 1e9, whole=False)
_OUTPUT = _Argument("output", -1, 255)
_COMMANDS = {  # the arguments that are read, in order
    "dfeDataOutputMode": [_Argument("mode", 0, 255)],
    "channelCfg": [_Argument("mask of receivers", 1, 0xFFFF), _Argument("mask of transmitters", 1, 0xFFFF)],
    "profileCfg": [
        _Argument("profile", 0, 255),
        _Argument("start frequency in GHz", 10, 200, whole=False),
        _Argument("idle time in us", 0, 1e5, whole=False),
        _Argument("start of sampling in us", 0, 1e5, whole=False),
        _Argument("end of the ramp in us", 0.01, 1e5, whole=False),
        _ANY,
        _ANY,
        _Argument("slope in MHz/us", 1e-3, 1e4, whole=False),
        _ANY,
        _Argument("number of samples", 1, 65535),
        _Argument("sampling rate in ksps", 1, 1e6, whole=False),
        _ANY,
        _ANY,
        _ANY,
    ],
    "chirpCfg": [
        _Argument("first chirp", 0, 65535),
        _Argument("last chirp", 0, 65535),
        _Argument("profile", 0, 255),
        _ANY,
        _ANY,
        _ANY,
        _ANY,
        _Argument("mask of transmitters", 0, 0xFFFF),
    ],
    "frameCfg": [
        _Argument("first chirp", 0, 65535),
        _Argument("last chirp", 0, 65535),
        _Argument("number of loops", 1, 65535),
        _Argument("number of frames", 0, 65535),
        _Argument("period in ms", 0.1, 10_000, whole=False),
    ],
    "guiMonitor": [_OUTPUT] * len(_OUTPUTS),
    "clutterRemoval": [_ANY],
    "cfarFovCfg": [_ANY, _Argument("direction", 0, 1), _ANY, _ANY],
    "extendedMaxVelocity": [_ANY, _ANY],
}
_SPELLINGS = {name.lower(): name for name in ("sensorStart", "sensorStop", "flushCfg", *_COMMANDS, *_OTHER_KINDS)}
_EVERYTHING = (-math.inf, math.inf)


@dataclass(frozen=True)
class Chirp:
    """The measurement that a radar is configured for.

    Attributes:
        frame_period_s: from one frame's start to the next one's.
        frame_count: how many frames the radar sends before it stops; 0 for no end.
        awaits_pulses: whether each frame waits for a pulse at the board's pin SYNC_IN (hardware trigger).
        range_resolution_m: c / 2B, with B the bandwidth that is sampled.
        max_range_m: where the beat frequency reaches the (complex) sampling rate: fs c / 2S, with S the slope.
        max_velocity_mps: wavelength / 4 T, with T the duration of one loop; faster ones are aliased.
        virtual_antennas: used transmitters x receivers.
        range_bins: bins of a range profile, and rows of a range-Doppler map.
        doppler_bins: columns of a range-Doppler map.
        outputs: what ``guiMonitor`` makes the firmware send, by the argument's name; 0 is off. Firmware for people
            counting has no ``guiMonitor``, so all are 0.
        sends_points: whether points are sent at all.
        sends_snr: whether points have an SNR.
        removes_static: whether points that stand still, such as walls, are left out.
        range_limits_m: the nearest and the farthest point that ``cfarFovCfg`` lets through.
        speed_limits_mps: the lowest and the highest radial speed that ``cfarFovCfg`` lets through.
        unfolds_speeds: whether the firmware tries to find speeds beyond ``max_velocity_mps``.
    """

    frame_period_s: float
    frame_count: int
    awaits_pulses: bool
    range_resolution_m: float
    max_range_m: float
    max_velocity_mps: float
    virtual_antennas: int
    range_bins: int
    doppler_bins: int
    outputs: dict[str, int]
    sends_points: bool
    sends_snr: bool
    removes_static: bool
    range_limits_m: tuple[float, float]
    speed_limits_mps: tuple[float, float]
    unfolds_speeds: bool

    @property
    def velocity_bin_mps(self) -> float:
        """Radial speed from one Doppler bin to the next."""
        return 2 * self.max_velocity_mps / self.doppler_bins

    @property
    def busy_frame_bytes(self) -> int:
        """Size of a frame with every output that is on and 200 points."""
        detected = self.outputs["detectedObjects"]  # 2: points without SNR
        tlvs = {
            "detectedObjects": [16 * _BUSY_FRAME_POINTS] + [4 * _BUSY_FRAME_POINTS] * (detected == 1),
            "logMagRange": [2 * self.range_bins],
            "noiseProfile": [2 * self.range_bins],
            "rangeAzimuthHeatMap": [4 * self.range_bins * self.virtual_antennas],
            "rangeDopplerHeatMap": [2 * self.range_bins * self.doppler_bins],
            "statsInfo": [24, 28],  # timing and load, temperatures
        }
        sizes = [size for name, sizes in tlvs.items() if self.outputs[name] for size in sizes]
        return math.ceil((40 + sum(8 + size for size in sizes)) / 32) * 32

    def warnings(self, data_baud: int) -> list[str]:
        """Lists the settings that lose frames, or that the shipped models have not learned, and what to change."""
        found = [
            self.uart_warning(data_baud),
            self._count_warning(),
            self.trigger_warning(),
            *(self._blind() or self._strange()),
        ]
        return [warning for warning in found if warning]

    def _blind(self) -> list[str]:
        """Why no moving point can come."""
        nearest_m, farthest_m = self.range_limits_m
        lowest_mps, highest_mps = self.speed_limits_mps
        step_mps = self.velocity_bin_mps
        causes = [
            (
                not self.sends_points,
                "guiMonitor switches the points off. Set its detectedObjects, the second number, to 1 (SDK 1: the"
                " first number)",
            ),
            (
                not self.virtual_antennas,
                "no chirp of frameCfg has a transmitter that channelCfg switches on. Set the masks of transmitters in"
                " channelCfg and chirpCfg",
            ),
            (
                not nearest_m < min(farthest_m, self.max_range_m),
                f"cfarFovCfg lets only distances from {nearest_m:g} to {farthest_m:g} m through, and the radar sees"
                " none of them. Widen its limits for direction 0",
            ),
            (
                self.doppler_bins == 1,
                "no point has a speed, because frameCfg has one loop. Give it more loops",
            ),
            (
                self.doppler_bins > 1 and not (lowest_mps <= -step_mps or highest_mps >= step_mps),
                f"cfarFovCfg lets only speeds from {lowest_mps:g} to {highest_mps:g} m/s through, and the slowest"
                f" movement has {step_mps:.2g} m/s. Widen its limits for direction 1",
            ),
        ]
        return [f"{what}. Until then, a room with people looks empty." for found, what in causes if found]

    def _strange(self) -> list[str]:
        """What makes points differ from those of the shipped configuration, by which the shipped models learned."""
        steps_mps = f"{self.velocity_bin_mps:.2g} m/s"
        kept_mps = min(-self.speed_limits_mps[0], self.speed_limits_mps[1])
        differences = [
            (
                not self.removes_static,
                "walls are among the points. Add `clutterRemoval -1 1` (SDK 1: without -1)",
            ),
            (
                self.velocity_bin_mps > _COARSE_BIN_MPS,
                f"speeds come in steps of {steps_mps}, so slower movement looks like none. Give frameCfg more loops",
            ),
            (
                self.max_velocity_mps < _FAST_MPS and not self.unfolds_speeds,
                f"speeds above {self.max_velocity_mps:.2g} m/s look like other speeds, and people walk and fall faster."
                " Shorten the idle time in profileCfg, or the ramp",
            ),
            (
                kept_mps < min(_FAST_MPS, self.max_velocity_mps),
                f"speeds above {max(0.0, kept_mps):.2g} m/s are left out, and people walk and fall faster. Widen the"
                " limits of cfarFovCfg for direction 1",
            ),
            (
                not self.sends_snr,
                "points come without SNR. Set guiMonitor's detectedObjects to 1 (SDK 1 has no SNR)",
            ),
        ]
        learned = "The shipped models have not learned from such points, and are often wrong about them."
        return [f"{what}. {learned}" for differs, what in differences if differs]

    def _count_warning(self) -> str | None:
        if not self.frame_count:
            return None
        return (
            f"frameCfg stops the radar after {self.frame_count} frames,"
            f" {self.frame_count * self.frame_period_s:.3g} s. Set its fourth number to 0, so that it runs without end."
        )

    def trigger_warning(self) -> str | None:
        """Explains that the radar starts no frame by itself, and what to change; None if it does."""
        if not self.awaits_pulses:
            return None
        return (
            "frameCfg has the hardware trigger: each frame waits for a pulse at the board's pin SYNC_IN, and without"
            " pulses no frame comes. Set its sixth number to 1, the software trigger, so that the radar starts frames"
            " by itself."
        )

    def uart_warning(self, data_baud: int) -> str | None:
        """Explains that the data port is too slow for the configuration, and what to change; None if it is not."""
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
    """Reads the lines of a .cfg. Those before the last ``flushCfg`` have no effect.

    Args:
        lines: the file's lines.
        source: the file's name, for messages.

    Raises:
        SensorError: a command is missing, malformed or not supported, or no command would start the radar.
    """
    commands = _Commands(lines, source)
    first_chirp, last_chirp, loops, frames, period_ms, *trigger_and_delay = commands.latest("frameCfg")
    if last_chirp < first_chirp:
        raise SensorError(f"{source}: the last chirp of frameCfg comes before its first one.")
    chirps = [values for values in commands.all("chirpCfg") if values[0] <= last_chirp and values[1] >= first_chirp]
    profiles = [values for values in commands.all("profileCfg") if chirps and values[0] == chirps[0][2]]
    if not profiles:
        raise SensorError(f"{source}: frameCfg uses a chirpCfg or a profileCfg that is missing.")
    receivers, transmitters = (int(mask) for mask in commands.latest("channelCfg")[:2])
    _, start_ghz, idle_us, adc_start_us, ramp_end_us, _, _, slope, _, samples, rate_ksps, *_ = profiles[-1]
    sampled_us = samples / rate_ksps * 1e3
    loop_s = (last_chirp - first_chirp + 1) * (idle_us + ramp_end_us) * 1e-6

    wavelength_m = _LIGHT_MPS / (start_ghz * 1e9 + slope * 1e6 * (adc_start_us + sampled_us / 2))
    sending = 0
    for chirp in chirps:
        sending |= int(chirp[7])
    # Firmware for people counting has no guiMonitor; its points have an SNR, and it leaves out what stands still.
    is_demo = commands.has("guiMonitor")
    monitor = commands.latest("guiMonitor", [0.0] * len(_OUTPUTS))
    detected = monitor[-len(_OUTPUTS)]
    has_subframe = len(monitor) > len(_OUTPUTS)  # all but SDK 1, which knows neither 2 nor SNR
    return Chirp(
        frame_period_s=period_ms * 1e-3,
        frame_count=int(frames),
        awaits_pulses=trigger_and_delay[:1] == [_HARDWARE_TRIGGER],
        range_resolution_m=_LIGHT_MPS / (2 * slope * 1e6 * sampled_us),
        max_range_m=rate_ksps * 1e3 * _LIGHT_MPS / (2 * slope * 1e12),
        max_velocity_mps=wavelength_m / (4 * loop_s),
        virtual_antennas=bin(sending & transmitters).count("1") * bin(receivers).count("1"),
        range_bins=_next_power_of_two(samples),
        doppler_bins=_next_power_of_two(loops),
        outputs=dict(zip(_OUTPUTS, map(int, monitor[-len(_OUTPUTS) :]))),
        sends_points=not is_demo or detected == 1 or (has_subframe and detected == 2),
        sends_snr=not is_demo or (has_subframe and detected != 2),
        removes_static=not is_demo or commands.latest("clutterRemoval", [0.0])[-1] != 0,
        range_limits_m=commands.limits(0),
        speed_limits_mps=commands.limits(1),
        unfolds_speeds=commands.latest("extendedMaxVelocity", [0.0])[-1] != 0,
    )


class _Commands:
    """The commands of a configuration that are in effect when the radar starts."""

    def __init__(self, lines: Sequence[str], source: str) -> None:
        self._source = source
        self._lines = [(number, line.split()) for number, line in enumerate(lines, start=1) if line.strip()]
        for number, (name, *_) in self._lines:
            right = _SPELLINGS.get(name.lower(), name)
            if name != right:
                raise SensorError(
                    f"{source}, line {number}: `{name}`: a radar tells capitals from small letters. Write `{right}`,"
                    " and all other commands as TI's files have them."
                )
        flushed = max((i for i, (_, words) in enumerate(self._lines) if words[0] == "flushCfg"), default=-1)
        self._lines = self._lines[flushed + 1 :]
        for number, words in self._lines:
            if words[0] in _OTHER_KINDS:
                raise SensorError(f"{source}, line {number}: `{words[0]}` {_OTHER_KINDS[words[0]]}.")
        if self.has("dfeDataOutputMode") and self.latest("dfeDataOutputMode")[0] != 1:
            raise SensorError(f"{source}: `dfeDataOutputMode` must be 1, frames of one kind; others cannot be read.")
        switches = [words[0] for _, words in self._lines if words[0] in ("sensorStart", "sensorStop")]
        if switches[-1:] != ["sensorStart"]:
            raise SensorError(f"{source}: no sensorStart at its end; without it the radar sends nothing.")

    def has(self, name: str) -> bool:
        """Whether the configuration has a command of that name."""
        return any(words[0] == name for _, words in self._lines)

    def latest(self, name: str, default: list[float] | None = None) -> list[float]:
        """Returns the arguments of the last command of that name, which replaces the earlier ones."""
        return self.all(name)[-1] if default is None or self.has(name) else default

    def all(self, name: str) -> list[list[float]]:
        """Returns the arguments of each command of that name."""
        found = [self._numbers(number, words) for number, words in self._lines if words[0] == name]
        if not found:
            raise SensorError(f"{self._source}: no {name}; use a complete configuration of TI's mmw demo.")
        return found

    def limits(self, direction: int) -> tuple[float, float]:
        """Returns the limits of the last cfarFovCfg for ranges in m (0) or speeds in m/s (1)."""
        every = self.all("cfarFovCfg") if self.has("cfarFovCfg") else []
        return next(((least, most) for _, way, least, most, *_ in reversed(every) if way == direction), _EVERYTHING)

    def _numbers(self, number: int, words: list[str]) -> list[float]:
        """Returns the arguments of one command, checked against their ranges."""
        place = f"{self._source}, line {number}: `{' '.join(words)}`"
        name, *texts = words
        bounds = _COMMANDS[name]
        if len(texts) < len(bounds):
            raise SensorError(f"{place} needs at least {len(bounds)} numbers.")
        values = []
        for text, argument in zip(texts, [*bounds, *[_ANY] * (len(texts) - len(bounds))]):
            if not _NUMBER.fullmatch(text):
                raise SensorError(f"{place}: {text!r} is not a number.")
            value = float(text)
            if not argument.least <= value <= argument.most or (argument.whole and value != int(value)):
                kind = "a whole number" if argument.whole else "a number"
                raise SensorError(
                    f"{place}: the {argument.name} must be {kind} from {argument.least:g} to {argument.most:g}, not"
                    f" {text}."
                )
            values.append(value)
        return values


def _next_power_of_two(value: float) -> int:
    return 1 << (int(value) - 1).bit_length()
