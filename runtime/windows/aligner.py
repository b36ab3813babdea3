"""Cuts the streams of all sensors into windows on one time grid.

A window (t - W, t] ends at a multiple t of the hop on the host's monotonic clock. It closes when the stamps of every
sensor that is ``ok`` have reached t, or on the first tick after t + the lateness budget. Its content depends only on
the events and their order, so the same events give the same windows, live, in replay and for training.

A picture or a point cloud is turned into features once, when it arrives. Windows overlap, so that each would otherwise
be processed several times, and raw pictures take fifty times the memory.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Dict, Iterable, Iterator, List, Mapping, Sequence

import numpy as np

from cosmo_runtime.models.features import WindowArray
from cosmo_runtime.models.spec import ModalitySpec, ModelSpec
from cosmo_runtime.runtime.windows.ring import RingBuffer
from cosmo_runtime.sensors.events import Correction, Event, Sample, StateChange, Tick
from cosmo_runtime.sensors.sensor import SensorInfo

REACH_NS = 250_000_000
"""A step of a window is covered when a sample lies at most this far from it."""

COVERED_SHARE = 0.75
"""A sensor is present in a window when this share of its steps is covered, for an IMU by each of its channels."""

_RATES_HZ = (10.0, 100.0)  # bounds of a ring's initial capacity; it grows if samples come faster
_IMU_FIELDS = ("acceleration", "angular rate", "magnetic field")  # each with three channels


@dataclass(frozen=True)
class Window:
    """The sensors' data in (end_ns - W, end_ns].

    Attributes:
        end_ns: the window's end.
        arrays: the network's input of each present sensor, see ``models.spec.ModalitySpec``.
        present: whether each sensor of the spec had enough data in the window. Missing data is never invented.
        complete_ns: when the last sample that it waited for arrived (or the tick at which waiting ended).
        late: whether the lateness budget closed it, without some sensor that was ``ok``.
    """

    end_ns: int
    arrays: Mapping[str, WindowArray]
    present: Mapping[str, bool]
    complete_ns: int
    late: bool = False

    def digest(self) -> str:
        """Returns a fingerprint of the arrays. A replay compares it to prove that a window is the same, bit for bit."""
        state = hashlib.blake2b(digest_size=16)
        for name in sorted(self.arrays):
            state.update(name.encode())
            array = self.arrays[name]
            for part in [array] if isinstance(array, np.ndarray) else array:
                state.update(str(part.shape).encode())
                state.update(np.ascontiguousarray(part).data)
        return state.hexdigest()


def same_windows(one: ModelSpec, other: ModelSpec) -> bool:
    """Whether two models use the same windows of the same sensors."""
    return (one.modalities, one.window_s, one.hop_s) == (other.modalities, other.window_s, other.hop_s)


class Aligner:
    """Cuts events into windows.

    Args:
        spec: modalities, window and hop.
        infos: the sensors' infos by name. The nominal rate determines the size of a ring buffer.
        lateness_s: how long after its end a window waits for a sensor that is ``ok``.
        raw: give raw pictures and point clouds instead of features, as earlier versions did.

    Attributes:
        lateness_ns: how long after its end a window waits for a sensor that is ``ok``. What a correction takes off the
            stamps of a sensor is added, because its samples then seem to come that much later.
        rings: one ring buffer per sensor of the spec.
        empty_windows: windows in which no sensor was present. They are not returned.
        lacking: describes what each sensor lacked that was absent from the latest window.
    """

    def __init__(
        self, spec: ModelSpec, infos: Mapping[str, SensorInfo], lateness_s: float = 0.3, raw: bool = False
    ) -> None:
        self.spec = spec
        self.empty_windows = 0
        self.lacking: Dict[str, str] = {}
        self._infos = infos
        self._lateness_s = lateness_s
        self.lateness_ns = round(lateness_s * 1e9)
        self._taken_off_ns: Dict[str, int] = {}
        self._pictures = {
            item.sensor: item for item in spec.modalities if item.kind_row.cut != "interpolated" and not raw
        }
        rates_hz = {name: info.rate_hz for name, info in infos.items()}
        self.rings = {name: self._ring(rates_hz.get(name, 0.0)) for name in spec.sensors}
        self._newest: Dict[str, Sample] = {}
        # by channel, because an IMU may send its channels in different messages
        self._channels_newest_ns = {
            item.sensor: np.full(item.shape[0], -1) for item in spec.modalities if item.kind_row.cut == "interpolated"
        }
        self._ok: Dict[str, bool] = dict.fromkeys(spec.sensors, False)
        self._awaited: List[RingBuffer] = []  # the rings of those that are ok
        self._end_ns = -1

    def _ring(self, rate_hz: float) -> RingBuffer:
        seconds = self.spec.window_s + self.spec.hop_s + self._lateness_s
        least_hz, most_hz = _RATES_HZ
        capacity = int(2 * seconds * min(max(least_hz, rate_hz), most_hz)) + 1
        return RingBuffer(capacity, self._keep_ns)

    def with_spec(self, spec: ModelSpec) -> Aligner:
        """Makes an aligner for other windows, which continues with the next event and waits for the same sensors.

        Its first window is the first one that needs no earlier samples and that this aligner has not closed yet.
        """
        aligner = Aligner(spec, self._infos, self._lateness_s)
        for name, taken_off_ns in self._taken_off_ns.items():
            aligner._correct(name, taken_off_ns)
        for name in spec.sensors:
            aligner._set_ok(name, self._ok.get(name, False))
        if self._end_ns >= 0:
            newest_ns = max(ring.newest_stamp_ns for ring in self.rings.values())
            aligner._begin(max(newest_ns + REACH_NS, self._end_ns - spec.window_ns))
        return aligner

    def feed(self, event: Event) -> list[Window]:
        """Adds one event. Returns the windows that it closed, oldest first."""
        if isinstance(event, Sample):
            return self._close(event.arrival_ns) if self._take(event) else []
        if isinstance(event, StateChange):
            if event.sensor not in self._ok:
                return []
            self._set_ok(event.sensor, event.state == "ok")
            return self._close(event.at_ns)
        if isinstance(event, Correction):
            self._correct(event.sensor, event.taken_off_ns)
        if isinstance(event, Tick):
            return self._close(event.now_ns, deadline_ns=event.now_ns - self.lateness_ns)
        return []

    def windows(self, events: Iterable[Event]) -> Iterator[Window]:
        """Yields the windows of a stream of events."""
        for event in events:
            yield from self.feed(event)

    def _correct(self, name: str, taken_off_ns: int) -> None:
        """Moves what is there of a sensor as far as its next samples are moved, so that the next window fits them."""
        earlier_ns = taken_off_ns - self._taken_off_ns.get(name, 0)
        self._taken_off_ns[name] = taken_off_ns  # also of a sensor that only a later model knows
        if name not in self.rings:
            return
        self.rings[name].shift(-earlier_ns)
        self._newest.pop(name, None)
        channels_ns = self._channels_newest_ns.get(name)
        if channels_ns is not None:
            channels_ns[channels_ns >= 0] -= earlier_ns
        taken_off = [self._taken_off_ns.get(sensor, 0) for sensor in self.rings]
        self.lateness_ns = round(self._lateness_s * 1e9) + max(0, *taken_off)
        for ring in self.rings.values():
            ring.keep_ns = self._keep_ns

    @property
    def _keep_ns(self) -> int:
        """The age of samples that a window may still need."""
        return self.spec.window_ns + self.spec.hop_ns + self.lateness_ns + REACH_NS

    def lacks(self, modality: ModalitySpec, end_ns: int) -> str:
        """Describes what a sensor lacks for a window that ends at a time; empty if it would be present."""
        try:
            self._content(modality, end_ns)
        except _Absent as absence:
            return str(absence)
        return ""

    def kept(self, sample: Sample) -> Sample:
        """The latest sample as windows use it, a picture as its features; unchanged if it was not accepted."""
        newest = self._newest.get(sample.sensor)
        return newest if newest and newest.stamp_ns == sample.stamp_ns else sample

    def _take(self, sample: Sample) -> bool:
        """Adds a sample. Returns whether it was accepted."""
        ring = self.rings.get(sample.sensor)
        if ring is None:
            return False
        kept = self._reduced(sample)
        if not ring.append(kept):
            return False
        self._newest[sample.sensor] = kept
        newest_ns = self._channels_newest_ns.get(sample.sensor)
        if newest_ns is not None:
            newest_ns[np.isfinite(sample.data[: len(newest_ns)])] = sample.stamp_ns
        if not self._ok[sample.sensor]:
            self._set_ok(sample.sensor, True)
        if self._end_ns < 0:
            self._begin(sample.stamp_ns)
        return True

    def _set_ok(self, name: str, ok: bool) -> None:
        self._ok[name] = ok
        self._awaited = [self.rings[sensor] for sensor, is_ok in self._ok.items() if is_ok]

    def _reduced(self, sample: Sample) -> Sample:
        """What windows use of a sample: the features of a picture, or all of a signal."""
        modality = self._pictures.get(sample.sensor)
        if modality is None:
            return sample
        data = self._features(modality, sample.data[np.newaxis])[0]
        return Sample(sample.sensor, sample.stamp_ns, sample.arrival_ns, data, sample.raw)

    def _features(self, modality: ModalitySpec, raw: WindowArray) -> np.ndarray:
        scale_m = self._infos[modality.sensor].depth_scale_m or 1.0
        return modality.kind_row.features(raw, modality.shape, scale_m)

    def _begin(self, start_ns: int) -> None:
        """Starts with the first window on the grid after a time."""
        self._end_ns = -(-(start_ns + self.spec.window_ns) // self.spec.hop_ns) * self.spec.hop_ns

    def _reached_ns(self, name: str) -> int:
        """The time up to which a sensor's data is complete. For an IMU, every channel that still comes counts."""
        newest_ns = self.rings[name].newest_stamp_ns
        channels_ns = self._channels_newest_ns.get(name)
        if channels_ns is None:
            return newest_ns
        coming_ns = channels_ns[channels_ns >= newest_ns - REACH_NS]
        return int(coming_ns.min()) if len(coming_ns) else newest_ns

    def _close(self, now_ns: int, deadline_ns: int = -1) -> list[Window]:
        if deadline_ns < self._end_ns:
            for ring in self._awaited:  # without a comprehension, because each sample comes here
                if ring.newest_stamp_ns < self._end_ns:
                    return []
        windows: list[Window] = []
        awaited = [name for name, ok in self._ok.items() if ok]
        reached_ns = min(map(self._reached_ns, awaited)) if awaited else -1
        due_ns = max(reached_ns, deadline_ns)
        while 0 <= self._end_ns <= due_ns:
            if self._pass_over_empty(due_ns):
                continue
            window = self._cut(now_ns, late=self._end_ns > reached_ns)
            self._end_ns += self.spec.hop_ns
            if any(window.present.values()):
                windows.append(window)
            else:
                self.empty_windows += 1
        return windows

    def _pass_over_empty(self, due_ns: int) -> bool:
        """Counts the next windows up to ``due_ns`` without nearby samples, all at once. Returns whether there were any.

        After a stamp that is years ahead, there would be millions to cut one by one.
        """
        nearest_ns = [
            ring.first_stamp_after_ns(self._end_ns - self.spec.window_ns - REACH_NS) for ring in self.rings.values()
        ]
        empty_until_ns = min([due_ns, *(stamp_ns - REACH_NS - 1 for stamp_ns in nearest_ns if stamp_ns is not None)])
        empty = (empty_until_ns - self._end_ns) // self.spec.hop_ns + 1
        if empty <= 0:
            return False
        self.empty_windows += empty
        self._end_ns += empty * self.spec.hop_ns
        self.lacking = dict.fromkeys(self.spec.sensors, "no samples")
        return True

    def _cut(self, now_ns: int, late: bool) -> Window:
        arrays: Dict[str, WindowArray] = {}
        self.lacking = {}
        for modality in self.spec.modalities:
            try:
                arrays[modality.sensor] = self._content(modality, self._end_ns)
            except _Absent as absence:
                self.lacking[modality.sensor] = str(absence)
        present = {name: name in arrays for name in self.spec.sensors}
        return Window(self._end_ns, arrays, present, now_ns, late)

    def _content(self, modality: ModalitySpec, end_ns: int) -> WindowArray:
        """One sensor's features on the window's grid.

        The grid has ``steps`` times, the last one at the window's end. Each channel of an IMU is interpolated between
        its own samples around each time. A frame is the nearest one that is not after the window's end. Steps without
        samples are bridged: linearly between an IMU's samples, by the nearest frame, or by the last sample up to the
        end of a late window.

        Raises:
            _Absent: too few steps are covered.
        """
        ring = self.rings[modality.sensor]
        if not len(ring):
            raise _Absent("no samples")
        steps = self.spec.steps(modality)
        grid = end_ns - np.arange(steps - 1, -1, -1) * round(1e9 / modality.rate_hz)
        stamps = ring.stamps_ns()
        if modality.kind_row.cut == "interpolated":
            values = ring.take(slice(None))[:, : modality.shape[0]]
            fields = _IMU_FIELDS if modality.kind == "imu" else ()
            return self._features(modality, _interpolated(stamps, values, grid, end_ns, fields))
        frames = _nearest(stamps[stamps <= end_ns], grid, "frames")
        if modality.kind_row.cut == "ragged" and modality.sensor not in self._pictures:
            return ring.take_ragged(frames)
        return ring.take(frames)


