"""A bundle's rehearsal memory: embeddings of a few training windows of each activity.

A classifier that learns new activities forgets the old ones unless it sees examples of them. The encoders are frozen
while a bundle is fine-tuned, so embeddings can replace the windows. An activity takes about 15 kB.
"""

from __future__ import annotations

from typing import NamedTuple, Optional, Sequence

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor

from cosmo_runtime.models.bundle import Bundle, BundleError
from cosmo_runtime.models.networks import EMBEDDING, Encoders
from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.models.tensors import TensorsError, read_tensors
from cosmo_runtime.training.cosmo.stage2 import embed
from cosmo_runtime.training.windows import UNLABELLED, Windows

EXAMPLES = 40
"""The number of windows in the memory for each activity."""


class Memory(NamedTuple):
    """Embeddings of K windows.

    Attributes:
        z: (K, M, D) embeddings of each modality.
        presence: (K, M), 1 where a window had the modality.
        labels: (K,) index into the bundle's classes.
    """

    z: Tensor
    presence: Tensor
    labels: Tensor

    def where(self, chosen: Tensor) -> Memory:
        """Selects windows by a mask (K,)."""
        return Memory(*(column[chosen] for column in self))

    def relabelled(self, names: Sequence[str], classes: Sequence[str]) -> Memory:
        """Selects the windows whose activities, in ``names``, are among ``classes``. Labels become indices of these."""
        index = torch.tensor([classes.index(name) if name in classes else UNLABELLED for name in names])
        labels = index[self.labels]
        return self._replace(labels=labels).where(labels != UNLABELLED)

    def concatenate(self, other: Memory) -> Memory:
        """Returns the windows of both."""
        return Memory(*(torch.cat(columns) for columns in zip(self, other)))

    def as_bytes(self) -> bytes:
        """Returns the content of the file, with embeddings in half precision."""
        return save({"z": self.z.half(), "presence": self.presence.half(), "labels": self.labels})


def build_memory(encoders: Encoders, windows: Windows, seed: int) -> Memory:
    """Draws up to ``EXAMPLES`` labelled windows of each activity and embeds them."""
    order = np.random.default_rng(seed).permutation(len(windows))
    labels = windows.labels[order]
    drawn = [order[labels == label][:EXAMPLES] for label in np.unique(labels[labels != UNLABELLED])]
    return Memory(*embed(encoders, windows.where(np.concatenate(drawn))))


def load_memory(bundle: Bundle) -> Optional[Memory]:
    """Loads the memory of a bundle; None if it was written without one.

    Raises:
        BundleError: the file is damaged, or does not match the bundle's activities or modalities.
    """
    if bundle.memory is None:
        return None
    try:
        tensors = read_tensors(bundle.memory.read_bytes())
        memory = Memory(tensors["z"].float(), tensors["presence"].float(), tensors["labels"])
    except (KeyError, TensorsError) as error:
        raise BundleError(f"{bundle.memory} is damaged ({error}); copy the bundle again, or train it again") from error
    if not _fits(memory, bundle.spec):
        raise BundleError(f"{bundle.memory} does not fit the bundle's spec; train the bundle again")
    return memory


def _fits(memory: Memory, spec: ModelSpec) -> bool:
    count, modalities = len(memory.labels), len(spec.modalities)
    shapes = (memory.z.shape, memory.presence.shape, memory.labels.shape)
    if shapes != ((count, modalities, EMBEDDING), (count, modalities), (count,)):
        return False
    integers = not memory.labels.is_floating_point()
    return integers and bool(((memory.labels >= 0) & (memory.labels < len(spec.classes))).all())
