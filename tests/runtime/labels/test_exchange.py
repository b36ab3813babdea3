from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosmo_runtime.runtime.labels.exchange import (
    Label,
    from_elan,
    from_label_studio,
    to_audacity,
    to_elan,
    to_label_studio,
)

LABELS = [Label(0.5, 2.25, "wave"), Label(2.25, 3.0, 'sit <down> & "up"'), Label(10.001, 12.5, "gähnen")]


def test_elan_comes_back() -> None:
    assert from_elan(to_elan(LABELS).encode()) == LABELS


def test_label_studio_comes_back() -> None:
    assert from_label_studio(to_label_studio(LABELS, "monday").encode()) == LABELS


def test_audacity_s_track_has_tabs_and_six_digits() -> None:
    assert to_audacity(LABELS[:1]) == "0.500000\t2.250000\twave\n"


def test_of_several_tiers_the_one_of_activities_is_read() -> None:
    document = to_elan(LABELS).replace('TIER_ID="activity"', 'TIER_ID="speech"')
    assert from_elan(document.encode()) == LABELS
    both = to_elan(LABELS[:1]).replace("<TIER ", '<TIER TIER_ID="notes" LINGUISTIC_TYPE_REF="default-lt" /><TIER ', 1)
    assert from_elan(both.encode()) == LABELS[:1]


def test_a_tier_may_be_written_in_capitals_and_other_tiers_are_left_out() -> None:
    notes = to_elan([Label(0.1, 0.2, "camera bumped")]).replace('TIER_ID="activity"', 'TIER_ID="notes"')
    tier = notes[notes.index("<TIER") : notes.index("</TIER>") + len("</TIER>")]
    document = to_elan(LABELS[:1]).replace('TIER_ID="activity"', 'TIER_ID="Activity"')
    document = document.replace("<TIER", f"{tier}<TIER", 1)
    assert from_elan(document.encode()) == LABELS[:1]
    with pytest.raises(ValueError, match="several tiers, notes, gestures"):
        from_elan(document.replace("Activity", "gestures").encode())


def test_an_annotation_without_a_time_is_not_dropped_in_silence() -> None:
    with pytest.raises(ValueError, match="'wave' has no start or no end"):
        from_elan(to_elan(LABELS).replace(' TIME_VALUE="500"', "").encode())


def test_labels_of_several_tasks_are_not_mixed() -> None:
    one, other = (json.loads(to_label_studio([label], name))[0] for label, name in zip(LABELS, "ab"))
    with pytest.raises(ValueError, match="labels of 2 tasks"):
        from_label_studio(json.dumps([one, other]).encode())
    other["annotations"][0]["was_cancelled"] = True
    assert from_label_studio(json.dumps([one, other]).encode()) == LABELS[:1]


def test_the_short_form_of_label_studio_is_read_and_predictions_are_not() -> None:
    value = {"start": 1, "end": 2.5, "timeserieslabels": ["walk"]}
    assert from_label_studio(json.dumps([{"id": 1, "label": [value]}]).encode()) == [Label(1, 2.5, "walk")]
    task = {"annotations": [], "predictions": [{"result": [{"value": value}]}]}
    with pytest.raises(ValueError, match="holds no time series labels"):
        from_label_studio(json.dumps([task]).encode())


@pytest.mark.parametrize(
    "value",
    [
        {"start": "2020-01-01", "end": 2, "timeserieslabels": ["walk"]},
        {"start": 1, "end": 2, "timeserieslabels": []},
        {"start": 1, "end": 2, "timeserieslabels": "walk"},
        {"timeserieslabels": ["walk"]},
    ],
)
def test_labels_that_say_no_time_or_no_name_are_refused(value: object) -> None:
    with pytest.raises(ValueError):
        from_label_studio(json.dumps([{"label": [value]}]).encode())


def test_a_document_with_entities_is_refused() -> None:
    bomb = b'<!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;">]><ANNOTATION_DOCUMENT>&c;</ANNOTATION_DOCUMENT>'
    with pytest.raises(ValueError):
        from_elan(bomb)


@given(st.binary())
def test_no_bytes_raise_anything_else(content: bytes) -> None:
    for read in from_elan, from_label_studio:
        with suppress(ValueError):
            assert read(content)
