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
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from cosmo_runtime.models.activity_names import activity_name, as_known
from cosmo_runtime.models.bundle import Bundle, BundleError, load_bundle
from cosmo_runtime.models.files import write_whole
from cosmo_runtime.models.outputs import refuse_other_content, try_file, try_folder
from cosmo_runtime.models.shelf import Shelf
from cosmo_runtime.places import cache_folder
from cosmo_runtime.runtime.cli.common import (
    DONE,
    FAILED,
    Failure,
    UsageError,
    chosen_bundle,
    counted,
    say,
    say_left_out,
)
from cosmo_runtime.runtime.cli.parser import Parser
from cosmo_runtime.runtime.cli.values import bundle_folder, seed
from cosmo_runtime.runtime.config import load_config
from cosmo_runtime.runtime.engines.build import build_engine, recorded_windows
from cosmo_runtime.runtime.engines.choose import key_here
from cosmo_runtime.runtime.engines.onnxruntime import EngineError
from cosmo_runtime.runtime.labels.rows import SESSION, LabelTable
from cosmo_runtime.runtime.labels.table import read_labels
from cosmo_runtime.runtime.labels.truth import Segment
from cosmo_runtime.runtime.retention.cached_windows import forget
from cosmo_runtime.runtime.retention.expiry import delete
from cosmo_runtime.sensors.recording import Recording

if TYPE_CHECKING:
    from cosmo_runtime.training.adapt.learn import Learned

