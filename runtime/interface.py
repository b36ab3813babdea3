"""The Python interface: predictions, recordings as arrays and windows, models, labels."""

from __future__ import annotations

import math
import time
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Dict, Iterator, List, Mapping, Optional, Sequence, Tuple, Union

import numpy as np

from cosmo_runtime.models.activity_names import label_name
from cosmo_runtime.models.bundle import load_bundle
from cosmo_runtime.models.shelf import Shelf
from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.runtime.config import load_config
from cosmo_runtime.runtime.engines.choose import open_engine
from cosmo_runtime.runtime.exchange.arrays import SensorArrays, write_arrays
from cosmo_runtime.runtime.labels.exchange import Label
from cosmo_runtime.runtime.labels.table import LabelsError
from cosmo_runtime.runtime.labels.table import read_labels as read_table
from cosmo_runtime.runtime.labels.table import write_labels as write_table
from cosmo_runtime.runtime.labels.truth import Segment
from cosmo_runtime.runtime.labels.whole import checked
from cosmo_runtime.runtime.recognition.backlog import Backlog
from cosmo_runtime.runtime.recognition.recognizer import Prediction, Recognizer
from cosmo_runtime.runtime.run import open_live, open_replay, until
from cosmo_runtime.runtime.windows.aligner import Aligner, Window
from cosmo_runtime.sensors.events import Correction, Sample
from cosmo_runtime.sensors.recording import Recording as RecordedFile

PathLike = Union[str, Path]


class Model:
    """A bundle that is ready to recognise.

    Args:
        folder: the bundle's folder.

    Attributes:
        name: the bundle's name.
        spec: its sensors, window, hop and activities.
    """

    def __init__(self, folder: Path) -> None:
        bundle = load_bundle(folder)
        self.name = bundle.path.name
        self.spec: ModelSpec = bundle.spec
        self._recognizer = Recognizer(bundle, open_engine(bundle, "auto", 1), smoothing=0.0)

    @property
    def activities(self) -> List[str]:
        """The activities that it can recognise."""
        return list(self.spec.classes)

    def predict(self, window: Window) -> Prediction:
        """Recognises one window, without smoothing.

        Give the windows of a recording in their order. Whether anybody is there, and whether an IMU is worn, follows
        from this window and those before it; a window that goes back in time starts over.

        Raises:
            ValueError: the window was cut for other sensors or rates.
        """
        return self._predict(window)

    def _predict(self, window: Window, waited_ns: int = 0) -> Prediction:
        for modality in self.spec.modalities:
            array, wanted = window.arrays.get(modality.sensor), (self.spec.steps(modality), *modality.shape)
            if array is not None and np.shape(array) != wanted:
                raise ValueError(
                    f"{modality.sensor} has the shape {np.shape(array)} in this window; {self.name} needs {wanted}: "
                    "cut windows for this model: recording.windows(model)"
                )
        return self._recognizer.predict(window, waited_ns)


class Recording:
    """A recording as arrays and as windows.

    Args:
        path: the ``.mcap`` file, or the folder of a recording in segments.

    Attributes:
        duration_s: its length.
        start_ns: its start on the clock of the windows' ``end_ns``.
    """

    def __init__(self, path: PathLike) -> None:
        self._file = RecordedFile(Path(path))
        self.duration_s = self._file.duration_s
        self.start_ns = self._file.start_ns

    @property
    def sensors(self) -> Dict[str, str]:
        """Kind of each sensor, by name."""
        return {name: info.kind for name, info in self._file.infos.items()}

    def __getitem__(self, name: str) -> SensorArrays:
        """One sensor's measurements.

        Raises:
            KeyError: the recording has no such sensor.
        """
        if name not in self._file.infos:
            raise KeyError(f"{self._file.path.name} has no sensor {name!r}; it has {', '.join(self._file.infos)}")
        info = self._file.infos[name]
        samples: List[Sample] = []
        taken_off_s, taken_off_now_s = [], 0.0
        for event in self._file.events():
            if isinstance(event, Sample) and event.sensor == name:
                samples.append(event)
                taken_off_s.append(taken_off_now_s)
            elif isinstance(event, Correction) and event.sensor == name:
                taken_off_now_s = event.taken_off_ns * 1e-9
        stamps_s = np.array([(sample.stamp_ns - self._file.start_ns) * 1e-9 for sample in samples])
        values: Union[np.ndarray, List[np.ndarray]] = [sample.data for sample in samples]
        if info.kind == "depth":
            values = np.array(values, np.float32) * np.float32(info.depth_scale_m)
        elif info.kind != "radar":
            values = np.array(values)
        return SensorArrays(info.kind, stamps_s, values, np.array(taken_off_s))

    def windows(self, model: Model) -> Iterator[Window]:
        """The windows that a live run of this model would have seen.

        Raises:
            ValueError: the recording has none of the model's sensors.
        """
        if not set(model.spec.sensors) & set(self._file.infos):
            held, known = ", ".join(self._file.infos) or "none", ", ".join(model.spec.sensors)
            raise ValueError(f"{self._file.path.name} has none of the sensors of {model.name}, {known}; it has {held}")
        return self._windows(model)

    def _windows(self, model: Model) -> Iterator[Window]:
        run = open_replay(self._file, model.spec.sensors, model.spec, 300.0, paced=False)
        yield from Aligner(model.spec, run.infos).windows(run.events)

    def labelled_windows(self, model: Model, table: PathLike) -> Iterator[Tuple[Window, str]]:
        """The windows whose middle has a label in a table, each with its activity, as ``finetune`` takes them.

        Raises:
            LabelsError: the table cannot be read, or is of another recording.
            ValueError: the recording has none of the model's sensors.
        """
        windows, segments, half_ns = self.windows(model), self._segments(table), model.spec.window_ns // 2
        return (
            (window, activity)
            for window in windows
            for start_ns, end_ns, activity in segments
            if start_ns <= window.end_ns - half_ns < end_ns
        )

    def labels(self, table: PathLike) -> List[Label]:
        """Reads a table of labels for this recording. Rows that name another recording are left out."""
        return [
            Label((start_ns - self.start_ns) * 1e-9, (end_ns - self.start_ns) * 1e-9, activity)
            for start_ns, end_ns, activity in self._segments(table)
        ]

    def _segments(self, table: PathLike) -> List[Segment]:
        return read_table(Path(table), self._file, examples=1).get(self._file.path.resolve(), [])

    def write_labels(self, table: PathLike, labels: Sequence[Label]) -> None:
        """Writes a table of labels that ``finetune`` reads.

        Raises:
            LabelsError: there is a file already, or the labels could not be read again: one has no valid name, lies
                outside the recording, or overlaps another.
        """
        try:
            named = [Label(start_s, end_s, label_name(activity)) for start_s, end_s, activity in labels]
            rows = checked(named, self.duration_s)
        except ValueError as error:
            raise LabelsError(f"{table} was not written: {error}") from error
        segments = [
            Segment(self.start_ns + round(a * 1e9), self.start_ns + round(b * 1e9), activity) for a, b, activity in rows
        ]
        write_table(Path(table), segments, self._file)


