"""How each file of a recording begins and ends, whoever writes it."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Iterator, Mapping

from mcap.writer import CompressionType, Writer

from cosmo_runtime.sensors.recording.messages import not_written
from cosmo_runtime.sensors.recording.part import FORMATS


def begin(file: IO[bytes], metadata: Mapping[str, Any], wall_offset_ns: int) -> Writer:
    """Writes the head of a recording to an empty file.

    Args:
        file: open for writing.
        metadata: facts about the run.
        wall_offset_ns: wall clock minus monotonic clock, which is added to every time in the file.
    """
    mcap = Writer(file, compression=CompressionType.ZSTD)
    mcap.start()
    mcap.add_metadata("cosmo-runtime", {"format": FORMATS[-1], "wall_offset_ns": str(wall_offset_ns)})
    mcap.add_metadata("cosmo-runtime.run", dict(metadata))
    return mcap


def finish(mcap: Writer, dropped: int = 0) -> None:
    """Writes the end. ``dropped`` counts the events that came too fast for the disk."""
    mcap.add_metadata("cosmo-runtime.end", {"dropped": str(dropped)})
    mcap.finish()


@contextmanager
def whole_file(path: Path, metadata: Mapping[str, Any], wall_offset_ns: int) -> Iterator[Writer]:
    """Begins a recording beside its place. When the context ends without an error, finishes it and moves it there.

    Args:
        path: the new file; its folder exists.
        metadata: as for ``begin``.
        wall_offset_ns: as for ``begin``.

    Raises:
        RecordingError: the file exists or cannot be written.
    """
    if path.exists():
        raise not_written(path, FileExistsError())
    fresh = path.with_name(f".{path.name}.new")
    try:
        with fresh.open("wb") as file:
            mcap = begin(file, metadata, wall_offset_ns)
            yield mcap
            finish(mcap)
        fresh.rename(path)
    except OSError as error:
        raise not_written(path, error) from error
    finally:
        with suppress(OSError):
            fresh.unlink()
