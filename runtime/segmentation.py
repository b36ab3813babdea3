"""Cuts a recording into stretches of one activity each, and proposes what they are.

A person's stretches differ in how much moves and in what the model takes them for. Both make one series of ten steps a
second: for each sensor the logarithm of its motion energy, standardised, and the square roots of the probabilities of
the windows around the step. Its change points minimise the squared distance from the mean of each stretch plus a
penalty for each (optimal partitioning: Jackson et al., IEEE Signal Processing Letters 12, 2005). A stretch whose energy
lies below Otsu's threshold (IEEE Transactions on Systems, Man, and Cybernetics 9, 1979) and in which the model knows no
activity is a rest. What the model never learned is thereby found by its motion, and activities without a rest between
them are told apart by the model.
"""

from __future__ import annotations

from typing import Dict, List, Mapping, Optional

import numpy as np

from models.spec import ModelSpec
from runtime.loop import Outcome, Sink
from runtime.recognizer import UNCERTAIN
from runtime.summary import REST
from runtime.truth import Segment
from sensors.events import Event, Sample
from sensors.sensor import SensorInfo

_STEP_S = 0.1
_ENERGY_S = 0.5  # over which a motion's energy is taken
_GRAVITY_S = 0.6  # over which acceleration averages to gravity
_DEPTH_CHANGE_M = 0.05  # beyond a camera's noise
_RADAR_SPEED = 0.1  # m/s of a point that moves
_ENERGY_VARIANCE = 4.0  # of all sensors together, however many there are
_PROBABILITY_SCALE = 2.0
_PENALTY = 30.0  # of a change point, in the units of the series; as the two above, chosen on recordings with the truth
_SHORTEST_S, _LONGEST_S = 1.0, 60.0


class Segmenter(Sink):
    """Watches a replay; then says what was done when.

    Args:
        spec: of the model that recognises in this replay, without smoothing.
        infos: of the sensors.
    """

    def __init__(self, spec: ModelSpec, infos: Mapping[str, SensorInfo]) -> None:
        self._spec = spec
        self._infos = infos
        self._stamps_ns: Dict[str, List[int]] = {name: [] for name in infos}
        self._imu: List[np.ndarray] = []
        self._motion: Dict[str, List[float]] = {name: [] for name in infos}  # of frames, one number each
        self._frame: Optional[np.ndarray] = None
        self._ends_ns: List[int] = []
        self._probabilities: List[List[float]] = []

    def event(self, event: Event) -> None:
        """Takes the motion in one sample."""
        if not isinstance(event, Sample) or event.sensor not in self._infos:
            return
        self._stamps_ns[event.sensor].append(event.stamp_ns)
        if event.sensor == "imu":
            self._imu.append(np.nan_to_num(event.data[:6]))
        elif event.sensor == "radar":
            self._motion["radar"].append(float(np.sum(np.abs(event.data[:, 3]) > _RADAR_SPEED)))
        else:
            self._motion["depth"].append(self._changed(event.data))

    def outcome(self, outcome: Outcome) -> None:
        """Takes the answer for one window."""
        self._ends_ns.append(outcome.window.end_ns)
        self._probabilities.append(list(outcome.prediction.probabilities.values()))

    def segments(self, min_confidence: float) -> List[Segment]:
        """Returns the stretches of activity, oldest first; none where no window was seen.

        Args:
            min_confidence: below it an activity is ``uncertain``.
        """
        if not self._ends_ns:
            return []
        begin_ns = min(stamps[0] for stamps in self._stamps_ns.values() if stamps)
        end_ns = max(stamps[-1] for stamps in self._stamps_ns.values() if stamps)
        grid_ns = np.arange(begin_ns, end_ns, round(_STEP_S * 1e9))
        energies = self._energies(grid_ns)
        cuts = _change_points(np.hstack([energies, _PROBABILITY_SCALE * np.sqrt(self._around(grid_ns))]))
        energy = energies.mean(axis=1)
        threshold = _otsu(energy)
        edges_ns = [*grid_ns[cuts[:-1]].tolist(), end_ns]
        segments: List[Segment] = []
        resting = True
        for first, last, start_ns, stop_ns in zip(cuts, cuts[1:], edges_ns, edges_ns[1:]):
            activity = self._guess(start_ns, stop_ns, min_confidence)
            still = energy[first:last].mean() < threshold
            before, resting = resting, bool(still) and activity in (REST, UNCERTAIN)
            if resting:
                continue
            activity = UNCERTAIN if activity == REST else activity
            if not before and activity == segments[-1].activity != UNCERTAIN:
                segments[-1] = segments[-1]._replace(end_ns=stop_ns)
            else:
                segments.append(Segment(start_ns, stop_ns, activity))
        return segments

    def _changed(self, frame: np.ndarray) -> float:
        """Share of a depth image's pixels that are nearer or further than in the one before, or measured no more."""
        before, self._frame = self._frame, frame
        if before is None or before.shape != frame.shape:
            return 0.0
        steps = _DEPTH_CHANGE_M / self._infos["depth"].depth_scale_m
        moved = np.abs(frame.astype(np.int32) - before) > steps
        return float(np.mean(moved))

    def _energies(self, grid_ns: np.ndarray) -> np.ndarray:
        """(steps, sensors): logarithm of the motion that each sensor sees, standardised; 0 where it never changes."""
        columns = []
        for name, stamps_ns in self._stamps_ns.items():
            if len(stamps_ns) < 2:
                continue
            rate_hz = (len(stamps_ns) - 1) / max(stamps_ns[-1] - stamps_ns[0], 1) * 1e9
            width = max(1, round(_ENERGY_S * rate_hz))
            if name == "imu":
                samples = np.array(self._imu, np.float64)
                gravity = _smooth(samples[:, :3], max(1, round(_GRAVITY_S * rate_hz)))
                motion = _rms(samples[:, :3] - gravity, width) + _rms(samples[:, 3:], width)
            else:
                motion = _rms(np.array(self._motion[name])[:, np.newaxis], width)
            column = np.interp(grid_ns, stamps_ns, motion)
            column = np.log(column + np.percentile(column, 20) + 1e-6)
            if column.std() > 1e-9:
                columns.append((column - column.mean()) / column.std())
        if not columns:
            return np.zeros((len(grid_ns), 1))
        return np.stack(columns, axis=1) * np.sqrt(_ENERGY_VARIANCE / len(columns))

    def _around(self, grid_ns: np.ndarray) -> np.ndarray:
        """(steps, classes): probabilities of the windows whose middle is around each step."""
        middles_ns = np.array(self._ends_ns) - self._spec.window_ns // 2
        return np.stack([np.interp(grid_ns, middles_ns, column) for column in np.array(self._probabilities).T], axis=1)

    def _guess(self, start_ns: int, end_ns: int, min_confidence: float) -> str:
        """The most probable activity of a stretch, by the windows that lie in it, or else by those that overlap it."""
        ends_ns = np.array(self._ends_ns)
        overlap_ns = np.minimum(ends_ns, end_ns) - np.maximum(ends_ns - self._spec.window_ns, start_ns)
        most_ns = min(end_ns - start_ns, self._spec.window_ns) - self._spec.hop_ns // 2
        inside = overlap_ns >= most_ns
        weights = inside if inside.any() else np.maximum(overlap_ns, 0)
        if not weights.any():
            return UNCERTAIN
        mean = np.average(self._probabilities, axis=0, weights=weights)
        best = int(mean.argmax())
        return self._spec.classes[best] if mean[best] >= min_confidence else UNCERTAIN


