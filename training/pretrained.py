"""The result of stage 1: one folder, written whole or not at all, from which stage 2 starts.

encoders.safetensors   weights, batch statistics and normalisation
pretraining.json       spec, provenance, the mean loss of each epoch, the sha256 of the weights, and its own
README.md              the model card
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Mapping, NamedTuple, Optional, Sequence

from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors.torch import save

from cosmo_runtime.models import card
from cosmo_runtime.models.bundle import ENCODERS_MANIFEST as MANIFEST
from cosmo_runtime.models.bundle import explain
from cosmo_runtime.models.files import sha256_of
from cosmo_runtime.models.folders import write_folder
from cosmo_runtime.models.networks import Encoders
from cosmo_runtime.models.sealed import SealError, seal, unseal
from cosmo_runtime.models.spec import UNREAD, ModelSpec
from cosmo_runtime.models.tensors import TensorsError, read_tensors

WEIGHTS = "encoders.safetensors"


class PretrainedError(Exception):
    """A folder is missing, damaged, of another version, or in the way. The message names it and what to do."""


class Pretrained(NamedTuple):
    """Trained encoders, and how they were trained."""

    spec: ModelSpec
    encoders: Encoders
    provenance: Mapping[str, Any]
    losses: Sequence[Optional[float]]


class _Manifest(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    spec: ModelSpec
    provenance: dict[str, Any]
    losses: list[Optional[float]]  # null where it was no number
    sha256: str


def refuse_existing(path: Path) -> None:
    """Checks that nothing is in the way, before hours of training.

    Raises:
        PretrainedError: the path exists already.
    """
    if path.exists():
        raise PretrainedError(f"{path} exists; choose another folder, or remove it")


def write_pretrained(
    path: Path, spec: ModelSpec, encoders: Encoders, *, provenance: Mapping[str, Any], losses: Sequence[float]
) -> None:
    """Writes the folder, whole or not at all.

    Raises:
        PretrainedError: ``path`` exists, or cannot be written.
    """
    refuse_existing(path)
    weights = save({name: tensor.contiguous() for name, tensor in encoders.state_dict().items()})
    spec = spec.model_copy(update=UNREAD)
    manifest = _Manifest(
        spec=spec, provenance=dict(provenance), losses=list(losses), sha256=hashlib.sha256(weights).hexdigest()
    )
    files = {
        WEIGHTS: weights,
        MANIFEST: seal(manifest.model_dump(mode="json")),
        card.FILE: card.model_card(path.name, spec, provenance, {}, classifies=False).encode(errors="backslashreplace"),
    }
    try:
        write_folder(path, files)
    except OSError as error:
        raise PretrainedError(f"{path} cannot be written ({error.strerror}); choose another folder") from error


def load_pretrained(path: Path) -> Pretrained:
    """Reads and checks such a folder.

    Raises:
        PretrainedError: the folder or a file is missing, of another version, or not as it was written.
    """
    try:
        manifest = _Manifest.model_validate(unseal(path / MANIFEST))
        digest = sha256_of(path / WEIGHTS)
    except OSError as error:
        raise PretrainedError(
            f"{error.filename} cannot be read ({error.strerror}); name a folder made by pretrain"
        ) from error
    except SealError as error:
        raise PretrainedError(f"{path / MANIFEST} {error}; copy the folder again, or pretrain again") from error
    except ValidationError as error:
        raise PretrainedError(
            f"{path / MANIFEST} is damaged or of another version: {explain(error)}; pretrain again"
        ) from error
    if digest != manifest.sha256:
        raise PretrainedError(f"{path / WEIGHTS} is not the file that {MANIFEST} describes; copy the folder again")
    encoders = Encoders(manifest.spec)
    try:
        encoders.load_state_dict(read_tensors((path / WEIGHTS).read_bytes()))
    except (TensorsError, RuntimeError) as error:  # RuntimeError: written by a version whose encoders were others
        raise PretrainedError(f"{path / WEIGHTS} does not fit this version's encoders; pretrain again") from error
    return Pretrained(manifest.spec, encoders, manifest.provenance, manifest.losses)
