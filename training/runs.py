"""Runs the comparison's jobs and keeps each one's result in a small file, so that a run goes on where it stopped."""

from __future__ import annotations

import json
import platform
import time
import traceback
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from itertools import combinations
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Mapping, Optional, Sequence

import numpy as np
import torch
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from safetensors import safe_open
from safetensors.torch import save
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from models.files import write_whole
from models.networks import Encoders
from models.spec import ModelSpec
from training import evaluate
from training.comparison import METHODS, PARTS, ROWS, STUDIED, Job, Method, ModalityDistance
from training.cosmo import Cosmo, Epoch
from training.datasets.store import DataSetError
from training.finetune import embed
from training.methods import Predict, TwoStages, normalise
from training.pretrain import pretrain
from training.protocols import PROTOCOLS, Task
from training.windows import Windows

COST = "cost"
"""Name of the result of ``training.cost``."""

_LIBRARIES = ("cosmo-runtime", "torch", "numpy", "scikit-learn", "sktime")


class ResultError(Exception):
    """A result that is damaged or cannot be written; the message names the file and what to do."""


class Results:
    """A folder of results, each written whole or not at all."""

    def __init__(self, folder: Path):
        self.folder = Path(folder)

    def file(self, name: str) -> Path:
        """Where a job's result is, or will be."""
        return self.folder / f"{name.replace(':', '.')}.json"

    def names(self) -> list[str]:
        """Of all results there are, sorted."""
        return sorted(file.stem for file in self.folder.glob("*.json"))

    def read(self, name: str) -> Optional[dict[str, Any]]:
        """A job's result, None where there is none.

        Raises:
            ResultError: it is damaged.
        """
        file = self.file(name)
        try:
            return json.loads(file.read_text())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise ResultError(f"{file} is no result ({error}). Delete it; it is made anew.") from error

    def restore(self, report: Path) -> None:
        """Take over a report's current results that are not here yet, or only out of date.

        Raises:
            ResultError: the report is damaged, or the folder cannot be written.
        """
        try:
            kept = json.loads(report.read_text())
            current = filter(is_current, kept["results"])
            named = {Job(r["protocol"], r["rate"], r["method"], r["seed"]).name: r for r in current}
            if kept["cost"]:
                named[COST] = kept["cost"]
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ResultError(f"{report} is no report ({error}). Delete it; it is written anew.") from error
        for name, result in named.items():
            there = self.read(name)
            if there is None or (name != COST and not is_current(there)):
                self.write(name, result)

    def write(self, name: str, result: Mapping[str, Any]) -> None:
        """Put a job's result there in one rename.

        Raises:
            ResultError: the folder cannot be written.
        """
        text = json.dumps(result, indent=1) + "\n"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_whole(self.file(name), text.encode())
        except OSError as error:
            raise ResultError(f"{self.folder} cannot be written ({error.strerror}). Give another folder.") from error


def run(
    job: Job, data: Path, cache: Path, results: Results, held_out: Sequence[int], progress: Progress
) -> dict[str, Any]:
    """Train and test once, on one thread, for sums in another order would give other weights.

    Args:
        job: what to train on what.
        data: folder of all data sets.
        cache: folder of decoded windows.
        results: where stage 1 is kept, which is the same for all label rates.
        held_out: training people who take the place of the test people.
        progress: shows the epochs.

    Returns:
        What the result's file holds.

    Raises:
        DataSetError: the data set is missing or broken.
        ImportError: the method needs a library that is not installed.
    """
    protocol, method = PROTOCOLS[job.protocol], METHODS[job.method]
    given = () if isinstance(method, ModalityDistance) else (method.unlabelled, method.pretrain_batch)
    task = protocol.task(data, cache, job.rate, job.seed, held_out, *given)
    torch.set_num_threads(1)
    with threadpool_limits(1):
        if isinstance(method, ModalityDistance):
            figures = _distances(method, protocol.spec, task, job.seed, progress)
        else:
            figures = _learn(job, method, protocol.spec, task, results, progress)
    return {
        **asdict(job),
        "title": method.title,
        "held_out": list(held_out),
        "windows": {
            "training": len(task.training),
            "labelled": len(task.training.labelled),
            "test": len(task.test),
        },
        "steps": _steps(job.protocol),
        "revision": method.revision,
        "budget": asdict(task.budget),
        **figures,
        "versions": {"python": platform.python_version(), **_versions()},
    }


