from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from cosmo_runtime.models.bundle import load_bundle
from cosmo_runtime.models.confidence import Reading
from cosmo_runtime.models.mixture import Mixture
from cosmo_runtime.models.novelty import Novelty
from cosmo_runtime.runtime.engines.answers import check_engine
from cosmo_runtime.runtime.engines.onnxruntime import OnnxRuntimeEngine
from cosmo_runtime.training.adapt import finetune
from cosmo_runtime.training.adapt.base import load_base
from cosmo_runtime.training.adapt.beside import _names
from cosmo_runtime.training.adapt.finetune import remember, train
from cosmo_runtime.training.adapt.session import read_session
from cosmo_runtime.training.evaluate import predict
from cosmo_runtime.training.export import export
from tests.training.base import swaying_bundle

READ = Reading(
    sensors=("imu",), expected={"still": -2.0, "slow": 1.0, "fast": 3.0}, temperature=0.5, min_confidence=0.7
)
SQUARE = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
NOVELTY = Novelty(means=SQUARE, precision=SQUARE, limit=1.0, accepted=0.95)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """Knows still, slow and fast."""
    base = load_base(swaying_bundle(tmp_path_factory))
    return base._replace(spec=base.spec.model_copy(update={"readings": (READ,), "novelty": NOVELTY}))


@pytest.fixture(autouse=True)
def fewer_steps(monkeypatch):
    monkeypatch.setattr(finetune, "STEPS", 200)


def showing(labels, *activities):
    return {path: [s for s in segments if s.activity in activities] for path, segments in labels.items()}


def taught(way, base, session):
    chosen = session.windows.labels >= 0
    return way(base, session, chosen, 0, *([lambda done: None] if way is train else []))


def everything(base, labels):
    """Windows of all four activities."""
    return read_session(base._replace(spec=base.spec.model_copy(update={"readings": ()})), labels).windows.labelled


@pytest.mark.parametrize("way", [train, remember])
def test_what_a_session_does_not_show_is_never_likelier_than_before(way, base, labels):
    session = read_session(base, showing(labels, "fast", "shake"))
    model = taught(way, base, session)
    windows = everything(base, labels)
    before, after = predict(base.network, windows, base.spec), predict(model.network, windows, model.spec)
    for name in ("still", "slow"):
        here, there = base.spec.classes.index(name), model.spec.classes.index(name)
        assert (after[:, there] <= before[:, here] + 1e-5).all()
    # and what it shows is learned
    shaking = windows.where(windows.labels == model.spec.classes.index("shake"))
    assert (predict(model.network, shaking, model.spec).argmax(1) == shaking.labels).mean() > 0.6


def test_a_run_reads_a_mixture_with_the_thresholds_of_before_and_nothing_twice(base, labels):
    spec = taught(train, base, read_session(base, showing(labels, "fast", "shake"))).spec
    assert spec.readings == (Reading(sensors=("imu",), min_confidence=0.7),)
    assert (spec.temperature, spec.novelty) == (1.0, None)
    assert type(spec).model_validate(spec.model_dump()) == spec


def test_where_all_is_shown_nothing_is_kept_beside(base, labels):
    session = read_session(base, labels)
    model = taught(train, base, session)
    assert not isinstance(model.network.classifier, Mixture)
    assert model.spec.readings == (READ.model_copy(update={"expected": {}}),), "examples say how likely each one is"


def test_an_activity_that_is_given_up_counts_as_one_that_was_shown(base, labels):
    session = read_session(base, showing(labels, "shake"), keep=["slow"])
    model = taught(train, base, session)
    assert model.spec.classes == ("slow", "shake")
    np.testing.assert_allclose(model.network.classifier.names, [[0, 1], [1, 0], [0, 1]])


def test_an_activity_that_is_given_up_counts_as_none_if_the_model_knows_that():
    shown = torch.tensor([0.0, 1.0, 0.0])
    names = _names(["fall", "dance", "none"], ["fall", "wave", "none"], shown)
    assert names.tolist() == [[1, 0, 0], [0, 0, 1], [0, 0, 1]]


def test_what_two_sessions_did_not_show_is_still_said_by_the_first_classifier(base, labels, tmp_path):
    first = taught(train, base, read_session(base, showing(labels, "shake"), keep=["slow"]))
    described = {"provenance": {}, "metrics": {}}
    again = load_base(export(tmp_path / "once", first.spec, first.network, memory=first.memory, **described).path)
    (path, segments), *_ = showing(labels, "fast").items()
    session = read_session(again, {path: [s._replace(activity="wobble") for s in segments]})
    second = taught(train, again, session)
    mixture = second.network.classifier
    assert second.spec.classes == ("slow", "shake", "wobble")
    assert mixture.shown.tolist() == [0, 1, 1], "shake was shown in the first session"
    # of the first classifier's three activities, two were given up for what the first session showed
    assert mixture.names.tolist() == [[0, 1, 0], [1, 0, 0], [0, 1, 0]]
    assert mixture.new_read.temperatures() == (1.0, [0.5])
    for name, value in base.network.classifier.state_dict().items():
        assert torch.equal(mixture.before.state_dict()[name], value)
    windows = everything(base, labels)
    before, after = predict(base.network, windows, base.spec), predict(second.network, windows, second.spec)
    assert (after[:, 0] <= before[:, 1] + 1e-5).all()


@pytest.mark.parametrize("way", [train, remember])
def test_a_mixture_is_written_and_read_and_runs_with_every_set_of_sensors(way, base, labels, tmp_path):
    session = read_session(base, showing(labels, "shake"))
    model = taught(way, base, session)
    described = {"provenance": {}, "metrics": {}}
    export(tmp_path / "mine", model.spec, model.network, memory=model.memory, **described)
    bundle = load_bundle(tmp_path / "mine")
    check_engine(OnnxRuntimeEngine(bundle.onnx), bundle)
    read = load_base(bundle.path)
    windows = everything(base, labels)
    np.testing.assert_allclose(predict(read.network, windows), predict(model.network, windows), atol=1e-6)


def test_the_base_stays_as_it_is(base, labels):
    before = {name: value.clone() for name, value in base.network.state_dict().items()}
    model = taught(train, base, read_session(base, showing(labels, "shake")))
    with torch.no_grad():
        model.network.classifier.before.classify[0].weight.zero_()
    assert all(torch.equal(before[name], value) for name, value in base.network.state_dict().items())
