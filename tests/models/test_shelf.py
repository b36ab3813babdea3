from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from datetime import date
from pathlib import Path
from typing import List

import pytest

from cosmo_runtime.models.bundle import Bundle, BundleError, write_bundle
from cosmo_runtime.models.shelf import SHIPPED, SHIPPED_BUNDLE, SHIPPED_ENCODERS, Shelf
from cosmo_runtime.models.spec import ModalitySpec, ModelSpec

SPEC = ModelSpec(
    modalities=(ModalitySpec(sensor="imu", rate_hz=100, shape=(6,)),),
    window_s=2,
    hop_s=0.5,
    classes=("sit", "walk"),
    quality=(1.0,),
)


def write(path: Path, onnx: bytes = b"\x08\x07") -> Bundle:
    return write_bundle(path, SPEC, onnx=onnx, weights=b"numbers", provenance={}, metrics={})


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    """With two bundles, a and b, beside the shipped one."""
    shelf = Shelf(tmp_path / "bundles")
    for name in "ab":
        write(shelf.folder / name)
    return shelf


def names(shelf: Shelf) -> List[str]:
    return [shelved.name for shelved in shelf.bundles()]


def test_a_new_shelf_has_the_shipped_bundle_in_use_and_writes_nothing(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "bundles")
    assert shelf.in_use == SHIPPED / "everyday"
    everyday, person = shelf.bundles()
    assert (everyday.name, everyday.shipped, everyday.path) == ("everyday", True, shelf.in_use)
    assert (person.name, person.shipped) == ("person", True)
    assert all("walk" in shelved.bundle.spec.classes for shelved in (everyday, person))
    assert list(tmp_path.iterdir()) == []


def test_what_nobody_chose_is_not_in_use_for_others(tmp_path: Path) -> None:
    simulated, real = Shelf(tmp_path, "person"), Shelf(tmp_path)
    simulated.use("everyday")
    assert real.in_use.name == "everyday"
    simulated.rollback()
    assert (simulated.in_use.name, real.in_use.name) == ("person", "everyday")
    real.use("person")
    real.rollback()
    assert (simulated.in_use.name, real.in_use.name) == ("person", "everyday")


@pytest.mark.parametrize("motion, name", [("person", "person"), ("person:7", "person"), ("utd:data", "everyday")])
def test_before_the_simulated_person_the_bundle_that_knows_it_is_in_use_unless_another_was_chosen(
    tmp_path: Path, motion: str, name: str
) -> None:
    shelf = Shelf(tmp_path, motion)
    assert shelf.in_use == SHIPPED / name
    write(tmp_path / "a")
    shelf.use("a")
    assert shelf.in_use == Shelf(tmp_path).in_use == tmp_path / "a"


def test_what_is_put_in_use_is_in_use_for_whoever_looks_next(shelf: Shelf) -> None:
    assert shelf.use("a").path == shelf.folder / "a"
    assert Shelf(shelf.folder).in_use == shelf.folder / "a"
    assert names(shelf) == ["a", "b", "everyday", "person"]


def test_a_rollback_goes_back_one_at_a_time_to_the_shipped_one_and_no_further(shelf: Shelf) -> None:
    for name in "aabba":
        shelf.use(name)
    assert [shelf.rollback().path.name for _ in range(3)] == ["b", "a", "everyday"]
    assert shelf.in_use == SHIPPED / "everyday"
    with pytest.raises(BundleError, match="is the first model"):
        shelf.rollback()


def test_a_name_that_is_not_there_is_refused_with_those_that_are(shelf: Shelf) -> None:
    shelf.use("a")
    for name in ("c", "../bundles/b", ".", "", str(shelf.folder / "b")):
        with pytest.raises(BundleError, match="there are: a, b, everyday, person"):
            shelf.use(name)
    assert shelf.in_use == shelf.folder / "a"


