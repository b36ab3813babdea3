from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
import scipy.sparse

from cosmo_runtime.sensors.data_files import read_inertial, read_matrix
from cosmo_runtime.sensors.sensor import SensorNotFound


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a1t1.mat"


def good() -> np.ndarray:
    return np.random.default_rng(0).normal([0, 0, 1, 0, 0, 0], 0.1, (50, 6))


def test_what_is_right_is_read_as_it_is(path: Path) -> None:
    scipy.io.savemat(path, {"x": good(), "other": "text"})
    np.testing.assert_array_equal(read_inertial(path, "x", "the set"), good())
    scipy.io.savemat(path, {"x": np.arange(12, dtype=np.uint16).reshape(2, 6)})
    assert read_matrix(path, "x", (2, 6), "the set").dtype == np.uint16


@pytest.mark.parametrize(
    ("matrix", "told"),
    [
        ("readings", "does not hold plain numbers"),
        (good() * 1j, "does not hold plain numbers"),
        (scipy.sparse.csc_matrix(good()), "does not hold plain numbers"),
        ({"a": 1.0}, "does not hold plain numbers"),
        (np.array([[1, "a"], [2, "b"]], object), "does not hold plain numbers"),
        (np.zeros((0, 6)), r"too short: it has the shape \(0, 6\)"),
        (good()[:1], r"too short: it has the shape \(1, 6\)"),
        (good().T, r"has the shape \(6, 50\), not \(n, 6\)"),
        (good()[None], r"has the shape \(1, 50, 6\), not \(n, 6\)"),
        (np.where(good() > 1, np.nan, good()), r"\d+ values of x are not finite"),
        (np.where(good() > 1, -np.inf, good()), r"\d+ values of x are not finite"),
        (
            good() * 9.81,
            r"median of its accelerations, 9\.\d+, cannot be right: expected 0.2 to 3, in g, and not m/s²",
        ),
        (good() * 0, r"median of its accelerations, 0, cannot be"),
        (good() + np.eye(50, 6) * 1e4, "its accelerations, .* cannot be"),
        (good() + np.eye(50, 6, 5) * 1e6, "its angular rates, .* cannot be"),
    ],
)
def test_whatever_else_a_file_holds_is_told_with_its_name(path: Path, matrix: Any, told: str) -> None:
    scipy.io.savemat(path, {"x": matrix})
    with pytest.raises(SensorNotFound, match=rf"a1t1\.mat: .*{told}"):
        read_inertial(path, "x", "the set")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
            "pointer of Git LFS.*git lfs pull",
        ),
        (b"", "not a file of the set"),
        (b"<!DOCTYPE html><title>404 Not Found</title>" * 9, "not a file of the set"),
        (b"\x89HDF\r\n\x1a\n" + bytes(600), "not a file of the set"),
        (bytes(600), "not a file of the set"),
    ],
)
def test_what_is_no_matlab_file_is_told(path: Path, content: bytes, told: str) -> None:
    path.write_bytes(content)
    with pytest.raises(SensorNotFound, match=rf"a1t1\.mat: .*{told}"):
        read_inertial(path, "x", "the set")


def test_a_missing_file_a_folder_and_another_matrix_are_told(path: Path) -> None:
    with pytest.raises(SensorNotFound, match=r"a1t1\.mat: no such file"):
        read_inertial(path, "x", "the set")
    scipy.io.savemat(path, {"y": good()})
    with pytest.raises(SensorNotFound, match=r"a1t1\.mat: .* holds no x"):
        read_inertial(path, "x", "the set")
    path.unlink()
    path.mkdir()
    with pytest.raises(SensorNotFound, match=r"a1t1\.mat: .*Is a directory"):
        read_inertial(path, "x", "the set")


@pytest.mark.parametrize("compressed", [False, True])
def test_no_damage_raises_anything_else(path: Path, compressed: bool) -> None:
    scipy.io.savemat(path, {"x": good()[:4]}, do_compression=compressed)
    whole = path.read_bytes()
    draw = random.Random(0)
    for _ in range(300):
        content = bytearray(whole)
        for _ in range(draw.randint(1, 3)):
            content[draw.randrange(len(content))] = draw.randrange(256)
        path.write_bytes(content[: draw.choice([len(content), draw.randrange(len(content))])])
        try:
            read_inertial(path, "x", "the set")
        except SensorNotFound as error:
            assert "a1t1.mat" in str(error)