def _smooth(columns: np.ndarray, width: int) -> np.ndarray:
    """Running mean along the first axis, over ``width`` rows around each; the ends are held."""
    padded = np.pad(columns, ((width // 2 + 1, (width - 1) // 2), (0, 0)), mode="edge")
    sums = np.cumsum(padded, axis=0)
    return (sums[width:] - sums[:-width]) / width


def _rms(columns: np.ndarray, width: int) -> np.ndarray:
    """Running root of the mean square of rows."""
    return np.sqrt(np.maximum(_smooth((columns**2).sum(axis=1, keepdims=True), width), 0))[:, 0]


def _change_points(series: np.ndarray) -> List[int]:
    """First rows of the stretches of a series (steps, dimensions), and its length at the end."""
    shortest, longest = round(_SHORTEST_S / _STEP_S), round(_LONGEST_S / _STEP_S)
    steps = len(series)
    sums = np.vstack([np.zeros(series.shape[1]), np.cumsum(series, axis=0)])
    squares = np.concatenate([[0.0], np.cumsum((series**2).sum(axis=1))])
    best = np.full(steps + 1, np.inf)  # least cost of the series up to each row
    best[0] = -_PENALTY
    begins = np.zeros(steps + 1, int)  # of the last stretch then
    for end in range(min(shortest, steps), steps + 1):
        begin = np.arange(max(0, end - longest), max(end - shortest, 0) + 1)
        distance = squares[end] - squares[begin] - ((sums[end] - sums[begin]) ** 2).sum(axis=1) / (end - begin)
        total = best[begin] + distance + _PENALTY
        best[end], begins[end] = total.min(), begin[total.argmin()]
    cuts = [steps]
    while cuts[-1] > 0:
        cuts.append(int(begins[cuts[-1]]))
    return cuts[::-1]


def _otsu(values: np.ndarray) -> float:
    """The threshold that parts values into the two classes of the least spread."""
    ordered = np.sort(values)
    below = np.arange(1, len(ordered))
    if not len(below):
        return -np.inf
    above = len(ordered) - below
    sums = np.cumsum(ordered)
    between = below * above * (sums[:-1] / below - (sums[-1] - sums[:-1]) / above) ** 2
    split = int(between.argmax())
    return float(ordered[split] + ordered[split + 1]) / 2
