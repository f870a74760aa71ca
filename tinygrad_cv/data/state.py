"""States of iterations and random generators, as a checkpoint stores them."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np

from ..schema import shown
from ..typing import PyTree


def jsonable(state: Mapping[str, PyTree]) -> dict[str, PyTree]:
    """A state as JSON gives it back: plain numbers and strings, arrays and tuples as lists.

    Some of NumPy's generators have arrays in their `bit_generator.state`; each takes it back with
    lists in their place. Raises TypeError for what JSON cannot hold.
    """
    plain: dict[str, PyTree] = json.loads(json.dumps(state, default=np.ndarray.tolist))
    return plain


def generator_at(state: PyTree, like: np.random.Generator, place: str) -> np.random.Generator:
    """A new generator in a state that one of the same kind left.

    Raises ValueError, which names the place, for anything else.
    """
    fresh = np.random.Generator(type(like.bit_generator)())
    kind = state.get("bit_generator") if isinstance(state, dict) else None
    name = type(like.bit_generator).__name__
    if kind != name:
        raise ValueError(f"{place} is {shown(state)}, where the state of a {name} belongs")
    try:
        fresh.bit_generator.state = state
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{place} is not the state of a {name}: {error!r}") from None
    if jsonable(fresh.bit_generator.state) != jsonable(state):
        raise ValueError(f"{place} is not a state that a {name} can have")
    return fresh
