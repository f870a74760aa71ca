"""The settings of a run: its model, its training, its data, and the words behind `--set`."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

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

    @property
    def unused(self) -> tuple[str, ...]:
        """Parts that these settings make no use of, such as "model.transformer"."""
        return ()

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
    usual = dict(named_values(preset))
    for word in changes:
        check_name(word, list(usual))
    values = {word: parse(word, text, usual[word]) for word, text in changes.items()}
    settings = changed(preset.fitted(dataset), values)
    checked(settings, preset)
    settings.check(dataset)
    for word in changes:
        if word.startswith(tuple(f"{part}." for part in settings.unused)):
            raise ValueError(f"{word}: the other settings make no use of it; leave it out")
    return settings


def check_name(word: str, known: list[str]) -> None:
    """Raise ValueError for a word that names no value; it says what may have been meant."""
    if word in known:
        return
    last = word.rpartition(".")[2]
    meant = [name for name in known if name.rpartition(".")[2] == last]
    if meant:
        raise ValueError(f"{word}: say {' or '.join(meant)}")
    near = [name for name in known if name.startswith(f"{word}.")]
    part, dot, _ = word.rpartition(".")
    beside = [name for name in known if name.startswith(f"{part}.")] if dot else []
    raise ValueError(f"nothing is called {word!r}; there are {', '.join(near or beside or known)}")


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
