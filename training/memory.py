"""What a bundle remembers of the windows it learned from: a few embeddings of each activity.

A classifier that learns new activities forgets the old ones unless it sees examples of them. The encoders stay as they
are while a bundle is personalised, so embeddings serve as well as the windows they come from, of which nothing else is
kept: some 15 kB an activity.
"""

from __future__ import annotations

from typing import NamedTuple, Optional, Sequence

import numpy as np
import torch
from safetensors.torch import load, save
from torch import Tensor

from models.bundle import Bundle
from models.networks import Encoders
from training.finetune import embed
from training.windows import UNLABELLED, Windows

EXAMPLES = 40
"""Windows remembered of each activity."""


class Memory(NamedTuple):
    """K remembered windows.

    Attributes:
        z: (K, M, D) embeddings of each modality.
        presence: (K, M), 1 where a window had the modality.
        labels: (K,) index into the bundle's classes.
    """

    z: Tensor
    presence: Tensor
    labels: Tensor

    def where(self, chosen: Tensor) -> Memory:
        """The windows that a mask (K,) chooses."""
        return Memory(*(column[chosen] for column in self))

    def relabelled(self, names: Sequence[str], classes: Sequence[str]) -> Memory:
        """Those windows whose activities, of ``names``, are among ``classes``, now as indices of these."""
        index = torch.tensor([classes.index(name) if name in classes else UNLABELLED for name in names])
        labels = index[self.labels]
        return self._replace(labels=labels).where(labels != UNLABELLED)

    def and_also(self, other: Memory) -> Memory:
        """Both."""
        return Memory(*(torch.cat(columns) for columns in zip(self, other)))

    def as_bytes(self) -> bytes:
        """The file's content; embeddings in half precision."""
        return save({"z": self.z.half(), "presence": self.presence.half(), "labels": self.labels})


def remember(encoders: Encoders, windows: Windows, seed: int) -> Memory:
    """Draw ``EXAMPLES`` labelled windows of each activity and keep their embeddings."""
    order = np.random.default_rng(seed).permutation(len(windows))
    labels = windows.labels[order]
    drawn = [order[labels == label][:EXAMPLES] for label in np.unique(labels[labels != UNLABELLED])]
    return Memory(*embed(encoders, windows.where(np.concatenate(drawn))))


def recall(bundle: Bundle) -> Optional[Memory]:
    """What a bundle remembers; None where it was written without."""
    if bundle.memory is None:
        return None
    kept = load(bundle.memory.read_bytes())
    return Memory(kept["z"].float(), kept["presence"].float(), kept["labels"])
