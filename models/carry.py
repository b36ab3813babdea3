"""A bundle as one file for other devices: a tar archive of its parts, which is signed if there is a key.

The signature is an HMAC-SHA256 of the names and digests of all parts, in the member ``signature``. Anybody who has the
key can sign. A device that has it accepts only bundles signed with it.
"""

from __future__ import annotations

import hashlib
import hmac
import io
import tarfile
from pathlib import Path
from typing import Dict, Optional

from cosmo_runtime.models.bundle import MANIFEST, Bundle, BundleError, load_bundle
from cosmo_runtime.models.files import write_whole
from cosmo_runtime.models.folders import write_folder
from cosmo_runtime.models.shelf import SHIPPED, Shelf

_SIGNATURE = "signature"
_MOST_BYTES = 2 << 30
_SHORTEST_KEY = 16


def read_key(path: Path) -> bytes:
    """Reads a key.

    Raises:
        BundleError: the key is missing or too short.
    """
    try:
        key = path.read_bytes().strip()
    except OSError as error:
        raise BundleError(f"the key {path} cannot be read: {error.strerror}") from error
    if len(key) < _SHORTEST_KEY:
        raise BundleError(f"the key {path} has fewer than {_SHORTEST_KEY} characters: openssl rand -hex 32 > {path}")
    return key


def export_bundle(bundle: Bundle, file: Path, key: Optional[bytes] = None) -> None:
    """Writes a bundle into one file, without the engines that were built on this device.

    Raises:
        BundleError: the file exists or cannot be written.
    """
    if file.exists():
        raise BundleError(f"{file} exists already: choose another name, or move it away")
    files = [path for path in sorted(bundle.path.iterdir()) if path.is_file() and not path.name.startswith(".")]
    parts = {path.name: path.read_bytes() for path in files}
    if key:
        parts[_SIGNATURE] = _sign(parts, key)
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for name, part in parts.items():
            member = tarfile.TarInfo(f"{bundle.path.resolve().name}/{name}")
            member.size, member.mode = len(part), 0o600
            tar.addfile(member, io.BytesIO(part))
    try:
        write_whole(file, content.getvalue())
    except OSError as error:
        raise BundleError(f"{file} cannot be written: {error.strerror}") from error


def import_bundle(file: Path, shelf: Shelf, key: Optional[bytes] = None) -> Bundle:
    """Adds an exported bundle to a shelf, after checking the signature and every digest. It is not put in use.

    One that is called like a shipped bundle and differs gets another name, so that it does not hide the shipped one.

    Raises:
        BundleError: the file is not a bundle, is damaged, or lacks the right signature although there is a key; or
            another bundle has its name; or it is a shipped one.
    """
    name, parts = _read(file)
    signature = parts.pop(_SIGNATURE, None)
    if key and (signature is None or not hmac.compare_digest(signature, _sign(parts, key))):
        why = "has no signature" if signature is None else "was signed with another key, or was changed"
        raise BundleError(f"{file} {why}, so it was refused")
    shipped = SHIPPED / name / MANIFEST
    if shipped.exists() and shipped.read_bytes() == parts[MANIFEST]:
        raise BundleError(f"{file} holds {name} as it ships with this version; there is nothing to import")
    path = shelf.new_path(name) if shipped.exists() else shelf.folder / name
    if path.exists() and not shipped.exists():
        raise BundleError(f"{path} exists already; a bundle is never overwritten")
    try:
        write_folder(path, parts)
    except OSError as error:
        raise BundleError(f"{path} cannot be written: {error.strerror}") from error
    try:
        return load_bundle(path)
    except BundleError:
        for part in path.iterdir():
            part.unlink()
        path.rmdir()
        raise


def _read(file: Path) -> tuple[str, Dict[str, bytes]]:
    parts: Dict[str, bytes] = {}
    names = set()
    try:
        with tarfile.open(file) as tar:
            for member in tar:
                folder, _, name = member.name.partition("/")
                plain = member.isfile() and name and "/" not in name and not name.startswith(".")
                if not plain or not folder or folder.startswith(".") or member.size > _MOST_BYTES or name in parts:
                    raise BundleError(f"{file} holds {member.name!r}, which is not part of a bundle")
                content = tar.extractfile(member)
                parts[name] = content.read() if content else b""
                names.add(folder)
    except (OSError, tarfile.TarError, EOFError) as error:
        reason = str(error).partition(":\n")[0]  # tarfile adds what each format thinks of it
        raise BundleError(f"{file} is not an exported bundle: {reason}") from error
    if len(names) != 1 or MANIFEST not in parts:
        raise BundleError(f"{file} is not an exported bundle")
    return names.pop(), parts


def _sign(parts: Dict[str, bytes], key: bytes) -> bytes:
    listing = "".join(f"{name} {hashlib.sha256(part).hexdigest()}\n" for name, part in sorted(parts.items()))
    return hmac.new(key, listing.encode(), hashlib.sha256).hexdigest().encode()