@dataclass
class Outcome:
    """What became of jobs: how many ran, how many had a result before, why others did not run, what went wrong."""

    ran: int = 0
    kept: int = 0
    skipped: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


def run_all(
    jobs: Sequence[Job],
    data: Path,
    cache: Path,
    results: Results,
    held_out: Sequence[int] = (),
    processes: int = 1,
    console: Optional[Console] = None,
) -> Outcome:
    """Run the jobs that have no result with today's budgets yet, and write each one's result as it ends.

    Args:
        jobs: in this order.
        data: folder of all data sets.
        cache: folder of decoded windows.
        results: where the results are.
        held_out: training people who take the place of the test people.
        processes: how many jobs run at a time, each on one thread.
        console: shows the progress.

    Raises:
        ResultError: a result is damaged or cannot be written.
    """
    outcome = Outcome()
    waiting = []
    for job in jobs:
        if is_current(results.read(job.name)):
            outcome.kept += 1
        else:
            waiting.append(job)
    reasons = {name: _why_not(name, data, cache, held_out) for name in dict.fromkeys(job.protocol for job in waiting)}
    outcome.skipped = {job.name: reason for job in waiting for reason in [reasons[job.protocol]] if reason}
    waiting = [job for job in waiting if job.name not in outcome.skipped]

    def ended(job: Job, reason: str, error: str) -> None:
        if error:
            outcome.failed[job.name] = error
        elif reason:
            outcome.skipped[job.name] = reason
        else:
            outcome.ran += 1

    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(TextColumn("{task.description}", markup=False), *columns, console=console) as progress:
        overall = progress.add_task("jobs", total=len(waiting))
        if processes == 1:
            for job in waiting:
                progress.update(overall, description=job.name)
                ended(job, *_run_and_write(job, data, cache, results, held_out, progress))
                progress.advance(overall)
                for task in progress.task_ids[1:]:  # of the method's epochs
                    progress.remove_task(task)
            return outcome
        # A fork would inherit torch's threads, locked.
        with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
            running = {pool.submit(_run_and_write, job, data, cache, results, held_out): job for job in waiting}
            try:
                for future in as_completed(running):
                    ended(running[future], *future.result())
                    progress.update(overall, advance=1, description=running[future].name)
            except BaseException:
                for future in running:
                    future.cancel()
                raise
    return outcome


def is_current(result: Optional[Mapping[str, Any]]) -> bool:
    """Whether a job's result is there, and is what today's learner would get within today's budget."""
    if not result or result.get("protocol") not in PROTOCOLS or result.get("method") not in METHODS:
        return False
    revision = METHODS[result["method"]].revision
    return result.get("steps") == _steps(result["protocol"]) and result.get("revision", 1) == revision


def _steps(protocol: str) -> list[int]:
    return [PROTOCOLS[protocol].pretrain_steps, PROTOCOLS[protocol].steps]


def _why_not(name: str, data: Path, cache: Path, held_out: Sequence[int]) -> str:
    """Why a protocol cannot run, and decode its windows if it can: once, before several processes want them."""
    strangers = set(held_out) - set(PROTOCOLS[name].train)
    if strangers:
        return f"it does not train on {', '.join(map(str, sorted(strangers)))}, which cannot be held out"
    try:
        PROTOCOLS[name].windows(data, cache)
    except DataSetError as error:
        return str(error)
    return ""


