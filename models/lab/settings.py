"""The settings of a run: its model, its training, its data, and the words behind `--set`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Self, get_args, get_origin

from ..config import Config, Declared, ModelConfig, checked, declared, named_values, shown


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
        """Names of values, and of parts, that these settings make no use of.

        Such as "model.transformer"; the first of several layers is never skipped.
        """
        one_layer = getattr(self.model, "num_hidden_layers", 2) == 1
        return ("model.drop_path_rate",) if one_layer else ()

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
    settings = with_words(presets[name].fitted(dataset), changes)
    settings.check(dataset)
    for word in changes:
        if f"{word}.".startswith(tuple(f"{part}." for part in settings.unused)):
            raise ValueError(f"{word}: the other settings make no use of it; leave it out")
    return settings


@contextmanager
def naming(changes: Mapping[str, str]) -> Iterator[None]:
    """Inside this context a ValueError, if it is about parts of a model, names what was changed."""
    try:
        yield
    except ValueError as error:
        words = [name.rpartition(".")[2] for name in changes]
        if not changes or any(word in str(error) for word in words):
            raise
        given = " ".join(f"--set {name}={shown(text)}" for name, text in changes.items())
        raise ValueError(f"{error}; it was {given}") from None


def check_grey(model: ModelConfig, images: str) -> None:
    """Raise ValueError for a model of colours, where images are grey."""
    for name, value in named_values(model):
        if name.rpartition(".")[2] == "num_channels" and value != 1:
            raise ValueError(f"model.{name}={value}: {images} are grey, of 1 channel")


def with_words(config: Any, words: Mapping[str, str]) -> Any:
    """A configuration with other values, as text by dotted names.

    Raises ValueError for an unknown name, and a value of another type or beyond its limits.
    """
    usual = dict(named_values(config))
    for name in words:
        check_name(name, list(usual))
    values = {}
    for name, text in words.items():
        values[name] = parse(name, text, usual[name], declared(config, name))
    return checked(changed(config, values), config)


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
    names = near or beside or known
    there = f"there are {', '.join(names)}" if names else "there is nothing to set"
    raise ValueError(f"nothing is called {shown(word)}; {there}")


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


def parse(name: str, text: str, usual: object, declared: Declared) -> Any:
    """A value written as text, of the type that is declared; it may be beyond the limits."""
    try:
        return from_text(text, declared.kind)
    except ValueError:
        given = shown(text) if len(text) > 100 else text
        raise ValueError(f"{name}={given}: a value like {usual!r} is expected") from None


def from_text(text: str, kind: Any) -> Any:
    """A value of a type: "3" -> 3, "(3, 4)" -> (3, 4). Raises ValueError for other text."""
    if kind is bool:
        if text not in ("True", "False"):
            raise ValueError(text)
        return text == "True"
    if get_origin(kind) is not tuple:
        return kind(text)
    text = text.strip()
    if text[:1] + text[-1:] not in ("()", "[]"):
        raise ValueError(text)
    items = text[1:-1].strip().removesuffix(",")
    return tuple(map(get_args(kind)[0], items.split(","))) if items else ()
