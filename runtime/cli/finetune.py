"""``cosmo-runtime finetune``: learns one person and one room from a labelled session, stage 2 of Cosmo."""

from __future__ import annotations

import argparse
import json
import resource
import shlex
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, List, Mapping, Optional

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.prompt import Confirm
from rich.table import Table

from models.bundle import Bundle
from models.files import write_whole
from models.shelf import Shelf
from runtime.cli.common import CACHE, DONE, FAILED, Failure, UsageError, bundle_folder, chosen_bundle, say, seed
from runtime.config import load_config
from runtime.engine import EngineError
from runtime.engines import key_here
from runtime.expiry import delete
from runtime.session import read_labels

if TYPE_CHECKING:
    from training.personalise import Base, Comparison, Lesson, Session

_HELP = """\
labels:
  start,end,activity      seconds from the recording's start, or ISO 8601 times; a stretch of one activity a row
  12.5,15.25,wave         at least two examples of each activity
A column `session` may name the recording of each row. `cosmo-runtime record --prompt` and `cosmo-runtime label` make
such tables. What lies between the rows is not learned from; label rests as `none`, or the model gives them the name of
an activity.

The last third of each activity's examples, one at least, is held out at first, and tells how good the model was before
and is now; the model that is kept then learns from all of them. It stands beside the one that it comes from, and is put
in use unless it recognises less than that one did; `cosmo-runtime bundle rollback` goes back. With --out it lies in
that folder, and is not put in use.

examples:
  cosmo-runtime finetune --labels session.csv
  cosmo-runtime finetune --labels session.csv --session monday.mcap --delete-after
  cosmo-runtime finetune --labels session.csv --bundle models/pretrained/utd --out mine
"""

