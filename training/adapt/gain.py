"""Compares a fine-tuned model with its base on held-out windows, and decides whether it may be put in use."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence

import numpy as np

from cosmo_runtime.models.activity_names import is_fall
from cosmo_runtime.models.networks import CosmoNetwork
from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.names import UNCERTAIN
from cosmo_runtime.training.adapt.base import Base
from cosmo_runtime.training.evaluate import predict, read, scores
from cosmo_runtime.training.windows import Windows

MAY_LOSE = 0.2
"""How much smaller the share of an activity's windows that are recognised may be in an accepted model."""


class Comparison(NamedTuple):
    """Scores of the base and the new model on windows that neither was trained on.

    Attributes:
        before: ``training.evaluate.scores`` of the base; None if the base is encoders only.
        after: the scores of the new model.
        activities: by name, ``windows`` and the share of them that was recognised ``before`` and ``after``.
        confusion: ``activities``, the names, and for ``before`` and ``after`` how many windows of each (rows) were
            recognised as each (columns). The column ``other`` counts activities that only the base knows.
        falls_called: how many windows in which nobody falls are called a fall, ``before`` and ``after``.
    """

    before: Optional[Dict[str, float]]
    after: Dict[str, float]
    activities: Dict[str, Dict[str, Optional[float]]]
    confusion: Mapping[str, Any] = MappingProxyType({})
    falls_called: Mapping[str, int] = MappingProxyType({})

    @property
    def accepted(self) -> bool:
        """Whether the new model is put in use."""
        return not self.regressions

    @property
    def regressions(self) -> List[str]:
        """Where the new model is worse, in words for people."""
        after = self.after["accuracy"]
        if not after:
            return ["recognises none of the last examples"]
        regressions = []
        if self.before and after < self.before["accuracy"]:
            regressions.append(f"recognises less than before: {after:.1%} instead of {self.before['accuracy']:.1%}")
        shares = [share["after"] or 0.0 for share in self.activities.values()]
        if len(shares) > 1 and sum(shares) <= 1 + 1e-9:  # as one who always gives the same answer
            regressions.append(f"recognises no more than guessing among {len(shares)} activities would")
        for name, share in self.activities.items():
            was, is_now = share["before"] or 0.0, share["after"] or 0.0
            if was - is_now > MAY_LOSE + 1e-9:
                points = f"more than {MAY_LOSE * 100:.0f} percentage points less"
                regressions.append(f"recognises {is_now:.1%} of {name!r} instead of {was:.1%}, {points}")
        false, false_before = (self.falls_called.get(when, 0) for when in ("after", "before"))
        if false > false_before:
            regressions.append(
                f"calls a fall in {false} windows of the recording in which nobody fell, instead of {false_before}"
            )
        return regressions


def compare(base: Base, spec: ModelSpec, network: CosmoNetwork, windows: Windows, standing: Windows) -> Comparison:
    """Compares a base with a network of this spec, read with their thresholds: below, an answer is `uncertain`.

    Args:
        base: the base.
        spec: the new model's.
        network: the new model's.
        windows: labelled windows that neither has learned from.
        standing: windows in which nobody falls.
    """
    models = {"after": (network, spec)}
    if base.network is not None:
        models["before"] = (base.network, base.spec)
    classes = spec.classes
    answers = {when: _answers(*model, windows, classes) for when, model in models.items()}
    activities: Dict[str, Dict[str, Optional[float]]] = {}
    for label in np.unique(windows.labels):
        of_activity = windows.labels == label
        recognised = {when: float((said[of_activity] == label).mean()) for when, said in answers.items()}
        activities[classes[label]] = {"windows": int(of_activity.sum()), "before": None, **recognised}
    figures = {when: {"windows": len(windows), **scores(windows.labels, said)} for when, said in answers.items()}
    falls = [is_fall(name) for name in classes]
    called = {
        when: int(np.isin(_answers(*model, standing, classes), np.flatnonzero(falls)).sum())
        for when, model in models.items()
    }
    return Comparison(
        figures.get("before"), figures["after"], activities, _confusion(windows.labels, answers, classes), called
    )


def _answers(network: CosmoNetwork, spec: ModelSpec, windows: Windows, classes: Sequence[str]) -> np.ndarray:
    """What a model says about windows (N,), as positions in ``classes``, `other` and `uncertain`."""
    probabilities, thresholds = read(spec, predict(network, windows), windows.presence)
    here = np.array([classes.index(name) if name in classes else len(classes) for name in spec.classes])
    said: np.ndarray = np.where(probabilities.max(1) >= thresholds, here[probabilities.argmax(1)], len(classes) + 1)
    return said


def _confusion(labels: np.ndarray, answers: Mapping[str, np.ndarray], classes: Sequence[str]) -> Dict[str, Any]:
    """How many windows of each activity were recognised as each, without activities that never occur."""
    names = [*classes, "other", UNCERTAIN]
    counts = {when: np.zeros((len(names), len(names)), int) for when in answers}
    for when, said in answers.items():
        np.add.at(counts[when], (labels, said), 1)
    met = np.flatnonzero(sum(table.sum(0) + table.sum(1) for table in counts.values()))
    return {
        "activities": [names[number] for number in met],
        **{when: table[np.ix_(met, met)].tolist() for when, table in counts.items()},
    }
