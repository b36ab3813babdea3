from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from cosmo_runtime.models.bundle import load_bundle
from cosmo_runtime.models.confidence import Reading
from cosmo_runtime.runtime.engines.answers import check_engine
from cosmo_runtime.runtime.engines.onnxruntime import OnnxRuntimeEngine
from cosmo_runtime.runtime.labels.table import read_labels
from cosmo_runtime.runtime.labels.truth import Segment
from cosmo_runtime.training.adapt import finetune
from cosmo_runtime.training.adapt.base import FinetuneError, load_base
from cosmo_runtime.training.adapt.finetune import fine_tune, too_few
from cosmo_runtime.training.adapt.gain import compare
from cosmo_runtime.training.adapt.learn import Learned, write
from cosmo_runtime.training.adapt.session import read_session
from cosmo_runtime.training.cosmo.method import Cosmo
from cosmo_runtime.training.evaluate import evaluate, predict
from cosmo_runtime.training.methods import Budget
from cosmo_runtime.training.pretrained import load_pretrained, write_pretrained
from cosmo_runtime.training.train import train_bundle
from cosmo_runtime.training.windows import UNLABELLED
from tests.training.base import swaying_bundle
from tests.training.sessions import record


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return load_base(swaying_bundle(tmp_path_factory))


@pytest.fixture(autouse=True)
def fewer_steps(monkeypatch):
    """A quarter of the steps is enough for four activities that differ so much."""
    monkeypatch.setattr(finetune, "STEPS", 200)


@pytest.fixture(scope="module")
def new_alone(labels):
    """Only what the base does not know is labelled."""
    return {path: [s for s in segments if s.activity == "shake"] for path, segments in labels.items()}


@pytest.fixture(scope="module")
def later(base, tmp_path_factory):
    """All activities again, another time."""
    table = record(tmp_path_factory.mktemp("later") / "tuesday.mcap", rounds=2, seed=5)
    return read_session(base, read_labels(table)).windows.labelled


def tuned(base, session, seed=0):
    done = []
    model = fine_tune(base, session, session.windows.labels != UNLABELLED, seed, done.append)
    assert sum(done) == pytest.approx(1)
    return model


def of(windows, *classes):
    return windows.where(np.isin(windows.labels, classes))


def test_a_new_activity_is_learned_and_the_old_ones_are_not_forgotten(base, new_alone, later):
    session = read_session(base, new_alone)
    model = tuned(base, session)
    assert evaluate(model.network, of(later, 3))["accuracy"] > 0.6
    old = of(later, 0, 1, 2)
    assert evaluate(model.network, old)["accuracy"] >= evaluate(base.network, old)["accuracy"] - 0.05
    forgetful = tuned(base._replace(memory=None), replace(session, spec=session.spec))
    assert evaluate(forgetful.network, old)["accuracy"] < 0.6, "without a memory this test would show it"


def test_what_was_learned_is_remembered_for_the_next_time(base, new_alone, later, tmp_path):
    session = read_session(base, new_alone)
    model = tuned(base, session)
    assert torch.bincount(model.memory.labels).tolist() == [24, 24, 24, int((session.windows.labels == 3).sum())]
    learned = Learned(
        base, session, model, compare(base, model.spec, model.network, later, later), session.windows.labels >= 0
    )
    again = load_base(write(tmp_path / "mine", learned, seed=0, command="finetune").path)
    with pytest.raises(FinetuneError, match=r"mine has learned from monday.mcap already; .*rollback, or --bundle"):
        read_session(again, new_alone)
    (path, segments), *_ = read_labels(record(tmp_path / "wednesday.mcap", seed=2)).items()
    renamed = [s._replace(activity="wobble") for s in segments if s.activity == "shake"]
    twice = tuned(again, read_session(again, {path: renamed}))
    assert twice.spec.classes == ("still", "slow", "fast", "shake", "wobble")
    assert evaluate(twice.network, of(later, 0, 1, 2))["accuracy"] > 0.9