def test_a_folder_is_found_by_its_path_and_else_by_its_name(
    shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert shelf.find("a") == shelf.folder / "a"
    assert shelf.find("person") == SHIPPED / "person"
    assert shelf.find("nowhere") == Path("nowhere")
    Path("a").mkdir()
    assert shelf.find("a") == Path("a")


def test_a_beginning_that_no_other_name_has_is_enough_to_use_a_bundle(shelf: Shelf) -> None:
    for name in ("room-2026-11-24-1", "room-2026-11-25-1", "room-2026-11-25-10"):
        write(shelf.folder / name)
    assert shelf.use("room-2026-11-24").path.name == "room-2026-11-24-1"
    assert shelf.use("room-2026-11-25-1").path.name == "room-2026-11-25-1"  # a whole name, though another begins so
    assert json.loads((shelf.folder / "in-use.json").read_text())["history"][-1] == "room-2026-11-25-1"
    with pytest.raises(BundleError, match="room-2026-11-25 may be any of: room-2026-11-25-1, room-2026-11-25-10;"):
        shelf.use("room-2026-11-25")
    shutil.rmtree(shelf.folder / "room-2026-11-25-1")
    with pytest.raises(BundleError, match=r"no bundle is called room-2026-11-25-1; there are: .*room-2026-11-25-10"):
        shelf.use("room-2026-11-25-1")


def test_the_name_of_encoders_is_no_beginning_of_a_bundles_name(shelf: Shelf) -> None:
    with pytest.raises(BundleError, match=r"utd is a set of encoders, which recognise nothing .* them$"):
        shelf.use("utd")
    write(shelf.folder / "utd-2026-11-24-1")
    with pytest.raises(BundleError, match="of them; choose one of: utd-2026-11-24-1"):
        shelf.use("utd")
    assert shelf.use("utd-").path.name == "utd-2026-11-24-1"
    write(shelf.folder / "utd")
    assert shelf.use("utd").path.name == "utd"


def test_shipped_encoders_are_found_by_name_from_any_folder_and_a_users_bundle_before_them(
    shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert shelf.find("utd") == SHIPPED_ENCODERS / "utd"
    assert "utd" not in names(shelf)
    assert shelf.find("utd").is_absolute() and (shelf.find("utd") / "encoders.safetensors").is_file()
    write(shelf.folder / "utd")
    assert shelf.find("utd") == shelf.folder / "utd"


def test_a_folder_whose_name_a_terminal_would_obey_is_not_listed(shelf: Shelf) -> None:
    (shelf.folder / "a").rename(shelf.folder / "\x1b[2J")
    assert names(shelf) == ["b", "everyday", "person"]


def test_what_killed_processes_left_on_the_shelf_is_swept(shelf: Shelf) -> None:
    shelf.use("a")
    for left in (".a.3.new", ".b.3.old", ".c.4.new"):
        (shelf.folder / left).mkdir()
    (shelf.folder / "a").rename(shelf.folder / ".a.3.old")
    (shelf.folder / ".in-use.json.3.new").write_text("{")
    shelf.sweep()
    assert sorted(path.name for path in shelf.folder.iterdir()) == [".lock", "a", "b", "in-use.json"]
    assert shelf.in_use == shelf.folder / "a" and names(shelf) == ["a", "b", "everyday", "person"]


def test_sweeping_where_there_is_no_shelf_makes_none(tmp_path: Path) -> None:
    Shelf(tmp_path / "bundles").sweep()
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_bundle_is_listed_with_its_damage_and_cannot_be_used(shelf: Shelf) -> None:
    shelf.use("a")
    (shelf.folder / "b" / "model.onnx").write_bytes(b"tampered")
    damaged = shelf.bundles()[1]
    assert (damaged.name, damaged.bundle) == ("b", None)
    assert "model.onnx is not the file" in damaged.damage
    with pytest.raises(BundleError, match=r"b/model\.onnx is not the file"):
        shelf.use("b")
    assert shelf.in_use == shelf.folder / "a"


@pytest.mark.parametrize("harm", ["damaged", "gone"])
def test_a_rollback_to_what_cannot_run_is_refused_and_changes_nothing(shelf: Shelf, harm: str) -> None:
    shelf.use("a")
    shelf.use("b")
    if harm == "damaged":
        (shelf.folder / "a" / "weights.safetensors").unlink()
    else:
        (shelf.folder / "a").rename(shelf.folder.parent / "elsewhere")
    with pytest.raises(BundleError, match="bundle use NAME"):
        shelf.rollback()
    assert shelf.in_use == shelf.folder / "b"


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        '{"history": []}',
        '{"history": [3]}',
        '{"history": ["../../x"]}',
        '{"history": [".."]}',
        "[" * 99_999,
    ],
)
def test_a_damaged_state_says_how_to_begin_anew(shelf: Shelf, content: str) -> None:
    file = shelf.folder / "in-use.json"
    file.write_text(content)
    for ask in (lambda: shelf.in_use, lambda: shelf.use("a"), shelf.rollback):
        with pytest.raises(BundleError, match=r"in-use\.json is damaged .*; delete it"):
            ask()
    file.unlink()
    assert shelf.in_use.name == "everyday"


def test_a_users_own_bundle_hides_a_shipped_one_of_the_same_name(shelf: Shelf) -> None:
    write(shelf.folder / "everyday")
    assert names(shelf) == ["a", "b", "everyday", "person"]
    assert shelf.in_use == shelf.use("everyday").path == shelf.folder / "everyday"