def load_model(name: Optional[str] = None) -> Model:
    """Loads a model by name or folder, by default the one in use."""
    return Model(Shelf().find(name) if name else Shelf().in_use)


def read_recording(path: PathLike) -> Recording:
    """Opens a recording."""
    return Recording(path)


def write_recording(
    path: PathLike,
    sensors: Mapping[str, SensorArrays],
    *,
    start: Optional[datetime] = None,
    participant: str = "",
    note: str = "",
) -> Recording:
    """Writes a recording of sensor data that comes from elsewhere, and opens it. All commands take it like any other.

    Args:
        path: the new ``.mcap`` file.
        sensors: what each sensor measured, by its name.
        start: the wall clock at second 0, with a time zone; by default now.
        participant: whom it shows.
        note: what else is to be known of it.

    Raises:
        ValueError: stamps and values do not belong together, stamps do not rise, or values have another form.
        RecordingError: the file exists or cannot be written.
    """
    about = {"source": "arrays", "participant": participant, "note": note}
    write_arrays(Path(path), sensors, start, {key: words for key, words in about.items() if words})
    return Recording(path)


def recognise(
    sensors: Sequence[str] = ("imu", "depth", "radar"),
    *,
    emulate: Optional[str] = None,
    model: Union[Model, str, None] = None,
    config: Optional[PathLike] = None,
    seconds: Optional[float] = None,
) -> Iterator[Prediction]:
    """Recognises live what a person does.

    Args:
        sensors: names of the sensors, or one text that lists them with commas.
        emulate: the motion of an emulated rig, for example ``person``. By default the sensors are real.
        model: a model, its name or its folder. By default the one in use; for a simulated person the one that knows it.
        config: a ``cosmo.toml``. Only its sensors are used: how it answers is the model's own.
        seconds: how long to recognise, more than 0. By default until the iteration stops.

    Returns:
        A prediction for each hop. Like a live run, it leaves out windows that are more than five seconds late, and logs
        how many, if you take predictions too slowly.

    Raises:
        ValueError: ``seconds`` is not above 0; while iterating: the model does not know one of the sensors.
        SensorError: a sensor cannot be used; while iterating.
    """
    if seconds is not None and not 0 < seconds < math.inf:
        raise ValueError(f"seconds={seconds}: expected a number above 0, or None to recognise until you stop")
    named = [name.strip() for name in sensors.split(",")] if isinstance(sensors, str) else sensors
    return _recognised(named, emulate, model, config, seconds)


def _recognised(
    sensors: Sequence[str],
    emulate: Optional[str],
    model: Union[Model, str, None],
    config: Optional[PathLike],
    seconds: Optional[float],
) -> Iterator[Prediction]:
    if not isinstance(model, Model):
        model = load_model(model) if model else Model(Shelf(motion=emulate).in_use)
    unknown = model.spec.unknown(sensors)
    if unknown:
        raise ValueError(f"the model {model.name} {unknown}")
    with ExitStack() as stack:
        run = open_live(sensors, load_config(Path(config) if config else None), stack, emulate=emulate)
        for name, info in run.infos.items():
            if info.kind != model.spec.kinds[name]:
                raise ValueError(
                    f"{name} is of kind {info.kind} here, and {model.name} knows it as {model.spec.kinds[name]}"
                )
        aligner = Aligner(model.spec, run.infos)
        backlog = Backlog(aligner.lateness_ns)
        for window in aligner.windows(until(run.events, run.stop, seconds)):
            if not backlog.drops(window.end_ns):
                yield model._predict(window, time.monotonic_ns() - window.complete_ns)
