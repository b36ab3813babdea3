"""Decides window by window which sensors sleep. The encoder of a sleeping sensor does not run.

1. An answer is *sure* if it has enough confidence, or if nobody is there. After some seconds of sure answers of the
   same activity the cameras sleep, and after more the radars, too. An answer that is not sure wakes all of them for the
   next window. Where the others are in doubt without them, they are asked about the same window.
2. The others watch meanwhile. An IMU never sleeps. A camera sleeps only while a worn IMU or a radar has data, a radar
   only while a worn IMU has.
3. A fall is told at most one window later than with all sensors awake: where it begins, the others are in doubt. When
   the IMU's motion jumps, the radars are awake for this very window; in a rig without one, the cameras. As soon as a
   watched activity (a fall, or one of an alarm) is at all likely, everything is awake.
4. A sensor that sleeps is awake for one window in a while, whatever the others say.

The policy sees windows and answers only, so a replay decides as the run did.
"""

from __future__ import annotations

from typing import Collection, Dict, FrozenSet, Mapping

from cosmo_runtime.models.activity_names import FALL, as_known
from cosmo_runtime.names import NOBODY, UNCERTAIN
from cosmo_runtime.runtime.recognition.recognizer import Prediction
from cosmo_runtime.runtime.selection.jump import jumps
from cosmo_runtime.runtime.selection.settings import SelectionConfig
from cosmo_runtime.runtime.windows.aligner import Window

LIKELY = 0.05
"""Probability from which a watched activity keeps all sensors awake."""

_GAP_NS = 1_500_000_000  # windows that are farther apart do not follow each other


class Selection:
    """Lets cameras and radars sleep. Call ``asleep`` before each window is answered, and ``learn`` after it.

    Args:
        kinds: the kind of each sensor, by name.
        settings: when they sleep.
        watched: activities that are never to be missed, besides falls.

    Attributes:
        doubt: if the answer without the sensors that sleep is less sure than this, they are asked, too.
    """

    def __init__(self, kinds: Mapping[str, str], settings: SelectionConfig, watched: Collection[str] = ()) -> None:
        self.doubt = settings.doubt
        self._of_kind = {kind: [name for name, own in kinds.items() if own == kind] for kind in set(kinds.values())}
        self._settings = settings
        self._watched = [FALL, *watched]
        self._awake_ns: Dict[str, int] = {}  # when each sensor was awake last
        self._unworn: FrozenSet[str] = frozenset()
        self._activity = ""
        self._sure_since_ns = self._latest_ns = -1

    def asleep(self, window: Window) -> FrozenSet[str]:
        """The sensors that sleep in a window. They have data in it, but need not be asked."""
        if self._latest_ns < 0 or not 0 < window.end_ns - self._latest_ns <= _GAP_NS:
            self._sure_since_ns, self._awake_ns = -1, {}
        present = {kind: [name for name in names if window.present.get(name)] for kind, names in self._of_kind.items()}
        cameras, radars = present.get("depth", []), present.get("radar", [])
        worn = [name for name in present.get("imu", []) if name not in self._unworn]
        sure_s = (window.end_ns - self._sure_since_ns) / 1e9 if self._sure_since_ns >= 0 else 0.0
        jumped = any(jumps(window.arrays[name]) for name in worn)  # type: ignore[arg-type]
        asleep = set()
        if sure_s >= self._settings.depth_after_s and (radars or (worn and not jumped)):
            asleep.update(cameras)
        if sure_s >= self._settings.radar_after_s and worn and not jumped:
            asleep.update(radars)
        return frozenset(name for name in asleep if not self._is_due(name, window.end_ns))

    def learn(self, prediction: Prediction) -> None:
        """Takes the answer for the window."""
        sure = prediction.activity == NOBODY or (
            prediction.activity != UNCERTAIN
            and prediction.confidence >= self._settings.sure
            and not self._may_be_watched(prediction)
        )
        if not sure:
            self._sure_since_ns = -1
        elif self._sure_since_ns < 0 or prediction.activity != self._activity:
            self._sure_since_ns = prediction.window_end_ns
        self._activity = prediction.activity
        self._unworn = prediction.unworn
        awake = [name for name, there in prediction.present.items() if there and name not in prediction.asleep]
        self._awake_ns.update(dict.fromkeys(awake, prediction.window_end_ns))
        self._latest_ns = prediction.window_end_ns

    def _is_due(self, name: str, now_ns: int) -> bool:
        since_ns = self._awake_ns.get(name, -1)
        return since_ns < 0 or now_ns - since_ns >= self._settings.awake_every_s * 1e9

    def _may_be_watched(self, prediction: Prediction) -> bool:
        return any(
            share >= LIKELY and as_known(name, self._watched) in self._watched
            for name, share in prediction.probabilities.items()
        )
