"""Kernels, layers and optimisers at the edges: hidden rows, empty batches, infinities, NaN, arguments out of range."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tinygrad_cv import Tensor, hvp, jvp, kernels, nn, optim
from tinygrad_cv.kernels.kernel import Kernel
from tinygrad_cv.nn.losses import Loss

RNG = np.random.default_rng(0)
SEEDS = st.integers(0, 2**31)


def leaf(*shape: int, dtype: Any = np.float64) -> Tensor:
    return Tensor(RNG.normal(size=shape).astype(dtype), requires_grad=True)


# -------------------------------------------------------------------------------------------------------- attention


def attend(query: Any, key: Any, value: Any, mask: Any, **options: Any) -> Any:
    return kernels.attention(query, key, value, mask, **options)


def attend_to_itself(query: Any, key: Any, value: Any, mask: Any, **options: Any) -> Any:
    """The same in one packed array of one head: (B, L, D) each."""
    return kernels.self_attention(np.concatenate([query, key, value], axis=-1), mask, num_heads=1, **options)


def attend_by_reference(query: Any, key: Any, value: Any, mask: Any, **options: Any) -> Any:
    return kernels.attention.reference(query, key, value, mask, **options)


@pytest.mark.parametrize("form", [attend, attend_to_itself, attend_by_reference])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@given(seed=SEEDS, causal=st.booleans(), shared=st.booleans())
def test_a_mask_of_minus_infinity_hides_as_false_does(
    form: Any, dtype: Any, seed: int, causal: bool, shared: bool
) -> None:
    """Value, gradients and tangent; among others where a query may look nowhere."""
    rng = np.random.default_rng(seed)
    q, k, v, g = rng.normal(size=(4, 2, 3, 4)).astype(dtype)
    visible = rng.random((3, 3) if shared else (2, 3, 3)) < 0.6
    visible[..., 0, :] = False
    if form is attend_to_itself and not shared:
        visible = visible[:, None]  # (B, num_heads, L, L)
    additive = np.where(visible, 0, -np.inf).astype(dtype)

    def results(mask: np.ndarray) -> list[np.ndarray]:
        tensors = [Tensor(x, requires_grad=True) for x in (q, k, v)]
        y = form(*tensors, mask, causal=causal)
        np.sum(y * g).backward()
        _, y_dot = jvp(lambda *x: form(*x, mask, causal=causal), (q, k, v), (k, v, q))
        return [y.data, *(x.grad for x in tensors), np.asarray(y_dot)]

    found, expected = results(additive), results(visible)
    for got, want in zip(found, expected, strict=True):
        np.testing.assert_array_equal(got, want)
        assert np.isfinite(got).all()
    assert not found[0][..., 0, :].any()


def test_the_gradient_of_a_mask_is_zero_where_it_hides() -> None:
    mask = Tensor(np.array([[-np.inf] * 3, [0.5, -np.inf, 1.0]]), requires_grad=True)
    np.sum(kernels.attention(leaf(2, 4), leaf(3, 4), leaf(3, 4), mask) ** 2).backward()
    assert np.isfinite(mask.grad).all()
    assert not mask.grad[mask.data == -np.inf].any()
    assert mask.grad[1, 0] == pytest.approx(-mask.grad[1, 2], rel=1e-12) != 0


def test_a_mask_hides_scores_that_are_infinite() -> None:
    key = np.ones((3, 4))
    key[1] = np.inf
    y = kernels.attention(np.ones((2, 4)), key, np.eye(3), np.array([0, -np.inf, 0]))
    np.testing.assert_array_equal(y, [[0.5, 0, 0.5]] * 2)


@pytest.mark.parametrize("mask", [np.ones((2, 3), int), np.ones((2, 3), np.uint8)])
def test_a_mask_of_integers_is_refused(mask: np.ndarray) -> None:
    """Is 0 "may not be looked at" or "add nothing"? Other libraries differ."""
    with pytest.raises(TypeError, match=r"mask has dtype u?int"):
        kernels.attention(leaf(2, 4), leaf(3, 4), leaf(3, 4), mask)
    with pytest.raises(TypeError, match=r"mask of additive_attention is boolean, not u?int"):
        kernels.additive_attention(leaf(2, 4), leaf(3, 4), leaf(4), leaf(3, 4), mask)


def test_additive_attention_refuses_a_mask_to_be_added() -> None:
    with pytest.raises(TypeError, match="mask of additive_attention is boolean, not float64"):
        kernels.additive_attention(leaf(2, 4), leaf(3, 4), leaf(4), leaf(3, 4), np.zeros((2, 3)))


# ---------------------------------------------------------------------------------------------------- empty batches

R: dict[str, Any] = {"rng": RNG, "dtype": np.float64}
IMAGES = (3, 4, 6, 6)

# Each layer with the shape of a batch, and the axis of its samples.
BATCHES: dict[str, tuple[Any, tuple[int, ...], int]] = {
    "linear": (lambda: nn.Linear(4, 3, **R), (3, 5, 4), 0),
    "conv2d": (lambda: nn.Conv2d(4, 6, 3, **R), IMAGES, 0),
    "conv2d-pointwise": (lambda: nn.Conv2d(4, 6, 1, **R), IMAGES, 0),
    "conv2d-winograd": (lambda: nn.Conv2d(16, 16, 3, padding=1, **R), (3, 16, 32, 32), 0),
    "conv2d-strided": (lambda: nn.Conv2d(4, 6, 3, 2, 1, 1, 2, **R), IMAGES, 0),
    "conv2d-unbiased": (lambda: nn.Conv2d(4, 6, (3, 2), dilation=2, bias=False, **R), IMAGES, 0),
    "conv2d-same": (lambda: nn.Conv2d(4, 6, (2, 3), padding="same", **R), IMAGES, 0),
    "conv_transpose2d": (lambda: nn.ConvTranspose2d(4, 6, 3, 2, 1, 1, 2, **R), IMAGES, 0),
    "conv_transpose2d-stride-1": (lambda: nn.ConvTranspose2d(4, 6, 3, **R), IMAGES, 0),
    "batch_norm1d": (lambda: nn.BatchNorm1d(4, dtype=np.float64).eval(), (3, 4), 0),
    "batch_norm2d": (lambda: nn.BatchNorm2d(4, dtype=np.float64).eval(), IMAGES, 0),
    "batch_norm1d-training": (lambda: nn.BatchNorm1d(4, dtype=np.float64), (3, 4), 0),
    "batch_norm2d-plain": (lambda: nn.BatchNorm2d(4, affine=False, dtype=np.float64), IMAGES, 0),
    "conv1d": (lambda: nn.Conv1d(4, 6, 3, 2, 1, **R), (3, 4, 7), 0),
    "layer_norm": (lambda: nn.LayerNorm((6, 6), dtype=np.float64), IMAGES, 0),
    "layer_norm-plain": (lambda: nn.LayerNorm(6, elementwise_affine=False), IMAGES, 0),
    "rms_norm": (lambda: nn.RMSNorm((6, 6), dtype=np.float64), IMAGES, 0),
    "instance_norm2d": (lambda: nn.InstanceNorm2d(4), IMAGES, 0),
    "max_pool2d": (lambda: nn.MaxPool2d(2), IMAGES, 0),
    "avg_pool2d": (lambda: nn.AvgPool2d(2), IMAGES, 0),
    "adaptive_avg_pool2d": (lambda: nn.AdaptiveAvgPool2d((4, 7)), IMAGES, 0),
    "pixel_shuffle": (lambda: nn.PixelShuffle(2), IMAGES, 0),
    "group_norm": (lambda: nn.GroupNorm(2, 4, dtype=np.float64), IMAGES, 0),
    "dropout": (lambda: nn.Dropout(0.5, rng=RNG), (3, 5), 0),
    "stochastic_depth": (lambda: nn.StochasticDepth(0.5, rng=RNG), (3, 5), 0),
    "identity": (nn.Identity, (3, 5), 0),
    "relu": (nn.ReLU, (3, 5), 0),
    "elu": (nn.ELU, (3, 5), 0),
    "softplus": (nn.Softplus, (3, 5), 0),
    "prelu": (lambda: nn.PReLU(4, dtype=np.float64), IMAGES, 0),
    "leaky_relu": (nn.LeakyReLU, (3, 5), 0),
    "sigmoid": (nn.Sigmoid, (3, 5), 0),
    "tanh": (nn.Tanh, (3, 5), 0),
    "gelu": (nn.GELU, (3, 5), 0),
    "gelu-tanh": (lambda: nn.GELU("tanh"), (3, 5), 0),
    "silu": (nn.SiLU, (3, 5), 0),
    "softmax": (nn.Softmax, (3, 5), 0),
    "flatten": (nn.Flatten, IMAGES, 0),
    "unflatten": (lambda: nn.Unflatten((2, 3)), IMAGES, 0),
    "multihead_attention": (lambda: nn.MultiheadAttention(4, 2, 0.1, **R), (3, 5, 4), 0),
    "rnn": (lambda: nn.RNN(4, 3, 2, "relu", **R), (5, 3, 4), 1),
    "gru": (lambda: nn.GRU(4, 3, 2, bidirectional=True, **R), (5, 3, 4), 1),
    "lstm": (lambda: nn.LSTM(4, 3, bidirectional=True, batch_first=True, **R), (3, 5, 4), 0),
}


def first(value: Any) -> Any:
    return value[0] if isinstance(value, tuple) else value


@pytest.mark.parametrize("name", BATCHES)
@pytest.mark.filterwarnings("error")
def test_an_empty_batch_has_its_shape_and_gradients_of_zero(name: str) -> None:
    build, shape, axis = BATCHES[name]
    layer = build()
    full = first(layer(Tensor(RNG.normal(size=shape)))).shape
    empty = [tuple(0 if i == axis else n for i, n in enumerate(s)) for s in (shape, full)]
    x = leaf(*empty[0])
    y = first(layer(x))
    assert y.shape == empty[1]
    np.sum(y).backward()
    assert x.grad.shape == x.shape
    for parameter in layer.parameters():
        np.testing.assert_array_equal(parameter.grad, np.zeros(parameter.shape))
    _, y_dot = jvp(lambda x: first(layer(x)), (x.data,), (x.data,))
    assert np.shape(y_dot) == y.shape
    second = hvp(lambda x: np.sum(first(layer(x)) ** 2), x.data, x.data)
    assert np.shape(second) == x.shape


def test_every_layer_is_tried_with_an_empty_batch() -> None:
    """All but the table, which has no batch of numbers, containers, and losses, which have two."""
    tried = {type(build()) for build, *_ in BATCHES.values()}
    layers = {cls for cls in vars(nn).values() if isinstance(cls, type) and issubclass(cls, nn.Module)}
    containers = {nn.Module, nn.ModuleDict, nn.ModuleList, nn.ParameterDict, nn.ParameterList, nn.Sequential}
    losses = {cls for cls in layers if issubclass(cls, Loss)}
    assert layers - tried - containers - losses == {nn.Embedding}


def test_an_empty_batch_leaves_the_running_statistics() -> None:
    layer = nn.BatchNorm1d(4)
    layer(np.zeros((0, 4), np.float32))
    np.testing.assert_array_equal(layer.running_mean, np.zeros(4))
    np.testing.assert_array_equal(layer.running_var, np.ones(4))


def test_an_empty_batch_of_sequences_may_have_lengths() -> None:
    y, (h, c) = nn.LSTM(4, 3, **R)(np.zeros((5, 0, 4)), lengths=np.zeros(0, int))
    assert (y.shape, h.shape, c.shape) == ((5, 0, 3), (1, 0, 3), (1, 0, 3))


@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
def test_sequences_without_a_step_are_refused(kind: Any) -> None:
    """As in PyTorch: there is no last state."""
    with pytest.raises(ValueError, match=f"{kind.__name__}: .* T at least 1"):
        kind(4, 3, **R)(np.zeros((0, 2, 4)))


def test_an_empty_batch_may_have_a_shift_of_its_own_for_each_image() -> None:
    shift = leaf(0, 6)
    layer = nn.Conv2d(4, 6, 3, **R)
    y = layer(leaf(0, 4, 6, 6), shift)
    np.sum(y).backward()
    assert (y.shape, shift.grad.shape, layer.bias.grad.tolist()) == ((0, 6, 4, 4), (0, 6), [0] * 6)


def test_a_table_looks_up_no_number() -> None:
    table = nn.Embedding(5, 4, **R)
    y = table(np.zeros((0, 3), int))
    assert y.shape == (0, 3, 4)
    np.sum(y).backward()
    assert not table.weight.grad.any()


@pytest.mark.parametrize("pool", [kernels.max_pool2d, kernels.avg_pool2d])
def test_an_empty_batch_is_pooled(pool: Any) -> None:
    x = leaf(0, 3, 5, 5)
    y = pool(x, kernel_size=3, stride=2, padding=1)
    assert y.shape == (0, 3, 3, 3)
    np.sum(y).backward()
    assert x.grad.shape == x.shape


def test_attention_of_an_empty_batch_to_a_memory() -> None:
    layer = nn.MultiheadAttention(4, 2, 0.1, **R)
    query, key = leaf(0, 5, 4), leaf(0, 7, 4)
    y = layer(query, key)
    np.sum(y).backward()
    assert (y.shape, query.grad.shape, key.grad.shape) == ((0, 5, 4), (0, 5, 4), (0, 7, 4))
    assert layer.weights(query, key).shape == (0, 2, 5, 7)


# -------------------------------------------------------------------------------------- sizes, padding and momentum


@given(seed=SEEDS, stride=st.integers(1, 2), kernel=st.integers(1, 3), padding=st.integers(0, 2), n=st.integers(0, 2))
def test_a_transposed_convolution_has_output_padding_below_the_dilation(
    seed: int, stride: int, kernel: int, padding: int, n: int
) -> None:
    """The kernel is its reference: value, gradients and tangent, where output_padding reaches the stride too."""
    rng = np.random.default_rng(seed)
    options = {"stride": (stride, 1), "padding": padding, "dilation": (3, 2), "groups": 2}
    options["output_padding"] = (int(rng.integers(stride, 3)), 1)
    x, weight = rng.normal(size=(n, 4, 5, 6)), rng.normal(size=(4, 3, kernel, kernel))
    bias = rng.normal(size=6)
    results = []
    for f in (kernels.conv_transpose2d, kernels.conv_transpose2d.reference):
        tensors = [Tensor(a, requires_grad=True) for a in (x, weight, bias)]
        y = f(*tensors, **options)
        np.sum(y * np.cos(np.arange(y.size)).reshape(y.shape)).backward()
        _, y_dot = jvp(lambda *a, f=f: f(*a, **options), (x, weight, bias), (x + 1, weight + 1, bias))
        results.append([y.data, *(t.grad for t in tensors), np.asarray(y_dot)])
    for got, want in zip(*results, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12)


X = np.arange(2 * 4 * 6 * 6.0).reshape(2, 4, 6, 6)
W = np.ones((4, 4, 3, 3))


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: kernels.conv_transpose2d(X, W, stride=2, output_padding=2), "output_padding .2, 2. is not below"),
        (lambda: kernels.conv_transpose2d(X, W, output_padding=-1), "output_padding is at least 0, not -1"),
        (lambda: kernels.conv_transpose2d(X, W, np.ones(3)), r"bias has shape \(3,\); .* it is \(4,\)"),
        (lambda: kernels.conv_transpose2d(X, W, padding=9), "padding .9, 9. is too large"),
        (lambda: kernels.conv2d(X, W, stride=0), "stride is at least 1, not 0"),
        (lambda: kernels.conv2d(X, W, padding=(0, -1)), "padding is at least 0, not -1"),
        (lambda: kernels.conv2d(X, W, dilation=0), "dilation is at least 1, not 0"),
        (lambda: kernels.conv2d(X, W, groups=0), "groups is at least 1, not 0"),
        (lambda: kernels.conv2d(X, W, stride=(1, 1, 1)), "stride is one number, or two"),
        (lambda: kernels.max_pool2d(X, kernel_size=0), "kernel_size is at least 1, not 0"),
        (lambda: kernels.max_pool2d(X, kernel_size=2, stride=0), "stride is at least 1, not 0"),
        (lambda: kernels.avg_pool2d(X, kernel_size=2, padding=-1), "padding is at least 0, not -1"),
        (lambda: kernels.upsample_nearest2d(X, scale=0), "scale is at least 1, not 0"),
        (lambda: nn.Conv2d(4, 4, 3, 2, "same", **R), r'Conv2d: padding="same" needs stride=1, not \(2, 2\)'),
        (lambda: nn.Unflatten((-1, 2, -1)), r"Unflatten: shape has one -1 at most, not \(-1, 2, -1\)"),
        (lambda: nn.Conv2d(4, 4, 3, padding="full", **R), "Conv2d: padding is one of same, valid, not 'full'"),
    ],
)
def test_sizes_out_of_range_are_refused_by_name(call: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: kernels.conv2d(X, W, stride=1.5), "stride is a whole number, not 1.5"),
        (lambda: kernels.conv2d(X, W, padding="same"), "padding is a whole number, not 'same'"),
        (lambda: kernels.max_pool2d(X, kernel_size=(2, 2.0)), "kernel_size is a whole number, not 2.0"),
        (lambda: nn.ConvTranspose2d(4, 4, 3, padding="same", **R), "padding is a whole number, not 'same'"),
    ],
)
def test_sizes_that_are_no_whole_numbers_are_refused_by_name(call: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        call()


@pytest.mark.parametrize(
    "f, options",
    [
        (lambda **o: kernels.conv2d(X, W[:, :2], **o), {"stride": 2, "padding": 1, "dilation": 2, "groups": 2}),
        (lambda **o: kernels.conv_transpose2d(X, W, **o), {"stride": 2, "padding": 1, "output_padding": 1}),
        (lambda **o: kernels.max_pool2d(X, **o), {"kernel_size": 3, "stride": 2, "padding": 1}),
        (lambda **o: kernels.avg_pool2d(X, **o), {"kernel_size": 3, "stride": 2, "padding": 1}),
        (lambda **o: kernels.upsample_nearest2d(X, **o), {"scale": 2}),
        (lambda **o: kernels.group_norm(X, **o), {"groups": 2}),
        (lambda **o: kernels.softmax(X, **o), {"axis": 1}),
        (lambda **o: kernels.self_attention(X[0], **o), {"num_heads": 2}),
    ],
)
def test_kernels_take_numpys_whole_numbers(f: Any, options: dict[str, int]) -> None:
    expected = f(**options)
    for dtype in (np.int64, np.uint8, np.int32):
        np.testing.assert_array_equal(f(**{name: dtype(value) for name, value in options.items()}), expected)


@given(data=st.data(), seed=SEEDS, kernel=st.integers(1, 3), stride=st.integers(1, 3), padding=st.integers(0, 3))
def test_padding_never_meets_an_infinity(data: Any, seed: int, kernel: int, stride: int, padding: int) -> None:
    """The weight's gradient is infinite or NaN at elements that meet the pixel, and what it would be at the others."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(2, 1, *data.draw(st.tuples(*[st.integers(1, 4)] * 2))))
    transposed = data.draw(st.booleans())
    layer = kernels.conv_transpose2d if transposed else kernels.conv2d
    weight = Tensor(rng.normal(size=(1, 1, kernel, kernel)), requires_grad=True)
    assume(2 * padding + min(x.shape[2:]) >= kernel)
    assume(not transposed or stride * (min(x.shape[2:]) - 1) - 2 * padding + kernel >= 0)
    place = tuple(rng.integers(0, x.shape))

    def gradient(pixel: float) -> np.ndarray:
        x[place] = pixel
        y = layer(x, weight, stride=stride, padding=padding)
        weight.grad = None
        y.backward(np.random.default_rng(seed).normal(size=y.shape))
        return weight.grad

    without = gradient(0.0)
    meets = gradient(1.0) != without
    with np.errstate(invalid="ignore"):  # zero times infinity
        found = gradient(data.draw(st.sampled_from([np.inf, np.nan])))
    np.testing.assert_array_equal(np.isfinite(found), ~meets)
    np.testing.assert_allclose(found[~meets], without[~meets], rtol=1e-9, atol=1e-12)


