"""Kernels, losses and optimisers of float16 against PyTorch's of float16: a few units in the last place."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_cv import Tensor, kernels, optim

torch = pytest.importorskip("torch")
F = torch.nn.functional
pytestmark = pytest.mark.parity

ULP = 2.0**-10
seeds = st.integers(0, 2**16)
scales = st.sampled_from([1.0, 8.0, 300.0])


def normal(seed: int, shapes: list[tuple[int, ...]], scale: float) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [(scale * rng.normal(size=shape)).astype(np.float16) for shape in shapes]


def both(ours: Any, theirs: Any, values: list[np.ndarray], ulps: float = 4, saturates: bool = False) -> None:
    """Value and gradients of a random combination, to units in the last place of the largest element.

    Of what saturates both keep the value, near 1, in float16. The gradient has its error times the cotangent.
    """
    tensors = [Tensor(v, requires_grad=True) for v in values]
    torches = [torch.tensor(v, requires_grad=True) for v in values]
    one, two = ours(*tensors), theirs(*torches)
    close(one.numpy(), two.detach().numpy(), ulps)
    g = np.random.default_rng(2**20).normal(size=one.shape).astype(np.float16)
    one.backward(g)
    two.backward(torch.tensor(g))
    for a, b in zip(tensors, torches, strict=True):
        close(a.grad, b.grad.numpy(), ulps, float(np.max(np.abs(g))) if saturates else 0.0)


def close(found: np.ndarray, expected: np.ndarray, ulps: float, scale: float = 0.0) -> None:
    assert found.dtype == expected.dtype == np.float16
    finite = np.abs(expected[np.isfinite(expected)].astype(float))
    largest = np.max(finite, initial=max(scale, 2.0**-14))
    np.testing.assert_allclose(found.astype(float), expected.astype(float), rtol=0, atol=ulps * ULP * largest)


def torch_attention(q: Any, k: Any, v: Any) -> Any:
    return F.scaled_dot_product_attention(q, k, v)


X = (5, 6)
KERNELS: dict[str, tuple[Any, Any, list[tuple[int, ...]]]] = {
    "relu": (kernels.relu, F.relu, [X]),
    "leaky_relu": (kernels.leaky_relu, F.leaky_relu, [X]),
    "sigmoid": (kernels.sigmoid, torch.sigmoid, [X]),
    "tanh": (kernels.tanh, torch.tanh, [X]),
    "silu": (kernels.silu, F.silu, [X]),
    "gelu": (kernels.gelu, F.gelu, [X]),
    "gelu by tanh": (
        lambda x: kernels.gelu(x, approximate="tanh"),
        lambda x: F.gelu(x, approximate="tanh"),
        [X],
    ),
    "erf": (kernels.erf, torch.erf, [X]),
    "softmax": (kernels.softmax, lambda x: F.softmax(x, -1), [X]),
    "softmax, first axis": (lambda x: kernels.softmax(x, axis=0), lambda x: F.softmax(x, 0), [X]),
    "log_softmax": (kernels.log_softmax, lambda x: F.log_softmax(x, -1), [X]),
    "layer_norm": (kernels.layer_norm, lambda x, w, b: F.layer_norm(x, (6,), w, b), [X, (6,), (6,)]),
    "batch_norm": (
        kernels.batch_norm,
        lambda x, w, b: F.batch_norm(x, None, None, w, b, True),
        [X, (6,), (6,)],
    ),
    "group_norm": (
        lambda *v: kernels.group_norm(*v, groups=2),
        lambda x, w, b: F.group_norm(x, 2, w, b),
        [(2, 4, 3), (4,), (4,)],
    ),
    "linear": (kernels.linear, F.linear, [X, (3, 6), (3,)]),
    "conv2d": (
        lambda *v: kernels.conv2d(*v, padding=1),
        lambda *v: F.conv2d(*v, padding=1),
        [(2, 3, 5, 5), (4, 3, 3, 3), (4,)],
    ),
    "conv_transpose2d": (
        lambda *v: kernels.conv_transpose2d(*v, stride=2),
        lambda *v: F.conv_transpose2d(*v, stride=2),
        [(2, 3, 4, 4), (3, 4, 3, 3), (4,)],
    ),
    "max_pool2d": (lambda x: kernels.max_pool2d(x, kernel_size=2), lambda x: F.max_pool2d(x, 2), [(2, 3, 4, 4)]),
    "avg_pool2d": (lambda x: kernels.avg_pool2d(x, kernel_size=2), lambda x: F.avg_pool2d(x, 2), [(2, 3, 4, 4)]),
    "upsample_nearest2d": (
        lambda x: kernels.upsample_nearest2d(x, scale=2),
        lambda x: F.interpolate(x, scale_factor=2),
        [(2, 3, 4, 4)],
    ),
    "embedding": (
        lambda w: kernels.embedding(np.array([0, 2, 2, 1]), w),
        lambda w: F.embedding(torch.tensor([0, 2, 2, 1]), w),
        [X],
    ),
    "attention": (kernels.attention, torch_attention, [(2, 5, 6), (2, 4, 6), (2, 4, 3)]),
}
SATURATING = {"softmax", "softmax, first axis", "sigmoid", "tanh", "attention"}
# Where the last factors are as large as the first, sums leave float16 in both: one scale for them.
PRODUCTS = {"linear", "conv2d", "conv_transpose2d", "attention"}


@pytest.mark.parametrize("name", KERNELS)
@given(seed=seeds, scale=scales)
def test_kernels(name: str, seed: int, scale: float) -> None:
    ours, theirs, shapes = KERNELS[name]
    values = normal(seed, shapes, min(scale, 2) if name in PRODUCTS else scale)
    if name == "max_pool2d":  # without ties, of which PyTorch takes the first
        values = [np.random.default_rng(seed).permutation(v.size).reshape(v.shape).astype(np.float16) for v in values]
    both(ours, theirs, values, 8 if name == "attention" else 4, saturates=name in SATURATING)


RECURRENT = {"RNN": kernels.rnn, "GRU": kernels.gru, "LSTM": lambda *v: kernels.lstm(*v)[0]}


@pytest.mark.parametrize("name", RECURRENT)
@given(seed=seeds)
def test_recurrent_kernels(name: str, seed: int) -> None:
    """PyTorch rounds the state at every step to float16, ours once: it is beside PyTorch's float64, too.

    The way back reads the states as they were handed out, in float16, so gradients have their error.
    """
    gates, states = {"RNN": (1, 1), "GRU": (3, 1), "LSTM": (4, 2)}[name]
    shapes = [(5, 2, 3), *[(2, 4)] * states, (gates * 4, 3), (gates * 4, 4), (gates * 4,), (gates * 4,)]
    values = normal(seed, shapes, 0.5)
    g = normal(seed + 1, [(5, 2, 4)], 1.0)[0]
    tensors = [Tensor(v, requires_grad=True) for v in values]
    y = RECURRENT[name](*tensors)
    y.backward(g)
    found = [y.numpy(), *[t.grad for t in tensors]]
    assert all(a.dtype == np.float16 for a in found)
    for dtype, ulps in ((torch.float64, 8), (torch.float16, 32)):
        for ours, theirs in zip(found, torch_recurrent(name, values, g, states, dtype), strict=True):
            close(ours, theirs.to(torch.float16).numpy(), ulps)


def torch_recurrent(name: str, values: list[np.ndarray], g: np.ndarray, states: int, dtype: Any) -> list[Any]:
    """The states and the gradients of all arguments by PyTorch."""
    tensors = [torch.tensor(v, dtype=dtype, requires_grad=True) for v in values]
    x, first, weights = tensors[0], [s[None] for s in tensors[1 : 1 + states]], tensors[1 + states :]
    function = getattr(torch, {"RNN": "rnn_tanh", "GRU": "gru", "LSTM": "lstm"}[name])
    y = function(x, first if states == 2 else first[0], weights, True, 1, 0.0, True, False, False)[0]
    y.backward(torch.tensor(g, dtype=dtype))
    return [y.detach(), *[t.grad for t in tensors]]


@given(seed=seeds, scale=scales)
def test_dropout(seed: int, scale: float) -> None:
    (x,) = normal(seed, [X], min(scale, 8))
    mask = np.random.default_rng(seed).random(X) < 0.7
    both(lambda x: kernels.dropout(x, mask, p=0.3), lambda x: x * torch.tensor(mask) / 0.7, [x])


@given(seed=seeds)
def test_self_attention(seed: int) -> None:
    (packed,) = normal(seed, [(2, 5, 24)], 1.0)

    def theirs(x: Any) -> Any:
        q, k, v = x.view(2, 5, 3, 2, 4).permute(2, 0, 3, 1, 4)
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(2, 5, 8)

    both(lambda x: kernels.self_attention(x, num_heads=2), theirs, [packed], 8, saturates=True)


reductions = st.sampled_from(["mean", "sum", "none"])


@given(seed=seeds, scale=scales, reduction=reductions)
def test_mse(seed: int, scale: float, reduction: str) -> None:
    values = normal(seed, [X, X], min(scale, 8))
    both(
        lambda *v: kernels.mse(*v, reduction=reduction),
        lambda *v: F.mse_loss(*v, reduction=reduction),
        values,
    )


@given(seed=seeds, scale=scales, reduction=reductions)
def test_bce_with_logits(seed: int, scale: float, reduction: str) -> None:
    (logits,) = normal(seed, [X], scale)
    targets = np.random.default_rng(seed).integers(0, 2, X).astype(np.float16)
    both(
        lambda x: kernels.bce_with_logits(x, targets, reduction=reduction),
        lambda x: F.binary_cross_entropy_with_logits(x, torch.tensor(targets), reduction=reduction),
        [logits],
    )


@given(
    seed=seeds,
    scale=scales,
    reduction=reductions,
    smoothing=st.sampled_from([0.0, 0.1]),
    weighted=st.booleans(),
)
def test_cross_entropy(seed: int, scale: float, reduction: str, smoothing: float, weighted: bool) -> None:
    (logits,) = normal(seed, [X], scale)
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, X[1], X[0])
    weight = rng.uniform(0.5, 2, X[1]).astype(np.float16)
    one, two = (weight, torch.tensor(weight)) if weighted else (None, None)
    options: dict[str, Any] = {"reduction": reduction, "label_smoothing": smoothing}
    both(
        lambda x: kernels.cross_entropy(x, labels, one, **options),
        lambda x: F.cross_entropy(x, torch.tensor(labels), two, **options),
        [logits],
        8,
    )


OPTIMISERS: dict[str, tuple[Any, Any]] = {
    "SGD": (lambda p: optim.SGD(p, lr=0.1), lambda p: torch.optim.SGD(p, lr=0.1)),
    "SGD with momentum": (
        lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1),
        lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1),
    ),
    "Adam": (lambda p: optim.Adam(p, lr=0.1), lambda p: torch.optim.Adam(p, lr=0.1, fused=True)),
    "AdamW": (lambda p: optim.AdamW(p, lr=0.1), lambda p: torch.optim.AdamW(p, lr=0.1, fused=True)),
    "RMSprop": (
        lambda p: optim.RMSprop(p, lr=0.1, eps=1e-3),
        lambda p: torch.optim.RMSprop(p, lr=0.1, eps=1e-3),
    ),
}


@pytest.mark.parametrize("name", OPTIMISERS)
@given(seed=seeds)
def test_optimisers(name: str, seed: int) -> None:
    """PyTorch's fused ones where there are: the others make NaN of a gradient of 0, which is among these."""
    make, theirs = OPTIMISERS[name]
    (start,) = normal(seed, [(8,)], 1.0)
    p, q = Tensor(start, requires_grad=True), torch.tensor(start, requires_grad=True)
    one, two = make([p]), theirs([q])
    rng = np.random.default_rng(seed + 1)
    for _ in range(4):
        g = (rng.uniform(0.5, 2, size=8) * rng.choice([-1, 1], size=8)).astype(np.float16)
        g[0] = 0
        p.grad, q.grad = g, torch.tensor(g)
        one.step()
        two.step()
    close(p.numpy(), q.detach().numpy(), 8)


def test_clipping() -> None:
    (g,) = normal(0, [(50,)], 300.0)
    p, q = Tensor(np.zeros(50, np.float16), requires_grad=True), torch.zeros(50, dtype=torch.float16)
    p.grad, q.grad = g.copy(), torch.tensor(g)
    ours = optim.clip_grad_norm_([p], 1.0)
    theirs = torch.nn.utils.clip_grad_norm_([q], 1.0)
    np.testing.assert_allclose(ours, float(theirs), rtol=ULP)
    close(p.grad, q.grad.numpy(), 4)
