"""A bundle: a trained model in one folder, which is written whole or not at all and checked when it is read.

model.json           spec, provenance, metrics, the sha256 of the other files, and its own (``models.sealed``)
model.onnx           opset 13, IR 7, static shapes of batch 1; inputs named after the sensors, and ``presence``
model.fp16.onnx      the same graph in half precision, with single-precision inputs and outputs; older bundles lack it
model.skipping.onnx  the same graph, with the weights of model.onnx, which does not run the encoder of an absent
                     sensor; older bundles lack it
weights.safetensors  the networks' weights, from which fine-tuning starts
memory.safetensors   embeddings of each activity, so that fine-tuning forgets none; older bundles lack it
README.md            the model card, for people only
engines/             engines built for a machine (``runtime.engines.choose``); this module does not write them
"""

from __future__ import annotations

import hashlib
import unicodedata
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Dict, Mapping, Optional

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from cosmo_runtime.models import card
from cosmo_runtime.models.files import sha256_of
from cosmo_runtime.models.folders import sweep, write_folder
from cosmo_runtime.models.onnx_file import OnnxFileError, check_stands_alone
from cosmo_runtime.models.sealed import SealError, seal, unseal
from cosmo_runtime.models.spec import ModelSpec

MANIFEST = "model.json"
ONNX = "model.onnx"
ONNX_FP16 = "model.fp16.onnx"
ONNX_SKIPPING = "model.skipping.onnx"
WEIGHTS = "weights.safetensors"
MEMORY = "memory.safetensors"
ENCODERS_MANIFEST = "pretraining.json"
"""A folder with this file holds encoders of ``cosmo-runtime pretrain`` and is not a bundle."""


SIMULATED = "simulated"
"""The value of ``people`` in a bundle's provenance if it learned from no real people."""

STRANGER_TO_PEOPLE = "it learned from simulated people only, so its answers about a real person mean nothing"
"""The warning for people who use such a bundle."""


class BundleError(Exception):
    """A bundle is missing, damaged or of another version. The message names the file and says what to do."""


