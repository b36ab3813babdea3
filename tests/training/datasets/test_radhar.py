from __future__ import annotations

import subprocess
import tarfile
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from cosmo_runtime.training.datasets import radhar
from cosmo_runtime.training.datasets.store import DataSetError
from cosmo_runtime.training.windows import Windows

NAME = "Train/walk/___walk_20_3"


@pytest.fixture(scope="module")
def archive(data_dir: Path) -> Path:
    return data_dir / "radhar-train-subset.tar.xz"


@pytest.fixture(scope="module")
def unpacked(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(archive) as tar:
        for member in tar:
            if NAME in member.name:
                file = folder / member.name
                file.parent.mkdir(parents=True)
                file.write_bytes(tar.extractfile(member).read())
    return folder


@pytest.fixture(scope="module")
def everything(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Windows:
    return radhar.windows(archive, radhar.radhar_spec(), tmp_path_factory.mktemp("cache"))


def test_every_recording_is_read(everything: Windows) -> None:
    assert len(set(everything.recordings)) == 40
    assert everything.features["radar"].shape[1:] == (60, 32, 5)
    assert isinstance(everything.features["radar"], np.memmap)
    for label, folder in enumerate(("boxing", "jack", "jump", "squats", "walk")):
        names = set(everything.recordings[everything.labels == label])
        assert len(names) == 8
        assert all(name.startswith(f"Train/{folder}/") for name in names)
    np.testing.assert_array_equal(np.unique(everything.recordings, return_counts=True)[1].min(), 17)  # 567 frames
    np.testing.assert_array_equal(everything.groups, everything.recordings)


def test_no_point_of_a_recording_is_dropped(unpacked: Path, tmp_path: Path) -> None:
    file = unpacked / "RadHAR" / "Data" / f"{NAME}.txt"
    points = int(subprocess.check_output(["grep", "-c", "^x:", str(file)]))
    text = file.read_text()
    assert "nsecs:  " in text
    frames = radhar._frames(file.read_bytes(), "")
    assert sum(map(len, frames)) == points
    assert len(frames) == sum(line.split()[1] == "0" for line in text.splitlines() if line.startswith("point_id"))


def test_a_point_is_that_of_the_file_turned_to_this_runtimes_axes(unpacked: Path, everything: Windows) -> None:
    lines = (unpacked / "RadHAR" / "Data" / f"{NAME}.txt").read_text().splitlines()
    frame, frames = [], []
    for line in lines:
        field, _, value = line.partition(":")
        if field == "point_id":
            if int(value) == 0:
                frame = []
                frames.append(frame)
            frame.append({})
        elif field in ("x", "y", "z", "velocity", "intensity"):
            frame[-1][field] = float(value)
    strongest = max(frames[45], key=lambda point: point["intensity"])
    expected = [-strongest["y"], strongest["x"], *(strongest[name] for name in ("z", "velocity", "intensity"))]
    first, second = np.flatnonzero(everything.recordings == NAME)[:2]
    np.testing.assert_allclose(everything.features["radar"][first, 45, 0], expected, rtol=1e-6)
    np.testing.assert_allclose(everything.features["radar"][second, 15, 0], expected, rtol=1e-6)
    assert (everything.features["radar"][..., 1] >= 0).all()  # nobody is behind the radar


def test_archive_and_folder_are_alike_and_strides_are_chosen(
    unpacked: Path, everything: Windows, tmp_path: Path
) -> None:
    alike = radhar.windows(unpacked, radhar.radhar_spec(), tmp_path)
    rows = everything.recordings == NAME
    np.testing.assert_array_equal(alike.features["radar"], everything.features["radar"][rows])
    np.testing.assert_array_equal(alike.recordings, everything.recordings[rows])
    dense = radhar.windows(unpacked, radhar.radhar_spec(stride_s=1 / 3), tmp_path, recordings=[NAME])
    np.testing.assert_array_equal(dense.features["radar"][::3][: len(alike)], alike.features["radar"])


def test_numbers_padded_with_blanks_are_read(tmp_path: Path) -> None:
    (tmp_path / "walk").mkdir()
    point = "point_id: {}\nx:   1.5\ny:  -0.5\nz: 0.25\nvelocity:    0.0\nintensity:  20.5\n---\n"
    (tmp_path / "walk" / "one.txt").write_text("".join(point.format(i % 2) for i in range(120)))
    (window,) = radhar.windows(tmp_path, radhar.radhar_spec(), tmp_path / "cache").features["radar"]
    np.testing.assert_array_equal(window[:, :2], np.broadcast_to([0.5, 1.5, 0.25, 0, 20.5], (60, 2, 5)))
    assert not window[:, 2:].any()


POINT = "point_id: {}\nx: 1.5\ny: -0.5\nz: 0.25\nvelocity: 0.0\nintensity: 20.5\n---\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "pointer of Git LFS.*git lfs pull"),
        (POINT.format(0).replace("1.5", "nan") * 120, "some of its numbers are not finite"),
        (POINT.format(0).replace("20.5", "inf") * 120, "some of its numbers are not finite"),
        (POINT.format(0).replace("1.5", "1500") * 120, r"its positions, .* cannot be right: .* in metres"),
        (POINT.format(0).replace("0.0", "1e9") * 120, r"its radial speeds, .* cannot be right"),
        (POINT.format(0) + POINT.format(1), "holds one frame alone"),
        (POINT.format(0) * 59, "no recording is as long as a window of 2 s"),
        ("", "is cut or no recording"),
    ],
)
def test_what_a_recording_cannot_hold_is_named(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "walk" / "one.txt"
    file.parent.mkdir()
    file.write_text(text)
    (file.parent / "._one.txt").write_bytes(b"what macOS puts beside a file")
    with pytest.raises(DataSetError, match=told) as error:
        radhar.windows(tmp_path, radhar.radhar_spec(), tmp_path / "cache")
    assert str(tmp_path) in str(error.value)


def test_a_pointer_in_place_of_the_archive_is_told(tmp_path: Path) -> None:
    archive = tmp_path / "radhar.tar.xz"
    archive.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    with pytest.raises(DataSetError, match=r"radhar.tar.xz is a pointer of Git LFS"):
        radhar.windows(archive, radhar.radhar_spec(), tmp_path / "cache")


def test_what_is_missing_or_broken_is_named_and_a_second_call_does_not_read(
    archive: Path, unpacked: Path, tmp_path: Path
) -> None:
    spec, cache = radhar.radhar_spec(), tmp_path / "cache"
    with pytest.raises(DataSetError, match=r"nowhere: no such file or folder"):
        radhar.windows(tmp_path / "nowhere", spec, cache)
    with pytest.raises(DataSetError, match=r"no recording Train/walk/other"):
        radhar.windows(unpacked, spec, cache, recordings=[NAME, "Train/walk/other"])
    cut = tmp_path / "cut.tar.xz"
    cut.write_bytes(archive.read_bytes()[:30_000])
    with pytest.raises(DataSetError, match=r"cut.tar.xz: not a whole archive"):
        radhar.windows(cut, spec, cache)
    file = tmp_path / "RadHAR" / "walk" / "one.txt"
    file.parent.mkdir(parents=True)
    whole = (unpacked / "RadHAR" / "Data" / f"{NAME}.txt").read_bytes()
    file.write_bytes(whole[: whole.rindex(b"velocity")])
    with pytest.raises(DataSetError, match=r"RadHAR/walk/one.txt is cut or no recording"):
        radhar.windows(tmp_path / "RadHAR", spec, cache)
    file.write_bytes(whole.replace(b"x: ", b"x: seven", 1))
    with pytest.raises(DataSetError, match=r"RadHAR/walk/one.txt is broken"):
        radhar.windows(tmp_path / "RadHAR", spec, cache)
    file.write_bytes(whole)
    first = radhar.windows(tmp_path / "RadHAR", spec, cache)
    file.unlink()
    again = radhar.windows(tmp_path / "RadHAR", spec, cache)
    np.testing.assert_array_equal(first.features["radar"], again.features["radar"])
