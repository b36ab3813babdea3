"""Episodes from predictions, if there is no log: from JSON lines of earlier runs, and from the present run."""

from __future__ import annotations

import json
import math
import threading
from collections import deque
from datetime import datetime
from pathlib import Path
from typing import Any, Callable, Deque, Dict, Iterable, List, Optional

from cosmo_runtime.names import GAP
from cosmo_runtime.runtime.episodes.entries import EPISODE, as_json
from cosmo_runtime.runtime.episodes.rule import Episode, EpisodeRule, Observation

_MOST_BYTES = 1 << 30  # from the end of a file: some ten days of two predictions a second
_MOST_LINE = 1 << 16
_MOST_EPISODES = 100_000
_MOST_STEP_NS = 2 * 10**9  # a prediction covers the time since the one before, but no more than this


class PredictedEpisodes:
    """Turns predictions into episodes. A prediction covers the time before the end of its window.

    Args:
        make_rule: says when an episode begins and ends.
    """

    def __init__(self, make_rule: Callable[[], EpisodeRule]) -> None:
        self._make_rule = make_rule
        self._rule = make_rule()
        self._ended: Deque[Episode] = deque(maxlen=_MOST_EPISODES)
        self._latest_ns: Optional[int] = None
        self._lock = threading.Lock()  # a page may ask while a run adds

    @property
    def episodes(self) -> List[Episode]:
        """All episodes in wall time, without gaps. The last one may still be going on."""
        with self._lock:
            now = self._rule.current
            return [episode for episode in [*self._ended, *([now] if now else [])] if episode.activity != GAP]

    def feed(self, told: Any) -> None:
        """Adds a prediction in the form of JSON lines. Anything else is skipped."""
        if not isinstance(told, dict):
            return
        activity, confidence, at_ns = told.get("activity"), told.get("confidence"), _wall_ns(told.get("time"))
        if at_ns is not None:
            with self._lock:
                self._take(activity, confidence, at_ns)

    def _take(self, activity: object, confidence: object, at_ns: int) -> None:
        if self._latest_ns is not None and at_ns < self._latest_ns:  # another run, or the clock was set back
            self._ended += self._rule.finish()
            self._rule, self._latest_ns = self._make_rule(), None
        if activity is None:
            self._ended += self._rule.silent(at_ns, "no window came")
        elif isinstance(activity, str) and isinstance(confidence, (int, float)) and math.isfinite(confidence):
            step_ns = _MOST_STEP_NS if self._latest_ns is None else min(at_ns - self._latest_ns, _MOST_STEP_NS)
            if self._latest_ns is None or step_ns == _MOST_STEP_NS:
                step_ns = _MOST_STEP_NS // 4  # the first after a while
            self._ended += self._rule.feed(Observation(at_ns - step_ns, at_ns, activity[:200], float(confidence)))
        else:
            return
        self._latest_ns = at_ns


class _File:
    """A file of JSON lines and how far it has been read. A run may still append to it."""

    def __init__(self, make_rule: Callable[[], EpisodeRule]) -> None:
        self.folded = PredictedEpisodes(make_rule)
        self.read = 0  # bytes, of whole lines
        self.inode = -1


class PredictedDays:
    """Episodes from files of JSON lines and from the present run.

    Args:
        make_rule: says when an episode begins and ends.
        files: returns the files of JSON lines. Each line is read only once.
    """

    def __init__(self, make_rule: Callable[[], EpisodeRule], files: Callable[[], Iterable[Path]]) -> None:
        self._make_rule = make_rule
        self._files = files
        self._read: Dict[Path, _File] = {}
        self._lock = threading.Lock()
        self.now = PredictedEpisodes(make_rule)

    def entries(self, from_ns: int, to_ns: int) -> List[Dict[str, Any]]:
        """The episodes in a stretch of wall time, in order, in the form of a log's entries."""
        with self._lock:
            paths = list(dict.fromkeys(self._files()))
            self._read = {path: self._read.get(path) or _File(self._make_rule) for path in paths}
            for path, file in self._read.items():
                _read_on(path, file, self._make_rule)
            folded = [self.now, *(file.folded for file in self._read.values())]
            found = [episode for one in folded for episode in one.episodes]
        inside = [episode for episode in found if episode.end_ns > from_ns and episode.start_ns < to_ns]
        return [_entry(episode) for episode in sorted(inside, key=lambda episode: episode.start_ns)]


def _read_on(path: Path, file: _File, make_rule: Callable[[], EpisodeRule]) -> None:
    """Reads the lines that were appended since. A file that was replaced is read from its start."""
    try:
        with path.open("rb") as lines:
            size, inode = path.stat().st_size, path.stat().st_ino
            if size < file.read or inode != file.inode:
                file.folded, file.read, file.inode = PredictedEpisodes(make_rule), max(0, size - _MOST_BYTES), inode
            lines.seek(file.read)
            while True:
                line = lines.readline(_MOST_LINE)
                if not line.endswith(b"\n") and len(line) < _MOST_LINE:  # it is still being written
                    return
                file.read += len(line)
                try:
                    file.folded.feed(json.loads(line))
                except (ValueError, RecursionError):
                    continue
    except OSError:  # it is gone, or nobody here may read it
        return


def _wall_ns(time: object) -> Optional[int]:
    try:
        moment = datetime.fromisoformat(str(time))
        return round(moment.timestamp() * 1000) * 10**6 if moment.tzinfo else None
    except (ValueError, OverflowError):
        return None


def _entry(episode: Episode) -> Dict[str, Any]:
    times = episode.start_ns, episode.end_ns
    details = json.dumps({"confidence": round(episode.confidence, 4)})
    return as_json(0, EPISODE, episode.activity, "", *times, *times, details)
