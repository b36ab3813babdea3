from __future__ import annotations

from pathlib import Path
from typing import List, Tuple

import pytest

from cosmo_runtime.models.bundle import load_bundle
from cosmo_runtime.models.shelf import SHIPPED_BUNDLE, Shelf
from cosmo_runtime.runtime.alarms.names import NameWatch, unknown_names
from cosmo_runtime.runtime.config import parse_config
from tests.runtime.health.test_vitals import outcome


def _troubles(toml: str) -> List[Tuple[str, bool]]:
    """What is wrong with a configuration's names, for the shipped model."""
    bundle = load_bundle(Shelf().in_use)
    return [*unknown_names(parse_config(toml, Path("cosmo.toml")), bundle.path.name, bundle.spec.classes)]


def test_a_misspelt_alarm_is_told_with_what_was_meant_and_what_is_known() -> None:
    [(words, grave)] = _troubles('[[alarms]]\nname = "fall"\nactivity = "fal"')
    assert words.startswith(
        "alarm fall can never be raised: the model everyday knows no 'fal'; did you mean fall? It knows still, walk, "
    )
    assert grave


@pytest.mark.parametrize(
    "model, named, meant",
    [
        ("person", "still", "stand still"),
        ("everyday", "Stand still", "still"),
        ("person", "sit", "sit down"),
        ("everyday", "run", "run on the spot"),
        ("everyday", "waving", "wave"),
        ("everyday", "lie", ""),
    ],
)
def test_the_likely_meant_name_shares_the_words_or_else_the_letters(model: str, named: str, meant: str) -> None:
    bundle = load_bundle(SHIPPED_BUNDLE.with_name(model))
    config = parse_config(f'[[alarms]]\nname = "a"\nnothing_but = ["{named}"]', Path("cosmo.toml"))
    [(words, _)] = unknown_names(config, model, bundle.spec.classes)
    perhaps = f"; did you mean {meant}? It knows " if meant else ". It knows "
    assert f"the model {model} knows no {named!r}{perhaps}" in words


def test_the_page_says_what_the_example_is_called_by_the_simulated_person_s_model() -> None:
    page = (Path(__file__).parents[3] / "docs" / "home.md").read_text("utf-8")
    assert "says `stand still` where `everyday` says `still`" in " ".join(page.split())
    alarms = page.split("```toml")[1].split("```")[0].replace('"still"', '"stand still"')
    bundle = load_bundle(SHIPPED_BUNDLE.with_name("person"))
    assert unknown_names(parse_config(alarms, Path("cosmo.toml")), "person", bundle.spec.classes) == []


def test_an_alarm_that_knows_one_of_its_names_can_be_raised() -> None:
    [(words, grave)] = _troubles('[[alarms]]\nname = "rests"\nnothing_but = ["still", "lie"]')
    assert words.startswith("alarm rests: the model everyday knows no 'lie'. It knows still, ")
    assert not grave


def test_times_of_an_unknown_activity_are_told() -> None:
    [(words, grave)] = _troubles("[episodes.activities]\nfal = {on_s = 1}")
    assert words.startswith("[episodes.activities]: the model everyday knows no 'fal'; did you mean fall? ")
    assert not grave


def test_each_model_that_takes_over_is_checked_once(caplog: pytest.LogCaptureFixture) -> None:
    config = parse_config('[[alarms]]\nname = "walks"\nactivity = "walk"', Path("cosmo.toml"))
    watch = NameWatch(config, "person", ["walk"])
    watch.outcome(outcome("walk"))
    assert (watch.troubles, caplog.messages) == ([], [])
    for _ in range(3):
        watch.outcome(outcome("run"))
    said = "alarm walks can never be raised: the model person knows no 'walk'. It knows run, nobody, uncertain, gap"
    assert (watch.troubles, caplog.messages) == ([(said, True)], [said])
    watch.outcome(outcome("walk"))
    assert watch.troubles == []


@pytest.mark.parametrize("activity", ["fall", "Fall", "nobody", "uncertain", "gap", "none"])
def test_what_the_model_or_the_run_can_answer_is_known(activity: str) -> None:
    assert _troubles(f'[[alarms]]\nname = "a"\nactivity = "{activity}"\n[[alarms]]\nname = "b"\nno_data = true') == []


def test_the_examples_name_what_the_shipped_model_knows() -> None:
    top = Path(__file__).parents[3]
    lines = (top / "cosmo.toml").read_text("utf-8").split("[clips]")[0].splitlines()
    alarms = "\n".join(line[1:] for line in lines[lines.index("#   [[alarms]]") :])
    page = (top / "docs" / "home.md").read_text("utf-8").split("```toml")[1].split("```")[0]
    for toml in alarms, page:
        assert toml.count("[[alarms]]") == 3
        assert _troubles(toml) == []
