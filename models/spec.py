"""A model's inputs and outputs: modalities, window, classes, quality of each modality."""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import Any, Dict, Iterable, Mapping, Optional

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_serializer, model_validator

from cosmo_runtime.kinds import SENSOR_NAME
from cosmo_runtime.models.activity_names import activity_name
from cosmo_runtime.models.confidence import COLDEST, HOTTEST, Reading
from cosmo_runtime.models.kinds import KINDS, Kind
from cosmo_runtime.models.novelty import Novelty

LONGEST_S, SHORTEST_S = 600.0, 0.01
"""Bounds of windows and hops."""

UNREAD: Mapping[str, Any] = MappingProxyType(
    {"temperature": 1.0, "min_confidence": None, "risk": None, "readings": (), "novelty": None}
)
"""The fields of a ``ModelSpec`` that belong to one classifier, as they are without one."""

_FASTEST_HZ = 10_000.0
_MOST_NUMBERS = 1 << 24  # of one modality in one window: 64 MB
_MOST_CLASSES = 1000
_LONGEST_NAME = 200


class ModalitySpec(BaseModel):
    """A model's input from one sensor in each window.

    What a sensor measures at each step of a window, and the network's input (from ``models.features``) are, with
    ``steps`` = window x rate:
        ``imu``: (steps, channels) float32 in m/s², rad/s, µT -> the same.
        ``depth``: (steps, height, width) uint16 as from the driver -> (steps, rows, columns) float32 in metres, 0
        where nothing was measured.
        ``radar``: list of ``steps`` arrays (n, 5) -> (steps, points, 5) float32: x, y, z, radial speed, SNR of
        the strongest points; a missing point is all zero.

    Some modalities come only from data sets, and have no driver: ``accelerometer`` and ``gyroscope``, the halves of an
    IMU, each (steps, 3) in m/s² and rad/s; ``skeleton``, a camera's body tracking, (steps, joints, 3) in metres, y up.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    sensor: str = Field(pattern=SENSOR_NAME, description="the sensor's name in the rig")
    kind: str = Field("", description="the sensor's kind; its name by default")
    rate_hz: float = Field(gt=0, le=_FASTEST_HZ, description="steps a second on the window's own time grid")
    shape: tuple[int, ...] = Field(
        description="shape of one step of the network's input: (channels,), (rows, columns), (points, 5), (joints, 3)"
    )

    @model_validator(mode="before")
    @classmethod
    def _kind_is_the_name_by_default(cls, given: Any) -> Any:
        if isinstance(given, dict) and "sensor" in given and not given.get("kind"):
            return {**given, "kind": given["sensor"]}
        return given

    @model_validator(mode="after")
    def _shape_fits_kind(self) -> ModalitySpec:
        if not self.kind_row.fits(self.shape) or min(self.shape) < 1:
            raise ValueError(f"{self.kind} cannot have the shape {self.shape}; use {self.kind_row.shapes}")
        return self

    @model_serializer(mode="wrap")
    def _without_a_kind_that_is_the_name(self, write: Any) -> Dict[str, Any]:
        """Writes no kind that equals the name, so that old specs, and keys made from them, stay the same."""
        written = write(self)
        if written.get("kind") == self.sensor:
            del written["kind"]
        return written

    @property
    def kind_row(self) -> Kind:
        """The row of this sensor's kind."""
        return KINDS[self.kind]