class _Absent(Exception):
    """A sensor has too little data in a window. The message says what is lacking."""


def _interpolated(
    stamps: np.ndarray, values: np.ndarray, grid: np.ndarray, end_ns: int, fields: Sequence[str]
) -> np.ndarray:
    """Each channel on the grid, (steps, channels), interpolated between the samples that have a value.

    ``fields`` names the quantities, each with three channels. Further channels are numbered.

    Raises:
        _Absent: a channel has too few values.
    """
    at = (grid - end_ns) * 1e-9
    content = np.empty((len(grid), values.shape[1]), np.float32)
    columns = np.ascontiguousarray(values.T, np.float64)
    own_at, before = at, None
    for channel, (column, measured) in enumerate(zip(columns, np.isfinite(columns))):
        if before is None or (measured != before).any():  # most channels are measured together
            own, before = stamps[measured], measured
            _nearest(own, grid, fields[channel // 3] if channel // 3 < len(fields) else f"values of channel {channel}")
            own_at = (own - end_ns) * 1e-9
        content[:, channel] = np.interp(at, own_at, column[measured])
    return content


def _nearest(stamps: np.ndarray, grid: np.ndarray, what: str) -> np.ndarray:
    """The position of the nearest stamp for each step of the grid.

    Raises:
        _Absent: too few steps are near a stamp. ``what`` names the quantity in the message.
    """
    if not len(stamps):
        raise _Absent(f"no {what}")
    after = np.searchsorted(stamps, grid)
    right = np.minimum(after, len(stamps) - 1)
    left = np.maximum(after - 1, 0)
    nearest = np.where(np.abs(stamps[right] - grid) < np.abs(grid - stamps[left]), right, left)
    covered = np.count_nonzero(np.abs(stamps[nearest] - grid) <= REACH_NS) / len(grid)
    if covered < COVERED_SHARE:
        raise _Absent(f"{what} for {covered:.0%} of the window, {COVERED_SHARE:.0%} needed")
    return nearest
