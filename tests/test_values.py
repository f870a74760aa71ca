"""A tensor in the place of an array changes nothing but the gradient.

Random calls of every function that is written in terms of others, options by name, valid or not: what NumPy refuses is
refused, and what both give has NumPy's shape and dtype. (Values are in the rows of the table.)
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_cv as tg
from tinygrad_cv.engine.errors import name_of
from tinygrad_cv.engine.pytrees import leaves, map_leaves
from tinygrad_cv.rules.table import DEFINITIONS
from tinygrad_cv.tensor import unwrap

tg.rule(np.sum)
FUNCTIONS = {name_of(f): d for f, d in DEFINITIONS.items() if not d.calls and name_of(f).startswith("np.")}
del FUNCTIONS["np.full"]  # NumPy calls it on tensors only with like=
OPTIONS = [None, 0, 1, -1, 2, 5, -3, True, False, (0, 1), (0, 0), "C", "F", "bogus", np.float32, int, 0.5, 2.0, [0, 1]]
NOT_DRAWN = {"out", "where", "like", "subok", "initial", "copy", "overwrite_input"}  # refused, or write in place
LISTS = {"arrays", "arrs", "tup"}


@st.composite
def arrays(draw: st.DrawFn) -> np.ndarray:
    """Of any shape up to three axes, with 0 and 1 among the sizes, and now and then what is not finite."""
    shape = tuple(draw(st.lists(st.integers(0, 3), max_size=3)))
    dtype = draw(st.sampled_from([np.float64, np.float32, np.float16]))
    array = np.random.default_rng(draw(st.integers(0, 999))).normal(size=shape).astype(dtype)
    if array.size and draw(st.integers(0, 6)) == 0:
        array.reshape(-1)[0] = draw(st.sampled_from([np.nan, np.inf, -np.inf, 0.0]))
    return array


@st.composite
def calls(draw: st.DrawFn, name: str) -> tuple[list[Any], dict[str, Any]]:
    """Arguments of one call, many of them wrong."""
    signature = FUNCTIONS[name].signature
    args: list[Any] = []
    for parameter in signature.positional:
        optional = parameter not in signature.required and draw(st.integers(0, 4))
        if optional or parameter in NOT_DRAWN:
            break
        if parameter in LISTS:
            args.append(draw(st.lists(arrays(), min_size=1, max_size=3)))
        elif not args or draw(st.booleans()):
            args.append(draw(arrays()))
        else:
            args.append(draw(st.sampled_from(OPTIONS)))
    kwargs = {}
    for parameter in signature.defaults:
        left = parameter not in signature.positional[: len(args)] and parameter not in NOT_DRAWN
        if left and parameter != signature.variadic and draw(st.integers(0, 6)) == 0:
            kwargs[parameter] = draw(st.sampled_from(OPTIONS))
    return args, kwargs


def tensor(value: Any) -> Any:
    """A tensor in the place of an array."""
    is_array = isinstance(value, np.ndarray) and value.dtype.kind == "f"
    return tg.Tensor(value, requires_grad=True) if is_array else value


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FUNCTIONS)
@settings(derandomize=True, database=None)
@given(data=st.data())
def test_a_tensor_in_place_of_an_array_changes_nothing(name: str, data: Any) -> None:
    args, kwargs = data.draw(calls(name))
    function = FUNCTIONS[name].function
    with np.errstate(all="ignore"):
        try:
            expected = leaves(function(*args, **kwargs))
        except Exception:
            with pytest.raises((TypeError, ValueError, IndexError, ArithmeticError, AttributeError, NotImplementedError)):
                function(*[map_leaves(tensor, a) for a in args], **kwargs)
            return
        try:
            found = leaves(function(*[map_leaves(tensor, a) for a in args], **kwargs))
        except (TypeError, ValueError, IndexError, AttributeError, NotImplementedError):
            return  # NumPy has more than is differentiated here; never less
    assert len(found) == len(expected)
    for ours, theirs in zip(map(unwrap, found), map(np.asarray, expected), strict=True):
        assert np.shape(ours) == theirs.shape
        assert np.asarray(ours).dtype == theirs.dtype
