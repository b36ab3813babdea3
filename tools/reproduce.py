"""Repeats the comparison of the Cosmo paper: every method on every data set, with the same windows, labels and budget.

    python tools/reproduce.py --data PATH                             # everything; prints the tables
    python tools/reproduce.py --data PATH --report docs/benchmarks    # writes pages with figures, too
    python tools/reproduce.py --data PATH --only utd-a:5:dtw 'usc:1:cosmo*'
    python tools/reproduce.py --data PATH cost                        # one part: tables, studies, cost or inference

PATH holds the data sets: utd-mhad (UTD-MHAD, with label_splits.json), usc-had (USC-HAD), radhar (RadHAR, a folder, or
an archive whose name begins with radhar) and cuhk-x (CUHK-X, with HAR/data). Missing data sets are skipped. A job is
protocol:rate:method:seed, and its result is a file. A run that was stopped continues from these files. Results of an
earlier version of a method are computed again. A report's learning.json holds all results of its pages, and --report
continues from these as well.
"""

from __future__ import annotations

import argparse
import os
import sys
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Dict, List, Optional, Sequence

from rich.console import Console
from rich.progress import Progress

from cosmo_runtime.models.files import write_whole
from cosmo_runtime.models.outputs import try_folder
from cosmo_runtime.places import cache_folder
from cosmo_runtime.runtime.cli.values import numbers
from cosmo_runtime.training.benchmark.comparison import ROWS, STUDIED, rows_of, study_jobs, table_jobs
from cosmo_runtime.training.benchmark.cost import compare
from cosmo_runtime.training.benchmark.inference import measure
from cosmo_runtime.training.benchmark.pages import FOLDER, pages
from cosmo_runtime.training.benchmark.protocols import PROTOCOLS
from cosmo_runtime.training.benchmark.report import Collected, as_json
from cosmo_runtime.training.benchmark.results import COST, ONCE, ResultError, Results
from cosmo_runtime.training.benchmark.runs import Outcome, is_current, name_of, run_all
from cosmo_runtime.training.datasets.store import DataSetError

PARTS = ("tables", "studies", *ONCE)
JSON = "learning.json"


def main(arguments: Optional[Sequence[str]] = None) -> int:
    options = _options(arguments)
    results = Results(options.results)
    console = Console(stderr=True)
    try:
        if options.list:
            done = {job.name: is_current(results.read(job.name)) for job in options.chosen}
            done.update({name: results.read(name) is not None for name in options.once})
            for name, there in done.items():
                print(f"{name}  done" if there else name)
            return 0
        if options.report:
            results.restore(options.report / JSON, name_of)
        outcome = run_all(options.chosen, options.data, options.cache, results, options.held_out, options.jobs, console)
        for name in options.once:
            _measure_once(name, options, results, outcome, console)
        _write(Collected(results), options.report)
    except (ResultError, ImportError) as error:
        console.print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        console.print("Stopped. The same command goes on from here.")
        return 130
    return _say(outcome, console)


def _options(arguments: Optional[Sequence[str]]) -> argparse.Namespace:
    """Reads the words of the command. ``chosen`` are the jobs to run, ``once`` the measurements."""
    parser = _parser()
    options = parser.parse_args(arguments)
    options.data = options.data or Path(os.environ.get("COSMO_DATA", ""))
    _refuse_nonsense(parser, options)
    if options.held_out:
        options.results /= f"held-out-{'-'.join(map(str, options.held_out))}"

    parts = options.parts or PARTS
    jobs = table_jobs(options.seeds, options.held_out) if "tables" in parts else []
    jobs += study_jobs(options.seeds) if "studies" in parts else []
    for pattern in options.only:
        if not any(fnmatchcase(name, pattern) for name in ONCE) and not any(job.matches([pattern]) for job in jobs):
            parser.error(f"--only {pattern}: there is no such job; --list names them")
    options.chosen = [job for job in jobs if not options.only or job.matches(options.only)]
    only = options.only or ["*"]
    options.once = [name for name in ONCE if name in parts and any(fnmatchcase(name, pattern) for pattern in only)]
    if options.held_out:
        options.once = []
    return options


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)} (default: all)")
    parser.add_argument("--data", type=Path, help="folder of the data sets (default: $COSMO_DATA)")
    parser.add_argument(
        "--only",
        nargs="+",
        action="extend",
        default=[],
        metavar="JOB",
        help="run only these jobs, or jobs that begin so; * is any text",
    )
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds, counted from 0 (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=1, help="jobs at a time, one thread each (default: %(default)s)")
    parser.add_argument(
        "--results", type=Path, default=cache_folder() / "reproduce", help="folder of results (default: %(default)s)"
    )
    parser.add_argument(
        "--cache", type=Path, default=cache_folder(), help="folder of decoded windows (default: %(default)s)"
    )
    parser.add_argument(
        "--report",
        type=Path,
        metavar="FOLDER",
        help="write learning.md, the pages and figures behind it, and learning.json",
    )
    parser.add_argument(
        "--held-out",
        type=numbers,
        default=(),
        metavar="5,6",
        help="test on these training subjects instead, to choose settings",
    )
    parser.add_argument("--list", action="store_true", help="only list the jobs, and which are done")
    return parser


