from __future__ import annotations

import pytest
from pydantic import ValidationError

from models.spec import ModalitySpec, ModelSpec

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


def test_a_sensor_may_be_asked_for_once():
    with pytest.raises(ValidationError, match="different sensors"):
        spec(modalities=(IMU, IMU), quality=(0.5, 0.5))
