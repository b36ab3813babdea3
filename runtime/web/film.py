"""A recording for playback: the images, curves and predictions of a moment, and a survey of the whole recording."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Set, Tuple

import numpy as np

from cosmo_runtime.runtime.sinks.view.traces import SIGNALS
from cosmo_runtime.runtime.web.feed import frame_message, samples_a_point
from cosmo_runtime.sensors.events import Sample
from cosmo_runtime.sensors.recording import Recording, RecordingError
from cosmo_runtime.sensors.recording.index import RecordingIndex
from cosmo_runtime.sensors.recording.messages import decode_json
from cosmo_runtime.sensors.recording.spelling import EventReader

_DETAILS = "/predictions/details"
_CACHE_BYTES = 48 << 20  # for one recording
_REACH_NS = 2 * 10**9  # how far back the last image before a moment is searched for
_COLUMNS = 1500  # in the survey
_MOST_DAMAGED = 100  # parts that the survey tells
_WATCHED_S = 15.0  # how long a survey continues after a page has asked for it
_POLITE_S = 0.2  # how long it pauses after a page asks for an image, because a person is moving through the recording


class Part(NamedTuple):
    """The content of one part of a recording, for the page to draw.

    Attributes:
        imu: for each sensor (n, 7) float64, because a recording may last for days: seconds from the recording's start,
            acceleration, angular rate.
        frames: for each frame, its arrival in seconds, its sensor, and the message for the page.
        predictions: for each prediction, the end of its window in seconds, its activity and confidence.
        signals: for each sensor, the lowest and the highest value of the signal that shows motion.
    """

    imu: Dict[str, np.ndarray]
    frames: List[Tuple[float, str, bytes]]
    predictions: List[Tuple[float, str, float]]
    signals: Dict[str, Tuple[float, float]]

    @property
    def size(self) -> int:
        """The approximate size in bytes."""
        return 500 + sum(rows.nbytes for rows in self.imu.values()) + sum(len(frame[2]) for frame in self.frames)


class Film:
    """One recording. Parts that were just decoded are cached up to a limit. Several threads may ask at once.

    Args:
        recording: the recording to play.

    Attributes:
        damaged: the parts that were seen to be damaged, so far.

    Raises:
        RecordingError: the recording cannot be read.
    """

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.index = RecordingIndex(recording)
        self._infos = self.recording.infos
        self._start_ns = self.recording.start_ns
        self._every = {name: samples_a_point(info) for name, info in self._infos.items()}
        self._parts: OrderedDict[int, Part] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()
        self.asked_s = 0.0
        self.damaged: Set[int] = set()
        self._survey = _Survey(self)

    def frames(self, start_s: float, end_s: float) -> List[bytes]:
        """The images and points that arrived between two times in seconds, oldest first."""
        found = []
        for part in self._between(start_s, end_s):
            found += [frame for frame in part.frames if start_s <= frame[0] < end_s]
        return [message for _, _, message in sorted(found, key=lambda frame: frame[0])]

    def frame(self, at_s: float) -> List[bytes]:
        """The last image or points of each sensor up to a moment; before the first one, the first one."""
        wanted = {name for name, info in self._infos.items() if info.kind in ("depth", "radar")}
        found: Dict[str, bytes] = {}
        at_ns = self._start_ns + round(at_s * 1e9)
        for number in reversed(self.index.parts(at_ns - _REACH_NS, at_ns)):
            for frame_s, sensor, message in reversed(self.part(number).frames):
                if frame_s <= at_s + 1e-6:
                    found.setdefault(sensor, message)
            if wanted <= set(found):
                return list(found.values())
        for number in self.index.parts(at_ns, at_ns + _REACH_NS):
            for _, sensor, message in self.part(number).frames:
                found.setdefault(sensor, message)
            if wanted <= set(found):
                break
        return list(found.values())

    def traces(self, start_s: float, end_s: float) -> Tuple[Dict[str, np.ndarray], List[Tuple[float, str, float]]]:
        """The IMUs' measurements, as in ``Part``, and the predictions between two times in seconds."""
        rows: Dict[str, List[np.ndarray]] = {name: [] for name, info in self._infos.items() if info.kind == "imu"}
        predictions: List[Tuple[float, str, float]] = []
        for part in self._between(start_s, end_s):
            for name, measured in part.imu.items():
                rows[name].append(measured[(measured[:, 0] >= start_s) & (measured[:, 0] < end_s)])
            predictions += [prediction for prediction in part.predictions if start_s <= prediction[0] < end_s]
        empty = [np.empty((0, 7))]
        return {name: np.concatenate(found or empty) for name, found in rows.items()}, predictions

    def survey(self) -> Dict[str, Any]:
        """The whole recording in a few columns, as far as it has been surveyed. The survey continues for a while."""
        return self._survey.shown()

    def close(self) -> None:
        """Stops the survey."""
        self._survey.until = 0.0

    def part(self, number: int) -> Part:
        """One part, which is decoded only once while it is in use."""
        self.asked_s = time.monotonic()
        with self._lock:
            if number in self._parts:
                self._parts.move_to_end(number)
                return self._parts[number]
        part = self.decode(number)
        with self._lock:
            if number not in self._parts:
                self._parts[number] = part
                self._size += part.size
            while self._size > _CACHE_BYTES and len(self._parts) > 1:
                self._size -= self._parts.popitem(last=False)[1].size
        return part

    def decode(self, number: int, pictures: bool = True) -> Part:
        """Decodes one part, with or without its images. A damaged part is decoded up to the damage."""
        imu: Dict[str, List[Tuple[float, ...]]] = {}
        frames: List[Tuple[float, str, bytes]] = []
        predictions: List[Tuple[float, str, float]] = []
        values: Dict[str, List[float]] = {}
        try:
            for item in self._items(number, pictures):
                if isinstance(item, dict):
                    predictions.append(self._prediction(item))
                    continue
                info, at_s = self._infos[item.sensor], self._seconds(item.arrival_ns)
                if info.kind in ("depth", "radar"):
                    frames.append((at_s, item.sensor, frame_message(item, info, at_s)))
                elif info.kind == "imu":
                    row = (self._seconds(item.stamp_ns), *item.data[:6].tolist())
                    imu.setdefault(item.sensor, []).append(row)
                if info.kind != "depth":
                    values.setdefault(item.sensor, []).append(float(SIGNALS[info.kind](item)))
        except (RecordingError, ValueError):
            if not (self.recording.cut and number == len(self.index) - 1):  # what was written when it was cut off
                self.damaged.add(number)
        thinned = {name: np.array(rows[:: self._every[name]]) for name, rows in imu.items()}
        signals = {name: (min(numbers), max(numbers)) for name, numbers in values.items()}
        return Part(thinned, frames, predictions, signals)

    def _items(self, number: int, pictures: bool) -> Iterator[Any]:
        """A part's samples, and its predictions as dictionaries."""
        reader = EventReader(self._infos)
        skipped = () if pictures else tuple(f"/{n}/image" for n, info in self._infos.items() if info.kind == "depth")
        for message in self.index.messages(number):
            if message.topic == _DETAILS:
                yield decode_json(message.data)
            elif message.topic in reader.topics and message.topic not in skipped:
                event = reader.read(message)
                if isinstance(event, Sample) and event.sensor in self._infos:
                    yield event

    def _prediction(self, prediction: Dict[str, Any]) -> Tuple[float, str, float]:
        end_ns, activity, confidence = map(prediction.get, ("window_end_ns", "activity", "confidence"))
        if type(end_ns) is not int or not isinstance(activity, str) or not isinstance(confidence, (int, float)):
            raise ValueError("it is no prediction")
        return self._seconds(end_ns), activity[:200], float(confidence)

    def _seconds(self, at_ns: int) -> float:
        return round((at_ns - self._start_ns) * 1e-9, 4)

    def _between(self, start_s: float, end_s: float) -> Iterator[Part]:
        first_ns, last_ns = (self._start_ns + round(second * 1e9) for second in (start_s, end_s))
        margin_ns = 10**8  # a stamp or a window's end is slightly before the arrival
        for number in self.index.parts(first_ns - margin_ns, last_ns + 5 * margin_ns):
            yield self.part(number)


