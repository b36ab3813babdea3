"""The base of fine-tuning: a bundle, or encoders of stage 1 only."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Mapping, NamedTuple, Optional

from cosmo_runtime.models.bundle import ENCODERS_MANIFEST, load_bundle
from cosmo_runtime.models.networks import CosmoNetwork, Encoders, load_network
from cosmo_runtime.models.spec import UNREAD, ModelSpec
from cosmo_runtime.training.adapt.memory import Memory, load_memory
from cosmo_runtime.training.pretrained import load_pretrained


class FinetuneError(Exception):
    """Nothing can be learned from a base or a session. The message names it and says what to do."""


class Base(NamedTuple):
    """Where training starts.

    Attributes:
        path: the folder of the bundle or the encoders.
        spec: the spec; its classes are the activities that the base knows, none for encoders only.
        encoders: encoders after stage 1 or 2.
        network: the bundle's network, with the same ``encoders``; None for encoders only.
        memory: the bundle's rehearsal memory; None if it was written without one.
        provenance: how the base was made.
    """

    path: Path
    spec: ModelSpec
    encoders: Encoders
    network: Optional[CosmoNetwork]
    memory: Optional[Memory]
    provenance: Mapping[str, Any]


def load_base(path: Path) -> Base:
    """Loads a bundle, or encoders of ``cosmo-runtime pretrain``.

    Raises:
        BundleError, PretrainedError: it is neither, is damaged, or has another version.
    """
    if (path / ENCODERS_MANIFEST).is_file():
        start = load_pretrained(path)
        spec = start.spec.model_copy(update={"classes": (), **UNREAD})
        return Base(path, spec, start.encoders, None, None, start.provenance)
    bundle = load_bundle(path)
    network = load_network(bundle)
    return Base(path, bundle.spec, network.encoders, network, load_memory(bundle), bundle.provenance)
