"""The ways of convolution: im2col and Winograd against each other and against exact sums, and the memory they leave."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinygrad_cv import Tensor, kernels, nn
from tinygrad_cv.kernels.fast import im2col, winograd
from tinygrad_cv.kernels.fast.geometry import Geometry
from tinygrad_cv.kernels.fast.layout import channels_first, channels_last
from tinygrad_cv.kernels.fast.multiply import multiply

RNG = np.random.default_rng(0)


def drawn(*shape: int, dtype: Any = np.float32) -> np.ndarray:
    return RNG.standard_normal(shape).astype(dtype)


def plain(padding: int | tuple[int, int]) -> Geometry:
    return Geometry((3, 3), (1, 1), (padding, padding) if isinstance(padding, int) else padding)


def errors(found: np.ndarray, exact: np.ndarray) -> tuple[float, float]:
    """The largest, and the root mean square, in units of the exact one's standard deviation."""
    error = (found - exact) / exact.std()
    return float(np.abs(error).max()), float(np.sqrt(np.mean(error**2)))


def exact(x: np.ndarray, w: np.ndarray, g: np.ndarray, geometry: Geometry) -> list[np.ndarray]:
    """The value and both gradients in float64, by im2col, which the table of all operations holds to its reference."""
    x, w, g = x.astype(float), w.astype(float), g.astype(float)
    return [im2col.correlate(x, w, geometry), *im2col.both_gradients(g, x, w, geometry, (True, True))]


# ------------------------------------------------------------------------------------------------------------ Winograd


@pytest.mark.parametrize(
    ("n", "size", "channels", "filters", "padding"),
    [
        (5, (28, 28), 32, 32, 1),
        (3, (7, 7), 64, 48, 1),  # tiles stand over on two sides
        (2, (9, 14), 40, 64, 0),
        (2, (5, 18), 33, 47, (2, 0)),
        (3, (13, 6), 64, 32, (0, 2)),
        (1, (1, 1), 64, 64, 1),
        (1, (14, 14), 300, 40, 1),  # sums in three parts
        (1, (14, 14), 40, 300, 1),
    ],
)
def test_winograd_is_as_exact_as_it_says(n: int, size: Any, channels: int, filters: int, padding: Any) -> None:
    geometry = plain(padding)
    x = kernels.silu(drawn(n, *size, channels))  # not centred, as activations are not
    w, g = drawn(filters, channels, 3, 3), drawn(n, *geometry.output(size), filters)
    found = [
        winograd.correlate(x, w, None, geometry.padding),
        *winograd.both_gradients(g, x, w, geometry.padding, (True, True)),
    ]
    for value, true in zip(found, exact(x, w, g, geometry), strict=True):
        assert value.dtype == np.float32 and value.shape == true.shape
        most, usual = errors(value, true)
        assert most < 1e-5 and usual < 1.5e-6


