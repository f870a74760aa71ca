"""float16 in, float32 within, float16 out.

A sum of squares leaves float16 (at most 65504, 11 bits) long before its root does, and a sum of
2,000 terms loses most of their bits. So kernels compute in float32 what they are given in float16
and round once, at the end, as PyTorch's do. In NumPy that is faster, too.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

HALF = "e"  # the character of float16


def is_half(value: Any) -> bool:
    """Whether a value is an array, a tensor or a number of float16."""
    dtype = getattr(value, "dtype", None)
    return dtype is not None and dtype.char == HALF


def all_half(values: Iterable[Any]) -> bool:
    """Whether all that are floating-point numbers with a dtype are float16."""
    dtypes = [getattr(value, "dtype", None) for value in values]
    return all(d.char == HALF for d in dtypes if d is not None and d.kind == "f")


def widened(value: Any) -> Any:
    """float32 for float16, also in lists, tuples and dicts; others as they are."""
    if type(value) is dict:
        return {name: widened(part) for name, part in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(widened, value))
    return value.astype(np.float32) if is_half(value) else value


def rounded(value: Any) -> Any:
    """float16 for float32, also in lists and tuples; others as they are."""
    if type(value) in (list, tuple):
        return type(value)(map(rounded, value))
    return value.astype(np.float16) if value.dtype == np.float32 else value
