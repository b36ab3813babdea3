from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from cosmo_runtime.models.confidence import Reading
from cosmo_runtime.runtime.labels.table import read_labels
from cosmo_runtime.tools.measure.few_examples import Person
from cosmo_runtime.tools.measure.not_shown import alone, showing
from cosmo_runtime.training.adapt import finetune
from cosmo_runtime.training.adapt.base import load_base
from cosmo_runtime.training.adapt.finetune import train
from cosmo_runtime.training.adapt.session import read_session
from cosmo_runtime.training.cosmo.stage2 import embed
from cosmo_runtime.training.evaluate import predict
from cosmo_runtime.training.windows import UNLABELLED
from tests.training.base import swaying_bundle
from tests.training.sessions import record


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """Its probabilities are read with another temperature than 1."""
    base = load_base(swaying_bundle(tmp_path_factory))
    reading = Reading(sensors=("imu",), temperature=0.5, min_confidence=0.7)
    return base._replace(spec=base.spec.model_copy(update={"readings": (reading,)}))


def test_the_new_classifier_alone_is_read_as_it_is_inside_the_mixture(base, tmp_path, monkeypatch):
    monkeypatch.setattr(finetune, "STEPS", 50)
    labels = read_labels(record(tmp_path / "monday.mcap"))
    shaking = {path: [s for s in segments if s.activity == "shake"] for path, segments in labels.items()}
    session = read_session(base, shaking)
    model = train(base, session, session.windows.labels >= 0, 0, lambda done: None)
    network, spec = alone(model)
    assert spec.readings == (Reading(sensors=("imu",), temperature=0.5, min_confidence=0.7),)
    assert network.classifier is model.network.classifier.new
    mixture = model.network.classifier
    z, presence, _ = embed(base.encoders, session.windows)
    with torch.no_grad():
        expected = mixture.new_read(mixture.new(z, presence)[0], presence).numpy()
    np.testing.assert_allclose(predict(network, session.windows, spec), expected, atol=1e-5)


def test_only_some_activities_of_a_person_are_labelled(base, tmp_path):
    windows = read_session(base, read_labels(record(tmp_path / "monday.mcap"))).windows
    mask = np.ones(len(windows), bool)
    person = Person("somebody", windows, ("still", "slow", "fast", "shake"), mask, mask)
    labels = showing(person, ["slow", "shake"]).windows.labels
    assert set(labels.tolist()) == {UNLABELLED, 1, 3}
    assert showing(person, []) is person
