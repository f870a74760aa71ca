"""Rows of convolution, pooling, group norm, embedding and attention."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from tests.table import row
from tinygrad_cv import kernels
from tinygrad_cv.testing.strategies import arrays, attention_inputs, conv_inputs, labels, shapes

small = st.integers(1, 2)


@st.composite
def convolutions(draw: Any) -> Any:
    x, weight, options = draw(conv_inputs())
    return x, weight, draw(arrays((len(weight),)) | arrays((len(x), len(weight))) | st.none()), options


@st.composite
def transposed(draw: Any) -> Any:
    n, groups, channels, filters, stride, dilation = (draw(small) for _ in range(6))
    kernel = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    x = draw(arrays((n, groups * channels, draw(st.integers(1, 3)), draw(st.integers(1, 3)))))
    padding = draw(st.integers(0, min(dilation * (k - 1) for k in kernel) // 2))
    options = {
        "stride": stride, "padding": padding, "dilation": dilation, "groups": groups,
        "output_padding": draw(st.integers(0, stride - 1)),
    }  # fmt: skip
    bias = draw(arrays((groups * filters,)) | st.none())
    return x, draw(arrays((groups * channels, filters, *kernel))), bias, options


row(kernels.conv2d, convolutions(), call=lambda x, w, b, options: kernels.conv2d(x, w, b, **options))
row(kernels.conv_transpose2d, transposed(), call=lambda x, w, b, options: kernels.conv_transpose2d(x, w, b, **options))


@st.composite
def pooled(draw: Any, **settings: Any) -> Any:
    kernel = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    options = {"kernel_size": kernel, "stride": draw(st.none() | small), "padding": draw(st.integers(0, min(kernel) // 2))}
    return draw(arrays((draw(small), draw(small), *(k + draw(st.integers(0, 2)) for k in kernel)), **settings)), options


row(kernels.max_pool2d, pooled(min_gap=0.02), call=lambda x, options: kernels.max_pool2d(x, **options))
row(kernels.avg_pool2d, pooled(), call=lambda x, options: kernels.avg_pool2d(x, **options))
row(
    kernels.upsample_nearest2d,
    arrays(shapes(4, 4, 1, 2)),
    options=st.fixed_dictionaries({"scale": st.sampled_from([1, 2, (1, 3)])}),
)


@st.composite
def grouped(draw: Any) -> Any:
    groups, channels = draw(small), draw(small)
    x = draw(arrays((draw(small), groups * channels, *draw(shapes(0, 1, 2, 2)), 3), min_gap=0.02))
    affine = draw(arrays(x.shape[1:2]) | st.none()), draw(arrays(x.shape[1:2]) | st.none())
    return x, *affine, groups


row(
    kernels.group_norm,
    grouped(),
    options=st.fixed_dictionaries({"activation": st.sampled_from([None, "silu"])}),
    call=lambda x, w, b, groups, activation: kernels.group_norm(x, w, b, groups=groups, eps=0.1, activation=activation),
)


@st.composite
def looked_up(draw: Any) -> Any:
    table = draw(arrays(shapes(2, 2)))
    return draw(labels(draw(shapes(0, 2)), len(table))), table


row(kernels.embedding, looked_up())


@st.composite
def attended(draw: Any) -> Any:
    q, k, v, mask = draw(attention_inputs(domain=(-1, 1)))
    if mask is not None and draw(st.booleans()):
        mask = draw(arrays(mask.shape))
    keep = draw(st.none() | arrays((*q.shape[:-1], k.shape[-2]), domain=(0, 1)).map(lambda a: a > 0.3))
    return q, k, v, mask, keep, {"causal": draw(st.booleans()), "scale": draw(st.sampled_from([None, 0.5])), "p": 0.3}


row(kernels.attention, attended(), call=lambda q, k, v, mask, keep, options: kernels.attention(q, k, v, mask, keep, **options))
row(
    kernels.attention,
    st.tuples(arrays((2, 2)), arrays((3, 2, 2)), arrays((3, 1, 2, 1))),
    call=lambda q, k, v: kernels.attention(q, k, v, np.array([[True, False], [False, False]])),
)


@st.composite
def packed(draw: Any) -> Any:
    b, n, heads, d = draw(small), draw(small), draw(small), draw(small)
    x = draw(arrays((b, n, 3 * heads * d), domain=(-1, 1)))
    mask = draw(st.none() | arrays((n, n), domain=(-1, 1)))
    keep = draw(st.none() | arrays((b, heads, n, n), domain=(0, 1)).map(lambda a: a > 0.3))
    return x, mask, keep, {"num_heads": heads, "causal": draw(st.booleans()), "p": 0.3}


row(kernels.self_attention, packed(), call=lambda x, mask, keep, options: kernels.self_attention(x, mask, keep, **options))


@st.composite
def attended_additively(draw: Any) -> Any:
    q, k, value, mask = draw(attention_inputs(domain=(-1, 1), min_gap=0.02))
    return q, k, draw(arrays(q.shape[-1:])), value, mask


row(kernels.additive_attention, attended_additively())


# ---------------------------------------------------------------- formulas of others, that are no kernels

images = arrays(st.tuples(small, small, st.integers(1, 4), st.integers(1, 4)))
sizes = st.tuples(st.integers(1, 5), st.integers(1, 5))
row(kernels.adaptive_avg_pool2d, images, options=st.fixed_dictionaries({"output_size": sizes}))
row(
    kernels.interpolate,
    images,
    options=st.fixed_dictionaries(
        {"size": sizes, "mode": st.sampled_from(["nearest", "bilinear"]), "align_corners": st.booleans()}
    ),
)
row(
    kernels.pixel_shuffle,
    arrays(st.tuples(small, st.sampled_from([4, 8]), small, small)),
    options=st.fixed_dictionaries({"upscale_factor": st.sampled_from([1, 2])}),
)