def test_the_base_and_its_encoders_stay_as_they_are(base, labels):
    before = copy.deepcopy(base.network.state_dict())
    model = tuned(base, read_session(base, labels))
    assert all(torch.equal(before[name], value) for name, value in base.network.state_dict().items())
    encoders = model.network.encoders.state_dict()
    assert all(torch.equal(before[f"encoders.{name}"], value) for name, value in encoders.items())
    assert not torch.equal(before["classifier.classify.0.weight"], model.network.classifier.classify[0].weight)


def test_the_same_seed_gives_the_same_model(base, labels):
    session = read_session(base, labels)
    one, again, other = (tuned(base, session, seed).network.state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one)


def test_activities_that_are_not_kept_go(base, labels):
    some = {path: [s for s in segments if s.activity != "fast"] for path, segments in labels.items()}
    session = read_session(base, some, keep=["still"])
    assert session.spec.classes == ("still", "slow", "shake"), "what is labelled is known in any case"
    model = tuned(base, session)
    assert set(model.memory.labels.tolist()) == {0, 1, 2}
    assert read_session(base, some, keep=[]).spec.classes == ("still", "slow", "shake")
    with pytest.raises(FinetuneError, match=r"swaying does not know swim; it knows still, slow, fast"):
        read_session(base, some, keep=["swim"])


