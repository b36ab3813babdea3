"""Estimates how far sensors are out of step, from how much motion each of them sees.

The motion curves of two sensors correlate best when one is shifted by the delay between them (Knapp and Carter, "The
generalized correlation method for estimation of time delay", 1976). Repetitive motion correlates nearly as well one
beat off, and without motion there is no correlation. So the best peak must be higher than the second best by much more
than correlations at large lags vary by chance. Otherwise the delay is refused.
"""

from __future__ import annotations

import math
from itertools import chain
from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from cosmo_runtime.runtime.sync.motion import Moment

MOST_S = 1.25
"""The largest delay between sensors that is searched for."""

MOST_RISK = 0.01
"""Delays that are more likely wrong than this are refused."""

_GRID_HZ = 50
_SHORT_S, _LONG_S = 0.06, 0.8  # standard deviations: faster changes are noise, slower ones match at any lag
_SILENT_S = 0.3  # after a longer time without a sample, the motion is unknown
_FAR_S = 1.6, 5.0  # lags at which sensors agree only by chance
_REACH = round((_FAR_S[1] + 2 * MOST_S) * _GRID_HZ)
_LAGS = np.arange(-_REACH, _REACH + 1) / _GRID_HZ
_APART_S = 0.15  # closer peaks are one
_NEAR_S = 0.1  # how far a delay may move when all sensors are combined, and from minute to minute
_CHUNK_S = 10.0
_SPREAD_S = 0.25  # how far a delay may be off within ten seconds
_DRIFT_CHUNKS, _DRIFT_LEAST = 6, 5  # chunks per delay; delays needed for a drift
_LATER_S = 0.25, 1.5
_MOST_LIKENESS = 0.55  # people who only walked had 0.63 to 0.73, all others at most 0.47; docs/sync.md has other people
_LITTLE = 0.2  # correlation; below it, sensors have hardly anything in common
_LEAST_RISK = 0.005  # too few people were measured to claim less
_RISK = (1.25, 4.0)  # the gap at which every second delay would be wrong, and the slope


_REPEATS = "the motion repeats itself or changes too slowly"


class Step(NamedTuple):
    """How far a sensor is out of step with the others.

    Attributes:
        delay_s: how much later its stamps are than the reference's; meaningless if it is refused.
        gap: how much higher its best peak is than the second best, in standard deviations of chance correlations.
        agreement: correlation between the motion that it and the others see, at the best peak.
        risk: the probability that the delay is off by more than 100 ms.
        error_s: standard error of the delay, from its variation between chunks of ten seconds.
        refusal: the reason if the delay is refused; otherwise empty.
        drift_ppm: how slow its clock is, in microseconds per second; None if unknown.
        drift_error_ppm: standard error of the drift.
    """

    delay_s: float
    gap: float
    agreement: float
    risk: float
    error_s: float = 0.0
    refusal: str = ""
    drift_ppm: Optional[float] = None
    drift_error_ppm: Optional[float] = None


def estimate(
    stretches: Sequence[Mapping[str, Sequence[Moment]]], kinds: Optional[Mapping[str, str]] = None
) -> Dict[str, Step]:
    """Estimates how far each sensor is out of step.

    Args:
        stretches: stretches of one rig's motion, by sensor in order of time. The delays are the same in all of them.
        kinds: the sensors' kinds; a sensor's name is the default.

    Returns:
        A step for each sensor. The first one that is not refused is the reference; its delay is 0.
    """
    names = list(dict.fromkeys(name for stretch in stretches for name in stretch))
    pairs = _Pairs(names, stretches)
    told = list(names)
    steps = {name: Step(0.0, 0.0, 0.0, 1.0, refusal="no other sensor to compare with") for name in names}
    while len(told) > 1:
        found = _in_step(told, pairs)
        steps.update(found)
        least = min(told, key=lambda name: found[name].gap)
        if not found[least].refusal:
            break
        told.remove(least)
    seeing = [name for name in names if any(stretch.get(name) for stretch in stretches)]
    if _repetitive(pairs.likeness, steps, {name: (kinds or {}).get(name, name) for name in seeing}):
        return {name: step._replace(risk=1.0, refusal=_REPEATS) for name, step in steps.items()}
    if len(told) < 2:
        return {
            name: step._replace(refusal=step.refusal or "no other sensor to compare with")
            for name, step in steps.items()
        }
    reference_s = steps[told[0]].delay_s
    for name in told:
        drift = pairs.drift(name, told[0], steps[name].delay_s - reference_s) if name != told[0] else (0.0, 0.0)
        steps[name] = steps[name]._replace(
            delay_s=steps[name].delay_s - reference_s, drift_ppm=drift and drift[0], drift_error_ppm=drift and drift[1]
        )
    return steps


