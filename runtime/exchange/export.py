"""Exports a recording as tables for other programs: one per sensor, as Parquet or CSV."""

from __future__ import annotations

import os
import shutil
import struct
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Set, Tuple

import numpy as np

from cosmo_runtime.runtime.exchange.tables import rows_of
from cosmo_runtime.sensors.events import Correction, Sample
from cosmo_runtime.sensors.recording import Recording, RecordingError
from cosmo_runtime.sensors.sensor import SensorInfo

FORMS = ("parquet", "csv")

_MOST_SAMPLES = 10_000  # that wait to be written
_MOST_BYTES = 16 * 10**6
_NPY_HEADER = 128


class ExportError(Exception):
    """A recording cannot be exported. The message says what to do."""


def export(recording: Recording, sensors: Sequence[str], form: str, folder: Path) -> Dict[str, int]:
    """Writes the tables of some sensors to a new folder, whole or not at all.

    If the recording is damaged, the tables hold its sound part, and an error is raised at the end.

    Args:
        recording: the recording to export.
        sensors: names of sensors in the recording.
        form: one of ``FORMS``.
        folder: the folder to create.

    Returns:
        The number of samples in each sensor's table.

    Raises:
        ExportError: pyarrow is missing, the folder exists or cannot be written, or the recording is damaged.
    """
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise ExportError("export needs pyarrow: pip install 'cosmo-runtime[export]'") from error
    if folder.exists():
        raise ExportError(f"{folder} exists already: name another with --out, or move it away")
    fresh = folder.with_name(f".{folder.name}.new")
    damage: Optional[RecordingError] = None
    try:
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        with ExitStack() as stack:
            corrected = corrected_sensors(recording)
            tables = {name: _Table(fresh, name, recording, form, name in corrected) for name in sensors}
            for table in tables.values():
                stack.callback(table.close)
            try:
                for event in recording.events():
                    if isinstance(event, Sample) and event.sensor in tables:
                        tables[event.sensor].add(event)
                    elif isinstance(event, Correction) and event.sensor in tables:
                        tables[event.sensor].taken_off_ns = event.taken_off_ns
            except RecordingError as error:
                damage = error
            for table in tables.values():
                table.write()
        fresh.rename(folder)
    except OSError as error:
        raise ExportError(f"{folder} cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    if damage:
        raise ExportError(f"{damage}, and is in {folder}")
    return {name: table.samples for name, table in tables.items()}


def corrected_sensors(recording: Recording) -> Set[str]:
    """The sensors whose times ``--auto-sync`` corrected while the recording was made."""
    sensors: Set[str] = set()
    with suppress(RecordingError):  # what is behind damage is not exported
        for _, content in recording.messages("/corrections"):
            sensors.add(str(content["sensor"]))
    return sensors


class _Table:
    """The table of one sensor, which is written as samples come.

    Attributes:
        samples: the number of samples so far.
        taken_off_ns: what the run took off the stamps of the next samples to put them in step.
    """

    def __init__(self, folder: Path, name: str, recording: Recording, form: str, corrected: bool) -> None:
        self.samples = 0
        self.taken_off_ns = 0
        self._corrected = corrected
        self._path = folder / f"{name}.{form}"
        self._recording = recording
        self._info: SensorInfo = recording.infos[name]
        self._waiting: List[Sample] = []
        self._taken_off_ns: List[int] = []  # of these samples
        self._bytes = 0
        self._file: Any = None
        self._writer: Any = None
        self._images: Optional[_Images] = None

    def add(self, sample: Sample) -> None:
        """Adds the next sample."""
        self._waiting.append(sample)
        self._taken_off_ns.append(self.taken_off_ns)
        self._bytes += sample.data.nbytes
        if len(self._waiting) >= _MOST_SAMPLES or self._bytes >= _MOST_BYTES:
            self.write()

    def write(self) -> None:
        """Writes the waiting samples. For a sensor without samples, it writes a table without rows."""
        if not self._waiting and self._writer:
            return
        samples, self._waiting, self._bytes = self._waiting, [], 0
        taken_off_ms, self._taken_off_ns = np.array(self._taken_off_ns, np.int64) * 1e-6, []
        rows = rows_of([sample.data for sample in samples], self._info)
        stamps_ns = np.array([sample.stamp_ns for sample in samples], np.int64)
        columns: Dict[str, np.ndarray] = {
            "sample": np.repeat(np.arange(self.samples, self.samples + len(samples)), rows.counts),
            "stamp_s": np.repeat((stamps_ns - self._recording.start_ns) * 1e-9, rows.counts),
            "time": np.repeat(np.array(list(map(self._recording.wall_ns, stamps_ns.tolist())), np.int64), rows.counts),
            **({"taken_off_ms": np.repeat(taken_off_ms, rows.counts)} if self._corrected else {}),
            **rows.columns,
        }
        if self._path.suffix == ".csv":
            columns = {name: self._set_apart(name, samples, values) for name, values in columns.items()}
            columns = {name: values for name, values in columns.items() if values.ndim == 1}
        self._write_columns(columns)
        self.samples += len(samples)

    def close(self) -> None:
        """Closes the files."""
        for file in (self._writer, self._file, self._images):
            if file:
                file.close()

    def _set_apart(self, name: str, samples: Sequence[Sample], values: np.ndarray) -> np.ndarray:
        """Writes images, which CSV cannot hold, to a numpy file beside it."""
        if values.ndim == 2:
            if self._images is None:
                self._images = _Images(self._path.with_suffix(".npy"))
            self._images.add(values.reshape(len(samples), *(samples[0].data.shape if samples else (0, 0))))
        return values

    def _write_columns(self, columns: Dict[str, np.ndarray]) -> None:
        import pyarrow as pa

        arrays = [_arrow(name, values) for name, values in columns.items()]
        table = pa.Table.from_arrays(arrays, names=list(columns))
        if self._writer is None:
            told = {"kind": self._info.kind, "device": self._info.device, "rate_hz": f"{self._info.rate_hz:g}"}
            name = self._recording.path.name.encode(errors="backslashreplace")  # it may not be UTF-8
            self._schema = table.schema.with_metadata({**told, "recording": name})
            self._file = pa.OSFile(os.fsencode(self._path), "wb")  # which need not be UTF-8 either
            self._writer = _writer(self._file, self._path.suffix, self._schema)
        self._writer.write_table(table.cast(self._schema))


def _arrow(name: str, values: np.ndarray) -> Any:
    """A column. Unmeasured values (NaN) become null."""
    import pyarrow as pa

    if name == "time":
        return pa.array(values, pa.timestamp("ns", "UTC"))
    if values.ndim == 1:
        return pa.array(values, from_pandas=True)
    ends = np.arange(len(values) + 1, dtype=np.int32) * values.shape[1]
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), pa.array(values.ravel()))


def _writer(file: Any, suffix: str, schema: Any) -> Any:
    if suffix == ".csv":
        from pyarrow.csv import CSVWriter

        return CSVWriter(file, schema)
    from pyarrow.parquet import ParquetWriter

    return ParquetWriter(file, schema, compression="zstd", version="2.6")  # which has nanoseconds


class _Images:
    """A ``.npy`` file of images, whose number is only known at the end.

    https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html, version 1.0
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._file.write(bytes(_NPY_HEADER))
        self._number = 0
        self._size: Tuple[int, ...] = (0, 0)

    def add(self, images: np.ndarray) -> None:
        """Adds the next images, which all have one size."""
        self._number += len(images)
        self._size = images.shape[1:]
        self._file.write(np.ascontiguousarray(images, "<f4").tobytes())

    def close(self) -> None:
        """Writes the header."""
        said = repr({"descr": "<f4", "fortran_order": False, "shape": (self._number, *self._size)})
        self._file.seek(0)
        self._file.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", _NPY_HEADER - 10))
        self._file.write(said.ljust(_NPY_HEADER - 11).encode() + b"\n")
        self._file.close()
