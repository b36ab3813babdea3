"""Keeps the base's classifier for what no session has shown, beside the new one: ``models.mixture``."""

from __future__ import annotations

import copy
from typing import Sequence

import torch
from torch import Tensor

from cosmo_runtime.models.mixture import Mixture, Readings
from cosmo_runtime.models.nearest import NearestExamples
from cosmo_runtime.models.networks import CosmoNetwork
from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.names import NONE
from cosmo_runtime.training.adapt.base import Base
from cosmo_runtime.training.adapt.session import Session
from cosmo_runtime.training.cosmo.stage2 import freeze


def read_as_before(base: Base, spec: ModelSpec) -> ModelSpec:
    """Lets a trained classifier be read like the base's latest one, but expects no activity more than another."""
    assert base.network is not None
    usual, of_sets = spec.temperature, [reading.temperature for reading in spec.readings]
    if isinstance(base.network.latest, NearestExamples):
        return tempered(spec, 1.0)  # comparing says nothing about a trained classifier
    if isinstance(base.network.classifier, Mixture):
        usual, of_sets = base.network.classifier.new_read.temperatures()
    return _with_temperatures(spec, usual, of_sets)


def tempered(spec: ModelSpec, temperature: float) -> ModelSpec:
    """The spec with one temperature for all sets of sensors. Thresholds stay; there is nobody to choose others by."""
    return _with_temperatures(spec, temperature, [temperature] * len(spec.readings))


def _with_temperatures(spec: ModelSpec, usual: float, of_sets: Sequence[float]) -> ModelSpec:
    readings = tuple(
        reading.model_copy(update={"temperature": temperature, "expected": {}})
        for reading, temperature in zip(spec.readings, of_sets)
    )
    return spec.model_copy(update={"novelty": None, "temperature": usual, "readings": readings})


def keep_beside(base: Base, session: Session, spec: ModelSpec, network: CosmoNetwork) -> ModelSpec:
    """Lets the base's classifier go on recognising what no session has shown.

    If the base has a mixture already, its older part stays, for what this session has not shown, either.

    Args:
        base: a bundle.
        session: what its ``spec`` has and its labels lack was not shown.
        spec: says how to read what the network has learned from the session.
        network: is changed.

    Returns:
        The network's spec after that. A mixture reads its parts itself.
    """
    assert base.network is not None
    classes, earlier = base.spec.classes, base.network.classifier
    known = earlier.shown.tolist() if isinstance(earlier, Mixture) else [0.0] * len(classes)
    hidden = {name for name, shown in zip(classes, known) if not shown} - set(session.activities)
    if not hidden & set(spec.classes):
        return spec
    shown = torch.tensor([float(name not in hidden) for name in spec.classes])
    names = _names(classes, spec.classes, shown)
    if isinstance(earlier, Mixture):
        mixture = Mixture(network.classifier, earlier.before, Readings.of(spec), earlier.before_read)
        mixture.names.copy_(earlier.names @ names)
    else:
        mixture = Mixture(network.classifier, earlier, Readings.of(spec), Readings.of(base.spec))
        mixture.names.copy_(names)
    mixture.shown.copy_(shown)
    network.classifier = copy.deepcopy(mixture)
    freeze(network.classifier)
    return tempered(spec, 1.0)


def _names(known: Sequence[str], here: Sequence[str], shown: Tensor) -> Tensor:
    """Which activity each known one is here: (known, here).

    One that is given up counts as `none`. Without a `none`, it is spread over what was shown.
    """
    other = torch.tensor([float(name == NONE) for name in here]) if NONE in here else shown / shown.sum()
    rows = [torch.tensor([float(name == one) for one in here]) if name in here else other for name in known]
    return torch.stack(rows)
