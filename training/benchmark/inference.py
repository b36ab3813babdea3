"""Measures inference with each learner's network: latency, memory and size, in ONNX Runtime on one thread."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator, Mapping, NamedTuple, Optional

import numpy as np
import torch
from rich.progress import Progress
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from cosmo_runtime.models.features import random_inputs
from cosmo_runtime.models.networks import CosmoNetwork
from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.training.baselines.reference import ReferenceNetwork
from cosmo_runtime.training.benchmark import footprint
from cosmo_runtime.training.benchmark.cost import size
from cosmo_runtime.training.benchmark.experiments import Method
from cosmo_runtime.training.benchmark.one_thread import one_thread_session
from cosmo_runtime.training.datasets.store import DataSetError
from cosmo_runtime.training.export import to_onnx
from cosmo_runtime.training.methods import Budget, Lesson, Predict, learn
from cosmo_runtime.training.windows import Windows

WITHOUT_NETWORK = ("dtw", "minirocket", "forest", "cpc")
"""Rows that are left out: the classical methods have no network, and CPC's is in two pieces."""

TOLERANCE = 1e-3
_WARM_UP = 20


def measure(
    spec: ModelSpec, training: Windows, rows: Mapping[str, Method], progress: Progress, *, runs: int = 300
) -> dict[str, Any]:
    """Measures all networks in turns, A B A B, so that other work on the machine affects all of them alike.

    Training does not change the cost of a network, so each learns for one epoch only.

    Args:
        spec: the spec of the windows.
        training: windows to learn from, some of them labelled.
        rows: methods by name; those without a network are left out.
        progress: shows the methods.
        runs: inferences of each, one window at a time.

    Returns:
        ``runs``; for each row, ``latency_ms`` on one thread (percentiles 5, 50 and 95), ``memory_mb`` that loading and
        running it adds to a process, ``onnx_kb``, ``parameters`` and ``multiply_adds`` for one window.

    Raises:
        RuntimeError: an exported network's answers differ from the network's.
    """
    torch.set_num_threads(1)
    lesson = Lesson(spec, training, Budget(pretrain_epochs=1, epochs=2), 0, progress)
    models: dict[str, bytes] = {}
    figures: dict[str, dict[str, Any]] = {}
    with threadpool_limits(1):
        for row in progress.track([row for row in rows if row not in WITHOUT_NETWORK], description="inference"):
            try:
                network = network_of(learn(rows[row].learner, lesson))
            except DataSetError:  # this method starts from published weights that are missing here
                continue
            if network is not None:
                whole = network if isinstance(network, (CosmoNetwork, ReferenceNetwork)) else _Answering(network, spec)
                models[row] = exported(spec, whole)
                figures[row] = {**vars(size(whole, spec)), "onnx_kb": round(len(models[row]) / 1000)}
        latencies = _latencies_ms(models, spec, runs)
        for row, model in models.items():
            figures[row]["latency_ms"] = np.percentile(latencies[row], [5, 50, 95]).round(4).tolist()
            figures[row]["memory_mb"] = _memory_mb(model)
    return {"runs": runs, "networks": figures}


def network_of(predict: Predict) -> Optional[nn.Module]:
    """The network that a learner predicts with, or None."""
    owner = getattr(predict, "__self__", None)
    candidates = (getattr(predict, "network", None), getattr(owner, "network", None), *getattr(predict, "args", ()))
    return next((found for found in candidates if isinstance(found, nn.Module)), None)


def exported(spec: ModelSpec, network: nn.Module) -> bytes:
    """Exports the network to ONNX as for a bundle, and checks that both give the same answers."""
    window = random_inputs(spec, np.random.default_rng(0))
    with torch.no_grad():
        expected, _ = network.eval()(*map(torch.from_numpy, window.values()))
    with _spectra_by_matrices(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # warnings about batches of several windows, which never occur
        model = to_onnx(spec, network)  # type: ignore[arg-type]
    session = one_thread_session(model)
    answer = session.run(["probabilities"], _inputs(session, window))[0]
    if not np.allclose(answer, expected.numpy(), atol=TOLERANCE):
        raise RuntimeError(f"the exported network answers otherwise, by {np.abs(answer - expected.numpy()).max():.2g}")
    return model


class _Answering(nn.Module):
    """Another method's network in the form of ``models.networks.CosmoNetwork``. It has no fusion weights to report."""

    def __init__(self, network: nn.Module, spec: ModelSpec):
        super().__init__()
        self.network, self.sensors = network, spec.sensors

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        *features, presence = inputs
        logits = self.network(dict(zip(self.sensors, features)), presence)
        return torch.softmax(logits, dim=1), presence / presence.sum(1, keepdim=True)


class _Spectrum(NamedTuple):
    real: Tensor
    imag: Tensor


@contextmanager
def _spectra_by_matrices() -> Iterator[None]:
    """Replaces the Fourier transform, which ONNX lacks before opset 17, by a product with its matrix."""

    def by_matrices(x: Tensor, norm: str) -> _Spectrum:
        steps = x.shape[-1]
        angles = 2 * np.pi / steps * np.outer(np.arange(steps), np.arange(steps // 2 + 1))
        real, imag = (torch.tensor(part / steps**0.5, dtype=x.dtype) for part in (np.cos(angles), -np.sin(angles)))
        return _Spectrum(x @ real, x @ imag)

    original = torch.fft.rfft
    torch.fft.rfft = by_matrices
    try:
        yield
    finally:
        torch.fft.rfft = original


def _latencies_ms(models: Mapping[str, bytes], spec: ModelSpec, runs: int) -> dict[str, list[float]]:
    window = random_inputs(spec, np.random.default_rng(0))
    sessions = {row: one_thread_session(model) for row, model in models.items()}
    taken: dict[str, list[float]] = {row: [] for row in models}
    for run in range(_WARM_UP + runs):
        for row, session in sessions.items():
            inputs = _inputs(session, window)
            started = time.thread_time()  # this thread's time, so that other work on the machine does not count
            session.run(None, inputs)
            if run >= _WARM_UP:
                taken[row].append(1e3 * (time.thread_time() - started))
    return taken


def _memory_mb(model: bytes) -> float:
    """MB that the model adds to a process of its own, which does not even load torch."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        file.write_bytes(model)
        command = [sys.executable, "-m", footprint.__name__, str(file)]
        return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _inputs(session: Any, window: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {wanted.name: window[wanted.name] for wanted in session.get_inputs()}
