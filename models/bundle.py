"""A trained model on disk: one folder, written whole or not at all, checked when it is read.

model.json           spec, provenance, metrics, and the sha256 of the other files
model.onnx           opset 13, IR 7, static shapes of batch 1; inputs named after the sensors, and ``presence``
model.fp16.onnx      the same computing in half precision, inputs and outputs in single; bundles of before lack it
weights.safetensors  the networks' weights, where fine-tuning starts
memory.safetensors   some embeddings of each activity, so that fine-tuning forgets none; bundles of before lack it
README.md            the model card, for people; nothing reads it
engines/             what was built of it for a machine, see ``runtime.engines``; not part of what is written here
"""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping, Optional

from pydantic import BaseModel, ConfigDict, ValidationError

from models import card
from models.files import write_whole
from models.spec import ModelSpec

FORMAT = 1
MANIFEST = "model.json"
ONNX = "model.onnx"
ONNX_FP16 = "model.fp16.onnx"
WEIGHTS = "weights.safetensors"
MEMORY = "memory.safetensors"


class BundleError(Exception):
    """A bundle that is missing, damaged, or of another version; the message names the file and what to do."""


class Manifest(BaseModel):
    """What ``model.json`` holds.

    Attributes:
        format: version of the folder's layout.
        spec: what the model asks for and answers.
        provenance: how it came to be: command, data, seed, versions.
        metrics: what was measured after training.
        sha256: digest of each other file by name.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: int
    spec: ModelSpec
    provenance: dict[str, Any]
    metrics: dict[str, Any]
    sha256: dict[str, str]


@dataclass(frozen=True)
class Bundle:
    """A bundle whose files are there and are those that were written."""

    path: Path
    spec: ModelSpec
    provenance: Mapping[str, Any]
    metrics: Mapping[str, Any]
    sha256: Mapping[str, str]

    @property
    def onnx(self) -> Path:
        """The graph for the engines."""
        return self.path / ONNX

    @property
    def onnx_fp16(self) -> Optional[Path]:
        """The graph that computes in half precision; None where the bundle was exported without."""
        return self.path / ONNX_FP16 if ONNX_FP16 in self.sha256 else None

    @property
    def engines(self) -> Path:
        """Folder of the engines that were built for some machine; may be missing."""
        return self.path / "engines"

    @property
    def weights(self) -> Path:
        """The weights for fine-tuning."""
        return self.path / WEIGHTS

    @property
    def memory(self) -> Optional[Path]:
        """The remembered embeddings; None where the bundle was written without."""
        return self.path / MEMORY if MEMORY in self.sha256 else None


def load_bundle(path: Path) -> Bundle:
    """Read and check a bundle.

    Raises:
        BundleError: the folder or a file is missing, of another version, or not as it was written.
    """
    path = Path(path)
    manifest = _read_manifest(path / MANIFEST)
    for name in dict.fromkeys((ONNX, WEIGHTS, *manifest.sha256)):
        file = path / name
        if not file.is_file():
            raise BundleError(f"{file} is missing: the bundle is incomplete; copy it again or train it anew")
        if _sha256(file.read_bytes()) != manifest.sha256.get(name):
            raise BundleError(
                f"{file} is not the file that {MANIFEST} describes; copy the bundle again or train it anew"
            )
    return Bundle(path, manifest.spec, manifest.provenance, manifest.metrics, manifest.sha256)


def refuse_other(path: Path) -> None:
    """Say that what a bundle would replace is no bundle, before hours of training and not after.

    Raises:
        BundleError: it is something else than an earlier bundle or an empty folder.
    """
    replaceable = (path / MANIFEST).is_file() or (path.is_dir() and not any(path.iterdir()))
    if path.exists() and not replaceable:
        raise BundleError(f"{path} exists and is not a bundle (no {MANIFEST}); choose another folder")


def write_bundle(
    path: Path,
    spec: ModelSpec,
    *,
    onnx: bytes,
    onnx_fp16: Optional[bytes] = None,
    weights: bytes,
    memory: Optional[bytes] = None,
    provenance: Mapping[str, Any],
    metrics: Mapping[str, Any],
) -> Bundle:
    """Write a bundle beside ``path`` and put it there in one rename, in place of an earlier bundle or an empty folder.

    Raises:
        BundleError: ``path`` is something else, which is left alone.
    """
    path = Path(path)
    refuse_other(path)
    replaces = (path / MANIFEST).is_file()
    parts = {ONNX: onnx, ONNX_FP16: onnx_fp16, WEIGHTS: weights, MEMORY: memory}
    files = {name: content for name, content in parts.items() if content is not None}
    manifest = Manifest(
        format=FORMAT,
        spec=spec,
        provenance=dict(provenance),
        metrics=dict(metrics),
        sha256={name: _sha256(content) for name, content in files.items()},
    )
    files[card.FILE] = card.model_card(path.name, spec, provenance, metrics).encode()
    files[MANIFEST] = manifest.model_dump_json(indent=2).encode() + b"\n"

    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}.new")
    old = path.with_name(f".{path.name}.{os.getpid()}.old")
    try:
        fresh.mkdir()
        for name, content in files.items():
            write_whole(fresh / name, content)
        if replaces:
            path.rename(old)  # a folder with files cannot be replaced by rename, an empty one can
        fresh.rename(path)
    except BaseException:
        if old.exists() and not path.exists():
            old.rename(path)
        raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
        if path.exists():
            shutil.rmtree(old, ignore_errors=True)
    return load_bundle(path)


def _read_manifest(file: Path) -> Manifest:
    if not file.is_file():
        raise BundleError(f"{file} not found: {file.parent} is not a bundle, nor a name in cosmo-runtime bundle list")
    try:
        manifest = Manifest.model_validate_json(file.read_bytes())
    except ValidationError as error:
        raise BundleError(f"{file} is damaged or of another version of cosmo-runtime: {error}") from error
    if manifest.format != FORMAT:
        raise BundleError(
            f"{file} has format {manifest.format}, this cosmo-runtime reads {FORMAT}; export the model anew"
        )
    return manifest


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
