"""Rows of `tinygrad_cv/kernels/`: a row per kernel and per option that takes another way through the code."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from tests.table import Strategy, row
from tinygrad_cv import kernels
from tinygrad_cv.testing.strategies import arrays, shapes

sides = st.integers(1, 4)


def options(**choices: Any) -> Strategy:
    """Options drawn one by one, each from a list."""
    return st.fixed_dictionaries({name: st.sampled_from(values) for name, values in choices.items()})


def of_one_shape(number: int, **settings: Any) -> Strategy:
    return shapes().flatmap(lambda shape: st.tuples(*[arrays(shape, **settings)] * number))


# ------------------------------------------------------------------------------------------------------- activations

row(kernels.relu, arrays(avoid=[0]))
row(kernels.leaky_relu, arrays(avoid=[0]), options=options(negative_slope=[0.0, 0.01, 0.2, 1.0]))
row(kernels.sigmoid, arrays())
row(kernels.tanh, arrays())
row(kernels.silu, arrays())
row(kernels.erf, arrays())
row(kernels.gelu, arrays(), options=options(approximate=["none", "tanh"]))
row(
    kernels.dropout,
    shapes().flatmap(lambda s: st.tuples(arrays(s), arrays(s, domain=(0, 1)).map(lambda m: m > 0.5))),
    options=options(p=[0.0, 0.3, 1.0]),
)


# ---------------------------------------------------------------------------------------------------- linear, softmax


@st.composite
def linear_arguments(draw: Any, bias: bool) -> tuple[np.ndarray, ...]:
    inputs, outputs = draw(sides), draw(sides)
    x = draw(arrays(shapes(0, 2).map(lambda leading: (*leading, inputs)), domain=(-1, 1)))
    others = [draw(arrays((outputs, inputs), domain=(-1, 1))), *([draw(arrays((outputs,), domain=(-1, 1)))] if bias else [])]
    return (x, *others)


row(kernels.linear, linear_arguments(bias=False), options=options(activation=[None, "sigmoid", "gelu"]))
row(kernels.linear, linear_arguments(bias=True), options=options(activation=[None, "tanh", "gelu_tanh", "silu"]))


@st.composite
def with_axis(draw: Any) -> tuple[np.ndarray, int]:
    x = draw(arrays(shapes(1, 3)))
    return x, draw(st.integers(-x.ndim, x.ndim - 1))


row(kernels.softmax, with_axis(), call=lambda x, axis: kernels.softmax(x, axis=axis))
row(kernels.log_softmax, with_axis(), call=lambda x, axis: kernels.log_softmax(x, axis=axis))


# ------------------------------------------------------------------------------------------------------ normalisation


@st.composite
def batch_norm_arguments(draw: Any, affine: bool) -> tuple[np.ndarray, ...]:
    batch, channels = draw(st.integers(3, 5)), draw(sides)
    x = draw(arrays((batch, channels, *draw(shapes(0, 2, 1, 2))), min_gap=0.05))
    return (x, draw(arrays((channels,))), draw(arrays((channels,)))) if affine else (x,)


def evaluation(x: Any, weight: Any, bias: Any, mean: Any, variance: Any) -> Any:
    return kernels.batch_norm(x, weight, bias, mean=mean, variance=variance)


row(kernels.batch_norm, batch_norm_arguments(affine=True), options=options(eps=[0.1, 1.0]))
row(kernels.batch_norm, batch_norm_arguments(affine=False), options=options(eps=[0.1]))
row(
    kernels.batch_norm,
    batch_norm_arguments(affine=True).flatmap(
        lambda a: st.tuples(*map(st.just, a), arrays(a[1].shape), arrays(a[1].shape, domain=(0.5, 2)))
    ),
    call=evaluation,
    constant=(3, 4),
)


@st.composite
def layer_norm_arguments(draw: Any) -> tuple[np.ndarray, ...]:
    x = draw(arrays(shapes(1, 3, 2, 4), min_gap=0.05))
    shape = x.shape[draw(st.integers(0, x.ndim - 1)) :]
    return x, draw(arrays(shape)), draw(arrays(shape))


row(kernels.layer_norm, layer_norm_arguments(), options=options(eps=[0.1, 1.0]))
row(
    kernels.layer_norm,
    layer_norm_arguments().map(lambda a: (a[0], a[2], a[2].shape)),
    call=lambda x, bias, shape: kernels.layer_norm(x, None, bias, eps=0.1, shape=shape),
)
row(
    kernels.layer_norm,
    arrays(shapes(1, 3, 2, 4), min_gap=0.05).map(lambda x: (x, x.shape[-2:])),
    call=lambda x, shape: kernels.layer_norm(x, eps=0.1, shape=shape),
)


# ------------------------------------------------------------------------------------------------------------- losses

reductions = ["mean", "sum", "none"]
row(kernels.mse, of_one_shape(2), options=options(reduction=reductions))
row(kernels.bce_with_logits, of_one_shape(2), options=options(reduction=reductions))
row(
    kernels.bce_with_logits,
    of_one_shape(3),
    options=options(reduction=reductions),
    constant=(2,),
)


@st.composite
def classification(draw: Any, weighted: bool) -> tuple[np.ndarray, ...]:
    classes = draw(sides)
    logits = draw(arrays(shapes(0, 2).map(lambda leading: (*leading, classes))))
    labels = draw(arrays(logits.shape[:-1], domain=(0, 1))) * classes // 1
    labels = np.minimum(labels.astype(np.int64), classes - 1)
    if labels.size > 1:
        labels.reshape(-1)[0] = -100  # ignored
    return (logits, labels, draw(arrays((classes,), domain=(0.5, 2)))) if weighted else (logits, labels)


row(
    kernels.cross_entropy,
    classification(weighted=False),
    options=options(reduction=reductions, label_smoothing=[0.0, 0.1]),
)
row(
    kernels.cross_entropy,
    classification(weighted=True),
    options=options(reduction=reductions, label_smoothing=[0.0, 0.3]),
    constant=(2,),
)

# ---------------------------------------------------------------- formulas of others, that are no kernels

row(kernels.elu, arrays(avoid=[0]), options=options(alpha=[0.5, 1.0]))
row(kernels.softplus, arrays(), options=options(beta=[0.5, 1.0]))
row(kernels.quick_gelu, arrays())
row(
    kernels.prelu,
    shapes().flatmap(lambda s: st.tuples(arrays(s, avoid=[0]), arrays(s[-1:], domain=(0.1, 0.9)))),
)
row(kernels.l1, of_one_shape(2, min_gap=0.02), options=options(reduction=reductions))
row(
    kernels.smooth_l1,
    of_one_shape(2, min_gap=0.02),
    options=options(reduction=reductions, beta=[0.0, 0.77]),
)
row(
    kernels.kl_div,
    shapes().flatmap(lambda s: st.tuples(arrays(s), arrays(s, domain=(0.1, 1)))),
    options=options(reduction=reductions),
)
row(
    kernels.soft_cross_entropy,
    shapes(1, 3).flatmap(lambda s: st.tuples(arrays(s), arrays(s, domain=(0, 1)))),
    options=options(reduction=reductions),
)
row(kernels.nll, classification(weighted=False), options=options(reduction=["sum", "none"]))
row(kernels.nll, classification(weighted=True), options=options(reduction=["sum", "none"]), constant=(2,))
row(
    kernels.rms_norm,
    layer_norm_arguments().map(lambda a: a[:2]),
    options=options(eps=[0.1, 1.0]),
)