def brief(labels):
    """Half a second in the middle of each example, which holds the middle of one window."""
    (path, segments), *_ = labels.items()
    middles = [(s.start_ns + s.end_ns) // 2 for s in segments]
    return {
        path: [s._replace(start_ns=at - 250_000_000, end_ns=at + 250_000_000) for s, at in zip(segments, middles)][:8]
    }


@pytest.fixture(scope="module")
def stranger(base):
    """A bundle to which all activities of the session are new."""
    return base._replace(spec=base.spec.model_copy(update={"classes": ("a", "b", "c")}))


def test_two_windows_an_activity_are_compared_with_and_many_are_trained_on(stranger, labels, later):
    two = read_session(stranger, brief(labels), keep=[])
    assert np.bincount(two.windows.labelled.labels).tolist() == [2, 2, 2, 2]
    model = tuned(stranger, two)
    assert model.compares
    assert model.network.latest.examples.shape[2] == 8
    stay = stranger.encoders.state_dict()
    assert all(torch.equal(stay[name], value) for name, value in model.network.encoders.state_dict().items())
    assert model.spec.temperature == pytest.approx(0.5 ** (1 / 3), abs=1e-4)
    assert evaluate(model.network, later)["accuracy"] > 0.8
    assert not tuned(stranger, read_session(stranger, labels)).compares


def test_a_base_that_knows_most_of_the_activities_and_encoders_alone_are_trained(base, stranger, labels):
    assert not too_few(base, read_session(base, brief(labels)))
    alone = stranger._replace(network=None, spec=base.spec.model_copy(update={"classes": ()}), memory=None)
    assert not too_few(alone, read_session(alone, brief(labels)))


def test_what_a_base_remembers_is_compared_with_too(stranger, labels):
    model = tuned(stranger, read_session(stranger, brief(labels)))
    assert model.compares
    assert model.spec.classes == ("a", "b", "c", "still", "slow", "fast", "shake")
    assert model.network.latest.shares.sum(0).tolist() == pytest.approx([1] * 7)
    assert (model.network.latest.shares > 0).sum(0).tolist() == [24, 24, 24, 2, 2, 2, 2]


def test_what_compares_is_written_read_and_learned_from_again(stranger, labels, tmp_path):
    session = read_session(stranger, brief(labels))
    model = tuned(stranger, session)
    comparison = compare(stranger, model.spec, model.network, session.windows.labelled, session.windows)
    learned = Learned(stranger, session, model, comparison, session.windows.labels >= 0)
    bundle = write(tmp_path / "mine", learned, seed=0, command="cosmo-runtime finetune")
    way = "Compares with the nearest of 8 windows of 8 examples (an activity has 2, median)"
    assert bundle.provenance["method"].startswith(way)
    assert way in (bundle.path / "README.md").read_text()
    assert bundle.provenance["method"].endswith("What they do not show is recognised as before")
    check_engine(OnnxRuntimeEngine(bundle.onnx), bundle)  # as a live run does before its first window
    again = load_base(bundle.path)
    np.testing.assert_allclose(predict(again.network, session.windows), predict(model.network, session.windows))
    more = read_session(again, read_labels(record(tmp_path / "wednesday.mcap", seed=2)))
    trained = tuned(again, more)
    assert not trained.compares
    assert again.network.classifier.new_read.temperatures()[0] == pytest.approx(0.5 ** (1 / 3), abs=1e-4)
    assert trained.network.classifier.new_read.temperatures()[0] == 1.0, "comparing has another one than training"


def test_before_and_after_are_measured_on_the_same_windows(base, labels):
    session = read_session(base, labels, keep=[])
    held_out = session.last_examples()
    model = fine_tune(base, session, (session.windows.labels >= 0) & ~held_out, 0, lambda done: None)
    windows = session.windows.where(held_out)
    comparison = compare(base, model.spec, model.network, windows, windows)
    assert list(comparison.activities) == ["still", "slow", "fast", "shake"]
    shake = comparison.activities["shake"]
    assert (shake["windows"], shake["before"]) == (int((windows.labels == 3).sum()), 0.0)
    assert shake["after"] > 0.8
    right = predict(base.network, windows).argmax(1) == windows.labels
    assert comparison.before["accuracy"] == pytest.approx(right.mean())
    assert comparison.after["accuracy"] == evaluate(model.network, windows)["accuracy"]


def test_before_and_after_are_measured_as_a_run_reads_them(base, labels):
    """The base is read so that it only ever says still, and the new model so that it only ever says fast."""
    session = read_session(base, labels, keep=[])
    windows = session.windows.labelled
    model = fine_tune(base, session, session.windows.labels >= 0, 0, lambda done: None)

    def always(spec, activity):
        sensors = tuple(name for name, there in zip(spec.sensors, windows.presence[0]) if there)
        return spec.model_copy(update={"readings": (Reading(sensors=sensors, expected={activity: 20.0}),)})

    assert (windows.presence == windows.presence[0]).all()
    still = base._replace(spec=always(base.spec, "still"))
    shares = {name: (windows.labels == number).mean() for number, name in enumerate(session.spec.classes)}
    comparison = compare(still, always(model.spec, "fast"), model.network, windows, windows)
    assert comparison.before["accuracy"] == pytest.approx(shares["still"])
    assert comparison.after["accuracy"] == pytest.approx(shares["fast"])


def test_encoders_of_an_earlier_version_bring_no_reading_along(base, spec, tmp_path, monkeypatch):
    """They were written with the temperature and the threshold of the model whose windows they have."""
    write_pretrained(tmp_path / "encoders", spec, base.encoders, provenance={}, losses=[1.0])
    read = load_pretrained(tmp_path / "encoders")
    read = read._replace(spec=read.spec.model_copy(update={"temperature": 0.5, "min_confidence": 0.7}))
    monkeypatch.setattr("cosmo_runtime.training.adapt.base.load_pretrained", lambda path: read)
    assert load_base(tmp_path / "encoders").spec == spec.model_copy(update={"classes": ()})


def test_an_answer_that_the_new_model_no_longer_knows_was_wrong_before(base, labels):
    """The base calls still windows still; where that activity is given up, they cannot have been right."""
    others = {path: [s for s in segments if s.activity in ("slow", "fast")] for path, segments in labels.items()}
    session = read_session(base, others, keep=[])
    windows = session.windows.labelled
    model = fine_tune(base, session, session.windows.labels >= 0, 0, lambda done: None)
    still = read_session(base, labels).windows
    still = of(still, 0)
    comparison = compare(base, model.spec, model.network, replace(still, labels=np.zeros_like(still.labels)), still)
    assert comparison.activities["slow"]["before"] == 0
    assert compare(base, model.spec, model.network, windows, windows).before["accuracy"] > 0.9


def test_from_encoders_alone_both_parts_learn_in_turns(base, spec, labels, later, tmp_path):
    write_pretrained(tmp_path / "encoders", spec, base.encoders, provenance={"data": ["swaying"]}, losses=[1.0])
    start = load_base(tmp_path / "encoders")
    assert (start.spec.classes, start.network, start.memory) == ((), None, None)
    session = read_session(start, labels)
    assert session.spec.classes == ("still", "slow", "fast", "shake")
    model = tuned(start, session)
    moved = model.network.encoders.state_dict()
    assert not all(torch.equal(value, moved[name]) for name, value in start.encoders.state_dict().items())
    assert model.spec.quality != session.spec.quality, "measured in the session"
    each = finetune.windows_each(session.windows.labels)
    assert model.spec.temperature == finetune.turned_temperature(each) < 1, "it is right more often than it says"
    assert evaluate(model.network, later)["accuracy"] > 0.8
    comparison = compare(start, model.spec, model.network, later, later)
    assert comparison.before is None
    assert comparison.activities["slow"]["before"] is None
    with pytest.raises(FinetuneError, match="it knows nothing: these are encoders alone"):
        read_session(start, labels, keep=["still"])


def test_the_temperature_of_what_is_trained_in_turns_falls_with_the_windows_to_a_least_one():
    assert [finetune.turned_temperature(windows) for windows in (1, 4, 100)] == [1.34, 0.67, 0.67]


def test_sensors_that_a_session_never_had_are_no_part_of_what_encoders_become(base, spec, tmp_path, monkeypatch):
    for name in "TURN_EPOCHS", "TURN_STEPS":
        monkeypatch.setattr(finetune, name, 5)
    write_pretrained(tmp_path / "encoders", spec, base.encoders, provenance={}, losses=[1.0])
    start = load_base(tmp_path / "encoders")
    session = read_session(start, read_labels(record(tmp_path / "monday.mcap", sensors=("imu", "radar"))))
    assert session.spec.sensors == ["imu", "radar"]
    assert tuned(start, session).network.sensors == ["imu", "radar"]


def test_a_bundle_is_written_with_its_story(base, labels, tmp_path):
    session = read_session(base, labels)
    labelled = session.windows.labels >= 0
    model = tuned(base, session)
    learned = Learned(
        base,
        session,
        model,
        compare(base, model.spec, model.network, session.windows.labelled, session.windows),
        labelled,
    )
    bundle = load_bundle(write(tmp_path / "mine", learned, seed=4, command="cosmo-runtime finetune").path)
    assert bundle.spec.classes == ("still", "slow", "fast", "shake")
    assert bundle.provenance["base"] == "swaying"
    assert bundle.provenance["data"] == "swaying; 12 labelled examples of the person"
    assert bundle.provenance["limits"] == "made up"
    assert bundle.provenance["subjects"] == [7]  # whoever taught the base cannot test what is made of it
    assert (bundle.provenance["seed"], bundle.provenance["labelled_windows"]) == (4, int(labelled.sum()))
    assert set(bundle.metrics) == {"last examples, before", "last examples", "activities"}
    assert "| last examples, before |" in (bundle.path / "README.md").read_text()


def test_what_cannot_be_learned_is_told(base, labels, tmp_path):
    (path, segments), *_ = labels.items()
    short = [Segment(s.start_ns + 10**6, s.start_ns + 10**8, "slow") for s in segments if s.activity == "slow"]
    with pytest.raises(FinetuneError, match=r"'slow': 0 of its examples can be learned from, and two are needed"):
        read_session(base, {path: short})
    still = [s for s in segments if s.activity == "still"]
    with pytest.raises(FinetuneError, match="the new model would know 'still' alone"):
        read_session(base, {path: still}, keep=[])
    with pytest.raises(FinetuneError, match=r"swaying was written by an earlier version, .* would forget"):
        read_session(base._replace(memory=None), {path: still})
    assert read_session(base._replace(memory=None), labels).spec.classes == ("still", "slow", "fast", "shake")


def test_the_fusion_stays_that_of_the_base(spec, windows, labels, tmp_path):
    about, budget, cosmo = {"data": "swaying"}, Budget(pretrain_epochs=0, epochs=5), Cosmo(fusion="sum")
    bundle = train_bundle(spec, windows, tmp_path / "sum", held_out={}, provenance=about, budget=budget, cosmo=cosmo)
    base = load_base(bundle.path)
    assert (base.network.fusion, tuned(base, read_session(base, labels)).network.fusion) == ("sum", "sum")
