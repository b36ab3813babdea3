"""The common form of all data sets in training: windows of features, stacked by modality."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Iterator, Mapping, Sequence, Union

import numpy as np
import torch
from torch import Tensor

from cosmo_runtime.models.spec import ModelSpec

UNLABELLED = -1


@dataclass(frozen=True)
class Windows:
    """N windows of a model's inputs.

    Attributes:
        features: for each sensor (N, steps, ...), of any float type, as from ``models.features``.
        presence: (N, M) bool: which modalities, in the spec's order, a window has.
        labels: (N,) int64: index into the spec's classes, or -1 for an unlabelled window.
        groups: (N,): the person or session of a window. Windows are held out by group.
        recordings: (N,) str: the recording of a window, unique in its data set (``a1_s7_t2``).
        kinds: kind of each sensor; its name by default.
    """

    features: Mapping[str, np.ndarray]
    presence: np.ndarray
    labels: np.ndarray
    groups: np.ndarray
    recordings: np.ndarray
    kinds: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def stack(
        cls,
        spec: ModelSpec,
        features: Sequence[Mapping[str, np.ndarray]],
        presence: Union[np.ndarray, Sequence[Sequence[bool]]],
        labels: Sequence[int],
        groups: Sequence[object],
        recordings: Sequence[str],
    ) -> Windows:
        """Stacks the features of single windows, each kind in its own precision."""
        stacked: dict[str, np.ndarray] = {}
        for m in spec.modalities:
            stacked[m.sensor] = np.empty((len(features), spec.steps(m), *m.shape), m.kind_row.precision)
            for i, window in enumerate(features):
                stacked[m.sensor][i] = window[m.sensor]
            if not np.isfinite(stacked[m.sensor]).all():
                raise ValueError(
                    f"some windows of {m.sensor} hold numbers that are not finite; mark them absent instead"
                )
        return cls(
            stacked,
            np.asarray(presence, bool),
            np.asarray(labels, np.int64),
            np.asarray(groups),
            np.asarray(recordings, str),
            spec.kinds,
        )

    @classmethod
    def concatenate(cls, parts: Sequence[Windows]) -> Windows:
        """One after another, all of the same spec."""
        features = {sensor: np.concatenate([part.features[sensor] for part in parts]) for sensor in parts[0].features}
        columns = ((part.presence, part.labels, part.groups, part.recordings) for part in parts)
        presence, labels, groups, recordings = map(np.concatenate, zip(*columns))
        return cls(features, presence, labels, groups, recordings, parts[0].kinds)

    def __post_init__(self) -> None:
        columns = (self.presence, self.labels, self.groups, self.recordings, *self.features.values())
        lengths = set(map(len, columns))
        if len(lengths) != 1 or self.presence.shape[1] != len(self.features):
            raise ValueError(f"windows disagree in number or modalities: {lengths}, presence {self.presence.shape}")
        object.__setattr__(self, "kinds", {name: self.kinds.get(name, name) for name in self.features})

    def __len__(self) -> int:
        return len(self.labels)

    def where(self, chosen: np.ndarray) -> Windows:
        """The windows that a mask or indices (N,) choose."""
        features = {sensor: array[chosen] for sensor, array in self.features.items()}
        presence, labels, groups, recordings = (
            column[chosen] for column in (self.presence, self.labels, self.groups, self.recordings)
        )
        return Windows(features, presence, labels, groups, recordings, self.kinds)

    def labelled_only_where(self, chosen: np.ndarray) -> Windows:
        """The same windows, but only those chosen by a mask (N,) keep their labels."""
        return replace(self, labels=np.where(chosen, self.labels, UNLABELLED))

    @property
    def labelled(self) -> Windows:
        """The windows that have a label."""
        return self.where(self.labels != UNLABELLED)

    def tensors(self, chosen: np.ndarray) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """Features float32, presence float32 and labels of the chosen windows."""
        features = {s: torch.from_numpy(np.asarray(a[chosen], np.float32)) for s, a in self.features.items()}
        presence = torch.from_numpy(self.presence[chosen].astype(np.float32))
        return features, presence, torch.from_numpy(self.labels[chosen])

    def batches(self, size: int) -> Iterator[tuple[dict[str, Tensor], Tensor, Tensor]]:
        """All windows in order, as ``tensors`` of at most ``size``."""
        for start in range(0, len(self), size):
            yield self.tensors(np.arange(start, min(start + size, len(self))))

    def shuffled(self, size: int, order: np.random.Generator) -> Iterator[np.ndarray]:
        """Indices of all windows in random order, at most ``size`` at a time.

        Batches of an epoch are of one size, or differ by one: batch statistics of a small last one would mislead. A
        single window, which has none, is left out.
        """
        indices = order.permutation(len(self))
        return (batch for batch in np.array_split(indices, max(1, -(-len(indices) // size))) if len(batch) > 1)

    def shuffled_batches(
        self, size: int, order: np.random.Generator
    ) -> Iterator[tuple[dict[str, Tensor], Tensor, Tensor]]:
        """The batches of ``shuffled``, as ``tensors``."""
        return map(self.tensors, self.shuffled(size, order))


def without_absent(spec: ModelSpec, windows: Windows) -> tuple[ModelSpec, Windows]:
    """A spec and its windows without the modalities that no two windows have: nothing would teach their encoders."""
    there = windows.presence.sum(axis=0) > 1
    modalities = tuple(m for m, is_there in zip(spec.modalities, there.tolist()) if is_there)
    spec = spec.model_copy(
        update={"modalities": modalities, "quality": (1 / max(1, len(modalities)),) * len(modalities)}
    )
    features = {name: windows.features[name] for name in spec.sensors}
    return spec, replace(windows, features=features, presence=windows.presence[:, there])
