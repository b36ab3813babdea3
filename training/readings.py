"""Chooses how a model of everyday activities is read with each set of its sensors, on people held out of training.

Several models have each learned from some people and are asked about others. What holds for all of them together is
taken for the model that learned from everybody.
"""

from __future__ import annotations

from typing import List, NamedTuple, Sequence, Tuple

import numpy as np

from cosmo_runtime.models.confidence import Reading, tempered
from cosmo_runtime.models.networks import CosmoNetwork
from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.training.benchmark.everyday import FALL, NONE, SUBSETS, Answers, falls_among, says_fall
from cosmo_runtime.training.calibration import calibrate
from cosmo_runtime.training.windows import Windows

FALSE_FALLS_PER_HOUR = 0.5
_MISSED = 2.0
_SHIFTS = np.arange(-6.0, 3.01, 0.25)


class HeldOut(NamedTuple):
    """A network, and people that it did not learn from: real ones, and simulated ones, some of whom fall."""

    network: CosmoNetwork
    real: Windows
    simulated: Windows


def choose_readings(spec: ModelSpec, held_out: Sequence[HeldOut], risk: float) -> Tuple[Reading, ...]:
    """A reading for each set of sensors.

    ``none`` is expected so that most is right where a missed activity counts as much as two that are wrongly named, in
    shares of the windows with and without a name. Temperature and threshold follow, for the accepted risk. A fall is
    then expected as far as simulated people allow: at most one false one in two hours.

    Args:
        spec: of the networks.
        held_out: the networks and people.
        risk: the accepted share of wrong answers among the answered windows of real people.
    """
    asked = [
        (Answers(one.network, one.real.labelled), Answers(one.network, one.simulated), one.simulated)
        for one in held_out
    ]
    labels = [one.real.labelled.labels for one in held_out]
    readings: List[Reading] = []
    for subset in SUBSETS.values():
        answered = [real(subset) for real, _, _ in asked]
        probabilities = np.concatenate([shares[there] for shares, there in answered])
        truth = np.concatenate([known[there] for known, (_, there) in zip(labels, answered)])
        expected = {spec.classes[NONE]: _expected_none(probabilities, truth)}
        sensors = tuple(name for name, used in zip(spec.sensors, subset) if used)
        shifted = Reading(sensors=sensors, expected=expected).of(probabilities, spec.classes)
        found = calibrate(np.log(shifted.clip(1e-12)), truth, risk)
        reading = Reading(
            sensors=sensors, expected=expected, temperature=found.temperature, min_confidence=found.min_confidence
        )
        falls = [(made_up(subset)[0], people) for _, made_up, people in asked]
        readings.append(_with_falls(reading, spec, falls))
    return tuple(readings)


def _expected_none(probabilities: np.ndarray, labels: np.ndarray) -> float:
    named = labels != NONE

    def worth(shift: float) -> float:
        added = np.zeros(probabilities.shape[1])
        added[NONE] = shift
        said = tempered(probabilities, 1.0, added).argmax(1)
        return float(_MISSED * (said == labels)[named].mean() - (said != NONE)[~named].mean())

    return float(max(_SHIFTS, key=worth))


def _with_falls(reading: Reading, spec: ModelSpec, people: Sequence[Tuple[np.ndarray, Windows]]) -> Reading:
    """The reading that expects falls most, of those that call few enough falsely."""
    hours = sum(len(windows) for _, windows in people) * spec.hop_s / 3600
    for shift in _SHIFTS[::-1]:
        expected = {**reading.expected, spec.classes[FALL]: float(shift)}
        tried = reading.model_copy(update={"expected": expected})
        by = spec.model_copy(update={"readings": (tried,)})
        subset = [name in reading.sensors for name in spec.sensors]
        false = sum(falls_among(windows, says_fall(by, subset, shares)).false for shares, windows in people)
        if false <= FALSE_FALLS_PER_HOUR * hours:
            break
    return tried