@given(st.data())
@settings(max_examples=25)
def test_winograd_and_its_gradients_are_adjoint(data: Any) -> None:
    side, count = st.integers(1, 11), st.integers(1, 40)
    n, h, w, c, f = (data.draw(s) for s in (st.integers(1, 3), side, side, count, count))
    padding = tuple(data.draw(st.integers(max(0, -(-(3 - size) // 2)), 2)) for size in (h, w))
    x, weight = drawn(n, h, w, c), drawn(f, c, 3, 3)
    y = winograd.correlate(x, weight, None, padding)  # type: ignore[arg-type]
    g = drawn(*y.shape)
    dx, dweight = winograd.both_gradients(g, x, weight, padding, (True, True))  # type: ignore[arg-type]
    whole = np.linalg.norm(y.astype(float)) * np.linalg.norm(g.astype(float))
    inner = [np.vdot(a.astype(float), b.astype(float)) for a, b in ((y, g), (x, dx), (weight, dweight))]
    assert np.ptp(inner) < 2e-6 * whole * math.sqrt(9 * c)


def test_a_gradient_that_nobody_asked_for_is_not_computed() -> None:
    x, w, g = drawn(1, 8, 8, 32), drawn(32, 32, 3, 3), drawn(1, 8, 8, 32)
    both = winograd.both_gradients(g, x, w, (1, 1), (True, True))
    for needs in ((True, False), (False, True)):
        for value, whole, needed in zip(winograd.both_gradients(g, x, w, (1, 1), needs), both, needs, strict=True):
            assert np.array_equal(value, whole) if needed else value is None


@pytest.mark.parametrize(
    ("pays", "dtype", "shape", "weight", "geometry"),
    [
        (True, np.float32, (2, 28, 28, 32), (32, 32, 3, 3), plain(1)),
        (True, np.float32, (16, 7, 7, 128), (128, 128, 3, 3), plain(1)),
        (False, np.float32, (15, 7, 7, 128), (128, 128, 3, 3), plain(1)),
        (False, np.float32, (64, 2, 2, 128), (128, 128, 3, 3), plain(1)),
        (False, np.float64, (2, 28, 28, 32), (32, 32, 3, 3), plain(1)),
        (False, np.float32, (2, 28, 28, 1), (32, 1, 3, 3), plain(1)),
        (False, np.float32, (2, 28, 28, 32), (1, 32, 3, 3), plain(1)),
        (False, np.float32, (2, 28, 28, 32), (32, 32, 3, 3), plain(3)),
        (False, np.float32, (2, 28, 28, 32), (32, 32, 3, 3), Geometry((3, 3), (2, 2), (1, 1))),
        (False, np.float32, (2, 28, 28, 32), (32, 32, 3, 3), Geometry((3, 3), (1, 1), (1, 1), (2, 2))),
        (False, np.float32, (2, 28, 28, 64), (64, 32, 3, 3), Geometry((3, 3), (1, 1), (1, 1), (1, 1), 2)),
        (False, np.float32, (2, 28, 28, 32), (32, 32, 5, 5), Geometry((5, 5), (1, 1), (1, 1))),
    ],
)
def test_winograd_is_taken_where_it_is_open_and_pays(
    pays: bool, dtype: Any, shape: Any, weight: Any, geometry: Geometry
) -> None:
    assert winograd.pays(np.zeros(shape, dtype), np.zeros(weight, dtype), geometry) is pays


def test_the_kernel_by_either_way_is_the_same_function(monkeypatch: Any) -> None:
    x, w, b, g = drawn(30, 32, 10, 7), drawn(40, 32, 3, 3), drawn(30, 40), drawn(30, 40, 10, 7)
    results: list[list[Any]] = []
    calls: list[bool] = []
    pays = winograd.pays
    for way in (lambda *a: calls.append(pays(*a)) or calls[-1], lambda *a: False):
        monkeypatch.setattr(winograd, "pays", way)
        tensors = [Tensor(a, requires_grad=True) for a in (x, w, b)]
        y = kernels.conv2d(*tensors, padding=1)
        y.backward(g)
        results.append([y.numpy(), *(t.grad for t in tensors)])
    assert calls == [True, True]
    for one, other in zip(*results, strict=True):
        assert one.shape == other.shape and errors(one, other)[0] < 1e-5


# -------------------------------------------------------------------------------------------------------------- im2col


@given(st.data())
@settings(max_examples=40)
def test_the_three_maps_of_im2col_are_adjoint(data: Any) -> None:
    few = st.integers(1, 3)
    n, groups, channels, filters = (data.draw(few) for _ in range(4))
    pairs = [(data.draw(low), data.draw(low)) for low in (st.integers(1, 4), few, st.integers(0, 4), few)]
    geometry = Geometry(*pairs, groups)
    h, w = (max(1, s - 2 * p) + data.draw(st.integers(0, 5)) for s, p in zip(geometry.spans, geometry.padding, strict=True))
    x, weight = drawn(n, h, w, groups * channels, dtype=float), drawn(groups * filters, channels, *pairs[0], dtype=float)
    y = im2col.correlate(x, weight, geometry)
    g = drawn(*y.shape, dtype=float)
    dx, dweight = im2col.both_gradients(g, x, weight, geometry, (True, True))
    np.testing.assert_allclose(im2col.input_gradient(g, weight, geometry, (h, w)), dx, atol=1e-11)
    np.testing.assert_allclose(im2col.weight_gradient(x, g, geometry), dweight, atol=1e-11)
    np.testing.assert_allclose([np.vdot(x, dx), np.vdot(weight, dweight)], np.vdot(y, g), atol=1e-10)


def test_many_images_go_in_blocks() -> None:
    x, w = drawn(70, 12, 12, 20), drawn(24, 20, 3, 3)
    geometry = Geometry((3, 3), (2, 2), (1, 1))
    assert len(list(im2col.image_blocks(geometry, x.shape, (6, 6)))) > 1
    y, g = im2col.correlate(x, w, geometry), drawn(70, 6, 6, 24)
    for value, true in zip(
        [y, *im2col.both_gradients(g, x, w, geometry, (True, True))], exact(x, w, g, geometry), strict=True
    ):
        assert errors(value, true)[0] < 1e-5


@pytest.mark.parametrize("shape", [(5, 3, 4), (3000, 36, 36), (2, 1003, 64, 32), (7, 0, 3), (4000, 200, 300)])
def test_products_in_pieces_are_products(shape: tuple[int, ...]) -> None:
    *lead, r, k, f = shape if len(shape) == 4 else (*shape,)
    a, b = drawn(*lead, r, k, dtype=float), drawn(*lead, k, f, dtype=float)
    out = np.empty((*lead, r, f))
    np.testing.assert_allclose(multiply(a, b, out), a @ b, atol=1e-11)
    if not lead:
        turned = np.empty((f, r))
        multiply(a, b, turned.T)
        np.testing.assert_allclose(turned, (a @ b).T, atol=1e-11)


# -------------------------------------------------------------------------------------------------------------- memory


@pytest.mark.parametrize("channels", [32, 3])
def test_channels_lie_side_by_side_from_kernel_to_kernel(channels: int) -> None:
    """Whichever way an image lies in memory the values are the same; what kernels return has the channels last."""
    first = drawn(2, channels, 8, 12)
    last = channels_first(np.ascontiguousarray(channels_last(first)))
    strided = np.zeros((2, channels + 3, 9, 24), np.float32)
    strided[:, 3:, 1:, ::2] = first
    w, wide = drawn(32, channels, 3, 3), drawn(32, channels, 3, 3)
    operations: list[Any] = [
        lambda x: kernels.conv2d(x, w, padding=1),
        lambda x: kernels.conv2d(x, w, stride=2),
        lambda x: kernels.conv2d(x, w[:, :, :1, :1]),
        lambda x: kernels.conv_transpose2d(x, wide.swapaxes(0, 1), stride=2),
        lambda x: kernels.group_norm(x, groups=1, activation="silu"),
        lambda x: kernels.upsample_nearest2d(x),
    ]
    for operation in operations:
        gradients = []
        for x in (first, last, strided[:, 3:, 1:, ::2]):
            tensor = Tensor(x, requires_grad=True)
            y = operation(tensor)
            assert channels_last(y.numpy()).flags.c_contiguous
            np.testing.assert_allclose(y.numpy(), operation(first), rtol=1e-4, atol=1e-4)
            y.backward(np.cos(np.arange(y.size, dtype=np.float32)).reshape(y.shape))
            gradients.append(tensor.grad)
        np.testing.assert_allclose(gradients[1], gradients[0], rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(gradients[2], gradients[0], rtol=1e-4, atol=1e-4)


# -------------------------------------------------------------------------------------------------------------- layers


def test_a_convolution_with_a_shift_adds_it_to_each_image() -> None:
    layer = nn.Conv2d(3, 5, 3, rng=RNG, dtype=np.float64)
    x, shift = drawn(2, 3, 6, 5, dtype=float), drawn(2, 5, dtype=float)
    np.testing.assert_allclose(layer(x, shift).numpy(), layer(x).numpy() + shift[:, :, None, None], rtol=1e-12)
    layer.bias = None
    np.testing.assert_allclose(layer(x, shift).numpy(), layer(x).numpy() + shift[:, :, None, None], rtol=1e-12)


def test_a_group_norm_with_an_activation() -> None:
    x, layer = drawn(2, 6, 4, 5, dtype=float) * 20, nn.GroupNorm(3, 6, dtype=np.float64)
    np.testing.assert_allclose(layer(x, activation="silu").numpy(), kernels.silu(layer(x)).numpy(), rtol=1e-10)
    with pytest.raises(ValueError, match="activation is None or"):
        layer(x, activation="relu")


def test_a_bias_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"bias has shape \(3, 4\).* \(F,\) or \(N, F\)"):
        kernels.conv2d(drawn(2, 3, 5, 5), drawn(4, 3, 3, 3), drawn(3, 4))
