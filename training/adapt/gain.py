"""Compares a fine-tuned model with its base on held-out windows, and decides whether it may be put in use."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence

import numpy as np

from cosmo_runtime.models.networks import CosmoNetwork
from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.training.adapt.base import Base
from cosmo_runtime.training.evaluate import predict, scores
from cosmo_runtime.training.windows import Windows

MAY_FALL = 0.2
"""How far the share of an activity's windows that are recognised may fall in an accepted model."""


class Comparison(NamedTuple):
    """Scores of the base and the new model on windows that neither was trained on.

    Attributes:
        before: ``training.evaluate.scores`` of the base; None if the base is encoders only.
        after: the scores of the new model.
        activities: by name, ``windows`` and the share of them that was recognised ``before`` and ``after``.
        confusion: ``activities``, the names, and for ``before`` and ``after`` how many windows of each (rows) were
            recognised as each (columns). The column ``other`` counts activities that only the base knows.
    """

    before: Optional[Dict[str, float]]
    after: Dict[str, float]
    activities: Dict[str, Dict[str, Optional[float]]]
    confusion: Mapping[str, Any] = MappingProxyType({})

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
            if was - is_now > MAY_FALL + 1e-9:
                points = f"a fall of more than {MAY_FALL * 100:.0f} percentage points"
                regressions.append(f"recognises {is_now:.1%} of {name!r} instead of {was:.1%}, {points}")
        return regressions


def compare(base: Base, spec: ModelSpec, network: CosmoNetwork, windows: Windows) -> Comparison:
    """Scores a base, and a network of this spec, on labelled windows of the session, as a run would read them."""
    probabilities, classes = {"after": predict(network, windows, spec)}, spec.classes
    if base.network is not None:
        base_probabilities = predict(base.network, windows, base.spec)
        probabilities["before"] = np.zeros(
            (len(windows), len(classes) + 1)
        )  # the last entry is for everything that the new model does not know
        for name, column in zip(base.spec.classes, base_probabilities.T):
            probabilities["before"][:, classes.index(name) if name in classes else -1] += column
    activities: Dict[str, Dict[str, Optional[float]]] = {}
    for label in np.unique(windows.labels):
        of_activity = windows.labels == label
        recognised = {when: float((p[of_activity].argmax(1) == label).mean()) for when, p in probabilities.items()}
        activities[classes[label]] = {"windows": int(of_activity.sum()), "before": None, **recognised}
    figures = {when: {"windows": len(windows), **scores(windows.labels, p)} for when, p in probabilities.items()}
    return Comparison(figures.get("before"), figures["after"], activities, _confusion(windows, probabilities, classes))


def _confusion(windows: Windows, probabilities: Mapping[str, np.ndarray], classes: Sequence[str]) -> Dict[str, Any]:
    """How many windows of each activity were recognised as each, without activities that never occur."""
    counts = {when: np.zeros((len(classes) + 1, len(classes) + 1), int) for when in probabilities}
    for when, p in probabilities.items():
        np.add.at(counts[when], (windows.labels, p.argmax(1)), 1)
    met = np.flatnonzero(sum(table.sum(0) + table.sum(1) for table in counts.values()))
    names = [[*classes, "other"][number] for number in met]
    return {"activities": names, **{when: table[np.ix_(met, met)].tolist() for when, table in counts.items()}}
