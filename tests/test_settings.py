"""Settings: words that name a value in a configuration, what data decide, and their JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.config import Config, Fraction, ModelConfig, NonNegative, named_values, restored, stored
from models.lab.settings import Settings, changed, configure


@dataclass(frozen=True)
class StemConfig(ModelConfig):
    model_type: ClassVar = "stem"

    widths: tuple[int, ...] = (4, 8)
    noise: float = 0.5


@dataclass(frozen=True)
class TreeConfig(ModelConfig):
    model_type: ClassVar = "tree"

    stem: StemConfig = field(default_factory=StemConfig)
    num_labels: int = 10
    name: str = "oak"


@dataclass(frozen=True)
class GrowthConfig(Config):
    steps: int = 5
    delay: NonNegative = 0
    dropout: Fraction = 0.25
    noise: float = 1.0


@dataclass(frozen=True)
class TreeSettings(Settings):
    model: TreeConfig = field(default_factory=TreeConfig)
    training: GrowthConfig = field(default_factory=GrowthConfig)

    def fitted(self, dataset: Any) -> Self:
        return replace(self, model=replace(self.model, num_labels=dataset))

    def check(self, dataset: Any) -> None:
        if self.model.num_labels < dataset:
            raise ValueError(f"model.num_labels={self.model.num_labels}: there are {dataset}")


USUAL = TreeSettings()
PRESETS = {"tree": USUAL}
NAMES = [name for name, _ in named_values(USUAL)]


def of_type(value: object) -> st.SearchStrategy[Any]:
    """Values that any number in USUAL can take the place of."""
    if isinstance(value, tuple):
        return st.lists(st.integers(1, 9), max_size=3).map(tuple)
    numbers = {int: st.integers(1, 9), float: st.floats(0, 1), str: st.text()}
    return numbers[type(value)]


@st.composite
def some_values(draw: st.DrawFn) -> dict[str, Any]:
    usual = dict(named_values(USUAL))
    return {name: draw(of_type(usual[name])) for name in draw(st.sets(st.sampled_from(NAMES)))}


@given(some_values())
def test_words_change_the_values_that_they_name_and_no_others(values: dict[str, Any]) -> None:
    words = {name: str(value) for name, value in values.items()}
    labels = values.get("model.num_labels", 7)
    settings = configure(PRESETS, "tree", min(7, labels), words)
    expected = {**dict(named_values(USUAL)), "model.num_labels": min(7, labels), **values}
    assert dict(named_values(settings)) == expected
    assert settings == changed(changed(USUAL, {"model.num_labels": min(7, labels)}), values)


@given(some_values())
def test_settings_survive_their_file(values: dict[str, Any]) -> None:
    settings = changed(USUAL, values)
    assert restored(json.loads(json.dumps(stored(settings))), USUAL) == settings


def test_a_file_says_which_models_it_describes() -> None:
    assert stored(USUAL)["model"] == {
        "model_type": "tree",
        "stem": {"model_type": "stem", "widths": [4, 8], "noise": 0.5},
        "num_labels": 10,
        "name": "oak",
    }
    assert stored(USUAL)["data"] == {}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"num_labels": "3"}, "num_labels: say model.num_labels"),
        ({"noise": "3"}, "noise: say model.stem.noise or training.noise"),
        ({"model.noise": "3"}, "model.noise: say model.stem.noise or training.noise"),
        ({"model.stem": "3"}, "nothing is called 'model.stem'; there are model.stem.widths, "),
        ({"model.num_labels": "9"}, "model.num_labels=9: there are 10"),
        ({"model.stem.widths": "4"}, r"model.stem.widths=4: a value like \(4, 8\) is expected"),
        ({"model.stem.widths": "(4, 0)"}, r"model.stem.widths=\(4, 0\): must be finite and at"),
        ({"training.delay": "-1"}, "training.delay=-1: must be finite and at least 0"),
        ({"training.dropout": "1.5"}, "training.dropout=1.5: must be between 0 and 1"),
    ],
)
def test_a_word_that_does_not_fit_is_refused_by_its_full_name(
    words: dict[str, str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        configure(PRESETS, "tree", 10, words)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"model.stem.noise": "1"}, "model.stem.noise='1': a value like 0.5 is expected"),
        ({"model.stem.model_type": "leaf"}, "model.stem.model_type='leaf': a StemConfig is 'stem'"),
        ({"training.steps": 0}, "training.steps=0: must be finite and at least 1"),
        ({"training.pace": 0}, "a stored GrowthConfig has the fields .*; here differ: pace"),
        ({"training": 3}, "training=3: a value like GrowthConfig"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_by_the_full_name(
    values: dict[str, Any], message: str
) -> None:
    content = stored(USUAL)
    for name, value in values.items():
        *path, last = name.split(".")
        part = content
        for step in path:
            part = part[step]
        part[last] = value
    with pytest.raises(ValueError, match=message):
        restored(content, USUAL)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(["", "model", "model.stem", "training", *NAMES]), JSON)
def test_a_file_with_anything_in_any_place_is_right_or_refused(name: str, anything: Any) -> None:
    content: Any = stored(USUAL)
    part = content
    *path, last = name.split(".")
    for step in path:
        part = part[step]
    if last:
        part[last] = anything
    else:
        content = anything
    try:
        settings = restored(content, USUAL)
    except ValueError:
        return
    assert json.loads(json.dumps(stored(settings))) == content
