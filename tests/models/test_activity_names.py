"""Names that are the same to a person are one, and people may write in any script."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosmo_runtime.models.activity_names import activity_name, as_known, label_name
from cosmo_runtime.names import NONE


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("  sit  down ", "sit down"),
        ("sit\u00a0down", "sit down"),
        ("sit\u3000\u2009down", "sit down"),
        ("ga\u0308hnen", "g\u00e4hnen"),
        ("[/] pause", "[/] pause"),
        ("\u0645\u06cc\u200c\u0631\u0648\u0645", "\u0645\u06cc\u200c\u0631\u0648\u0645"),  # Persian, with a non-joiner
        ("\u0915\u094d\u200d\u0937", "\u0915\u094d\u200d\u0937"),  # Devanagari, with a joiner
        ("\u05dc\u05e9\u05d1\u05ea\u200f", "\u05dc\u05e9\u05d1\u05ea\u200f"),  # Hebrew, with a mark of direction
        ("\U0001f468\u200d\U0001f469\u200d\U0001f467 hug", "\U0001f468\u200d\U0001f469\u200d\U0001f467 hug"),
        ("None", "None"),
    ],
)
def test_a_name_is_stored_composed_and_with_single_spaces(text: str, stored: str) -> None:
    assert activity_name(text) == stored


@pytest.mark.parametrize("character", ["\x1b", "\t", "\n", "\r", "\x85", "\u2028", "\u2029", "\x00", "\ud800"])
def test_control_characters_and_ends_of_lines_are_refused_and_shown(character: str) -> None:
    text = f"walk{character}fast"
    with pytest.raises(ValueError) as raised:
        activity_name(text)
    assert repr(text) in str(raised.value)
    assert str(raised.value).isprintable()


@pytest.mark.parametrize("text", ["", "  ", "\u200f", "\ufeff \u00a0"])
def test_what_nobody_sees_is_no_name(text: str) -> None:
    with pytest.raises(ValueError, match="names no activity"):
        activity_name(text)


@pytest.mark.parametrize("text", ["uncertain", "Uncertain", " UNCERTAIN\u200e"])
def test_uncertain_is_no_activity_however_it_is_written(text: str) -> None:
    with pytest.raises(ValueError, match="is not an activity, but the answer of a model that cannot tell"):
        activity_name(text)


def test_people_give_no_activity_a_name_that_means_something_else() -> None:
    with pytest.raises(ValueError, match="'Gap' is not an activity, but what the log calls a time without data"):
        label_name("Gap")
    with pytest.raises(ValueError, match="names no activity"):
        label_name(" ")
    assert label_name(" NoBody\u200e") == "nobody"
    assert (activity_name("gap"), activity_name("nobody")) == ("gap", "nobody"), "models of earlier versions still load"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("walk", "walk"),
        ("Walk", "walk"),
        ("GR\u00dcSSEN", "gr\u00fc\u00dfen"),
        ("sit down\u200e", "Sit down"),
        ("\u26bd\ufe0f", "\u26bd"),
        ("None", NONE),
        ("walks", "walks"),
        ("\u0645\u06cc\u0631\u0648\u0645", "\u0645\u06cc\u0631\u0648\u0645"),
    ],
)
def test_a_known_name_is_taken_where_a_person_sees_no_other(name: str, meant: str) -> None:
    known = ["walk", "gr\u00fc\u00dfen", "Sit down", "\u26bd", "\u0645\u06cc\u200c\u0631\u0648\u0645"]
    assert as_known(name, known) == meant


def test_a_name_that_is_known_as_it_is_stays_itself() -> None:
    assert [as_known(name, ["Walk", "walk", "None"]) for name in ("walk", "Walk", "None")] == ["walk", "Walk", "None"]


@given(text=st.text())
def test_what_is_stored_stays_as_it_is(text: str) -> None:
    try:
        name = activity_name(text)
    except ValueError:
        return
    assert activity_name(name) == name
    assert as_known(unicodedata.normalize("NFD", name), [name]) == name
