from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from models.bundle import load_bundle
from runtime.session import read_labels
from runtime.truth import Segment
from tests.training.sessions import record
from training.cosmo import Cosmo
from training.evaluate import evaluate, predict
from training.methods import Budget
from training.personalise import Comparison, Lesson, PersonaliseError, compare, load_base, read_session, teach, write
from training.pretrained import write_pretrained
from training.train import train_bundle
from training.windows import UNLABELLED


@pytest.fixture(scope="module")
def base(spec, windows, tmp_path_factory):
    out = tmp_path_factory.mktemp("bundles") / "swaying"
    about = {"data": "swaying", "licence": "none needed", "limits": "made up"}
    budget, cosmo = Budget(pretrain_epochs=4, epochs=40), Cosmo()
    return load_base(train_bundle(spec, windows, out, held_out={}, provenance=about, budget=budget, cosmo=cosmo).path)


@pytest.fixture(scope="module")
def labels(tmp_path_factory):
    return read_labels(record(tmp_path_factory.mktemp("session") / "monday.mcap"))


@pytest.fixture(scope="module")
def new_alone(labels):
    """Only what the base does not know is labelled."""
    return {path: [s for s in segments if s.activity == "shake"] for path, segments in labels.items()}


@pytest.fixture(scope="module")
def later(base, tmp_path_factory):
    """All activities again, another time."""
    table = record(tmp_path_factory.mktemp("later") / "tuesday.mcap", rounds=2, seed=5)
    return read_session(base, read_labels(table)).windows.labelled


def learn(base, session, seed=0):
    done = []
    taught = teach(base, session, session.windows.labels != UNLABELLED, seed, done.append)
    assert sum(done) == pytest.approx(1)
    return taught


def of(windows, *classes):
    return windows.where(np.isin(windows.labels, classes))


def test_a_window_is_of_the_example_that_its_middle_lies_in(base, labels):
    session = read_session(base, labels)
    assert session.spec.classes == ("still", "slow", "fast", "shake")
    assert session.spec.quality == base.spec.quality
    numbers, counts = np.unique(session.examples[session.examples >= 0], return_counts=True)
    assert numbers.tolist() == list(range(12))
    assert set(counts.tolist()) <= {6, 7, 8}, "4 s hold the middles of eight windows, and some end before the recording"
    assert (session.windows.labels[session.examples >= 0] == session.examples[session.examples >= 0] % 4).all()
    assert (session.windows.labels[session.examples < 0] == UNLABELLED).all()
    assert (session.examples < 0).sum() >= 20, "between the examples there are windows, too"


def test_all_recordings_of_a_session_are_of_one_person(base, labels, tmp_path):
    tuesday = read_labels(record(tmp_path / "tuesday.mcap", rounds=2, seed=1))
    windows = read_session(base, {**labels, **tuesday}).windows
    assert len(set(windows.recordings)) == 2
    assert len(set(windows.groups)) == 1


def test_the_last_third_of_the_examples_is_held_out(base, labels):
    session = read_session(base, labels)
    held_out = session.last_examples()
    assert set(session.examples[held_out].tolist()) == {8, 9, 10, 11}
    two = {path: segments[:8] for path, segments in labels.items()}
    session = read_session(base, two)
    assert set(session.examples[session.last_examples()].tolist()) == {4, 5, 6, 7}


def test_a_new_activity_is_learned_and_the_old_ones_are_not_forgotten(base, new_alone, later):
    session = read_session(base, new_alone)
    taught = learn(base, session)
    assert evaluate(taught.network, of(later, 3))["accuracy"] > 0.9
    old = of(later, 0, 1, 2)
    assert evaluate(taught.network, old)["accuracy"] >= evaluate(base.network, old)["accuracy"] - 0.05
    forgetful = learn(base._replace(memory=None), replace(session, spec=session.spec))
    assert evaluate(forgetful.network, old)["accuracy"] < 0.6, "without a memory this test would show it"