def _run_and_write(
    job: Job,
    data: Path,
    cache: Path,
    results: Results,
    held_out: Sequence[int],
    progress: Optional[Progress] = None,
) -> tuple[str, str]:
    """Why the job could not run, and what went wrong; both empty when all is well."""
    try:
        results.write(job.name, run(job, data, cache, results, held_out, progress or Progress(disable=True)))
    except (DataSetError, ImportError) as error:
        return str(error), ""
    except ResultError:
        raise
    except Exception:  # the others may still be well, and this one's trace is shown at the end
        return "", traceback.format_exc()
    return "", ""


def _learn(
    job: Job, method: Method, spec: ModelSpec, task: Task, results: Results, progress: Progress
) -> dict[str, Any]:
    """Scores after the last epoch, with all modalities and with fewer, and how the method got there."""
    fit, curve = method.fit, None
    network, stage_1 = _stage_1(job, method, spec, task, results, progress)
    if isinstance(fit, Cosmo) and job.method in {**ROWS, **PARTS} and (job.protocol, job.rate) == STUDIED:
        curve = _Curve(task.test, stage_1, every=2 * fit.turn)
        fit = replace(fit, watch=curve)
    started = time.monotonic()
    if isinstance(fit, Cosmo):
        trained = fit.train(spec, task.training, task.budget, job.seed, progress, network)
        predict: Predict = partial(evaluate.predict, trained.network)
    elif isinstance(fit, TwoStages):
        predict = fit.tune(network, spec, task.training, task.budget, job.seed, progress)
    else:
        predict = fit(spec, task.training, task.budget, job.seed, progress)
    seconds = time.monotonic() - started - (curve.spent if curve else 0)
    seconds += stage_1[-1]["seconds"] if stage_1 else 0
    started = time.monotonic()
    figures: dict[str, Any] = {**_scores(predict, task.test), "seconds": round(seconds, 2)}
    figures["test_seconds"] = round(time.monotonic() - started, 2)
    if not job.method.startswith("single-"):
        figures["with"] = {
            "+".join(spec.sensors[j] for j in kept): _scores(predict, _with_only(task.test, kept))
            for count in range(1, len(spec.sensors))
            for kept in combinations(range(len(spec.sensors)), count)
        }
    if curve:
        figures["curve"] = curve.points
    if isinstance(fit, Cosmo) and trained.qualities:
        figures["quality"] = {
            sensor: {**vars(quality), "weight": weight}
            for sensor, quality, weight in zip(spec.sensors, trained.qualities, trained.spec.quality)
        }
    return figures


def _scores(predict: Predict, test: Windows) -> dict[str, float]:
    return {name: round(score, 5) for name, score in evaluate.scores(test.labels, predict(test)).items()}


def _with_only(test: Windows, modalities: Sequence[int]) -> Windows:
    presence = np.zeros_like(test.presence)
    presence[:, modalities] = test.presence[:, modalities]
    return replace(test, presence=presence)


