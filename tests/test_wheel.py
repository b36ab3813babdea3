"""The wheel, installed where there is no checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path
from typing import List

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    tree = folder / "tree"  # a copy, so that nothing is built in the checkout
    _done("git", "clone", "--quiet", str(ROOT), str(tree)) if (ROOT / ".git").exists() else pytest.skip("no checkout")
    changed = _done("git", "-C", str(ROOT), "diff", "--binary", "HEAD")
    if changed.strip():
        subprocess.run(["git", "-C", str(tree), "apply"], input=changed, text=True, check=True)
    words = ["-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(folder), str(tree)]
    _done(sys.executable, *words)
    return next(folder.glob("*.whl"))


def _done(*words: str, cwd: Path = ROOT) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(words, cwd=str(cwd), env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_it_holds_what_users_need_and_none_of_the_projects_own_papers(wheel: Path) -> None:
    names = {name[len("cosmo_runtime/") :] for name in zipfile.ZipFile(wheel).namelist()}
    assert {
        "cosmo.toml",
        "docs/cosmo-runtime@.service",
        "docs/cosmo-purge@.service",
        "docs/cosmo-purge@.timer",
        "sensors/99-cosmo.rules",
        "sensors/radar/iwr6843_people_20hz.cfg",
        "tools/bench.py",
        "models/bundles/everyday/model.onnx",
        "models/bundles/person/model.onnx",
        "models/bundles/person/README.md",
        "models/pretrained/utd/encoders.safetensors",
        "models/pretrained/utd/README.md",
    } <= names
    assert not [name for name in names if name.endswith(".md") and not name.startswith("models/")]
    assert not [name for name in names if name.startswith(("tests/", "src/"))]
    assert not [name for name in names if name.startswith("models/") and "/engines/" in name]  # of one machine's GPU


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_it_runs_without_a_checkout(wheel: Path, tmp_path: Path) -> None:
    cosmo = _installed(wheel, tmp_path / "venv")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()

    def run(*words: str) -> str:
        return _done(*cosmo, *words, cwd=elsewhere)

    assert "usage: cosmo-runtime" in run("--help")
    assert "usage: cosmo-runtime bench" in run("bench", "--help")
    example = Path(run("files", "cosmo.toml").strip())
    assert str(example).startswith(str(tmp_path / "venv")) and "[recognition]" in example.read_text()
    assert all(Path(line).exists() for line in run("files").splitlines() if not line.startswith(" "))
    output = run("--sensors", "imu,radar", "--emulate", "person", "--duration", "3", "--output", "-")
    assert '"activity"' in output


def _installed(wheel: Path, folder: Path) -> List[str]:
    """Installs the wheel in an environment of its own, which finds only the libraries of this one; its command."""
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    site = Path(_done(str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    _done(sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", str(wheel))
    libraries = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    (site / "libraries.pth").write_text("".join(f"{path}\n" for path in libraries))
    return [str(folder / "bin" / "cosmo-runtime")]