def test_new_bundles_are_named_after_what_they_come_from_the_day_and_a_number(shelf: Shelf) -> None:
    today = date.today().isoformat()
    first = shelf.new_path("person")
    assert first == shelf.folder / f"person-{today}-1"
    assert shelf.new_path("person-2020-01-31-12").name == f"person-{today}-2"
    assert shelf.new_path("my-room").name == f"my-room-{today}-1"
    assert names(shelf) == ["a", "b", "everyday", "person"]  # a name that waits for its bundle is none
    write(first)
    assert names(shelf) == ["a", "b", "everyday", "person", first.name]
    assert shelf.new_path("person").name == f"person-{today}-3"


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    shelf = Shelf(tmp_path / "file" / "bundles")
    for change in (lambda: shelf.new_path("person"), lambda: shelf.use("person")):
        with pytest.raises(BundleError, match=r"file/bundles cannot be written: Not a directory"):
            change()


def test_the_folder_is_where_the_desktop_keeps_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert Shelf().folder == Path("/data/cosmo-runtime/bundles")


def test_a_writer_that_was_killed_leaves_nothing_on_the_shelf(shelf: Shelf) -> None:
    path = shelf.new_path("person")
    script = f"""
import os, sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parent)!r})
import test_shelf
def hang(_):
    print("writing", flush=True)
    os.read(0, 1)
os.fsync = hang
test_shelf.write(Path({str(path)!r}))
"""
    process = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"writing\n"
    half_written = [child for child in shelf.folder.iterdir() if child.name.startswith(f".{path.name}.")]
    assert names(shelf) == ["a", "b", "everyday", "person"]
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert all(folder.exists() for folder in half_written) and half_written
    assert names(shelf) == ["a", "b", "everyday", "person"]
    assert write(path).path == path
    assert path.name in names(shelf)


def test_a_process_that_was_killed_in_its_turn_does_not_block_the_next(shelf: Shelf) -> None:
    script = f"""
import time
from pathlib import Path
from cosmo_runtime.models.shelf import Shelf
with Shelf(Path({str(shelf.folder)!r}))._change():
    print("mine", flush=True)
    time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"mine\n"
    process.kill()
    process.wait()
    began = time.monotonic()
    shelf.use("a")
    assert time.monotonic() - began < 30


def test_processes_that_change_a_shelf_at_once_lose_no_change_and_share_no_name(shelf: Shelf) -> None:
    script = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parent)!r})
import test_shelf
shelf = test_shelf.Shelf(Path({str(shelf.folder)!r}))
for number in range(10):
    test_shelf.write(shelf.folder / f"{{sys.argv[1]}}-{{number}}")
print("ready", flush=True)
input()
for number in range(10):
    shelf.use(f"{{sys.argv[1]}}-{{number}}")
    assert shelf.in_use.is_dir()
    print(shelf.new_path("person").name)
"""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, universal_newlines=True
        )
        for name in "xyz"
    ]
    assert [process.stdout.readline() for process in processes] == ["ready\n"] * 3
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    made = [name for process in processes for name in process.communicate(timeout=60)[0].split()]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert len(made) == len(set(made)) == 30
    history = json.loads((shelf.folder / "in-use.json").read_text())["history"]
    assert sorted(history) == sorted(["everyday", *(f"{name}-{number}" for name in "xyz" for number in range(10))])


def test_a_user_without_a_home_has_the_shipped_bundles_and_is_told_why_no_other_can_be_put_in_use(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    none = "/proc/nonexistent"  # where not even root can make it
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", none)
    monkeypatch.setattr("cosmo_runtime.models.shelf._NO_HOME", Path(none))
    assert Shelf().in_use == SHIPPED_BUNDLE
    assert "person" in [shelved.name for shelved in Shelf().bundles()]
    with pytest.raises(BundleError, match="no home folder; set HOME or XDG_DATA_HOME"):
        Shelf().use("person")


def test_a_name_means_no_folder_of_the_same_name_where_one_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "person").mkdir()
    shelf = Shelf(tmp_path / "bundles")
    assert shelf.find("person") == Path("person")
    named = shelf.named("person")
    assert named is not None and named.is_absolute()
    assert (named != tmp_path / "person", shelf.named("nothing")) == (True, None)


def test_a_bundle_is_called_by_its_name_where_that_leads_to_it(
    shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = write(tmp_path / "elsewhere" / "a").path
    assert shelf.called(SHIPPED_BUNDLE) == "everyday"
    assert shelf.called(shelf.folder / "a") == "a"
    assert shelf.called(elsewhere) == str(elsewhere)
    (tmp_path / "everyday").mkdir()
    monkeypatch.chdir(tmp_path)  # here, the name leads to another folder
    assert shelf.called(SHIPPED_BUNDLE) == str(SHIPPED_BUNDLE)