def _stage_1(
    job: Job, method: Method, spec: ModelSpec, task: Task, results: Results, progress: Progress
) -> tuple[Any, list[dict[str, float]]]:
    """The network after stage 1, and its epochs. It looks at no labels, so that jobs which differ in them share it.

    A method of one stage has neither.
    """
    fit = method.fit
    if isinstance(fit, Cosmo):
        low, high = fit.weights_range
        kind = f"{fit.encoders}{'-mined' * fit.mined}{'-none' * (not fit.pretrained)}.{low:g}-{high:g}"
        network: nn.Module = fit.new_encoders(spec)
    elif isinstance(fit, TwoStages):
        kind = next(
            row for row, of in ROWS.items() if isinstance(of.fit, TwoStages) and of.fit.pretrain == fit.pretrain
        )
        network = fit.new(spec)
    else:
        return None, []
    rate = "" if method.unlabelled == 1 else f".{job.rate}-{method.unlabelled:g}"  # labelled windows are all kept
    steps = PROTOCOLS[job.protocol].pretrain_steps
    revision = "" if method.revision == 1 else f"-{method.revision}"
    name = f"{job.protocol}.{kind}{revision}.{method.pretrain_batch}{rate}.{steps}.{job.seed}"
    file = results.folder / "stage-1" / f"{name}.safetensors"
    if file.is_file():
        with safe_open(file, "pt") as kept:
            network.load_state_dict({key: kept.get_tensor(key) for key in kept.keys()})  # noqa: SIM118
            return network, json.loads(kept.metadata()["epochs"])

    epochs: list[dict[str, float]] = []
    started = time.monotonic()

    def on_epoch(number: int, loss: float) -> None:
        seconds = round(time.monotonic() - started, 2)
        epochs.append({"stage": 1, "epoch": number, "seconds": seconds, "loss": round(loss, 4)})

    network = fit.pretrain(spec, task.training, task.budget, job.seed, progress, on_epoch)
    file.parent.mkdir(parents=True, exist_ok=True)
    tensors = {key: tensor.contiguous() for key, tensor in network.state_dict().items()}
    write_whole(file, save(tensors, {"epochs": json.dumps(epochs)}))
    return network, epochs


class _Curve:
    """Follows a training: each epoch of stage 1, and each round of stage 2, after which the accuracy is measured."""

    def __init__(self, test: Windows, stage_1: Sequence[dict[str, float]], every: int):
        self.points = list(stage_1)
        self.spent = 0.0  # seconds of measuring, which are not the method's
        self._before = stage_1[-1]["seconds"] if stage_1 else 0.0
        self._test, self._every = test, every

    def __call__(self, epoch: Epoch) -> None:
        if epoch.number % self._every:
            return
        started = time.monotonic()
        seconds = round(self._before + epoch.seconds - self.spent, 2)
        point = {"stage": epoch.stage, "epoch": epoch.number, "seconds": seconds, "loss": round(epoch.loss, 4)}
        if epoch.predict:
            point["accuracy"] = _scores(epoch.predict, self._test)["accuracy"]
        self.points.append(point)
        self.spent += time.monotonic() - started


class _KeepingHeads(Encoders):
    """Keeps stage 1's projection heads, which are dropped otherwise."""

    def __init__(self, spec: ModelSpec):
        super().__init__(spec)
        self.kept: list[nn.Module] = []  # in a list, which does not make them part of the encoders

    def projection_heads(self) -> nn.Module:  # type: ignore[override]
        self.kept = [super().projection_heads()]
        return self.kept[0]


@torch.no_grad()
def _distance(r: Tensor) -> dict[str, float]:
    """Mean cosine distance between modalities of unit features r (N, M, D), of one window and of different ones."""
    pairs = list(combinations(range(r.shape[1]), 2))
    same = torch.stack([1 - (r[:, i] * r[:, j]).sum(1) for i, j in pairs])
    others = torch.stack([(1 - r[:, i] @ r[:, j].T).mean() for i, j in pairs])
    return {"same_window": round(float(same.mean()), 5), "any_windows": round(float(others.mean()), 5)}


def _distances(method: ModalityDistance, spec: ModelSpec, task: Task, seed: int, progress: Progress) -> dict[str, Any]:
    started = time.monotonic()
    torch.manual_seed(seed)
    encoders = _KeepingHeads(spec)
    normalise(encoders, task.training, seed)
    pretrain(
        encoders,
        task.training,
        epochs=task.budget.pretrain_epochs,
        seed=seed,
        progress=progress,
        batch=task.budget.pretrain_batch,
        weights_range=method.weights_range,
    )
    seconds = time.monotonic() - started
    z, _, _ = embed(encoders, task.test)
    return {**_distance(encoders.kept[0].eval()(z)), "seconds": round(seconds, 2)}


def _versions() -> dict[str, str]:
    found = {}
    for library in _LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found