def risk_of(gap: float) -> float:
    """The probability that a delay with this gap is off by more than 100 ms.

    In other people than those measured (docs/sync.md), wrong delays had gaps up to 0.9, and right ones from 2.6 on. The
    curve between them is logistic.
    """
    even, slope = _RISK
    return max(_LEAST_RISK, 1 / (1 + math.exp(min(slope * (gap - even), 700))))


class _Pairs:
    """How well the motion of two sensors agrees at each lag, over the whole time and in each chunk.

    Attributes:
        curves: by pair of sensors, in both orders, the correlation at each lag: (lags,).
        chunks: the same for every ten seconds, not yet divided by the amount of motion.
        likeness: how well each sensor's motion agrees with itself a moment later.
    """

    def __init__(self, names: Sequence[str], stretches: Sequence[Mapping[str, Sequence[Moment]]]) -> None:
        self.chunks: Dict[Tuple[str, str], List[np.ndarray]] = {}
        self._one_stretch = len(stretches) == 1
        self.curves: Dict[Tuple[str, str], np.ndarray] = {}
        grids = [_on_one_grid(names, stretch) for stretch in stretches]
        self.likeness = {name: _likeness([grid[name] for grid in grids]) for name in names}
        for number, one in enumerate(names):
            for other in names[number + 1 :]:
                chunks = [chunk for grid in grids for chunk in _by_chunk(grid[one], grid[other])]
                norm = math.sqrt(math.prod(_energy(grids, *pair) for pair in ((one, other), (other, one))))
                self.chunks[one, other] = chunks
                self.chunks[other, one] = [chunk[::-1] for chunk in chunks]
                self.curves[one, other] = sum(chunks, np.zeros_like(_LAGS)) / (norm or 1.0)
                self.curves[other, one] = self.curves[one, other][::-1]

    def drift(self, name: str, reference: str, delay_s: float) -> Optional[Tuple[float, float]]:
        """How many microseconds per second a sensor's delay grows by, and the standard error."""
        if not self._one_stretch:
            return None
        chunks = self.chunks[reference, name]
        grouped = [
            np.sum(chunks[start : start + _DRIFT_CHUNKS], axis=0)
            for start in range(0, len(chunks) - _DRIFT_CHUNKS + 1, _DRIFT_CHUNKS)
        ]
        at_s, delays = [], []
        for number, curve in enumerate(grouped):
            peak = _Peak(curve, delay_s, _NEAR_S)
            if peak.gap > 1 and not peak.at_edge:
                at_s.append((number + 0.5) * _DRIFT_CHUNKS * _CHUNK_S)
                delays.append(peak.at_s)
        if len(delays) < _DRIFT_LEAST:
            return None
        (slope, _), errors = np.polyfit(at_s, delays, 1, cov=True)
        return 1e6 * float(slope), 1e6 * math.sqrt(float(errors[0, 0]))


def _energy(grids: Sequence[Mapping[str, np.ndarray]], name: str, other: str) -> float:
    """The energy of a sensor's motion while the other one is there, too."""
    return sum(float(np.square(grid[name]) @ (grid[other] != 0)) for grid in grids)


