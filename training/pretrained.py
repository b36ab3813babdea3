"""What stage 1 leaves on disk: one folder, written whole or not at all, from which stage 2 starts.

encoders.safetensors   weights, batch statistics and normalisation
pretraining.json       spec, provenance, the mean loss of each epoch, and the sha256 of the weights
README.md              the model card
"""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import Any, Mapping, NamedTuple, Sequence

from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors.torch import load, save

from models import card
from models.files import write_whole
from models.networks import Encoders
from models.spec import ModelSpec

FORMAT = 1
MANIFEST = "pretraining.json"
WEIGHTS = "encoders.safetensors"


class PretrainedError(Exception):
    """A folder that is missing, damaged, of another version, or in the way; the message names it and what to do."""


class Pretrained(NamedTuple):
    """Encoders that have learned, and how."""

    spec: ModelSpec
    encoders: Encoders
    provenance: Mapping[str, Any]
    losses: Sequence[float]


class _Manifest(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    format: int
    spec: ModelSpec
    provenance: dict[str, Any]
    losses: list[float]
    sha256: str


def refuse_existing(path: Path) -> None:
    """Say that there is something already, before hours of learning and not after.

    Raises:
        PretrainedError: there is.
    """
    if path.exists():
        raise PretrainedError(f"{path} exists; give another folder, or remove it")


def write_pretrained(
    path: Path, spec: ModelSpec, encoders: Encoders, *, provenance: Mapping[str, Any], losses: Sequence[float]
) -> None:
    """Write the folder beside ``path`` and put it there in one rename.

    Raises:
        PretrainedError: ``path`` exists, or cannot be written.
    """
    refuse_existing(path)
    weights = save({name: tensor.contiguous() for name, tensor in encoders.state_dict().items()})
    manifest = _Manifest(
        format=FORMAT, spec=spec, provenance=dict(provenance), losses=list(losses), sha256=_sha256(weights)
    )
    fresh = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh.mkdir()
        files = {
            WEIGHTS: weights,
            MANIFEST: manifest.model_dump_json(indent=2).encode() + b"\n",
            card.FILE: card.model_card(path.name, spec, provenance, {}, classifies=False).encode(),
        }
        for name, content in files.items():
            write_whole(fresh / name, content)
        fresh.rename(path)
    except OSError as error:
        raise PretrainedError(f"{path} cannot be written ({error.strerror}); give another folder") from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def load_pretrained(path: Path) -> Pretrained:
    """Read and check what was written.

    Raises:
        PretrainedError: the folder or a file is missing, of another version, or not as it was written.
    """
    try:
        manifest = _Manifest.model_validate_json((path / MANIFEST).read_bytes())
        weights = (path / WEIGHTS).read_bytes()
    except OSError as error:
        raise PretrainedError(
            f"{error.filename} cannot be read ({error.strerror}); give a folder of pretrain"
        ) from error
    except ValidationError as error:
        raise PretrainedError(f"{path / MANIFEST} is damaged or of another version: {error}; pretrain anew") from error
    if manifest.format != FORMAT:
        raise PretrainedError(f"{path / MANIFEST} has format {manifest.format}, this reads {FORMAT}; pretrain anew")
    if _sha256(weights) != manifest.sha256:
        raise PretrainedError(f"{path / WEIGHTS} is not the file that {MANIFEST} describes; copy the folder again")
    encoders = Encoders(manifest.spec)
    try:
        encoders.load_state_dict(load(weights))
    except RuntimeError as error:  # written by a version whose encoders were others
        raise PretrainedError(f"{path / WEIGHTS} does not fit this version's encoders; pretrain anew") from error
    return Pretrained(manifest.spec, encoders, manifest.provenance, manifest.losses)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
