from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from cosmo_runtime.models.sealed import SealError, seal, unseal
from cosmo_runtime.models.shelf import SHIPPED_BUNDLE, SHIPPED_ENCODERS

CONTENT = {"name": "wäve", "numbers": [1.5, 2], "digest of another": {"digest": "0" * 64}}


def written(folder: Path, content: bytes) -> Path:
    file = folder / "model.json"
    file.unlink(missing_ok=True)  # ext4 waits for the disk when a file is written over
    file.write_bytes(content)
    return file


def test_what_is_sealed_is_read(tmp_path: Path) -> None:
    assert unseal(written(tmp_path, seal(CONTENT))) == CONTENT


def test_no_changed_bit_is_accepted(tmp_path: Path) -> None:
    whole = seal(CONTENT)
    file = written(tmp_path, whole)
    with file.open("r+b", buffering=0) as stream:
        for bit in range(8 * len(whole)):
            byte = whole[bit // 8]
            os.pwrite(stream.fileno(), bytes([byte ^ 1 << bit % 8]), bit // 8)
            with pytest.raises(SealError):
                unseal(file)
            os.pwrite(stream.fileno(), bytes([byte]), bit // 8)
    assert unseal(file) == CONTENT


@pytest.mark.parametrize("change", [lambda text: text[:-1], lambda text: text + b" ", lambda text: b""])
def test_a_file_that_is_cut_or_longer_is_damaged(tmp_path: Path, change) -> None:
    with pytest.raises(SealError, match="is damaged"):
        unseal(written(tmp_path, change(seal(CONTENT))))


@pytest.mark.parametrize(
    "content",
    [b"\xff\xfe", b"[]", b"3", b"{}", pytest.param(b"[" * 100_000, id="deep"), b'{"format": 2, "digest": null}'],
)
def test_what_is_no_sealed_file_is_damaged(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(SealError, match="is damaged"):
        unseal(written(tmp_path, content))


def test_a_file_of_before_there_were_digests_is_read_and_one_of_a_later_version_is_not(tmp_path: Path) -> None:
    assert unseal(written(tmp_path, json.dumps({"format": 1, **CONTENT}).encode())) == CONTENT
    with pytest.raises(SealError, match="format 3, but this version reads only up to 2"):
        unseal(written(tmp_path, json.dumps({"format": 3, **CONTENT}).encode()))


def test_an_enormous_file_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "model.json"
    with file.open("wb") as stream:
        stream.truncate(40 << 30)  # takes no room on the disk
    with pytest.raises(SealError, match="larger than 16 MB"):
        unseal(file)


def test_numbers_that_json_lacks_become_null(tmp_path: Path) -> None:
    content = {"loss": float("nan"), "all": [float("inf"), 1.0]}
    assert unseal(written(tmp_path, seal(content))) == {"loss": None, "all": [None, 1.0]}
    old = b'{"format": 1, "loss": NaN, "all": [1e999, 1.0]}'
    assert unseal(written(tmp_path, old)) == {"loss": None, "all": [None, 1.0]}


def test_a_command_with_a_path_that_is_no_text_is_kept(tmp_path: Path) -> None:
    content = {"command": b"finetune caf\xe9.csv".decode("utf-8", "surrogateescape")}
    assert unseal(written(tmp_path, seal(content))) == content


@pytest.mark.parametrize("file", [SHIPPED_BUNDLE / "model.json", SHIPPED_ENCODERS / "utd" / "pretraining.json"])
def test_what_ships_is_sealed(file: Path, tmp_path: Path) -> None:
    assert b'"format": 2' in file.read_bytes()
    copy = tmp_path / file.name
    shutil.copy(file, copy)
    copy.write_bytes(copy.read_bytes().replace(b'"hop_s": 0.5', b'"hop_s": 0.7'))
    with pytest.raises(SealError, match="digest"):
        unseal(copy)
