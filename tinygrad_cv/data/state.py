"""States of iterations and random generators, as a checkpoint stores them."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np

from ..typing import PyTree


def jsonable(state: Mapping[str, PyTree]) -> dict[str, PyTree]:
    """A state as JSON gives it back: plain numbers and strings, arrays and tuples as lists.

    Some of NumPy's generators have arrays in their `bit_generator.state`; each takes it back with
    lists in their place. Raises TypeError for what JSON cannot hold.
    """
    plain: dict[str, PyTree] = json.loads(json.dumps(state, default=np.ndarray.tolist))
    return plain