def _refuse_nonsense(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    if not options.list and (options.data == Path() or not options.data.is_dir()):
        parser.error("--data: give the folder that holds utd-mhad, usc-had or radhar, or name it in COSMO_DATA")
    unknown = set(options.parts) - set(PARTS)
    if unknown:
        parser.error(f"there is no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    if options.seeds < 1 or options.jobs < 1:
        parser.error("--seeds and --jobs: give at least 1")
    if options.held_out and options.report:
        parser.error("--report is about the test subjects; leave out --held-out")
    for option in ("report", "results"):
        folder = getattr(options, option)
        try:
            if folder and not options.list:
                try_folder(folder)
        except OSError as error:
            parser.error(f"--{option} {folder} cannot be written: {error.strerror}")


def _measure_once(name: str, options: argparse.Namespace, results: Results, outcome: Outcome, console: Console) -> None:
    if results.read(name) is not None:
        outcome.kept += 1
        return
    protocol, rate = STUDIED
    try:
        task = PROTOCOLS[protocol].task(options.data, options.cache, rate, seed=0)
    except DataSetError as error:
        outcome.skipped[name] = str(error)
        return
    with Progress(console=console) as progress:
        spec = PROTOCOLS[protocol].spec
        if name == COST:
            results.write(name, compare(spec, task.training, progress))
        else:
            rows = {row: ROWS[row] for row in rows_of(PROTOCOLS[protocol])}
            results.write(name, measure(spec, task.training, rows, progress))
    outcome.ran += 1


def _write(collected: Collected, folder: Optional[Path]) -> None:
    if folder is None:
        print("\n".join(pages(collected, figures=False).values()))
        return
    try:
        from cosmo_runtime.training.benchmark.figures import draw
    except ImportError as error:
        raise ImportError(f'figures need matplotlib ({error}); pip install "cosmo-runtime[evaluate]"') from error
    try:
        (folder / FOLDER).mkdir(parents=True, exist_ok=True)
        write_whole(folder / JSON, as_json(collected).encode())  # first, because the other files can be made from it
        for name, text in pages(collected, figures=True).items():
            write_whole(folder / name, text.encode())
        draw(collected, folder / FOLDER)
    except OSError as error:
        raise ResultError(
            f"{error.filename or folder} cannot be written ({error.strerror}); free it, and run the same "
            "command again: the results are kept"
        ) from error


def _say(outcome: Outcome, console: Console) -> int:
    """Prints what ran and what did not. Returns the exit status."""
    for name, trace in outcome.failed.items():
        console.print(f"{name} failed:\n{trace}", style="red", markup=False, highlight=False, soft_wrap=True)
    reasons: Dict[str, List[str]] = {}
    for name, reason in outcome.skipped.items():
        reasons.setdefault(reason, []).append(name)
    for reason, names in reasons.items():
        others = f" and {len(names) - 1} more" if len(names) > 1 else ""
        console.print(f"skipped {names[0]}{others}: {reason}", markup=False, highlight=False, soft_wrap=True)
    console.print(
        f"{outcome.ran} ran, {outcome.kept} had a result, {len(outcome.skipped)} skipped, {len(outcome.failed)} failed",
        highlight=False,
    )
    nothing = outcome.skipped and not outcome.ran and not outcome.kept
    return 1 if outcome.failed or nothing else 0


if __name__ == "__main__":
    sys.exit(main())
