"""From a window to a prediction."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Mapping, Optional

import numpy as np

from models.bundle import Bundle
from models.features import features
from runtime.aligner import Window
from runtime.engine import Engine, EngineError

UNCERTAIN = "uncertain"


@dataclass(frozen=True)
class Prediction:
    """What the person does, as far as the model can tell.

    Attributes:
        bundle: name of the bundle that answers.
        window_end_ns: end of the window, host's monotonic clock.
        activity: the most probable class, or ``uncertain`` when its probability is below the threshold.
        confidence: probability of the most probable class.
        probabilities: by class, smoothed.
        weights: fusion weight by sensor; 0 for an absent one, sum 1.
        present: by sensor, whether it had enough data in the window.
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


class Recognizer:
    """Features, engine, smoothing and the threshold of certainty.

    Smoothing is exponential over consecutive windows, p = (1 - s) p_new + s p_before: with a hop of 0.5 s and s = 0.3
    a change of activity is followed with a mean delay of s / (1 - s) = 0.43 hops. It starts anew after a gap; s = 0
    switches it off.

    Args:
        bundle: the model.
        engine: what computes it.
        min_confidence: below it the activity is ``uncertain``.
        smoothing: s, 0 <= s < 1.
    """

    def __init__(self, bundle: Bundle, engine: Engine, min_confidence: float = 0.5, smoothing: float = 0.3) -> None:
        self.name = bundle.path.name
        self.spec = bundle.spec
        self._engine = engine
        self._min_confidence = min_confidence
        self._smoothing = smoothing
        self._before: Optional[np.ndarray] = None
        self._before_end_ns = -1

    def warm_up(self) -> None:
        """Answers nothing once, so that the first window is not slower than others, and a misfit shows before it.

        Raises:
            EngineError: the engine's model is not that of the bundle's spec.
        """
        inputs = features(self.spec, {}, 1.0)
        inputs["presence"] = np.ones(len(self.spec.sensors), np.float32)
        try:
            shapes = [answer.shape for answer in self._engine.infer(inputs)]
        except Exception as error:  # each engine has kinds of its own for inputs that do not fit
            raise EngineError(f"{self.name}: its model does not run: {error}") from error
        if shapes != [(len(self.spec.classes),), (len(self.spec.sensors),)]:
            raise EngineError(f"{self.name}: its model answers in the shapes {shapes}, which are not those of its spec")

    def predict(self, window: Window, depth_scale_m: float, waited_ns: int = 0) -> Prediction:
        """Recognises one window.

        Args:
            window: from the aligner.
            depth_scale_m: metres per step of the depth frames in it.
            waited_ns: how long the window had been complete before this call; part of the latency.
        """
        began_ns = time.monotonic_ns()
        inputs = features(self.spec, window.arrays, depth_scale_m)
        inputs["presence"] = np.array([window.present[name] for name in self.spec.sensors], np.float32)
        engine_began_ns = time.monotonic_ns()
        probabilities, weights = self._engine.infer(inputs)
        ended_ns = time.monotonic_ns()
        probabilities = self._smooth(probabilities, window.end_ns)
        best = int(probabilities.argmax())
        confidence = float(probabilities[best])
        return Prediction(
            bundle=self.name,
            window_end_ns=window.end_ns,
            activity=self.spec.classes[best] if confidence >= self._min_confidence else UNCERTAIN,
            confidence=confidence,
            probabilities=dict(zip(self.spec.classes, probabilities.tolist())),
            weights=dict(zip(self.spec.sensors, weights.tolist())),
            present=window.present,
            engine_ms=(ended_ns - engine_began_ns) * 1e-6,
            latency_ms=(ended_ns - began_ns + waited_ns) * 1e-6,
        )

    def _smooth(self, probabilities: np.ndarray, end_ns: int) -> np.ndarray:
        if self._before is not None and end_ns - self._before_end_ns == self.spec.hop_ns:
            probabilities = (1 - self._smoothing) * probabilities + self._smoothing * self._before
        sound = np.isfinite(probabilities).all()  # else one bad answer would stay in all that follow
        self._before, self._before_end_ns = (probabilities if sound else None), end_ns
        return probabilities