_HELP = """\
labels:
  start,end,activity      seconds from the recording's start, or ISO 8601 times; one example per row
  12.5,15.25,wave         at least two examples of each activity
A column `session` may name the recording of each row. `cosmo-runtime record --prompt` and `cosmo-runtime label` write
such tables. Nothing is learned from the time between the rows. Label rests as `none`, or the model gives them the name
of an activity.

The last third of each activity's examples (at least one) is held out first, to test the model before and after. The
final model then learns from all examples. It is stored beside the old model and put in use, unless
  - it recognises less than the old one, or loses more than 20 percentage points of an activity
  - it reports more falls in windows in which nobody fell
  - it does no better than guessing: then check whether the labels are late, or of another recording
`uncertain` counts as wrong. --force puts it in use anyway, and `cosmo-runtime bundle rollback` goes back. With --out,
it is written to that folder and not put in use.

Activities without labels, such as a fall, are recognised by the old model as before.

If the old model knows less than half of the new one's activities, and the median is at most 8 labelled windows per
activity, nothing is trained: the new model compares later windows with the labelled ones. The command and the model's
card say what was done, and with how many windows.

examples:
  cosmo-runtime finetune --labels session.csv
  cosmo-runtime finetune --labels monday.csv tuesday.csv
  cosmo-runtime finetune --labels session.csv --session monday.mcap --delete-after
  cosmo-runtime finetune --labels session.csv --bundle utd --out mine       from the encoders that ship
"""


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    command = Parser(
        "cosmo-runtime finetune",
        description="Adapts a model to one person and one room, from a labelled recording (needs [train]). Nothing "
        "leaves this machine.",
        epilog=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument(
        "--labels",
        type=Path,
        nargs="+",
        action="extend",
        required=True,
        metavar="FILE.csv",
        help="tables of labels, see below",
    )
    command.add_argument(
        "--session",
        type=Path,
        metavar="FILE.mcap",
        help="the recording of a single table (default: beside the labels, with the same name)",
    )
    command.add_argument(
        "--bundle",
        type=bundle_folder,
        metavar="BUNDLE",
        help="name or folder of the model or encoders to start from, such as the shipped utd (default: the model in "
        "use)",
    )
    command.add_argument(
        "--keep",
        type=_activities,
        metavar="all|none|NAMES",
        help="activities of the old model that the new one keeps, besides those in the labels (default: all)",
    )
    command.add_argument(
        "--out", type=Path, metavar="FOLDER", help="new folder for the model (default: one that `bundle list` shows)"
    )
    command.add_argument(
        "--force", action="store_true", help="put the new model in use even if it recognises less than the old one"
    )
    command.add_argument(
        "--aside", action="store_true", help="leave the model in use as it is; `bundle use` puts the new one in use"
    )
    command.add_argument("--progress", action="store_true", help="print its progress, one JSON object per line")
    command.add_argument(
        "--delete-after", action="store_true", help="delete the recording and the labels once the new model is in use"
    )
    command.add_argument(
        "--cache",
        type=Path,
        default=cache_folder(),
        metavar="FOLDER",
        help="cache in which pretrain may have kept windows of the recording; they are deleted with it "
        "(default: %(default)s)",
    )
    command.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to a file")
    command.add_argument("--config", type=Path, metavar="FILE.toml", help="configuration (default: none)")
    command.add_argument("--seed", type=seed, default=0, metavar="N", help="random seed (default: 0)")
    return command


def run(options: argparse.Namespace) -> int:
    """Runs the command. Returns the exit code."""
    _refuse_nonsense(options)
    _try_outputs(options)
    labels = _read_tables(options.labels, options.session)
    start = options.bundle or chosen_bundle(options, load_config(options.config))
    try:
        from cosmo_runtime.training.adapt import learn
        from cosmo_runtime.training.adapt.base import load_base
    except ImportError as error:
        raise Failure(f"finetune needs the extra [train] ({error}): pip install 'cosmo-runtime[train]'") from error
    began = time.monotonic()
    try:
        say(f"reading {counted(len(labels), 'recording', 'recordings')}")
        tell = _progress_printer() if options.progress else lambda step, share: None
        base = load_base(start)
        for path in labels:
            say_left_out(Recording(path), base.path.resolve().name, base.spec.sensors)
        learned = learn.learn(base, labels, options.keep, options.seed, tell)
        bundle = _written(options, learned)
    except learn.FAILURES as error:
        raise Failure(str(error)) from error
    except KeyboardInterrupt:
        say(f"stopped: {start} is unchanged, and nothing else was written")
        return FAILED
    in_use = not options.out and not options.aside and (learned.comparison.accepted or options.force)
    lost: List[str] = []
    if in_use:
        lost = _lost(Shelf().in_use, bundle)
        Shelf().use(bundle.path.name)
    personal, undeleted = [*labels, *options.labels], ""
    try:
        engine = _build_engine(bundle, next(iter(labels)))
    finally:  # before any output, so that a failing terminal does not prevent it
        if options.delete_after and in_use:
            undeleted = _delete(list(labels), options.labels, options.cache)
    _report(bundle, learned, in_use)
    if lost:
        names = ", ".join(lost)
        say(f"It no longer knows {names}, which the model before it knew. Alarms on {names} are no longer raised")
    if options.delete_after and not undeleted:
        what = "deleted" if in_use else "kept, because the new model is not in use"
        say(f"{what}: {', '.join(map(str, personal))}")
    if options.json:
        about = {
            "bundle": str(bundle.path),
            "base": str(start),
            "in_use": in_use,
            "engine": engine,
            "seed": options.seed,
        }
        _write_figures(options.json, {**about, **_figures(learned), "seconds": round(time.monotonic() - began, 1)})
    if undeleted:
        raise Failure(undeleted)
    return FAILED if options.delete_after and not in_use else DONE


def _written(options: argparse.Namespace, learned: Learned) -> Bundle:
    """Writes what was learned as a new bundle, whole or not at all."""
    from cosmo_runtime.training.adapt import learn

    out = options.out or Shelf().new_path(learned.base.path.resolve().name)
    try:
        return learn.write(out, learned, seed=options.seed, command=shlex.join(["cosmo-runtime", *sys.argv[1:]]))
    finally:
        with suppress(OSError):  # it is gone, or holds the bundle
            out.rmdir()


def _figures(learned: Learned) -> Dict[str, Any]:
    return {
        "learned_windows": int(learned.windows.sum()),
        "way": "nearest examples" if learned.model.compares else "trained",
        **learned.comparison._asdict(),
        "losses": learned.comparison.regressions,
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def _lost(before: Path, bundle: Bundle) -> List[str]:
    """The activities that the model in use knows and a new one does not."""
    try:
        known = load_bundle(before).spec.classes
    except BundleError:  # it could not answer, either
        return []
    return [name for name in known if as_known(name, bundle.spec.classes) not in bundle.spec.classes]


def _progress_printer() -> Callable[[str, float], None]:
    """Returns what writes how far it is, to the percent, and no line twice."""
    last: Tuple[str, float] = ("", -1.0)

    def tell(step: str, share: float) -> None:
        nonlocal last
        if (step, round(share, 2)) != last:
            last = step, round(share, 2)
            print(json.dumps({"step": step, "share": last[1]}), flush=True)

    return tell


def _refuse_nonsense(options: argparse.Namespace) -> None:
    """Checks the options before training."""
    if options.out and options.out.exists():
        raise UsageError(f"--out {options.out} exists; give another folder, or remove it")
    if options.out and (options.force or options.delete_after):
        word = "--force" if options.force else "--delete-after"
        raise UsageError(f"{word} cannot be used with --out; leave one of them out")
    if options.aside and (options.out or options.force or options.delete_after):
        raise UsageError("--aside cannot be used with --out, --force or --delete-after")
    if options.json and not options.json.parent.is_dir():
        raise UsageError(f"--json {options.json}: there is no folder {options.json.parent}")
    if options.session and len(options.labels) > 1:
        raise UsageError("--session names the recording of one table; leave it out, or give one table to --labels")
    if options.session and SESSION in LabelTable(options.labels[0]).columns:
        raise UsageError(
            f"both the column {SESSION} of {options.labels[0]} and --session name the recording; leave one out"
        )


def _read_tables(tables: Sequence[Path], session: Optional[Path]) -> Dict[Path, List[Segment]]:
    """The labels of each recording. Two examples of an activity may be in different tables."""
    if len(tables) == 1:
        return read_labels(tables[0], session)
    labels: Dict[Path, List[Segment]] = {}
    names: Dict[str, None] = {}
    for table in tables:
        for recording, segments in read_labels(table, examples=1).items():
            if recording in labels:
                raise UsageError(f"--labels: {recording.name} has labels in two tables; put them into one")
            labels[recording] = []
            for segment in segments:
                name = as_known(segment.activity, names)
                names[name] = None
                labels[recording].append(segment._replace(activity=name))
    return labels


def _try_outputs(options: argparse.Namespace) -> None:
    """Checks before training that all outputs can be written."""
    outputs = [("--json ", options.json, try_file)] if options.json else []
    outputs.append(("--out ", options.out, try_folder) if options.out else ("", Shelf().folder, try_folder))
    for option, path, attempt in outputs:
        try:
            attempt(path)
            refuse_other_content(path)  # such as the labels
        except OSError as error:
            raise Failure(f"{option}{path} cannot be written ({error.strerror}); nothing was learned") from error


def _build_engine(bundle: Bundle, recording: Path) -> Optional[str]:
    """Builds a TensorRT engine for the new model if this machine can run one. Returns the result for people."""
    try:
        key = key_here("tensorrt", "fp32")
    except EngineError:
        return None
    with Progress(console=Console(stderr=True)) as progress:
        try:
            built = build_engine(bundle, key.engine, key.precision, recorded_windows(recording, bundle.spec), progress)
        except Exception as error:  # whatever TensorRT or its driver raises, the new model runs on ONNX Runtime
            say(str(error) if isinstance(error, EngineError) else f"no engine was built: {error!r}")
            return None
        except KeyboardInterrupt:
            say(f"no engine was built; cosmo-runtime build {bundle.path} does it")
            return None
    return f"{built.engine} {built.precision}"


def _report(bundle: Bundle, learned: Learned, in_use: bool) -> None:
    comparison = learned.comparison
    Console(stderr=True).print(_table(learned))
    unmeasured = [name for name in learned.session.activities if name not in comparison.activities]
    if unmeasured:
        say(f"not measured, because their last examples share windows with learned ones: {', '.join(unmeasured)}")
    say(f"{learned.way}.")
    say(f"{bundle.path}: knows {len(bundle.spec.classes)} activities, verified")
    for regression in comparison.regressions:
        say(f"It {regression}.")
    on_shelf = bundle.path.parent == Shelf().folder
    use = f"cosmo-runtime bundle use {bundle.path.name}" if on_shelf else f"--bundle {bundle.path}"
    if in_use:
        say("It is in use. Back to the one before: cosmo-runtime bundle rollback")
    elif comparison.accepted:
        say(f"To use it: {use}")
    else:
        say(f"It is not in use. To use it all the same: {use}")


def _table(learned: Learned) -> Table:
    comparison = learned.comparison
    table = Table("activity", box=None, header_style="dim", title="windows of the last examples, recognised")
    for column in ("windows", "before", "after"):
        table.add_column(column, justify="right")
    for name, figures in comparison.activities.items():
        cells = (str(figures["windows"]), _percent(figures["before"]), _percent(figures["after"]))
        table.add_row(Text(name), *cells)
    table.add_section()
    before, after = comparison.before, comparison.after
    shares = (_percent(before["accuracy"] if before else None), _percent(after["accuracy"]))
    table.add_row("all", str(after["windows"]), *shares, style="bold")
    return table


def _percent(share: Optional[float]) -> str:
    return "–" if share is None else f"{share:.1%}"


def _write_figures(path: Path, figures: Mapping[str, Any]) -> None:
    try:
        write_whole(path, json.dumps(figures, indent=2).encode() + b"\n")
    except OSError as error:
        raise Failure(f"--json {path}: {error.strerror}") from error


def _delete(recordings: Sequence[Path], tables: Sequence[Path], cache: Path) -> str:
    """Deletes the session, and windows of it that an earlier pretraining may have stored.

    Returns:
        Describes what could not be deleted; empty if everything is gone.
    """
    problems: List[str] = []
    for recording in recordings:
        try:
            forget(cache, recording.resolve())
        except OSError as error:
            problems.append(f"{error.filename} cannot be deleted: {error.strerror}")
    try:
        delete(recordings, [path for table in tables for path in (table.resolve(), table)])  # also a link
    except OSError as error:
        problems.append(f"{error.filename} cannot be deleted: {error.strerror}")
    return "\n".join(problems)


def _activities(text: str) -> Optional[List[str]]:
    if text in ("all", "none"):
        return None if text == "all" else []
    names = [name for name in text.split(",") if name.strip()]
    if not names:
        raise argparse.ArgumentTypeError(f"{text!r}: expected all, none, or activities separated by commas")
    try:
        return list(map(activity_name, names))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
