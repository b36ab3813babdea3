"""Cuts a recording into segments of one activity each, and proposes an activity for each.

Stretches of different activities differ in the amount of motion and in the model's answers. Both form one series of ten
steps a second: for each sensor the standardised logarithm of its motion energy, and the square roots of the
probabilities of the windows around the step. The change points minimise the squared distance from each stretch's mean
plus a penalty for each point (optimal partitioning: Jackson et al., IEEE Signal Processing Letters 12, 2005). A stretch
is a rest if its energy is below Otsu's threshold (IEEE Transactions on Systems, Man, and Cybernetics 9, 1979) and the
model recognises no activity in it. So motion finds activities that the model never learned, and the model separates
activities without a rest between them.
"""

from __future__ import annotations

from array import array
from typing import Dict, List, Mapping, Tuple

import numpy as np

from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.names import NONE, UNCERTAIN
from cosmo_runtime.runtime.labels.truth import Segment
from cosmo_runtime.runtime.recognition.loop import Outcome, Sink
from cosmo_runtime.sensors.events import Event, Sample
from cosmo_runtime.sensors.sensor import SensorInfo

_STEP_S = 0.1
_ENERGY_S = 0.5  # over which motion energy is averaged
_GRAVITY_S = 0.6  # over which acceleration averages to gravity
_DEPTH_CHANGE_M = 0.05  # more than a camera's noise
_RADAR_SPEED = 0.1  # m/s of a moving point
_ENERGY_VARIANCE = 4.0  # weight of all sensors together, however many there are
_PROBABILITY_SCALE = 2.0
_PENALTY = 30.0  # of a change point, in the series' units; chosen, like the two above, on recordings with the truth
_SHORTEST_S, _LONGEST_S = 1.0, 60.0
_PAUSE_NS = 10 * 10**9  # without data from any sensor; what comes before and after is cut separately
_MOST_NS = 12 * 3600 * 10**9  # without such pauses; with _MOST_SAMPLES of a sensor this takes about half a gigabyte
_MOST_SAMPLES = 4_000_000


class TooLong(Exception):
    """The recording is too long to be cut."""


