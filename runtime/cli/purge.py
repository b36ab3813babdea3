"""``cosmo-runtime purge``: deletes expired recordings, or those of one person."""

from __future__ import annotations

import argparse
import shlex
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Optional, Set, Tuple

from cosmo_runtime.models.bundle import BundleError
from cosmo_runtime.models.shelf import SHIPPED_BUNDLE, Shelf
from cosmo_runtime.places import cache_folder
from cosmo_runtime.runtime.cli.common import DONE, FAILED, Failure, counted, say
from cosmo_runtime.runtime.cli.parser import Parser
from cosmo_runtime.runtime.cli.values import line
from cosmo_runtime.runtime.episodes.entries import DAMAGED, DATABASE
from cosmo_runtime.runtime.retention.cached_windows import forget, windows_in_caches
from cosmo_runtime.runtime.retention.expiry import Fate, delete, fates, same_person
from cosmo_runtime.sensors.recording import Recording, RecordingError
from cosmo_runtime.sensors.recording.segments import size_and_change


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    command = Parser(
        "cosmo-runtime purge",
        description="Deletes expired recordings (record --expires, --consent-until), with the labels beside them and "
        "the windows that training kept of them. Recordings that have no expiry or cannot be read stay. Windows whose "
        "recording no longer exists are deleted too, in every cache that was ever used.",
    )
    command.add_argument(
        "paths", type=Path, nargs="+", metavar="FOLDER|FILE.mcap", help="folders to search, or recordings"
    )
    command.add_argument(
        "--participant",
        type=line,
        metavar="WHO",
        help="delete all recordings of this person instead, expired or not; exit code 1 if there are none, or if a"
        " recording, folder or log that may show this person cannot be read",
    )
    command.add_argument("--dry-run", action="store_true", help="only list what would be deleted")
    command.add_argument(
        "--cache",
        type=Path,
        default=cache_folder(),
        metavar="FOLDER",
        help="also search this cache of windows (default: %(default)s)",
    )
    return command


def run(options: argparse.Namespace) -> int:
    """Runs the command. Returns the exit code."""
    missing = [path for path in options.paths if not path.exists()]
    if missing:
        raise Failure(f"{', '.join(map(str, missing))}: no such file or folder; nothing was deleted")
    gone, staying, growing, failed, unread, size = 0, 0, 0, 0, 0, 0
    people = set()
    began: Set[str] = set()
    for fate in fates(options.paths, datetime.now(timezone.utc), options.participant):
        people.add(fate.who)
        unread += fate.unread
        if not fate.expired:
            staying += 1
            growing += bool(options.participant) and same_person(fate.who, options.participant)
            _tell(f"kept     {fate.recording}: {fate.why}")
            continue
        deleted = _delete(fate, options, began)
        if deleted is None:
            failed += 1
        else:
            gone += 1
            size += deleted
    if options.participant:
        for log in sorted({found.parent.resolve() for path in options.paths for found in path.rglob(DATABASE)}):
            _tell(f"kept     {log}: is the log of a home and names nobody; if it is of this person, delete it yourself")
    damaged = sorted({log.resolve() for path in options.paths for log in path.rglob(DAMAGED)})
    for log in damaged:
        _tell(f"kept     {log}: is the damaged log of a home, which a run with --home deletes by its age")
    staying, unread = staying + len(damaged), unread + len(damaged)
    swept, not_swept = _sweep(options)
    failed += not_swept
    verb = "would be deleted" if options.dry_run else "deleted"
    if swept:
        _tell(f"{counted(swept, 'folder', 'folders')} of windows {verb}")
    print(f"{counted(gone, 'recording', 'recordings')} {verb} ({size / 1e6:.1f} MB), {staying} kept")
    if options.participant:
        failed += _tell_who_learned(began, options.participant)
    if options.participant and unread:
        these = counted(unread, "recording, folder or log was", "recordings, folders or logs were")
        say(f"{these} not read and may show {options.participant}: see above, and look yourself")
        failed += unread
    if growing:
        these = counted(growing, "recording of this person is", "recordings of this person are")
        say(f"{these} still being written: end the run, and run this again")
        failed += growing
    spelt = sorted(who for who in people if options.participant and _alike(who, options.participant))
    if spelt:
        say(f"{', '.join(spelt)}: recordings under this name were kept; is this the same person?")
        failed += len(spelt)
    if options.participant and not any(same_person(who, options.participant) for who in people):
        others = ", ".join(sorted(people - {""}))
        say(f"nobody is called {options.participant} here{f'; there are {others}' if others else ''}")
        return FAILED
    return FAILED if failed else DONE