class _Peak:
    """The best lag of a curve of agreement, and how much it stands out."""

    def __init__(self, curve: np.ndarray, around_s: float, within_s: float) -> None:
        near = np.flatnonzero(np.abs(_LAGS - around_s) <= within_s)
        best = int(near[np.argmax(curve[near])])
        self.at_edge = best in (near[0], near[-1])
        before, self.height, after = (float(value) for value in curve[best - 1 : best + 2])
        bend = before - 2 * self.height + after
        shift = 0.5 * (before - after) / bend if bend < 0 else 0.0  # of a parabola through the three points
        self.at_s = float(_LAGS[best]) + min(max(shift, -0.5), 0.5) / _GRID_HZ
        away = np.abs(_LAGS - self.at_s)
        tops = _tops(curve)
        rivals = curve[tops[(away[tops] > _APART_S) & (away[tops] <= 2 * MOST_S)]]
        chance = math.sqrt(float(np.mean(np.square(curve[(away > _FAR_S[0]) & (away < _FAR_S[1])]))))
        self.gap = (self.height - float(rivals.max(initial=0.0))) / (chance or 1.0)


def _in_step(names: Sequence[str], pairs: _Pairs) -> Dict[str, Step]:
    """Places sensors one by one, the most certain first, where each agrees best with those already placed."""
    gaps = {pair: _Peak(curve, 0.0, MOST_S).gap for pair, curve in pairs.curves.items() if set(pair) <= set(names)}
    placed = {max(gaps, key=lambda pair: gaps[pair])[0]: 0.0}
    while len(placed) < len(names):
        peaks = {
            name: _Peak(_agreement(name, placed, pairs.curves), 0.0, MOST_S) for name in names if name not in placed
        }
        surest = max(peaks, key=lambda name: peaks[name].gap)
        placed[surest] = peaks[surest].at_s
    for _ in range(2):
        for name in names:
            placed[name] = _Peak(_agreement(name, placed, pairs.curves), placed[name], _NEAR_S).at_s
    steps = {}
    for name in names:
        peak = _Peak(_agreement(name, placed, pairs.curves), placed[name], _NEAR_S)
        agreement, error_s = peak.height / (len(names) - 1), _standard_error(name, placed, pairs)
        step = Step(placed[name], peak.gap, agreement, risk_of(peak.gap), error_s)
        steps[name] = step._replace(refusal=_refusal(step))
    return steps


def _standard_error(name: str, placed: Mapping[str, float], pairs: _Pairs) -> float:
    """The standard error from the middle half of a sensor's delays in each chunk, so that outliers count little."""
    peaks = []
    for number in range(len(next(iter(pairs.chunks.values())))):
        chunk = {pair: chunks[number] for pair, chunks in pairs.chunks.items()}
        peaks.append(_Peak(_agreement(name, placed, chunk), placed[name], _SPREAD_S))
    least = 0.1 * float(np.mean([max(peak.height, 0.0) for peak in peaks] or [0.0]))
    delays = [peak.at_s for peak in peaks if peak.height > least]  # without one of the sensors, or with little motion
    low, high = np.percentile(delays, [25, 75]) if delays else (0.0, 0.0)
    return float(high - low) / 1.35 / math.sqrt(max(len(delays), 1))


def _refusal(step: Step) -> str:
    if step.risk <= MOST_RISK:
        return ""
    return _REPEATS if step.agreement >= _LITTLE else "it and the others see too little of the same motion"


def _repetitive(likeness: Mapping[str, float], steps: Mapping[str, Step], kinds: Mapping[str, str]) -> bool:
    """Whether what sensors see resembles what they see a moment later, as with somebody who claps, or walks about.

    Who walks swings the arm out of step with the body. A camera shows that it is walking, by little but slow changes.
    Without a camera, only the radar can: it then agrees with itself nearly as well as with what the arm does.
    """
    if max(likeness.values(), default=0.0) > _MOST_LIKENESS:
        return True
    radars = [name for name, kind in kinds.items() if kind == "radar"]
    blind = set(kinds.values()) == {"imu", "radar"}
    # walking people's had 0.60 to 1.3 times the agreement, all others' at most 0.53 times
    return blind and any(likeness[name] > _MOST_LIKENESS * steps[name].agreement for name in radars)