class Segmenter(Sink):
    """Watches a replay, then proposes what was done when.

    Args:
        spec: spec of the model that recognises this replay, without smoothing.
        infos: the sensors' infos.
    """

    def __init__(self, spec: ModelSpec, infos: Mapping[str, SensorInfo]) -> None:
        self._spec = spec
        self._infos = infos
        self._stamps_ns: Dict[str, array[int]] = {name: array("q") for name in infos}
        self._motion: Dict[str, array[float]] = {
            name: array("d") for name in infos
        }  # six numbers for a sample of an IMU, one for others
        self._latest_ns = -1
        self._seen_ns = 0  # without pauses
        self._frames: Dict[str, np.ndarray] = {}
        self._ends_ns: List[int] = []
        self._probabilities: List[List[float]] = []
        self._min_confidences: List[float] = []

    def event(self, event: Event) -> None:
        """Adds the motion of one sample.

        Raises:
            TooLong: the recording is too long to be cut.
        """
        if not isinstance(event, Sample) or event.sensor not in self._infos:
            return
        stamps_ns = self._stamps_ns[event.sensor]
        if stamps_ns and event.stamp_ns <= stamps_ns[-1]:
            return
        if self._latest_ns >= 0:
            self._seen_ns += min(max(event.stamp_ns - self._latest_ns, 0), _PAUSE_NS)
        self._latest_ns = max(self._latest_ns, event.stamp_ns)
        if self._seen_ns > _MOST_NS or len(stamps_ns) >= _MOST_SAMPLES:
            raise TooLong(f"it is longer than {_MOST_NS / 3600e9:g} h or {_MOST_SAMPLES} samples of a sensor")
        stamps_ns.append(event.stamp_ns)
        kind = self._infos[event.sensor].kind
        if kind == "imu":
            self._motion[event.sensor].extend(np.nan_to_num(event.data[:6]).tolist())
        elif kind == "radar":
            self._motion[event.sensor].append(float(np.sum(np.abs(event.data[:, 3]) > _RADAR_SPEED)))
        else:
            self._motion[event.sensor].append(self._changed(event))

    def outcome(self, outcome: Outcome) -> None:
        """Adds the answer for one window."""
        self._ends_ns.append(outcome.window.end_ns)
        self._probabilities.append(list(outcome.prediction.probabilities.values()))
        self._min_confidences.append(outcome.prediction.min_confidence)

    def segments(self) -> List[Segment]:
        """Returns the segments, oldest first. There are none if no window was seen."""
        if not self._ends_ns:
            return []
        stretches_ns = self._stretches_ns()
        grids_ns = [np.arange(begin_ns, end_ns, round(_STEP_S * 1e9)) for begin_ns, end_ns in stretches_ns]
        grid_ns = np.concatenate(grids_ns)
        probabilities = np.array(self._probabilities)
        energies = self._energies(grid_ns)
        series = np.hstack([energies, _PROBABILITY_SCALE * np.sqrt(self._around(grid_ns, probabilities))])
        energy = energies.mean(axis=1)
        threshold = _otsu(energy)
        segments: List[Segment] = []
        done = 0
        for (_, end_ns), stretch_ns in zip(stretches_ns, grids_ns):
            rows = slice(done, done + len(stretch_ns))
            done = rows.stop
            cuts = _change_points(series[rows])
            edges_ns = [*stretch_ns[cuts[:-1]].tolist(), end_ns]
            resting = True
            for first, last, start_ns, stop_ns in zip(cuts, cuts[1:], edges_ns, edges_ns[1:]):
                activity = self._guess(start_ns, stop_ns, probabilities)
                still = energy[rows][first:last].mean() < threshold
                before, resting = resting, bool(still) and activity in (NONE, UNCERTAIN)
                if resting:
                    continue
                activity = UNCERTAIN if activity == NONE else activity
                if not before and activity == segments[-1].activity != UNCERTAIN:
                    segments[-1] = segments[-1]._replace(end_ns=stop_ns)
                else:
                    segments.append(Segment(start_ns, stop_ns, activity))
        return segments

    def _stretches_ns(self) -> List[Tuple[int, int]]:
        """The stretches with samples and without pauses, except those shorter than a step."""
        stamps_ns = np.sort(np.concatenate([np.array(stamps, np.int64) for stamps in self._stamps_ns.values()]))
        pauses = np.flatnonzero(np.diff(stamps_ns) > _PAUSE_NS)
        begins_ns = stamps_ns[[0, *(pauses + 1)]].tolist()
        ends_ns = stamps_ns[[*pauses, -1]].tolist()
        stretches_ns = [(begin, end) for begin, end in zip(begins_ns, ends_ns) if end - begin >= _STEP_S * 1e9]
        return stretches_ns or [(begins_ns[0], begins_ns[0] + 1)]

    def _changed(self, sample: Sample) -> float:
        """The share of pixels that changed since the previous picture: depth by more than noise, others at all."""
        frame, before = sample.data, self._frames.get(sample.sensor)
        self._frames[sample.sensor] = frame
        info = self._infos[sample.sensor]
        if before is None or before.shape != frame.shape or (info.kind == "depth" and not info.depth_scale_m):
            return 0.0
        steps = _DEPTH_CHANGE_M / info.depth_scale_m if info.kind == "depth" else 0.0
        moved = np.abs(frame.astype(np.float64) - before) > steps
        return float(np.mean(moved))

    def _energies(self, grid_ns: np.ndarray) -> np.ndarray:
        """(steps, sensors): standardised logarithm of the motion that each sensor sees; 0 if it never changes."""
        columns = []
        for name, stamps_ns in self._stamps_ns.items():
            if len(stamps_ns) < 2:
                continue
            rate_hz = (len(stamps_ns) - 1) / max(stamps_ns[-1] - stamps_ns[0], 1) * 1e9
            width = min(max(1, round(_ENERGY_S * rate_hz)), len(stamps_ns))
            if self._infos[name].kind == "imu":
                samples = np.array(self._motion[name], np.float64).reshape(-1, 6)
                gravity = _smooth(samples[:, :3], min(max(1, round(_GRAVITY_S * rate_hz)), len(stamps_ns)))
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

    def _around(self, grid_ns: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
        """(steps, classes): probabilities of the windows with midpoints around each step."""
        middles_ns = np.array(self._ends_ns) - self._spec.window_ns // 2
        return np.stack([np.interp(grid_ns, middles_ns, column) for column in probabilities.T], axis=1)

    def _guess(self, start_ns: int, end_ns: int, probabilities: np.ndarray) -> str:
        """The most probable activity of a stretch, from the windows inside it, or else from those that overlap it."""
        ends_ns = np.array(self._ends_ns)
        overlap_ns = np.minimum(ends_ns, end_ns) - np.maximum(ends_ns - self._spec.window_ns, start_ns)
        most_ns = min(end_ns - start_ns, self._spec.window_ns) - self._spec.hop_ns // 2
        inside = overlap_ns >= most_ns
        weights = inside if inside.any() else np.maximum(overlap_ns, 0)
        if not weights.any():
            return UNCERTAIN
        mean = np.average(probabilities, axis=0, weights=weights)
        best = int(mean.argmax())
        sure = mean[best] >= np.average(self._min_confidences, weights=weights)
        return self._spec.classes[best] if sure else UNCERTAIN


def _smooth(columns: np.ndarray, width: int) -> np.ndarray:
    """Running mean along the first axis, over ``width`` rows around each. The ends are extended."""
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
    best = np.full(steps + 1, np.inf)  # lowest cost of the series up to each row
    best[0] = -_PENALTY
    begins = np.zeros(steps + 1, int)  # start of the last stretch for that cost
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
    """The threshold that splits values into two classes with the least spread."""
    ordered = np.sort(values)
    below = np.arange(1, len(ordered))
    if not len(below):
        return -np.inf
    above = len(ordered) - below
    sums = np.cumsum(ordered)
    between = below * above * (sums[:-1] / below - (sums[-1] - sums[:-1]) / above) ** 2
    split = int(between.argmax())
    return float(ordered[split] + ordered[split + 1]) / 2
