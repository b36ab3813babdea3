"""Re-runs the comparison of the Cosmo paper: every method on every data set, with the same windows, labels and budget.

    python tools/reproduce.py --data PATH                             # all of it; the tables go to the output
    python tools/reproduce.py --data PATH --report docs/benchmarks    # and into a page with figures
    python tools/reproduce.py --data PATH --only utd-a:5:dtw 'usc:1:cosmo*'
    python tools/reproduce.py --data PATH cost                        # one part: tables, studies or cost

PATH holds the data sets: utd-mhad (UTD-MHAD, with label_splits.json), usc-had (USC-HAD), and radhar (RadHAR, a folder
or an archive whose name begins so). What is missing is skipped. A job is protocol:rate:method:seed, and its result is a
file of its own: a run that was stopped goes on from there, and runs again what was made by an earlier version of a
method. A report's learning.json holds all results of its page, and --report goes on from these, too.
"""

from __future__ import annotations

import argparse
import os
import sys
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

from rich.console import Console
from rich.progress import Progress

from runtime.cli.common import CACHE
from training.comparison import STUDIED, study_jobs, table_jobs
from training.cost import compare
from training.datasets.store import DataSetError
from training.protocols import PROTOCOLS
from training.report import Collected, as_json, markdown
from training.runs import COST, Outcome, ResultError, Results, is_current, run_all

PARTS = ("tables", "studies", "cost")
JSON = "learning.json"


def main(arguments: Optional[Sequence[str]] = None) -> int:
    options = _options(arguments)
    results = Results(options.results)
    console = Console(stderr=True)
    try:
        if options.list:
            done = {job.name: is_current(results.read(job.name)) for job in options.chosen}
            if options.cost:
                done[COST] = results.read(COST) is not None
            for name, there in done.items():
                print(f"{name}  done" if there else name)
            return 0
        if options.report:
            results.restore(options.report / JSON)
        outcome = run_all(options.chosen, options.data, options.cache, results, options.held_out, options.jobs, console)
        if options.cost:
            _measure_cost(options, results, outcome, console)
        _write(Collected(results), options.report)
    except (ResultError, ImportError) as error:
        console.print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        console.print("Stopped. The same command goes on from here.")
        return 130
    return _say(outcome, console)


def _options(arguments: Optional[Sequence[str]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)} (all)")
    parser.add_argument("--data", type=Path, help="folder of the data sets (that of COSMO_DATA)")
    parser.add_argument(
        "--only",
        nargs="+",
        action="extend",
        default=[],
        metavar="JOB",
        help="jobs or their beginnings; * is any text",
    )
    parser.add_argument("--seeds", type=int, default=3, help="how many, counted from 0 (%(default)s)")
    parser.add_argument("--jobs", type=int, default=1, help="how many at a time, a thread each (%(default)s)")
    parser.add_argument("--results", type=Path, default=CACHE / "reproduce", help="folder of results (%(default)s)")
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder of decoded windows (%(default)s)")
    parser.add_argument("--report", type=Path, metavar="FOLDER", help="write learning.md, learning.json and figures")
    parser.add_argument(
        "--held-out",
        type=_numbers,
        default=(),
        metavar="5,6",
        help="training subjects to test on instead, to choose by",
    )
    parser.add_argument("--list", action="store_true", help="only say which jobs there are, and which are done")
    options = parser.parse_args(arguments)

    options.data = options.data or Path(os.environ.get("COSMO_DATA", ""))
    if not options.list and (options.data == Path() or not options.data.is_dir()):
        parser.error("--data: give the folder that holds utd-mhad, usc-had or radhar, or name it in COSMO_DATA")
    unknown = set(options.parts) - set(PARTS)
    if unknown:
        parser.error(f"there is no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    if options.seeds < 1 or options.jobs < 1:
        parser.error("--seeds and --jobs: give at least 1")
    if options.held_out and options.report:
        parser.error("--report is about the test subjects; leave out --held-out")
    if options.held_out:
        options.results /= f"held-out-{'-'.join(map(str, options.held_out))}"

    parts = options.parts or PARTS
    jobs = table_jobs(options.seeds, options.held_out) if "tables" in parts else []
    jobs += study_jobs(options.seeds) if "studies" in parts else []
    for pattern in options.only:
        if not fnmatchcase(COST, pattern) and not any(job.matches([pattern]) for job in jobs):
            parser.error(f"--only {pattern}: there is no such job; --list names them")
    options.chosen = [job for job in jobs if not options.only or job.matches(options.only)]
    wanted = not options.only or any(fnmatchcase(COST, pattern) for pattern in options.only)
    options.cost = "cost" in parts and wanted and not options.held_out
    return options


def _numbers(text: str) -> Tuple[int, ...]:
    try:
        return tuple(int(number) for number in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text}: give numbers with commas between, as 5,6") from None


def _measure_cost(options: argparse.Namespace, results: Results, outcome: Outcome, console: Console) -> None:
    if results.read(COST) is not None:
        outcome.kept += 1
        return
    protocol, rate = STUDIED
    try:
        task = PROTOCOLS[protocol].task(options.data, options.cache, rate, seed=0)
    except DataSetError as error:
        outcome.skipped[COST] = str(error)
        return
    with Progress(console=console) as progress:
        results.write(COST, compare(PROTOCOLS[protocol].spec, task.training, progress))
    outcome.ran += 1


def _write(collected: Collected, folder: Optional[Path]) -> None:
    if folder is None:
        print(markdown(collected, figures=False))
        return
    try:
        from training.figures import draw
    except ImportError as error:
        raise ImportError(f'figures need matplotlib ({error}); pip install "cosmo-runtime[evaluate]"') from error
    folder.mkdir(parents=True, exist_ok=True)
    draw(collected, folder)
    (folder / "learning.md").write_text(markdown(collected, figures=True))
    (folder / JSON).write_text(as_json(collected))


def _say(outcome: Outcome, console: Console) -> int:
    """What ran and what did not, and the exit status."""
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
