"""``cosmo-runtime purge``: deletes the recordings whose time has come."""

from __future__ import annotations

import argparse
from datetime import datetime, timezone
from pathlib import Path

from runtime.cli.common import CACHE, DONE, FAILED, Failure, say
from runtime.expiry import Fate, delete, fates


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    command = argparse.ArgumentParser(
        "cosmo-runtime purge",
        description="Deletes the recordings that have expired (record --expires), each with the labels beside it and "
        "the windows that training kept of it. Recordings without an expiry, and what it cannot read, stay.",
    )
    command.add_argument("paths", type=Path, nargs="+", metavar="FOLDER|FILE.mcap", help="where to look, or at what")
    command.add_argument("--dry-run", action="store_true", help="only say what would be deleted")
    command.add_argument(
        "--cache", type=Path, default=CACHE, metavar="FOLDER", help=f"of decoded windows (default: {CACHE})"
    )
    return command


def run(options: argparse.Namespace) -> int:
    """Does it; returns the exit code."""
    missing = [path for path in options.paths if not path.exists()]
    if missing:
        raise Failure(f"{', '.join(map(str, missing))}: no such file or folder; nothing was deleted")
    gone, kept, failed, size = 0, 0, 0, 0
    for fate in fates(options.paths, datetime.now(timezone.utc)):
        if not fate.expired:
            kept += 1
            print(f"kept     {fate.recording}: {fate.why}")
            continue
        files = [file for file in (fate.recording, fate.labels) if file]
        try:
            bytes_here = sum(file.stat().st_size for file in files)
            if not options.dry_run:
                _delete(fate, options.cache)
        except OSError as error:
            failed += 1
            say(f"cosmo-runtime: {error.filename} cannot be deleted: {error.strerror}")
            continue
        gone += 1
        size += bytes_here
        print(f"{'expired ' if options.dry_run else 'deleted '} {' and '.join(map(str, files))}: {fate.why}")
    verb = "would be deleted" if options.dry_run else "deleted"
    print(f"{gone} {'recording' if gone == 1 else 'recordings'} {verb} ({size / 1e6:.1f} MB), {kept} kept")
    return FAILED if failed else DONE


def _delete(fate: Fate, cache: Path) -> None:
    if any(cache.glob("*recording-*")):
        try:
            from training.datasets.store import forget
        except ImportError as error:
            raise Failure(f"{cache} holds windows of recordings, and deleting them needs {error.name}") from error
        forget(cache, fate.recording.resolve())
    delete([fate.recording], [fate.labels] if fate.labels else [])