def test_what_was_learned_is_remembered_for_the_next_time(base, new_alone, later, tmp_path):
    session = read_session(base, new_alone)
    taught = learn(base, session)
    assert torch.bincount(taught.memory.labels).tolist() == [24, 24, 24, int((session.windows.labels == 3).sum())]
    lesson = Lesson(taught, compare(base, taught, later), session.windows.labels >= 0)
    again = load_base(write(tmp_path / "mine", base, session, lesson, seed=0, command="finetune").path)
    with pytest.raises(PersonaliseError, match=r"mine has learned from monday.mcap already; .*rollback, or --bundle"):
        read_session(again, new_alone)
    (path, segments), *_ = read_labels(record(tmp_path / "wednesday.mcap", seed=2)).items()
    renamed = [s._replace(activity="wobble") for s in segments if s.activity == "shake"]
    twice = learn(again, read_session(again, {path: renamed}))
    assert twice.spec.classes == ("still", "slow", "fast", "shake", "wobble")
    assert evaluate(twice.network, of(later, 0, 1, 2))["accuracy"] > 0.9


def test_the_base_and_its_encoders_stay_as_they_are(base, labels):
    before = copy.deepcopy(base.network.state_dict())
    taught = learn(base, read_session(base, labels))
    assert all(torch.equal(before[name], value) for name, value in base.network.state_dict().items())
    encoders = taught.network.encoders.state_dict()
    assert all(torch.equal(before[f"encoders.{name}"], value) for name, value in encoders.items())
    assert not torch.equal(before["classifier.classify.0.weight"], taught.network.classifier.classify[0].weight)


def test_the_same_seed_teaches_the_same(base, labels):
    session = read_session(base, labels)
    one, again, other = (learn(base, session, seed).network.state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one)


def test_activities_that_are_not_kept_go(base, labels):
    some = {path: [s for s in segments if s.activity != "fast"] for path, segments in labels.items()}
    session = read_session(base, some, keep=["still"])
    assert session.spec.classes == ("still", "slow", "shake"), "what is labelled is known in any case"
    taught = learn(base, session)
    assert set(taught.memory.labels.tolist()) == {0, 1, 2}
    assert read_session(base, some, keep=[]).spec.classes == ("still", "slow", "shake")
    with pytest.raises(PersonaliseError, match=r"swaying does not know swim; it knows still, slow, fast"):
        read_session(base, some, keep=["swim"])


def test_before_and_after_are_measured_on_the_same_windows(base, labels):
    session = read_session(base, labels, keep=[])
    held_out = session.last_examples()
    taught = teach(base, session, (session.windows.labels >= 0) & ~held_out, 0, lambda done: None)
    windows = session.windows.where(held_out)
    comparison = compare(base, taught, windows)
    assert list(comparison.activities) == ["still", "slow", "fast", "shake"]
    shake = comparison.activities["shake"]
    assert (shake["windows"], shake["before"]) == (int((windows.labels == 3).sum()), 0.0)
    assert shake["after"] > 0.8
    right = predict(base.network, windows).argmax(1) == windows.labels
    assert comparison.before["accuracy"] == pytest.approx(right.mean())
    assert comparison.after["accuracy"] == evaluate(taught.network, windows)["accuracy"]


@pytest.mark.parametrize(
    ("before", "after", "pays"),
    [(0.5, 0.6, True), (1.0, 1.0, True), (0.6, 0.5, False), (0.0, 0.0, False), (None, 0.1, True), (None, 0.0, False)],
)
def test_a_model_pays_if_it_recognises_something_and_no_less(before, after, pays):
    known = None if before is None else {"accuracy": before}
    assert Comparison(known, {"accuracy": after}, {}).pays == pays


def test_an_answer_that_the_new_model_no_longer_knows_was_wrong_before(base, labels):
    """The base calls still windows still; where that activity is given up, they cannot have been right."""
    others = {path: [s for s in segments if s.activity in ("slow", "fast")] for path, segments in labels.items()}
    session = read_session(base, others, keep=[])
    windows = session.windows.labelled
    taught = teach(base, session, session.windows.labels >= 0, 0, lambda done: None)
    still = read_session(base, labels).windows
    still = of(still, 0)
    comparison = compare(base, taught, replace(still, labels=np.zeros_like(still.labels)))
    assert comparison.activities["slow"]["before"] == 0
    assert compare(base, taught, windows).before["accuracy"] > 0.9