class Manifest(BaseModel):
    """What ``model.json`` holds.

    Attributes:
        spec: the model's inputs and outputs.
        provenance: how the model was made: command, data, seed, versions.
        metrics: what was measured after training.
        sha256: digest of each other file, by name.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    spec: ModelSpec
    provenance: dict[str, Any]
    metrics: dict[str, Any]
    sha256: dict[str, str]

    @field_validator("sha256")
    @classmethod
    def _names_are_ours(cls, sha256: Dict[str, str]) -> Dict[str, str]:
        maybe = (ONNX_FP16, ONNX_SKIPPING, MEMORY)
        unknown = [name for name in sha256 if name not in (ONNX, WEIGHTS, *maybe)]
        if unknown or not {ONNX, WEIGHTS} <= set(sha256):
            raise ValueError(f"a bundle has {ONNX} and {WEIGHTS}, and maybe {', '.join(maybe)}; not {unknown}")
        return sha256


@dataclass(frozen=True)
class Bundle:
    """A bundle whose files are complete and unchanged.

    Attributes:
        path: its folder.
        spec, provenance, metrics, sha256: what ``Manifest`` holds.
        digest: sha256 of ``model.json``. Bundles with the same digest are identical.
    """

    path: Path
    spec: ModelSpec
    provenance: Mapping[str, Any]
    metrics: Mapping[str, Any]
    sha256: Mapping[str, str]
    digest: str

    @property
    def knows_real_people(self) -> bool:
        """Whether it learned from real people, by ``people`` in its provenance. True if that is missing."""
        return self.provenance.get("people") != SIMULATED

    def at_hop(self, hop_s: Optional[float]) -> Bundle:
        """The same model, answering every ``hop_s`` seconds; None stands for its own hop.

        Raises:
            BundleError: the hop is longer than a window, so that no window would see some of the time.
        """
        if hop_s and hop_s > self.spec.window_s:
            raise BundleError(
                f"hop_s = {hop_s:g} of [recognition] is longer than the windows of {self.path.name}, which are "
                f"{self.spec.window_s:g} s. Make it shorter, or leave it out: no window would see the time between"
            )
        return replace(self, spec=self.spec.model_copy(update={"hop_s": hop_s})) if hop_s else self

    @property
    def onnx(self) -> Path:
        """The graph for the engines."""
        return self.path / ONNX

    @property
    def onnx_fp16(self) -> Optional[Path]:
        """The graph in half precision; None if the bundle has none."""
        return self.path / ONNX_FP16 if ONNX_FP16 in self.sha256 else None

    @property
    def onnx_skipping(self) -> Optional[Path]:
        """The graph that does not run the encoder of an absent sensor; None if the bundle has none."""
        return self.path / ONNX_SKIPPING if ONNX_SKIPPING in self.sha256 else None

    @property
    def engines(self) -> Path:
        """The folder of the engines built on this device. It may be missing."""
        return self.path / "engines"

    @property
    def weights(self) -> Path:
        """The weights for fine-tuning."""
        return self.path / WEIGHTS

    @property
    def memory(self) -> Optional[Path]:
        """The rehearsal memory; None if the bundle has none."""
        return self.path / MEMORY if MEMORY in self.sha256 else None


def load_bundle(path: Path) -> Bundle:
    """Reads and checks a bundle.

    Raises:
        BundleError: the folder or a file is missing, was changed or has another version.
    """
    path = Path(path)
    _refuse_name(path)
    if not path.exists():
        sweep(path.parent, path.name)  # a killed writer may have moved it aside
    file = path / MANIFEST
    try:
        manifest = _read_manifest(file)
        digest = sha256_of(file)
        for name, wanted in manifest.sha256.items():
            file = path / name
            if not file.is_file():
                raise BundleError(f"{file} is missing, so the bundle is incomplete; copy or train it again")
            if sha256_of(file) != wanted:
                raise BundleError(f"{file} is not the file that {MANIFEST} describes; copy or train the bundle again")
            if name in (ONNX, ONNX_FP16, ONNX_SKIPPING):
                check_stands_alone(file, but_for=ONNX if name == ONNX_SKIPPING else None)
    except OnnxFileError as error:
        raise BundleError(f"{file} {error}") from error
    except OSError as error:
        raise BundleError(f"{file} cannot be read: {error.strerror}") from error
    return Bundle(
        path, manifest.spec, _printable(manifest.provenance), _printable(manifest.metrics), manifest.sha256, digest
    )


def refuse_other(path: Path) -> None:
    """Checks that a new bundle can be written to a path, so that an error comes before hours of training.

    Raises:
        BundleError: the path holds something other than a bundle or an empty folder.
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
    onnx_skipping: Optional[bytes] = None,
    weights: bytes,
    memory: Optional[bytes] = None,
    provenance: Mapping[str, Any],
    metrics: Mapping[str, Any],
) -> Bundle:
    """Writes a bundle, and moves it to ``path`` in one rename, replacing an earlier bundle or an empty folder.

    Raises:
        BundleError: ``path`` holds something else, which stays as it is.
    """
    path = Path(path)
    _refuse_name(path)
    refuse_other(path)
    parts = {
        ONNX: onnx,
        ONNX_FP16: onnx_fp16,
        ONNX_SKIPPING: onnx_skipping,
        WEIGHTS: weights,
        MEMORY: memory,
    }
    files = {name: content for name, content in parts.items() if content is not None}
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    try:
        manifest = Manifest(spec=spec, provenance=dict(provenance), metrics=dict(metrics), sha256=digests)
        content = manifest.model_dump(mode="json")
        Manifest.model_validate(content)  # pydantic does not check all of a spec that was copied with changes
    except ValidationError as error:
        raise BundleError(f"{path} was not written: {explain(error)}") from error
    files[card.FILE] = card.model_card(path.name, spec, provenance, metrics).encode(errors="backslashreplace")
    files[MANIFEST] = seal(content)
    write_folder(path, files)
    return load_bundle(path)


def has_controls(text: str) -> bool:
    """Whether a text contains control characters, which a terminal would obey."""
    return any(unicodedata.category(char) == "Cc" for char in text)


def _refuse_name(path: Path) -> None:
    if has_controls(path.name):
        raise BundleError(f"{path.name!r} contains control characters; rename the bundle's folder")


def _read_manifest(file: Path) -> Manifest:
    if (file.parent / ENCODERS_MANIFEST).is_file():
        raise BundleError(f"{file.parent} holds only encoders, from which finetune starts; it is not a bundle to run")
    if not file.is_file():
        raise BundleError(f"{file} not found: {file.parent} is neither a bundle nor a name in `bundle list`")
    try:
        return Manifest.model_validate(unseal(file))
    except SealError as error:
        raise BundleError(f"{file} {error}; copy or train the bundle again") from error
    except ValidationError as error:
        raise BundleError(
            f"{file} is damaged or of another version of cosmo-runtime: {explain(error)}; "
            "copy or train the bundle again"
        ) from error


def explain(error: ValidationError) -> str:
    """Describes in one line which fields are wrong and why."""
    return "; ".join(_printable(f"{'.'.join(map(str, item['loc']))}: {item['msg']}") for item in error.errors())


def _printable(value: Any) -> Any:
    """Returns the same content with control characters escaped, because a terminal would obey them."""
    if isinstance(value, Mapping):
        return {_printable(name): _printable(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_printable(item) for item in value]
    if isinstance(value, str):
        return "".join(repr(char)[1:-1] if has_controls(char) else char for char in value)
    return value
