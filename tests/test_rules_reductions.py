"""Reductions with masks and starting values, and the methods of ufuncs: a tensor changes nothing but the gradient.

Random calls, valid or not, are compared with NumPy's: value, shape, dtype, and what is refused. (Gradients are in the
rows of the table.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_cv as tg
from tinygrad_cv.engine.errors import name_of
from tinygrad_cv.engine.pytrees import leaves
from tinygrad_cv.rules.table import WITHOUT_GRADIENT
from tinygrad_cv.tensor import TABLE

pytestmark = pytest.mark.filterwarnings("ignore")
REFUSALS = (TypeError, ValueError, IndexError, RuntimeError)
DTYPES = st.sampled_from([np.float64, np.float32, np.float16])
AXES = st.sampled_from([None, 0, -1, 1, 2, (0, 1), (0, 0), ()])
NUMBERS = st.sampled_from([0.0, 2.5, -1.5, np.inf, -np.inf, np.nan])
MASKED = (np.sum, np.mean, np.prod, np.max, np.min, np.amax, np.amin, np.var, np.std, np.all, np.any)
MASKED += (np.nansum, np.nanmean, np.nanprod, np.nanmax, np.nanmin, np.nanvar, np.nanstd)
STARTED = (np.sum, np.prod, np.max, np.min, np.amax, np.amin, np.nansum, np.nanprod, np.nanmax, np.nanmin)
CAST = (np.sum, np.mean, np.prod, np.var, np.std, np.nansum, np.nanmean, np.nanprod, np.nanvar, np.nanstd)
IN_TURN = (np.hypot.reduce, np.subtract.reduce, np.logaddexp.reduce)
UFUNCS = sorted([f for f in TABLE if isinstance(f, np.ufunc) and name_of(f).startswith("np.")], key=name_of)
BINARY = [f for f in UFUNCS if f.nin == 2]
REDUCED = [f for f in BINARY if f.nout == 1 and f.signature is None and f is not np.ldexp]
DIFFERENTIATED = [f for f in REDUCED if f not in WITHOUT_GRADIENT]
MANY = settings(max_examples=10 * settings.default.max_examples)  # the function is drawn, too
SKIPS = (np.arctan2, np.power)  # NumPy's own reductions skip elements on some processors


@st.composite
def arrays(draw: st.DrawFn) -> np.ndarray:
    """Of any shape up to three axes, with 0 and 1 among the sizes, and now and then what is not finite."""
    shape = tuple(draw(st.lists(st.integers(0, 3), max_size=3)))
    array = np.random.default_rng(draw(st.integers(0, 999))).normal(size=shape).astype(draw(DTYPES))
    if array.size and draw(st.booleans()):
        array.reshape(-1)[0] = draw(NUMBERS)
    return array


@st.composite
def masks(draw: st.DrawFn, shape: tuple[int, ...]) -> Any:
    """A mask that broadcasts to a shape, or does not, or is none."""
    sizes = draw(st.sampled_from([shape, shape[1:], tuple(n if i else 1 for i, n in enumerate(shape)), (2, *shape)]))
    mask = np.random.default_rng(draw(st.integers(0, 999))).random(sizes) < 0.6
    return draw(st.sampled_from([mask, mask.tolist(), True, False, None, mask.astype(float)]))


def compare(call: Callable[..., Any], *arrays: np.ndarray, value: bool = True) -> None:
    """A call on tensors has NumPy's value (unless that is `value=False`), shape and dtype, or is refused as NumPy does."""
    tensors = [tg.Tensor(a, requires_grad=True) for a in arrays]
    try:
        expected = call(*arrays)
    except Exception:
        with pytest.raises(REFUSALS):
            call(*tensors)
        return
    for found, right in zip(leaves(call(*tensors)), map(np.asarray, leaves(expected)), strict=True):
        array = found.numpy() if isinstance(found, tg.Tensor) else np.asarray(found)
        assert (array.shape, array.dtype) == (right.shape, right.dtype)
        if value:
            eps = np.finfo(right.dtype).eps if right.dtype.kind == "f" else 0
            np.testing.assert_allclose(array, right, rtol=16 * eps, atol=16 * eps)


@MANY
@given(data=st.data())
def test_a_reduction_of_a_tensor_has_numpys_options(data: Any) -> None:
    function = data.draw(st.sampled_from(MASKED))
    a = data.draw(arrays())
    options = {"axis": data.draw(AXES), "keepdims": data.draw(st.booleans())}
    if data.draw(st.booleans()):
        options["where"] = data.draw(masks(a.shape))
    if function in CAST and data.draw(st.booleans()):
        options["dtype"] = data.draw(DTYPES)
    start = a.dtype.type(data.draw(NUMBERS))
    if function in STARTED and data.draw(st.booleans()):
        compare(lambda a, start: function(a, initial=start, **options), a, np.asarray(start))
    else:
        compare(lambda a: function(a, **options), a)


