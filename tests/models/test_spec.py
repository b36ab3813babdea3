from __future__ import annotations

import pytest
from pydantic import ValidationError

from cosmo_runtime.models.confidence import Reading
from cosmo_runtime.models.spec import ModalitySpec, ModelSpec

IMU = ModalitySpec(sensor="imu", rate_hz=100, shape=(6,))


def spec(**changes) -> ModelSpec:
    given = {"modalities": (IMU,), "window_s": 2, "hop_s": 0.5, "classes": ("sit", "walk"), "quality": (1.0,)}
    return ModelSpec(**{**given, **changes})


def test_steps_and_nanoseconds():
    assert spec().steps(IMU) == 200
    assert (spec().window_ns, spec().hop_ns) == (2_000_000_000, 500_000_000)


def test_survives_json():
    assert ModelSpec.model_validate_json(spec().model_dump_json()) == spec()


@pytest.mark.parametrize(
    ("sensor", "shape"),
    [
        ("imu", (4,)),
        ("imu", (6, 1)),
        ("depth", (27,)),
        ("radar", (32, 4)),
        ("depth", (0, 4)),
        ("accelerometer", (6,)),
        ("skeleton", (20, 2)),
    ],
)
def test_a_shape_that_does_not_fit_the_sensor_is_refused(sensor, shape):
    with pytest.raises(ValidationError, match=f"{sensor} cannot have the shape"):
        ModalitySpec(sensor=sensor, rate_hz=10, shape=shape)


@pytest.mark.parametrize("quality", [(), (0.5, 0.5), (0.9,), (-1.0,)])
def test_quality_must_be_one_weight_a_modality_of_sum_one(quality):
    with pytest.raises(ValidationError, match="quality must be"):
        spec(quality=quality)


@pytest.mark.parametrize(
    "changes",
    [
        {"window_s": 1e9},
        {"window_s": float("nan")},
        {"hop_s": 1e-10},
        {"hop_s": float("inf")},
        {"quality": (float("nan"),)},
        {"quality_share": float("nan")},
        {"classes": ()},
        {"classes": tuple(map(str, range(1001)))},
        {"classes": ("x" * 201,)},
    ],
)
def test_a_number_out_of_its_bounds_is_refused(changes):
    with pytest.raises(ValidationError, match=next(iter(changes))):
        spec(**changes)


def test_windows_leave_no_time_between_them():
    assert spec(hop_s=2).hop_s == 2
    with pytest.raises(
        ValidationError, match=r"hop_s = 2\.5 is longer than window_s = 2, .* train the model with a hop"
    ):
        spec(hop_s=2.5)


@pytest.mark.parametrize("rate_hz", [1e9, float("nan"), float("inf"), 0])
def test_a_rate_out_of_its_bounds_is_refused(rate_hz):
    with pytest.raises(ValidationError, match="rate_hz"):
        ModalitySpec(sensor="imu", rate_hz=rate_hz, shape=(6,))


def test_a_window_holds_at_least_one_number_and_not_more_than_fit_into_memory():
    with pytest.raises(ValidationError, match="has 0 numbers of imu"):
        spec(window_s=0.1, modalities=(ModalitySpec(sensor="imu", rate_hz=1, shape=(6,)),))
    with pytest.raises(ValidationError, match="numbers of depth"):
        spec(modalities=(ModalitySpec(sensor="depth", rate_hz=30, shape=(10_000, 10_000)),))


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (("walk", "sit", "walk"), "repeated: walk"),
        (("\u00e4", "a\u0308"), "repeated: \u00e4"),
        (("to  sit", "to sit"), "repeated: to sit"),
        (("walk", "uncertain"), "'uncertain' is not an activity"),
        (("\x1b[2J",), "control character"),
        (("",), "names no activity"),
    ],
)
def test_classes_are_different_names_that_may_be_shown(classes, message):
    with pytest.raises(ValidationError, match=message):
        spec(classes=classes)
    assert spec(classes=("to  a\u0308",)).classes == ("to \u00e4",)


def test_a_sensor_may_be_asked_for_once():
    with pytest.raises(ValidationError, match="different sensors"):
        spec(modalities=(IMU, IMU), quality=(0.5, 0.5))


def test_a_spec_without_confidence_is_spelled_as_before(tiny_spec: ModelSpec) -> None:
    spelled = tiny_spec.model_dump(mode="json")
    assert not {"temperature", "min_confidence", "risk", "readings", "novelty"} & set(spelled)
    assert ModelSpec.model_validate(spelled).temperature == 1.0
    calibrated = tiny_spec.model_copy(update={"temperature": 1.5, "min_confidence": 0.6, "risk": 0.05})
    assert ModelSpec.model_validate(calibrated.model_dump(mode="json")) == calibrated
    assert repr(calibrated) == repr(tiny_spec)  # by which windows on disk are known


def test_each_set_of_sensors_may_be_read_in_its_own_way(tiny_spec: ModelSpec) -> None:
    alone = Reading(sensors=("depth",), expected={"walk": -1.0}, temperature=2.0, min_confidence=0.9)
    spec = tiny_spec.model_copy(update={"temperature": 0.5, "min_confidence": 0.6, "readings": (alone,)})
    assert ModelSpec.model_validate_json(spec.model_dump_json()) == spec
    assert Reading(sensors=("imu",), expected={"cafe\u0301": 1.0}).expected == {"caf\u00e9": 1.0}  # as classes are
    assert repr(spec) == repr(tiny_spec)  # by which windows on disk are known
    assert spec.reading((False, True, False)) == alone
    assert spec.reading((1.0, 1.0, 0.0)) == Reading(sensors=("imu", "depth"), temperature=0.5, min_confidence=0.6)


@pytest.mark.parametrize(
    ("readings", "message"),
    [
        ([{"sensors": ["imu", "depth"]}, {"sensors": ["depth", "imu"]}], "different sets"),
        ([{"sensors": ["pulse"]}], "different sets of .*'pulse'"),
        ([{"sensors": []}], "different sets"),
        ([{"sensors": ["imu", "imu"]}], "different sets"),
        ([{"sensors": ["imu"], "expected": {"walk": 1e308}}], "at most 20"),
        ([{"sensors": ["imu"], "expected": {"swim": 1.0}}], "expects swim, which is not an activity"),
        ([{"sensors": ["imu"], "temperature": 0}], "temperature"),
    ],
)
def test_readings_that_make_no_sense_are_refused(tiny_spec: ModelSpec, readings: list, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ModelSpec.model_validate({**tiny_spec.model_dump(), "readings": readings})


def test_novelty_is_of_as_many_classes_as_there_are(tiny_spec: ModelSpec) -> None:
    square = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    fitting = {"means": square[:1], "precision": square, "limit": 2.0, "accepted": 0.95}
    spec = ModelSpec.model_validate({**tiny_spec.model_dump(), "novelty": fitting})
    assert ModelSpec.model_validate(spec.model_dump(mode="json")) == spec
    for wrong in ({"precision": [[1.0]], "means": [[1.0]]}, {"precision": square[:2]}, {"means": [[0.0]]}):
        with pytest.raises(ValidationError):
            ModelSpec.model_validate({**tiny_spec.model_dump(), "novelty": {**fitting, **wrong}})


@pytest.mark.parametrize("wrong", [{"temperature": 0.0}, {"min_confidence": 1.1}, {"risk": 1.0}])
def test_confidence_that_makes_no_sense_is_refused(tiny_spec: ModelSpec, wrong: dict) -> None:
    with pytest.raises(ValidationError):
        ModelSpec.model_validate({**tiny_spec.model_dump(), **wrong})
