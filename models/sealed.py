"""A JSON file that contains its own digest, so that any changed byte is noticed.

The digest is the sha256 of the file's bytes with zeros in place of the digest. Files of format 1 have no digest and can
still be read.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from pathlib import Path
from typing import Any, Dict, Mapping

FORMAT = 2
"""The format that this version writes."""

_UNSEALED_FORMAT = 1
_LARGEST_BYTES = 16 << 20
_DIGEST = re.compile(rb'"digest": "([0-9a-f]{64})"')
_ZEROS = b'"digest": "%s"' % (b"0" * 64)


class SealError(Exception):
    """A file was changed, or another version wrote it. The message does not name the file."""


def seal(content: Mapping[str, Any]) -> bytes:
    """Returns the bytes of a file, with format and digest first. NaN becomes null, because JSON has no NaN."""
    whole = {"format": FORMAT, "digest": "0" * 64, **_finite(content)}
    text = json.dumps(whole, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    blank = text.encode(errors="backslashreplace")  # a command may contain a path that is not UTF-8
    return blank.replace(_ZEROS, b'"digest": "%s"' % _digest(blank), 1)


def unseal(file: Path) -> Dict[str, Any]:
    """Returns the content of such a file, without format and digest.

    Raises:
        SealError: the file was changed, is too large or has an unknown format.
        OSError: it cannot be read.
    """
    with file.open("rb") as stream:
        written = stream.read(_LARGEST_BYTES + 1)
    if len(written) > _LARGEST_BYTES:
        raise SealError(f"is larger than {_LARGEST_BYTES >> 20} MB, so it is not one of ours")
    try:
        content = _finite(json.loads(written))
        version, digest = content.pop("format"), content.pop("digest", None)
    except (ValueError, RecursionError, AttributeError, TypeError, KeyError) as error:
        raise SealError(f"is damaged: {error!r}") from error
    if version not in (_UNSEALED_FORMAT, FORMAT):
        raise SealError(f"has format {version!r}, but this version reads only up to {FORMAT}")
    if version == FORMAT and digest != _digest(_DIGEST.sub(_ZEROS, written, count=1)).decode():
        raise SealError("is damaged: its content does not match the digest in it")
    return content


def _digest(blank: bytes) -> bytes:
    return hashlib.sha256(blank).hexdigest().encode()


def _finite(value: Any) -> Any:
    """Returns the same content with null for numbers that JSON cannot express."""
    if isinstance(value, Mapping):
        return {str(name): _finite(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