def test_from_encoders_alone_both_parts_learn_in_turns(base, spec, labels, later, tmp_path):
    write_pretrained(tmp_path / "encoders", spec, base.encoders, provenance={"data": ["swaying"]}, losses=[1.0])
    start = load_base(tmp_path / "encoders")
    assert (start.spec.classes, start.network, start.memory) == ((), None, None)
    session = read_session(start, labels)
    assert session.spec.classes == ("still", "slow", "fast", "shake")
    taught = learn(start, session)
    moved = taught.network.encoders.state_dict()
    assert not all(torch.equal(value, moved[name]) for name, value in start.encoders.state_dict().items())
    assert taught.spec.quality != session.spec.quality, "measured in the session"
    assert evaluate(taught.network, later)["accuracy"] > 0.8
    comparison = compare(start, taught, later)
    assert comparison.before is None
    assert comparison.activities["slow"]["before"] is None
    with pytest.raises(PersonaliseError, match="it knows nothing: these are encoders alone"):
        read_session(start, labels, keep=["still"])


def test_sensors_that_a_session_never_had_are_no_part_of_what_encoders_become(base, spec, tmp_path):
    write_pretrained(tmp_path / "encoders", spec, base.encoders, provenance={}, losses=[1.0])
    start = load_base(tmp_path / "encoders")
    session = read_session(start, read_labels(record(tmp_path / "monday.mcap", sensors=("imu", "radar"))))
    assert session.spec.sensors == ["imu", "radar"]
    assert learn(start, session).network.sensors == ["imu", "radar"]


def test_a_bundle_is_written_with_its_story(base, labels, tmp_path):
    session = read_session(base, labels)
    learned = session.windows.labels >= 0
    taught = learn(base, session)
    lesson = Lesson(taught, compare(base, taught, session.windows.labelled), learned)
    bundle = load_bundle(write(tmp_path / "mine", base, session, lesson, seed=4, command="cosmo-runtime finetune").path)
    assert bundle.spec.classes == ("still", "slow", "fast", "shake")
    assert bundle.provenance["base"] == "swaying"
    assert bundle.provenance["data"] == "swaying; 12 labelled examples of the person"
    assert bundle.provenance["limits"] == "made up"
    assert (bundle.provenance["seed"], bundle.provenance["labelled_windows"]) == (4, int(learned.sum()))
    assert set(bundle.metrics) == {"last examples, before", "last examples", "activities"}
    assert "| last examples, before |" in (bundle.path / "README.md").read_text()


def test_what_cannot_be_learned_is_told(base, labels, tmp_path):
    (path, segments), *_ = labels.items()
    short = [Segment(s.start_ns + 10**6, s.start_ns + 10**8, "slow") for s in segments if s.activity == "slow"]
    with pytest.raises(PersonaliseError, match=r"'slow': 0 of its examples can be learned from, and two are needed"):
        read_session(base, {path: short})
    still = [s for s in segments if s.activity == "still"]
    with pytest.raises(PersonaliseError, match="the new model would know 'still' alone"):
        read_session(base, {path: still}, keep=[])
    with pytest.raises(PersonaliseError, match=r"swaying was written by an earlier version, .* would forget"):
        read_session(base._replace(memory=None), {path: still})
    assert read_session(base._replace(memory=None), labels).spec.classes == ("still", "slow", "fast", "shake")


def test_the_fusion_stays_that_of_the_base(spec, windows, labels, tmp_path):
    about, budget, cosmo = {"data": "swaying"}, Budget(pretrain_epochs=0, epochs=5), Cosmo(fusion="sum")
    bundle = train_bundle(spec, windows, tmp_path / "sum", held_out={}, provenance=about, budget=budget, cosmo=cosmo)
    base = load_base(bundle.path)
    assert (base.network.fusion, learn(base, read_session(base, labels)).network.fusion) == ("sum", "sum")
