"""The settings of a run: its model, its training, its data, and the words behind `--set`."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Self

from tinygrad_cv import data

from ..config import Config, ModelConfig, checked, named_values


@dataclass(frozen=True)
class Settings(Config):
    """Three configurations, each for itself.

    A task's own `Settings` say which, and how they depend on a data set.
    """

    model: ModelConfig
    training: Config
    data: Config = field(default_factory=Config)

    def fitted(self, dataset: Any) -> Self:
        """These settings with what a data set decides, such as the size of its images."""
        return self

    def check(self, dataset: Any) -> None:
        """Raise ValueError where the parts contradict each other, or a data set (None without)."""


def configure(
    presets: Mapping[str, Any], name: str, dataset: Any, changes: Mapping[str, str]
) -> Any:
    """A preset for a data set, with changes: dotted names and text, {"model.hidden_size": "32"}.

    Raises ValueError for an unknown name, a value of another type or beyond its limits, and for
    values that contradict each other or the data set.
    """
    if name not in presets:
        raise ValueError(f"no preset is called {name!r}; there are {', '.join(presets)}")
    preset = presets[name]
    if not isinstance(preset, Settings):
        return configure_flat(preset, dataset, changes)
    usual = dict(named_values(preset))
    for word in changes:
        check_name(word, list(usual))
    values = {word: parse(word, text, usual[word]) for word, text in changes.items()}
    settings = changed(preset.fitted(dataset), values)
    checked(settings, preset)
    settings.check(dataset)
    return settings


def check_name(word: str, known: list[str]) -> None:
    """Raise ValueError for a word that names no value; it says what may have been meant."""
    if word in known:
        return
    last = word.rpartition(".")[2]
    meant = [name for name in known if name.rpartition(".")[2] == last]
    if meant:
        raise ValueError(f"{word}: say {' or '.join(meant)}")
    raise ValueError(f"nothing is called {word!r}; there are {', '.join(known)}")


def changed(config: Any, values: Mapping[str, object]) -> Any:
    """A configuration with other values: changed(settings, {"training.steps": 10})."""
    inner: dict[str, dict[str, object]] = {}
    own: dict[str, Any] = {}
    for name, value in values.items():
        first, _, rest = name.partition(".")
        if rest:
            inner.setdefault(first, {})[rest] = value
        else:
            own[first] = value
    for first, part in inner.items():
        own[first] = changed(getattr(config, first), part)
    return replace(config, **own)


def parse(name: str, text: str, like: Any) -> Any:
    """A value written as text, of the type of another value."""
    if isinstance(like, str):
        return text
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        value = None
    value = float(value) if isinstance(like, float) and isinstance(value, int) else value
    if type(value) is not type(like):
        raise ValueError(f"{name}={text}: a value like {like!r} is expected")
    return value


# ------------------------------------------------- goes, when the last configuration is split


def configure_flat(preset: Any, training: Any, changes: Mapping[str, str]) -> Any:
    """`configure` for a configuration that is still in one piece."""
    known = {field.name: getattr(preset, field.name) for field in fields(preset)}
    unknown = [key for key in changes if key not in known]
    if unknown:
        raise ValueError(
            f"{type(preset).__name__} has no {unknown[0]!r}; there are {', '.join(known)}"
        )
    given: dict[str, Any] = {}
    if isinstance(training, data.Text):
        given = {"vocabulary": training.vocabulary}
    elif training is not None:
        given = {"shape": training.images.shape[1:], "classes": len(training.classes)}
    given = {key: value for key, value in given.items() if key in known}
    config = replace(
        preset, **(given | {key: parse(key, text, known[key]) for key, text in changes.items()})
    )
    if "shape" in given and config.shape != given["shape"]:
        raise ValueError(
            f"shape={config.shape}: the pictures of {training.name} are {given['shape']}"
        )
    if 0 < getattr(config, "classes", 0) < given.get("classes", 0):
        raise ValueError(f"classes={config.classes}: {training.name} has {given['classes']}")
    return checked(config, preset)


def steps_word(preset: Any) -> str:
    """How a preset calls its number of steps."""
    return "training.steps" if isinstance(preset, Settings) else "steps"


def steps_of(config: Any) -> int:
    """The number of steps of a training, from a configuration or from what is stored of it."""
    found = (
        config.get("training", config)
        if isinstance(config, dict)
        else getattr(config, "training", config)
    )
    return int(found["steps"] if isinstance(found, dict) else found.steps)
