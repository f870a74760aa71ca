"""Convolution, pooling, group norm, embedding and attention against PyTorch's: values and gradients in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.rows.vision import pooled, transposed
from tinygrad_cv import Tensor, kernels
from tinygrad_cv.kernels.fast import winograd
from tinygrad_cv.kernels.fast.geometry import Geometry
from tinygrad_cv.kernels.fast.layout import channels_last
from tinygrad_cv.testing.strategies import arrays, attention_inputs, conv_inputs, shapes

torch = pytest.importorskip("torch")
F = torch.nn.functional
pytestmark = pytest.mark.parity

from tests.test_parity_nn import both  # noqa: E402  (needs torch)


@given(conv_inputs())
def test_conv2d(case: Any) -> None:
    x, weight, options = case
    bias = np.arange(1.0, len(weight) + 1)
    both(lambda *a: kernels.conv2d(*a, **options), lambda *a: F.conv2d(*a, **options), [x, weight, bias])


@pytest.mark.parametrize(("channels", "filters", "size"), [(32, 32, (28, 28)), (192, 64, (14, 14)), (64, 128, (7, 7))])
def test_conv2d_by_winograd_in_float32(channels: int, filters: int, size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    x, weight = rng.standard_normal((16, channels, *size), np.float32), rng.standard_normal((filters, channels, 3, 3), np.float32)
    assert winograd.pays(channels_last(x), weight, Geometry((3, 3), (1, 1), (1, 1)))
    weight /= np.float32(np.sqrt(9 * channels))  # so that responses are about 1
    ours = [Tensor(a, requires_grad=True) for a in (x, weight)]
    theirs = [torch.tensor(a, requires_grad=True) for a in (x, weight)]
    one, two = kernels.conv2d(*ours, padding=1), F.conv2d(*theirs, padding=1)
    g = rng.standard_normal(one.shape, np.float32)
    one.backward(g)
    two.backward(torch.from_numpy(g))
    pairs = [(one.numpy(), two.detach()), *((a.grad, b.grad) for a, b in zip(ours, theirs, strict=True))]
    for found, expected in pairs:
        scale = max(1.0, float(expected.std()))
        np.testing.assert_allclose(found / scale, expected.numpy() / scale, rtol=1e-5, atol=1e-5)


@given(transposed())
def test_conv_transpose2d(case: Any) -> None:
    x, weight, _, options = case
    bias = np.arange(1.0, weight.shape[1] * options["groups"] + 1)
    ours = lambda *a: kernels.conv_transpose2d(*a, **options)
    both(ours, lambda *a: F.conv_transpose2d(*a, **options), [x, weight, bias])


@given(pooled(min_gap=0.02))
def test_pooling(case: Any) -> None:
    x, options = case
    both(lambda a: kernels.max_pool2d(a, **options), lambda a: F.max_pool2d(a, **options), [x])
    both(lambda a: kernels.avg_pool2d(a, **options), lambda a: F.avg_pool2d(a, **options), [x])


@given(arrays(shapes(4, 4, 1, 3)), st.integers(1, 3))
def test_upsampling(x: np.ndarray, scale: int) -> None:
    theirs = lambda a: F.interpolate(a, scale_factor=scale, mode="nearest")
    both(lambda a: kernels.upsample_nearest2d(a, scale=scale), theirs, [x])


@given(arrays((2, 4, 3, 2), min_gap=0.02), st.sampled_from([1, 2, 4]), arrays((4,)), arrays((4,)))
def test_group_norm(x: np.ndarray, groups: int, weight: np.ndarray, bias: np.ndarray) -> None:
    both(lambda *a: kernels.group_norm(*a, groups=groups), lambda x, w, b: F.group_norm(x, groups, w, b), [x, weight, bias])


@given(arrays((5, 3)), st.lists(st.integers(0, 4), min_size=6, max_size=6))
def test_embedding(table: np.ndarray, chosen: list[int]) -> None:
    indices = np.array(chosen).reshape(2, 3)
    both(lambda w: kernels.embedding(indices, w), lambda w: F.embedding(torch.from_numpy(indices), w), [table])


@given(attention_inputs(), st.booleans())
def test_attention(case: Any, causal: bool) -> None:
    q, k, v, mask = case
    if causal:
        mask = None  # PyTorch takes one of the two
    given_mask = None if mask is None else torch.from_numpy(mask)
    both(
        lambda *a: kernels.attention(*a, mask, causal=causal),
        lambda *a: F.scaled_dot_product_attention(*a, attn_mask=given_mask, is_causal=causal),
        [q, k, v],
    )
