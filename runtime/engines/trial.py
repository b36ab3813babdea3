"""Tries a bundle in a separate process before it runs here, because its model may hang, crash or fill the memory.

A trial takes a second or more. It is done once for each bundle, except the shipped ones. A successful trial leaves a
file in ``tried/`` beside the user's bundles, named after the bundle's digest and the version of ONNX Runtime.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import onnxruntime

from cosmo_runtime.models.bundle import Bundle, BundleError, load_bundle
from cosmo_runtime.models.files import write_whole
from cosmo_runtime.models.shelf import SHIPPED
from cosmo_runtime.places import data_folder
from cosmo_runtime.runtime.engines.answers import check_engine
from cosmo_runtime.runtime.engines.onnxruntime import EngineError, OnnxRuntimeEngine

LIMIT_S = 60
"""How long a trial may take. A busy TX2 needs a few seconds."""

_MEMORY_BYTES = 2 << 30  # Python and ONNX Runtime take a tenth of it; the model's share is added
_OF_THE_MODEL = 4  # multiple of the model's size
_CODE = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
_CODE += "from cosmo_runtime.runtime.engines.trial import main; main(*sys.argv[2:])"


def ensure_tried(bundle: Bundle) -> None:
    """Tries a bundle's model on ONNX Runtime's CPU provider, unless it is known to be good.

    Raises:
        EngineError: the model hangs, crashes, takes too much memory, or gives invalid answers.
    """
    if bundle.path.resolve().parent == SHIPPED.resolve():
        return
    record = data_folder() / "tried" / f"{bundle.digest}-{onnxruntime.__version__}"
    if record.exists():
        return
    _try(bundle)
    with suppress(OSError):  # it is tried again next time
        record.parent.mkdir(parents=True, exist_ok=True)
        write_whole(record, b"")


def main(path: str, digest: str, limit_s: str) -> None:
    """Runs in the process. Writes to standard output why a bundle is bad."""
    signal.alarm(int(limit_s))  # ends it even if its parent is gone
    try:
        _run_here(Path(path), digest)
    except (BundleError, EngineError) as error:
        print(error)
        sys.exit(1)


def _run_here(path: Path, digest: str) -> None:
    bundle = load_bundle(path)
    if bundle.digest != digest:
        raise BundleError(f"{path} was changed while it was loaded; start again")
    most = _MEMORY_BYTES + _OF_THE_MODEL * bundle.onnx.stat().st_size
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    for graph in filter(None, (bundle.onnx, bundle.onnx_skipping)):
        check_engine(OnnxRuntimeEngine(graph), bundle)


def _try(bundle: Bundle) -> None:
    command = [sys.executable, "-I", "-c", _CODE, json.dumps(sys.path), str(bundle.path), bundle.digest, str(LIMIT_S)]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},  # otherwise numpy allocates memory for every core
            timeout=LIMIT_S,
        )
    except subprocess.TimeoutExpired as error:
        raise EngineError(f"{bundle.path}: its model does not answer within {LIMIT_S} s; train it again") from error
    if done.returncode == -signal.SIGALRM:
        raise EngineError(f"{bundle.path}: its model does not answer within {LIMIT_S} s; train it again")
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        raise EngineError(f"{bundle.path}: its model ends the process that runs it, by {name}; train it again")
    if done.returncode:
        last = [done.stdout.strip(), *done.stderr.strip().splitlines()]
        raise EngineError(last[0] or f"{bundle.path}: its model could not be tried: {last[-1]}")
