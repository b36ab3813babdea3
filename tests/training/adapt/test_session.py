"""A session becomes labelled windows, and what measures a model shares no moment with what it learned from."""

from __future__ import annotations

from dataclasses import replace
from typing import List, Sequence

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")

from cosmo_runtime.runtime.labels.table import read_labels
from cosmo_runtime.training.adapt.base import Base, FinetuneError
from cosmo_runtime.training.adapt.session import Session, read_session
from cosmo_runtime.training.windows import UNLABELLED, Windows
from tests.training.sessions import record


@pytest.fixture(scope="module")
def base(spec, tmp_path_factory):
    """What a bundle says of itself; nothing is learned here."""
    memory = object()  # that it has one is all that counts
    return Base(tmp_path_factory.mktemp("bundles") / "swaying", spec, None, object(), memory, {})


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


def session_of(spec, rows: Sequence[str], recordings: Sequence[str] = ()) -> Session:
    """Windows half a second apart: for each row a word such as ``still*4``, or ``-*4`` for what has no label."""
    labels: List[int] = []
    examples: List[int] = []
    for number, row in enumerate(rows):
        name, _, count = row.partition("*")
        labels += [spec.classes.index(name) if name != "-" else UNLABELLED] * int(count)
        examples += [number if name != "-" else -1] * int(count)
    many = len(labels)
    names = np.array(recordings or ["monday"] * many)
    windows = Windows({"imu": np.zeros((many, 1))}, np.ones((many, 1), bool), np.array(labels), names, names)
    return Session(spec, windows, np.array(examples))


def apart(session: Session, learned: np.ndarray, measured: np.ndarray) -> bool:
    """Whether windows of 2 s that end half a second apart share no moment."""
    assert not (learned & measured).any()
    ends = np.arange(len(learned))
    return bool((np.abs(ends[learned][:, None] - ends[measured]) >= 4).all())


def test_windows_that_overlap_learned_ones_measure_nothing(spec):
    rows = ["still*8", "slow*8", "still*8", "slow*8", "still*8", "slow*8"]
    session = session_of(spec, rows)
    learned, measured = session.split()
    assert apart(session, learned, measured)
    assert learned.tolist() == [True] * 32 + [False] * 16, "all but the last third"
    assert measured.tolist() == [False] * 35 + [True] * 13, "three windows reach into what was learned"
    with_gaps = session_of(spec, ["still*4", "-*3", "slow*4", "-*3"] * 3)
    learned, measured = with_gaps.split()
    assert (learned.sum(), measured.sum()) == (16, 8), "nothing is left out where nothing overlaps"


def test_learned_windows_give_way_where_an_activity_could_not_be_measured_else(spec):
    """A rest, `still`, before and after each short action, as in a stream of UTD-MHAD."""
    rows = ["still*6", "slow*5", "still*6", "slow*5", "still*6", "fast*5", "still*6", "fast*5", "still*6"]
    session = session_of(spec, rows)
    learned, measured = session.split()
    assert apart(session, learned, measured)
    labels = session.windows.labels
    assert (measured & (labels == 1)).sum() == 5, "all of the last example, which has learned rests on both sides"
    assert (measured & (labels == 2)).sum() == 2, "what is clear of the rest before; the one after is held out, too"
    assert set(labels[learned]) == {0, 1, 2}


def test_recordings_share_no_moment(spec):
    rows = ["still*4", "-*3", "slow*4", "still*4", "-*3", "slow*4"]
    session = session_of(spec, rows, ["monday"] * 11 + ["tuesday"] * 11)
    learned, measured = session.split()
    assert (learned.sum(), measured.sum()) == (8, 8)


def test_what_cannot_be_measured_at_all_is_refused(spec):
    with pytest.raises(FinetuneError, match=r"could not be measured, .* with 2 s between"):
        session_of(spec, ["still*1", "slow*1", "still*1", "slow*1"]).split()


def test_a_name_that_the_base_knows_is_taken_for_it(base, labels, caplog):
    names = {"still": "Still", "shake": "SHAKE"}
    other = {
        path: [row._replace(activity=names.get(row.activity, row.activity)) for row in rows]
        for path, rows in labels.items()
    }
    session = read_session(base, other, keep=["SLOW"])
    assert session.spec.classes == ("still", "slow", "fast", "SHAKE")
    assert set(session.activities) == {"still", "slow", "fast", "SHAKE"}
    assert [record.getMessage() for record in caplog.records] == [
        f"'Still' is taken for 'still', which {base.path} knows"
    ]


def test_nothing_is_learned_from_times_when_nobody_was_there(base, labels):
    (path, segments), *_ = labels.items()
    left = [s._replace(activity="Nobody") if s.activity == "shake" else s for s in segments]
    session = read_session(base, {path: left})
    assert session.spec.classes == ("still", "slow", "fast")
    assert (session.windows.labels == UNLABELLED).sum() > (
        read_session(base, labels).windows.labels == UNLABELLED
    ).sum()
    with pytest.raises(FinetuneError, match="nothing is labelled but nobody, which a run tells by a rule"):
        read_session(base, {path: [s._replace(activity="nobody") for s in segments]})


def test_windows_that_show_nothing_of_a_fall_are_known(base, labels):
    (path, segments), *_ = labels.items()
    falling = [s._replace(activity="Fall") if s.activity == "shake" else s for s in segments]
    session = read_session(base, {path: falling})
    falls, without = session.windows.labels == session.spec.classes.index("Fall"), session.without_falls()
    assert not (falls & without).any()
    reach = round(session.spec.window_s / session.spec.hop_s) - 1
    near = np.convolve(falls, np.ones(2 * reach + 1), mode="same") > 0
    np.testing.assert_array_equal(without, ~near)
    session = read_session(base, labels)
    assert session.without_falls().all()
    blind = replace(session.windows, presence=np.zeros_like(session.windows.presence))
    assert not replace(session, windows=blind).without_falls().any(), "where no sensor saw anything, nothing is known"
