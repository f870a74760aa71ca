"""What configurations have in common: limits of their numbers, checks, and JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from math import inf, isfinite
from typing import Annotated, Any, get_type_hints

from tinygrad_cv.data.state import jsonable

# Fields of a configuration whose numbers have other limits than `checked` takes for granted.
NonNegative = Annotated[int, 0, inf]
Fraction = Annotated[float, 0, 1]


def checked(config: Any, like: Any) -> Any:
    """A configuration whose values have the types of another's, and whose numbers lie where they make sense.

    Whole numbers are at least 1, others at least 0, unless the field is annotated: `NonNegative`, `Fraction`.
    """
    hints = get_type_hints(type(config), include_extras=True)
    for field in fields(config):
        value, usual = getattr(config, field.name), getattr(like, field.name)
        if type(value) is not type(usual):
            raise ValueError(f"{field.name}={value!r}: a value like {usual!r} is expected")
        numbers = [n for n in (value if isinstance(value, tuple) else [value]) if type(n) in (int, float)]
        for number in numbers:
            usually = (1, inf) if type(number) is int else (0, inf)
            low, high = getattr(hints[field.name], "__metadata__", usually)
            if not (low <= number <= high and isfinite(number)):
                limits = f"between {low} and {high}" if isfinite(high) else f"finite and at least {low}"
                raise ValueError(f"{field.name}={value}: must be {limits}")
    return config


def restored(presets: Mapping[str, Any], stored: Mapping[str, Any]) -> Any:
    """The configuration that `asdict` turned into JSON."""
    like = next(iter(presets.values()))
    known = {field.name for field in fields(like)}
    if known != stored.keys():
        odd = ", ".join(sorted(known ^ stored.keys()))
        raise ValueError(f"a stored {type(like).__name__} has the fields {', '.join(sorted(known))}; here differ: {odd}")
    return checked(type(like)(**{name: tuple(v) if isinstance(v, list) else v for name, v in stored.items()}), like)


def stored(config: Any) -> dict[str, Any]:
    """A configuration as JSON gives it back."""
    return jsonable(asdict(config))
