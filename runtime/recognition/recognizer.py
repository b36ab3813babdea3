"""Turns a window into a prediction."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import FrozenSet, Mapping, Optional, Tuple

import numpy as np

from cosmo_runtime.models.activity_names import is_fall
from cosmo_runtime.models.bundle import Bundle
from cosmo_runtime.models.confidence import MIN_CONFIDENCE
from cosmo_runtime.models.features import features
from cosmo_runtime.names import NOBODY, UNCERTAIN
from cosmo_runtime.runtime.engines.answers import BadAnswer, answer_of
from cosmo_runtime.runtime.engines.onnxruntime import Engine, EngineError
from cosmo_runtime.runtime.recognition.presence import FALL_S, PATIENCE_S, Presence, PresenceWatch
from cosmo_runtime.runtime.windows.aligner import Window

MOST_REFUSED, REFUSED_S = 10, 4.5
"""The run ends after this many invalid answers in a row, over at least these seconds, because the model is broken."""

_SMOOTHED_NS = 500_000_000
"""Smoothing is given as the weight of what was half a second ago, so that it is the same at every hop."""


@dataclass(frozen=True)
class Prediction:
    """The model's answer for one window.

    Attributes:
        bundle: name of the bundle that answered.
        window_end_ns: end of the window, on the host's monotonic clock.
        activity: the most probable class; or ``nobody`` if no sensor shows anybody; or ``uncertain`` if its probability
            is below the threshold, the window resembles nothing known, or it is a fall and nothing moves.
        confidence: probability of the most probable class.
        probabilities: probability of each class, as the bundle reads it with these sensors, smoothed.
        weights: fusion weight of each sensor; 0 for an absent one. They sum to 1.
        present: whether each sensor had enough data in the window.
        asleep: the sensors that had data and were not asked, because the others were sure (``runtime.selection``).
        unworn: the IMUs that lie stiller than any wrist. The fusion ignores them while other sensors are present.
        novelty: how far the window is from everything that the model has learned. Above 1, it resembles nothing known.
            None if the bundle cannot tell.
        reason: why the activity is not the most probable class, apart from a low probability; usually empty.
        min_confidence: the threshold for this window's sensors.
        engine_ms: time in the engine alone.
        latency_ms: from the arrival of the last sample that the window waited for to this prediction.
    """

    bundle: str
    window_end_ns: int
    activity: str
    confidence: float
    probabilities: Mapping[str, float]
    weights: Mapping[str, float]
    present: Mapping[str, bool]
    engine_ms: float
    latency_ms: float
    unworn: FrozenSet[str] = frozenset()
    asleep: FrozenSet[str] = frozenset()
    novelty: Optional[float] = None
    reason: str = ""
    min_confidence: float = MIN_CONFIDENCE


class Recognizer:
    """Features, engine, the check of its answer, the bundle's reading of it, smoothing and the threshold of certainty.

    Smoothing is exponential, p = (1 - w) p_new + w p_before, where w is s for windows that end half a second apart, and
    s^(t / 0.5 s) for a time t. With a hop of 0.5 s and s = 0.3, a change of activity is followed with a mean delay of
    0.43 hops, which is 0.21 s. It restarts after a gap; s = 0 switches it off.

    Args:
        bundle: the model.
        engine: runs the model.
        min_confidence: below this, the activity is ``uncertain``. None stands for the bundle's own threshold for a
            window's sensors.
        smoothing: s, the weight of what was half a second ago, 0 <= s < 1.
    """

    def __init__(
        self, bundle: Bundle, engine: Engine, min_confidence: Optional[float] = None, smoothing: float = 0.3
    ) -> None:
        self.name = bundle.path.name
        self.spec = bundle.spec
        self._engine = engine
        self._min_confidence = min_confidence
        self._smoothing = smoothing
        self._before: Optional[np.ndarray] = None
        self._before_end_ns = -1
        self._refused_in_a_row = 0
        self._refused_since_ns = 0
        self._presence = PresenceWatch(bundle.spec)

    def take_over(self, before: Recognizer) -> None:
        """Takes over from another recognizer, whose windows these follow, and from its presence rule."""
        self._presence.take_over(before._presence)

    def predict(
        self, window: Window, waited_ns: int = 0, asleep: FrozenSet[str] = frozenset(), doubt: float = 0.0
    ) -> Prediction:
        """Recognises one window.

        Args:
            window: from the aligner.
            waited_ns: how long the window had been complete before this call. It is part of the latency.
            asleep: sensors that are not asked, though they have data.
            doubt: if the others are less sure than this, all are asked.

        Raises:
            BadAnswer: the answer is invalid. The window counts as refused, and the next window may be predicted.
            EngineError: the engine failed, or gave only invalid answers for too long.
        """
        since_ns = time.monotonic_ns() - waited_ns
        inputs = features(self.spec, window.arrays)
        return self.answer(inputs, window.present, window.end_ns, since_ns, asleep, doubt)

    def answer(
        self,
        inputs: Mapping[str, np.ndarray],
        present: Mapping[str, bool],
        end_ns: int,
        since_ns: int,
        asleep: FrozenSet[str] = frozenset(),
        doubt: float = 0.0,
    ) -> Prediction:
        """Recognises one window from the network's inputs, such as training stores. Otherwise like ``predict``.

        Args:
            inputs: features by sensor.
            present: whether each sensor is in the window.
            end_ns: the window's end.
            since_ns: when its latency began, on the host's monotonic clock.
            asleep: sensors that are not asked, though they are present.
            doubt: if the others are less sure than this, before smoothing, all are asked.
        """
        awake = {name: there and name not in asleep for name, there in present.items()}
        presence = self._presence.look(inputs, awake, end_ns)
        fused = self._fused(awake, presence)
        inputs = {**inputs, "presence": fused}
        reading = self.spec.reading(fused)
        engine_began_ns = time.monotonic_ns()
        probabilities, weights = self._asked(inputs, end_ns)
        ended_ns = time.monotonic_ns()
        novelty = self.spec.novelty.of(probabilities) if self.spec.novelty else None
        probabilities = reading.of(probabilities, self.spec.classes)
        if asleep and presence.someone and probabilities.max() < doubt:
            return self.answer(inputs, present, end_ns, since_ns)
        probabilities = self._smooth(probabilities, end_ns)
        best = int(probabilities.argmax())
        min_confidence = reading.threshold if self._min_confidence is None else self._min_confidence
        sure = float(probabilities[best]) >= min_confidence
        activity, reason = self._judge(self.spec.classes[best], sure, presence, novelty)
        if activity == NOBODY:
            self._before = None  # the answers about an empty room must not influence those about who enters it
        return Prediction(
            bundle=self.name,
            window_end_ns=end_ns,
            activity=activity,
            confidence=float(probabilities[best]),
            probabilities=dict(zip(self.spec.classes, probabilities.tolist())),
            weights=dict(zip(self.spec.sensors, weights.tolist())),
            present=present,
            engine_ms=(ended_ns - engine_began_ns) * 1e-6,
            latency_ms=(ended_ns - since_ns) * 1e-6,
            unworn=presence.unworn,
            asleep=asleep,
            novelty=novelty,
            reason=reason,
            min_confidence=min_confidence,
        )

    def _fused(self, present: Mapping[str, bool], presence: Presence) -> np.ndarray:
        """The sensors that the model uses: the present ones that are worn, or all present ones if none is left."""
        worn = [present[name] and name not in presence.unworn for name in self.spec.sensors]
        return np.array(worn if any(worn) else [present[name] for name in self.spec.sensors], np.float32)

    def _judge(self, likely: str, sure: bool, presence: Presence, novelty: Optional[float]) -> Tuple[str, str]:
        """The answer, given the most probable class, and the reason if the presence rule overrules it."""
        if not presence.someone:
            return NOBODY, f"no sensor has shown anybody for {PATIENCE_S:g} s"
        if not sure:
            return UNCERTAIN, ""
        if novelty is not None and novelty > 1:
            return UNCERTAIN, "it is like nothing that the model has learned"
        if is_fall(likely) and not presence.moving:
            return UNCERTAIN, f"nothing has moved for {FALL_S:g} s, and nobody falls without moving"
        return likely, ""

    def _asked(self, inputs: Mapping[str, np.ndarray], end_ns: int) -> Tuple[np.ndarray, np.ndarray]:
        try:
            answer = answer_of(self._engine, self.spec, inputs)
        except BadAnswer as error:
            if not self._refused_in_a_row:
                self._refused_since_ns = end_ns
            self._refused_in_a_row += 1
            if self._refused_in_a_row >= MOST_REFUSED and end_ns - self._refused_since_ns >= REFUSED_S * 1e9:
                raise EngineError(
                    f"{self.name}: {self._refused_in_a_row} windows in a row had no answer, the last one because the "
                    f"model {error}; put another model in use: cosmo-runtime bundle rollback"
                ) from error
            raise BadAnswer(f"{self.name}: the model {error}") from error
        self._refused_in_a_row = 0
        return answer

    def _smooth(self, probabilities: np.ndarray, end_ns: int) -> np.ndarray:
        since_ns = end_ns - self._before_end_ns
        if self._before is not None and 0 < since_ns <= max(self.spec.hop_ns, _SMOOTHED_NS):
            weight = self._smoothing ** (since_ns / _SMOOTHED_NS)
            probabilities = (1 - weight) * probabilities + weight * self._before
        self._before, self._before_end_ns = probabilities, end_ns
        return probabilities
