"""Checks a model's answers, and tries a model with every combination of its sensors.

An invalid answer is never shown, because somebody in a clinic might take it for a measurement.
"""

from __future__ import annotations

import itertools
import math
from typing import Iterator, List, Mapping, Tuple

import numpy as np

from cosmo_runtime.models.bundle import Bundle
from cosmo_runtime.models.features import features, random_inputs
from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.runtime.engines.onnxruntime import Engine, EngineError

_TOLERANCE = 1e-2  # tolerance of a sum; half precision gives each share to three digits


class BadAnswer(EngineError):
    """A model's answer is invalid. The message says what the model does."""


def answer_of(engine: Engine, spec: ModelSpec, inputs: Mapping[str, np.ndarray]) -> Tuple[np.ndarray, np.ndarray]:
    """Lets an engine recognise a window, and checks the answer.

    Returns:
        Probabilities (classes,) and fusion weights (modalities,).

    Raises:
        BadAnswer: their shapes differ from the spec, they are not finite, negative, or do not sum to 1; or an absent
            sensor has a weight.
    """
    probabilities, weights = engine.infer(inputs)
    shapes = [probabilities.shape, weights.shape]
    if shapes != [(len(spec.classes),), (len(spec.sensors),)]:
        raise BadAnswer(f"answers in the shapes {shapes}, which are not those of its spec")
    for name, shares in ("probabilities", probabilities), ("fusion weights", weights):
        values = shares.tolist()  # for a few numbers, Python is many times as fast as numpy
        if not all(map(math.isfinite, values)):
            raise BadAnswer(f"answers {name} that are not finite")
        if min(values) < 0 or abs(sum(values) - 1) > _TOLERANCE:
            raise BadAnswer(f"answers {name} that are negative or do not sum to 1: {shares.round(3).tolist()}")
    if any(not there and weight > _TOLERANCE for there, weight in zip(inputs["presence"].tolist(), weights.tolist())):
        raise BadAnswer(f"gives weight to a sensor that is absent: {weights.round(3).tolist()}")
    return probabilities, weights


def check_engine(engine: Engine, bundle: Bundle) -> None:
    """Runs an engine twice on every combination of sensors, so that a failure shows before the run.

    This also makes the first window of the run as fast as the others.

    Raises:
        EngineError: it does not run the bundle's model, or an answer is invalid.
    """
    for present, inputs in _windows(bundle.spec):
        among = f"with {', '.join(present)} present"
        try:
            answer_of(engine, bundle.spec, inputs)
        except BadAnswer as error:
            raise BadAnswer(f"{bundle.path}: its model, {among}, {error}") from error
        except Exception as error:  # each engine raises its own types for inputs that do not fit
            raise EngineError(f"{bundle.path}: its model does not run {among}: {error}") from error


def _windows(spec: ModelSpec) -> Iterator[Tuple[List[str], Mapping[str, np.ndarray]]]:
    """Yields two windows for every combination of sensors, one empty and one of noise."""
    nothing = features(spec, {})
    noise = {name: array[0] for name, array in random_inputs(spec, np.random.default_rng(0)).items()}
    for count in range(len(spec.sensors), 0, -1):
        for present in itertools.combinations(spec.sensors, count):
            presence = np.array([name in present for name in spec.sensors], np.float32)
            yield list(present), {**nothing, "presence": presence}
            yield list(present), {**nothing, **{name: noise[name] for name in present}, "presence": presence}
