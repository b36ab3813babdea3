"""How to read a network's probabilities, so that they match how often the model is right."""

from __future__ import annotations

from typing import Dict, Optional, Sequence, Tuple, Union

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator

from cosmo_runtime.models.activity_names import activity_name

COLDEST, HOTTEST = 0.01, 100.0
"""Bounds of a temperature."""

MOST_EXPECTED = 20.0
"""Bound of what is added to a logit. It makes an answer half a billion times likelier."""

MIN_CONFIDENCE = 0.5
"""The threshold of a bundle without one."""

LEAST = 1e-8
"""The smallest probability that is believed. Half precision turns smaller ones into 0."""


class Reading(BaseModel):
    """How to read the probabilities of windows in which exactly these sensors take part.

    A model that misses a sensor is less often right than it believes, and falls back on other activities. So each set
    of sensors can have its own reading, chosen on people held out of training.

    Attributes:
        sensors: names of the sensors.
        expected: what is added to an activity's logit, by name; negative for one that is answered too often.
        temperature: the logits are then divided by it.
        min_confidence: below this, the activity is ``uncertain``. None stands for ``MIN_CONFIDENCE``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    sensors: Tuple[str, ...]
    expected: Dict[str, float] = {}
    temperature: float = Field(1.0, ge=COLDEST, le=HOTTEST)
    min_confidence: Optional[float] = Field(None, ge=0, le=1)

    @field_validator("expected")
    @classmethod
    def _expected_within_bounds(cls, expected: Dict[str, float]) -> Dict[str, float]:
        if any(abs(added) > MOST_EXPECTED for added in expected.values()):
            raise ValueError(f"expected may add at most {MOST_EXPECTED:g} to a logit, not {expected}")
        return {activity_name(name): added for name, added in expected.items()}

    @property
    def threshold(self) -> float:
        """Below this probability, the activity is ``uncertain``."""
        return MIN_CONFIDENCE if self.min_confidence is None else self.min_confidence

    def of(self, probabilities: np.ndarray, classes: Sequence[str]) -> np.ndarray:
        """Reads probabilities (..., classes) of activities with these names."""
        added = np.array([self.expected.get(name, 0.0) for name in classes]) if self.expected else 0.0
        return tempered(probabilities, self.temperature, added)


def tempered(probabilities: np.ndarray, temperature: float, added: Union[float, np.ndarray] = 0.0) -> np.ndarray:
    """Softens (T above 1) or sharpens (below 1) probabilities, as if the network's logits were divided by T.

    Guo et al., "On Calibration of Modern Neural Networks", ICML 2017. The logarithms of
    probabilities serve as well as the logits, because softmax only loses a constant that all logits share.

    Args:
        probabilities: (..., classes), each with sum 1.
        temperature: T; 1 changes nothing.
        added: (classes,), what is added to the logits before they are divided.
    """
    if temperature == 1 and not np.any(added):
        return probabilities
    logits = (np.log(np.maximum(probabilities, LEAST)) + added) / temperature
    shares = np.exp(logits - logits.max(axis=-1, keepdims=True))
    answer: np.ndarray = shares / shares.sum(axis=-1, keepdims=True)
    return answer.astype(probabilities.dtype)
