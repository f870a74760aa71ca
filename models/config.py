"""What configurations have in common: types and limits of their values, checks, and JSON.

A field's annotation is all that is known of its values, whether they come from a command line or
from a file: `Annotated[int, 2, 10]` is a whole number from 2 to 10, `Annotated[str, "a", "b"]` one
of two words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from math import inf
from typing import Annotated, Any, ClassVar, get_args, get_origin, get_type_hints

from tinygrad_cv.data.state import jsonable

LARGEST = 10**6  # of whole numbers

# Fields of a configuration whose numbers have other limits than those taken for granted.
NonNegative = Annotated[int, 0, inf]
Fraction = Annotated[float, 0, 1]
Steps = Annotated[int, 1, 10**9]
Layers = Annotated[int, 1, 200]  # more would be built without end
Stages = Annotated[tuple[int, ...], 1, 200]


@dataclass(frozen=True)
class Config:
    """Named values, some of which may be configurations themselves."""


@dataclass(frozen=True)
class ModelConfig(Config):
    """What makes a model.

    `model_type` is written into its config.json, so that no other model reads it.
    """

    model_type: ClassVar[str] = ""


@dataclass(frozen=True)
class ImageConfig(ModelConfig):
    """What makes a model of images of one size."""

    image_size: tuple[int, int] = (8, 8)  # (H, W)
    num_channels: int = 1  # 1: grey, 3: colours

    def __post_init__(self) -> None:
        if not isinstance(self.image_size, tuple) or len(self.image_size) != 2:
            raise ValueError(f"image_size={self.image_size!r}: a pair (H, W) is expected")

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Of one image, as data sets have it: (H, W) if it is grey, otherwise (H, W, C)."""
        return self.image_size if self.num_channels == 1 else (*self.image_size, self.num_channels)


def named_values(config: Any, prefix: str = "") -> Iterator[tuple[str, object]]:
    """The values of a configuration and of those in it: ("model.hidden_size", 64), ..."""
    for field in fields(config):
        name, value = f"{prefix}{field.name}", getattr(config, field.name)
        if isinstance(value, Config):
            yield from named_values(value, f"{name}.")
        else:
            yield name, value


@dataclass(frozen=True)
class Declared:
    """What a configuration declares of a value: its type, and the limits of its numbers or words.

    Whole numbers are at least 1, others at least 0, unless the field is annotated: `NonNegative`,
    `Fraction`.
    """

    kind: Any  # int, float, bool, str, tuple[int, ...], tuple[int, int]
    limits: tuple[Any, ...] | None

    def accepts(self, value: object) -> bool:
        """Whether a value has the type."""
        if get_origin(self.kind) is not tuple:
            return type(value) is self.kind
        if type(value) is not tuple:
            return False
        inner = get_args(self.kind)
        if inner[-1] is ...:
            return all(type(item) is inner[0] for item in value)
        return tuple(map(type, value)) == inner

    def check(self, name: str, value: Any, usual: object) -> None:
        """Raise ValueError, which names the value, for one of another type or beyond the limits."""
        if not self.accepts(value):
            raise ValueError(f"{name}={shown(value)}: a value like {usual!r} is expected")
        if self.kind is str and self.limits and value not in self.limits:
            known = ", ".join(self.limits)
            raise ValueError(f"{name}={shown(value)}: there are {known}")
        for number in value if isinstance(value, tuple) else [value]:
            if type(number) in (int, float):
                self.check_number(f"{name}={shown(value)}", number)

    def check_number(self, what: str, number: float) -> None:
        whole = type(number) is int
        low, high = self.limits or (1 if whole else 0, inf)
        if whole and high == inf and number > LARGEST:
            raise ValueError(f"{what}: must be at most {LARGEST}")
        if low <= number <= high and number < inf:
            return
        allowed = f"between {low} and {high}" if high < inf else f"finite and at least {low}"
        raise ValueError(f"{what}: must be {allowed}")


def declarations(kind: type) -> dict[str, Declared]:
    """What the fields of a configuration declare, by their names."""
    hints = get_type_hints(kind, include_extras=True)
    found = {}
    for field in fields(kind):
        hint = hints[field.name]
        limits = getattr(hint, "__metadata__", None)
        kind_of_value = hint.__origin__ if limits else hint
        found[field.name] = Declared(kind_of_value, limits)
    return found


def declared(config: Config, name: str) -> Declared:
    """What is declared of a value with a dotted name, such as "model.hidden_size"."""
    *path, last = name.split(".")
    for part in path:
        config = getattr(config, part)
    return declarations(type(config))[last]


def checked(config: Any, like: Any, prefix: str = "") -> Any:
    """A configuration whose values are as it declares them, with parts of the kinds of another's.

    Raises ValueError, which names the field.
    """
    known = declarations(type(config))
    for field in fields(config):
        name = f"{prefix}{field.name}"
        value, usual = getattr(config, field.name), getattr(like, field.name)
        if not isinstance(usual, Config):
            known[field.name].check(name, value, usual)
        elif type(value) is type(usual):
            checked(value, usual, f"{name}.")
        else:
            raise ValueError(f"{name}={shown(value)}: a value like {shown(usual)} is expected")
    return config


def no_class(label: object, classes: int) -> ValueError:
    """The error about a label of a class that a model has not."""
    known = f"the classes of this model are 0 to {classes - 1}"
    return ValueError(f"label={label}: {known if classes else 'it has no classes'}")


def shown(value: object, longest: int = 100) -> str:
    """A value as a message shows it: not longer than a line."""
    text = value if isinstance(value, str) and len(value) > longest else repr(value)
    return text if len(text) <= longest else f"{text[:longest]}... ({len(text)} characters)"


def stored(config: Any) -> dict[str, Any]:
    """A configuration as JSON gives it back; a model's begins with its `model_type`."""
    values: dict[str, Any] = jsonable(asdict(config))
    for field in fields(config):
        if isinstance(value := getattr(config, field.name), Config):
            values[field.name] = stored(value)
    model_type = getattr(config, "model_type", "")
    return {"model_type": model_type, **values} if model_type else values


def restored(values: Any, like: Any, prefix: str = "") -> Any:
    """The configuration that `stored` turned into JSON, of the type of another.

    Raises ValueError if it has other fields, other types of values, or another `model_type`.
    """
    kind = type(like)
    if not isinstance(values, Mapping):
        what = prefix.removesuffix(".") or kind.__name__
        raise ValueError(f"{what}={shown(values)}: the fields of a {kind.__name__} are expected")
    content = dict(values)
    model_type = getattr(like, "model_type", "")
    if model_type and content.pop("model_type", model_type) != model_type:
        stranger = shown(values["model_type"])
        raise ValueError(f"{prefix}model_type={stranger}: a {kind.__name__} is {model_type!r}")
    known = {field.name for field in fields(like)}
    if known != content.keys():
        odd = ", ".join(sorted(known ^ content.keys()))
        names = ", ".join(sorted(known))
        raise ValueError(f"a stored {kind.__name__} has the fields {names}; here differ: {odd}")
    for name, value in content.items():
        usual = getattr(like, name)
        if isinstance(usual, Config) and isinstance(value, dict):
            content[name] = restored(value, usual, f"{prefix}{name}.")
        elif isinstance(value, list):
            content[name] = tuple(value)
    return checked(kind(**content), like, prefix)
