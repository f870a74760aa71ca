"""A printed program, executed."""

from __future__ import annotations

import importlib
import linecache
import operator
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any, NamedTuple

import numpy as np

from ..typing import Array

PACKAGE = __name__.partition(".")[0]
_numbers = count(1).__next__


class Executed(NamedTuple):
    """What a program returned, and its variables."""

    value: Any
    gradients: dict[str, Array]
    updated: dict[str, Array]
    tangents: dict[str, Array]
    variables: dict[str, Any]


def execute(text: str, inputs: Mapping[str, Any], returned: Sequence[str]) -> Executed:
    """Run the text of a program; names in it stand for NumPy, SciPy and this package.

    `returned` says what the dictionaries behind its value are.
    """
    import scipy.special

    from .. import kernels, optim, parallel

    space: dict[str, Any] = {
        "np": np,
        "scipy": scipy,
        "operator": operator,
        PACKAGE: importlib.import_module(PACKAGE),
        "kernels": kernels,
        "optim": optim,
        "parallel": parallel,
    }
    filename = f"<tape {_numbers()}>"
    linecache.cache[filename] = (len(text), None, text.splitlines(True), filename)
    body, _, result = text.rpartition("\n    return ")
    result = result.replace("\n    ", "\n")
    code = f"{body}\n    return ({result}), dict(locals())\n"
    exec(compile(code, filename, "exec"), space)
    with np.errstate(all="ignore"):
        found, variables = space["program"](**inputs)
    (value, *dictionaries) = found if returned else (found,)
    named = dict(zip(returned, dictionaries, strict=True))
    gradients = named.get("gradients", {})
    updated = named.get("updated", {})
    return Executed(value, gradients, updated, named.get("tangents", {}), variables)
