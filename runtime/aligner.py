"""Cuts the streams of all sensors into windows on one time grid.

A window (t - W, t] ends at a multiple t of the hop on the host's monotonic clock. It closes when the stamps of every
sensor that is ``ok`` have reached t, or on the first tick after t + the lateness budget. What it holds depends only on
the events and their order, so the same events give the same windows, live, in replay and for training.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Dict, List, Mapping, Union

import numpy as np

from models.spec import ModalitySpec, ModelSpec
from runtime.ring import RingBuffer
from sensors.events import Event, Sample, StateChange, Tick

WindowArray = Union[np.ndarray, List[np.ndarray]]

REACH_NS = 250_000_000
"""A step of a window is covered when a sample lies at most this far from it."""

COVERED_SHARE = 0.75
"""A sensor is present in a window when this share of its steps is covered."""


@dataclass(frozen=True)
class Window:
    """What the sensors saw in (end_ns - W, end_ns].

    Attributes:
        end_ns: the window's end.
        arrays: by sensor, for the present ones, as ``models.spec.ModalitySpec`` describes the raw arrays.
        present: by sensor of the spec, whether enough data lay in the window. What is absent is not invented.
        complete_ns: when the last sample that it waited for arrived (or the tick at which waiting ended).
        late: closed by the lateness budget, without some sensor that was ``ok``.
    """

    end_ns: int
    arrays: Mapping[str, WindowArray]
    present: Mapping[str, bool]
    complete_ns: int
    late: bool = False

    def digest(self) -> str:
        """Returns a fingerprint of the arrays, by which a replay shows that it saw the same window bit for bit."""
        state = hashlib.blake2b(digest_size=16)
        for name in sorted(self.arrays):
            state.update(name.encode())
            array = self.arrays[name]
            for part in array if isinstance(array, list) else [array]:
                state.update(str(part.shape).encode())
                state.update(np.ascontiguousarray(part).data)
        return state.hexdigest()


def same_windows(one: ModelSpec, other: ModelSpec) -> bool:
    """Whether two models ask for the same windows of the same sensors."""
    return (one.modalities, one.window_s, one.hop_s) == (other.modalities, other.window_s, other.hop_s)


class Aligner:
    """Folds events into windows.

    Args:
        spec: modalities, window and hop.
        rates_hz: nominal rate of each sensor, for the size of its ring buffer.
        lateness_s: how long after its end a window waits for a sensor that is ``ok``.

    Attributes:
        rings: one ring buffer per sensor of the spec.
        empty_windows: windows in which no sensor was present; they are not given out.
    """

    def __init__(self, spec: ModelSpec, rates_hz: Mapping[str, float], lateness_s: float = 0.3) -> None:
        self.spec = spec
        self.empty_windows = 0
        self._rates_hz = rates_hz
        self._lateness_s = lateness_s
        seconds = 2 * (spec.window_s + spec.hop_s + lateness_s)
        self.rings = {name: RingBuffer(int(seconds * max(rates_hz.get(name, 0.0), 10.0)) + 1) for name in spec.sensors}
        self._ok: Dict[str, bool] = dict.fromkeys(spec.sensors, False)
        self._lateness_ns = round(lateness_s * 1e9)
        self._end_ns = -1

    def anew(self, spec: ModelSpec) -> Aligner:
        """An aligner of other windows that goes on from the next event, waiting for the same sensors.

        Its first window is the first that needs no sample from before, and that this aligner has not closed yet.
        """
        fresh = Aligner(spec, self._rates_hz, self._lateness_s)
        fresh._ok.update((name, ok) for name, ok in self._ok.items() if name in fresh._ok)
        if self._end_ns >= 0:
            newest_ns = max(ring.newest_stamp_ns for ring in self.rings.values())
            fresh._begin(max(newest_ns + REACH_NS, self._end_ns - spec.window_ns))
        return fresh

    def feed(self, event: Event) -> list[Window]:
        """Takes one event in and returns the windows that it closed, oldest first."""
        if isinstance(event, Sample):
            ring = self.rings.get(event.sensor)
            if ring is None or not ring.append(event):
                return []
            self._ok[event.sensor] = True
            if self._end_ns < 0:
                self._begin(event.stamp_ns)
            return self._close(event.arrival_ns)
        if isinstance(event, StateChange):
            if event.sensor not in self._ok:
                return []
            self._ok[event.sensor] = event.state == "ok"
            return self._close(event.at_ns)
        if isinstance(event, Tick):
            return self._close(event.now_ns, deadline_ns=event.now_ns - self._lateness_ns)
        return []

    def _begin(self, start_ns: int) -> None:
        """Makes the first window the first one on the grid that lies after a time."""
        self._end_ns = -(-(start_ns + self.spec.window_ns) // self.spec.hop_ns) * self.spec.hop_ns

    def _close(self, now_ns: int, deadline_ns: int = -1) -> list[Window]:
        windows = []
        while self._end_ns >= 0:
            awaited = [name for name, ok in self._ok.items() if ok]
            reached = bool(awaited) and all(self.rings[name].newest_stamp_ns >= self._end_ns for name in awaited)
            if not reached and self._end_ns > deadline_ns:
                break
            window = self._cut(now_ns, late=not reached)
            self._end_ns += self.spec.hop_ns
            if any(window.present.values()):
                windows.append(window)
            else:
                self.empty_windows += 1
        return windows

    def _cut(self, now_ns: int, late: bool) -> Window:
        arrays: Dict[str, WindowArray] = {}
        for modality in self.spec.modalities:
            array = _content(self.rings[modality.sensor], modality, self.spec, self._end_ns)
            if array is not None:
                arrays[modality.sensor] = array
        present = {name: name in arrays for name in self.spec.sensors}
        return Window(self._end_ns, arrays, present, now_ns, late)


def _content(ring: RingBuffer, modality: ModalitySpec, spec: ModelSpec, end_ns: int) -> WindowArray | None:
    """What one sensor shows on the window's grid, or None when it is absent.

    The grid has ``steps`` times, the last one at the window's end. An IMU is interpolated between the samples around
    each time, a frame is the nearest one not after the window's end. Steps that are not covered are bridged: by a
    straight line between an IMU's samples, by the nearest frame, by the last sample up to the end of a late window.
    """
    if not len(ring):
        return None
    steps = spec.steps(modality)
    grid = end_ns - np.arange(steps - 1, -1, -1) * round(1e9 / modality.rate_hz)
    stamps = ring.stamps_ns()
    if modality.sensor != "imu":
        stamps = stamps[stamps <= end_ns]
        if not len(stamps):
            return None
    after = np.searchsorted(stamps, grid)
    right = np.minimum(after, len(stamps) - 1)
    left = np.maximum(after - 1, 0)
    nearest = np.where(np.abs(stamps[right] - grid) < np.abs(grid - stamps[left]), right, left)
    if np.mean(np.abs(stamps[nearest] - grid) <= REACH_NS) < COVERED_SHARE:
        return None
    if modality.sensor == "radar":
        return ring.take_ragged(nearest)
    if modality.sensor == "depth":
        return ring.take(nearest)
    first, last = left[0], right[-1]
    values = ring.take(np.arange(first, last + 1))[:, : modality.shape[0]].astype(np.float64)
    if not np.isfinite(values).all():  # a channel that the device does not send, or a broken value
        return None
    times = (stamps[first : last + 1] - end_ns) * 1e-9
    at = (grid - end_ns) * 1e-9
    columns = [np.interp(at, times, values[:, channel]) for channel in range(values.shape[1])]
    return np.stack(columns, axis=1).astype(np.float32)