@MANY
@given(
    function=st.sampled_from([*(f for f in MASKED if f not in WITHOUT_GRADIENT), *IN_TURN]),
    seed=st.integers(0, 999),
    axis=st.sampled_from([0, 1]),
    bad=st.sampled_from([0.0, -1.0, np.nan, np.inf]),
)
def test_what_a_mask_leaves_out_has_derivative_zero_whatever_stands_there(
    function: Any, seed: int, axis: Any, bad: float
) -> None:
    """In x, behind functions without a derivative there, to second order, forward as well: as if it were not there."""
    rng = np.random.default_rng(seed)
    x, direction = rng.uniform(0.5, 2, (2, 3, 4))
    mask = rng.random((3, 4)) < 0.6
    mask[np.arange(3), np.arange(3)] = mask[:, 3] = True
    options = {"axis": axis, "where": mask} | ({"initial": -1.0} if function in (*STARTED, *IN_TURN) else {})
    loss = lambda x: np.sum(function(np.log(x) * np.sqrt(x - 0.25), **options) ** 2)
    replaced = np.where(mask, x, bad)
    found = tg.grad(loss)(replaced)
    assert np.all(found[~mask] == 0)
    np.testing.assert_allclose(found, tg.grad(loss)(x), rtol=1e-12)
    forward = [tg.jvp(loss, (at,), (direction,))[1] for at in (replaced, x)]
    np.testing.assert_allclose(*forward, rtol=1e-12)
    if function not in (np.std, np.nanstd):  # which have no second derivative where one element is left
        second = [tg.grad(lambda x: np.sum(tg.grad(loss)(x) * direction))(at) for at in (replaced, x)]
        np.testing.assert_allclose(*second, rtol=1e-9, atol=1e-12)


def test_numbers_and_nan_share_no_extreme() -> None:
    """Where NaN is left out, what stands in its place takes no part of the gradient."""
    for function, extreme in ((np.nanmax, -np.inf), (np.nanmin, np.inf)):
        np.testing.assert_array_equal(tg.grad(function)(np.array([extreme, np.nan])), [1, 0])
        of_none = tg.grad(lambda x, f=function: np.sum(np.where([True, False], f(x, axis=1), 0)))
        np.testing.assert_array_equal(of_none(np.full((2, 2), np.nan)), 0)


# The methods of ufuncs.


@MANY
@given(data=st.data())
def test_a_ufunc_reduces_tensors_as_it_reduces_arrays(data: Any) -> None:
    ufunc = data.draw(st.sampled_from(BINARY))
    a = data.draw(arrays())
    options = {"axis": data.draw(AXES)}
    if data.draw(st.booleans()):
        options["dtype"] = data.draw(DTYPES)
    scans = data.draw(st.sampled_from([ufunc.accumulate, ufunc.reduceat, ufunc.reduce, ufunc.reduce]))
    if scans == ufunc.reduceat:
        indices = data.draw(st.lists(st.integers(-1, 3), max_size=3))
        compare(lambda a: ufunc.reduceat(a, indices, **options), a, value=ufunc not in SKIPS)
        return
    if scans == ufunc.reduce:
        options["keepdims"] = data.draw(st.booleans())
        if data.draw(st.booleans()):
            options["where"] = data.draw(masks(a.shape))
        if data.draw(st.booleans()):
            options["initial"] = data.draw(NUMBERS)
    compare(lambda a: scans(a, **options), a, value=ufunc not in SKIPS or scans == ufunc.accumulate)


@MANY
@given(ufunc=st.sampled_from(UFUNCS), a=arrays(), b=arrays(), number=st.booleans())
def test_a_ufunc_of_all_pairs_of_tensors_is_that_of_arrays(ufunc: np.ufunc, a: np.ndarray, b: np.ndarray, number: bool) -> None:
    if number:
        compare(lambda a: ufunc.outer(a, 2.0), a)
        compare(lambda a: ufunc.outer([1.0, 2.0], a), a)
    else:
        compare(lambda a, b: ufunc.outer(a, b), a, b)


@MANY
@given(ufunc=st.sampled_from(DIFFERENTIATED), seed=st.integers(0, 999), tied=st.booleans())
def test_a_reduction_is_the_last_that_was_accumulated(ufunc: np.ufunc, seed: int, tied: bool) -> None:
    """Value and gradient; that of a part is that of a slice."""
    x = np.random.default_rng(seed).uniform(0.5, 2, (4, 3))
    x = np.round(x) if tied else x
    g = np.arange(1.0, 4.0)
    value, pull = tg.vjp(lambda x: ufunc.accumulate(x)[-1], x)
    for reduction in (
        lambda x: ufunc.reduce(x),
        lambda x: ufunc.reduceat(x, [0])[0],
        lambda x: ufunc.reduceat(x, [1, 0])[1],
        lambda x: ufunc.reduce(x.T, axis=-1),
    ):
        again, pull_again = tg.vjp(reduction, x)
        np.testing.assert_allclose(again, value, rtol=1e-12)
        np.testing.assert_allclose(pull_again(g)[0], pull(g)[0], rtol=1e-12, atol=1e-15)
