"""What configurations have in common: limits of their numbers, checks, and JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from math import inf, isfinite
from typing import Annotated, Any, ClassVar, get_type_hints

from tinygrad_cv.data.state import jsonable

# Fields of a configuration whose numbers have other limits than `checked` takes for granted.
NonNegative = Annotated[int, 0, inf]
Fraction = Annotated[float, 0, 1]


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
    num_channels: int = 1

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


def checked(config: Any, like: Any, prefix: str = "") -> Any:
    """A configuration whose values have the types of another's, and whose numbers make sense.

    Whole numbers are at least 1, others at least 0, unless the field is annotated: `NonNegative`,
    `Fraction`. Raises ValueError, which names the field.
    """
    hints = get_type_hints(type(config), include_extras=True)
    for field in fields(config):
        name = f"{prefix}{field.name}"
        value, usual = getattr(config, field.name), getattr(like, field.name)
        if not is_like(value, usual):
            raise ValueError(f"{name}={value!r}: a value like {usual!r} is expected")
        if isinstance(value, Config):
            checked(value, usual, f"{name}.")
            continue
        limits = getattr(hints[field.name], "__metadata__", None)
        for number in value if isinstance(value, tuple) else [value]:
            if type(number) in (int, float):
                check_limits(f"{name}={value}", number, limits)
    return config


def is_like(value: object, usual: object) -> bool:
    """Whether a value has the type of another, and the elements of a tuple the types of its."""
    if isinstance(value, tuple) and isinstance(usual, tuple) and usual:
        return {type(element) for element in value} <= {type(element) for element in usual}
    return type(value) is type(usual)


def check_limits(what: str, number: float, limits: tuple[float, float] | None) -> None:
    """Raise ValueError, which begins with `what`, for a number below or above its limits."""
    low, high = limits or ((1, inf) if type(number) is int else (0, inf))
    if low <= number <= high and isfinite(number):
        return
    allowed = f"between {low} and {high}" if isfinite(high) else f"finite and at least {low}"
    raise ValueError(f"{what}: must be {allowed}")


def stored(config: Any) -> dict[str, Any]:
    """A configuration as JSON gives it back; a model's begins with its `model_type`."""
    values: dict[str, Any] = jsonable(asdict(config))
    for field in fields(config):
        if isinstance(value := getattr(config, field.name), Config):
            values[field.name] = stored(value)
    model_type = getattr(config, "model_type", "")
    return {"model_type": model_type, **values} if model_type else values


def restored(values: Mapping[str, Any], like: Any, prefix: str = "") -> Any:
    """The configuration that `stored` turned into JSON, of the type of another.

    Raises ValueError if it has other fields, other types of values, or another `model_type`.
    """
    kind, content = type(like), dict(values)
    model_type = getattr(like, "model_type", "")
    if model_type and content.pop("model_type", model_type) != model_type:
        stranger = values["model_type"]
        raise ValueError(f"{prefix}model_type={stranger!r}: a {kind.__name__} is {model_type!r}")
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
