"""The fake GPU's names and parameters, and so those that the engine and the builder call, are NVIDIA's own.

NVIDIA's bindings (about 1 MB a version) load without TensorRT's libraries, and without a GPU, when libraries of the
same names offer the dozen C functions that they look for. No wheel of 8.2 is published for other machines than
Jetsons; its names are a part of those of 8.6, which has both generations'.
"""

from __future__ import annotations

import inspect
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any, Callable, Dict, List

import pytest

pytestmark = pytest.mark.slow

WHEELS = {"8.6.1": "tensorrt-bindings==8.6.1", "10.3.0": "tensorrt-cu12-bindings==10.3.0"}
WHEELS["11.4.0.106"] = "tensorrt-cu13-bindings==11.4.0.106"
CACHE = Path.home() / ".cache" / "cosmo-runtime-tests"
REPOSITORY = Path(__file__).parents[2]

# Names of the classes' members with their docstrings, in which the bindings write the parameters.
_DESCRIBE = """
import json, sys
import tensorrt
from rich.progress import Progress
from cosmo_runtime.runtime.engines.tensorrt import logger_of
from cosmo_runtime.runtime.engines.build import _monitor
described = {
    name: {member: str(getattr(item, member).__doc__) for member in dir(item)}
    for name, item in vars(tensorrt).items() if isinstance(item, type)
}
logger_of(tensorrt).log(tensorrt.ILogger.INFO, "our logger is one of NVIDIA's kind")
if hasattr(tensorrt, "IProgressMonitor"):
    with Progress(disable=True) as progress:
        monitor = _monitor(tensorrt, progress)
        monitor.phase_start("a phase", None, 2)
        assert monitor.step_complete("a phase", 0) is True
        monitor.phase_finish("a phase")
        assert isinstance(monitor, tensorrt.IProgressMonitor)
print(json.dumps(described))
"""


@pytest.fixture(params=WHEELS)
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def described(version: str) -> Dict[str, Dict[str, str]]:
    """The members of NVIDIA's own classes, by class, with their docstrings."""
    compiler = shutil.which("cc")
    if not compiler or platform.machine() != "x86_64":
        pytest.skip("needs a C compiler (cc) on x86-64")
    folder = CACHE / f"tensorrt-bindings-{version}-{sys.implementation.cache_tag}"
    if not (folder / "lib").is_dir():
        _prepare(folder, WHEELS[version], compiler)
    environment = {
        **os.environ,
        "LD_LIBRARY_PATH": str(folder / "lib"),
        "PYTHONPATH": os.pathsep.join([str(folder / "tensorrt_bindings"), str(REPOSITORY / "src")]),
    }
    told = subprocess.run([sys.executable, "-c", _DESCRIBE], env=environment, capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    return dict(json.loads(told.stdout))


def _prepare(folder: Path, wheel: str, compiler: str) -> None:
    """Downloads the bindings, and makes the libraries that they ask for."""
    folder.mkdir(parents=True, exist_ok=True)
    pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--dest", str(folder), wheel]
    try:
        fetched = subprocess.run(pip, capture_output=True, text=True, timeout=100)
    except subprocess.TimeoutExpired:
        pytest.skip(f"{wheel} could not be downloaded: it took too long")
    if fetched.returncode:
        pytest.skip(f"{wheel} could not be downloaded: {fetched.stderr.strip().splitlines()[-1:]}")
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as archive:
        archive.extractall(folder)
    bindings = folder / "tensorrt_bindings" / "tensorrt.so"
    wanted = set(
        re.findall(rb"\blib(?:nvinfer|nvonnxparser|nvparsers|nvinfer_plugin)\.so\.\d+\b", bindings.read_bytes())
    )
    listed = subprocess.run(["nm", "-D", "--undefined-only", str(bindings)], capture_output=True, text=True, check=True)
    symbols = [line.split()[1] for line in listed.stdout.splitlines() if re.match(r"\s+U [\w]+$", line)]
    ours = [name for name in symbols if re.search(r"INTERNAL|Plugin|ParserVersion|parser", name)]
    (folder / "stubs.c").write_text("".join(f"void *{name}(void) {{ return 0; }}\n" for name in ours))
    fresh = folder / "lib.new"
    fresh.mkdir(exist_ok=True)
    for name in map(bytes.decode, wanted):
        command = [
            compiler,
            "-shared",
            "-fPIC",
            f"-Wl,-soname,{name}",
            "-o",
            str(fresh / name),
            str(folder / "stubs.c"),
        ]
        subprocess.run(command, check=True)
    fresh.rename(folder / "lib")


def members(trt: Any) -> Dict[str, Dict[str, Any]]:
    """The public members of a fake TensorRT's classes, by class."""
    classes = {name: item for name, item in vars(trt).items() if isinstance(item, type)}
    return {
        name: {member: value for member, value in vars(item).items() if not member.startswith("_")}
        for name, item in classes.items()
    }


def test_the_fake_has_nothing_that_the_real_one_lacks(
    version: str, described: Dict[str, Dict[str, str]], install_gpu: Callable[..., Any]
) -> None:
    installed = [version] if version != "8.6.1" else ["8.6.1", "8.2.1.8"]
    for fake in installed:
        install_gpu(fake)
        for name, ours in members(sys.modules["tensorrt"]).items():
            assert name in described, f"TensorRT {version} has no {name}"
            assert set(ours) <= set(described[name]), f"TensorRT {version}'s {name} lacks these"


def test_the_fake_lacks_what_the_real_one_lacks(
    version: str, described: Dict[str, Dict[str, str]], install_gpu: Callable[..., Any]
) -> None:
    install_gpu(version)
    ours = members(sys.modules["tensorrt"])
    for other in WHEELS:
        install_gpu(other)
        for name, theirs in members(sys.modules["tensorrt"]).items():
            for member in set(theirs) - set(ours.get(name, {})):
                assert member not in described.get(name, {}), f"TensorRT {version} does have {name}.{member}"


def test_methods_take_the_parameters_that_the_fake_takes(
    version: str, described: Dict[str, Dict[str, str]], install_gpu: Callable[..., Any]
) -> None:
    install_gpu(version)
    checked: List[str] = []
    for name, ours in members(sys.modules["tensorrt"]).items():
        for member, value in ours.items():
            if inspect.isfunction(value):
                wanted = list(inspect.signature(value).parameters)
                overloads = re.findall(rf"\b{member}\(self: [^,)]+([^)]*)\)", described[name][member])
                taken = [["self", *re.findall(r", (\w+):", overload)] for overload in overloads]
                assert any(wanted == names[: len(wanted)] for names in taken), (name, member, wanted, taken)
                checked.append(f"{name}.{member}")
    assert "Builder.build_serialized_network" in checked
    assert ("IExecutionContext.execute_async_v3" in checked) and len(checked) > 20
