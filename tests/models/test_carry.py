from __future__ import annotations

import io
import shutil
import tarfile
from pathlib import Path

import pytest

from cosmo_runtime.models.bundle import BundleError, load_bundle
from cosmo_runtime.models.carry import export_bundle, import_bundle, read_key
from cosmo_runtime.models.shelf import SHIPPED_BUNDLE, SIMULATED_BUNDLE, Shelf

_KEY, _OTHER = b"k" * 32, b"o" * 32


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "shelf")


def _exported(tmp_path: Path, key: bytes | None = None) -> Path:
    """A bundle that does not ship, at least not under its name."""
    shutil.copytree(SHIPPED_BUNDLE, tmp_path / "mine", dirs_exist_ok=True)
    export_bundle(load_bundle(tmp_path / "mine"), tmp_path / "bundle.tar", key)
    return tmp_path / "bundle.tar"


def _changed(file: Path, member: str, content: bytes) -> Path:
    """The same file with another content of one member."""
    changed = file.with_name("changed.tar")
    with tarfile.open(file) as old, tarfile.open(changed, "w") as new:
        for info in old:
            part = old.extractfile(info)
            assert part
            data = content if info.name.endswith(f"/{member}") else part.read()
            info.size = len(data)
            new.addfile(info, io.BytesIO(data))
    return changed


def test_a_bundle_arrives_as_it_left(tmp_path: Path, shelf: Shelf) -> None:
    arrived = import_bundle(_exported(tmp_path), shelf)
    assert arrived.path == shelf.folder / "mine"
    assert arrived.digest == load_bundle(SHIPPED_BUNDLE).digest


def test_a_bundle_that_is_named_by_a_dot_and_holds_a_hidden_file_arrives(
    tmp_path: Path, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shutil.copytree(SHIPPED_BUNDLE, tmp_path / "mine"))
    (tmp_path / "mine" / ".DS_Store").write_bytes(b"a file manager's")
    export_bundle(load_bundle(Path()), tmp_path / "dot.tar")
    assert import_bundle(tmp_path / "dot.tar", shelf).path.name == "mine"


def test_what_ships_is_not_imported_and_another_one_of_its_name_does_not_hide_it(tmp_path: Path, shelf: Shelf) -> None:
    export_bundle(load_bundle(SHIPPED_BUNDLE), tmp_path / "shipped.tar")
    with pytest.raises(BundleError, match="holds everyday as it ships with this version; there is nothing to import"):
        import_bundle(tmp_path / "shipped.tar", shelf)
    another = tmp_path / "of another version" / SHIPPED_BUNDLE.name
    shutil.copytree(SIMULATED_BUNDLE, another)
    export_bundle(load_bundle(another), tmp_path / "another.tar")
    arrived = import_bundle(tmp_path / "another.tar", shelf)
    assert arrived.path.name.startswith(f"{SHIPPED_BUNDLE.name}-20")
    assert {path.name: path.shipped for path in shelf.bundles()} == {
        "everyday": True,
        "person": True,
        arrived.path.name: False,
    }
    with pytest.raises(BundleError, match="not the file that model"):
        import_bundle(_changed(tmp_path / "another.tar", "model.onnx", b"x"), shelf)
    assert len(shelf.bundles()) == 3


def test_with_a_key_only_what_bears_its_signature_is_taken(tmp_path: Path, shelf: Shelf) -> None:
    signed = _exported(tmp_path, _KEY)
    with pytest.raises(BundleError, match="signed with another key, or was changed"):
        import_bundle(signed, shelf, _OTHER)
    with pytest.raises(BundleError, match="signed with another key, or was changed"):
        import_bundle(_changed(signed, "README.md", b"another card"), shelf, _KEY)
    signed.unlink()
    with pytest.raises(BundleError, match="has no signature"):
        import_bundle(_exported(tmp_path), shelf, _KEY)
    assert not shelf.folder.exists()
    (tmp_path / "bundle.tar").unlink()
    import_bundle(_exported(tmp_path, _KEY), shelf, _KEY)


def test_a_part_that_was_changed_is_refused_and_nothing_is_left(tmp_path: Path, shelf: Shelf) -> None:
    with pytest.raises(BundleError, match="not the file that model"):
        import_bundle(_changed(_exported(tmp_path), "model.onnx", b"x"), shelf)
    assert list(shelf.folder.iterdir()) == []


def test_a_bundle_that_is_there_is_never_overwritten(tmp_path: Path, shelf: Shelf) -> None:
    file = _exported(tmp_path)
    import_bundle(file, shelf)
    with pytest.raises(BundleError, match="exists already"):
        import_bundle(file, shelf)
    with pytest.raises(BundleError, match="exists already"):
        export_bundle(load_bundle(SHIPPED_BUNDLE), file)


@pytest.mark.parametrize("name", ["../person/model.json", "/etc/model.json", "person/sub/model.json", "person/.hidden"])
def test_a_file_that_would_lie_elsewhere_is_refused(tmp_path: Path, shelf: Shelf, name: str) -> None:
    with tarfile.open(tmp_path / "evil.tar", "w") as tar:
        tar.addfile(tarfile.TarInfo(name), io.BytesIO())
    with pytest.raises(BundleError, match="which is not part of a bundle"):
        import_bundle(tmp_path / "evil.tar", shelf)


def test_what_is_no_bundle_is_said_to_be_none(tmp_path: Path, shelf: Shelf) -> None:
    (tmp_path / "x").write_bytes(b"no tar")
    with pytest.raises(BundleError, match="not an exported bundle"):
        import_bundle(tmp_path / "x", shelf)
    with pytest.raises(BundleError, match="not an exported bundle"):
        import_bundle(tmp_path / "nowhere", shelf)


def test_a_key_is_long_enough(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("short\n")
    with pytest.raises(BundleError, match="openssl rand"):
        read_key(tmp_path / "key")
    (tmp_path / "key").write_bytes(_KEY + b"\n")
    assert read_key(tmp_path / "key") == _KEY