_KEEP_IT = "Stopped. Keep the model that was measured? It has learned without the last examples"


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    command = argparse.ArgumentParser(
        "cosmo-runtime finetune",
        description="Learns from a labelled recording, on this machine, what one person does in one room (needs "
        "[train]). Nothing leaves the machine.",
        epilog=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("--labels", type=Path, required=True, metavar="FILE.csv", help="what was done when, see below")
    command.add_argument(
        "--session", type=Path, metavar="FILE.mcap", help="the recording (default: of the labels' name, beside them)"
    )
    command.add_argument(
        "--bundle",
        type=bundle_folder,
        metavar="BUNDLE",
        help="what to start from: name or folder of a model, or folder of encoders (default: the model in use)",
    )
    command.add_argument(
        "--keep",
        type=_activities,
        metavar="all|none|NAMES",
        help="which activities the model goes on to know beside those in the labels (default: all)",
    )
    command.add_argument(
        "--out", type=Path, metavar="FOLDER", help="of the new model (default: among those of `bundle list`)"
    )
    command.add_argument("--delete-after", action="store_true", help="delete recording and labels when all is done")
    command.add_argument(
        "--cache",
        type=Path,
        default=CACHE,
        metavar="FOLDER",
        help=f"where pretrain may have kept windows of the recording, which go with it (default: {CACHE})",
    )
    command.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to a file")
    command.add_argument("--config", type=Path, metavar="FILE.toml", help="configuration (default: none)")
    command.add_argument("--seed", type=seed, default=0, metavar="N", help="of everything random (default: 0)")
    return command


def run(options: argparse.Namespace) -> int:
    """Does it; returns the exit code."""
    if options.out and options.out.exists():
        raise UsageError(f"--out {options.out} exists; give another folder, or remove it")
    if options.json and not options.json.parent.is_dir():
        raise UsageError(f"--json {options.json}: there is no folder {options.json.parent}")
    labels = read_labels(options.labels, options.session)
    start = options.bundle or chosen_bundle(options, load_config(options.config))
    try:
        from training import personalise
    except ImportError as error:
        raise Failure(f"finetune needs more than a live run ({error}): pip install 'cosmo-runtime[train]'") from error
    began = time.monotonic()
    try:
        base = personalise.load_base(start)
        say(f"reading {len(labels)} {'recording' if len(labels) == 1 else 'recordings'}")
        session = personalise.read_session(base, labels, options.keep)
        lesson = _learn(base, session, options.seed)
        out = options.out or Shelf().new_path(base.path.resolve().name)
        try:
            command = shlex.join(["cosmo-runtime", *sys.argv[1:]])
            bundle = personalise.write(out, base, session, lesson, seed=options.seed, command=command)
        finally:
            with suppress(OSError):  # it is there no more, or holds the bundle
                out.rmdir()
    except personalise.FAILURES as error:
        raise Failure(str(error)) from error
    except KeyboardInterrupt:
        say(f"stopped: {start} is as it was, and nothing else was written")
        return FAILED
    engine = _build_engine(bundle, next(iter(labels)))
    in_use = not options.out and lesson.comparison.pays
    if in_use:
        Shelf().use(bundle.path.name)
    _tell(bundle, lesson.comparison, in_use)
    if options.delete_after:
        _delete(list(labels), options.labels, options.cache)
    if options.json:
        _write_figures(
            options.json,
            {
                "bundle": str(bundle.path),
                "base": str(start),
                "in_use": in_use,
                "engine": engine,
                "learned_windows": int(lesson.learned.sum()),
                "seed": options.seed,
                **lesson.comparison._asdict(),
                "seconds": round(time.monotonic() - began, 1),
                "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
            },
        )
    return DONE


def _learn(base: Base, session: Session, seed: int) -> Lesson:
    """Learns without the last examples, to measure what is gained, and then with all.

    Raises:
        KeyboardInterrupt: stopped, and what was learned so far is not wanted.
    """
    from training.personalise import Lesson, compare, teach

    labelled, held_out = session.windows.labels >= 0, session.last_examples()
    first = labelled & ~held_out
    comparison: Optional[Comparison] = None
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    try:
        with Progress(*columns, console=Console(stderr=True)) as progress:
            bar = progress.add_task("measuring what is gained", total=int(first.sum() + labelled.sum()))
            measured = teach(base, session, first, seed, lambda done: progress.advance(bar, done * first.sum()))
            comparison = compare(base, measured, session.windows.where(held_out))
            progress.update(bar, description="learning from all labels")
            taught = teach(base, session, labelled, seed, lambda done: progress.advance(bar, done * labelled.sum()))
    except KeyboardInterrupt:
        if comparison and sys.stdin.isatty() and Confirm.ask(_KEEP_IT, console=Console(stderr=True)):
            return Lesson(measured, comparison, first)
        raise
    return Lesson(taught, comparison, labelled)


def _build_engine(bundle: Bundle, recording: Path) -> Optional[str]:
    """Builds a TensorRT engine for the new model where this machine can run one; returns what became of it."""
    try:
        key = key_here("tensorrt", "fp32")
    except EngineError:
        return None
    from training.build import build_engine, recorded_windows

    with Progress(console=Console(stderr=True)) as progress:
        try:
            built = build_engine(bundle, key.engine, key.precision, recorded_windows(recording, bundle.spec), progress)
        except Exception as error:  # whatever TensorRT or its driver raise, the new model runs on ONNX Runtime
            say(str(error) if isinstance(error, EngineError) else f"no engine was built: {error!r}")
            return None
        except KeyboardInterrupt:
            say(f"no engine was built; cosmo-runtime build {bundle.path} does it")
            return None
    return f"{built.engine} {built.precision}"


def _tell(bundle: Bundle, comparison: Comparison, in_use: bool) -> None:
    table = Table("activity", box=None, header_style="dim", title="windows of the last examples, recognised")
    for column in ("windows", "before", "after"):
        table.add_column(column, justify="right")
    for name, figures in comparison.activities.items():
        table.add_row(name, str(figures["windows"]), _percent(figures["before"]), _percent(figures["after"]))
    table.add_section()
    before, after = comparison.before, comparison.after
    table.add_row(
        "all",
        str(after["windows"]),
        _percent(before["accuracy"] if before else None),
        _percent(after["accuracy"]),
        style="bold",
    )
    Console(stderr=True).print(table)
    say(f"{bundle.path}: knows {len(bundle.spec.classes)} activities, verified")
    if in_use:
        say("It is in use. Back to the one before: cosmo-runtime bundle rollback")
        return
    on_shelf = bundle.path.parent == Shelf().folder
    use = f"cosmo-runtime bundle use {bundle.path.name}" if on_shelf else f"--bundle {bundle.path}"
    if comparison.pays:
        say(f"To use it: {use}")
    else:
        worse = "less than before" if after["accuracy"] else "none of them"
        say(f"It recognises {worse}, and is not in use. To use it all the same: {use}")


def _percent(share: Optional[float]) -> str:
    return "–" if share is None else f"{share:.1%}"


def _write_figures(path: Path, figures: Mapping[str, Any]) -> None:
    try:
        write_whole(path, json.dumps(figures, indent=2).encode() + b"\n")
    except OSError as error:
        raise Failure(f"--json {path}: {error.strerror}") from error


def _delete(recordings: List[Path], labels: Path, cache: Path) -> None:
    """Deletes what was learned from, with the windows of it that an earlier pretraining may have kept."""
    from training.datasets.store import forget

    try:
        for recording in recordings:
            forget(cache, recording.resolve())
        delete(recordings, [labels.resolve(), labels])  # a link, too
    except OSError as error:
        raise Failure(f"{error.filename} cannot be deleted: {error.strerror}") from error
    say(f"deleted: {', '.join(map(str, [*recordings, labels]))}")


def _activities(text: str) -> Optional[List[str]]:
    if text in ("all", "none"):
        return None if text == "all" else []
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise argparse.ArgumentTypeError(f"{text!r}: expected all, none, or activities separated by commas")
    return names