def _agreement(name: str, placed: Mapping[str, float], curves: Mapping[Tuple[str, str], np.ndarray]) -> np.ndarray:
    """How well a sensor agrees with the placed ones, at each delay of its own."""
    others = [other for other in placed if other != name]
    return np.sum([np.interp(_LAGS - placed[other], _LAGS, curves[other, name]) for other in others], axis=0)


def _likeness(curves: Sequence[np.ndarray]) -> float:
    """How well one sensor's motion agrees with itself a moment later."""
    chunks = [chunk for curve in curves for chunk in _by_chunk(curve, curve)]
    if not chunks:
        return 0.0
    curve = np.sum(chunks, axis=0)
    soonest, latest = (_REACH + round(later_s * _GRID_HZ) for later_s in _LATER_S)
    return float(curve[soonest : latest + 1].max() / (curve[_REACH] or 1.0))


def _tops(curve: np.ndarray) -> np.ndarray:
    """The indices of a curve's local maxima."""
    return np.flatnonzero((curve[1:-1] >= curve[:-2]) & (curve[1:-1] >= curve[2:])) + 1


def _by_chunk(one: np.ndarray, other: np.ndarray) -> List[np.ndarray]:
    """Products of two curves, summed over each chunk of the first, at each lag of the second."""
    size = round(_CHUNK_S * _GRID_HZ)
    padded = np.pad(other, _REACH)
    chunks = []
    for start in range(0, len(one), size):
        piece = one[start : start + size]
        around = padded[start : start + len(piece) + 2 * _REACH]
        length = 1 << (len(around) - 1).bit_length()
        spectrum = np.conj(np.fft.rfft(piece, length)) * np.fft.rfft(around, length)
        chunks.append(np.fft.irfft(spectrum, length)[: 2 * _REACH + 1])
    return chunks


def _on_one_grid(names: Sequence[str], stretch: Mapping[str, Sequence[Moment]]) -> Dict[str, np.ndarray]:
    """The changes in each sensor's motion, on a common time grid; 0 where they are unknown."""
    arrays = {name: np.fromiter(chain.from_iterable(stretch.get(name, ())), float).reshape(-1, 2) for name in names}
    stamps = [stretch[name][at].stamp_ns for name in names if len(stretch.get(name, ())) for at in (0, -1)]
    if not stamps:
        return {name: np.zeros(0) for name in names}
    start_ns = min(stamps)
    grid = np.arange(int((max(stamps) - start_ns) * 1e-9 * _GRID_HZ) + 1) / _GRID_HZ
    return {name: _changes((of[:, 0] - start_ns) * 1e-9, of[:, 1], grid) for name, of in arrays.items()}


def _changes(at_s: np.ndarray, motion: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """One sensor's motion on a grid, on a logarithmic scale, without changes that are too fast or too slow."""
    if len(at_s) < 2:
        return np.zeros_like(grid)
    usual = float(np.median(motion[motion > 0])) if (motion > 0).any() else 1.0
    values = np.interp(grid, at_s, np.log1p(motion / usual))
    right = np.searchsorted(at_s, grid).clip(1, len(at_s) - 1)
    known = (at_s[right] - at_s[right - 1] <= _SILENT_S) & (grid >= at_s[0]) & (grid <= at_s[-1])
    return (_smooth(values, _SHORT_S) - _smooth(values, _LONG_S)) * known


def _smooth(values: np.ndarray, sigma_s: float) -> np.ndarray:
    sigma = sigma_s * _GRID_HZ
    reach = math.ceil(3 * sigma)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    return np.convolve(np.pad(values, reach, mode="edge"), kernel / kernel.sum(), mode="valid")