def _alike(who: str, participant: str) -> bool:
    """Whether two names differ in capitals alone."""
    return not same_person(who, participant) and same_person(who.casefold(), participant.casefold())


def _tell(line: str) -> None:
    with suppress(OSError):  # expired recordings are deleted even if the output cannot be written
        print(line)


def _tell_who_learned(began: Set[str], who: str) -> int:
    """Names the models that learned from a person's recordings, by when these began.

    Returns:
        The number of models of which nobody knows.
    """
    shelf, in_use, unread = Shelf(), None, 0
    with suppress(BundleError):
        in_use = shelf.in_use
    for shelved in shelf.bundles():
        if not shelved.bundle:
            unread += 1
            say(f"the model {shelved.path} cannot be read, and may have learned from {who}")
            continue
        recordings = shelved.bundle.provenance.get("recordings")
        if isinstance(recordings, list) and not began.isdisjoint(map(str, recordings)):
            use = f"put another in use (cosmo-runtime bundle use {SHIPPED_BUNDLE.name}), then "
            say(
                f"the model {shelved.name} learned from these recordings, and stays. To delete it, "
                f"{use if shelved.path == in_use else ''}run: rm -r {shlex.quote(str(shelved.path))}"
            )
    return unread


def _delete(fate: Fate, options: argparse.Namespace, began: Set[str]) -> Optional[int]:
    """Deletes a recording with its labels and the windows that training kept of it, and says so.

    Args:
        fate: the recording.
        options: the command's options.
        began: gets when the recording began, if those of one person are deleted.

    Returns:
        Its bytes; None if it cannot be deleted.
    """
    files = [fate.recording, *fate.labels]
    try:
        size = sum(size_and_change(file)[0] for file in files)
        if options.participant:
            with suppress(RecordingError):  # it goes all the same
                began.add(Recording(fate.recording).began)
        if not options.dry_run:
            forget(options.cache, fate.recording.resolve())
            delete([fate.recording], fate.labels)
    except OSError as error:
        say(f"cosmo-runtime: {error.filename} cannot be deleted: {error.strerror}")
        return None
    _tell(f"{'would delete' if options.dry_run else 'deleted'} {' and '.join(map(str, files))}: {fate.why}")
    if not options.dry_run and fate.recording.is_dir():
        say(f"{fate.recording}: holds other files, which stay; delete them yourself if they are of this person")
    return size


def _sweep(options: argparse.Namespace) -> Tuple[int, int]:
    """Deletes windows whose recording is gone. Returns how many, and how many could not be deleted.

    If the recording is on a disk that is not attached now, this only costs time, because they can be made again.
    """
    swept = failed = 0
    for windows in windows_in_caches(options.cache):
        try:
            why = windows.orphaned
            if not why:
                continue
            if not options.dry_run:
                windows.delete()
        except OSError as error:
            failed += 1
            say(f"cosmo-runtime: {error.filename} cannot be deleted: {error.strerror}")
            continue
        swept += 1
        what = f"windows of {windows.recording.path}" if windows.recording else "windows"
        _tell(f"{'would delete' if options.dry_run else 'deleted'} {what} in {windows.folder}: {why}")
    return swept, failed