class ModelSpec(BaseModel):
    """The contract between recordings, training and the runtime.

    Attributes:
        modalities: the modalities, in the order of the presence mask and the fusion weights.
        window_s: the length W of a window (t - W, t].
        hop_s: windows end at multiples of the hop on the host's monotonic clock. At most ``window_s``.
        classes: activity names in the order of the probabilities, each as ``models.activity_names`` stores it.
        quality: the quality-of-modality weight of each modality. All are positive and sum to 1.
        quality_share: the paper's lambda, the share of ``quality`` in the fusion weights.
        temperature: the temperature of the probabilities, chosen on people held out of training. 1 leaves the
            network's probabilities unchanged, see ``models.confidence``.
        min_confidence: below this, the activity is ``uncertain``. None stands for ``confidence.MIN_CONFIDENCE``.
        risk: the share of wrong answers that thresholds were chosen for, on people held out of training.
        readings: how to read the probabilities of some sets of sensors. ``temperature`` and ``min_confidence`` are for
            all others.
        novelty: what known windows look like; None if the model cannot judge novelty.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    modalities: tuple[ModalitySpec, ...]
    window_s: float = Field(ge=SHORTEST_S, le=LONGEST_S)
    hop_s: float = Field(ge=SHORTEST_S, le=LONGEST_S)
    classes: tuple[str, ...] = Field(min_length=1, max_length=_MOST_CLASSES)
    quality: tuple[float, ...]
    quality_share: float = Field(0.5, ge=0, le=1)
    temperature: float = Field(1.0, ge=COLDEST, le=HOTTEST, repr=False)
    min_confidence: Optional[float] = Field(None, ge=0, le=1, repr=False)
    risk: Optional[float] = Field(None, gt=0, lt=1, repr=False)
    readings: tuple[Reading, ...] = Field((), repr=False)
    novelty: Optional[Novelty] = Field(None, repr=False)

    @model_serializer(mode="wrap")
    def _without_unset_fields(self, write: Any) -> Dict[str, Any]:
        """Leaves out confidence and novelty that are not set, so that old specs stay the same."""
        written: Dict[str, Any] = write(self)
        return {
            name: value
            for name, value in written.items()
            if name not in UNREAD or value not in (UNREAD[name], [])  # an empty tuple, in JSON
        }

    @field_validator("classes")
    @classmethod
    def _classes_are_different_names(cls, classes: tuple[str, ...]) -> tuple[str, ...]:
        names = tuple(activity_name(name) for name in classes)
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"classes must be different names; repeated: {', '.join(twice)}")
        if max(map(len, names), default=0) > _LONGEST_NAME:
            raise ValueError(f"a class name can have at most {_LONGEST_NAME} characters")
        return names

    @model_validator(mode="after")
    def _windows_are_of_a_size_that_fits(self) -> ModelSpec:
        for modality in self.modalities:
            numbers = self.steps(modality) * math.prod(modality.shape)
            if not 1 <= numbers <= _MOST_NUMBERS:
                raise ValueError(
                    f"a window of {self.window_s:g} s has {numbers} numbers of {modality.sensor}; "
                    f"1 to {_MOST_NUMBERS} are possible"
                )
        return self

    @model_validator(mode="after")
    def _windows_leave_no_time_between_them(self) -> ModelSpec:
        if self.hop_s > self.window_s:
            raise ValueError(
                f"hop_s = {self.hop_s:g} is longer than window_s = {self.window_s:g}, and no window would see the time "
                "between: train the model with a hop that is no longer than its window"
            )
        return self

    @model_validator(mode="after")
    def _modalities_and_quality_agree(self) -> ModelSpec:
        if not self.modalities or len(set(self.sensors)) != len(self.modalities):
            raise ValueError(f"modalities must be one or more different sensors, not {self.sensors}")
        if len(self.quality) != len(self.modalities) or min(self.quality) <= 0 or abs(sum(self.quality) - 1) > 1e-3:
            raise ValueError(
                f"quality must be one positive weight for each of {self.sensors}, with sum 1, not {self.quality}"
            )
        return self

    @model_validator(mode="after")
    def _readings_are_of_different_sets_of_sensors(self) -> ModelSpec:
        sets = [frozenset(reading.sensors) for reading in self.readings]
        twice = any(len(one) < len(reading.sensors) for one, reading in zip(sets, self.readings))
        if twice or not all(sets) or len(set(sets)) < len(sets) or not frozenset().union(*sets) <= set(self.sensors):
            named = [list(reading.sensors) for reading in self.readings]
            raise ValueError(f"readings must be of different sets of {self.sensors}, not of {named}")
        unknown = {name for reading in self.readings for name in reading.expected} - set(self.classes)
        if unknown:
            raise ValueError(f"a reading expects {', '.join(sorted(unknown))}, which is not an activity of this model")
        return self

    @model_validator(mode="after")
    def _novelty_knows_the_classes(self) -> ModelSpec:
        if self.novelty and len(self.novelty.precision) != len(self.classes):
            raise ValueError(f"novelty has {len(self.novelty.precision)} classes, but the spec has {len(self.classes)}")
        return self

    @property
    def sensors(self) -> list[str]:
        """Names of the sensors in the order of the modalities."""
        return [modality.sensor for modality in self.modalities]

    @property
    def kinds(self) -> Dict[str, str]:
        """Kind of each sensor, by name."""
        return {modality.sensor: modality.kind for modality in self.modalities}

    def unknown(self, sensors: Iterable[str]) -> str:
        """Says which of these sensors it does not know; empty if it knows all of them."""
        unknown = [name for name in sensors if name not in self.sensors]
        return f"knows no sensor {', '.join(unknown)}; it knows {', '.join(self.sensors)}" if unknown else ""

    def reading(self, presence: Iterable[Any]) -> Reading:
        """How to read the probabilities of windows, by whether each sensor takes part, in the order of ``sensors``."""
        sensors = tuple(name for name, there in zip(self.sensors, presence) if there)
        for reading in self.readings:
            if set(reading.sensors) == set(sensors):
                return reading
        return Reading(sensors=sensors, temperature=self.temperature, min_confidence=self.min_confidence)

    @property
    def window_ns(self) -> int:
        """The length of a window in nanoseconds."""
        return round(self.window_s * 1e9)

    @property
    def hop_ns(self) -> int:
        """The time between windows in nanoseconds."""
        return round(self.hop_s * 1e9)

    def steps(self, modality: ModalitySpec) -> int:
        """The number of a modality's steps in one window."""
        return round(self.window_s * modality.rate_hz)
