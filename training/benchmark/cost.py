"""Compares the cost of Cosmo with its own small encoders and with the authors': training, inference, size."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass
from statistics import median
from typing import Any, Callable, Mapping, Sequence

import numpy as np
import torch
from rich.progress import Progress
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from cosmo_runtime.models.features import random_inputs
from cosmo_runtime.models.networks import CosmoNetwork
from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.training.baselines.reference import ReferenceNetwork, reference
from cosmo_runtime.training.benchmark.one_thread import one_thread_session
from cosmo_runtime.training.cosmo.method import Cosmo
from cosmo_runtime.training.export import to_onnx
from cosmo_runtime.training.methods import Budget, Learner, Lesson
from cosmo_runtime.training.windows import Windows

LEARNERS: Mapping[str, Learner] = {"default": Cosmo(), "reference": reference}
NETWORKS: Mapping[str, Callable[[ModelSpec], nn.Module]] = {"default": CosmoNetwork, "reference": ReferenceNetwork}


def compare(
    spec: ModelSpec, windows: Windows, progress: Progress, *, runs: int = 5, latency_runs: int = 300
) -> dict[str, Any]:
    """Measures both in turns, A B A B, on one thread, so that other work on the machine affects both alike.

    Args:
        spec: IMU and skeleton, the sensors that the authors published encoders for.
        windows: training windows, some of them labelled.
        progress: shows the runs.
        runs: trainings of each: two epochs of stage 1, of which the second counts, and one round of stage 2.
        latency_runs: inferences of each, one window at a time.

    Returns:
        ``runs``, ``latency_runs``, ``windows`` and ``labelled``; for each network, ``parameters``, ``multiply_adds``
        for one window, the medians of ``stage_1_s`` and ``stage_2_s`` per epoch and of ``latency_ms``, and all runs.
    """
    torch.set_num_threads(1)
    task = progress.add_task("cost", total=runs * len(NETWORKS))
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in NETWORKS}
    with threadpool_limits(1):
        for run in range(runs):
            for name in NETWORKS:
                seconds[name].append(_seconds_an_epoch(name, spec, windows, run, progress))
                progress.advance(task)
        latencies = _latencies_ms({name: make(spec) for name, make in NETWORKS.items()}, spec, latency_runs)
    return {
        "runs": runs,
        "latency_runs": latency_runs,
        "windows": len(windows),
        "labelled": len(windows.labelled),
        "networks": {
            name: {
                **vars(size(make(spec), spec)),
                "stage_1_s": median(stage_1 for stage_1, _ in seconds[name]),
                "stage_2_s": median(stage_2 for _, stage_2 in seconds[name]),
                "latency_ms": median(latencies[name]),
                "all": {"stages_s": seconds[name], "latency_ms": np.percentile(latencies[name], [5, 50, 95]).tolist()},
            }
            for name, make in NETWORKS.items()
        },
    }


@dataclass(frozen=True)
class Size:
    """A network's parameters, and its multiply-adds for one window."""

    parameters: int
    multiply_adds: int


def size(network: nn.Module, spec: ModelSpec) -> Size:
    """Counts those of convolutions, linear maps and recurrent layers, which are nearly all of them.

    Args:
        network: takes each modality's features and the presence.
        spec: the spec of its inputs.
    """
    counted = 0

    def count(module: nn.Module, inputs: Sequence[Tensor], output: Any) -> None:
        nonlocal counted
        if isinstance(module, (nn.GRU, nn.LSTM)):
            counted += sum(weight.numel() for weight in module.parameters() if weight.ndim == 2) * inputs[0].shape[1]
        else:  # each output number is one product with a row of the weights
            counted += output.numel() * module.weight[0].numel()  # type: ignore[index]

    layers = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.GRU, nn.LSTM)
    hooks = [module.register_forward_hook(count) for module in network.modules() if isinstance(module, layers)]
    with torch.no_grad():
        network.eval()(*_one_window(spec))
    for hook in hooks:
        hook.remove()
    return Size(sum(parameter.numel() for parameter in network.parameters()), counted)


def _seconds_an_epoch(
    name: str, spec: ModelSpec, windows: Windows, seed: int, progress: Progress
) -> tuple[float, float]:
    """Seconds per epoch of stage 1 and of stage 2. Stage 2 is the mean over one round, without its set-up."""
    ends: dict[int, list[float]] = {1: [], 2: []}
    learner, round_epochs = LEARNERS[name], 2 * Cosmo.turn
    budget = Budget(pretrain_epochs=2, epochs=round_epochs)
    # The first round starts at an unknown time, after the quality of modality. So the second round is measured.
    lesson = Lesson(spec, windows, budget, seed, progress)
    network = learner.pretrain(lesson._replace(on_epoch=lambda _: ends[1].append(time.monotonic())))
    learner.tune(network, lesson._replace(on_epoch=lambda _: ends[2].append(time.monotonic())))
    first, second = ends[2][:round_epochs], ends[2][round_epochs:]
    return ends[1][1] - ends[1][0], (second[-1] - first[-1]) / len(second)


def _latencies_ms(networks: Mapping[str, Any], spec: ModelSpec, runs: int) -> dict[str, list[float]]:
    """The time of each inference in ONNX Runtime; the networks take turns."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # warnings about batches of several windows, which never occur
        models = {name: to_onnx(spec, network.eval()) for name, network in networks.items()}
    sessions = {name: one_thread_session(model) for name, model in models.items()}
    window = [tensor.numpy() for tensor in _one_window(spec)]
    taken: dict[str, list[float]] = {name: [] for name in networks}
    for _ in range(runs):
        for name, session in sessions.items():
            inputs = {wanted.name: array for wanted, array in zip(session.get_inputs(), window)}
            started = time.perf_counter()
            session.run(None, inputs)
            taken[name].append(1e3 * (time.perf_counter() - started))
    return taken


def _one_window(spec: ModelSpec) -> list[Tensor]:
    return [torch.from_numpy(array) for array in random_inputs(spec, np.random.default_rng(0)).values()]
