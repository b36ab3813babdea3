"""Decides whether anybody is there, and whether an IMU is worn, by a rule outside the network.

Motion like a person's is evidence of somebody. Until the first evidence nobody is there, and an IMU is not worn until
its own first evidence. Each piece of evidence counts for ``PATIENCE_S``. A fall is only accepted soon after evidence,
because nobody falls without moving.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, FrozenSet, Iterable, Mapping

import numpy as np

from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.runtime.recognition.evidence import EVIDENCE

PATIENCE_S = 60.0
"""Even people who sit still or sleep move more often than this. Most people move within seconds."""

FALL_S = 10.0
"""How long after the last evidence a fall is still plausible."""

_AGAIN_NS = 500_000_000
"""A sensor that shows somebody is looked at again after this. With an answer at every frame, each look costs as much as
half the network, and evidence counts for far longer."""

_WORN = "imu"  # the kind of sensor that is worn


@dataclass(frozen=True)
class Presence:
    """What is known about who is there.

    Attributes:
        someone: whether there was evidence within ``PATIENCE_S``, or no sensor can tell.
        moving: whether there was evidence within ``FALL_S``, or no sensor can tell.
        unworn: the IMUs that nobody wears.
    """

    someone: bool
    moving: bool
    unworn: FrozenSet[str]


class PresenceWatch:
    """Examines one window after another. A window that does not follow the others in time starts over.

    Args:
        spec: the windows' spec.
    """

    def __init__(self, spec: ModelSpec) -> None:
        rows = {modality.sensor: EVIDENCE.get(modality.kind) for modality in spec.modalities}
        self._telling = {name: motion for name, motion in rows.items() if motion}
        self._wearable = {modality.sensor for modality in spec.modalities if modality.kind == _WORN}
        self._seen_ns: Dict[str, int] = {}  # time of the latest evidence, by sensor
        self._looked_ns: Dict[str, int] = {}  # time of the latest look at it
        self._latest_ns = -1

    def look(self, inputs: Mapping[str, np.ndarray], present: Mapping[str, bool], end_ns: int) -> Presence:
        """Examines one window.

        Args:
            inputs: the network's inputs.
            present: whether each sensor is in the window.
            end_ns: the window's end.
        """
        if end_ns < self._latest_ns:
            self._seen_ns, self._looked_ns = {}, {}
        self._latest_ns = end_ns
        telling = [name for name in self._telling if present[name]]
        for name in telling:
            if self._seen_within(FALL_S, [name]) and end_ns - self._looked_ns[name] < _AGAIN_NS:
                continue
            self._looked_ns[name] = end_ns
            if self._telling[name](inputs[name]) >= 1:
                self._seen_ns[name] = end_ns
        unworn = [name for name in telling if name in self._wearable and not self._seen_within(PATIENCE_S, [name])]
        return Presence(
            not telling or self._seen_within(PATIENCE_S, self._seen_ns),
            not telling or self._seen_within(FALL_S, self._seen_ns),
            frozenset(unworn),
        )

    def take_over(self, before: PresenceWatch) -> None:
        """Takes over what another one has seen, whose windows these follow."""
        self._seen_ns, self._looked_ns = dict(before._seen_ns), dict(before._looked_ns)
        self._latest_ns = before._latest_ns

    def _seen_within(self, seconds: float, names: Iterable[str]) -> bool:
        since_ns = self._latest_ns - round(seconds * 1e9)
        return any(self._seen_ns.get(name, since_ns - 1) >= since_ns for name in names)
