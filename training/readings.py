"""Chooses how a model of everyday activities is read with each set of its sensors, on people held out of training.

Several models have each learned from some people and are asked about others. What holds for all of them together is
taken for the model that learned from everybody.
"""

from __future__ import annotations

from typing import List, NamedTuple, Sequence, Tuple

import numpy as np

from cosmo_runtime.models.confidence import Reading
from cosmo_runtime.models.networks import CosmoNetwork
from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.training.benchmark.everyday import FALL_LABEL, NONE_LABEL, SUBSETS, Answers, falls_among, says_fall
from cosmo_runtime.training.calibration import calibrate
from cosmo_runtime.training.windows import Windows

FALSE_FALLS_PER_HOUR = 0.5
_MISSED = 2.0
_STEP = 0.25  # between the shifts of a logit that are tried


class ReadingsError(Exception):
    """No reading meets what is asked of it. The message says which."""


class HeldOut(NamedTuple):
    """A network, and people that it did not learn from: real ones, and simulated ones, some of whom fall."""

    network: CosmoNetwork
    real: Windows
    simulated: Windows


def choose_readings(spec: ModelSpec, held_out: Sequence[HeldOut], risk: float) -> Tuple[Reading, ...]:
    """A reading for each set of sensors, chosen on windows of exactly these.

    ``none`` is expected so that most is right where a missed activity counts as much as two that are wrongly named, in
    shares of the windows with and without a name. Temperature and threshold follow, for the accepted risk. A fall is
    expected less, until simulated people cause at most one false fall in two hours.

    Args:
        spec: of the networks.
        held_out: the networks and people.
        risk: the accepted share of wrong answers among the answered windows of real people.

    Raises:
        ReadingsError: falls are called too often whatever is expected.
    """
    asked = [
        (Answers(one.network, one.real.labelled), one.real.labelled.labels, Answers(one.network, one.simulated))
        for one in held_out
    ]
    people = [one.simulated for one in held_out]
    readings: List[Reading] = []
    for subset in SUBSETS.values():
        found = [(real(subset), labels) for real, labels, _ in asked]
        exact = [(presence == subset).all(axis=1) for (_, presence), _ in found]
        probabilities = np.concatenate([shares[whole] for ((shares, _), _), whole in zip(found, exact)])
        truth = np.concatenate([labels[whole] for (_, labels), whole in zip(found, exact)])
        sensors = tuple(name for name, used in zip(spec.sensors, subset) if used)
        reading = _for_activities(Reading(sensors=sensors), spec, probabilities, truth, risk)
        readings.append(_for_falls(reading, spec, [made_up(subset) for *_, made_up in asked], people))
    return tuple(readings)


def _for_activities(
    reading: Reading, spec: ModelSpec, probabilities: np.ndarray, labels: np.ndarray, risk: float
) -> Reading:
    """The reading with what it expects of ``none``, and with the temperature and the threshold that then fit."""
    named = labels != NONE_LABEL

    def expecting(shift: float) -> Reading:
        return reading.model_copy(update={"expected": {spec.classes[NONE_LABEL]: float(shift)}})

    def worth(shift: float) -> float:
        said = expecting(shift).of(probabilities, spec.classes).argmax(axis=1)
        return float(_MISSED * (said == labels)[named].mean() - (said != NONE_LABEL)[~named].mean())

    best = expecting(max(np.arange(-3.0, 3.01, _STEP), key=worth))
    fitting = calibrate(np.log(best.of(probabilities, spec.classes).clip(1e-12)), labels, risk)
    return best.model_copy(update={"temperature": fitting.temperature, "min_confidence": fitting.min_confidence})


def _for_falls(
    reading: Reading, spec: ModelSpec, answers: Sequence[Tuple[np.ndarray, np.ndarray]], people: Sequence[Windows]
) -> Reading:
    """The reading that expects falls as little as it must, so that few enough are false."""
    hours = sum(len(windows) for windows in people) * spec.hop_s / 3600
    for shift in np.arange(0.0, -6.01, -_STEP):
        expected = {**reading.expected, spec.classes[FALL_LABEL]: float(shift)}
        tried = reading.model_copy(update={"expected": expected})
        by = spec.model_copy(update={"readings": (tried,)})
        false = sum(falls_among(windows, says_fall(by, *answer)).false for windows, answer in zip(people, answers))
        if false <= FALSE_FALLS_PER_HOUR * hours:
            return tried
    raise ReadingsError(
        f"{', '.join(reading.sensors)}: {false} false falls in {hours:.1f} h, however seldom one is expected"
    )