def test_a_transposed_convolution_may_have_no_pixels() -> None:
    x, w = (Tensor(np.ones((1, 1, n, n)), requires_grad=True) for n in (1, 2))
    y = kernels.conv_transpose2d(x, w, padding=1)
    assert y.shape == (1, 1, 0, 0)
    y.backward(np.ones(y.shape))
    assert not x.grad.any() and not w.grad.any()
    with pytest.raises(ValueError, match="padding"):
        kernels.conv_transpose2d(x, w, padding=2)


@given(kernel=st.tuples(*[st.integers(1, 4)] * 2), dilation=st.tuples(*[st.integers(1, 3)] * 2), seed=SEEDS)
def test_padding_that_keeps_the_size(kernel: tuple[int, int], dilation: tuple[int, int], seed: int) -> None:
    """What is odd is padded at the end: the result is the middle of that with all padding there can be."""
    rng = np.random.default_rng(seed)
    layer = nn.Conv2d(2, 3, kernel, padding="same", dilation=dilation, rng=rng, dtype=np.float64)
    x = Tensor(rng.normal(size=(2, 2, 5, 7)), requires_grad=True)
    y = layer(x)
    assert y.shape == (2, 3, 5, 7)
    reach = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    before = [r // 2 for r in reach]
    sides = [(b, r - b) for b, r in zip(before, reach, strict=True)]
    padded = np.pad(x.data, [(0, 0), (0, 0), *sides])
    whole = kernels.conv2d(padded, layer.weight.data, layer.bias.data, dilation=dilation)
    np.testing.assert_allclose(y.data, whole, rtol=1e-12, atol=1e-12)
    np.sum(y).backward()
    assert x.grad.shape == x.shape
    assert "padding='same'" in repr(layer)


def test_padding_valid_is_none() -> None:
    assert nn.Conv2d(2, 3, 3, padding="valid", **R).padding == (0, 0)


@given(seed=SEEDS, batches=st.integers(1, 4))
def test_batch_norm_without_momentum_keeps_the_mean_of_all_batches(seed: int, batches: int) -> None:
    x = np.random.default_rng(seed).normal(size=(batches, 5, 3))
    layer = nn.BatchNorm1d(3, momentum=None, dtype=np.float64)
    for batch in x:
        layer(batch)
    np.testing.assert_allclose(layer.running_mean, x.mean((0, 1)), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(layer.running_var, x.var(1, ddof=1).mean(0), rtol=1e-12)
    assert "momentum=None" in repr(layer)


# ------------------------------------------------------------------------------------ what is refused when it is built

LAYERS: list[tuple[Any, dict[str, Any]]] = [
    (nn.Linear, {"in_features": 4, "out_features": 2}),
    (nn.Conv2d, {"in_channels": 4, "out_channels": 2, "kernel_size": 3}),
    (nn.ConvTranspose2d, {"in_channels": 4, "out_channels": 2, "kernel_size": 3}),
    (nn.Embedding, {"num_embeddings": 4, "embedding_dim": 2}),
    (nn.BatchNorm1d, {"num_features": 4}),
    (nn.BatchNorm2d, {"num_features": 4}),
    (nn.LayerNorm, {"normalized_shape": 4}),
    (nn.GroupNorm, {"num_groups": 2, "num_channels": 4}),
    (nn.Conv1d, {"in_channels": 4, "out_channels": 2, "kernel_size": 3}),
    (nn.RMSNorm, {"normalized_shape": 4}),
    (nn.InstanceNorm2d, {"num_features": 4}),
    (nn.MaxPool2d, {"kernel_size": 2}),
    (nn.AvgPool2d, {"kernel_size": 2}),
    (nn.AdaptiveAvgPool2d, {"output_size": 2}),
    (nn.PixelShuffle, {"upscale_factor": 2}),
    (nn.ELU, {}),
    (nn.Softplus, {}),
    (nn.PReLU, {}),
    (nn.MSELoss, {}),
    (nn.SmoothL1Loss, {}),
    (nn.Dropout, {}),
    (nn.LeakyReLU, {}),
    (nn.GELU, {}),
    (nn.Softmax, {}),
    (nn.Unflatten, {"shape": (2, 3)}),
    (nn.MultiheadAttention, {"embed_dim": 4, "num_heads": 2}),
    (nn.StochasticDepth, {"p": 0.5}),
    (nn.RNN, {"input_size": 4, "hidden_size": 2}),
    (nn.GRU, {"input_size": 4, "hidden_size": 2}),
    (nn.LSTM, {"input_size": 4, "hidden_size": 2}),
]
LAYER_ARGUMENTS = [
    (kind, given, name) for kind, given in LAYERS for name in inspect.signature(kind).parameters if name != "dtype"
]
OPTIMISER_OPTIONS = [
    (kind, name)
    for kind in (optim.SGD, optim.Adam, optim.AdamW, optim.Adagrad, optim.RMSprop)
    for name in inspect.signature(kind).parameters
    if name != "params"
]
NEVER_RIGHT: list[Any] = [np.nan, np.inf, -np.inf, -2, "1", 1j, np.ones(2), [0, 0.5, -3], {}]


# Where -2 is right.
NEGATIVE = ("axis", "dampening", "init", "padding_idx")


@pytest.mark.parametrize("kind, given, name", LAYER_ARGUMENTS, ids=[f"{k.__name__}-{n}" for k, _, n in LAYER_ARGUMENTS])
@pytest.mark.parametrize("wrong", NEVER_RIGHT, ids=repr)
def test_a_layer_refuses_by_name_what_is_never_right(kind: Any, given: dict[str, Any], name: str, wrong: Any) -> None:
    if name in NEGATIVE and type(wrong) is int:
        return
    arguments = {**given, name: wrong}
    if "rng" in inspect.signature(kind).parameters:
        arguments.setdefault("rng", RNG)
    with pytest.raises((TypeError, ValueError), match=rf"^{kind.__name__}: .*{name}"):
        kind(**arguments)


def ones(*shapes: tuple[int, ...]) -> list[np.ndarray]:
    return [np.ones(shape) for shape in shapes]


IMAGES = (2, 4, 4, 4)
CALLS: dict[str, tuple[list[np.ndarray], dict[str, Any]]] = {
    "linear": (ones((3, 4), (2, 4), (2,)), {}),
    "conv2d": (ones(IMAGES, (4, 4, 2, 2)), {}),
    "conv_transpose2d": (ones(IMAGES, (4, 4, 2, 2)), {}),
    "layer_norm": (ones((3, 4), (4,), (4,)), {}),
    "batch_norm": (ones(IMAGES, (4,), (4,)), {}),
    "group_norm": (ones(IMAGES, (4,), (4,)), {"groups": 2}),
    "max_pool2d": (ones(IMAGES), {"kernel_size": 2}),
    "avg_pool2d": (ones(IMAGES), {"kernel_size": 2}),
    "upsample_nearest2d": (ones(IMAGES), {}),
    "attention": (ones(*[(2, 3, 4)] * 3), {}),
    "self_attention": (ones((2, 3, 18)), {"num_heads": 3}),
    "mse": (ones((3, 4), (3, 4)), {}),
    "bce_with_logits": (ones((3, 4), (3, 4)), {}),
    "cross_entropy": ([np.ones((3, 4)), np.array([0, 1, 2])], {}),
    "dropout": (ones((3, 4), (3, 4)), {"p": 0.5}),
    "rnn": (ones((3, 2, 4), (2, 5), (5, 4), (5, 5), (5,), (5,)), {}),
    "gru": (ones((3, 2, 4), (2, 5), (15, 4), (15, 5), (15,), (15,)), {}),
    "lstm": (ones((3, 2, 4), (2, 5), (2, 5), (20, 4), (20, 5), (20,), (20,)), {}),
}
KERNELS = {name: kernel for name, kernel in vars(kernels).items() if isinstance(kernel, Kernel)}
KERNEL_OPTIONS = [(name, option) for name, kernel in KERNELS.items() for option in kernel.options]


@pytest.mark.parametrize("name, option", KERNEL_OPTIONS)
@pytest.mark.parametrize("wrong", NEVER_RIGHT, ids=repr)
def test_a_kernel_refuses_by_name_what_is_never_right(name: str, option: str, wrong: Any) -> None:
    if option in ("axis", "scale", "ignore_index") and type(wrong) is int:
        return
    arrays, options = CALLS.get(name, (ones((3, 4)), {}))
    KERNELS[name](*arrays, **options)
    with pytest.raises((TypeError, ValueError), match=rf"^{name}: .*{option}"):
        KERNELS[name](*arrays, **options | {option: wrong})


@pytest.mark.parametrize("kind, name", OPTIMISER_OPTIONS, ids=[f"{k.__name__}-{n}" for k, n in OPTIMISER_OPTIONS])
@pytest.mark.parametrize("wrong", NEVER_RIGHT, ids=repr)
@pytest.mark.parametrize("in_group", [False, True])
def test_an_optimiser_refuses_by_name_what_is_never_right(kind: Any, name: str, wrong: Any, in_group: bool) -> None:
    if name in NEGATIVE and type(wrong) is int:
        return
    group: dict[str, Any] = {"params": [nn.parameter(np.ones(3))]}
    options = {name: wrong}
    with pytest.raises((TypeError, ValueError), match=rf"^{name}"):
        if in_group:
            kind([group | options])
        else:
            kind([group], **options)


@pytest.mark.parametrize(
    "build, words",
    [
        (lambda p: optim.Adam(p, betas=(0.9,)), r"betas is a pair of numbers, not \(0.9,\)"),
        (lambda p: optim.Adam(p, betas=(0.9, 1.0)), r"betas\[1\] is at least 0 and below 1, not 1.0"),
        (lambda p: optim.AdamW(p, betas=(np.nan, 0.9)), r"betas\[0\] is at least 0 and below 1, not nan"),
        (lambda p: optim.RMSprop(p, alpha=1.0), "alpha is at least 0 and below 1, not 1.0"),
        (lambda p: optim.clip_grad_norm_(p, "1"), "max_norm is a number, not '1'"),
        (lambda p: optim.clip_grad_value_(p, np.nan), "clip_value is at least 0, not nan"),
        (lambda p: optim.ExponentialMovingAverage(nn.ReLU(), 1.5), "decay is at least 0 and at most 1, not 1.5"),
        (lambda p: optim.step_decay(0, 0.5), "size is at least 1, not 0"),
        (lambda p: optim.step_decay(5, np.nan), "factor is finite and at least 0, not nan"),
        (lambda p: optim.cosine(-1), "total is at least 0, not -1"),
        (lambda p: optim.cosine(5, 1.5), "minimum is at least 0 and at most 1, not 1.5"),
        (lambda p: optim.warm_up(-1), "steps is at least 0, not -1"),
        (lambda p: optim.inverse_square_root(0, 512), "warm_up is at least 1, not 0"),
        (lambda p: optim.inverse_square_root(10, 0), "dimension is at least 1, not 0"),
        (lambda p: nn.MultiheadAttention(4, 3, **R), "MultiheadAttention: 3 heads do not divide 4 dimensions"),
        (lambda p: nn.MultiheadAttention(4, 2, 1.0, **R), "MultiheadAttention: dropout is at least 0 and below 1"),
        (lambda p: kernels.self_attention(np.ones((2, 3, 12)), num_heads=0), "num_heads is at least 1, not 0"),
        (lambda p: kernels.attention(X, X, X, p=1.5), "p is at least 0 and at most 1, not 1.5"),
        (lambda p: kernels.attention(X, X, X, scale=np.nan), "scale is finite, not nan"),
        (lambda p: kernels.dropout(X, X > 0, p=np.nan), "p is at least 0 and at most 1, not nan"),
        (lambda p: kernels.leaky_relu(X, negative_slope=2), "negative_slope is at least 0 and at most 1, not 2"),
        (lambda p: kernels.group_norm(X, groups=0), "groups is at least 1, not 0"),
        (lambda p: kernels.group_norm(X, groups=2, eps=-1), "eps is finite and at least 0, not -1"),
        (lambda p: kernels.layer_norm(X, np.ones(6), eps=np.nan), "eps is finite and at least 0, not nan"),
        (lambda p: kernels.batch_norm(X, np.ones(4), np.ones(4), eps=np.inf), "eps is finite and at least 0, not inf"),
    ],
)
def test_numbers_out_of_range_are_refused_by_name(build: Any, words: str) -> None:
    with pytest.raises((TypeError, ValueError), match=words):
        build([nn.parameter(np.ones(3))])


def test_a_cosine_of_no_steps_is_at_its_minimum() -> None:
    assert optim.cosine(0, 0.1)(0) == 0.1


def test_attention_that_drops_every_weight_gives_zeros() -> None:
    """As dropout with probability 1 does: value and gradients, never 0 times infinity."""
    q, k, v = leaf(2, 3, 4), leaf(2, 3, 4), leaf(2, 3, 4)
    y = kernels.attention(q, k, v, keep=np.zeros((2, 3, 3), bool), p=1.0)
    np.sum(y * 3).backward()
    for array in (y.data, q.grad, k.grad, v.grad):
        assert not array.any()


# ------------------------------------------------------------------------------------------------------ NaN and infinity

SPECIAL = st.sampled_from([np.nan, np.inf, -np.inf, 0.0, 1.0, -1.0, 2.5])


def images_of(data: Any, side: int = 5) -> np.ndarray:
    """One image of special numbers, many of which tie."""
    numbers = data.draw(st.lists(SPECIAL, min_size=side * side, max_size=side * side))
    return np.array(numbers).reshape(1, 1, side, side)


@given(data=st.data(), size=st.integers(1, 3), stride=st.integers(1, 2), half=st.booleans())
def test_max_pooling_chooses_among_the_pixels(data: Any, size: int, stride: int, half: bool) -> None:
    """Window by window: NaN before all numbers, the padding never; what ties shares the gradient."""
    x = images_of(data)
    options = {"kernel_size": size, "stride": stride, "padding": size // 2 if half else 0}
    tensor = Tensor(x, requires_grad=True)
    y = kernels.max_pool2d(tensor, **options)
    g = np.random.default_rng(0).normal(size=y.shape)
    np.sum(y * g).backward() if np.isfinite(y.data).all() else y.backward(g)
    x_dot = np.random.default_rng(1).normal(size=x.shape)
    _, y_dot = jvp(lambda x: kernels.max_pool2d(x, **options), (x,), (x_dot,))

    value, gradient, tangent = np.empty_like(y.data), np.zeros_like(x), np.empty_like(y.data)
    for at in np.ndindex(*y.shape[2:]):
        start = [stride * i - options["padding"] for i in at]
        window = (0, 0, *(slice(max(i, 0), i + size) for i in start))
        pixels = x[window]
        top = np.max(pixels)
        largest = np.isnan(pixels) if np.isnan(top) else pixels == top
        value[0, 0][at] = top
        gradient[window] += g[0, 0][at] * largest / largest.sum()
        tangent[0, 0][at] = x_dot[window][largest].mean()
    np.testing.assert_array_equal(y.data, value)
    np.testing.assert_allclose(tensor.grad, gradient, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(y_dot, tangent, rtol=1e-12, atol=1e-12)

    again = Tensor(x, requires_grad=True)
    slow = kernels.max_pool2d.reference(again, **options)
    slow.backward(g)
    np.testing.assert_array_equal(slow.data, value)
    np.testing.assert_allclose(again.grad, gradient, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.int8, np.int64, np.uint8])
def test_max_pooling_of_integers_stays_in_their_dtype(dtype: Any) -> None:
    x = RNG.integers(np.iinfo(dtype).min, np.iinfo(dtype).max, (2, 3, 5, 5), dtype)
    y = kernels.max_pool2d(x, kernel_size=3, stride=2, padding=1)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, kernels.max_pool2d(x.astype(float), kernel_size=3, stride=2, padding=1))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "logit, target, loss, slope",
    [
        (np.inf, 1, 0, 0),
        (np.inf, 0, np.inf, 1),
        (np.inf, 0.25, np.inf, 0.75),
        (-np.inf, 0, 0, 0),
        (-np.inf, 1, np.inf, -1),
        (-np.inf, 0.25, np.inf, -0.25),
        (np.nan, 0, np.nan, np.nan),
        (np.nan, 1, np.nan, np.nan),
        (0, 0.25, np.log(2), 0.25),
    ],
)
def test_bce_of_an_infinite_logit_is_its_limit(
    dtype: Any, logit: float, target: float, loss: float, slope: float
) -> None:
    """The reference takes both branches of its `where`, so NumPy warns of the one that does not count."""
    targets = np.array([target, 1], dtype)
    for f, warn in ((kernels.bce_with_logits, "warn"), (kernels.bce_with_logits.reference, "ignore")):
        x = Tensor(np.array([logit, 1], dtype), requires_grad=True)
        with np.errstate(invalid=warn):
            y = f(x, targets, reduction="none")
            y.backward(np.ones(2, dtype))
        assert y.dtype == x.grad.dtype == dtype
        np.testing.assert_allclose([y.data[0], x.grad[0]], [loss, slope], rtol=1e-6)
