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