class _Survey:
    """Looks at every part of a recording once, from coarse to fine, in its own thread, while a page wants it."""

    def __init__(self, film: Film) -> None:
        self.until = 0.0
        self._film = film
        count = len(film.index)
        self._order = _coarse_to_fine(count)
        self._done = 0
        self._thread: Optional[threading.Thread] = None
        self._lock = threading.Lock()
        names = [name for name, info in film.recording.infos.items() if info.kind != "depth"]
        self._low = {name: np.full(count, np.nan, np.float32) for name in names}
        self._high = {name: np.full(count, np.nan, np.float32) for name in names}
        self._columns = min(_COLUMNS, max(1, round(film.recording.duration_s * 4)))
        self._predicted: Dict[
            str, np.ndarray
        ] = {}  # by activity and column (2, columns): confidence in all, and how often
        scale = self._columns / max(1.0, film.recording.duration_s * 1e9)
        edges_ns = np.stack([film.index.begins_ns, film.index.ends_ns]) - film.recording.start_ns
        self._from, self._to = np.clip(edges_ns * scale, 0, self._columns - 1).astype(np.int32)

    def shown(self) -> Dict[str, Any]:
        with self._lock:
            self.until = time.monotonic() + _WATCHED_S
            if self._done < len(self._order) and not (self._thread and self._thread.is_alive()):
                self._thread = threading.Thread(target=self._look, daemon=True)
                self._thread.start()
        share = self._done / len(self._order) if len(self._order) else 1.0  # first: a page asks no more once it is 1
        lanes = {name: self._lane(name) for name in self._low}
        begins_ns = self._film.index.begins_ns[sorted(self._film.damaged)] - self._film.recording.start_ns
        damaged_s = [round(begin_ns / 1e9, 2) for begin_ns in begins_ns[:_MOST_DAMAGED].tolist()]
        return {"share": round(share, 4), "lanes": lanes, "predictions": self._predictions(), "damaged_s": damaged_s}

    def _lane(self, name: str) -> Dict[str, List[Optional[float]]]:
        low = np.full(self._columns, np.inf, np.float32)
        high = np.full(self._columns, -np.inf, np.float32)
        parts = np.flatnonzero(~np.isnan(self._low[name]))
        for edge in self._from[parts], self._to[parts]:
            np.minimum.at(low, edge, self._low[name][parts])
            np.maximum.at(high, edge, self._high[name][parts])
        for part in parts[self._to[parts] - self._from[parts] > 1]:  # few, because parts are short
            columns = slice(self._from[part] + 1, self._to[part])
            low[columns] = np.minimum(low[columns], self._low[name][part])
            high[columns] = np.maximum(high[columns], self._high[name][part])
        return {
            "low": [round(float(v), 2) if np.isfinite(v) else None for v in low],
            "high": [round(float(v), 2) if np.isfinite(v) else None for v in high],
        }

    def _predictions(self) -> List[Optional[List[Any]]]:
        """For each column, the most frequent prediction and its mean confidence."""
        predicted = dict(self._predicted)
        if not predicted:
            return []
        names, sums = list(predicted), np.stack(list(predicted.values()))
        best = sums[:, 0].argmax(axis=0)
        found: List[Optional[List[Any]]] = []
        for column, row in enumerate(best):
            confidence, count = sums[row, :, column]
            found.append([names[row], round(float(confidence / count), 2)] if count else None)
        return found

    def _look(self) -> None:
        while self._done < len(self._order) and time.monotonic() < self.until:
            if time.monotonic() - self._film.asked_s < _POLITE_S:
                time.sleep(_POLITE_S / 4)
                continue
            number = int(self._order[self._done])
            part = self._film.decode(number, pictures=False)
            for name, (low, high) in part.signals.items():
                self._low[name][number], self._high[name][number] = low, high
            for end_s, activity, confidence in part.predictions:
                column = int(end_s * self._columns / max(self._film.recording.duration_s, 1e-3))
                if 0 <= column < self._columns and (activity in self._predicted or len(self._predicted) < 1000):
                    sums = self._predicted.setdefault(activity, np.zeros((2, self._columns), np.float32))
                    sums[:, column] += confidence, 1
            self._done += 1


def _coarse_to_fine(count: int) -> np.ndarray:
    """All numbers below a count: first every 1024th, then those halfway between, and so on."""
    numbers = np.arange(count)
    fineness = np.zeros(count, np.int8)
    for power in range(1, 11):
        fineness[numbers % (1 << power) == 0] = power
    return np.argsort(-fineness, kind="stable").astype(np.int32)
