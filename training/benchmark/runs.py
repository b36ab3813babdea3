"""Runs the comparison's jobs and stores each result in a small file, so that a run can resume."""

from __future__ import annotations

import functools
import platform
import subprocess
import traceback
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Mapping, Optional, Sequence

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
from threadpoolctl import threadpool_limits

from cosmo_runtime.training.benchmark.comparison import METHODS, PARTS, ROWS, STUDIED, Job
from cosmo_runtime.training.benchmark.corruptions import SUITE
from cosmo_runtime.training.benchmark.experiments import Place
from cosmo_runtime.training.benchmark.protocols import PROTOCOLS
from cosmo_runtime.training.benchmark.results import ResultError, Results
from cosmo_runtime.training.datasets.store import DataSetError

_LIBRARIES = ("cosmo-runtime", "torch", "numpy", "scikit-learn", "sktime")


def run(
    job: Job, data: Path, cache: Path, results: Results, held_out: Sequence[int], progress: Progress
) -> dict[str, Any]:
    """Trains and tests once, on one thread, because another order of sums would give other weights.

    Args:
        job: what to train, and on what.
        data: the folder of all data sets.
        cache: the folder of decoded windows.
        results: where stage 1 is stored, which all label rates share.
        held_out: training people who replace the test people.
        progress: shows the epochs.

    Returns:
        The content of the result's file.

    Raises:
        DataSetError: the data set is missing or broken.
        ImportError: the method needs a library that is not installed.
    """
    protocol, method = PROTOCOLS[job.protocol], METHODS[job.method]
    task = protocol.task(data, cache, job.rate, job.seed, held_out, method.unlabelled, method.pretrain_batch)
    place = Place(results.folder / "stage-1", f"{job.protocol}.{protocol.pretrain_steps}", str(job.rate))
    follow = job.method in {**ROWS, **PARTS} and (job.protocol, job.rate) == STUDIED
    torch.set_num_threads(1)
    with threadpool_limits(1):
        figures = method.measure(protocol.spec, task, job.seed, place, progress, follow)
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
        "suite": _suite(job.protocol),
        "budget": asdict(task.budget),
        **figures,
        "versions": {"python": platform.python_version(), **_versions()},
        "commit": _commit(),
    }


@dataclass
class Outcome:
    """The outcome of jobs: how many ran, how many already had a result, why others did not run, what went wrong."""

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
    """Runs the jobs that have no result with the current budgets yet, and writes each result as it ends.

    Args:
        jobs: the jobs, in this order.
        data: the folder of all data sets.
        cache: the folder of decoded windows.
        results: the folder of results.
        held_out: training people who replace the test people.
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
                for task in progress.task_ids[1:]:  # the bars of the method's epochs
                    progress.remove_task(task)
            return outcome
        # A fork would inherit the locks of torch's threads.
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
    """Whether a job's result exists, and is that of the current learner within the current budget."""
    if not result or result.get("protocol") not in PROTOCOLS or result.get("method") not in METHODS:
        return False
    made_by = result.get("steps"), result.get("revision", 1), result.get("suite")
    return made_by == (_steps(result["protocol"]), METHODS[result["method"]].revision, _suite(result["protocol"]))


def name_of(result: Mapping[str, Any]) -> Optional[str]:
    """The name of a current result's job; None if it has another budget or an earlier method."""
    if not is_current(result):
        return None
    return Job(result["protocol"], result["rate"], result["method"], result["seed"]).name


def _steps(protocol: str) -> list[int]:
    return [PROTOCOLS[protocol].pretrain_steps, PROTOCOLS[protocol].steps]


def _suite(protocol: str) -> Optional[int]:
    return SUITE if PROTOCOLS[protocol].corrupted else None


def _why_not(name: str, data: Path, cache: Path, held_out: Sequence[int]) -> str:
    """Why a protocol cannot run, or "". Decodes its windows once, before several processes need them."""
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
    """Why the job could not run, and what went wrong; both empty if all is well."""
    try:
        results.write(job.name, run(job, data, cache, results, held_out, progress or Progress(disable=True)))
    except (DataSetError, ImportError) as error:
        return str(error), ""
    except ResultError:
        raise
    except Exception:  # other jobs may succeed, and this one's trace is shown at the end
        return "", traceback.format_exc()
    return "", ""


@functools.lru_cache(maxsize=None)
def _commit() -> Optional[str]:
    """The commit of the checkout that this code is in, with "+" where files differ from it; None without a checkout."""
    git = ["git", "-C", str(Path(__file__).resolve().parent)]
    try:
        found = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True)
        changed = subprocess.run([*git, "diff", "--quiet", "HEAD", "--", ":(top)*.py"], capture_output=True).returncode
    except (OSError, subprocess.CalledProcessError):
        return None
    return found.stdout.strip() + ("+" if changed else "")


def _versions() -> dict[str, str]:
    found = {}
    for library in _LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found
