"""What Cosmo costs with its own small encoders and with the authors', side by side: training, inference, size."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass
from statistics import median
from typing import Any, Callable, Mapping, Sequence

import numpy as np
import onnxruntime
import torch
from rich.progress import Progress
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from models.networks import CosmoNetwork
from models.reference import AnyNetwork, ReferenceNetwork
from models.spec import ModelSpec
from training.cosmo import Cosmo, Epoch, Sizes
from training.export import to_onnx
from training.methods import Budget
from training.windows import Windows

NETWORKS: Mapping[Sizes, Callable[[ModelSpec], AnyNetwork]] = {"default": CosmoNetwork, "reference": ReferenceNetwork}
"""By the names that ``training.cosmo.Cosmo`` gives their encoders."""


def compare(
    spec: ModelSpec, windows: Windows, progress: Progress, *, runs: int = 5, latency_runs: int = 300
) -> dict[str, Any]:
    """Measure both in turns, A B A B, on one thread, so that whatever else the machine does meets both.

    Args:
        spec: IMU and skeleton, what the authors published encoders for.
        windows: to train on, some of them labelled.
        progress: shows the runs.
        runs: trainings of each: two epochs of stage 1, of which the second counts, and one round of stage 2.
        latency_runs: inferences of each, a window at a time.

    Returns:
        ``runs``, ``latency_runs``, ``windows`` and ``labelled``; by network ``parameters`` and ``multiply_adds`` of a
        window, medians of ``stage_1_s`` and ``stage_2_s`` of an epoch and of ``latency_ms``, and all of the runs.
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
    """Of a network: parameters, and multiplications with additions that one window takes."""

    parameters: int
    multiply_adds: int


def size(network: nn.Module, spec: ModelSpec) -> Size:
    """Count those of convolutions, linear maps and recurrent layers, where nearly all are.

    Args:
        network: takes each modality's features and the presence.
        spec: of its inputs.
    """
    counted = 0

    def count(module: nn.Module, inputs: Sequence[Tensor], output: Any) -> None:
        nonlocal counted
        if isinstance(module, nn.GRU):
            counted += sum(weight.numel() for weight in module.parameters() if weight.ndim == 2) * inputs[0].shape[1]
        else:  # each number of the output is one product with a row of the weights
            counted += output.numel() * module.weight[0].numel()  # type: ignore[index]

    layers = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.GRU)
    hooks = [module.register_forward_hook(count) for module in network.modules() if isinstance(module, layers)]
    with torch.no_grad():
        network.eval()(*_one_window(spec))
    for hook in hooks:
        hook.remove()
    return Size(sum(parameter.numel() for parameter in network.parameters()), counted)


def _seconds_an_epoch(
    name: Sizes, spec: ModelSpec, windows: Windows, seed: int, progress: Progress
) -> tuple[float, float]:
    """Of stage 1 and of stage 2, the mean of one round's epochs of both parts, without what comes before the first."""
    ends: dict[int, list[float]] = {1: [], 2: []}

    def watch(epoch: Epoch) -> None:
        ends[epoch.stage].append(epoch.seconds)

    method = Cosmo(encoders=name, watch=watch)
    # The first round of stage 2 begins at an unknown moment, after the quality of modality: a second one is measured.
    method(spec, windows, Budget(pretrain_epochs=2, epochs=2 * method.turn), seed, progress)
    first, second = ends[2][: 2 * method.turn], ends[2][2 * method.turn :]
    return ends[1][1] - ends[1][0], (second[-1] - first[-1]) / len(second)


def _latencies_ms(networks: Mapping[Sizes, AnyNetwork], spec: ModelSpec, runs: int) -> dict[str, list[float]]:
    """Of each inference, in ONNX Runtime, in turns."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about batches of several windows, which are never given
        models = {name: to_onnx(spec, network.eval()) for name, network in networks.items()}
    sessions = {
        name: onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        for name, model in models.items()
    }
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
    """Random features of each modality and a presence of all."""
    features = [torch.rand(1, spec.steps(m), *m.shape) for m in spec.modalities]
    return [*features, torch.ones(1, len(spec.modalities))]
